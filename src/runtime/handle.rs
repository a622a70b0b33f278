//! Access to a runtime from anywhere.
//!
//! # Safety
//!
//! The only unsafe code is the promise that [`Handle::spawn_local_named`] passes on: its
//! caller is on the thread that owns the runtime.
#![allow(unsafe_code)]

use crate::driver::{CONTEXT_MISSING_ERROR, THREAD_LOCAL_DESTROYED_ERROR};
use crate::runtime::scheduler::current_thread;
use crate::runtime::task::{Id as TaskId, JoinHandle};
use crate::runtime::{AutoBox, Backend, Id, RuntimeFlavor, RuntimeMetrics, context, scheduler};
use crate::util::leaf;
use crate::util::trace::{self, SpawnMeta};

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;

/// A cheap, clonable reference to a runtime.
///
/// Lets any thread spawn tasks on the runtime or enter its context. A handle does not keep
/// the runtime alive: once the [`Runtime`] is dropped, spawned tasks are cancelled at once.
///
/// ```
/// use tokio::runtime::Runtime;
///
/// let rt = Runtime::new().unwrap();
/// let handle = rt.handle().clone();
/// let task = std::thread::spawn(move || handle.spawn(async { 7 })).join().unwrap();
/// assert_eq!(rt.block_on(task).unwrap(), 7);
/// ```
///
/// [`Runtime`]: crate::runtime::Runtime
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) inner: scheduler::Handle,
}

/// Keeps a runtime's context entered; leaves it when dropped.
///
/// Returned by [`Runtime::enter`] and [`Handle::enter`].
///
/// [`Runtime::enter`]: crate::runtime::Runtime::enter
#[derive(Debug)]
#[must_use = "Creating and dropping a guard does nothing"]
pub struct EnterGuard<'a> {
    _guard: context::SetCurrentGuard,
    _handle_lifetime: PhantomData<&'a Handle>,
}

