//! The right to take events from a runtime's watch set.
//!
//! # Protocol
//!
//! - One thread at a time holds it: while it sleeps in the set, or looks into it. It lets go before
//!   it wakes anybody. The others sleep elsewhere.
//! - Whoever goes to sleep tries to get it first. So with all workers asleep one of them sleeps in the
//!   set: the last one to lie down found it free, or held by one that sleeps, or by one that looks,
//!   and that one is awake and will lie down later.
//! - A worker that wakes up and runs a long task leaves the set to nobody. Whoever runs looks into it
//!   every now and then, and sleepers that look after their siblings (the scheduler's sentinels) lie
//!   down in it.
//! - Who sleeps in the set itself, not in a ring that waits in it, **listens** for the bell, and has said so
//!   before anybody could see it asleep. A ring whose wait is still armed when its thread has let go may
//!   take the bell: it rings again for whoever listens by then.
//!
//! It saves wake-ups and system calls; events would come to one thread only without it as well.

use crate::loom::sync::atomic::AtomicU32;
use crate::loom::sync::atomic::Ordering::{Relaxed, SeqCst};

const FREE: u32 = 0;
const HELD: u32 = 1;
/// By one that listens for the bell.
const LISTENING: u32 = 2;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Holder(AtomicU32);

/// The right; given back when dropped.
#[derive(Debug)]
pub(crate) struct Hold<'a>(&'a Holder);

impl Holder {
    pub(crate) fn new() -> Holder {
        Holder(AtomicU32::new(FREE))
    }

    /// The right, unless somebody has it.
    pub(crate) fn try_hold(&self) -> Option<Hold<'_>> {
        // A load first: workers that run share the line.
        let is_free =
            self.0.load(Relaxed) == FREE && self.0.compare_exchange(FREE, HELD, SeqCst, Relaxed).is_ok();
        is_free.then(|| Hold(self))
    }

    /// Does whoever has it listen for the bell?
    pub(crate) fn listens(&self) -> bool {
        self.0.load(SeqCst) == LISTENING
    }
}

impl Hold<'_> {
    /// Listens for the bell, until it is given back.
    pub(crate) fn listen(&self) {
        self.0.0.store(LISTENING, SeqCst);
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        self.0.0.store(FREE, SeqCst);
    }
}
