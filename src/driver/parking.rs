//! Whether and where a shard's thread sleeps, and what keeps it from falling asleep.
//!
//! # Protocol
//!
//! - Whoever has news leaves it where the owner looks, then calls [`Parking::notify`]. That says where
//!   the owner must be woken, if it sleeps.
//! - The owner goes `RUNNING` → asleep at a [`Place`] right before it waits there. That fails if it was
//!   notified, and then it does not wait. So either the notifier sees the place, or the owner sees
//!   `NOTIFIED`.

use crate::loom::sync::atomic::AtomicU32;
use crate::loom::sync::atomic::Ordering::{Acquire, SeqCst};

/// The owner runs tasks, or is on its way to.
const RUNNING: u32 = 0;
/// The owner must look around before it waits.
const NOTIFIED: u32 = 1;
// Any other value is a place.

/// Where the owner sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Place {
    /// On the word itself: it has nothing to look after.
    Bed = 2,
    /// In the watch set: its bell must be rung.
    Set = 3,
    /// In the ring: its doorbell must be rung.
    Ring = 4,
}

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Parking(AtomicU32);

impl Parking {
    pub(crate) fn new() -> Parking {
        Parking(AtomicU32::new(RUNNING))
    }

    /// Marks the owner notified; returns where it must be woken, if it sleeps.
    pub(crate) fn notify(&self) -> Option<Place> {
        Parking::place(self.0.swap(NOTIFIED, SeqCst))
    }

    fn place(state: u32) -> Option<Place> {
        [Place::Bed, Place::Set, Place::Ring].into_iter().find(|place| *place as u32 == state)
    }

    /// The owner is about to wait at `place`; `false` if it must look around instead.
    pub(crate) fn start(&self, place: Place) -> bool {
        let parked = self.0.compare_exchange(RUNNING, place as u32, SeqCst, SeqCst).is_ok();
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
        Parking::place(self.0.load(Acquire)).is_some()
    }
}

#[cfg(not(spargio_loom))]
mod bed {
    use std::time::{Duration, Instant};

    use super::{Acquire, Parking, Place};
    use crate::sys::futex;

    impl Parking {
        /// Sleeps at [`Place::Bed`], where [`start`](Parking::start) has put the owner, until it is
        /// notified or `limit` is over.
        pub(crate) fn sleep(&self, limit: Option<Duration>) {
            let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
            let mut left = limit;
            // Woken for no reason, or by a signal: it goes on.
            while self.0.load(Acquire) == Place::Bed as u32 && left != Some(Duration::ZERO) {
                futex::wait(&self.0, Place::Bed as u32, left);
                left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            }
        }

        /// Wakes the owner, who was found at [`Place::Bed`].
        pub(crate) fn wake(&self) {
            futex::wake(&self.0);
        }
    }
}
