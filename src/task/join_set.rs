//! Many tasks, awaited in the order they end.
//!
//! The set holds the [`JoinHandle`]s. Each task gets a join waker of its own, a [`Member`],
//! which puts itself into the queue of the ready ones and wakes who awaits the set; so the
//! set polls a handle only when there is something to find.

#[cfg(all(tokio_unstable, feature = "tracing"))]
mod builder;
#[cfg(all(tokio_unstable, feature = "tracing"))]
#[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "tracing"))))]
pub use builder::Builder;

use crate::loom::sync::Mutex;
use crate::runtime::Handle;
use crate::task::{AbortHandle, Id, JoinError, JoinHandle, LocalSet};
use crate::upstream::task::coop::unconstrained;

use slab::Slab;

use std::any::Any;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Wake, Waker};
use std::{fmt, mem, panic};

/// Many tasks with the same type of output, awaited in the order they end.
///
/// Dropping the set aborts all its tasks.
///
/// ```
/// use tokio::task::JoinSet;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut squares = JoinSet::new();
/// for i in 1..=3u32 {
///     squares.spawn(async move { i * i });
/// }
///
/// let mut sum = 0;
/// while let Some(square) = squares.join_next().await {
///     sum += square.unwrap();
/// }
/// assert_eq!(sum, 14);
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
pub struct JoinSet<T> {
    tasks: Slab<Entry<T>>,
    shared: Arc<Shared>,
    /// Neither `UnwindSafe` nor `RefUnwindSafe`, as in Tokio: it may hold wakers of anybody's.
    _not_unwind_safe: PhantomData<Box<dyn Any + Send + Sync>>,
}

/// A task of the set.
struct Entry<T> {
    join: JoinHandle<T>,
    member: Arc<Member>,
}

/// A task's join waker: its place in the set.
struct Member {
    shared: Arc<Shared>,
    key: usize,
    /// `IDLE`, `READY` or `GONE`. Used under the lock of `Shared` only.
    place: AtomicU8,
}

/// Nothing has happened to the task since its handle was polled.
const IDLE: u8 = 0;

/// The task is in the queue of the ready ones.
const READY: u8 = 1;

/// The task is no longer in the set, and its key may be another's.
const GONE: u8 = 2;

/// What wakers reach.
struct Shared(Mutex<Ready>);

struct Ready {
    queue: VecDeque<Arc<Member>>,
    /// Who awaits the set, until it is woken.
    waker: Option<Waker>,
}

impl Wake for Member {
    fn wake(self: Arc<Self>) {
        let mut ready = self.shared.0.lock();
        if self.place.load(Relaxed) != IDLE {
            return;
        }
        self.place.store(READY, Relaxed);
        ready.queue.push_back(Arc::clone(&self));
        let waker = ready.waker.take();
        drop(ready);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Shared {
    /// Sets who is woken when a task becomes ready, and returns who was before, to be dropped
    /// when the caller is done: like all code of the user not under the lock, and not in the
    /// middle of a poll either, whose result it might change.
    fn register(&self, waker: &Waker) -> Option<Waker> {
        let current = |ready: &Ready| ready.waker.as_ref().is_some_and(|w| w.will_wake(waker));
        if !current(&self.0.lock()) {
            let waker = waker.clone();
            self.0.lock().waker.replace(waker)
        } else {
            None
        }
    }

    /// Takes the first ready task; from now on it may become ready again.
    fn pop(&self) -> Option<Arc<Member>> {
        let mut ready = self.0.lock();
        loop {
            let member = ready.queue.pop_front()?;
            if member.place.load(Relaxed) == READY {
                member.place.store(IDLE, Relaxed);
                return Some(member);
            }
        }
    }
}

impl<T> JoinSet<T> {
    /// An empty set.
    pub fn new() -> JoinSet<T> {
        let ready = Ready { queue: VecDeque::new(), waker: None };
        JoinSet {
            tasks: Slab::new(),
            shared: Arc::new(Shared(Mutex::new(ready))),
            _not_unwind_safe: PhantomData,
        }
    }

    /// How many tasks are in the set, those that have ended but were not taken out included.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Are there no tasks in the set?
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Empties the set, without aborting.
    fn take(&mut self) -> Slab<Entry<T>> {
        let tasks = mem::take(&mut self.tasks);
        let mut ready = self.shared.0.lock();
        for (_, entry) in &tasks {
            entry.member.place.store(GONE, Relaxed);
        }
        // The members in the queue refer to `shared`, which refers to the queue.
        let queue = mem::take(&mut ready.queue);
        drop(ready);
        drop(queue);
        tasks
    }
}

impl<T: 'static> JoinSet<T> {
    /// Settings for a task that is to be spawned on the set.
    ///
    /// This is an unstable API: only with `--cfg tokio_unstable`, and it may change.
    #[cfg(all(tokio_unstable, feature = "tracing"))]
    #[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "tracing"))))]
    pub fn build_task(&mut self) -> Builder<'_, T> {
        Builder { joinset: self, builder: super::Builder::new() }
    }

