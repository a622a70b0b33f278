//! The wheel against a sorted map.

use super::*;

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::task::Wake;

#[derive(Debug, Clone)]
enum Step {
    /// A timer this far ahead of now.
    Insert(u64),
    /// Of the timers so far, the one at this index (modulo how many there are).
    Remove(usize),
    Reset(usize, u64),
    Extend(usize, u64),
    Turn(u64),
    /// To the instant at which the wheel says it wants to be turned.
    TurnToEarliest,
    Clear,
}

/// Distances of every magnitude, with a taste for the borders of slots.
fn distance() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0u32..64, any::<u64>()).prop_map(|(bits, x)| x & ((1 << bits) - 1)),
        2 => (0u32..9, 0u64..64, 0u64..3).prop_map(|(level, slot, off)| {
            let shift = TICK_BITS + level * LEVEL_BITS;
            (slot << shift).saturating_add(off).saturating_sub(1)
        }),
        1 => Just(u64::MAX),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => distance().prop_map(Step::Insert),
        3 => any::<usize>().prop_map(Step::Remove),
        3 => (any::<usize>(), distance()).prop_map(|(i, d)| Step::Reset(i, d)),
        3 => (any::<usize>(), distance()).prop_map(|(i, d)| Step::Extend(i, d)),
        3 => (0u32..48, any::<u64>()).prop_map(|(bits, x)| Step::Turn(x & ((1 << bits) - 1))),
        6 => Just(Step::TurnToEarliest),
        1 => Just(Step::Clear),
    ]
}

/// The wheel, the truth about it, and every key there ever was.
#[derive(Default)]
struct Model {
    wheel: Option<Wheel>,
    now: u64,
    /// Timers that have not fired, by number.
    pending: BTreeMap<usize, u64>,
    keys: Vec<Key>,
}

impl Model {
    fn wheel(&mut self) -> &mut Wheel {
        self.wheel.get_or_insert_with(Wheel::new)
    }

    fn ahead(&self, distance: u64) -> u64 {
        self.now.saturating_add(distance).min(u64::MAX - 1)
    }

