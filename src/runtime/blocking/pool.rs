//! The pool itself: queue, threads and their life cycle.

use super::schedule::BlockingSchedule;
use super::{BlockingTask, shutdown};
use crate::loom::sync::{Condvar, Mutex, MutexGuard};
use crate::runtime::builder::ThreadNameFn;
use crate::runtime::task::{self, JoinHandle};
use crate::runtime::{AutoBox, Builder, Callback, Handle};
use crate::util::trace::{self, Func, SpawnMeta};

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use std::{fmt, io, mem, thread};

/// How long an idle thread stays, unless the builder says otherwise.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// The blocking pool of one runtime; dropping it shuts it down.
pub(crate) struct BlockingPool {
    spawner: Spawner,
    shutdown_rx: shutdown::Receiver,
    /// In the child of a fork, which has none of the threads.
    forgotten: bool,
}

/// A handle with which tasks are given to the pool.
#[derive(Clone)]
pub(crate) struct Spawner {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Mutex<Shared>,
    /// Idle threads wait here.
    condvar: Condvar,

    thread_name: ThreadNameFn,
    stack_size: Option<usize>,
    after_start: Option<Callback>,
    before_stop: Option<Callback>,
    thread_cap: usize,
    /// How many of `counters.threads` are workers of the scheduler.
    scheduler_threads: usize,
    keep_alive: Duration,

    counters: Counters,
}

/// What the metrics show. Written under the lock, read without it.
#[derive(Default)]
struct Counters {
    threads: AtomicUsize,
    idle_threads: AtomicUsize,
    queue_depth: AtomicUsize,
}

/// What the lock guards.
struct Shared {
    queue: VecDeque<Task>,
    /// Wake-ups that were sent and not yet taken: tells a real one from a spurious one.
    num_notify: u32,
    /// Given to each new thread; `None` once the pool is shut down.
    shutdown_tx: Option<shutdown::Sender>,
    /// The thread that most recently ended for lack of work. The next to end joins it, so that all
    /// threads have been joined in the end.
    last_exiting_thread: Option<thread::JoinHandle<()>>,
    worker_threads: HashMap<usize, thread::JoinHandle<()>>,
    next_thread_id: usize,
}

/// A task on its way to a thread.
pub(crate) struct Task {
    task: task::UnownedTask<BlockingSchedule>,
    mandatory: Mandatory,
}

/// Whether a task still in the queue at shutdown runs or is cancelled.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mandatory {
    Mandatory,
    NonMandatory,
}

/// Why a task was not accepted.
pub(crate) enum SpawnError {
    /// The pool is shut down. The task was cancelled.
    ShuttingDown,
    /// There is no thread and the system gives us none. The task was cancelled.
    NoThreads(io::Error),
}

impl From<SpawnError> for io::Error {
    fn from(error: SpawnError) -> Self {
        match error {
            SpawnError::ShuttingDown => io::Error::other("blocking pool shutting down"),
            SpawnError::NoThreads(error) => error,
        }
    }
}

impl Task {
    pub(crate) fn new(task: task::UnownedTask<BlockingSchedule>, mandatory: Mandatory) -> Task {
        Task { task, mandatory }
    }

    fn shutdown_or_run_if_mandatory(self) {
        match self.mandatory {
            Mandatory::NonMandatory => self.task.shutdown(),
            Mandatory::Mandatory => self.task.run(),
        }
    }
}

/// Runs `func` on the current runtime's pool; it may be cancelled by a shutdown.
#[track_caller]
pub(crate) fn spawn_blocking<F, R>(func: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    Handle::current().spawn_blocking(func)
}

/// Runs `func` on the current runtime's pool, come what may, unless the pool is shut down already
/// or has no thread: then this is `None`.
#[track_caller]
pub(crate) fn spawn_mandatory_blocking<F, R>(func: F) -> Option<JoinHandle<R>>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    let rt = Handle::current();
    rt.inner.blocking_spawner().spawn_mandatory_blocking(&rt, func)
}

// ===== impl BlockingPool =====

impl BlockingPool {
    pub(crate) fn new(builder: &Builder, thread_cap: usize, scheduler_threads: usize) -> BlockingPool {
        let (shutdown_tx, shutdown_rx) = shutdown::channel();
        let inner = Inner {
            shared: Mutex::new(Shared {
                queue: VecDeque::new(),
                num_notify: 0,
                shutdown_tx: Some(shutdown_tx),
                last_exiting_thread: None,
                worker_threads: HashMap::new(),
                next_thread_id: 0,
            }),
            condvar: Condvar::new(),
            thread_name: builder.thread_name.clone(),
            stack_size: builder.thread_stack_size,
            after_start: builder.after_start.clone(),
            before_stop: builder.before_stop.clone(),
            thread_cap,
            scheduler_threads,
            keep_alive: builder.keep_alive.unwrap_or(KEEP_ALIVE),
            counters: Counters::default(),
        };
        BlockingPool { spawner: Spawner { inner: Arc::new(inner) }, shutdown_rx, forgotten: false }
    }

