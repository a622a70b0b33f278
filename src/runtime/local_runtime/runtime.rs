//! The public type.
//!
//! # Safety
//!
//! `spawn_local` promises the scheduler that the task stays on the thread that owns the runtime.
//! It does: a `LocalRuntime` is neither `Send` nor `Sync`, so it is that thread that calls the
//! method, drives the runtime, and drops it.

#![allow(unsafe_code)]

use crate::runtime::blocking::BlockingPool;
use crate::runtime::context::HostOwner;
use crate::runtime::scheduler::CurrentThread;
use crate::runtime::task::{Id as TaskId, JoinHandle};
use crate::runtime::{AutoBox, Builder, EnterGuard, Handle, RuntimeMetrics, context};
use crate::util::leaf;
use crate::util::trace::{self, SpawnMeta};

use std::fmt;
use std::future::Future;
use std::io;
use std::marker::PhantomData;
use std::time::Duration;

/// A runtime for tasks that need not be `Send`.
///
/// It is a `current_thread` runtime that stays on the thread that built it: `spawn_local` works in
/// it without a [`LocalSet`](crate::task::LocalSet). Its [`Handle`] may go to other threads and
/// spawns `Send` tasks from there.
///
/// A `LocalSet` cannot be used inside a local runtime, and need not be.
///
/// ```
/// use std::rc::Rc;
/// use tokio::runtime::LocalRuntime;
/// use tokio::task;
///
/// let rt = LocalRuntime::new().unwrap();
/// let sum = rt.block_on(async {
///     let one = Rc::new(1);
///     let task = task::spawn_local({
///         let one = one.clone();
///         async move { *one + 1 }
///     });
///     *one + task.await.unwrap()
/// });
/// assert_eq!(sum, 3);
/// ```
///
/// # Shutdown
///
/// Dropping the runtime drops all its tasks, then waits for the functions that
/// [`spawn_blocking`](LocalRuntime::spawn_blocking) is running; this must not happen in
/// asynchronous code. [`shutdown_timeout`](LocalRuntime::shutdown_timeout) and
/// [`shutdown_background`](LocalRuntime::shutdown_background) do not wait that long.
pub struct LocalRuntime {
    scheduler: LocalRuntimeScheduler,
    handle: Handle,
    /// Dropped, and so waited for, after the scheduler was shut down.
    blocking_pool: BlockingPool,
    /// Dropped after it.
    host: HostOwner,
    /// Neither `Send` nor `Sync`.
    _phantom: PhantomData<*mut u8>,
}

/// The scheduler of a local runtime; there is one flavour.
#[derive(Debug)]
pub(crate) enum LocalRuntimeScheduler {
    CurrentThread(CurrentThread),
}

impl LocalRuntime {
    pub(crate) fn from_parts(
        scheduler: LocalRuntimeScheduler,
        handle: Handle,
        blocking_pool: BlockingPool,
    ) -> LocalRuntime {
        let host = HostOwner::new(&handle.inner);
        LocalRuntime { scheduler, handle, blocking_pool, host, _phantom: PhantomData }
    }

    /// Builds a runtime with all drivers and default settings; for others see
    /// [`Builder::build_local`].
    ///
    /// # Errors
    ///
    /// If the drivers cannot be set up.
    pub fn new() -> io::Result<LocalRuntime> {
        Builder::new_current_thread().enable_all().build_local(Default::default())
    }

