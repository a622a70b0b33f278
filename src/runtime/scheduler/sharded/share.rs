//! A few short tasks are no work for two workers.
//!
//! To wake a sleeping worker takes some ten microseconds of processor time from both sides, and more on a
//! virtual machine. So a worker that its driver wakes up to **little to do**, measured in
//! [`WORTH_A_WORKER`], does not wake a sibling to help. How long a task takes is known on average only;
//! what is stuck behind a long one is found like all that a stuck worker has: see
//! [`watchdog`](super::watchdog).

use super::tuning::Tuning;
use super::worker::{Context, Core};

use std::time::Duration;

/// What takes longer, all in all, is worth to be shared.
const WORTH_A_WORKER: Duration = Duration::from_micros(50);

/// More tasks are not little, whatever they take.
const MANY: usize = 8;

impl Core {
    /// Is it little to do: `n` tasks? Unknown where the builder set how often this worker looks into the
    /// injection queue.
    fn is_little(&self, n: usize) -> bool {
        let takes = |tuning: &Tuning| Duration::from_nanos(tuning.mean_poll_time()) * n as u32;
        n <= MANY && self.tuning.as_ref().is_some_and(|tuning| takes(tuning) <= WORTH_A_WORKER)
    }
}

impl Context {
    /// After a turn: this worker runs one of its tasks next; others may have the rest.
    pub(super) fn share(&self, core: &Core) {
        if core.run_queue.len() > 1 && !core.is_searching {
            self.handle().notify_parked();
        }
    }

    /// The same after a sleep. There was no other work, and if it is little that there is now, it stays
    /// here.
    pub(super) fn share_unless_little(&self, core: &Core) {
        if !core.is_little(core.run_queue.len()) {
            self.share(core);
        }
    }
}
