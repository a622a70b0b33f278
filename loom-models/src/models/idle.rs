//! Sleeping and searching workers: a task pushed is a task found.

use std::sync::Arc;

use loom::sync::Notify;
use loom::sync::atomic::AtomicUsize;
use loom::sync::atomic::Ordering::{AcqRel, Acquire};
use loom::thread;

use crate::idle::Idle;

/// Workers reduced to what they do with [`Idle`], with one queue for all.
struct Workers {
    idle: Idle,
    tasks: AtomicUsize,
    doorbells: Vec<Notify>,
}

impl Workers {
    fn new(n: usize) -> Arc<Workers> {
        let doorbells = (0..n).map(|_| Notify::new()).collect();
        Arc::new(Workers { idle: Idle::new(n), tasks: AtomicUsize::new(0), doorbells })
    }

    fn notify_parked(&self) {
        if let Some(worker) = self.idle.worker_to_notify() {
            self.doorbells[worker].notify();
        }
    }

    fn push(&self) {
        self.tasks.fetch_add(1, AcqRel);
        self.notify_parked();
    }

    fn pop(&self) -> bool {
        let pop = |n: usize| n.checked_sub(1);
        self.tasks.fetch_update(AcqRel, Acquire, pop).is_ok()
    }

    /// Runs tasks until it has run `n`: the loop of a worker.
    fn run(&self, worker: usize, n: usize) {
        let mut is_searching = false;
        let mut done = 0;
        while done < n {
            if !is_searching {
                is_searching = self.idle.start_searching();
            }
            if self.pop() {
                done += 1;
                if std::mem::take(&mut is_searching) && self.idle.stop_searching() {
                    self.notify_parked();
                }
                continue;
            }
            let was_last = self.idle.start_sleeping(worker, is_searching);
            if was_last && self.tasks.load(Acquire) > 0 {
                self.notify_parked();
            }
            loop {
                self.doorbells[worker].wait();
                if !self.idle.is_sleeping(worker) {
                    break;
                }
            }
            is_searching = true;
        }
    }
}

#[test]
fn h36_a_pushed_task_is_found_by_the_worker() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(|| {
        let workers = Workers::new(1);
        let pusher = thread::spawn({
            let workers = workers.clone();
            move || {
                workers.push();
                workers.push();
            }
        });
        workers.run(0, 2);
        pusher.join().unwrap();
    });
}

#[test]
fn h36_two_pushers_and_a_worker() {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(2);
    model.check(|| {
        let workers = Workers::new(1);
        let pushers: Vec<_> = (0..2)
            .map(|_| {
                let workers = workers.clone();
                thread::spawn(move || workers.push())
            })
            .collect();
        workers.run(0, 2);
        for pusher in pushers {
            pusher.join().unwrap();
        }
    });
}
