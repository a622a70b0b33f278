//! One blocked worker must not stall other tasks' timers and sockets.
//!
//! Events come to whoever looks into the runtime's watch set. But a worker that sits in one task for long
//! (or in many without a look at its driver) leaves its timers unfired and its mail unread, and if
//! all others sleep elsewhere, nobody is in the set. So workers look after each other:
//!
//! - A **busy** worker looks at one sibling after a turn, in turn, so that each is looked at about twice
//!   in a [`STALL`].
//! - While some workers run and others sleep, one or two of the sleepers are **sentinels**: they
//!   sleep for [`STALL`] at a time and look at all of them. A worker that wakes up and finds
//!   sleepers but no sentinel appoints one.
//! - To wake it costs as much as the work of a short task, so it is avoided: a worker that sleeps
//!   for short times only takes a post by itself, and of two sentinels one is left when the other
//!   one begins to run. And once nobody runs they stay for a few looks more ([`LINGER`]): a runtime
//!   that sleeps between requests does not appoint one for each. Then they resign: an idle runtime
//!   makes no wake-ups.
//!
//! A sibling that neither turned nor slept for [`STALL`] is stalled: its queue is stolen from as
//! always, its timers are fired and its mail is served until it turns again. A sentinel lies down in the
//! watch set, if nobody is there.
//!
//! A sentinel that sleeps on behalf of stalled siblings is woken for what comes to them: timers, mail, tasks that the
//! stuck one wakes, or that wake themselves there when it has gone on. So if nobody else runs, who might get stuck next,
//! there is no need to look each [`STALL`]: it resigns and sleeps for long ([`PATIENCE`]).

use crate::driver::Progress;

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

/// After how long without a turn a running worker counts as stalled.
pub(super) const STALL: Duration = Duration::from_millis(1);

/// After so many looks at a runtime in which nobody ran a sentinel resigns.
const LINGER: u32 = 4;

/// For so long a sentinel sleeps on behalf of stalled siblings if nothing comes to them and nobody else runs. It would
/// be woken; this is for what nobody has thought of.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

const NOBODY: usize = usize::MAX;

/// Which workers are sentinels.
#[derive(Debug)]
pub(super) struct Sentinels {
    posts: [AtomicUsize; POSTS],
    /// Did a worker begin to run since a sentinel's last look?
    wanted: AtomicBool,
}

/// Two: when workers with sockets of their own take turns, one of them stays behind.
const POSTS: usize = 2;

impl Sentinels {
    pub(super) fn new() -> Sentinels {
        Sentinels { posts: [const { AtomicUsize::new(NOBODY) }; POSTS], wanted: AtomicBool::new(false) }
    }

    /// A worker begins to run: `true` if it must appoint a sentinel.
    pub(super) fn are_missing(&self) -> bool {
        if self.posts.iter().all(|post| post.load(SeqCst) == NOBODY) {
            return true;
        }
        // A load first: the line is shared by all workers.
        if !self.wanted.load(Relaxed) {
            self.wanted.store(true, Relaxed);
        }
        false
    }

    pub(super) fn include(&self, worker: usize) -> bool {
        self.posts.iter().any(|post| post.load(SeqCst) == worker)
    }

    /// Has a worker begun to run since the last time this was asked?
    fn was_wanted(&self) -> bool {
        self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed)
    }

    /// `worker` takes a post, if one is vacant (or its own already).
    pub(super) fn take(&self, worker: usize) -> bool {
        let vacant = |post: &AtomicUsize| post.compare_exchange(NOBODY, worker, SeqCst, SeqCst).is_ok();
        self.include(worker) || self.posts.iter().any(vacant)
    }

    /// `worker` resigns, if it holds a post.
    pub(super) fn resign(&self, worker: usize) {
        // A worker holds one at most, and only itself takes or leaves it.
        if let Some(post) = self.posts.iter().find(|post| post.load(SeqCst) == worker) {
            post.store(NOBODY, SeqCst);
        }
    }
}

/// What one worker knows of its siblings' progress.
#[derive(Debug)]
pub(super) struct Watchdog {
    seen: Box<[Option<(Progress, Instant)>]>,
    next: usize,
    /// When a busy worker looks at the next one.
    next_look: Option<Instant>,
    /// Looks in a row, as a sentinel, at a runtime in which nobody ran.
    idle_looks: u32,
    /// Was the last sleep shorter than a sentinel's would be?
    slept_briefly: bool,
    /// Those that were found stalled, and are to be served.
    pub(super) stalled: Vec<usize>,
}

