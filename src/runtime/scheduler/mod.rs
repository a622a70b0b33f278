//! The two flavours of executor behind one enum.

pub(crate) mod current_thread;
pub(crate) use current_thread::CurrentThread;

mod defer;
use defer::Defer;

pub(crate) mod inject;
pub(crate) use inject::Inject;

pub(crate) mod sharded;
pub(crate) use sharded::{MultiThread, block_in_place};

use crate::driver;
use crate::runtime::mailroom::Mailroom;
use crate::runtime::task::{Id, JoinHandle, SpawnLocation};
use crate::runtime::{Home, SchedulerMetrics, TaskHooks, WorkerMetrics, blocking, context};

use std::future::Future;
use std::sync::{Arc, Weak};
use std::task::Waker;

/// A runtime, as seen by everything that is not its owner.
#[derive(Debug, Clone)]
pub(crate) enum Handle {
    CurrentThread(Arc<current_thread::Handle>),
    MultiThread(Arc<sharded::Handle>),
}

/// A [`Handle`] that does not keep the runtime's memory.
#[derive(Debug)]
pub(crate) enum WeakHandle {
    CurrentThread(Weak<current_thread::Handle>),
    MultiThread(Weak<sharded::Handle>),
}

impl WeakHandle {
    pub(crate) fn upgrade(&self) -> Option<Handle> {
        match self {
            WeakHandle::CurrentThread(h) => h.upgrade().map(Handle::CurrentThread),
            WeakHandle::MultiThread(h) => h.upgrade().map(Handle::MultiThread),
        }
    }
}

/// The scheduler that the current thread drives.
pub(crate) enum Context {
    CurrentThread(current_thread::Context),
    MultiThread(sharded::Context),
}

/// How a task spawned on a shard is held there.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Hold {
    /// It stays.
    Pinned,
    /// It begins there, unless another shard finds it first.
    Placed,
}

macro_rules! match_flavor {
    ($self:expr, $ty:ident($h:ident) => $e:expr) => {
        match $self {
            $ty::CurrentThread($h) => $e,
            $ty::MultiThread($h) => $e,
        }
    };
}

impl Handle {
    /// The current thread's runtime.
    #[track_caller]
    pub(crate) fn current() -> Handle {
        match context::with_current(Clone::clone) {
            Ok(handle) => handle,
            Err(e) => panic!("{}", e),
        }
    }

    pub(crate) fn driver(&self) -> &driver::Handle {
        match_flavor!(self, Handle(h) => &h.driver)
    }

    pub(crate) fn blocking_spawner(&self) -> &blocking::Spawner {
        match_flavor!(self, Handle(h) => &h.blocking_spawner)
    }

    pub(crate) fn mailroom(&self) -> &Mailroom {
        match_flavor!(self, Handle(h) => &h.mailroom)
    }

