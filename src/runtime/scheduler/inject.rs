//! The injection queue: tasks scheduled from outside of a worker, and what overflows a
//! local queue. A mutex around a deque; the length is mirrored in an atomic so that
//! workers look without locking.

use crate::loom::sync::Mutex;
use crate::runtime::task;

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};

/// A queue any thread may push to.
pub(crate) struct Inject<S: 'static> {
    queue: Mutex<Queue<S>>,
    /// Always written under the lock.
    len: AtomicUsize,
}

struct Queue<S: 'static> {
    tasks: VecDeque<task::Notified<S>>,
    is_closed: bool,
}

impl<S: 'static> Inject<S> {
    pub(crate) fn new() -> Inject<S> {
        Inject {
            queue: Mutex::new(Queue { tasks: VecDeque::new(), is_closed: false }),
            len: AtomicUsize::new(0),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.len.load(Acquire)
    }

    /// Refuses further tasks; tells whether this call closed it.
    pub(crate) fn close(&self) -> bool {
        !std::mem::replace(&mut self.queue.lock().is_closed, true)
    }

    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.queue.lock().is_closed
    }

    /// Appends a task. On a closed queue it is dropped, outside of the lock.
    pub(crate) fn push(&self, task: task::Notified<S>) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            drop(queue);
            drop(task);
            return;
        }
        queue.tasks.push_back(task);
        self.len.store(queue.tasks.len(), Release);
    }

    /// Appends several tasks under one lock.
    pub(crate) fn push_batch(&self, tasks: impl Iterator<Item = task::Notified<S>>) {
        let mut queue = self.queue.lock();
        if queue.is_closed {
            drop(queue);
            tasks.for_each(drop);
            return;
        }
        queue.tasks.extend(tasks);
        self.len.store(queue.tasks.len(), Release);
    }

    /// The oldest task.
    pub(crate) fn pop(&self) -> Option<task::Notified<S>> {
        if self.is_empty() {
            return None;
        }
        let mut queue = self.queue.lock();
        let task = queue.tasks.pop_front();
        self.len.store(queue.tasks.len(), Release);
        task
    }

    /// Moves up to `n` tasks to the end of `into`.
    pub(crate) fn pop_n(&self, n: usize, into: &mut VecDeque<task::Notified<S>>) {
        if n == 0 || self.is_empty() {
            return;
        }
        let mut queue = self.queue.lock();
        let n = n.min(queue.tasks.len());
        into.extend(queue.tasks.drain(..n));
        self.len.store(queue.tasks.len(), Release);
    }
}

impl<S: 'static> Drop for Inject<S> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.pop().is_none(), "queue not empty");
        }
    }
}