impl Watchdog {
    pub(super) fn new(workers: usize) -> Watchdog {
        Watchdog {
            seen: vec![None; workers].into_boxed_slice(),
            next: 0,
            next_look: None,
            idle_looks: 0,
            slept_briefly: false,
            stalled: Vec::new(),
        }
    }

    /// Goes to sleep: not for long, to go by the last time? Then a post costs nothing.
    pub(super) fn expects_a_short_sleep(&mut self) -> bool {
        self.idle_looks = 0;
        self.slept_briefly
    }

    /// When a sleep begins; `None` for a worker that has nobody to look after.
    pub(super) fn bedtime(&self) -> Option<Instant> {
        (self.seen.len() > 1).then(Instant::now)
    }

    pub(super) fn slept_since(&mut self, bedtime: Option<Instant>) {
        self.slept_briefly = bedtime.is_some_and(|start| start.elapsed() < STALL);
    }

    /// Nobody runs right now. Does the sentinel stay on its post even so?
    pub(super) fn lingers(&mut self, sentinels: &Sentinels) -> bool {
        self.idle_looks = if sentinels.was_wanted() { 0 } else { self.idle_looks + 1 };
        self.idle_looks < LINGER
    }

    /// The sibling whose turn it is to be looked at, if it is time for one.
    pub(super) fn next(&mut self, now: Instant) -> Option<usize> {
        let n = self.seen.len();
        if n < 2 || self.next_look.is_some_and(|next_look| now < next_look) {
            return None;
        }
        self.next_look = now.checked_add(STALL / 2 / n as u32);
        self.next = (self.next + 1) % n;
        Some(self.next)
    }

    /// Takes a look at `worker`; `true` if it made no progress for [`STALL`] and does not sleep.
    pub(super) fn is_stalled(&mut self, worker: usize, progress: Progress, now: Instant) -> bool {
        match self.seen[worker] {
            Some((before, since)) if before == progress && !progress.is_parked => {
                now.saturating_duration_since(since) >= STALL
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
    fn each_sibling_is_looked_at_twice_in_a_while() {
        let mut dog = Watchdog::new(4);
        let start = Instant::now();
        let steps = 1_000;
        let looks = (0..steps).filter_map(|i| dog.next(start + STALL * i / steps)).collect::<Vec<_>>();
        for sibling in 0..4 {
            assert_eq!(looks.iter().filter(|&&look| look == sibling).count(), 2, "{looks:?}");
        }
        assert_eq!(Watchdog::new(1).next(start), None);
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
    fn there_are_two_sentinels_at_most() {
        let sentinels = Sentinels::new();
        assert!(sentinels.are_missing());
        assert!(sentinels.take(3));
        assert!(sentinels.take(3));
        assert!(sentinels.take(1));
        assert!(!sentinels.take(2));
        sentinels.resign(2);
        sentinels.resign(3);
        assert!(!sentinels.include(3) && sentinels.include(1));
        assert!(!sentinels.are_missing());
        assert!(sentinels.take(2));
        sentinels.resign(1);
        sentinels.resign(2);
        assert!(sentinels.are_missing());
    }

    #[test]
    fn the_sentinels_of_an_idle_runtime_resign_after_a_while() {
        let sentinels = Sentinels::new();
        let mut dog = Watchdog::new(2);
        assert!(sentinels.take(0));
        for _ in 0..3 {
            // A worker ran in between.
            assert!(!sentinels.are_missing());
            let looks = (0..100).take_while(|_| dog.lingers(&sentinels)).count();
            assert_eq!(looks as u32, LINGER);
        }
    }

    #[test]
    fn the_last_sleep_tells_about_the_next() {
        let mut dog = Watchdog::new(2);
        assert!(!dog.expects_a_short_sleep());
        let long_ago = Instant::now() - STALL * 10;
        dog.slept_since(Some(long_ago));
        assert!(!dog.expects_a_short_sleep());
        dog.slept_since(Some(Instant::now() + STALL));
        assert!(dog.expects_a_short_sleep());
        dog.slept_since(Some(long_ago));
        assert!(!dog.expects_a_short_sleep());
    }

    #[test]
    fn a_worker_without_siblings_is_no_sentinel() {
        let mut dog = Watchdog::new(1);
        dog.slept_since(dog.bedtime());
        assert!(!dog.expects_a_short_sleep());
    }
}
