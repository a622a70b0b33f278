//! Tests of the task core, with a scheduler that runs only when told to.
//!
//! What they count: polls, drops of the future and of the output, wake-ups of who awaits.

#[cfg(not(spargio_loom))]
mod life;
#[cfg(spargio_loom)]
mod models;
#[cfg(not(spargio_loom))]
mod panics;
#[cfg(not(spargio_loom))]
mod permutations;
#[cfg(not(spargio_loom))]
mod threads;

use super::{Id, JoinHandle, Notified, OwnedTasks, Schedule, SpawnLocation, Task, TaskHarnessScheduleHooks};
use crate::loom::sync::{Arc, Mutex};

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Waker};

/// A scheduler with a queue that the test empties by hand.
#[derive(Clone)]
struct Sched(Arc<Inner>);

struct Inner {
    owned: OwnedTasks<Sched>,
    queue: Mutex<VecDeque<Notified<Sched>>>,
    /// Calls of `unhandled_panic`.
    unhandled: AtomicUsize,
}

impl Schedule for Sched {
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>> {
        self.0.owned.remove(task)
    }

    fn schedule(&self, task: Notified<Self>) {
        self.0.queue.lock().push_back(task);
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        TaskHarnessScheduleHooks { task_terminate_callback: None }
    }

    fn unhandled_panic(&self) {
        self.0.unhandled.fetch_add(1, SeqCst);
    }
}

impl Sched {
    fn new() -> Sched {
        Sched(Arc::new(Inner {
            owned: OwnedTasks::new(1),
            queue: Mutex::new(VecDeque::new()),
            unhandled: AtomicUsize::new(0),
        }))
    }

    fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // Loom wants each execution to be the same, and the id decides on the part of the list.
        let id = if cfg!(spargio_loom) { Id(std::num::NonZeroU64::MIN) } else { Id::next() };
        let (join, notified) = self.0.owned.bind(future, self.clone(), id, SpawnLocation::capture());
        if let Some(notified) = notified {
            self.schedule(notified);
        }
        join
    }

    fn pop(&self) -> Option<Notified<Sched>> {
        self.0.queue.lock().pop_front()
    }

    /// Runs the first task of the queue; `false` if there is none.
    fn run_one(&self) -> bool {
        match self.pop() {
            Some(task) => {
                self.0.owned.assert_owner(task).run();
                true
            }
            None => false,
        }
    }

    /// Runs until the queue is empty.
    fn run_all(&self) {
        while self.run_one() {}
    }

    fn queued(&self) -> usize {
        self.0.queue.lock().len()
    }

    /// Cancels all tasks, then drops what is left in the queue, one by one outside the lock.
    fn shutdown(&self) {
        self.0.owned.close_and_shutdown_all(0);
        while let Some(task) = self.pop() {
            drop(task);
        }
        assert!(self.0.owned.is_empty());
    }
}

/// What happened to a [`Probe`] and its output.
#[derive(Default, Debug)]
struct Counts {
    polls: AtomicUsize,
    future_drops: AtomicUsize,
    outputs: AtomicUsize,
    output_drops: AtomicUsize,
    waker: std::sync::Mutex<Option<Waker>>,
}

impl Counts {
    fn polls(&self) -> usize {
        self.polls.load(SeqCst)
    }

    fn future_drops(&self) -> usize {
        self.future_drops.load(SeqCst)
    }

    fn outputs(&self) -> usize {
        self.outputs.load(SeqCst)
    }

    fn output_drops(&self) -> usize {
        self.output_drops.load(SeqCst)
    }

    /// The waker of the latest poll.
    fn waker(&self) -> Option<Waker> {
        self.waker.lock().unwrap().clone()
    }

    fn forget_waker(&self) {
        drop(self.waker.lock().unwrap().take());
    }
}

/// What a [`Probe`] does when polled and dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Script {
    /// Polls that return `Pending` before the one that is `Ready`.
    pending: usize,
    /// Wakes itself in each poll.
    wake_self: bool,
    panic_in_poll: bool,
    panic_in_drop: bool,
    panic_in_output_drop: bool,
}

/// A future that counts and follows a script.
struct Probe {
    script: Script,
    counts: std::sync::Arc<Counts>,
}

/// The output of a [`Probe`].
#[derive(Debug)]
struct Output {
    panic_in_drop: bool,
    counts: std::sync::Arc<Counts>,
}

fn probe(script: Script) -> (Probe, std::sync::Arc<Counts>) {
    let counts = std::sync::Arc::new(Counts::default());
    (Probe { script, counts: counts.clone() }, counts)
}

impl Future for Probe {
    type Output = Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Output> {
        let n = self.counts.polls.fetch_add(1, SeqCst);
        *self.counts.waker.lock().unwrap() = Some(cx.waker().clone());
        if self.script.wake_self {
            cx.waker().wake_by_ref();
        }
        if n < self.script.pending {
            return Poll::Pending;
        }
        if self.script.panic_in_poll {
            panic!("in poll");
        }
        self.counts.outputs.fetch_add(1, SeqCst);
        Poll::Ready(Output { panic_in_drop: self.script.panic_in_output_drop, counts: self.counts.clone() })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.counts.future_drops.fetch_add(1, SeqCst);
        if self.script.panic_in_drop {
            panic!("in the future's drop");
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.counts.output_drops.fetch_add(1, SeqCst);
        if self.panic_in_drop {
            panic!("in the output's drop");
        }
    }
}

/// Counts its wake-ups.
#[derive(Default)]
struct Bell(AtomicUsize);

impl std::task::Wake for Bell {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn bell() -> (Waker, std::sync::Arc<Bell>) {
    let bell = std::sync::Arc::new(Bell::default());
    (bell.clone().into(), bell)
}

/// Polls a `JoinHandle` once.
fn poll_join<T>(join: &mut JoinHandle<T>, waker: &Waker) -> Poll<super::Result<T>> {
    Pin::new(join).poll(&mut Context::from_waker(waker))
}

/// The result of a task that must be complete.
fn result_of<T>(join: &mut JoinHandle<T>) -> super::Result<T> {
    match poll_join(join, Waker::noop()) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("the task is not complete"),
    }
}
