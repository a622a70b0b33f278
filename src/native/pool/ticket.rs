//! Who waits for a buffer, and whom one is for: see [`pool`](super).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::{OnRing, lock};
use crate::util::unwind;

/// Buffers that come back to one place.
#[derive(Debug, Default)]
pub(in crate::native) struct Returns {
    /// How many were given back so far.
    count: AtomicU64,
    /// Does anybody wait for one? Set before it looks at `count` again.
    is_awaited: AtomicBool,
    waiters: Mutex<Waiters>,
}

/// Who waits, by ticket.
#[derive(Debug, Default)]
struct Waiters {
    queue: BTreeMap<i64, Waiter>,
    first: i64,
    next: i64,
}

#[derive(Debug)]
struct Waiter {
    waker: Waker,
    /// See [`Ticket::poll`].
    takes_debts: bool,
}

impl Returns {
    /// How many were given back so far.
    pub(in crate::native) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// One was given back.
    pub(super) fn returned(&self) {
        self.count.fetch_add(1, SeqCst);
        self.pass_on();
    }

    /// One buffer is one waiter's.
    fn pass_on(&self) {
        if self.is_awaited.load(SeqCst) {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        let mut told = Vec::new();
        let mut waiters = lock(&self.waiters);
        while let Some((_, waiter)) = waiters.queue.pop_first() {
            let takes_debts = waiter.takes_debts;
            told.push(waiter.waker);
            if takes_debts {
                break;
            }
        }
        self.is_awaited.store(!waiters.queue.is_empty(), SeqCst);
        drop(waiters);
        told.into_iter().for_each(unwind::wake);
    }

    /// Is no more in the queue; `None` if it was not.
    fn leave(&self, number: i64) -> Option<Waiter> {
        let mut waiters = lock(&self.waiters);
        let waiter = waiters.queue.remove(&number);
        self.is_awaited.store(!waiters.queue.is_empty(), SeqCst);
        waiter
    }
}

/// Who was told of a buffer and has not got one. Dropped, it is passed on.
#[derive(Debug)]
pub(in crate::native) struct Debt(Option<Arc<Returns>>);

impl Debt {
    /// A buffer came, or somebody else has it: either way one will come back.
    pub(in crate::native) fn settle(mut self) {
        self.0 = None;
    }

    /// Is it about a buffer of that place?
    pub(in crate::native) fn is_to(&self, returns: &Arc<Returns>) -> bool {
        self.0.as_ref().is_some_and(|mine| Arc::ptr_eq(mine, returns))
    }
}

impl Drop for Debt {
    fn drop(&mut self) {
        if let Some(returns) = &self.0 {
            returns.pass_on();
        }
    }
}

/// A stream that waits for a buffer: its place in the queue, until it is told.
#[derive(Debug)]
pub(in crate::native) struct Ticket {
    returns: Arc<Returns>,
    /// The ring it waits on, if it is one.
    ring: Option<Arc<OnRing>>,
    number: i64,
    takes_debts: bool,
    is_over: bool,
    /// Have those been polled that were about to be when this began?
    had_patience: bool,
    /// How many had been given back when it found none.
    seen: u64,
}

impl Ticket {
    /// Waits for more to be given back to `returns`, those of `ring` if there is one, than were when no
    /// buffer was found (`seen`); `None` if more were by now. A stream that was told before, and found
    /// the buffer taken, is `senior`: it comes first.
    pub(in crate::native) fn take(
        returns: &Arc<Returns>,
        ring: Option<Arc<OnRing>>,
        seen: u64,
        senior: bool,
        takes_debts: bool,
        cx: &mut Context<'_>,
    ) -> Option<Ticket> {
        let waiter = Waiter { waker: cx.waker().clone(), takes_debts };
        let mut waiters = lock(&returns.waiters);
        let number = if senior {
            waiters.first -= 1;
            waiters.first
        } else {
            waiters.next += 1;
            waiters.next
        };
        waiters.queue.insert(number, waiter);
        returns.is_awaited.store(true, SeqCst);
        drop(waiters);
        let returns = returns.clone();
        let ticket = Ticket { returns, ring, number, takes_debts, is_over: false, had_patience: false, seen };
        // Whoever gave one back before that has not seen the ticket.
        (ticket.returns.count() == seen).then_some(ticket)
    }

    /// The ring it waits on; `None` if it waits for a buffer for who has none.
    pub(in crate::native) fn ring(&self) -> Option<&Arc<OnRing>> {
        self.ring.as_ref()
    }

    /// Waits to be told. With `takes_debts` this is called again when the task is woken, or
    /// [`stand_back`](Self::stand_back) is, or the wait is dropped: then what it is told of is nobody
    /// else's until then.
    pub(in crate::native) fn poll(&mut self, takes_debts: bool, cx: &mut Context<'_>) -> Poll<Option<Debt>> {
        if let Some(debt) = self.told(takes_debts, Some(cx.waker())) {
            return Poll::Ready(debt);
        }
        if let Some(ring) = &self.ring {
            if !std::mem::replace(&mut self.had_patience, true) {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            ring.reclaim(self.seen);
            // One of those may have been for this one.
            if let Some(debt) = self.told(takes_debts, None) {
                return Poll::Ready(debt);
            }
        }
        Poll::Pending
    }

    /// Was it told, and is that a debt? If not it goes on waiting.
    fn told(&mut self, takes_debts: bool, waker: Option<&Waker>) -> Option<Option<Debt>> {
        // It is the user's: cloned and dropped with nothing locked.
        let mut waker = waker.cloned();
        let mut waiters = lock(&self.returns.waiters);
        match waiters.queue.get_mut(&self.number) {
            Some(waiter) => {
                (waiter.takes_debts, self.takes_debts) = (takes_debts, takes_debts);
                if let Some(waker) = &mut waker {
                    std::mem::swap(&mut waiter.waker, waker);
                }
                drop(waiters);
                None
            }
            None => {
                drop(waiters);
                self.is_over = true;
                Some(self.takes_debts.then(|| Debt(Some(self.returns.clone()))))
            }
        }
    }

    /// Keeps its place, but takes on no debt any more; `false` if it was told by now, which is passed on.
    pub(in crate::native) fn stand_back(&mut self) -> bool {
        self.told(false, None).is_none()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.is_over {
            let waiter = self.returns.leave(self.number);
            if waiter.is_none() && self.takes_debts {
                self.returns.pass_on();
            }
        }
    }
}
