//! The state word of a task: six bits of life cycle and a reference count, in one atomic.
//!
//! Every change is one read-modify-write, so all changes of one task form a single order and
//! each of them finds out, from the value it replaced, what it is now responsible for. The
//! functions below are named after what happens; their results say what the caller must do.

use crate::loom::sync::atomic::AtomicUsize;

use std::fmt;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// A thread is polling the task or dropping its future: the lock of the stage.
///
/// Can't be set when `COMPLETE` is. Only the thread that set it clears it, by going idle or
/// by exchanging it for `COMPLETE`.
const RUNNING: usize = 1 << 0;

/// The future is gone, the stage holds the output or nothing. Never cleared.
///
/// Can't be set when `RUNNING` is: one instruction exchanges the two.
const COMPLETE: usize = 1 << 1;

/// A [`Notified`](super::Notified) exists, or the task was woken during a poll and one will
/// be made at its end.
///
/// Can't be set *anew* when `COMPLETE` is. One that was set before stays and means nothing
/// any more; if a `Notified` is still under way, it gives its reference back when run.
const NOTIFIED: usize = 1 << 2;

/// The [`JoinHandle`](super::JoinHandle) exists. Set at birth, cleared when it is dropped,
/// never set again.
///
/// While set, the output of a complete task belongs to the `JoinHandle`; otherwise to the
/// thread that completes the task.
const JOIN_INTEREST: usize = 1 << 3;

/// The join waker is published: the `JoinHandle` may only read it, and the completing
/// thread will wake it. While clear, the `JoinHandle` owns the slot, or, if there is none,
/// the completing thread does.
///
/// Can't be set when `COMPLETE` or when `JOIN_INTEREST` is missing; one that was set before
/// is cleared by the completing thread once it has woken it.
const JOIN_WAKER: usize = 1 << 4;

/// The task shall be cancelled at the next opportunity. Never cleared.
///
/// Can't be set by an abort when `COMPLETE` is; shutdown may set it at any time, where it
/// means nothing to a complete task.
const CANCELLED: usize = 1 << 5;

/// One reference; the count lives in the remaining bits.
const REF_ONE: usize = 1 << 6;

/// A new task: referred to by the list of owned tasks, by its first `Notified` and by its
/// `JoinHandle`.
const INITIAL: usize = (3 * REF_ONE) | JOIN_INTEREST | NOTIFIED;

/// The atomic word.
pub(super) struct State(AtomicUsize);

/// A value of the word at one moment.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Snapshot(usize);

/// Why and how a `Notified` may run.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// Poll the future; the reference of the `Notified` is the caller's for the time.
    Poll,
    /// Drop the future and complete the task; the reference is the caller's.
    Cancel,
    /// Another thread runs the task or it is complete; the reference is spent.
    Nothing,
    /// The same, and it was the last one: deallocate.
    Dealloc,
}

/// What follows a poll that returned `Pending`.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The task is idle; the caller's reference is spent.
    Idle,
    /// The same, and it was the last one: deallocate.
    Dealloc,
    /// Woken meanwhile: schedule the task again. The caller holds two references, one for
    /// the new `Notified` and its own.
    Again,
    /// Aborted meanwhile: still `RUNNING`, drop the future and complete.
    Cancel,
}

/// What follows a wake-up.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wake {
    /// Somebody else sees to it, or the task is complete.
    Nothing,
    /// Schedule the task with a new `Notified`, whose reference has been counted.
    Submit,
    /// The waker consumed was the last reference: deallocate.
    Dealloc,
}

/// What a `JoinHandle` that is being dropped has to drop along with it.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) struct JoinDropped {
    pub(super) output: bool,
    pub(super) waker: bool,
}

/// The task is complete; the caller came too late to change its join waker.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Completed;

impl State {
    pub(super) fn new() -> State {
        State(AtomicUsize::new(INITIAL))
    }

    pub(super) fn load(&self) -> Snapshot {
        Snapshot(self.0.load(Acquire))
    }

    // ===== running =====

    /// A `Notified` is about to be run: takes the lock if the task is idle.
    ///
    /// Clears `NOTIFIED`, so that a wake-up during the poll leaves a trace.
    pub(super) fn begin(&self) -> Begin {
        self.update(|now| {
            debug_assert!(now.has(NOTIFIED));
            if now.is_idle() {
                let next = now.with(RUNNING).without(NOTIFIED);
                let begin = if now.has(CANCELLED) { Begin::Cancel } else { Begin::Poll };
                (begin, Some(next))
            } else {
                let next = now.ref_dec();
                let begin = if next.ref_count() == 0 { Begin::Dealloc } else { Begin::Nothing };
                (begin, Some(next))
            }
        })
    }

