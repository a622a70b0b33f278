//! A hierarchical timing wheel (Varghese and Lauck) with exact deadlines.
//!
//! Time is a `u64` of nanoseconds since the runtime's clock started. A *tick* is 2^14 of
//! them (16.4 µs). Level 0 has one slot per tick; each level above has slots 64 times as
//! wide, so nine levels cover every `u64` and nothing ever wraps around:
//!
//! | level | slot    | whole level |
//! |-------|---------|-------------|
//! | 0     | 16.4 µs | 1 ms        |
//! | 1     | 1 ms    | 67 ms       |
//! | 2     | 67 ms   | 4.3 s       |
//! | 3     | 4.3 s   | 4.6 min     |
//! | 4     | 4.6 min | 4.9 h       |
//! | 5     | 4.9 h   | 13 days     |
//! | 6     | 13 days | 2.3 years   |
//! | 7     | 2.3 y   | 146 years   |
//! | 8     | 146 y   | 584 years (4 slots used) |
//!
//! # Protocol
//!
//! - `elapsed` is the tick up to which the wheel has turned. A node sits on the level of
//!   the highest 6-bit digit in which its tick differs from `elapsed`, in the slot of that
//!   digit. Hence all occupied slots lie ahead, a lower level's before a higher level's,
//!   and the first occupied slot of the lowest occupied level is the next one.
//! - [`Wheel::expire`] turns the wheel: a slot that is reached is emptied and its nodes are
//!   filed again, on a lower level; those of level 0 that are due go to the `due` list. So
//!   timers fire in the order of their ticks, and within a tick in the order in which they
//!   were added, even after the time has jumped. A node moves at most nine times.
//! - Deadlines are compared in nanoseconds, so ticks cost no precision: nothing fires
//!   early, and the slot of the current tick may hold nodes that are not due yet.
//! - Every slot knows its earliest deadline, so the owner sleeps until something is due;
//!   it does not wake to move nodes between levels.
//! - A later deadline is only noted in the node ([`Wheel::reset`]); the node moves when
//!   the wheel comes across it. A connection that pushes its timeout ahead on every
//!   message costs a store each time.
//! - [`Wheel::pop_due`] frees a node: its key is unknown from then on, and that *is* how
//!   an entry learns that its timer has fired.
//!
//! Nothing here calls user code: wakers are handed out and dropped by the caller, who
//! must have released the wheel's lock by then.

use super::level::{LEVEL_BITS, Level, List};
use super::slab::{Key, NIL, Slab};

use std::task::Waker;

const TICK_BITS: u32 = 14;

const LEVELS: usize = 9;
const _: () = assert!(TICK_BITS + LEVELS as u32 * LEVEL_BITS >= u64::BITS);

/// `Node::place` of a node in the due list; otherwise it is `level << 6 | slot`.
const DUE: u16 = u16::MAX;

#[derive(Debug)]
pub(super) struct Wheel {
    elapsed: u64,
    /// Bit `n` is set while level `n` has a node.
    occupied: u16,
    /// Each is made for its first node: most runtimes never use more than a few, and a small one may come and go
    /// without any.
    levels: [Option<Box<Level>>; LEVELS],
    due: List,
    nodes: Slab,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Wheel {
            elapsed: 0,
            occupied: 0,
            levels: [const { None }; LEVELS],
            due: List::EMPTY,
            nodes: Slab::new(),
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Files a timer for `when`.
    pub(super) fn insert(&mut self, when: u64, waker: Option<Waker>) -> Key {
        let key = self.nodes.insert(when, waker);
        let index = self.nodes.find(key).expect("just inserted");
        self.file(index);
        key
    }

    /// Has this timer neither fired nor been removed?
    pub(super) fn contains(&self, key: Key) -> bool {
        self.nodes.find(key).is_some()
    }

    /// The waker's place of a timer that has not fired.
    pub(super) fn waker_mut(&mut self, key: Key) -> Option<&mut Option<Waker>> {
        let index = self.nodes.find(key)?;
        Some(&mut self.nodes[index].waker)
    }

    /// Removes a timer. `None` if it has fired.
    pub(super) fn remove(&mut self, key: Key) -> Option<Option<Waker>> {
        let index = self.nodes.find(key)?;
        self.unlink(index);
        Some(self.nodes.remove(index))
    }

    /// Puts a timer off without moving it. `false` if it cannot be done that way: it has
    /// fired, is about to, or would fire earlier than before.
    pub(super) fn extend(&mut self, key: Key, when: u64) -> bool {
        let Some(index) = self.nodes.find(key) else {
            return false;
        };
        let node = &mut self.nodes[index];
        if node.place == DUE || when < node.when {
            return false;
        }
        node.when = when;
        true
    }

    /// Moves a timer to an earlier or later deadline. `false` if it has fired.
    pub(super) fn reset(&mut self, key: Key, when: u64) -> bool {
        let Some(index) = self.nodes.find(key) else {
            return false;
        };
        self.unlink(index);
        self.nodes[index].when = when;
        self.file(index);
        true
    }

    /// Nothing fires before this instant; `None` if there is no timer.
    pub(super) fn earliest(&self) -> Option<u64> {
        if !self.due.is_empty() {
            return Some(0);
        }
        let (level, slot) = self.first()?;
        Some(self.level(level).slot(slot).earliest)
    }

    /// Turns the wheel to `now`: everything due by then is ready for [`Wheel::pop_due`].
    /// A `now` in the past of an earlier one does nothing.
    pub(super) fn expire(&mut self, now: u64) {
        let now_tick = now >> TICK_BITS;

        while let Some((level, slot)) = self.first() {
            let start = self.start_of(level, slot);
            let reached =
                if level == 0 { self.level(0).slot(slot).earliest <= now } else { start <= now_tick };
            if !reached {
                break;
            }

            self.elapsed = self.elapsed.max(start);
            let mut cursor = self.take(level, slot).head;
            while cursor != NIL {
                let index = cursor;
                let node = &self.nodes[index];
                cursor = node.next;
                if level == 0 && node.when <= now {
                    self.push(index, DUE);
                } else {
                    self.file(index);
                }
            }
        }
        self.elapsed = self.elapsed.max(now_tick);
    }

    /// Frees the next due timer and hands out its waker, if it had one.
    pub(super) fn pop_due(&mut self) -> Option<Option<Waker>> {
        let index = self.due.head;
        if index == NIL {
            return None;
        }
        self.unlink(index);
        Some(self.nodes.remove(index))
    }

    /// Removes all timers; the answer yields their wakers.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Waker> + use<> {
        self.levels = [const { None }; LEVELS];
        self.occupied = 0;
        self.due = List::EMPTY;
        self.nodes.clear()
    }

