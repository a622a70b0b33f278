//! The life of a task: the steps between the transitions of its state word.
//!
//! Nothing here knows the future's type, so there is one copy per scheduler at most.
//!
//! # Safety
//!
//! Each transition in [`state`](super::state) says in its result what the caller now owns
//! (a reference, the stage, the join waker). The blocks below rely on that result and on
//! nothing else.
#![allow(unsafe_code)]

use super::raw::{Polled, RawTask};
use super::state::{Begin, End, Wake};
use super::waker::waker_ref;
use super::{Notified, Schedule, Task};

use std::mem::{self, ManuallyDrop};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Waker};

/// Calls `f`, which runs code of the user, where nobody can be told of its panic.
///
/// The payload may be a type of the user, too, whose destructor panics again. What that panic
/// carries is leaked, unless it is a mere message: it could go on like this.
pub(super) fn swallow(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        drop_payload(payload);
    }
}

#[cold]
fn drop_payload(payload: Box<dyn std::any::Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        if !again.is::<&'static str>() && !again.is::<String>() {
            mem::forget(again);
        }
    }
}

// ===== run by the scheduler =====

impl RawTask {
    /// Runs the task once.
    ///
    /// # Safety
    ///
    /// The caller gives up the task's `Notified`, with its reference, on a thread where the
    /// future may be polled. `S` is the type of the task's scheduler.
    pub(super) unsafe fn run<S: Schedule>(self) {
        // SAFETY: each arm uses the rights that its transition grants.
        unsafe {
            match self.state().begin() {
                Begin::Poll => self.poll::<S>(),
                Begin::Cancel => {
                    self.cancel_future();
                    self.complete::<S>();
                }
                Begin::Nothing => {}
                Begin::Dealloc => self.dealloc(),
            }
        }
    }

    /// # Safety
    ///
    /// `Begin::Poll`, and `S` is the type of the task's scheduler.
    unsafe fn poll<S: Schedule>(self) {
        let waker = waker_ref(&self);
        let mut cx = Context::from_waker(&waker);
        // SAFETY: `RUNNING` and one reference are ours.
        unsafe {
            match self.poll_future(&mut cx) {
                Polled::Pending => self.pause::<S>(),
                Polled::Ready => self.complete::<S>(),
                Polled::Panicked => {
                    self.scheduler::<S>().unhandled_panic();
                    self.complete::<S>();
                }
            }
        }
    }

    /// # Safety
    ///
    /// `RUNNING` and one reference are the caller's, and `S` is the type of the task's
    /// scheduler.
    unsafe fn pause<S: Schedule>(self) {
        // SAFETY: each arm uses the rights that its transition grants.
        unsafe {
            match self.state().end() {
                End::Idle => {}
                End::Dealloc => self.dealloc(),
                End::Again => {
                    self.scheduler::<S>().yield_now(Notified(Task::new(self)));
                    // Only now: the scheduler may have dropped the `Notified` at once.
                    self.drop_reference();
                }
                End::Cancel => {
                    self.cancel_future();
                    self.complete::<S>();
                }
            }
        }
    }

    /// Cancels the task, here if it is idle, or else where it is running.
    ///
    /// # Safety
    ///
    /// The caller gives a reference up, on a thread where the future may be dropped. `S` is
    /// the type of the task's scheduler.
    pub(super) unsafe fn shutdown<S: Schedule>(self) {
        // SAFETY: `RUNNING` is ours if the transition says so.
        unsafe {
            if self.state().shutdown() {
                self.cancel_future();
                self.complete::<S>();
            } else {
                self.drop_reference();
            }
        }
    }

    /// The output is in its place: tells everybody and leaves the scheduler.
    ///
    /// 1. Exchange `RUNNING` for `COMPLETE`. From here on the output is the `JoinHandle`'s.
    /// 2. Drop the output if there is none, or else wake who awaits it.
    /// 3. Call the user's hook.
    /// 4. Leave the list of owned tasks; give its reference and the caller's back at once.
    ///
    /// # Safety
    ///
    /// `RUNNING` and one reference are the caller's, the output is in its place, and `S` is
    /// the type of the task's scheduler.
    unsafe fn complete<S: Schedule>(self) {
        let now = self.state().complete();
        // SAFETY: as the flags say, see `state`.
        unsafe {
            if !now.is_join_interested() {
                self.drop_output();
            } else if now.is_join_waker_set() {
                self.wake_join();
            }
        }

        #[cfg(tokio_unstable)]
        self.call_terminate_hook();

        // SAFETY: `S` by contract. The list's own reference comes back if the task was in it;
        // the one lent for the call is ours and is not dropped.
        unsafe {
            let me = ManuallyDrop::new(Task::<S>::new(self));
            let references = match self.scheduler::<S>().release(&me) {
                Some(owned) => {
                    mem::forget(owned);
                    2
                }
                None => 1,
            };
            if self.state().ref_dec(references) {
                self.dealloc();
            }
        }
    }

