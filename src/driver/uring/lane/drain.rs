//! The end of a lane: everything in flight is ended and waited for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::remote::Message;
use super::{Aftermath, DOORBELL_WATCH, Lane};
use crate::driver::op::Flight;
use crate::driver::scheduled_io::ScheduledIo;
use crate::sys::uring::{Sqe, Wait};

/// Why a lane is drained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::driver::uring) enum Ending {
    /// Another owner goes on.
    HandOver,
    /// The runtime ends.
    Shutdown,
}

impl Lane {
    /// Cancels everything and waits for the terminal completions; returns the resources, and keeps
    /// the operations that are to be submitted again.
    ///
    /// Closing a ring is no barrier: only the completions say that the kernel is done. An operation
    /// that somebody waits for is waited for here, too, if the next owner of the ring needs it.
    pub(in crate::driver::uring) fn drain(&mut self, ending: Ending) -> Vec<Arc<ScheduledIo>> {
        const LIMIT: Duration = Duration::from_secs(5);

        let mut aftermath = Aftermath::default();
        // Nobody rings any more; this was the last mail that needed the ring.
        self.remote.doorbell.remove();
        self.take_mail(&mut aftermath);
        self.send_outgoing(&mut aftermath);
        if self.watches_doorbell {
            self.ring.push(Sqe::cancel(DOORBELL_WATCH));
        }
        self.recall_all();
        let armed = self.remote.slots.lock().armed();
        let cancelled: Vec<_> =
            armed.into_iter().filter_map(|token| Some((self.cancel(token)?, token))).collect();
        if self.ring.has_work() {
            self.flush();
            self.reap(&mut aftermath);
        }
        let deadline = Instant::now() + LIMIT;
        while self.in_flight() > 0 {
            let is_awaited = ending == Ending::HandOver && self.ops.any_awaited();
            if self.is_broken || !is_awaited && Instant::now() >= deadline {
                // The ring is closed instead of being used again, and what the kernel may still write
                // to stays. At the deadline: never seen.
                self.ring.mark_unclean();
                self.is_unclean = true;
                let leaked = self.ops.leak();
                self.remote.stats.count_leaked(leaked);
                break;
            }
            self.enter(Wait::For(Duration::from_millis(1)));
            self.reap(&mut aftermath);
        }
        if self.is_broken {
            self.ring.mark_unclean();
        }
        // Resources that another ring has taken over meanwhile.
        let mut others = Vec::new();
        // Only now: until its poll is gone, a resource is closed by this thread alone.
        for (io, token) in cancelled {
            if self.release(&io, token) {
                aftermath.released.push(io);
            } else {
                others.push(io);
            }
        }
        for message in self.remote.detach() {
            match message {
                Message::Unwatch(_, due) => aftermath.due.push((self.remote.clone(), due)),
                // Whoever waits for it arms a new poll anyway.
                Message::Watch(io) | Message::GiveUp(io) => others.push(io),
                // All of them were cancelled.
                Message::Cancel(_) => {}
                // The next owner looks for itself.
                Message::ForgetFixed => {}
                Message::Launch(flight) => self.recalled.push(flight),
                Message::LaunchChain(chain) => chain.recall(),
            }
        }
        let released = std::mem::take(&mut aftermath.released);
        aftermath.released = others;
        // The caller is at the end of a lane: no borrow is held, user code may run.
        aftermath.finish();
        released
    }

    /// Can the drained ring be used again?
    pub(in crate::driver::uring) fn is_clean(&self) -> bool {
        !self.is_unclean && !self.is_broken && self.in_flight() == 0
    }

    /// The operations that [`drain`](Lane::drain) kept.
    pub(in crate::driver::uring) fn take_recalled(&mut self) -> Vec<Arc<dyn Flight>> {
        std::mem::take(&mut self.recalled)
    }
}
