//! Where a shard's owner sleeps, and the right to sleep in the watch set.

use std::sync::Arc;

use loom::sync::atomic::Ordering::{Relaxed, SeqCst};
use loom::sync::atomic::{AtomicBool, AtomicUsize};
use loom::sync::{Mutex, Notify};
use loom::thread;

use crate::hold::Holder;
use crate::parking::{Parking, Place};

/// A shard: what its owner is asked for, and the ways to wake it.
struct Shard {
    parking: Parking,
    mail: Mutex<Vec<usize>>,
    bed: Notify,
    ring: Notify,
}

/// The watch set: events that nobody has taken, and what ends a sleep in it.
struct Set {
    holder: Holder,
    events: AtomicUsize,
    bell: Notify,
}

impl Shard {
    fn new() -> Shard {
        Shard {
            parking: Parking::new(),
            mail: Mutex::new(Vec::new()),
            bed: Notify::new(),
            ring: Notify::new(),
        }
    }

    fn unpark(&self, set: &Set) {
        match self.parking.notify() {
            None => {}
            Some(Place::Bed) => self.bed.notify(),
            Some(Place::Set) => set.bell.notify(),
            Some(Place::Ring) => self.ring.notify(),
        }
    }

    fn send(&self, set: &Set, message: usize) {
        self.mail.lock().unwrap().push(message);
        self.unpark(set);
    }

    fn receive(&self, into: &mut Vec<usize>) {
        into.append(&mut self.mail.lock().unwrap());
    }
}

impl Set {
    fn new() -> Set {
        Set { holder: Holder::new(), events: AtomicUsize::new(0), bell: Notify::new() }
    }

    /// Something happens to a member: whoever sleeps in the set wakes up, or whoever comes next does not
    /// sleep.
    fn happen(&self) {
        self.events.fetch_add(1, SeqCst);
        self.bell.notify();
    }

    fn take(&self) -> usize {
        self.events.swap(0, SeqCst)
    }
}

/// What an owner does until it has `n` messages: `Seat::turn`, again and again, at a place that varies.
fn receive(shard: &Shard, set: &Set, n: usize, places: [Place; 2]) {
    let mut messages = Vec::new();
    for place in places.into_iter().cycle() {
        shard.receive(&mut messages);
        if messages.len() == n {
            return;
        }
        if shard.parking.start(place) {
            match place {
                Place::Bed => shard.bed.wait(),
                Place::Set => set.bell.wait(),
                Place::Ring => shard.ring.wait(),
            }
            shard.parking.stop();
        }
    }
}

fn check(preemptions: usize, scene: impl Fn() + Sync + Send + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.check(scene);
}

const PLACES: [[Place; 2]; 3] =
    [[Place::Bed, Place::Set], [Place::Set, Place::Ring], [Place::Ring, Place::Bed]];

#[test]
fn h36_no_message_is_left_while_the_owner_sleeps() {
    for places in PLACES {
        check(4, move || {
            let (shard, set) = (Arc::new(Shard::new()), Arc::new(Set::new()));
            let sender = thread::spawn({
                let (shard, set) = (shard.clone(), set.clone());
                move || {
                    for message in 0..2 {
                        shard.send(&set, message);
                    }
                }
            });
            // Loom calls it a deadlock if the owner sleeps for ever.
            receive(&shard, &set, 2, places);
            sender.join().unwrap();
        });
    }
}

#[test]
fn h36_two_senders_and_an_owner() {
    for places in PLACES {
        check(3, move || {
            let (shard, set) = (Arc::new(Shard::new()), Arc::new(Set::new()));
            let senders: Vec<_> = (0..2)
                .map(|message| {
                    let (shard, set) = (shard.clone(), set.clone());
                    thread::spawn(move || shard.send(&set, message))
                })
                .collect();
            receive(&shard, &set, 2, places);
            for sender in senders {
                sender.join().unwrap();
            }
        });
    }
}

/// A task pushed to a queue of its own, and then the shard unparked: what `schedule` does.
#[test]
fn h36_an_unpark_tells_of_what_was_done_before() {
    check(3, || {
        let (shard, set) = (Arc::new(Shard::new()), Arc::new(Set::new()));
        let pushed = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
        let pushers: Vec<_> = (0..2)
            .map(|i| {
                let (shard, set, pushed) = (shard.clone(), set.clone(), pushed.clone());
                thread::spawn(move || {
                    // Only the unpark orders this.
                    pushed[i].store(true, Relaxed);
                    shard.unpark(&set);
                })
            })
            .collect();
        while !pushed.iter().all(|p| p.load(Relaxed)) {
            if shard.parking.start(Place::Bed) {
                shard.bed.wait();
                shard.parking.stop();
            }
        }
        for pusher in pushers {
            pusher.join().unwrap();
        }
    });
}

/// One round of a worker: looks, or sleeps; returns how many events it has taken.
fn turn(shard: &Shard, set: &Set, may_sleep: bool) -> usize {
    let hold = set.holder.try_hold();
    let place = if hold.is_some() { Place::Set } else { Place::Bed };
    if !may_sleep {
        return if hold.is_some() { set.take() } else { 0 };
    }
    if !shard.parking.start(place) {
        return 0;
    }
    if hold.is_some() {
        if set.events.load(SeqCst) == 0 {
            set.bell.wait();
        }
    } else {
        shard.bed.wait();
    }
    shard.parking.stop();
    // Before anybody is woken, the right goes back.
    let taken = if hold.is_some() { set.take() } else { 0 };
    drop(hold);
    taken
}

/// Two workers look once and then sleep, each on its own; an event comes to one of them.
#[test]
fn h36_an_event_finds_a_worker_in_the_set() {
    check(3, || {
        let set = Arc::new(Set::new());
        let shards = Arc::new([Shard::new(), Shard::new()]);
        let is_over = Arc::new(AtomicBool::new(false));
        let workers: Vec<_> = (0..2)
            .map(|i| {
                let (set, shards, is_over) = (set.clone(), shards.clone(), is_over.clone());
                thread::spawn(move || {
                    let mut taken = turn(&shards[i], &set, false);
                    while taken == 0 && !is_over.load(SeqCst) {
                        taken = turn(&shards[i], &set, true);
                    }
                    if taken > 0 {
                        is_over.store(true, SeqCst);
                        shards[1 - i].unpark(&set);
                    }
                    taken
                })
            })
            .collect();
        set.happen();
        let taken: usize = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
        assert_eq!(taken, 1);
    });
}

/// Nobody gives back a right that another thread has.
#[test]
fn h36_one_thread_at_a_time_holds_the_set() {
    check(4, || {
        let shared = Arc::new((Holder::new(), AtomicUsize::new(0)));
        let workers: Vec<_> = (0..2)
            .map(|_| {
                let shared = shared.clone();
                thread::spawn(move || {
                    for _ in 0..2 {
                        if let Some(_hold) = shared.0.try_hold() {
                            assert_eq!(shared.1.fetch_add(1, Relaxed), 0, "two hold it");
                            shared.1.fetch_sub(1, Relaxed);
                        }
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