    /// Spawns a task on the current runtime, like [`spawn`](crate::task::spawn), and puts it
    /// into the set.
    ///
    /// # Panics
    ///
    /// Outside of a runtime.
    #[track_caller]
    pub fn spawn<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T>,
        F: Send + 'static,
        T: Send,
    {
        self.insert(crate::task::spawn(task))
    }

    /// Spawns a task on a given runtime, like [`Handle::spawn`], and puts it into the set.
    #[track_caller]
    pub fn spawn_on<F>(&mut self, task: F, handle: &Handle) -> AbortHandle
    where
        F: Future<Output = T>,
        F: Send + 'static,
        T: Send,
    {
        self.insert(handle.spawn(task))
    }

    /// Spawns a task on the current [`LocalSet`] or
    /// [`LocalRuntime`](crate::runtime::LocalRuntime), like
    /// [`spawn_local`](crate::task::spawn_local), and puts it into the set.
    ///
    /// # Panics
    ///
    /// Outside of both.
    #[track_caller]
    pub fn spawn_local<F>(&mut self, task: F) -> AbortHandle
    where
        F: Future<Output = T>,
        F: 'static,
    {
        self.insert(crate::task::spawn_local(task))
    }

    /// Spawns a task on a given [`LocalSet`], like [`LocalSet::spawn_local`], and puts it into
    /// the set. The `LocalSet` need not be running; the task runs when it does.
    #[track_caller]
    pub fn spawn_local_on<F>(&mut self, task: F, local_set: &LocalSet) -> AbortHandle
    where
        F: Future<Output = T>,
        F: 'static,
    {
        self.insert(local_set.spawn_local(task))
    }

    /// Runs a function on a thread where it may block, like
    /// [`spawn_blocking`](crate::task::spawn_blocking), and puts it into the set.
    ///
    /// ```
    /// use tokio::task::JoinSet;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut set = JoinSet::new();
    /// set.spawn_blocking(|| std::thread::current().id());
    /// assert_ne!(set.join_next().await.unwrap().unwrap(), std::thread::current().id());
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and if there is no thread and the system refuses to start one.
    #[track_caller]
    pub fn spawn_blocking<F>(&mut self, f: F) -> AbortHandle
    where
        F: FnOnce() -> T,
        F: Send + 'static,
        T: Send,
    {
        self.insert(crate::task::spawn_blocking(f))
    }

    /// Runs a function on a thread of a given runtime where it may block, like
    /// [`Handle::spawn_blocking`], and puts it into the set.
    ///
    /// # Panics
    ///
    /// If there is no thread and the system refuses to start one.
    #[track_caller]
    pub fn spawn_blocking_on<F>(&mut self, f: F, handle: &Handle) -> AbortHandle
    where
        F: FnOnce() -> T,
        F: Send + 'static,
        T: Send,
    {
        self.insert(handle.spawn_blocking(f))
    }

    fn insert(&mut self, mut join: JoinHandle<T>) -> AbortHandle {
        let abort = join.abort_handle();
        let slot = self.tasks.vacant_entry();
        let member = Arc::new(Member {
            shared: Arc::clone(&self.shared),
            key: slot.key(),
            place: AtomicU8::new(IDLE),
        });
        let waker = Waker::from(Arc::clone(&member));
        join.set_join_waker(&waker);
        slot.insert(Entry { join, member });
        abort
    }

