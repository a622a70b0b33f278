//! What a ring has done, in numbers. Written by its owner, read by anybody.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// How many opcodes are told apart; later ones share the last counter.
const OPCODES: usize = 64;

/// The counters of one ring.
#[derive(Debug)]
pub(crate) struct Stats {
    enters: AtomicU64,
    submissions: AtomicU64,
    largest_submission: AtomicU64,
    completions: AtomicU64,
    largest_completion: AtomicU64,
    overflows: AtomicU64,
    /// Operations the kernel never let go of; see the shutdown.
    leaked: AtomicU64,
    in_flight: [AtomicU32; OPCODES],
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            enters: AtomicU64::new(0),
            submissions: AtomicU64::new(0),
            largest_submission: AtomicU64::new(0),
            completions: AtomicU64::new(0),
            largest_completion: AtomicU64::new(0),
            overflows: AtomicU64::new(0),
            leaked: AtomicU64::new(0),
            in_flight: [const { AtomicU32::new(0) }; OPCODES],
        }
    }
}

/// One writer: no read-modify-write needed.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

fn raise(highest: &AtomicU64, n: u64) {
    if highest.load(Relaxed) < n {
        highest.store(n, Relaxed);
    }
}

impl Stats {
    pub(super) fn count_enter(&self, submissions: usize) {
        add(&self.enters, 1);
        if submissions > 0 {
            add(&self.submissions, submissions as u64);
            raise(&self.largest_submission, submissions as u64);
        }
    }

    pub(super) fn count_completions(&self, n: usize) {
        add(&self.completions, n as u64);
        raise(&self.largest_completion, n as u64);
    }

    /// Completions did not fit into their queue.
    pub(super) fn count_overflow(&self) {
        add(&self.overflows, 1);
    }

    pub(super) fn count_leaked(&self, n: usize) {
        add(&self.leaked, n as u64);
    }

    pub(super) fn took_off(&self, opcode: u8) {
        let counter = self.counter(opcode);
        counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(super) fn landed(&self, opcode: u8) {
        let counter = self.counter(opcode);
        counter.store(counter.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    fn counter(&self, opcode: u8) -> &AtomicU32 {
        &self.in_flight[usize::from(opcode).min(OPCODES - 1)]
    }
}

impl Stats {
    /// Adds what was counted here to `sum`.
    pub(in crate::driver) fn add_to(&self, sum: &mut RingStats) {
        sum.enters += self.enters.load(Relaxed);
        sum.submissions += self.submissions.load(Relaxed);
        sum.largest_submission = sum.largest_submission.max(self.largest_submission.load(Relaxed));
        sum.completions += self.completions.load(Relaxed);
        sum.largest_completion = sum.largest_completion.max(self.largest_completion.load(Relaxed));
        sum.overflows += self.overflows.load(Relaxed);
        sum.leaked += self.leaked.load(Relaxed);
        for (sum, counter) in sum.in_flight.iter_mut().zip(&self.in_flight) {
            *sum = sum.wrapping_add(counter.load(Relaxed));
        }
    }
}

/// The numbers of a shard, of all the rings it has had.
#[derive(Debug, Clone)]
pub(crate) struct RingStats {
    pub(crate) turns: u64,
    pub(crate) enters: u64,
    pub(crate) submissions: u64,
    pub(crate) largest_submission: u64,
    pub(crate) completions: u64,
    pub(crate) largest_completion: u64,
    pub(crate) overflows: u64,
    pub(crate) doorbells: u64,
    pub(crate) leaked: u64,
    /// Resources that are watched.
    pub(crate) watched: usize,
    /// Operations without a terminal completion, by opcode.
    pub(crate) in_flight: [u32; OPCODES],
}

impl Default for RingStats {
    fn default() -> RingStats {
        RingStats {
            turns: 0,
            enters: 0,
            submissions: 0,
            largest_submission: 0,
            completions: 0,
            largest_completion: 0,
            overflows: 0,
            doorbells: 0,
            leaked: 0,
            watched: 0,
            in_flight: [0; OPCODES],
        }
    }
}
