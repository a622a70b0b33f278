//! A scheduler for tasks that are not `Send`, inside a single future.
//!
//! # Protocol
//!
//! * A [`LocalSet`] belongs to the thread that made it, and so do its tasks: each is polled and
//!   dropped there. Wakers and `JoinHandle`s of the tasks may be anywhere.
//! * [`Shared`](shared::Shared) is what the wakers reach. Its [`Local`](shared::Local) part, the run queue and the list of tasks,
//!   opens on the owner's thread only; other threads use the remote queue.
//! * Tasks run in [`LocalSet::tick`], which a poll of the set, or of `run_until`, calls. A task
//!   scheduled at any other time wakes whoever polled the set last.
//! * [`CURRENT`](current::CURRENT) holds the set that the thread is in: because it is being polled, or through
//!   [`LocalSet::enter`].
//!
//! # Shutdown (drop)
//!
//! 1. The list of tasks is closed and each task in it is cancelled: its future is dropped.
//! 2. The run queue is drained. The tasks are cancelled; only references are left in it.
//! 3. The remote queue is closed and drained: later wake-ups from other threads do nothing.
//! 4. The waker of the last poll is dropped.
//!
//! # Safety
//!
//! A `LocalSet` is neither `Send` nor `Sync`: its methods run on the thread that owns its tasks.

#![allow(unsafe_code)]

mod current;
pub use current::LocalEnterGuard;
use current::{CURRENT, Current};

mod shared;
use shared::{Context, Local, Notified};

use crate::runtime::scheduler::{self, current_thread};
use crate::runtime::task::{self, JoinHandle};
use crate::runtime::{self, AutoBox, Runtime, context};
use crate::util::leaf;
use crate::util::trace::{self, SpawnMeta};

use pin_project_lite::pin_project;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
#[cfg(tokio_unstable)]
use std::sync::Arc;
use std::task::{Poll, Waker};

/// Tasks polled in one tick before the set yields to its surroundings.
const MAX_TASKS_PER_TICK: usize = 61;

/// Every so many tasks the remote queue comes first.
const REMOTE_FIRST_INTERVAL: u8 = 31;

/// A set of tasks that all run on the thread that made the set.
///
/// Futures spawned on it need not be `Send`. They run while the set itself is being awaited, which
/// ends when all of them are done, or while a future passed to [`run_until`](LocalSet::run_until)
/// or [`block_on`](LocalSet::block_on) is.
///
/// A set cannot move to another thread, so it cannot be used inside [`tokio::spawn`]: use it in
/// `#[tokio::main]` or `block_on`. To run such tasks on a thread of their own, start one, build a
/// `current_thread` runtime there, `block_on` a set, and send the work through a channel; or
/// use a [`LocalRuntime`](crate::runtime::LocalRuntime), which needs no set.
///
/// ```
/// use std::rc::Rc;
/// use tokio::task::{self, LocalSet};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let local = LocalSet::new();
/// let word = Rc::new("not Send");
///
/// let copy = word.clone();
/// local.spawn_local(async move { assert_eq!(*copy, "not Send") });
///
/// let length = local
///     .run_until(async { task::spawn_local(async move { word.len() }).await })
///     .await;
/// assert_eq!(length.unwrap(), 8);
///
/// local.await;
/// # }
/// ```
///
/// Dropping the set drops its tasks.
///
/// [`tokio::spawn`]: crate::task::spawn
pub struct LocalSet {
    tick: Cell<u8>,
    context: Rc<Context>,
    /// Neither `Send` nor `Sync`.
    _not_send: PhantomData<*const ()>,
}

/// Spawns a future, `Send` or not, on the current [`LocalSet`] or [`LocalRuntime`].
///
/// It runs on this thread, whether or not the returned handle is awaited, while the set or runtime
/// is running. [`tokio::spawn`] inside a `LocalSet` spawns on the runtime instead.
///
/// # Panics
///
/// Outside of both, and in the context of a `LocalRuntime` on another thread than its own.
///
/// ```
/// use std::rc::Rc;
/// use tokio::task::{self, LocalSet};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let answer = LocalSet::new()
///     .run_until(async {
///         let six = Rc::new(6);
///         task::spawn_local(async move { *six * 7 }).await.unwrap()
///     })
///     .await;
/// assert_eq!(answer, 42);
/// # }
/// ```
///
/// [`LocalRuntime`]: crate::runtime::LocalRuntime
/// [`tokio::spawn`]: crate::task::spawn
#[track_caller]
pub fn spawn_local<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let meta = SpawnMeta::new_unnamed(size_of::<F>());
    if AutoBox::<F>::SHOULD_BOX {
        spawn_local_inner(Box::pin(future), meta)
    } else {
        spawn_local_inner(future, meta)
    }
}