    /// The poll returned `Pending`: gives the lock back, unless the task was aborted.
    pub(super) fn end(&self) -> End {
        self.update(|now| {
            debug_assert!(now.has(RUNNING));
            if now.has(CANCELLED) {
                return (End::Cancel, None);
            }
            let idle = now.without(RUNNING);
            if now.has(NOTIFIED) {
                return (End::Again, Some(idle.ref_inc()));
            }
            let next = idle.ref_dec();
            let end = if next.ref_count() == 0 { End::Dealloc } else { End::Idle };
            (end, Some(next))
        })
    }

    /// The output is in its place: exchanges `RUNNING` for `COMPLETE`.
    pub(super) fn complete(&self) -> Snapshot {
        const BOTH: usize = RUNNING | COMPLETE;
        let before = Snapshot(self.0.fetch_xor(BOTH, AcqRel));
        debug_assert!(before.has(RUNNING) && !before.has(COMPLETE));
        Snapshot(before.0 ^ BOTH)
    }

    /// The join waker was woken: hands its slot back. Returns `false` if there is no
    /// `JoinHandle` any more and the caller has to clear the slot.
    pub(super) fn retire_join_waker(&self) -> bool {
        let before = Snapshot(self.0.fetch_and(!JOIN_WAKER, AcqRel));
        debug_assert!(before.has(COMPLETE) && before.has(JOIN_WAKER));
        before.has(JOIN_INTEREST)
    }

    // ===== waking and cancelling =====

    /// Wakes the task and consumes one reference, unless the task must be submitted: then
    /// the caller keeps it until that is done.
    pub(super) fn wake(&self) -> Wake {
        self.update(|now| {
            if now.has(RUNNING) {
                // The running thread holds a reference too, so this is not the last.
                let next = now.with(NOTIFIED).ref_dec();
                debug_assert!(next.ref_count() > 0);
                (Wake::Nothing, Some(next))
            } else if now.has(COMPLETE) || now.has(NOTIFIED) {
                let next = now.ref_dec();
                let wake = if next.ref_count() == 0 { Wake::Dealloc } else { Wake::Nothing };
                (wake, Some(next))
            } else {
                (Wake::Submit, Some(now.with(NOTIFIED).ref_inc()))
            }
        })
    }

    /// Wakes the task; returns `true` if it must be submitted, with a new reference.
    pub(super) fn wake_by_ref(&self) -> bool {
        self.update(|now| {
            if now.has(COMPLETE) {
                (false, None)
            } else if now.has(NOTIFIED) || now.has(RUNNING) {
                // Writes even if nothing changes: what the waking thread did before must be
                // visible to the poll, and only a write pairs with the `Acquire` of `begin`.
                (false, Some(now.with(NOTIFIED)))
            } else {
                (true, Some(now.with(NOTIFIED).ref_inc()))
            }
        })
    }

    /// Wakes the task if it is idle; returns `true` if the caller has to run it, with a new
    /// reference.
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(super) fn notify_idle(&self) -> bool {
        self.update(|now| {
            if now.has(COMPLETE) || now.has(NOTIFIED) || now.has(RUNNING) {
                (false, None)
            } else {
                (true, Some(now.with(NOTIFIED).ref_inc()))
            }
        })
    }

    /// Asks for cancellation from wherever; returns `true` if the task must be submitted,
    /// with a new reference, for its scheduler to find the bit.
    pub(super) fn abort(&self) -> bool {
        self.update(|now| {
            if now.has(COMPLETE) || now.has(CANCELLED) {
                (false, None)
            } else if now.has(RUNNING) || now.has(NOTIFIED) {
                // Seen at the end of the poll, or at the beginning of the next.
                (false, Some(now.with(CANCELLED | NOTIFIED)))
            } else {
                (true, Some(now.with(CANCELLED | NOTIFIED).ref_inc()))
            }
        })
    }

    /// The scheduler shuts the task down: returns `true` if the caller now holds the lock
    /// and has to drop the future. Otherwise whoever runs the task finds the bit.
    pub(super) fn shutdown(&self) -> bool {
        self.update(|now| {
            let next = now.with(CANCELLED);
            match now.is_idle() {
                true => (true, Some(next.with(RUNNING))),
                false => (false, Some(next)),
            }
        })
    }

    // ===== the join handle =====

    /// Drops a `JoinHandle` of a task on which nothing has happened yet.
    ///
    /// `Relaxed` when it fails, as nothing is read then; and as the handle was never
    /// polled when it succeeds, there is nothing that `Release` would have to order but the
    /// reference itself.
    pub(super) fn drop_join_handle_fast(&self) -> bool {
        let next = (INITIAL - REF_ONE) & !JOIN_INTEREST;
        self.0.compare_exchange_weak(INITIAL, next, Release, Relaxed).is_ok()
    }

