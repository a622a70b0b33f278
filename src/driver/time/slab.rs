//! The memory of a wheel: nodes addressed by index, checked by generation.
//!
//! A node is *live* from [`Slab::insert`] to [`Slab::remove`]. Its [`Key`] carries a
//! generation that no other node of the same slab ever gets again, so a key that
//! outlives its node is merely unknown: it can neither read nor cancel a stranger.

use std::task::Waker;

/// "No node": ends a list.
pub(super) const NIL: u32 = u32::MAX;

/// Generation of a free node; no key has it.
const FREE: u64 = 0;

/// A slab that is nearly empty gives memory beyond this many nodes back.
const KEEP: usize = 16 * 1024;

/// Names one timer of one wheel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    index: u32,
    generation: u64,
}

/// A timer as the wheel knows it.
#[derive(Debug)]
pub(super) struct Node {
    /// When it fires. A later deadline may be written here while the node stays in the
    /// slot of its old one; the wheel moves it when it gets there.
    pub(super) when: u64,
    generation: u64,
    pub(super) prev: u32,
    /// The next node of the list it is in; of the free list when it is free.
    pub(super) next: u32,
    /// The list it is in, see `wheel::Place`.
    pub(super) place: u16,
    pub(super) waker: Option<Waker>,
}

/// All the nodes of one wheel.
#[derive(Debug)]
pub(super) struct Slab {
    nodes: Vec<Node>,
    /// Head of the free list.
    free: u32,
    live: usize,
    /// The last generation given out.
    generation: u64,
    /// With no more live nodes than this it is worth looking for memory to give back.
    shrinks_below: usize,
}

impl Slab {
    pub(super) const fn new() -> Self {
        Slab { nodes: Vec::new(), free: NIL, live: 0, generation: FREE, shrinks_below: 0 }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// Adds a node that is in no list yet.
    ///
    /// # Panics
    ///
    /// If there are 2^32 - 1 timers already.
    pub(super) fn insert(&mut self, when: u64, waker: Option<Waker>) -> Key {
        self.generation += 1;
        let generation = self.generation;
        let node = Node { when, generation, prev: NIL, next: NIL, place: 0, waker };

        let index = if self.free == NIL {
            let index = u32::try_from(self.nodes.len()).unwrap_or(NIL);
            assert!(index != NIL, "timer is at capacity and cannot create a new entry");
            self.nodes.push(node);
            self.shrinks_below = self.nodes.len() / 4;
            index
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            self.nodes[index as usize] = node;
            index
        };
        self.live += 1;
        Key { index, generation }
    }

    /// The index of a live node.
    pub(super) fn find(&self, key: Key) -> Option<u32> {
        let node = self.nodes.get(key.index as usize)?;
        (node.generation == key.generation).then_some(key.index)
    }

    /// Frees a node that is in no list any more and hands out its waker.
    pub(super) fn remove(&mut self, index: u32) -> Option<Waker> {
        let node = &mut self.nodes[index as usize];
        debug_assert_ne!(node.generation, FREE);
        node.generation = FREE;
        node.next = self.free;
        let waker = node.waker.take();
        self.free = index;
        self.live -= 1;

        if self.live <= self.shrinks_below && self.nodes.capacity() > KEEP {
            self.shrink();
        }
        waker
    }

    /// Gives back what is behind the last live node. Nodes do not move, so that may be little: then it is tried
    /// again when half as many are left.
    fn shrink(&mut self) {
        let end = self.nodes.iter().rposition(|node| node.generation != FREE).map_or(0, |last| last + 1);
        self.nodes.truncate(end);
        self.nodes.shrink_to(end + end / 4);
        self.free = NIL;
        for (index, node) in self.nodes.iter_mut().enumerate().rev() {
            if node.generation == FREE {
                node.next = self.free;
                self.free = index as u32; // there are no more than that
            }
        }
        self.shrinks_below = (self.live / 2).min(end / 4);
    }

    /// Frees all nodes; the live ones' wakers are in the answer.
    pub(super) fn clear(&mut self) -> impl Iterator<Item = Waker> + use<> {
        let nodes = std::mem::take(&mut self.nodes);
        self.free = NIL;
        self.live = 0;
        self.shrinks_below = 0;
        nodes.into_iter().filter_map(|node| node.waker)
    }
}

impl std::ops::Index<u32> for Slab {
    type Output = Node;

    fn index(&self, index: u32) -> &Node {
        &self.nodes[index as usize]
    }
}

impl std::ops::IndexMut<u32> for Slab {
    fn index_mut(&mut self, index: u32) -> &mut Node {
        &mut self.nodes[index as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A timer that lives on holds nothing back but itself.
    #[test]
    fn memory_goes_back_although_a_node_stays() {
        const MANY: usize = 4 * KEEP;

        let mut slab = Slab::new();
        let stays = slab.insert(0, None);
        let keys: Vec<_> = (0..MANY).map(|when| slab.insert(when as u64, None)).collect();
        // In an order that has nothing to do with that of their places.
        for step in 0..7 {
            for key in keys.iter().skip(step).step_by(7) {
                let index = slab.find(*key).unwrap();
                slab.remove(index);
            }
        }
        assert!(slab.nodes.capacity() < KEEP, "{}", slab.nodes.capacity());
        assert_eq!(slab.find(stays), Some(0));
        assert!(keys.iter().all(|key| slab.find(*key).is_none()));

        // What is used again has new names.
        let again: Vec<_> = (0..100).map(|when| slab.insert(when, None)).collect();
        assert!(keys.iter().all(|key| slab.find(*key).is_none()));
        assert!(again.iter().all(|key| slab.find(*key).is_some()));
        assert_eq!(slab.live, 101);
    }

    #[test]
    fn a_node_far_behind_is_not_looked_for_each_time() {
        const MANY: usize = 4 * KEEP;

        let mut slab = Slab::new();
        let keys: Vec<_> = (0..MANY).map(|when| slab.insert(when as u64, None)).collect();
        for key in &keys[..MANY - 1] {
            let index = slab.find(*key).unwrap();
            slab.remove(index);
        }
        assert_eq!((slab.live, slab.nodes.len()), (1, MANY));
        let last = slab.find(keys[MANY - 1]).unwrap();
        slab.remove(last);
        assert_eq!((slab.live, slab.nodes.capacity()), (0, 0));
    }
}