    pub(crate) fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// Leaves the pool to the process that has its threads.
    pub(crate) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// Shuts the pool down (see the [module's steps](super)); a second call does nothing.
    pub(crate) fn shutdown(&mut self, timeout: Option<Duration>) {
        if self.forgotten {
            return;
        }
        // 1. Mark. 2. Wake.
        let mut shared = self.spawner.inner.shared.lock();
        if shared.shutdown_tx.take().is_none() {
            return;
        }
        let last_exited_thread = shared.last_exiting_thread.take();
        let workers = mem::take(&mut shared.worker_threads);
        drop(shared);
        self.spawner.inner.condvar.notify_all();

        // 3. and 4. Wait, then join. A thread's panic is the business of its hooks.
        if self.shutdown_rx.wait(timeout) {
            for handle in last_exited_thread.into_iter().chain(workers.into_values()) {
                let _ = handle.join();
            }
        }
    }
}

impl Drop for BlockingPool {
    fn drop(&mut self) {
        self.shutdown(None);
    }
}

impl fmt::Debug for BlockingPool {
    fn fmt(&self, fmt: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt.debug_struct("BlockingPool").finish()
    }
}

// ===== impl Spawner =====

impl Spawner {
    /// Runs `func` on the pool.
    ///
    /// After a shutdown the returned handle yields a cancellation.
    ///
    /// # Panics
    ///
    /// If there is no thread and the system refuses to start one.
    #[track_caller]
    pub(crate) fn spawn_blocking<F, R>(&self, rt: &Handle, func: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (join_handle, spawned) = self.spawn_auto_boxed(func, Mandatory::NonMandatory, rt);
        match spawned {
            Ok(()) | Err(SpawnError::ShuttingDown) => join_handle,
            Err(SpawnError::NoThreads(e)) => {
                panic!("OS can't spawn worker thread: {e}")
            }
        }
    }

