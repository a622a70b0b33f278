//! Whether a shard's thread sleeps, and what keeps it from falling asleep.
//!
//! # Protocol
//!
//! - Whoever has news leaves it where the owner looks, then calls [`Parking::notify`]; if that says
//!   so, the owner must also be woken.
//! - The owner goes `RUNNING` → `PARKED` right before it waits. That fails if it was notified, and
//!   then it does not wait. So either the notifier sees `PARKED`, or the owner sees `NOTIFIED`.

use crate::loom::sync::atomic::AtomicU8;
use crate::loom::sync::atomic::Ordering::{Acquire, SeqCst};

/// The owner runs tasks, or is on its way to.
const RUNNING: u8 = 0;
/// The owner waits.
const PARKED: u8 = 1;
/// The owner must look around before it waits.
const NOTIFIED: u8 = 2;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Parking(AtomicU8);

impl Parking {
    pub(crate) fn new() -> Parking {
        Parking(AtomicU8::new(RUNNING))
    }

    /// Marks the owner notified; `true` if it must be woken.
    pub(crate) fn notify(&self) -> bool {
        self.0.swap(NOTIFIED, SeqCst) == PARKED
    }

    /// The owner is about to wait; `false` if it must look around instead.
    pub(crate) fn start(&self) -> bool {
        let parked = self.0.compare_exchange(RUNNING, PARKED, SeqCst, SeqCst).is_ok();
        if !parked {
            self.look_around();
        }
        parked
    }

    /// The owner is back.
    pub(crate) fn stop(&self) {
        self.look_around();
    }

    /// Takes the notifications so far. A swap, since the owner must see what they are about: a
    /// store would not be ordered after the notifiers' pushes.
    fn look_around(&self) {
        self.0.swap(RUNNING, SeqCst);
    }

    /// Was the owner notified, and has not looked around since?
    pub(crate) fn is_notified(&self) -> bool {
        self.0.load(Acquire) == NOTIFIED
    }

    /// Does the owner wait?
    pub(crate) fn is_parked(&self) -> bool {
        self.0.load(Acquire) == PARKED
    }
}