    /// # Safety
    ///
    /// The caller has completed the task, and the join waker is published.
    unsafe fn wake_join(self) {
        // SAFETY: a published waker may be read by the completing thread.
        swallow(|| unsafe { self.trailer().with_join_waker(Waker::wake_by_ref) });

        if !self.state().retire_join_waker() {
            // The `JoinHandle` was dropped meanwhile and left the waker to us.
            // SAFETY: `COMPLETE` is set and `JOIN_INTEREST` is not.
            let waker = unsafe { self.trailer().replace_join_waker(None) };
            swallow(|| drop(waker));
        }
    }

    #[cfg(tokio_unstable)]
    fn call_terminate_hook(self) {
        if let Some(hook) = &self.trailer().hooks.task_terminate_callback {
            swallow(|| hook(&self.task_meta(None)));
        }
    }

    /// What hooks are told about the task.
    #[cfg(tokio_unstable)]
    pub(super) fn task_meta<'meta>(
        &self,
        latency: Option<std::time::Duration>,
    ) -> crate::runtime::TaskMeta<'meta> {
        crate::runtime::TaskMeta::new(self.id(), self.trailer().spawned_at, latency)
    }
}

// ===== called from anywhere =====

impl RawTask {
    /// Wakes the task.
    ///
    /// # Safety
    ///
    /// The caller gives a reference up.
    pub(super) unsafe fn wake(self) {
        // SAFETY: each arm uses the rights that its transition grants.
        unsafe {
            match self.state().wake() {
                Wake::Nothing => {}
                Wake::Dealloc => self.dealloc(),
                Wake::Submit => {
                    self.schedule();
                    self.drop_reference();
                }
            }
        }
    }

    /// Wakes the task.
    pub(super) fn wake_by_ref(self) {
        if self.state().wake_by_ref() {
            // SAFETY: the transition has counted a reference for the `Notified`, and the
            // caller holds one.
            unsafe { self.schedule() }
        }
    }

    /// Asks the scheduler to cancel the task.
    pub(super) fn remote_abort(self) {
        if self.state().abort() {
            // SAFETY: as in `wake_by_ref`.
            unsafe { self.schedule() }
        }
    }
}

// ===== called by the join handle =====

impl RawTask {
    /// Returns `true` if the task is complete. Otherwise `waker` will be woken when it is.
    ///
    /// # Safety
    ///
    /// The caller is the task's `JoinHandle`.
    pub(super) unsafe fn poll_join(self, waker: &Waker) -> bool {
        let now = self.state().load();
        if now.is_complete() {
            return true;
        }
        if now.is_join_waker_set() {
            // SAFETY: the `JoinHandle` may always read a published waker: only it replaces
            // it, and the completing thread leaves it in its place as long as there is one.
            if unsafe { self.trailer().with_join_waker(|mine| mine.will_wake(waker)) } {
                return false;
            }
            // Clone first: it may panic, and then the old one stays.
            let waker = waker.clone();
            if self.state().withdraw_join_waker().is_err() {
                return true;
            }
            // SAFETY: withdrawn.
            unsafe { self.install_join_waker(waker) }
        } else {
            // SAFETY: never published, or withdrawn and not published again.
            unsafe { self.install_join_waker(waker.clone()) }
        }
    }

    /// # Safety
    ///
    /// The caller is the task's `JoinHandle`, and the join waker is not published.
    unsafe fn install_join_waker(self, waker: Waker) -> bool {
        // SAFETY: by contract.
        let old = unsafe { self.trailer().replace_join_waker(Some(waker)) };
        let complete = self.state().publish_join_waker().is_err();
        let unused = match complete {
            // SAFETY: it could not be published, so the completing thread does not know it.
            true => unsafe { self.trailer().replace_join_waker(None) },
            false => None,
        };
        // Only now: their destructors may panic.
        drop(old);
        drop(unused);
        complete
    }

    /// Drops the `JoinHandle`'s part of the task.
    ///
    /// # Safety
    ///
    /// The caller is the task's `JoinHandle` and gives its reference up.
    pub(super) unsafe fn drop_join_handle(self) {
        if self.state().drop_join_handle_fast() {
            return;
        }
        let dropped = self.state().drop_join_handle();
        // SAFETY: as `dropped` says. The output must go here: it need not be `Send`, and
        // wakers, which are, may outlive the handle on any thread.
        unsafe {
            if dropped.output {
                self.drop_output();
            }
            let waker = match dropped.waker {
                true => self.trailer().replace_join_waker(None),
                false => None,
            };
            self.drop_reference();
            // Last: its destructor may panic, into the face of who drops the handle.
            drop(waker);
        }
    }
}