    fn pick(&self, index: usize) -> Option<usize> {
        index.checked_rem(self.keys.len())
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Insert(distance) => {
                let when = self.ahead(distance);
                let key = self.wheel().insert(when, None);
                self.pending.insert(self.keys.len(), when);
                self.keys.push(key);
            }
            Step::Remove(index) => {
                let Some(id) = self.pick(index) else { return };
                let removed = self.wheel.as_mut().unwrap().remove(self.keys[id]);
                assert_eq!(removed.is_some(), self.pending.remove(&id).is_some());
            }
            Step::Reset(index, distance) => {
                let Some(id) = self.pick(index) else { return };
                let when = self.ahead(distance);
                let done = self.wheel.as_mut().unwrap().reset(self.keys[id], when);
                assert_eq!(done, self.pending.contains_key(&id));
                if done {
                    self.pending.insert(id, when);
                }
            }
            Step::Extend(index, distance) => {
                let Some(id) = self.pick(index) else { return };
                let when = self.ahead(distance);
                let done = self.wheel.as_mut().unwrap().extend(self.keys[id], when);
                assert_eq!(done, self.pending.get(&id).is_some_and(|old| *old <= when));
                if done {
                    self.pending.insert(id, when);
                }
            }
            Step::Turn(distance) => self.turn(self.ahead(distance)),
            Step::TurnToEarliest => {
                if let Some(earliest) = self.wheel().earliest() {
                    self.turn(earliest.max(self.now));
                }
            }
            Step::Clear => {
                assert_eq!(self.wheel().clear().count(), 0);
                self.pending.clear();
            }
        }
        self.check();
    }

    fn turn(&mut self, now: u64) {
        self.now = now;
        let wheel = self.wheel.get_or_insert_with(Wheel::new);
        wheel.expire(now);
        let mut fired = 0;
        while wheel.pop_due().is_some() {
            fired += 1;
        }

        let due: BTreeSet<_> =
            self.pending.iter().filter(|(_, when)| **when <= now).map(|(id, _)| *id).collect();
        assert_eq!(fired, due.len(), "now {now}, pending {:?}", self.pending);
        for id in due {
            self.pending.remove(&id);
        }
    }

    fn check(&mut self) {
        let wheel = self.wheel.get_or_insert_with(Wheel::new);
        assert_eq!(wheel.is_empty(), self.pending.is_empty());
        for (id, key) in self.keys.iter().enumerate() {
            assert_eq!(wheel.contains(*key), self.pending.contains_key(&id), "timer {id}");
        }
        let first = self.pending.values().min();
        assert_eq!(wheel.earliest().is_some(), first.is_some());
        if let (Some(promised), Some(first)) = (wheel.earliest(), first) {
            assert!(promised <= *first, "promised {promised}, but {first} comes first");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    // H44
    #[test]
    fn behaves_like_a_sorted_map(steps in proptest::collection::vec(step(), 1..120)) {
        let mut model = Model::default();
        for step in steps {
            model.apply(step);
        }
        // Whatever is left comes, one promised instant after the other.
        let mut turns = 0;
        while !model.pending.is_empty() {
            model.apply(Step::TurnToEarliest);
            turns += 1;
            assert!(turns < 3000, "the wheel stands still at {}: {:?}", model.now, model.pending);
        }
    }
}

fn counting() -> (Arc<impl Wake + Send + Sync + 'static>, impl Fn() -> usize) {
    struct Nothing;
    impl Wake for Nothing {
        fn wake(self: Arc<Self>) {}
    }
    let nothing = Arc::new(Nothing);
    let weak = Arc::downgrade(&nothing);
    (nothing, move || weak.strong_count())
}

#[test]
fn an_undisturbed_timer_wakes_its_shard_once() {
    for when in [1, 1 << 14, 1_000_000, 1_000_000_000, 3_600_000_000_123, 1 << 62] {
        let mut wheel = Wheel::new();
        wheel.insert(when, None);
        assert_eq!(wheel.earliest(), Some(when));
        wheel.expire(when - 1);
        assert!(wheel.pop_due().is_none());
        assert_eq!(wheel.earliest(), Some(when));
        wheel.expire(when);
        assert!(wheel.pop_due().is_some());
        assert!(wheel.is_empty());
    }
}

#[test]
fn a_jump_fires_in_the_order_of_deadlines() {
    let mut wheel = Wheel::new();
    // Every level, not in order; two timers for each instant.
    let mut timers: Vec<_> = (0..50u64)
        .map(|i| (i * 29) % 50)
        .flat_map(|i| [i, i])
        .map(|i| {
            let when = 20_000 << i.min(43);
            (when, wheel.insert(when, None))
        })
        .collect();
    wheel.expire(u64::MAX - 1);

    // A stable sort keeps the order of insertion.
    timers.sort_by_key(|(when, _)| *when);
    for (_, key) in timers {
        assert!(wheel.contains(key));
        assert!(wheel.pop_due().is_some());
        assert!(!wheel.contains(key));
    }
    assert!(wheel.is_empty());
}

#[test]
fn wakers_leave_with_their_timer() {
    let (waker, count) = counting();
    let mut wheel = Wheel::new();
    let fired = wheel.insert(10, Some(waker.clone().into()));
    let removed = wheel.insert(20, Some(waker.clone().into()));
    wheel.insert(30, Some(waker.clone().into()));
    assert_eq!(count(), 4);

    wheel.expire(10);
    drop(wheel.pop_due());
    assert_eq!(count(), 3);
    assert!(wheel.waker_mut(fired).is_none());
    drop(wheel.remove(removed));
    assert_eq!(count(), 2);
    assert_eq!(wheel.clear().count(), 1);
    assert_eq!(count(), 1);
}

#[test]
fn time_going_backwards_fires_nothing() {
    let mut wheel = Wheel::new();
    wheel.expire(1 << 40);
    wheel.insert((1 << 40) + 5, None);
    wheel.insert(1 << 41, None);
    wheel.expire(1 << 20);
    assert!(wheel.pop_due().is_none());
    wheel.expire(1 << 41);
    assert!(wheel.pop_due().is_some());
    assert!(wheel.pop_due().is_some());
}

#[test]
fn a_stale_key_is_unknown_after_its_place_was_reused() {
    let mut wheel = Wheel::new();
    let old = wheel.insert(10, None);
    wheel.remove(old);
    let new = wheel.insert(10, None);
    assert!(!wheel.contains(old));
    assert!(wheel.remove(old).is_none());
    assert!(!wheel.extend(old, 20) && !wheel.reset(old, 20));
    assert!(wheel.contains(new));
}

#[test]
fn a_great_crowd_gives_its_memory_back() {
    let mut wheel = Wheel::new();
    let keys: Vec<_> = (0..100_000).map(|i| wheel.insert(i << 20, None)).collect();
    for key in &keys {
        assert!(wheel.remove(*key).is_some());
    }
    let new = wheel.insert(1, None);
    assert!(wheel.contains(new));
    assert!(keys.iter().all(|key| !wheel.contains(*key)));
}