    /// Waits for the next task to end and returns its output; `None` if the set is empty.
    ///
    /// # Errors
    ///
    /// If the task panicked or was cancelled.
    ///
    /// # Cancel safety
    ///
    /// This is cancel safe: a task leaves the set only when its output is returned.
    pub async fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        poll_fn(|cx| self.poll_join_next(cx)).await
    }

    /// Waits for the next task to end and returns its id and output; `None` if the set is
    /// empty.
    ///
    /// # Errors
    ///
    /// If the task panicked or was cancelled. Its id is in the error.
    ///
    /// # Cancel safety
    ///
    /// This is cancel safe: a task leaves the set only when its output is returned.
    pub async fn join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        poll_fn(|cx| self.poll_join_next_with_id(cx)).await
    }

    /// Returns the output of a task that has ended; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// If the task panicked or was cancelled.
    pub fn try_join_next(&mut self) -> Option<Result<T, JoinError>> {
        Some(self.try_take()?.1)
    }

    /// Returns the id and output of a task that has ended; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// If the task panicked or was cancelled. Its id is in the error.
    pub fn try_join_next_with_id(&mut self) -> Option<Result<(Id, T), JoinError>> {
        self.try_take().map(with_id)
    }

    /// Aborts all tasks and waits until they have ended, whatever their results. The set is
    /// empty then.
    ///
    /// # Cancel safety
    ///
    /// If this is dropped, all tasks have been aborted, and those that have not ended yet are
    /// still in the set.
    pub async fn shutdown(&mut self) {
        self.abort_all();
        while self.join_next().await.is_some() {}
    }

    /// Waits for all tasks and returns their outputs in the order they ended.
    ///
    /// # Panics
    ///
    /// If a task panicked, with its panic, or was cancelled. The remaining tasks are aborted
    /// then. [`join_next`](JoinSet::join_next) reports errors instead.
    ///
    /// ```
    /// use tokio::task::JoinSet;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let set: JoinSet<_> = [3, 1, 2].map(async |i| i).into_iter().collect();
    /// let mut all = set.join_all().await;
    /// all.sort();
    /// assert_eq!(all, [1, 2, 3]);
    /// # }
    /// ```
    pub async fn join_all(mut self) -> Vec<T> {
        let mut outputs = Vec::with_capacity(self.len());
        while let Some(result) = self.join_next().await {
            match result {
                Ok(output) => outputs.push(output),
                Err(error) if error.is_panic() => panic::resume_unwind(error.into_panic()),
                Err(error) => panic!("{error}"),
            }
        }
        outputs
    }

    /// Asks for all tasks to be cancelled. They stay in the set:
    /// [`join_next`](JoinSet::join_next) tells when each has ended.
    pub fn abort_all(&mut self) {
        for (_, entry) in &self.tasks {
            entry.join.abort();
        }
    }

    /// Removes all tasks from the set. They go on without it.
    pub fn detach_all(&mut self) {
        drop(self.take());
    }

    /// Polls for the next task to end.
    ///
    /// - `Ready(Some(result))`: a task has ended and is no longer in the set.
    /// - `Ready(None)`: the set is empty.
    /// - `Pending`: no task has ended, or the task that polls has used its
    ///   [budget](crate::task::coop) up. The waker of the latest call will be woken.
    pub fn poll_join_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, JoinError>>> {
        self.poll_take(cx).map(|taken| Some(taken?.1))
    }

    /// Polls for the next task to end, like [`poll_join_next`](JoinSet::poll_join_next), and
    /// returns its id, too. That of a task without an output is in the error.
    pub fn poll_join_next_with_id(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(Id, T), JoinError>>> {
        self.poll_take(cx).map(|taken| taken.map(with_id))
    }

    /// Takes out a task that has ended.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<(Id, Result<T, JoinError>)>> {
        if self.is_empty() {
            return Poll::Ready(None);
        }
        // First, so that whatever becomes ready after `pop` wakes it.
        let replaced = self.shared.register(cx.waker());
        let member = self.shared.pop();
        drop(replaced);
        let Some(member) = member else {
            return Poll::Pending;
        };

        let join = &mut self.tasks[member.key].join;
        let waker = Waker::from(Arc::clone(&member));
        match Pin::new(join).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => Poll::Ready(Some((self.remove(&member), result))),
            Poll::Pending => {
                // A handle wakes without being ready only if there is no budget left.
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Takes out a task that has ended, if there is one. Not a future and so not subject to
    /// the budget.
    fn try_take(&mut self) -> Option<(Id, Result<T, JoinError>)> {
        if self.is_empty() {
            return None;
        }
        loop {
            let member = self.shared.pop()?;
            let join = &mut self.tasks[member.key].join;
            let waker = Waker::from(Arc::clone(&member));
            let polled = Pin::new(&mut unconstrained(join)).poll(&mut Context::from_waker(&waker));
            if let Poll::Ready(result) = polled {
                return Some((self.remove(&member), result));
            }
        }
    }

    /// Removes a task from the set and returns its id.
    fn remove(&mut self, member: &Member) -> Id {
        {
            let _ready = self.shared.0.lock();
            member.place.store(GONE, Relaxed);
        }
        self.tasks.remove(member.key).join.id()
    }
}

fn with_id<T>((id, result): (Id, Result<T, JoinError>)) -> Result<(Id, T), JoinError> {
    result.map(|output| (id, output))
}

impl<T> Drop for JoinSet<T> {
    fn drop(&mut self) {
        for (_, entry) in self.take() {
            entry.join.abort();
        }
    }
}

impl<T> fmt::Debug for JoinSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinSet").field("len", &self.len()).finish()
    }
}

impl<T> Default for JoinSet<T> {
    fn default() -> JoinSet<T> {
        JoinSet::new()
    }
}

/// Spawns all futures of an iterator on the current runtime, and collects the tasks.
///
/// # Panics
///
/// Outside of a runtime.
impl<T, F> FromIterator<F> for JoinSet<T>
where
    F: Future<Output = T>,
    F: Send + 'static,
    T: Send + 'static,
{
    fn from_iter<I: IntoIterator<Item = F>>(futures: I) -> JoinSet<T> {
        let mut set = JoinSet::new();
        set.extend(futures);
        set
    }
}

/// Spawns all futures of an iterator on the current runtime, and puts the tasks into the set.
///
/// # Panics
///
/// Outside of a runtime.
impl<T, F> Extend<F> for JoinSet<T>
where
    F: Future<Output = T>,
    F: Send + 'static,
    T: Send + 'static,
{
    fn extend<I: IntoIterator<Item = F>>(&mut self, futures: I) {
        for future in futures {
            self.spawn(future);
        }
    }
}

#[cfg(all(test, not(spargio_loom)))]
mod tests;
