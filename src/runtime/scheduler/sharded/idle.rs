//! Which workers sleep, and how many look for work.
//!
//! # Protocol
//!
//! - A new task wakes one sleeping worker, but only if none is **searching** already: the
//!   searcher that finds work wakes the next one when it stops searching.
//! - At most half of the workers search at a time.
//! - The last searcher to give up looks through all queues once more *after* it is counted as
//!   sleeping: a task pushed meanwhile was seen either by that look, or its pusher saw no
//!   searcher and wakes somebody.
//! - Counters are read without the lock; sleepers are changed under it.

use crate::loom::sync::Mutex;
use crate::loom::sync::atomic::AtomicUsize;
use crate::loom::sync::atomic::Ordering::SeqCst;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Idle {
    /// Searching workers in the low half, running (or searching) ones in the high half.
    state: AtomicUsize,
    sleepers: Mutex<Vec<usize>>,
    num_workers: usize,
}

const UNPARKED_SHIFT: u32 = 16;
const SEARCHING_MASK: usize = (1 << UNPARKED_SHIFT) - 1;
const ONE_UNPARKED: usize = 1 << UNPARKED_SHIFT;
const ONE_SEARCHING: usize = 1;

impl Idle {
    /// All `num_workers` run.
    pub(crate) fn new(num_workers: usize) -> Idle {
        Idle {
            state: AtomicUsize::new(num_workers << UNPARKED_SHIFT),
            sleepers: Mutex::new(Vec::with_capacity(num_workers)),
            num_workers,
        }
    }

    fn searching(state: usize) -> usize {
        state & SEARCHING_MASK
    }

    fn unparked(state: usize) -> usize {
        state >> UNPARKED_SHIFT
    }

    fn wants_searcher(&self) -> bool {
        // A read-modify-write, so that it is ordered after the push of the task it is for.
        let state = self.state.fetch_add(0, SeqCst);
        Idle::searching(state) == 0 && Idle::unparked(state) < self.num_workers
    }

    /// A sleeping worker that the caller must wake; it is counted as searching from now on.
    pub(crate) fn worker_to_notify(&self) -> Option<usize> {
        if !self.wants_searcher() {
            return None;
        }
        let mut sleepers = self.sleepers.lock();
        if !self.wants_searcher() {
            return None;
        }
        let worker = sleepers.pop()?;
        self.state.fetch_add(ONE_UNPARKED + ONE_SEARCHING, SeqCst);
        Some(worker)
    }

    /// `worker` goes to sleep; `true` if it was the last one searching.
    pub(crate) fn start_sleeping(&self, worker: usize, is_searching: bool) -> bool {
        let mut sleepers = self.sleepers.lock();
        let change = ONE_UNPARKED + if is_searching { ONE_SEARCHING } else { 0 };
        let before = self.state.fetch_sub(change, SeqCst);
        sleepers.push(worker);
        is_searching && Idle::searching(before) == 1
    }

    /// May one more worker search? If so it is counted.
    pub(crate) fn start_searching(&self) -> bool {
        let state = self.state.load(SeqCst);
        if 2 * Idle::searching(state) >= self.num_workers {
            return false;
        }
        self.state.fetch_add(ONE_SEARCHING, SeqCst);
        true
    }

    /// A worker found work; `true` if no other one searches.
    pub(crate) fn stop_searching(&self) -> bool {
        Idle::searching(self.state.fetch_sub(ONE_SEARCHING, SeqCst)) == 1
    }

    /// `worker` woke by itself; `false` if somebody had woken it already (and counted it).
    pub(crate) fn wake_up(&self, worker: usize) -> bool {
        let mut sleepers = self.sleepers.lock();
        match sleepers.iter().position(|&sleeper| sleeper == worker) {
            Some(position) => {
                // In order: the oldest is woken last.
                sleepers.remove(position);
                self.state.fetch_add(ONE_UNPARKED, SeqCst);
                true
            }
            None => false,
        }
    }

    /// Does `worker` count as sleeping?
    pub(crate) fn is_sleeping(&self, worker: usize) -> bool {
        self.sleepers.lock().contains(&worker)
    }

    /// The worker that is woken for a task after all others; it stays counted as sleeping.
    pub(crate) fn oldest_sleeper(&self) -> Option<usize> {
        self.sleepers.lock().first().copied()
    }

    /// Does any worker run?
    pub(crate) fn any_running(&self) -> bool {
        self.num_running() > 0
    }

    /// How many do?
    pub(crate) fn num_running(&self) -> usize {
        Idle::unparked(self.state.load(SeqCst))
    }
}

#[cfg(all(test, not(spargio_loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_searcher_is_enough() {
        let idle = Idle::new(4);
        assert_eq!(idle.worker_to_notify(), None);
        idle.start_sleeping(2, false);
        idle.start_sleeping(3, false);
        assert_eq!(idle.worker_to_notify(), Some(3));
        assert_eq!(idle.worker_to_notify(), None);
        assert!(idle.stop_searching());
        assert_eq!(idle.worker_to_notify(), Some(2));
    }

    #[test]
    fn at_most_half_search() {
        let idle = Idle::new(4);
        assert!(idle.start_searching());
        assert!(idle.start_searching());
        assert!(!idle.start_searching());
        assert!(!idle.stop_searching());
        assert!(idle.stop_searching());
    }

    #[test]
    fn the_last_searcher_is_told() {
        let idle = Idle::new(4);
        assert!(idle.start_searching());
        assert!(idle.start_searching());
        assert!(!idle.start_sleeping(0, true));
        assert!(idle.start_sleeping(1, true));
    }

    #[test]
    fn waking_twice_counts_once() {
        let idle = Idle::new(2);
        idle.start_sleeping(0, false);
        assert!(idle.is_sleeping(0));
        assert!(idle.wake_up(0));
        assert!(!idle.wake_up(0));
        assert!(idle.any_running());
    }
}
