//! The end of an engine: everything in flight is ended and waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Aftermath, DOORBELL_WATCH, Engine};
use crate::driver::op::Flight;
use crate::driver::set::WatchSet;
use crate::sys::uring::Sqe;

/// Why an engine is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver) enum Ending {
    /// Another owner goes on.
    HandOver,
    /// The runtime ends.
    Shutdown,
}

impl Engine {
    /// Cancels everything and waits for the terminal completions; keeps the operations that are to be
    /// submitted again.
    ///
    /// Closing a ring is no barrier: only the completions say that the kernel is done. An operation
    /// that somebody waits for is waited for here, too, if the next owner of the ring needs it.
    fn drain(&mut self, ending: Ending, set: Option<&WatchSet>, aftermath: &mut Aftermath) {
        const LIMIT: Duration = Duration::from_secs(5);

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
        let deadline = Instant::now() + LIMIT;
        while self.in_flight() > 0 {
            let is_awaited = ending == Ending::HandOver && self.ops.any_awaited();
            if self.is_broken || !is_awaited && Instant::now() >= deadline {
                // The ring is closed instead of being used again, and what the kernel may still write
                // to stays. At the deadline: never seen.
                self.ring.mark_unclean();
                self.is_unclean = true;
                self.leak_set_wait();
                let leaked = self.ops.leak();
                self.remote.stats.count_leaked(leaked);
                break;
            }
            self.pause();
            self.reap(set, aftermath);
        }
        if self.is_broken {
            self.ring.mark_unclean();
        }
        self.remote.close();
    }

    /// Ends it; returns the operations that are to be submitted again, and what is left to do.
    pub(in crate::driver) fn end(
        mut self: Box<Self>,
        ending: Ending,
        set: Option<&WatchSet>,
    ) -> (Vec<Arc<dyn Flight>>, Aftermath) {
        let mut aftermath = Aftermath::default();
        self.drain(ending, set, &mut aftermath);
        (std::mem::take(&mut self.recalled), aftermath)
    }
}
