//! Wakers of tasks that yielded: woken after the rest of the queue had its turn.

use crate::util::unwind;

use std::cell::RefCell;
use std::task::Waker;

/// Per-worker list of deferred wakers.
pub(crate) struct Defer {
    deferred: RefCell<Vec<Waker>>,
}

impl Defer {
    pub(crate) fn new() -> Defer {
        Defer { deferred: RefCell::default() }
    }

    /// Adds `waker`, unless it is the one added last (a task that yields twice in a poll).
    pub(crate) fn defer(&self, waker: &Waker) {
        let mut deferred = self.deferred.borrow_mut();
        if !deferred.last().is_some_and(|last| last.will_wake(waker)) {
            deferred.push(waker.clone());
        }
    }

    /// Takes them out.
    pub(crate) fn take(&self) -> Vec<Waker> {
        self.deferred.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.deferred.borrow().is_empty()
    }

    /// Wakes all that were deferred, the latest first; user wakers run outside the borrow.
    pub(crate) fn wake(&self) {
        loop {
            let Some(waker) = self.deferred.borrow_mut().pop() else { return };
            unwind::wake(waker);
        }
    }
}
