//! The operations of an engine; the protocol is that of [`op`](crate::driver::op).

use std::sync::Arc;

use super::super::ops::Place;
use super::{Aftermath, Engine};
use crate::driver::op::{Boarded, Chain, Completion, Flight, Landing};
use crate::driver::set::WatchSet;
use crate::driver::uring::Outgoing;
use crate::sys::uring::{Cqe, Sqe, Token};

impl Engine {
    /// Takes an operation on: it goes in with the next `enter`. Returns one that nobody wants any
    /// more, to be dropped once the seat is free.
    pub(in crate::driver) fn launch(&mut self, flight: Arc<dyn Flight>) -> Option<Arc<dyn Flight>> {
        let (token, boarded) = match self.board(flight) {
            Ok(boarded) => boarded,
            Err(unwanted) => return unwanted,
        };
        match boarded.limit {
            None => self.ring.push(boarded.entry),
            Some(limit) => self.ring.push_linked(boarded.entry, limit),
        }
        if boarded.is_cancelled {
            self.ring.push(Sqe::cancel(token));
        }
        None
    }

    /// Takes a slot for an operation whose entry is pushed next; gives back one that nobody wants.
    #[inline]
    fn board(&mut self, flight: Arc<dyn Flight>) -> Result<(Token, Boarded), Option<Arc<dyn Flight>>> {
        let token = self.ops.insert(flight, self.ring.taken());
        let flying = self.ops.get(token).ok_or(None)?;
        let Some(boarded) = flying.flight.board(&self.remote, &mut self.ring, token) else {
            return Err(self.ops.remove(token).map(|flying| flying.flight));
        };
        flying.opcode = boarded.entry.opcode();
        flying.is_punted = boarded.is_punted;
        self.remote.stats.took_off(flying.opcode);
        Ok((token, boarded))
    }

    /// Takes the parts of a chain on: they go in together.
    pub(in crate::driver) fn launch_chain(&mut self, chain: &Chain) {
        chain.board(|parts| {
            let mut entries = Vec::with_capacity(2 * parts.len());
            let mut cancelled = Vec::new();
            let mut before: Option<Token> = None;
            for (i, flight) in parts.iter().enumerate() {
                let is_last = i + 1 == parts.len();
                let Ok((token, boarded)) = self.board(flight.clone()) else {
                    unreachable!("what is abandoned is so as a whole");
                };
                if let Some(before) = before.replace(token) {
                    self.ops.put_behind(before, token);
                }
                entries.push(match boarded.limit {
                    None if is_last => boarded.entry,
                    _ if chain.is_hard && !is_last => boarded.entry.hard_linked(),
                    _ => boarded.entry.linked(),
                });
                entries.extend(boarded.limit.map(|limit| if is_last { limit } else { limit.linked() }));
                if boarded.is_cancelled {
                    cancelled.push(token);
                }
            }
            self.ring.push_chain(entries);
            cancelled.into_iter().for_each(|token| self.cancel(token));
        });
    }

    /// The one before `token` in its chain is over.
    fn comes_next(&mut self, token: Token) {
        if let Some(flying) = self.ops.comes_next(token) {
            if flying.is_cancelled || flying.is_recalled {
                // Nobody has found it before.
                self.ring.push(Sqe::cancel(token));
            }
        }
    }