    /// The next slot that has nodes.
    fn first(&self) -> Option<(usize, usize)> {
        if self.occupied == 0 {
            return None;
        }
        let level = self.occupied.trailing_zeros() as usize;
        Some((level, self.level(level).first()))
    }

    /// A level that has a node.
    #[inline]
    fn level(&self, level: usize) -> &Level {
        self.levels[level].as_ref().expect("made for its first node")
    }

    #[inline]
    fn level_mut(&mut self, level: usize) -> &mut Level {
        self.levels[level].get_or_insert_with(|| Box::new(Level::EMPTY))
    }

    /// The first tick of a slot ahead.
    fn start_of(&self, level: usize, slot: usize) -> u64 {
        let shift = LEVEL_BITS * level as u32;
        let above = self.elapsed >> (shift + LEVEL_BITS) << (shift + LEVEL_BITS);
        above | (slot as u64) << shift
    }

    /// Puts a node that is in no list into the slot of its deadline.
    fn file(&mut self, index: u32) {
        // The tick of a deadline that has just passed may lie behind: file it as "now".
        let tick = (self.nodes[index].when >> TICK_BITS).max(self.elapsed);
        let differing = (tick ^ self.elapsed) | 1;
        let level = differing.ilog2() / LEVEL_BITS;
        let slot = (tick >> (LEVEL_BITS * level)) & ((1 << LEVEL_BITS) - 1);
        self.push(index, (level << LEVEL_BITS) as u16 | slot as u16);
    }

    fn list_mut(&mut self, place: u16) -> &mut List {
        if place == DUE {
            return &mut self.due;
        }
        let (level, slot) = split(place);
        &mut self.level_mut(level).slot_mut(slot).list
    }

    /// Appends a node to a list.
    fn push(&mut self, index: u32, place: u16) {
        let list = self.list_mut(place);
        let tail = std::mem::replace(&mut list.tail, index);
        if tail == NIL {
            list.head = index;
        } else {
            self.nodes[tail].next = index;
        }

        let node = &mut self.nodes[index];
        node.prev = tail;
        node.next = NIL;
        node.place = place;

        if place != DUE {
            let (level, slot) = split(place);
            let when = node.when;
            self.level_mut(level).filled(slot, when);
            self.occupied |= 1 << level;
        }
    }

    /// Takes a node out of the list it is in.
    fn unlink(&mut self, index: u32) {
        let node = &self.nodes[index];
        let (prev, next, place) = (node.prev, node.next, node.place);
        if prev != NIL {
            self.nodes[prev].next = next;
        }
        if next != NIL {
            self.nodes[next].prev = prev;
        }

        let list = self.list_mut(place);
        if prev == NIL {
            list.head = next;
        }
        if next == NIL {
            list.tail = prev;
        }
        if list.is_empty() && place != DUE {
            let (level, slot) = split(place);
            self.take(level, slot);
        }
    }

    /// Empties a slot.
    fn take(&mut self, level: usize, slot: usize) -> List {
        let level_mut = self.level_mut(level);
        let list = level_mut.take(slot);
        if level_mut.is_empty() {
            self.occupied &= !(1 << level);
        }
        list
    }
}

/// Level and slot of a `Node::place`.
fn split(place: u16) -> (usize, usize) {
    let place = usize::from(place);
    (place >> LEVEL_BITS, place & ((1 << LEVEL_BITS) - 1))
}

#[cfg(test)]
#[path = "wheel_tests.rs"]
mod tests;
