//! One blocked worker must not stall other tasks' timers and sockets.
//!
//! A ring can be driven by its thread only. A worker that sits in one task for long (or in many
//! without a look at its driver) leaves events in its ring unseen, where on Tokio another worker
//! would take the driver. So workers look after each other:
//!
//! - A **busy** worker checks one sibling at each maintenance, in turn.
//! - While some workers run and others sleep, one of the sleepers is the **sentinel**: it sleeps
//!   for [`STALL`] at a time and looks at all of them. A worker that wakes up and finds sleepers
//!   but no sentinel appoints one. To wake it costs as much as the work of a short task, so once
//!   nobody runs the sentinel stays for a few looks more ([`LINGER`]): a runtime that sleeps
//!   between requests does not appoint one for each. Then it resigns: an idle runtime makes no
//!   wake-ups.
//!
//! A sibling that neither turned nor slept for [`STALL`] is stalled: its queue is stolen from as
//! always, its timers are fired and its sockets polled until it turns again.

use crate::driver::Progress;

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// After how long without a turn a running worker counts as stalled.
pub(super) const STALL: Duration = Duration::from_millis(1);

/// After so many looks at a runtime in which nobody ran the sentinel resigns.
const LINGER: u32 = 4;

const NOBODY: usize = usize::MAX;

/// Which worker is the sentinel.
#[derive(Debug)]
pub(super) struct Sentinel {
    holder: AtomicUsize,
    /// Did a worker begin to run since the sentinel's last look?
    wanted: AtomicBool,
}

impl Sentinel {
    pub(super) fn new() -> Sentinel {
        Sentinel { holder: AtomicUsize::new(NOBODY), wanted: AtomicBool::new(false) }
    }

    /// A worker begins to run: `true` if it must appoint a sentinel.
    pub(super) fn is_missing(&self) -> bool {
        if self.holder.load(SeqCst) == NOBODY {
            return true;
        }
        // A load first: the line is shared by all workers.
        if !self.wanted.load(Relaxed) {
            self.wanted.store(true, Relaxed);
        }
        false
    }

    pub(super) fn is(&self, worker: usize) -> bool {
        self.holder.load(SeqCst) == worker
    }

    /// Has a worker begun to run since the last time this was asked?
    fn was_wanted(&self) -> bool {
        self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed)
    }

    /// `worker` takes the post, if it is vacant (or its own already).
    pub(super) fn take(&self, worker: usize) -> bool {
        match self.holder.compare_exchange(NOBODY, worker, SeqCst, SeqCst) {
            Ok(_) => true,
            Err(holder) => holder == worker,
        }
    }

    /// `worker` resigns, if it holds the post.
    pub(super) fn resign(&self, worker: usize) {
        let _ = self.holder.compare_exchange(worker, NOBODY, SeqCst, SeqCst);
    }
}

/// What one worker knows of its siblings' progress.
#[derive(Debug)]
pub(super) struct Watchdog {
    seen: Box<[Option<(Progress, Instant)>]>,
    next: usize,
    /// Looks in a row, as the sentinel, at a runtime in which nobody ran.
    idle_looks: u32,
}

impl Watchdog {
    pub(super) fn new(workers: usize) -> Watchdog {
        Watchdog { seen: vec![None; workers].into_boxed_slice(), next: 0, idle_looks: 0 }
    }

    /// Nobody runs right now. Does the sentinel stay on its post even so?
    pub(super) fn lingers(&mut self, sentinel: &Sentinel) -> bool {
        self.idle_looks = if sentinel.was_wanted() { 0 } else { self.idle_looks + 1 };
        self.idle_looks < LINGER
    }

    /// The sibling whose turn it is to be looked at.
    pub(super) fn next(&mut self) -> usize {
        self.next = (self.next + 1) % self.seen.len();
        self.next
    }

    /// Takes a look at `worker`; `true` if it made no progress for [`STALL`] and does not sleep.
    pub(super) fn is_stalled(&mut self, worker: usize, progress: Progress, now: Instant) -> bool {
        match &self.seen[worker] {
            Some((before, since)) if *before == progress && !progress.is_parked => {
                now.saturating_duration_since(*since) >= STALL
            }
            _ => {
                self.seen[worker] = Some((progress, now));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(turns: u64, is_parked: bool) -> Progress {
        Progress { turns, is_parked }
    }

    #[test]
    fn a_worker_is_stalled_after_a_while_without_a_turn() {
        let mut dog = Watchdog::new(2);
        let start = Instant::now();
        assert!(!dog.is_stalled(1, progress(7, false), start));
        assert!(!dog.is_stalled(1, progress(7, false), start + STALL / 2));
        assert!(dog.is_stalled(1, progress(7, false), start + STALL));
        assert!(!dog.is_stalled(1, progress(8, false), start + STALL * 2));
        assert!(!dog.is_stalled(1, progress(8, false), start + STALL * 2));
    }

    #[test]
    fn a_sleeping_worker_is_not_stalled() {
        let mut dog = Watchdog::new(2);
        let start = Instant::now();
        for i in 0..5 {
            assert!(!dog.is_stalled(0, progress(7, true), start + STALL * i));
        }
    }

    #[test]
    fn there_is_one_sentinel() {
        let sentinel = Sentinel::new();
        assert!(sentinel.take(3));
        assert!(sentinel.take(3));
        assert!(!sentinel.take(1));
        sentinel.resign(1);
        assert!(sentinel.is(3));
        assert!(!sentinel.is_missing());
        sentinel.resign(3);
        assert!(sentinel.is_missing());
        assert!(sentinel.take(1));
    }

    #[test]
    fn the_sentinel_of_an_idle_runtime_resigns_after_a_while() {
        let sentinel = Sentinel::new();
        let mut dog = Watchdog::new(2);
        assert!(sentinel.take(0));
        for _ in 0..3 {
            // A worker ran in between.
            assert!(!sentinel.is_missing());
            let looks = (0..100).take_while(|_| dog.lingers(&sentinel)).count();
            assert_eq!(looks as u32, LINGER);
        }
    }
}
