//! Tasks: spawned futures, and the handles through which the rest of the crate and its users
//! reach them.
//!
//! # Who holds a task
//!
//! A task is one allocation with a reference count. Its references are:
//!
//! | type | held by | how many | permits |
//! |---|---|---|---|
//! | [`Task`] | the list of owned tasks | 0 or 1 | shutting down |
//! | [`Notified`] | a run queue | 0 or 1 | running, once [`OwnedTasks::assert_owner`] has made it a [`LocalNotified`] |
//! | [`JoinHandle`] | the user | 0 or 1 | the output, aborting |
//! | [`AbortHandle`] | the user | any | aborting |
//! | `Waker` | anybody | any | waking |
//! | [`UnownedTask`] | the blocking pool | instead of the first two | running, shutting down |
//!
//! # The protocol
//!
//! The state word ([`state`]) has six bits besides the count: `RUNNING COMPLETE NOTIFIED
//! JOIN_INTEREST JOIN_WAKER CANCELLED`. Who may touch which field follows from them:
//!
//! - **The stage** (future, then output). Until `COMPLETE`: whoever set `RUNNING`. After:
//!   the `JoinHandle`, or, if `JOIN_INTEREST` was clear at that moment, the thread that
//!   completed the task, which drops the output at once.
//! - **The join waker**. While `JOIN_WAKER` is clear: the `JoinHandle` may write. While it is
//!   set: the `JoinHandle` may read and, once `COMPLETE`, the completing thread too. Only the
//!   `JoinHandle` changes the bit before `COMPLETE`, only the completing thread afterwards:
//!   it clears the bit when it has woken the waker. Without `JOIN_INTEREST`, a waker that
//!   is still published belongs to the completing thread.
//! - **The links** of the owned list: that list, under its lock.
//! - Everything else is written before the task is shared and only read afterwards.
//!
//! # What happens
//!
//! 1. *Spawn*: the task is born `NOTIFIED`, with three references: list, `Notified`,
//!    `JoinHandle`.
//! 2. *Run*: `NOTIFIED` is exchanged for `RUNNING` and the future is polled. `Pending`:
//!    `RUNNING` is cleared and the reference of the `Notified` is spent; a wake-up during the
//!    poll has set `NOTIFIED`, and then the reference goes to a new `Notified` instead, which
//!    goes to the end of the queue.
//! 3. *Wake*: if the task is idle and not `NOTIFIED`, sets that and submits a `Notified`.
//!    Otherwise somebody else sees to it, or there is nothing left to do.
//! 4. *Abort*: like a wake-up, with `CANCELLED`. The future is dropped by its scheduler, where
//!    it would have been polled, not by who aborts.
//! 5. *Complete*: the future is dropped, its output stored, `RUNNING` exchanged for
//!    `COMPLETE`, the join waker woken; the task leaves the list. See `harness`.
//! 6. *Shutdown*: the scheduler closes the list and takes the tasks out one by one. An idle
//!    one is cancelled on the spot; a running one by the thread that runs it. `Notified`s
//!    left in queues are dropped, which only gives references back.
//!
//! After that, wakers and handles still point to valid memory, find `COMPLETE` and do
//! nothing, from whatever thread.
//!
//! # Panics of the user's code
//!
//! | where | what becomes of it |
//! |---|---|
//! | poll | the task's output: `JoinError`; the future is dropped during the unwinding |
//! | the future's destructor | the task's output, whether it was done or cancelled |
//! | the same, while a poll unwinds | swallowed |
//! | the output's destructor, `JoinHandle` dropped | swallowed |
//! | waking or dropping the join waker at completion, hooks | swallowed |
//! | cloning or dropping a waker in a poll of the `JoinHandle` | passed on to the poller |
//! | the future's destructor of a task that never ran and is not in any list | passed on to who drops the last reference |
//!
//! # Safety
//!
//! Futures that are not `Send` are bound to a [`LocalOwnedTasks`], which can't leave its
//! thread: the future is polled through its `assert_owner` or dropped by its shutdown, and if
//! neither happens, the list leaks it together with the reference it holds. A `JoinHandle` of
//! an output that is not `Send` can't leave the thread either, and it, or the completing
//! thread, is the one to drop that output. So wakers, which may be anywhere, never drop either
//! with the memory.
#![allow(unsafe_code)]

mod abort;
pub use abort::AbortHandle;

mod core;

mod error;
pub use error::JoinError;

mod harness;

