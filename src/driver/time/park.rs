//! How long a shard's thread sleeps.
//!
//! One round of a scheduler that has nothing to run:
//!
//! 1. `plan = time.park_timeout(shard, limit)`
//! 2. wait for completions as the plan says;
//! 3. `time.after_park(shard, plan)`, which fires what is due.
//!
//! With a paused clock nobody waits for a timer: the thread collects completions without
//! sleeping, and if nothing has woken it by then, the clock jumps ahead.

use super::{Handle, ceil_to_ms, nanos};
use crate::loom::sync::atomic::Ordering;

use std::time::Duration;

/// What to do until the next timer fires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParkPlan {
    /// No timer: sleep until woken.
    Forever,
    /// Sleep until woken, this long at most. Zero: only look for completions.
    For(Duration),
    /// Only look for completions. If there was no wake-up,
    /// [`after_park`](Handle::after_park) advances the paused clock by this.
    PollThenAdvance(Duration),
}

impl Handle {
    /// How long may the thread of `shard` sleep, if the caller allows `limit`?
    ///
    /// From here until [`after_park`](Handle::after_park) or [`process`](Handle::process), a
    /// timer that other threads add for an earlier instant rings the shard.
    pub(crate) fn park_timeout(&self, shard: usize, limit: Option<Duration>) -> ParkPlan {
        let paused = self.clock.is_paused();
        if limit == Some(Duration::ZERO) && !paused {
            return ParkPlan::For(Duration::ZERO);
        }

        let (earliest, now) = self.shards[shard].fall_asleep(limit.map(nanos), || self.now());
        let Some(mut when) = earliest else {
            return limit.map_or(ParkPlan::Forever, |limit| self.wait(limit));
        };

        if paused {
            when = ceil_to_ms(when);
        } else {
            when = when.max(self.shards[shard].gathers_until());
        }
        let mut duration = Duration::from_nanos(when.saturating_sub(now));
        if duration.is_zero() {
            return ParkPlan::For(Duration::ZERO);
        }
        if let Some(limit) = limit {
            duration = duration.min(limit);
        }
        self.wait(duration)
    }

    /// The thread of `shard` has done what `plan` says: advances a paused clock and fires
    /// what is due. `true` if anything fired.
    ///
    /// A wake-up noted by [`unpark`](Handle::unpark) since the last call keeps the clock where
    /// it is: there is work to do at the present time.
    pub(crate) fn after_park(&self, shard: usize, plan: ParkPlan) -> bool {
        if let ParkPlan::PollThenAdvance(duration) = plan {
            if !self.did_wake.swap(false, Ordering::SeqCst) {
                // Fails if another thread has resumed the clock: nothing to simulate then.
                let _ = self.clock.advance(duration);
            }
        }
        self.process(shard)
    }

    fn wait(&self, duration: Duration) -> ParkPlan {
        if self.clock.can_auto_advance() {
            ParkPlan::PollThenAdvance(duration)
        } else {
            ParkPlan::For(duration)
        }
    }
}