#[track_caller]
pub(super) fn spawn_local_inner<F>(future: F, meta: SpawnMeta<'_>) -> JoinHandle<F::Output>
where
    F: Future + 'static,
    F::Output: 'static,
{
    let local_runtime = context::with_current(|handle| match handle {
        scheduler::Handle::CurrentThread(inner) if handle.is_local() => {
            Some((inner.clone(), handle.can_spawn_local_on_local_runtime()))
        }
        _ => None,
    });

    match local_runtime {
        Ok(Some((handle, true))) => {
            let id = task::Id::next();
            let (future, spawned_at) = trace::task(leaf::root(future), "task", meta, id.as_u64());
            // SAFETY: this is the scheduler of a `LocalRuntime`, and this thread owns it.
            unsafe { current_thread::Handle::spawn_local(&handle, future, id, spawned_at) }
        }
        Ok(Some((_, false))) => panic!(
            "Local tasks can only be spawned on a LocalRuntime from the thread the runtime was created on"
        ),
        Ok(None) | Err(_) => match Current::get() {
            Some(context) => context.spawn(future, meta),
            None => panic!(
                "`spawn_local` called from outside of a `task::LocalSet` or `runtime::LocalRuntime`"
            ),
        },
    }
}

impl LocalSet {
    /// Makes an empty set, which belongs to this thread.
    pub fn new() -> LocalSet {
        LocalSet {
            tick: Cell::new(0),
            context: Rc::new(Context::new()),
            _not_send: PhantomData,
        }
    }

    /// Enters the set: until the guard is dropped, [`spawn_local`] spawns on it.
    ///
    /// The tasks do not run before the set is awaited, or `run_until` or `block_on` is called.
    ///
    /// ```
    /// use tokio::task::{self, LocalSet};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let local = LocalSet::new();
    /// let guard = local.enter();
    /// let task = task::spawn_local(async { 5 });
    /// drop(guard);
    /// local.await;
    /// assert_eq!(task.await.unwrap(), 5);
    /// # }
    /// ```
    pub fn enter(&self) -> LocalEnterGuard {
        LocalEnterGuard::new(self.context.clone())
    }

    /// Spawns a future on the set, also while the set is not running.
    ///
    /// It starts to run when the set does, whether or not the returned handle is awaited.
    #[track_caller]
    pub fn spawn_local<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<F>::SHOULD_BOX {
            self.spawn_named(Box::pin(future), meta)
        } else {
            self.spawn_named(future, meta)
        }
    }

    /// Runs a future to its end on `rt`, and the tasks of this set meanwhile.
    ///
    /// # Panics
    ///
    /// If `future` panics, or if called in asynchronous code. Inside the set
    /// [`block_in_place`](crate::task::block_in_place) panics too: use
    /// [`spawn_blocking`](crate::task::spawn_blocking).
    ///
    /// ```
    /// use tokio::runtime::Runtime;
    /// use tokio::task::{self, LocalSet};
    ///
    /// let rt = Runtime::new().unwrap();
    /// let local = LocalSet::new();
    /// let sum = local.block_on(&rt, async { task::spawn_local(async { 1 + 1 }).await });
    /// assert_eq!(sum.unwrap(), 2);
    /// ```
    #[track_caller]
    pub fn block_on<F>(&self, rt: &Runtime, future: F) -> F::Output
    where
        F: Future,
    {
        rt.block_on(self.run_until(future))
    }

    /// Runs a future to its end, and the tasks of this set meanwhile.
    ///
    /// Tasks that are not done by then stay in the set; they go on with the next `run_until`, or
    /// when the set is awaited.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe if `future` is.
    pub async fn run_until<F>(&self, future: F) -> F::Output
    where
        F: Future,
    {
        let run_until = RunUntil {
            local_set: self,
            future,
        };
        run_until.await
    }

    #[track_caller]
    pub(in crate::task) fn spawn_named<F>(
        &self,
        future: F,
        meta: SpawnMeta<'_>,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let handle = self.context.spawn(future, meta);
        // Whoever polls the set may not know yet that there is something to run.
        self.context.shared.waker.wake();
        handle
    }

    /// The set's id, different from that of any runtime or set that lives at the same time.
    pub fn id(&self) -> runtime::Id {
        runtime::Id::new(self.local().owned.id)
    }

    fn local(&self) -> &Local {
        // SAFETY: a `LocalSet` is neither `Send` nor `Sync`: we are on the thread that made it.
        unsafe { self.context.shared.local.get_unchecked() }
    }

    /// Runs tasks, each with a budget of its own. Returns whether there may be more of them ready.
    fn tick(&self, waker: &Waker) -> bool {
        context::nested_set(waker, || context::nested_budget(|| self.run_tasks()))
    }

    /// `true` if the set is to be polled again, after the runtime has looked at its driver.
    fn run_tasks(&self) -> bool {
        {
            let Local { queue, yielded, .. } = self.local();
            let mut yielded = yielded.borrow_mut();
            if !yielded.is_empty() {
                queue.borrow_mut().extend(yielded.drain(..));
            }
        }
        for _ in 0..MAX_TASKS_PER_TICK {
            assert!(
                !self.context.unhandled_panic.get(),
                "a spawned task panicked and the LocalSet is configured to shutdown on unhandled panic"
            );

            let Some(task) = self.next_task() else {
                return !self.local().yielded.borrow().is_empty();
            };
            let task = self.local().owned.assert_owner(task);
            context::budget(|| task.run());
        }
        true
    }

    fn next_task(&self) -> Option<Notified> {
        let tick = self.tick.get();
        self.tick.set(tick.wrapping_add(1));

        let local = || self.local().queue.borrow_mut().pop_front();
        let remote = || self.context.shared.remote.pop();
        if tick % REMOTE_FIRST_INTERVAL == 0 {
            remote().or_else(local)
        } else {
            local().or_else(remote)
        }
    }

    /// Calls `f` with this set as the current one; without, if the thread's locals are gone.
    fn with<R>(&self, f: impl FnOnce() -> R) -> R {
        let mut f = Some(f);
        let mut call = || f.take().map(|f| f());
        CURRENT
            .try_with(|current| {
                let _guard = current.enter(self.context.clone());
                call()
            })
            .unwrap_or_else(|_destroyed| call())
            .expect("called once")
    }
}

