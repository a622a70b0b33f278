//! Memory that rings know: the side that is not bound to one of them.
//!
//! A ring learns of a block when an operation on it is submitted there for the first time, and is
//! told to forget it when the block's owner is gone. Whoever submits it later on another ring (its
//! task has moved, `block_in_place` has changed rings) has it registered there as well. So nobody
//! else has to know where a block is registered.

use std::sync::{Arc, Weak};

use crate::driver::uring::{Remote, forget_unused};
use crate::loom::sync::Mutex;
use crate::sys::fork::Origin;
use crate::sys::uring::Ring;
use crate::sys::uring::fixed::Memory;

/// A block of memory, registered with every ring that is asked for its index.
///
/// Operations on it own a reference to whoever has this, so none is in flight when it is dropped.
#[derive(Debug)]
pub(crate) struct FixedMemory {
    memory: Arc<Memory>,
    /// The rings that were told of it, and are told that it is gone.
    rings: Mutex<Vec<Notice>>,
}

impl FixedMemory {
    /// See [`Memory::MAX`].
    pub(crate) const MAX: usize = Memory::MAX;

    pub(crate) fn new(size: usize) -> FixedMemory {
        FixedMemory { memory: Arc::new(Memory::new(size)), rings: Mutex::default() }
    }

    pub(crate) fn begin(&self) -> std::ptr::NonNull<u8> {
        self.memory.begin()
    }

    /// Its index on `ring`, which is that of `home` and of this thread; `None` if the ring cannot
    /// know it (`RLIMIT_MEMLOCK`, too many of them).
    pub(crate) fn index_on(&self, home: &Arc<Remote>, ring: &mut Ring) -> Option<u16> {
        ring.fixed(&self.memory).unwrap_or_else(|| {
            let mut rings = self.rings.lock();
            rings.retain(|notice| notice.ring.strong_count() > 0);
            // It may have been told before, and have forgotten.
            if !rings.iter().any(|notice| notice.ring.as_ptr() == Arc::as_ptr(home)) {
                rings.push(Notice::to(home));
            }
            drop(rings);
            ring.register_fixed(&self.memory)
        })
    }
}

impl Drop for FixedMemory {
    fn drop(&mut self) {
        // Before the rings are told.
        self.memory.retire();
    }
}

/// A ring that knows something which goes before this does; then it is told to forget it.
#[derive(Debug)]
pub(crate) struct Notice {
    ring: Weak<Remote>,
    origin: Origin,
}

impl Notice {
    pub(crate) fn to(ring: &Arc<Remote>) -> Notice {
        Notice { ring: Arc::downgrade(ring), origin: Origin::here() }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        // In the child of a fork the ring is the parent's.
        if self.origin.is_here() {
            self.ring.upgrade().iter().for_each(|ring| forget_unused(ring));
        }
    }
}
