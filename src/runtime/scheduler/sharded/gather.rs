//! A few short tasks are no work for two workers.
//!
//! To wake a sleeping worker takes some ten microseconds of processor time from both sides, and more on a
//! virtual machine. On epoll one worker waits for all sockets while the others sleep on. Here each
//! has a ring of its own, and each would wake up for the few events of its own sockets. So,
//! measured in [`WORTH_A_WORKER`]:
//!
//! - A worker that its driver wakes up to **little to do** does not wake a sibling to help.
//! - A worker that wakes up in its sleep to little, while a sibling runs and has little, too, hands
//!   it **over**, and sleeps on. The tasks go by the injection queue, and the sockets that woke it are
//!   given up: their tasks have them watched where they run from now on. It only goes from the
//!   worker that watches fewer sockets to the one that watches more, so they do not go back and forth.
//!
//! With much to do everybody runs, keeps what is his, and nothing is handed over: tasks that are
//! stolen time and again then move with their sockets, see [`driver`](crate::driver).
//!
//! How long a task takes is known on average only. If whoever got tasks is stuck in a long one, the
//! others are found like all that a stuck worker has: see [`watchdog`](super::watchdog). How nothing is
//! lost in between: see [`idle`](super::idle).

use super::tuning::Tuning;
use super::worker::{Context, Core};

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// What takes longer, all in all, is worth to be shared.
const WORTH_A_WORKER: Duration = Duration::from_micros(50);

/// So many tasks are, whatever they take. The driver remembers as many sockets.
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

    /// Says how much this worker has that could be handed over.
    pub(super) fn publish_sockets(&self) {
        let movable = self.driver.borrow().movable();
        self.worker().shared().sockets.store(movable, Relaxed);
    }

    /// In its sleep: hands the little that there is to do over to a sibling that runs.
    pub(super) fn hand_over(&self, mut core: Box<Core>) -> Box<Core> {
        if !self.would_hand_over(&core) {
            return core;
        }
        core.in_turn = true;
        core = self.with_core_in_place(core, || self.driver.borrow_mut().give_up_recent());
        core.in_turn = false;
        let shared = &self.handle().shared;
        let tasks: Vec<_> = std::iter::from_fn(|| core.next_local_task()).collect();
        shared.inject.push_batch(tasks.into_iter());
        if !shared.idle.any_running_after_push() {
            self.handle().notify_parked();
        }
        core
    }

    fn would_hand_over(&self, core: &Core) -> bool {
        let shared = &self.handle().shared;
        let n = core.run_queue.len();
        n > 0
            && core.is_little(n + shared.inject.len())
            && shared.idle.any_running()
            && core.pinned.is_empty()
            && !core.is_shutdown
            && self.worker().shared().sockets.load(Relaxed) > 0
            && self.sibling_would_take(core)
            && shared.idle.is_sleeping(self.worker_index())
    }

    /// Is there a sibling with more sockets, and nobody with much to do?
    fn sibling_would_take(&self, core: &Core) -> bool {
        let workers = &self.handle().shared.workers;
        let sockets = |worker: usize| (workers[worker].sockets.load(Relaxed), worker);
        let me = self.worker_index();
        workers.iter().all(|worker| core.is_little(worker.steal.len()))
            && (0..workers.len()).any(|worker| sockets(worker) > sockets(me))
    }
}
