//! The run queue: each task is taken exactly once.

use loom::thread;

use crate::queue::{self, Local, Steal};
use crate::runtime::task::Notified;

type Task = Notified<()>;

fn push(local: &mut Local<()>, number: usize, overflow: &mut Vec<usize>) {
    local.push(Task::new(number), |batch| overflow.extend(batch.map(|task| task.0)));
}

/// Steals once; what was run and what is left in the thief's own queue.
fn steal(from: &Steal<()>) -> Vec<usize> {
    let (_steal, mut own) = queue::local();
    let mut got = Vec::new();
    if let Some((task, n)) = from.steal_into(&mut own) {
        got.push(task.0);
        while let Some(task) = own.pop() {
            got.push(task.0);
        }
        assert_eq!(got.len(), n);
    }
    got
}

fn each_once(mut got: Vec<usize>, n: usize) {
    got.sort_unstable();
    assert_eq!(got, (1..=n).collect::<Vec<_>>());
}

#[test]
fn h23_an_owner_and_a_thief() {
    loom::model(|| {
        let (steals, mut local) = queue::local();
        let thief = thread::spawn(move || {
            let mut got = steal(&steals);
            got.extend(steal(&steals));
            got
        });
        let mut got = Vec::new();
        for number in 1..=3 {
            push(&mut local, number, &mut got);
        }
        while let Some(task) = local.pop() {
            got.push(task.0);
        }
        got.extend(thief.join().unwrap());
        each_once(got, 3);
    });
}

#[test]
fn h23_an_overflow_races_a_thief() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (steals, mut local) = queue::local();
        let mut got = Vec::new();
        for number in 1..=3 {
            push(&mut local, number, &mut got);
        }
        let thief = thread::spawn(move || steal(&steals));
        // Room for four in a model.
        for number in 4..=6 {
            push(&mut local, number, &mut got);
        }
        while let Some(task) = local.pop() {
            got.push(task.0);
        }
        got.extend(thief.join().unwrap());
        each_once(got, 6);
    });
}

#[test]
fn h23_two_thieves() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let (steals, mut local) = queue::local();
        let steals = std::sync::Arc::new(steals);
        let mut got = Vec::new();
        for number in 1..=3 {
            push(&mut local, number, &mut got);
        }
        let thieves: Vec<_> = (0..2)
            .map(|_| {
                let steals = steals.clone();
                thread::spawn(move || steal(&steals))
            })
            .collect();
        got.extend(local.pop().map(|task| task.0));
        for thief in thieves {
            got.extend(thief.join().unwrap());
        }
        while let Some(task) = local.pop() {
            got.push(task.0);
        }
        each_once(got, 3);
    });
}

#[test]
fn h22_the_lifo_slot_is_taken_once() {
    loom::model(|| {
        let (steals, mut local) = queue::local();
        let thief = thread::spawn(move || steal(&steals));
        let mut got = Vec::new();
        got.extend(local.swap_lifo(Task::new(1)).map(|task| task.0));
        got.extend(local.swap_lifo(Task::new(2)).map(|task| task.0));
        got.extend(local.take_lifo().map(|task| task.0));
        got.extend(thief.join().unwrap());
        each_once(got, 2);
    });
}
