use crate::driver::RUNTIME_SHUTTING_DOWN_ERROR;
use crate::runtime::blocking::BlockingPool;
use crate::runtime::context::HostOwner;
use crate::runtime::scheduler::CurrentThread;
use crate::runtime::scheduler::MultiThread;
use crate::runtime::task::{Id as TaskId, JoinHandle};
use crate::runtime::{AutoBox, EnterGuard, Handle, RuntimeMetrics, context};
use crate::util::leaf;
use crate::util::trace::{self, SpawnMeta};

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

/// A runtime: scheduler, I/O and time drivers, and a pool of threads for blocking work.
///
/// Made by [`Runtime::new`], by a [`Builder`], or by the attribute `#[tokio::main]`.
///
/// ```
/// use tokio::runtime::Runtime;
///
/// let rt = Runtime::new().unwrap();
/// let answer = rt.block_on(async { tokio::spawn(async { 42 }).await.unwrap() });
/// assert_eq!(answer, 42);
/// ```
///
/// # Shutdown
///
/// Dropping the runtime, or calling [`shutdown_timeout`] or [`shutdown_background`]:
///
/// 1. No new task is accepted; a spawned one is cancelled at once.
/// 2. Each worker finishes the poll it is in. No task is polled again.
/// 3. All tasks are dropped, and with them their sockets and timers.
/// 4. Drivers stop: what a ring still has in flight is cancelled and reaped. I/O types that
///    live on elsewhere return errors from now on.
/// 5. Worker threads end. Blocking work that has begun runs to its end; what waits in the
///    queue is dropped.
///
/// Dropping waits for all of it, however long the blocking work takes; the two methods limit
/// the wait, and what is not done by then goes on in its threads, which end by themselves.
///
/// Waiting is not allowed in asynchronous code: dropping a runtime there panics, while
/// [`shutdown_background`] works.
///
/// # Sharing
///
/// A [`Handle`] reaches the runtime without keeping it alive, an `Arc<Runtime>` keeps it
/// alive, and [`enter`](Runtime::enter) makes it the current runtime of a thread.
///
/// [`Builder`]: crate::runtime::Builder
/// [`shutdown_background`]: Runtime::shutdown_background
/// [`shutdown_timeout`]: Runtime::shutdown_timeout
pub struct Runtime {
    scheduler: Scheduler,
    handle: Handle,
    /// Last, because dropping it waits for the threads the scheduler has told to end.
    blocking_pool: BlockingPool,
    /// After it: tasks of ours are gone before those of third-party crates.
    host: HostOwner,
}

/// The kind of a runtime's scheduler, see [`Handle::runtime_flavor`].
#[derive(Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuntimeFlavor {
    /// All tasks run on the thread that calls [`Runtime::block_on`].
    CurrentThread,
    /// Tasks run on worker threads.
    MultiThread,
}

#[derive(Debug)]
pub(super) enum Scheduler {
    CurrentThread(CurrentThread),
    MultiThread(MultiThread),
}

impl Runtime {
    pub(super) fn from_parts(scheduler: Scheduler, handle: Handle, blocking_pool: BlockingPool) -> Runtime {
        let host = HostOwner::new(&handle.inner);
        Runtime { scheduler, handle, blocking_pool, host }
    }

    /// Builds a multi-thread runtime with all drivers enabled and default settings.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses what the runtime needs, such as a ring or a descriptor.
    #[cfg(feature = "rt-multi-thread")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rt-multi-thread")))]
    pub fn new() -> io::Result<Runtime> {
        crate::runtime::Builder::new_multi_thread().enable_all().build()
    }