impl Handle {
    /// Makes this runtime the current one of this thread until the guard is dropped, so that
    /// `tokio::spawn`, [`Handle::current`], timers and sockets use it.
    ///
    /// ```
    /// use tokio::runtime::{Handle, Runtime};
    ///
    /// let rt = Runtime::new().unwrap();
    /// let guard = rt.handle().enter();
    /// assert_eq!(Handle::current().id(), rt.handle().id());
    /// drop(guard);
    /// assert!(Handle::try_current().is_err());
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the thread is ending and its thread-local variables are gone. Guards must be
    /// dropped in the reverse order of their creation; dropping one too early panics.
    pub fn enter(&self) -> EnterGuard<'_> {
        let Some(guard) = context::try_set_current(&self.inner) else {
            panic!("{THREAD_LOCAL_DESTROYED_ERROR}");
        };
        EnterGuard { _guard: guard, _handle_lifetime: PhantomData }
    }

    /// The handle of the runtime this code runs in.
    ///
    /// # Panics
    ///
    /// Panics outside of a runtime, that is on a thread that neither belongs to a runtime nor
    /// has entered one. [`try_current`](Self::try_current) does not.
    #[track_caller]
    pub fn current() -> Handle {
        Handle { inner: scheduler::Handle::current() }
    }

    /// The handle of the runtime this code runs in.
    ///
    /// # Errors
    ///
    /// Fails outside of a runtime, see [`TryCurrentError`].
    pub fn try_current() -> Result<Handle, TryCurrentError> {
        context::with_current(|inner| Handle { inner: inner.clone() })
    }

    /// Starts `future` as a task of the runtime. It makes progress whether or not the
    /// returned handle is awaited.
    ///
    /// On a runtime that was shut down the task is cancelled without being polled.
    #[track_caller]
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<F>::SHOULD_BOX {
            self.spawn_named(Box::pin(future), meta)
        } else {
            self.spawn_named(future, meta)
        }
    }

    /// Runs `func` on a thread where it may block.
    ///
    /// ```
    /// use tokio::runtime::Runtime;
    ///
    /// let rt = Runtime::new().unwrap();
    /// let slow = rt.handle().spawn_blocking(|| std::fs::metadata("/proc/self").is_ok());
    /// assert!(rt.block_on(slow).unwrap());
    /// ```
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
        self.inner.blocking_spawner().spawn_blocking(self, func)
    }

    /// Runs `future` on this thread, inside the runtime's context, until it is complete.
    ///
    /// Unlike [`Runtime::block_on`], this never drives a `current_thread` runtime: I/O, timers
    /// and spawned tasks make progress only while another thread is in `Runtime::block_on`.
    ///
    /// Once the runtime is shut down, I/O types return errors and timers panic.
    ///
    /// # Panics
    ///
    /// Panics if `future` does, or if called from asynchronous code: there, await the future.
    /// Within `task::block_in_place` it is allowed.
    ///
    /// [`Runtime::block_on`]: crate::runtime::Runtime::block_on
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
        context::enter_runtime(&self.inner, true, |blocking| blocking.block_on(future))
    }

    #[track_caller]
    pub(crate) fn spawn_named<F>(&self, future: F, meta: SpawnMeta<'_>) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let id = TaskId::next();
        let (future, spawned_at) = trace::task(leaf::root(future), "task", meta, id.as_u64());
        self.inner.spawn(future, id, spawned_at)
    }

    /// Spawns a task that is not `Send` on a `LocalRuntime`.
    ///
    /// # Safety
    ///
    /// The runtime must be a `LocalRuntime`, and this thread must own it.
    #[track_caller]
    pub(crate) unsafe fn spawn_local_named<F>(&self, future: F, meta: SpawnMeta<'_>) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let handle = self.inner.as_current_thread();
        let id = TaskId::next();
        let (future, spawned_at) = trace::task(leaf::root(future), "task", meta, id.as_u64());
        // SAFETY: the caller makes the same promise to us.
        unsafe { current_thread::Handle::spawn_local(handle, future, id, spawned_at) }
    }

    /// Which kind of scheduler the runtime has.
    ///
    /// ```
    /// use tokio::runtime::{Builder, RuntimeFlavor};
    ///
    /// let rt = Builder::new_current_thread().build().unwrap();
    /// assert_eq!(rt.handle().runtime_flavor(), RuntimeFlavor::CurrentThread);
    /// ```
    pub fn runtime_flavor(&self) -> RuntimeFlavor {
        match self.inner {
            scheduler::Handle::CurrentThread(_) => RuntimeFlavor::CurrentThread,
            scheduler::Handle::MultiThread(_) => RuntimeFlavor::MultiThread,
        }
    }

    /// The runtime's [`Id`].
    pub fn id(&self) -> Id {
        Id::new(match &self.inner {
            scheduler::Handle::CurrentThread(handle) => handle.owned_id(),
            scheduler::Handle::MultiThread(handle) => handle.owned_id(),
        })
    }

    /// The runtime's name, if [`Builder::name`](crate::runtime::Builder::name) gave it one.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    ///
    /// let rt = Builder::new_current_thread().name("billing").build().unwrap();
    /// assert_eq!(rt.handle().name(), Some("billing"));
    /// ```
    pub fn name(&self) -> Option<&str> {
        match &self.inner {
            scheduler::Handle::CurrentThread(handle) => handle.name(),
            scheduler::Handle::MultiThread(handle) => handle.name(),
        }
    }

    /// What the runtime stands on: `io_uring`, or epoll where there are no rings to be had.
    ///
    /// Decided when the runtime is built, and the same as long as it lives. A runtime has rings
    /// unless the system refuses them (a container's seccomp profile, a kernel before 6.1, the sysctl
    /// `kernel.io_uring_disabled`, a limit on locked memory or descriptors that is used up); then it
    /// stands on epoll, and all works the same.
    ///
    /// The environment variable `SPARGIO_BACKEND` overrides that: with `epoll` a runtime does not
    /// ask for rings, with `io_uring` building it fails where there are none. Any other value is an
    /// error, too.
    ///
    /// The first time rings are refused to a process that did not ask for epoll, one line says so
    /// and why: an event of the crate `tracing`, if the feature `tracing` is on and there is a
    /// subscriber, else a line on the standard error output. With a subscriber the first choice is
    /// also told if it is any other.
    ///
    /// This method is not Tokio's.
    ///
    /// ```
    /// use tokio::runtime::{BackendKind, Runtime};
    ///
    /// let rt = Runtime::new().unwrap();
    /// let backend = rt.handle().backend();
    /// if backend.kind() == BackendKind::Epoll {
    ///     println!("not at full speed: {backend}");
    /// }
    /// ```
    pub fn backend(&self) -> Backend {
        self.inner.driver().choice().clone()
    }

    /// A live view of the runtime's counters.
    pub fn metrics(&self) -> RuntimeMetrics {
        RuntimeMetrics::new(self.clone())
    }
}

