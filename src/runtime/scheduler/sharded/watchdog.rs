//! One blocked worker must not stall other tasks' timers and sockets.
//!
//! A ring can be driven by its thread only. A worker that sits in one task for long (or in many
//! without a look at its driver) leaves events in its ring unseen, where on Tokio another worker
//! would take the driver. So workers look after each other:
//!
//! - A **busy** worker checks one sibling at each maintenance, in turn.
//! - While some workers run and others sleep, one of the sleepers is the **sentinel**: it sleeps
//!   for [`STALL`] at a time and looks at all of them. A worker that wakes up and finds sleepers
//!   but no sentinel appoints one. Once nobody runs, the sentinel resigns: an idle runtime
//!   makes no wake-ups.
//!
//! A sibling that neither turned nor slept for [`STALL`] is stalled: its queue is stolen from as
//! always, its timers are fired and its sockets polled until it turns again.

use crate::driver::Progress;

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// After how long without a turn a running worker counts as stalled.
pub(super) const STALL: Duration = Duration::from_millis(1);

const NOBODY: usize = usize::MAX;

/// Which worker is the sentinel.
#[derive(Debug)]
pub(super) struct Sentinel(AtomicUsize);

impl Sentinel {
    pub(super) fn new() -> Sentinel {
        Sentinel(AtomicUsize::new(NOBODY))
    }

    pub(super) fn is_vacant(&self) -> bool {
        self.0.load(SeqCst) == NOBODY
    }

    /// `worker` takes the post, if it is vacant (or its own already).
    pub(super) fn take(&self, worker: usize) -> bool {
        match self.0.compare_exchange(NOBODY, worker, SeqCst, SeqCst) {
            Ok(_) => true,
            Err(holder) => holder == worker,
        }
    }

    /// `worker` resigns, if it holds the post.
    pub(super) fn resign(&self, worker: usize) {
        let _ = self.0.compare_exchange(worker, NOBODY, SeqCst, SeqCst);
    }
}

/// What one worker knows of its siblings' progress.
#[derive(Debug)]
pub(super) struct Watchdog {
    seen: Box<[Option<(Progress, Instant)>]>,
    next: usize,
}

impl Watchdog {
    pub(super) fn new(workers: usize) -> Watchdog {
        Watchdog { seen: vec![None; workers].into_boxed_slice(), next: 0 }
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
        assert!(!sentinel.is_vacant());
        sentinel.resign(3);
        assert!(sentinel.take(1));
    }
}
