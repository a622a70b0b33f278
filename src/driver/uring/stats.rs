//! What a ring has done, in numbers. Written by its owner, read by anybody.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};

/// How many opcodes are told apart; later ones share the last counter.
const OPCODES: usize = 64;

#[derive(Debug)]
pub(crate) struct Stats {
    enters: AtomicU64,
    submissions: AtomicU64,
    completions: AtomicU64,
    /// Operations the kernel never let go of; see the shutdown.
    leaked: AtomicU64,
    in_flight: [AtomicU32; OPCODES],
}

impl Default for Stats {
    fn default() -> Stats {
        Stats {
            enters: AtomicU64::new(0),
            submissions: AtomicU64::new(0),
            completions: AtomicU64::new(0),
            leaked: AtomicU64::new(0),
            in_flight: [const { AtomicU32::new(0) }; OPCODES],
        }
    }
}

/// One writer: no read-modify-write needed.
fn add(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Stats {
    pub(super) fn count_enter(&self, submissions: usize) {
        add(&self.enters, 1);
        if submissions > 0 {
            add(&self.submissions, submissions as u64);
        }
    }

    pub(super) fn count_completions(&self, n: usize) {
        add(&self.completions, n as u64);
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

#[allow(dead_code)]
impl Stats {
    /// Calls of `io_uring_enter`.
    pub(crate) fn enters(&self) -> u64 {
        self.enters.load(Relaxed)
    }

    /// Entries handed to the kernel.
    pub(crate) fn submissions(&self) -> u64 {
        self.submissions.load(Relaxed)
    }

    /// Completions reaped.
    pub(crate) fn completions(&self) -> u64 {
        self.completions.load(Relaxed)
    }

    /// Operations given up at the deadline of a shutdown.
    pub(crate) fn leaked(&self) -> u64 {
        self.leaked.load(Relaxed)
    }

    /// Operations (not polls) of this opcode that have no terminal completion yet.
    pub(crate) fn in_flight(&self, opcode: u8) -> u32 {
        self.counter(opcode).load(Relaxed)
    }
}