    /// The runtime's handle. It may be cloned and sent to other threads, and then spawns only
    /// tasks that are `Send`.
    ///
    /// [`Handle::block_on`] does not drive this runtime.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Spawns a task, `Send` or not, which runs while the runtime is in
    /// [`block_on`](LocalRuntime::block_on).
    ///
    /// ```
    /// use tokio::runtime::LocalRuntime;
    ///
    /// let rt = LocalRuntime::new().unwrap();
    /// let task = rt.spawn_local(async { std::rc::Rc::new(7) });
    /// assert_eq!(*rt.block_on(task).unwrap(), 7);
    /// ```
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        // SAFETY: this runtime is a local one, and we are on the thread that owns it, because
        // `self` is neither `Send` nor `Sync`.
        unsafe {
            if AutoBox::<F>::SHOULD_BOX {
                self.handle.spawn_local_named(Box::pin(future), meta)
            } else {
                self.handle.spawn_local_named(future, meta)
            }
        }
    }

    /// Runs a function that may block on a thread of the runtime's blocking pool.
    ///
    /// # Panics
    ///
    /// If the pool has no thread and the system refuses to start one.
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, func: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(func)
    }

    /// Runs a future to its end on this thread, and the runtime's tasks meanwhile.
    ///
    /// # Panics
    ///
    /// If `future` panics, or if called in asynchronous code.
    #[track_caller]
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<F>::SHOULD_BOX {
            self.block_on_inner(Box::pin(future), meta)
        } else {
            self.block_on_inner(future, meta)
        }
    }

    #[track_caller]
    fn block_on_inner<F: Future>(&self, future: F, meta: SpawnMeta<'_>) -> F::Output {
        let (future, _) = trace::block_on(leaf::root(future), meta, TaskId::next);
        let LocalRuntimeScheduler::CurrentThread(scheduler) = &self.scheduler;
        scheduler.block_on(&self.handle.inner, future)
    }

    /// Makes this runtime the current one until the guard is dropped, so that sockets, timers and
    /// tasks can be made outside of [`block_on`](LocalRuntime::block_on).
    ///
    /// ```
    /// use tokio::runtime::LocalRuntime;
    ///
    /// let rt = LocalRuntime::new().unwrap();
    /// let task = {
    ///     let _guard = rt.enter();
    ///     tokio::task::spawn_local(async { "later" })
    /// };
    /// assert_eq!(rt.block_on(task).unwrap(), "later");
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Shuts the runtime down and waits at most `duration` for functions on the blocking pool. Those
    /// that take longer go on by themselves.
    pub fn shutdown_timeout(mut self, duration: Duration) {
        if self.handle.inner.driver().is_inherited() {
            return;
        }
        self.handle.inner.shutdown();
        if !duration.is_zero() {
            self.host.see_to(self.blocking_pool.spawner());
        }
        self.host.limit(duration);
        self.blocking_pool.shutdown(Some(duration));
    }

    /// Shuts the runtime down without waiting for functions on the blocking pool.
    ///
    /// Unlike a drop this is allowed in asynchronous code.
    ///
    /// ```
    /// use tokio::runtime::LocalRuntime;
    ///
    /// LocalRuntime::new().unwrap().block_on(async {
    ///     let inner = LocalRuntime::new().unwrap();
    ///     inner.shutdown_background();
    /// });
    /// ```
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }

    /// The runtime's counters.
    pub fn metrics(&self) -> RuntimeMetrics {
        self.handle.metrics()
    }
}

impl fmt::Debug for LocalRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As Tokio prints it.
        f.debug_struct("LocalRuntime")
            .field("scheduler", &self.scheduler)
            .field("handle", &self.handle)
            .field("blocking_pool", &self.blocking_pool)
            .field("_phantom", &self._phantom)
            .finish()
    }
}

impl Drop for LocalRuntime {
    fn drop(&mut self) {
        if self.handle.inner.driver().is_inherited() {
            // In the child of a fork: there are no threads to end, and tasks and descriptors are
            // the parent's to shut down.
            return self.blocking_pool.forget();
        }
        // Tasks are dropped in the runtime's context, where they may spawn in vain.
        let _guard = context::try_set_current(&self.handle.inner);
        let LocalRuntimeScheduler::CurrentThread(scheduler) = &mut self.scheduler;
        scheduler.shutdown(&self.handle.inner);
        self.host.see_to(self.blocking_pool.spawner());
    }
}

impl std::panic::UnwindSafe for LocalRuntime {}

impl std::panic::RefUnwindSafe for LocalRuntime {}