#[cfg(all(tokio_unstable, feature = "taskdump"))]
#[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "taskdump"))))]
impl Handle {
    /// Finds out what each task of the runtime waits for.
    ///
    /// Every task is polled once in a mode in which it only tells where it waits. All workers stop
    /// for that, each after the poll it is in the middle of; one that is stuck in a poll delays
    /// the dump. Tasks inside of `block_in_place` are left out, and so are those of a `LocalSet`
    /// and futures in `block_on`.
    ///
    /// A `current_thread` runtime dumps only on the thread that is in its `block_on`; elsewhere,
    /// and after the runtime was shut down, there is no task in the dump.
    ///
    /// ```
    /// use tokio::runtime::Handle;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let task = tokio::spawn(tokio::time::sleep(std::time::Duration::from_secs(100)));
    /// let dump = Handle::current().dump().await;
    /// for task in dump.tasks().iter() {
    ///     println!("task {} waits here:\n{}", task.id(), task.trace());
    /// }
    /// # assert!(dump.tasks().iter().any(|dumped| dumped.id() == task.id()));
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is harmless: the workers still stop once, for nothing.
    pub async fn dump(&self) -> crate::runtime::Dump {
        match &self.inner {
            scheduler::Handle::CurrentThread(handle) => handle.dump(),
            scheduler::Handle::MultiThread(handle) => handle.dump().await,
        }
    }

    /// Is this thread in tracing mode?
    #[doc(hidden)]
    pub fn is_tracing() -> bool {
        crate::upstream::dump::is_tracing()
    }
}

// A panic while the runtime is in use leaves no broken invariant behind: tasks catch panics
// and locks ignore poisoning.
impl std::panic::UnwindSafe for Handle {}
impl std::panic::RefUnwindSafe for Handle {}

/// Why [`Handle::try_current`] found no runtime.
#[derive(Debug)]
pub struct TryCurrentError {
    kind: TryCurrentErrorKind,
}

#[derive(Debug)]
enum TryCurrentErrorKind {
    NoContext,
    ForeignTask,
    ThreadLocalDestroyed,
}

/// [`CONTEXT_MISSING_ERROR`], and what to do about it.
const FOREIGN_TASK_ERROR: &str = "there is no reactor running, must be called from the context of a Tokio 1.x runtime: \
     this task was spawned by a crate that is bound to the published Tokio, on a thread of that one, and the \
     runtime of spargio that it belongs to is gone or was built without the feature `interop`. With \
     `[patch.crates-io]` (`cargo spargio adopt`) all crates of the program are on spargio";

impl TryCurrentError {
    pub(crate) fn new_no_context() -> TryCurrentError {
        TryCurrentError { kind: TryCurrentErrorKind::NoContext }
    }

    pub(crate) fn new_foreign_task() -> TryCurrentError {
        TryCurrentError { kind: TryCurrentErrorKind::ForeignTask }
    }

    pub(crate) fn new_thread_local_destroyed() -> TryCurrentError {
        TryCurrentError { kind: TryCurrentErrorKind::ThreadLocalDestroyed }
    }

    /// Whether this thread is outside of any runtime.
    pub fn is_missing_context(&self) -> bool {
        matches!(self.kind, TryCurrentErrorKind::NoContext | TryCurrentErrorKind::ForeignTask)
    }

    /// Whether this thread is ending and the variable that holds its context is gone already;
    /// seen only by destructors of other thread-local variables.
    pub fn is_thread_local_destroyed(&self) -> bool {
        matches!(self.kind, TryCurrentErrorKind::ThreadLocalDestroyed)
    }
}

impl fmt::Display for TryCurrentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            TryCurrentErrorKind::NoContext => CONTEXT_MISSING_ERROR,
            TryCurrentErrorKind::ForeignTask => FOREIGN_TASK_ERROR,
            TryCurrentErrorKind::ThreadLocalDestroyed => THREAD_LOCAL_DESTROYED_ERROR,
        })
    }
}

impl Error for TryCurrentError {}