mod id;
pub use id::{Id, id, try_id};

mod join;
pub use join::JoinHandle;

mod list;
pub(crate) use list::{LocalOwnedTasks, OwnedTasks};

mod raw;
use raw::RawTask;

mod spawn_location;
pub(crate) use spawn_location::SpawnLocation;

mod state;
mod waker;
#[cfg(feature = "fs")]
pub(crate) use waker::is_waker_of;

#[cfg(test)]
mod tests;

use crate::runtime::{ScheduledAt, TaskCallback};

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::mem;
use std::ptr::NonNull;
#[cfg(tokio_unstable)]
use std::time::Duration;

/// What comes out of a task.
pub(crate) type Result<T> = std::result::Result<T, JoinError>;

/// What a task needs from the scheduler it belongs to.
pub(crate) trait Schedule: Sync + Sized + 'static {
    /// The task is complete: takes it out of the list of owned tasks and returns it, or
    /// `None` if it is not there.
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>>;

    /// Queues a task that was woken.
    fn schedule(&self, task: Notified<Self>);

    /// The user's hooks for this task.
    #[cfg_attr(not(tokio_unstable), allow(dead_code))]
    fn hooks(&self) -> TaskHarnessScheduleHooks;

    /// Queues a task that was woken while it was running, behind the others.
    fn yield_now(&self, task: Notified<Self>) {
        self.schedule(task);
    }

    /// A poll has panicked. For schedulers that shut down then.
    fn unhandled_panic(&self) {}
}

/// The hooks a task calls by itself.
#[derive(Clone)]
pub(crate) struct TaskHarnessScheduleHooks {
    #[cfg_attr(not(tokio_unstable), allow(dead_code))]
    pub(crate) task_terminate_callback: Option<TaskCallback>,
}

/// A task, owned by the list it is in.
#[repr(transparent)]
pub(crate) struct Task<S: 'static> {
    raw: RawTask,
    _scheduler: PhantomData<S>,
}

// SAFETY: to touch the future one needs `LocalNotified` or `shutdown`, see the module
// documentation; the rest is the state word.
unsafe impl<S> Send for Task<S> {}
// SAFETY: as above.
unsafe impl<S> Sync for Task<S> {}

/// A task that was woken and shall run. There is at most one per task.
#[repr(transparent)]
pub(crate) struct Notified<S: 'static>(Task<S>);

/// A task that shall run, on a thread where it may.
#[repr(transparent)]
pub(crate) struct LocalNotified<S: 'static> {
    task: Task<S>,
    _not_send: PhantomData<*const ()>,
}

/// A task that is in no list, like those of the blocking pool. Holds two references.
pub(crate) struct UnownedTask<S: 'static> {
    raw: RawTask,
    _scheduler: PhantomData<S>,
}

// SAFETY: only made of futures that are `Send`.
unsafe impl<S> Send for UnownedTask<S> {}
// SAFETY: as above.
unsafe impl<S> Sync for UnownedTask<S> {}

/// Makes a task. The caller binds it to a list.
fn new_task<F, S>(
    future: F,
    scheduler: S,
    id: Id,
    spawned_at: SpawnLocation,
) -> (Task<S>, Notified<S>, JoinHandle<F::Output>)
where
    S: Schedule,
    F: Future + 'static,
    F::Output: 'static,
{
    let raw = RawTask::new(future, scheduler, id, spawned_at);
    // SAFETY: a new task has three references, for these three.
    unsafe { (Task::new(raw), Notified(Task::new(raw)), JoinHandle::new(raw)) }
}

/// Makes a task that will not be in a list.
pub(crate) fn unowned<F, S>(
    future: F,
    scheduler: S,
    id: Id,
    spawned_at: SpawnLocation,
) -> (UnownedTask<S>, JoinHandle<F::Output>)
where
    S: Schedule,
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let (task, notified, join) = new_task(future, scheduler, id, spawned_at);
    // Two references go over to the `UnownedTask`.
    mem::forget(notified);
    (UnownedTask { raw: task.into_raw(), _scheduler: PhantomData }, join)
}

impl<S: 'static> Task<S> {
    /// # Safety
    ///
    /// One reference, to a task of scheduler `S`, goes over to the result.
    unsafe fn new(raw: RawTask) -> Task<S> {
        Task { raw, _scheduler: PhantomData }
    }

    /// Keeps the reference from being given back.
    fn into_raw(self) -> RawTask {
        let raw = self.raw;
        mem::forget(self);
        raw
    }

    /// The id of the task.
    #[allow(dead_code)]
    pub(crate) fn id(&self) -> Id {
        self.raw.id()
    }
}

