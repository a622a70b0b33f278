//! How a thread lets go of its ring, for a while or for good.
//!
//! Closing a ring is no barrier: only the completions say that the kernel is done. So what is in flight is cancelled and
//! waited for, but no longer than that takes if it can be cancelled. The rest is left to the ring, if the thread comes
//! back to it, or is left behind with it ([`left_behind`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Aftermath, DOORBELL_WATCH, Engine};
use crate::driver::op::Flight;
use crate::driver::set::WatchSet;
use crate::driver::uring::left_behind;
use crate::sys::uring::Sqe;

/// Why an engine is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum Ending {
    /// Another owner goes on.
    HandOver,
    /// The runtime ends.
    Shutdown,
}

/// How long what a thread of the kernel does may take to end once it was cancelled, while somebody waits for its
/// ring's thread. If it can be called off that is done by then.
const MOMENT: Duration = Duration::from_millis(20);

/// The same for what the ring itself does: it takes microseconds to cancel, or is a read from a disk, which would
/// be late by all the time that the thread is elsewhere.
const DISK: Duration = Duration::from_secs(1);

impl Engine {
    /// Cancels everything and waits for the terminal completions; keeps the operations that are to be
    /// submitted again. What takes too long is left behind.
    fn drain(&mut self, ending: Ending, set: Option<&WatchSet>, aftermath: &mut Aftermath) {
        /// For an operation that somebody waits for whom the thread does not keep waiting.
        const HAND_OVER: Duration = Duration::from_secs(5);
        const SHUTDOWN: Duration = Duration::from_millis(200);

        // Nobody rings any more; this was the last mail that needed the ring.
        self.remote.doorbell.remove();
        self.take_mail();
        if self.watches_doorbell {
            self.ring.push(Sqe::cancel(DOORBELL_WATCH));
        }
        self.cancel_set_wait();
        self.recall_all();
        if self.ring.has_work() {
            self.flush();
            self.reap(set, aftermath);
        }
        let start = Instant::now();
        while self.has_open() && !self.is_broken {
            let is_awaited = ending == Ending::HandOver && self.ops.any_awaited();
            if start.elapsed() >= if is_awaited { HAND_OVER } else { SHUTDOWN } {
                break;
            }
            self.pause();
            self.reap(set, aftermath);
        }
        if self.in_flight() > 0 {
            self.expect_end();
            self.leave_behind();
        } else if self.is_broken {
            self.ring.mark_unclean();
        }
        self.remote.close();
    }

    /// Calls back what flies, and waits a moment for it; returns what is to be submitted elsewhere. What is left
    /// then cannot be cancelled, and flies on.
    pub(in crate::driver) fn land_all(
        &mut self,
        set: Option<&WatchSet>,
        aftermath: &mut Aftermath,
    ) -> Vec<Arc<dyn Flight>> {
        self.recall_all();
        let start = Instant::now();
        while self.ops.any_open() && !self.is_broken {
            if start.elapsed() >= if self.ops.any_open_here() { DISK } else { MOMENT } {
                break;
            }
            self.pause();
            self.reap(set, aftermath);
        }
        std::mem::take(&mut self.recalled)
    }

    /// The thread goes elsewhere, and comes back to the ring: has its wait in the set taken back, and lands what
    /// flies; returns what is to be submitted again.
    pub(in crate::driver) fn come_to_rest(
        &mut self,
        set: Option<&WatchSet>,
        aftermath: &mut Aftermath,
    ) -> Vec<Arc<dyn Flight>> {
        self.cancel_set_wait();
        while self.set_wait.is_armed() && !self.is_broken {
            self.flush();
            self.reap(set, aftermath);
        }
        let recalled = self.land_all(set, aftermath);
        if self.ops.len() > 0 {
            // If it does not come back the ring is closed elsewhere.
            self.expect_end();
        }
        recalled
    }

    /// Is there anything whose end is still to come, but that of what only keeps a buffer?
    fn has_open(&self) -> bool {
        self.watches_doorbell || self.set_wait.is_armed() || self.ops.any_open()
    }

    /// The ring may be closed with operations in flight.
    fn expect_end(&mut self) {
        if self.release.is_none() && !self.ring.is_foreign() {
            // An error: no descriptors, or no ring any more. The memory is kept for ever then.
            self.release = self.ring.release().ok();
        }
    }

    /// The ring is about to be closed instead of being used again, and the kernel may still read and write what it
    /// was given.
    fn leave_behind(&mut self) {
        self.ring.mark_unclean();
        self.leak_set_wait();
        let n = self.ops.len();
        let is_seen_to = left_behind::see_to(self.release.take(), self.ops.take_all());
        if !is_seen_to {
            self.remote.stats.count_leaked(n);
        }
    }

    /// Ends it; returns the operations that are to be submitted again, and what is left to do.
    pub(in crate::driver) fn end(
        mut self: Box<Self>,
        ending: Ending,
        set: Option<&WatchSet>,
    ) -> (Vec<Arc<dyn Flight>>, Aftermath) {
        let mut aftermath = Aftermath::default();
        // Only its own thread can do anything for it, and may have gone elsewhere.
        if !self.ring.is_foreign() {
            self.drain(ending, set, &mut aftermath);
        }
        (std::mem::take(&mut self.recalled), aftermath)
    }
}

/// One that was not [ended](Engine::end): its thread is another, or the process is.
impl Drop for Engine {
    fn drop(&mut self) {
        if self.ring.is_inherited() {
            // In the child of a fork everything is the parent's, and so is the copy of the memory here.
            self.leak_set_wait();
            let _ = self.ops.take_all();
            return;
        }
        self.remote.doorbell.remove();
        self.remote.close();
        if self.in_flight() > 0 {
            self.leave_behind();
        }
    }
}