    pub(crate) fn is_same(&self, other: &Handle) -> bool {
        match (self, other) {
            (Handle::CurrentThread(a), Handle::CurrentThread(b)) => Arc::ptr_eq(a, b),
            (Handle::MultiThread(a), Handle::MultiThread(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    pub(crate) fn is_local(&self) -> bool {
        match self {
            Handle::CurrentThread(h) => h.local_tid.is_some(),
            Handle::MultiThread(_) => false,
        }
    }

    /// Is this a `LocalRuntime`'s handle, used on the thread that owns it?
    pub(crate) fn can_spawn_local_on_local_runtime(&self) -> bool {
        match self {
            Handle::CurrentThread(h) => h.local_tid.is_some_and(|x| std::thread::current().id() == x),
            Handle::MultiThread(_) => false,
        }
    }

    #[track_caller]
    pub(crate) fn spawn<F>(&self, future: F, id: Id, spawned_at: SpawnLocation) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.driver().assert_own();
        match self {
            Handle::CurrentThread(h) => current_thread::Handle::spawn(h, future, id, spawned_at),
            Handle::MultiThread(h) => sharded::Handle::spawn(h, future, id, spawned_at),
        }
    }

    /// Spawns a task on a shard.
    pub(crate) fn spawn_on<F>(
        &self,
        (shard, hold): (usize, Hold),
        future: F,
        id: Id,
        spawned_at: SpawnLocation,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.driver().assert_own();
        match (self, hold) {
            (Handle::CurrentThread(h), _) => current_thread::Handle::spawn(h, future, id, spawned_at),
            (Handle::MultiThread(h), Hold::Pinned) => {
                sharded::Handle::spawn_pinned(h, shard, future, id, spawned_at)
            }
            (Handle::MultiThread(h), Hold::Placed) => {
                sharded::Handle::spawn_near(h, shard, future, id, spawned_at)
            }
        }
    }

    /// The shard whose turn it is.
    pub(crate) fn next_shard(&self) -> usize {
        match self {
            Handle::CurrentThread(_) => 0,
            Handle::MultiThread(h) => h.next_shard(),
        }
    }

    pub(crate) fn shutdown(&self) {
        match self {
            Handle::CurrentThread(_) => {}
            Handle::MultiThread(h) => h.shutdown(),
        }
    }

    /// What hosts this runtime's threads, if not what hosts all others.
    pub(crate) fn host(&self) -> Option<&context::Host> {
        match_flavor!(self, Handle(h) => h.config().host.as_ref())
    }

    /// A handle that does not keep the runtime's memory.
    pub(crate) fn downgrade(&self) -> WeakHandle {
        match self {
            Handle::CurrentThread(h) => WeakHandle::CurrentThread(Arc::downgrade(h)),
            Handle::MultiThread(h) => WeakHandle::MultiThread(Arc::downgrade(h)),
        }
    }

    #[track_caller]
    pub(crate) fn as_current_thread(&self) -> &Arc<current_thread::Handle> {
        match self {
            Handle::CurrentThread(handle) => handle,
            Handle::MultiThread(_) => panic!("not a CurrentThread handle"),
        }
    }

    pub(crate) fn hooks(&self) -> &TaskHooks {
        match_flavor!(self, Handle(h) => &h.task_hooks)
    }

    pub(crate) fn num_workers(&self) -> usize {
        match self {
            Handle::CurrentThread(_) => 1,
            Handle::MultiThread(handle) => handle.num_workers(),
        }
    }

    pub(crate) fn num_alive_tasks(&self) -> usize {
        match_flavor!(self, Handle(handle) => handle.num_alive_tasks())
    }

    pub(crate) fn injection_queue_depth(&self) -> usize {
        match_flavor!(self, Handle(handle) => handle.injection_queue_depth())
    }

    pub(crate) fn worker_metrics(&self, worker: usize) -> &WorkerMetrics {
        match_flavor!(self, Handle(handle) => handle.worker_metrics(worker))
    }
}

/// For the metrics and [`Handle::stats`](crate::runtime::Handle::stats).
impl Handle {
    #[cfg_attr(not(any(tokio_unstable, feature = "metrics")), allow(dead_code))]
    pub(crate) fn scheduler_metrics(&self) -> &SchedulerMetrics {
        match_flavor!(self, Handle(handle) => handle.scheduler_metrics())
    }

    pub(crate) fn worker_local_queue_depth(&self, worker: usize) -> usize {
        match_flavor!(self, Handle(handle) => handle.worker_local_queue_depth(worker))
    }

    pub(crate) fn num_blocking_threads(&self) -> usize {
        self.blocking_spawner().num_blocking_threads()
    }

    pub(crate) fn num_idle_blocking_threads(&self) -> usize {
        self.blocking_spawner().num_idle_threads()
    }

    pub(crate) fn blocking_queue_depth(&self) -> usize {
        self.blocking_spawner().queue_depth()
    }

    pub(crate) fn spawned_tasks_count(&self) -> u64 {
        match_flavor!(self, Handle(handle) => handle.spawned_tasks_count())
    }
}

impl Context {
    #[track_caller]
    pub(crate) fn expect_current_thread(&self) -> &current_thread::Context {
        match self {
            Context::CurrentThread(context) => context,
            Context::MultiThread(_) => panic!("expected `CurrentThread::Context`"),
        }
    }

    #[track_caller]
    pub(crate) fn expect_multi_thread(&self) -> &sharded::Context {
        match self {
            Context::MultiThread(context) => context,
            Context::CurrentThread(_) => panic!("expected `MultiThread::Context`"),
        }
    }

    pub(crate) fn defer(&self, waker: &Waker) {
        match_flavor!(self, Context(context) => context.defer(waker));
    }

    /// Is `waker` that of the `block_on` future this scheduler polls?
    #[cfg(feature = "fs")]
    pub(crate) fn is_waker_of(&self, waker: &Waker) -> bool {
        match self {
            Context::CurrentThread(context) => context.is_waker_of(waker),
            Context::MultiThread(_) => false,
        }
    }

    /// Whom futures to be bound to this shard's thread have to wait for.
    pub(crate) fn absent_home(&self) -> Option<Arc<Home>> {
        match self {
            Context::CurrentThread(_) => None,
            Context::MultiThread(context) => context.absent_home(),
        }
    }

    /// Is it that of a thread which runs tasks of `handle`'s runtime?
    pub(crate) fn is_of(&self, handle: &Handle) -> bool {
        match (self, handle) {
            (Context::CurrentThread(context), Handle::CurrentThread(handle)) => {
                Arc::ptr_eq(context.handle(), handle)
            }
            (Context::MultiThread(context), Handle::MultiThread(handle)) => {
                Arc::ptr_eq(context.handle(), handle)
            }
            (Context::CurrentThread(_), _) | (Context::MultiThread(_), _) => false,
        }
    }

    pub(crate) fn worker_index(&self) -> Option<usize> {
        match self {
            Context::CurrentThread(_) => Some(0),
            Context::MultiThread(context) => Some(context.worker_index()),
        }
    }
}