    /// Clears `JOIN_INTEREST`, and the `JOIN_WAKER` of a task that is not complete yet.
    /// The reference stays.
    pub(super) fn drop_join_handle(&self) -> JoinDropped {
        self.update(|now| {
            debug_assert!(now.has(JOIN_INTEREST));
            let complete = now.has(COMPLETE);
            let mut next = now.without(JOIN_INTEREST);
            if !complete {
                next = next.without(JOIN_WAKER);
            }
            // A waker still published is in use by the completing thread, which clears it.
            let dropped = JoinDropped { output: complete, waker: !next.has(JOIN_WAKER) };
            (dropped, Some(next))
        })
    }

    /// Publishes the join waker that the `JoinHandle` has put into the slot.
    pub(super) fn publish_join_waker(&self) -> Result<(), Completed> {
        self.update(|now| {
            debug_assert!(now.has(JOIN_INTEREST) && !now.has(JOIN_WAKER));
            match now.has(COMPLETE) {
                true => (Err(Completed), None),
                false => (Ok(()), Some(now.with(JOIN_WAKER))),
            }
        })
    }

    /// Withdraws the join waker, so that the `JoinHandle` may replace it.
    pub(super) fn withdraw_join_waker(&self) -> Result<(), Completed> {
        self.update(|now| {
            debug_assert!(now.has(JOIN_INTEREST));
            match now.has(COMPLETE) {
                true => (Err(Completed), None),
                false => {
                    debug_assert!(now.has(JOIN_WAKER));
                    (Ok(()), Some(now.without(JOIN_WAKER)))
                }
            }
        })
    }

    // ===== references =====

    /// Adds a reference. `Relaxed`: a new one is only made from one that exists.
    pub(super) fn ref_inc(&self) {
        Snapshot(self.0.fetch_add(REF_ONE, Relaxed)).check_overflow();
    }

    /// Gives `n` references back; returns `true` if they were the last.
    #[must_use]
    pub(super) fn ref_dec(&self, n: usize) -> bool {
        let before = Snapshot(self.0.fetch_sub(n * REF_ONE, AcqRel));
        debug_assert!(before.ref_count() >= n, "{before:?}");
        before.ref_count() == n
    }

    /// Applies `f` until no other thread interferes; `None` changes nothing.
    fn update<R>(&self, mut f: impl FnMut(Snapshot) -> (R, Option<Snapshot>)) -> R {
        let mut now = self.load();
        loop {
            let (result, next) = f(now);
            let Some(next) = next else { return result };
            match self.0.compare_exchange_weak(now.0, next.0, AcqRel, Acquire) {
                Ok(_) => return result,
                Err(changed) => now = Snapshot(changed),
            }
        }
    }
}

impl Snapshot {
    pub(super) fn is_complete(self) -> bool {
        self.has(COMPLETE)
    }

    pub(super) fn is_join_interested(self) -> bool {
        self.has(JOIN_INTEREST)
    }

    pub(super) fn is_join_waker_set(self) -> bool {
        self.has(JOIN_WAKER)
    }

    fn is_idle(self) -> bool {
        self.0 & (RUNNING | COMPLETE) == 0
    }

    fn ref_count(self) -> usize {
        self.0 / REF_ONE
    }

    fn has(self, bit: usize) -> bool {
        self.0 & bit != 0
    }

    fn with(self, bits: usize) -> Snapshot {
        Snapshot(self.0 | bits)
    }

    fn without(self, bits: usize) -> Snapshot {
        Snapshot(self.0 & !bits)
    }

    fn ref_inc(self) -> Snapshot {
        self.check_overflow();
        Snapshot(self.0 + REF_ONE)
    }

    fn ref_dec(self) -> Snapshot {
        debug_assert!(self.ref_count() > 0);
        Snapshot(self.0 - REF_ONE)
    }

    /// Half of the range is left as a margin for threads that are between the addition and
    /// this check. Only a program that forgets wakers in a loop gets here.
    fn check_overflow(self) {
        if self.0 > isize::MAX as usize {
            std::process::abort();
        }
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("running", &self.has(RUNNING))
            .field("complete", &self.has(COMPLETE))
            .field("notified", &self.has(NOTIFIED))
            .field("join_interest", &self.has(JOIN_INTEREST))
            .field("join_waker", &self.has(JOIN_WAKER))
            .field("cancelled", &self.has(CANCELLED))
            .field("ref_count", &self.ref_count())
            .finish()
    }
}
