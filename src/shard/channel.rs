//! What an inbox and its senders share.
//!
//! # Protocol
//!
//! - A permit of `room` is the right to put one message into the queue; the receiver returns it
//!   when it takes the message. Senders that wait for one are served in order.
//! - `pushed` and `taken` count messages. Both change under the lock, together with the queue, so a
//!   ticket that notes `pushed` is due when `taken` has come as far.
//! - **Closed** (the runtime is going, or the receiver wants no more): nothing is pushed any more,
//!   what is there can be taken. **Abandoned** (the receiver is gone): nothing will be taken.
//! - Wakers are collected under the lock and woken after it.

use crate::loom::sync::Mutex;
use crate::runtime::mailroom::Mailbox;
use crate::sys::fork::Origin;
use crate::upstream::sync::Semaphore;
use crate::util::unwind;

use slab::Slab;

use std::any::Any;
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

pub(super) struct Channel<T> {
    pub(super) room: Semaphore,
    pub(super) capacity: usize,
    origin: Origin,
    state: Mutex<State<T>>,
}

struct State<T> {
    queue: VecDeque<T>,
    receiver: Option<Waker>,
    pushed: u64,
    taken: u64,
    is_closed: bool,
    is_abandoned: bool,
    /// What each ticket waits for, and its waker until it was woken. The ticket takes its entry out.
    tickets: Slab<Waiting>,
}

struct Waiting {
    until: u64,
    waker: Option<Waker>,
}

/// The receiver is gone.
pub(super) struct Abandoned;

impl<T> Channel<T> {
    pub(super) fn new(capacity: usize) -> Channel<T> {
        let state = State {
            queue: VecDeque::new(),
            receiver: None,
            pushed: 0,
            taken: 0,
            is_closed: false,
            is_abandoned: false,
            tickets: Slab::new(),
        };
        let room = Semaphore::new(capacity);
        Channel { room, capacity, origin: Origin::here(), state: Mutex::new(state) }
    }

    /// In the child of a fork nobody answers, and a thread of the parent may have held the locks.
    pub(super) fn is_inherited(&self) -> bool {
        !self.origin.is_here()
    }

    /// # Panics
    ///
    /// If it [is inherited](Channel::is_inherited).
    #[track_caller]
    pub(super) fn assert_own(&self) {
        self.origin.assert_here();
    }

    /// Appends a message for which the caller has taken a permit; gives it back if the channel
    /// is closed.
    pub(super) fn push(&self, message: T) -> Result<(), T> {
        let receiver = {
            let mut state = self.state.lock();
            if state.is_closed {
                return Err(message);
            }
            state.queue.push_back(message);
            state.pushed += 1;
            state.receiver.take()
        };
        receiver.into_iter().for_each(unwind::wake);
        Ok(())
    }

    /// Appends `n` messages, for which the caller has taken permits, with one wake-up; `false` if
    /// the channel is closed.
    pub(super) fn push_batch(&self, messages: &mut VecDeque<T>, n: usize) -> bool {
        let receiver = {
            let mut state = self.state.lock();
            if state.is_closed {
                return false;
            }
            state.queue.extend(messages.drain(..n));
            state.pushed += n as u64;
            state.receiver.take()
        };
        receiver.into_iter().for_each(unwind::wake);
        true
    }

    /// Moves up to `limit` messages out; `None` at the end of a closed channel. Leaves the waker
    /// of `cx` if there is nothing yet.
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        limit: usize,
        mut into: impl FnMut(T),
    ) -> Poll<Option<usize>> {
        self.assert_own();
        let mut mine = None;
        let mut state = loop {
            let mut state = self.state.lock();
            if !state.queue.is_empty() {
                break state;
            }
            if state.is_closed {
                return Poll::Ready(None);
            }
            if state.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                return Poll::Pending;
            }
            if let Some(waker) = mine.take() {
                let previous = state.receiver.replace(waker);
                drop(state);
                drop(previous);
                return Poll::Pending;
            }
            drop(state);
            // User code, so not under the lock; then look again.
            mine = Some(cx.waker().clone());
        };
        let n = state.queue.len().min(limit);
        state.queue.drain(..n).for_each(&mut into);
        let due = state.count_taken(n);
        drop(state);
        self.room.add_permits(n);
        due.into_iter().for_each(unwind::wake);
        Poll::Ready(Some(n))
    }

    /// Takes a message if there is one.
    pub(super) fn try_take(&self) -> Option<T> {
        self.assert_own();
        let mut state = self.state.lock();
        let message = state.queue.pop_front()?;
        let due = state.count_taken(1);
        drop(state);
        self.room.add_permits(1);
        due.into_iter().for_each(unwind::wake);
        Some(message)
    }

    pub(super) fn len(&self) -> usize {
        self.state.lock().queue.len()
    }

    pub(super) fn pushed(&self) -> u64 {
        self.assert_own();
        self.state.lock().pushed
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state.lock().is_closed
    }

    /// Has everything up to the message numbered `until` been taken? If not, leaves the waker
    /// under `key`.
    pub(super) fn poll_taken(
        &self,
        until: u64,
        key: &mut Option<usize>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Abandoned>> {
        self.assert_own();
        let waker = cx.waker().clone();
        let mut state = self.state.lock();
        let outcome = if state.taken >= until {
            Ok(())
        } else if state.is_abandoned {
            Err(Abandoned)
        } else {
            let previous = match key.and_then(|key| state.tickets.get_mut(key)) {
                Some(waiting) => waiting.waker.replace(waker),
                None => {
                    *key = Some(state.tickets.insert(Waiting { until, waker: Some(waker) }));
                    None
                }
            };
            drop(state);
            drop(previous);
            return Poll::Pending;
        };
        let ticket = key.take().and_then(|key| state.tickets.try_remove(key));
        drop(state);
        drop(ticket);
        Poll::Ready(outcome)
    }

    /// Forgets a ticket.
    pub(super) fn withdraw(&self, key: usize) {
        if self.is_inherited() {
            return;
        }
        let ticket = self.state.lock().tickets.try_remove(key);
        drop(ticket);
    }

    /// The receiver is gone.
    pub(super) fn abandon(&self) {
        self.room.close();
        let (queue, waiting) = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.is_abandoned = true;
            (mem::take(&mut state.queue), state.wakers(u64::MAX))
        };
        waiting.into_iter().for_each(unwind::wake);
        drop(queue);
    }

    /// Nothing more is pushed.
    pub(super) fn close(&self) {
        self.room.close();
        let receiver = {
            let mut state = self.state.lock();
            state.is_closed = true;
            state.receiver.take()
        };
        receiver.into_iter().for_each(unwind::wake);
    }
}

impl<T> State<T> {
    /// Counts `n` messages as taken; returns who waited for that.
    fn count_taken(&mut self, n: usize) -> Vec<Waker> {
        self.taken += n as u64;
        self.wakers(self.taken)
    }

    /// Who waits for `taken` messages or fewer.
    fn wakers(&mut self, taken: u64) -> Vec<Waker> {
        let due = self.tickets.iter_mut().filter(|(_, waiting)| waiting.until <= taken);
        due.filter_map(|(_, waiting)| waiting.waker.take()).collect()
    }
}

impl<T: Send + 'static> Mailbox for Channel<T> {
    fn close(&self) {
        Channel::close(self);
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