impl<S: Schedule> Task<S> {
    /// Cancels the task because its scheduler stops.
    pub(crate) fn shutdown(self) {
        // SAFETY: the list gives its reference up, on a thread where the future may be
        // dropped: any, or the one the list can't leave.
        unsafe { self.into_raw().shutdown::<S>() }
    }
}

#[cfg(all(tokio_unstable, feature = "taskdump"))]
impl<S: 'static> Task<S> {
    /// Wakes the task if it is idle, to be run by the caller.
    fn notify_idle(&self) -> Option<Notified<S>> {
        self.raw.state().notify_idle().then(|| {
            // SAFETY: the transition has counted a reference for it, and this is the only one.
            Notified(unsafe { Task::new(self.raw) })
        })
    }
}

#[cfg(all(tokio_unstable, feature = "taskdump"))]
impl<S: 'static> LocalNotified<S> {
    /// The id of the task.
    pub(crate) fn id(&self) -> Id {
        self.task.raw.id()
    }
}

impl<S: 'static> Notified<S> {
    /// When the task was scheduled.
    pub(crate) fn scheduled_at(&self) -> &ScheduledAt {
        &self.0.raw.trailer().scheduled_at
    }

    /// Turns it into a thin pointer, for queues.
    pub(crate) fn into_ptr(self) -> NonNull<()> {
        self.0.into_raw().header_ptr().cast()
    }

    /// Undoes [`into_ptr`](Notified::into_ptr).
    ///
    /// # Safety
    ///
    /// `ptr` comes from `into_ptr` of the same type, and this happens once for each.
    pub(crate) unsafe fn from_ptr(ptr: NonNull<()>) -> Notified<S> {
        // SAFETY: the reference that `into_ptr` has kept.
        Notified(unsafe { Task::new(RawTask::from_raw(ptr.cast())) })
    }
}

impl<S: Schedule> LocalNotified<S> {
    /// Runs the task once.
    pub(crate) fn run(self) {
        // SAFETY: the `Notified` is given up, and whoever made this vouches for the thread.
        unsafe { self.task.into_raw().run::<S>() }
    }

    /// When the task was scheduled.
    pub(crate) fn scheduled_at(&self) -> &ScheduledAt {
        &self.task.raw.trailer().scheduled_at
    }

    /// What hooks around a poll are told about the task.
    #[cfg(tokio_unstable)]
    pub(crate) fn task_meta<'meta>(&self, latency: Option<Duration>) -> crate::runtime::TaskMeta<'meta> {
        self.task.raw.task_meta(latency)
    }
}

impl<S: Schedule> UnownedTask<S> {
    /// Runs the task once.
    pub(crate) fn run(self) {
        let task = self.into_task();
        // SAFETY: the reference of the `Notified` that this runs instead of. The future is
        // `Send`; the other reference keeps the task until the run is over.
        unsafe { task.raw.run::<S>() }
    }

    /// Cancels the task.
    pub(crate) fn shutdown(self) {
        let task = self.into_task();
        // SAFETY: the reference of the `Notified` that will not run. Not the last one.
        unsafe { task.raw.drop_reference() }
        task.shutdown();
    }

    /// Gives up the place in the queue, for tests that queue such tasks themselves.
    #[cfg(test)]
    pub(crate) fn into_notified(self) -> Notified<S> {
        let task = self.into_task();
        // SAFETY: the reference of the list, in which the task is not. Not the last one.
        unsafe { task.raw.drop_reference() }
        Notified(task)
    }

    /// One of the references; the other one is left for the caller to spend.
    fn into_task(self) -> Task<S> {
        let raw = self.raw;
        mem::forget(self);
        // SAFETY: it holds two.
        unsafe { Task::new(raw) }
    }
}

impl<S: 'static> Drop for Task<S> {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { self.raw.drop_reference() }
    }
}

impl<S: 'static> Drop for UnownedTask<S> {
    fn drop(&mut self) {
        if self.raw.state().ref_dec(2) {
            // SAFETY: they were the last.
            unsafe { self.raw.dealloc() }
        }
    }
}

impl<S> fmt::Debug for Task<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({:p})", self.raw.header_ptr())
    }
}

impl<S> fmt::Debug for Notified<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task::Notified({:p})", self.0.raw.header_ptr())
    }
}