    /// Has the sends of the last turn's tasks go with the next `enter`.
    pub(in crate::driver) fn board_outgoing(&mut self, list: &Outgoing, aftermath: &mut Aftermath) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        list.take(&mut outgoing);
        for outbox in outgoing.drain(..) {
            aftermath.flights.extend(self.launch(outbox));
        }
        self.outgoing = outgoing;
    }

    /// The same, and enters: sends never wait, so that is their end.
    pub(in crate::driver) fn send_outgoing(
        &mut self,
        list: &Outgoing,
        set: Option<&WatchSet>,
        aftermath: &mut Aftermath,
    ) {
        self.board_outgoing(list, aftermath);
        self.flush();
        self.reap(set, aftermath);
    }

    /// Sends a cancel for the operation `token`, unless it is over.
    pub(in crate::driver) fn cancel(&mut self, token: Token) {
        if let Some(flying) = self.ops.get(token) {
            flying.is_recalled = false;
            flying.is_cancelled = true;
            self.ring.push(Sqe::cancel(token));
        }
    }

    /// A completion of an operation.
    pub(super) fn op_event(&mut self, cqe: &Cqe, aftermath: &mut Aftermath) {
        let completion = Completion::new(cqe.result, cqe.flags, self.reaped.next());
        if cqe.more {
            match self.ops.get(cqe.token) {
                None => self.stale += 1,
                Some(flying) => match flying.flight.progress(completion) {
                    Landing::Awaited(waker) => aftermath.wakers.extend(waker),
                    Landing::Enough(waker) => {
                        aftermath.wakers.extend(waker);
                        self.ring.push(Sqe::cancel(cqe.token));
                    }
                    Landing::Orphaned(completion) => {
                        aftermath.orphans.push((flying.flight.clone(), completion));
                    }
                },
            }
            return;
        }
        let Some(flying) = self.ops.remove(cqe.token) else {
            self.stale += 1;
            return;
        };
        self.remote.stats.landed(flying.opcode);
        if let Some(next) = flying.next {
            self.comes_next(next);
        }
        // EINTR: a worker of the kernel was told to stop while it waited.
        let had_no_effect = matches!(-cqe.result, libc::ECANCELED | libc::EINTR);
        if flying.is_recalled && had_no_effect && flying.flight.recall() {
            self.recalled.push(flying.flight);
            return;
        }
        match flying.flight.land(completion) {
            Landing::Awaited(waker) | Landing::Enough(waker) => {
                aftermath.wakers.extend(waker);
                // It may be the last reference by now.
                aftermath.flights.push(flying.flight);
            }
            Landing::Orphaned(completion) => aftermath.orphans.push((flying.flight, completion)),
        }
    }

    /// A cancel failed. Either the operation is over (`ENOENT`), or it is just being carried out
    /// (`EALREADY`): then it ends by itself, except one with many results, which may have stayed. One
    /// that is linked is not found before it begins.
    pub(super) fn op_cancel_failed(&mut self, cqe: &Cqe) {
        let target = Token::new(crate::sys::uring::Kind::Op, cqe.token.generation(), cqe.token.index());
        let Some(flying) = self.ops.get(target) else { return };
        let again = match -cqe.result {
            libc::EALREADY => flying.flight.is_multishot(),
            libc::ENOENT => flying.place == Place::Next,
            _ => false,
        };
        if again {
            self.ring.push(Sqe::cancel(target));
        }
    }

    /// Sends a cancel for all that flies, to be submitted again elsewhere.
    pub(super) fn recall_all(&mut self) {
        for token in self.ops.tokens() {
            if let Some(flying) = self.ops.get(token) {
                if !std::mem::replace(&mut flying.is_recalled, true) {
                    self.ring.push(Sqe::cancel(token));
                }
            }
        }
    }

    /// Submits what was called back and has no effect after all, while the thread goes on with the ring.
    pub(in crate::driver) fn launch_recalled(&mut self, aftermath: &mut Aftermath) {
        if self.recalled.is_empty() {
            return;
        }
        for flight in std::mem::take(&mut self.recalled) {
            aftermath.flights.extend(self.launch(flight));
        }
    }

    /// A group of buffers for this ring: see [`Ring::buf_ring`](crate::sys::uring::Ring::buf_ring); and
    /// who is to be told when it is gone.
    #[cfg(feature = "uring-native")]
    pub(in crate::driver) fn buf_ring(
        &mut self,
        group: u16,
        count: u16,
        size: usize,
    ) -> std::io::Result<(Arc<crate::sys::uring::buf_ring::BufRing>, Arc<super::super::Remote>)> {
        Ok((self.ring.buf_ring(group, count, size)?, self.remote.clone()))
    }

    /// Does an operation in flight keep a paused clock from advancing?
    pub(in crate::driver) fn holds_clock(&self) -> bool {
        self.ops.hold_clock()
    }
}
