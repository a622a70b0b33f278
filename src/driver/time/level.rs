//! One level of the wheel: 64 slots, each a list of nodes.

use super::slab::NIL;

/// Bits of a tick that one level looks at.
pub(super) const LEVEL_BITS: u32 = 6;

/// Slots of a level.
pub(super) const SLOTS: usize = 1 << LEVEL_BITS;

/// A list of nodes, first in first out. The links are in the nodes.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) head: u32,
    pub(super) tail: u32,
}

impl List {
    pub(super) const EMPTY: List = List { head: NIL, tail: NIL };

    pub(super) fn is_empty(self) -> bool {
        self.head == NIL
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) list: List,
    /// No timer of this slot fires before. Exact when the slot was filled; a timer that
    /// is cancelled or put off leaves it too early, never too late.
    pub(super) earliest: u64,
}

impl Slot {
    const EMPTY: Slot = Slot { list: List::EMPTY, earliest: u64::MAX };
}

#[derive(Debug)]
pub(super) struct Level {
    /// Bit `n` is set while slot `n` has a node.
    occupied: u64,
    slots: [Slot; SLOTS],
}

impl Level {
    pub(super) const EMPTY: Level = Level { occupied: 0, slots: [Slot::EMPTY; SLOTS] };

    pub(super) fn is_empty(&self) -> bool {
        self.occupied == 0
    }

    /// The first slot with a node; meaningless for an empty level.
    pub(super) fn first(&self) -> usize {
        self.occupied.trailing_zeros() as usize
    }

    pub(super) fn slot(&self, slot: usize) -> &Slot {
        &self.slots[slot]
    }

    pub(super) fn slot_mut(&mut self, slot: usize) -> &mut Slot {
        &mut self.slots[slot]
    }

    /// Marks a slot that has just got a node firing at `when`.
    pub(super) fn filled(&mut self, slot: usize, when: u64) {
        self.occupied |= 1 << slot;
        let earliest = &mut self.slots[slot].earliest;
        *earliest = when.min(*earliest);
    }

    /// Empties a slot and hands out its list.
    pub(super) fn take(&mut self, slot: usize) -> List {
        self.occupied &= !(1 << slot);
        std::mem::replace(&mut self.slots[slot], Slot::EMPTY).list
    }
}