    /// Runs `func` on the pool even if a shutdown begins in the meantime.
    #[track_caller]
    pub(crate) fn spawn_mandatory_blocking<F, R>(&self, rt: &Handle, func: F) -> Option<JoinHandle<R>>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let (join_handle, spawned) = self.spawn_auto_boxed(func, Mandatory::Mandatory, rt);
        spawned.is_ok().then_some(join_handle)
    }

    /// Large closures are boxed first, as large futures are.
    #[track_caller]
    fn spawn_auto_boxed<F, R>(
        &self,
        func: F,
        mandatory: Mandatory,
        rt: &Handle,
    ) -> (JoinHandle<R>, Result<(), SpawnError>)
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<F>::SHOULD_BOX {
            self.spawn_blocking_inner(Box::new(func), mandatory, meta, rt)
        } else {
            self.spawn_blocking_inner(func, mandatory, meta, rt)
        }
    }

    #[track_caller]
    pub(crate) fn spawn_blocking_inner<F, R>(
        &self,
        func: F,
        mandatory: Mandatory,
        meta: SpawnMeta<'_>,
        rt: &Handle,
    ) -> (JoinHandle<R>, Result<(), SpawnError>)
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        rt.inner.driver().assert_own();
        let id = task::Id::next();
        let (future, spawned_at) =
            trace::blocking_task(BlockingTask::new(func), Func::of::<F>(), meta, id.as_u64());
        let (task, handle) = task::unowned(future, BlockingSchedule::new(rt), id, spawned_at);
        let spawned = self.spawn_task(Task::new(task, mandatory), rt);
        (handle, spawned)
    }

    /// Queues the task and sees to it that a thread takes it.
    fn spawn_task(&self, task: Task, rt: &Handle) -> Result<(), SpawnError> {
        let inner = &*self.inner;
        let mut shared = inner.shared.lock();

        if shared.shutdown_tx.is_none() {
            drop(shared);
            // A mandatory task too: it came after the shutdown.
            task.task.shutdown();
            return Err(SpawnError::ShuttingDown);
        }

        shared.queue.push_back(task);
        inner.counters.queue_depth.fetch_add(1, Relaxed);

        if inner.counters.idle_threads.load(Relaxed) > 0 {
            // The thread counts as busy from here on, so that each notification finds a thread of
            // its own.
            inner.counters.idle_threads.fetch_sub(1, Relaxed);
            shared.num_notify += 1;
            drop(shared);
            inner.condvar.notify_one();
            return Ok(());
        }

        let Err(error) = self.start_thread(&mut shared, rt) else {
            return Ok(());
        };
        // Nobody will ever run it. We still hold the lock: the last one in the queue is ours.
        let task = inner.pop(&mut shared, VecDeque::pop_back);
        drop(shared);
        if let Some(task) = task {
            task.task.shutdown();
        }
        Err(SpawnError::NoThreads(error))
    }

    /// Starts one more thread if the limit allows it.
    ///
    /// An error means that no thread of the pool can take the task just queued.
    fn start_thread(&self, shared: &mut Shared, rt: &Handle) -> io::Result<()> {
        let inner = &*self.inner;
        if inner.counters.threads.load(Relaxed) == inner.thread_cap {
            return Ok(());
        }

        let id = shared.next_thread_id;
        let shutdown_tx = shared.shutdown_tx.clone();
        let rt = rt.clone();
        let mut builder = thread::Builder::new().name((inner.thread_name)());
        if let Some(stack_size) = inner.stack_size {
            builder = builder.stack_size(stack_size);
        }

        let started = builder.spawn(move || {
            let _enter = rt.enter();
            rt.inner.blocking_spawner().inner.run(id);
            drop(shutdown_tx);
        });

        match started {
            Ok(handle) => {
                inner.counters.threads.fetch_add(1, Relaxed);
                shared.next_thread_id += 1;
                shared.worker_threads.insert(id, handle);
                Ok(())
            }
            // EAGAIN: a limit that may be lifted soon. A busy thread takes the task later.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock && self.num_blocking_threads() > 0 => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// The number of threads, without the scheduler's own workers.
    pub(crate) fn num_blocking_threads(&self) -> usize {
        self.inner.counters.threads.load(Relaxed).saturating_sub(self.inner.scheduler_threads)
    }

    /// Are there functions that run or will?
    pub(crate) fn is_busy(&self) -> bool {
        self.num_blocking_threads() > self.num_idle_threads() || self.queue_depth() > 0
    }

    /// The number of threads that wait for work.
    pub(crate) fn num_idle_threads(&self) -> usize {
        self.inner.counters.idle_threads.load(Relaxed)
    }

    /// The number of tasks no thread has taken yet.
    pub(crate) fn queue_depth(&self) -> usize {
        self.inner.counters.queue_depth.load(Relaxed)
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, fmt: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt.debug_struct("blocking::Spawner").finish()
    }
}

// ===== a thread of the pool =====

/// Why an idle thread woke up.
enum Woken {
    Notified,
    Shutdown,
    TimedOut,
}

impl Inner {
    /// The life of a thread.
    fn run(&self, id: usize) {
        if let Some(after_start) = &self.after_start {
            after_start();
        }

        let ended_before = self.work(id);

        if let Some(before_stop) = &self.before_stop {
            before_stop();
        }

        if let Some(handle) = ended_before {
            let _ = handle.join();
        }
    }

    /// Runs tasks until there is none for the keep-alive time, or the pool is shut down. Returns
    /// the thread that this one must join.
    fn work(&self, id: usize) -> Option<thread::JoinHandle<()>> {
        let mut shared = self.shared.lock();
        loop {
            // Busy. Tasks that are queued when the shutdown begins run here too, if they come
            // before this thread goes idle.
            while let Some(task) = self.pop(&mut shared, VecDeque::pop_front) {
                drop(shared);
                task.task.run();
                shared = self.shared.lock();
            }

            // Idle.
            self.counters.idle_threads.fetch_add(1, Relaxed);
            let (guard, woken) = self.wait(shared);
            shared = guard;

            let ended_before = match woken {
                // The spawner has taken this thread off the idle count.
                Woken::Notified => continue,
                Woken::TimedOut => {
                    let own = shared.worker_threads.remove(&id);
                    mem::replace(&mut shared.last_exiting_thread, own)
                }
                Woken::Shutdown => {
                    while let Some(task) = self.pop(&mut shared, VecDeque::pop_front) {
                        drop(shared);
                        task.shutdown_or_run_if_mandatory();
                        shared = self.shared.lock();
                    }
                    None
                }
            };

            self.counters.threads.fetch_sub(1, Relaxed);
            let idle = self.counters.idle_threads.fetch_sub(1, Relaxed);
            assert_ne!(idle, 0, "`num_idle_threads` underflowed on thread exit");
            return ended_before;
        }
    }

    /// Waits for a task, the end of the keep-alive time, or the shutdown.
    fn wait<'a>(&self, mut shared: MutexGuard<'a, Shared>) -> (MutexGuard<'a, Shared>, Woken) {
        while shared.shutdown_tx.is_some() {
            let (guard, timeout) =
                self.condvar.wait_timeout(shared, self.keep_alive).unwrap_or_else(PoisonError::into_inner);
            shared = guard;

            if shared.num_notify != 0 {
                shared.num_notify -= 1;
                return (shared, Woken::Notified);
            }
            if timeout.timed_out() && shared.shutdown_tx.is_some() {
                return (shared, Woken::TimedOut);
            }
        }
        (shared, Woken::Shutdown)
    }

    fn pop(&self, shared: &mut Shared, end: fn(&mut VecDeque<Task>) -> Option<Task>) -> Option<Task> {
        let task = end(&mut shared.queue)?;
        self.counters.queue_depth.fetch_sub(1, Relaxed);
        Some(task)
    }
}