    /// The handle of this runtime; clone it to reach the runtime from elsewhere.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts `future` as a task of the runtime.
    ///
    /// On a multi-thread runtime it starts to run at once; on a `current_thread` runtime it
    /// runs while some thread is in [`block_on`](Runtime::block_on).
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.handle.spawn(future)
    }

    /// Runs `func` on a thread where it may block.
    ///
    /// # Panics
    ///
    /// Panics if a thread is needed, there is none yet, and the system refuses to start one.
    #[track_caller]
    pub fn spawn_blocking<F, R>(&self, func: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        self.handle.spawn_blocking(func)
    }

    /// Runs `future` on this thread until it is complete and returns its output.
    ///
    /// On a `current_thread` runtime this is what drives tasks, I/O and timers. Several
    /// threads may call it at once: one of them drives, and when its future is done another
    /// one takes over. Tasks pause between two calls. On a multi-thread runtime tasks run on
    /// the workers, only `future` itself runs here.
    ///
    /// # Panics
    ///
    /// Panics if `future` does, or if called from asynchronous code: there, await the future.
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
        match &self.scheduler {
            Scheduler::CurrentThread(exec) => exec.block_on(&self.handle.inner, future),
            Scheduler::MultiThread(exec) => exec.block_on(&self.handle.inner, future),
        }
    }

    /// Makes this runtime the current one of this thread until the guard is dropped; see
    /// [`Handle::enter`].
    ///
    /// ```
    /// use tokio::runtime::Runtime;
    ///
    /// let rt = Runtime::new().unwrap();
    /// let _guard = rt.enter();
    /// let task = tokio::spawn(async { "spawned without block_on" });
    /// # rt.block_on(task).unwrap();
    /// ```
    pub fn enter(&self) -> EnterGuard<'_> {
        self.handle.enter()
    }

    /// Shuts the runtime down and waits at most `duration` for its threads.
    ///
    /// See [Shutdown](Runtime#shutdown).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::runtime::Runtime;
    ///
    /// let rt = Runtime::new().unwrap();
    /// rt.spawn_blocking(|| std::thread::sleep(Duration::from_secs(1)));
    /// rt.shutdown_timeout(Duration::from_millis(10));
    /// ```
    ///
    /// # Panics
    ///
    /// Panics in asynchronous code, unless `duration` is zero.
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

    /// Shuts the runtime down without waiting for its threads, so it works in asynchronous
    /// code too. The same as [`shutdown_timeout`](Runtime::shutdown_timeout) with zero.
    ///
    /// See [Shutdown](Runtime#shutdown).
    pub fn shutdown_background(self) {
        self.shutdown_timeout(Duration::ZERO);
    }

    /// A live view of the runtime's counters.
    pub fn metrics(&self) -> RuntimeMetrics {
        self.handle.metrics()
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As Tokio prints it.
        f.debug_struct("Runtime")
            .field("scheduler", &self.scheduler)
            .field("handle", &self.handle)
            .field("blocking_pool", &self.blocking_pool)
            .finish()
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.handle.inner.driver().is_inherited() {
            // In the child of a fork: there are no threads to end, and tasks and descriptors are
            // the parent's to shut down.
            return self.blocking_pool.forget();
        }
        match &mut self.scheduler {
            Scheduler::CurrentThread(exec) => {
                // Tasks are dropped on this thread, and their destructors may want to find
                // their runtime. While a thread ends there is no context to enter.
                let _guard = context::try_set_current(&self.handle.inner);
                exec.shutdown(&self.handle.inner);
                self.host.see_to(self.blocking_pool.spawner());
            }
            // Here the workers drop the tasks, in context anyway.
            Scheduler::MultiThread(exec) => exec.shutdown(&self.handle.inner),
        }
    }
}

// See `Handle`.
impl std::panic::UnwindSafe for Runtime {}
impl std::panic::RefUnwindSafe for Runtime {}

/// Whether an I/O error says that the runtime of the I/O type was shut down.
///
/// ```
/// use std::io;
///
/// let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
/// assert!(!tokio::runtime::is_rt_shutdown_err(&refused));
/// ```
pub fn is_rt_shutdown_err(err: &io::Error) -> bool {
    err.kind() == io::ErrorKind::Other
        && err
            .get_ref()
            .is_some_and(|inner| inner.source().is_none() && inner.to_string() == RUNTIME_SHUTTING_DOWN_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_text_is_a_shutdown_error() {
        let ours = io::Error::other(RUNTIME_SHUTTING_DOWN_ERROR);
        assert!(is_rt_shutdown_err(&ours));

        let longer = io::Error::other(format!("{RUNTIME_SHUTTING_DOWN_ERROR}!"));
        assert!(!is_rt_shutdown_err(&longer));

        let other_kind = io::Error::new(io::ErrorKind::BrokenPipe, RUNTIME_SHUTTING_DOWN_ERROR);
        assert!(!is_rt_shutdown_err(&other_kind));

        assert!(!is_rt_shutdown_err(&io::Error::from_raw_os_error(libc::EIO)));
    }
}