#[cfg(tokio_unstable)]
impl LocalSet {
    /// Sets what a panic in a task does to the set.
    ///
    /// By default it does nothing: the `JoinHandle` reports it. With
    /// [`UnhandledPanic::ShutdownRuntime`](runtime::UnhandledPanic) all other tasks are cancelled and
    /// every further poll of the set panics.
    ///
    /// # Panics
    ///
    /// If the set already has tasks or is running.
    pub fn unhandled_panic(&mut self, behavior: runtime::UnhandledPanic) -> &mut Self {
        Rc::get_mut(&mut self.context)
            .and_then(|cx| Arc::get_mut(&mut cx.shared))
            .expect("Unhandled Panic behavior modified after starting LocalSet")
            .unhandled_panic = behavior;
        self
    }
}

impl fmt::Debug for LocalSet {
    fn fmt(&self, fmt: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt.debug_struct("LocalSet").finish()
    }
}

impl Default for LocalSet {
    fn default() -> LocalSet {
        LocalSet::new()
    }
}

impl Future for LocalSet {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<()> {
        let _no_blocking = context::disallow_block_in_place();

        // Before the queues are looked at, so that a later wake-up is not lost.
        self.context.shared.waker.register(cx.waker());

        if self.with(|| self.tick(cx.waker())) {
            cx.waker().wake_by_ref();
            Poll::Pending
        } else if self.local().owned.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for LocalSet {
    fn drop(&mut self) {
        // The numbers are those of the module's documentation.
        self.with(|| {
            let _no_blocking = context::disallow_block_in_place();
            let local = self.local();

            // 1.
            local.owned.close_and_shutdown_all();

            // 2.
            let tasks = (mem::take(&mut *local.queue.borrow_mut()), mem::take(&mut *local.yielded.borrow_mut()));
            drop(tasks);

            // 3.
            let remote = &self.context.shared.remote;
            remote.close();
            while let Some(task) = remote.pop() {
                drop(task);
            }

            // 4.
            self.context.shared.waker.clear();

            assert!(local.owned.is_empty());
        });
    }
}

pin_project! {
    /// The future of [`LocalSet::run_until`].
    #[derive(Debug)]
    struct RunUntil<'a, F> {
        local_set: &'a LocalSet,
        #[pin]
        future: F,
    }
}

impl<F: Future> Future for RunUntil<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> Poll<F::Output> {
        let me = self.project();

        me.local_set.with(|| {
            me.local_set.context.shared.waker.register(cx.waker());
            let _no_blocking = context::disallow_block_in_place();

            if let Poll::Ready(output) = me.future.poll(cx) {
                return Poll::Ready(output);
            }
            if me.local_set.tick(cx.waker()) {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        })
    }
}
