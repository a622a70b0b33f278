//! The operations in flight on one ring.
//!
//! A slot is taken when an entry goes to the ring and freed by the terminal completion, never
//! earlier: until then it keeps the operation, and with it all that the kernel may touch, alive. The
//! generation changes when a slot is freed, so a token names one operation for good. Only the ring's
//! owner comes here.

use std::mem::ManuallyDrop;
use std::sync::Arc;

use crate::driver::op::Flight;
use crate::sys::uring::{Kind, Token};

#[derive(Default)]
pub(super) struct Ops {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// How many of them hold a paused clock.
    holding_clock: usize,
}

struct Slot {
    generation: u32,
    flying: Option<Flying>,
}

/// What a slot owns.
pub(super) struct Flying {
    pub(super) flight: Arc<dyn Flight>,
    pub(super) opcode: u8,
    /// It was cancelled, but only because the ring must go.
    pub(super) is_recalled: bool,
    /// It was cancelled by whoever wanted it.
    pub(super) is_cancelled: bool,
    /// A thread of the kernel does it.
    pub(super) is_punted: bool,
    pub(super) place: Place,
    /// What begins when it is over.
    pub(super) next: Option<Token>,
    /// What [`Ring::taken`](crate::sys::uring::Ring::taken) was when its entry was pushed.
    pub(super) pushed_at: u64,
    holds_clock: bool,
}

/// Where an operation is in a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the head, or in none: the kernel knows it, and can cancel it.
    Front,
    /// Behind one that is not over: the kernel does not find it yet.
    Behind,
    /// The one before is over: the kernel will find it, or it is broken off.
    Next,
}

impl Ops {
    /// Takes a slot for an operation about to be pushed.
    pub(super) fn insert(&mut self, flight: Arc<dyn Flight>, pushed_at: u64) -> Token {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot { generation: 0, flying: None });
                (self.slots.len() - 1) as u32
            }
        };
        let holds_clock = flight.holds_clock();
        self.holding_clock += usize::from(holds_clock);
        let slot = &mut self.slots[index as usize];
        slot.flying = Some(Flying {
            flight,
            opcode: 0,
            is_recalled: false,
            is_cancelled: false,
            is_punted: false,
            place: Place::Front,
            next: None,
            pushed_at,
            holds_clock,
        });
        Token::new(Kind::Op, slot.generation, index)
    }

    /// The operation in flight as `token`; `None` if there is none any more.
    pub(super) fn get(&mut self, token: Token) -> Option<&mut Flying> {
        let slot = self.slots.get_mut(token.index() as usize)?;
        let is_current = slot.generation & Token::GENERATION_MASK == token.generation();
        slot.flying.as_mut().filter(|_| is_current)
    }

    /// Frees the slot: the terminal completion came.
    pub(super) fn remove(&mut self, token: Token) -> Option<Flying> {
        self.get(token)?;
        let slot = &mut self.slots[token.index() as usize];
        slot.generation = slot.generation.wrapping_add(1);
        let flying = slot.flying.take()?;
        self.holding_clock -= usize::from(flying.holds_clock);
        self.free.push(token.index());
        Some(flying)
    }

    /// `token` begins when the one `before` is over. Until then it does nothing.
    pub(super) fn put_behind(&mut self, before: Token, token: Token) {
        if let Some(flying) = self.get(before) {
            flying.next = Some(token);
        }
        if let Some(flying) = self.get(token) {
            flying.place = Place::Behind;
            let held = std::mem::take(&mut flying.holds_clock);
            self.holding_clock -= usize::from(held);
        }
    }

    /// The one before `token` is over.
    pub(super) fn comes_next(&mut self, token: Token) -> Option<&mut Flying> {
        let flying = self.get(token)?;
        flying.place = Place::Next;
        flying.holds_clock = flying.flight.holds_clock();
        let holds = flying.holds_clock;
        self.holding_clock += usize::from(holds);
        self.get(token)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Does any of them keep a paused clock from advancing?
    pub(super) fn hold_clock(&self) -> bool {
        self.holding_clock > 0
    }

    /// Is there one whose result is not known?
    pub(super) fn any_open(&self) -> bool {
        self.flights().any(|flight| !flight.is_settled())
    }

    /// Is there one among them that waits for a disk at the most?
    pub(super) fn any_open_here(&self) -> bool {
        let mut flying = self.slots.iter().filter_map(|slot| slot.flying.as_ref());
        flying.any(|flying| !flying.is_punted && !flying.flight.is_settled())
    }

    /// Does somebody wait for the result of any of them?
    pub(super) fn any_awaited(&self) -> bool {
        self.flights().any(|flight| !flight.is_settled() && flight.is_awaited())
    }

    fn flights(&self) -> impl Iterator<Item = &Arc<dyn Flight>> {
        self.slots.iter().filter_map(|slot| Some(&slot.flying.as_ref()?.flight))
    }

    pub(super) fn tokens(&self) -> Vec<Token> {
        let flying = |(index, slot): (usize, &Slot)| {
            slot.flying.is_some().then(|| Token::new(Kind::Op, slot.generation, index as u32))
        };
        self.slots.iter().enumerate().filter_map(flying).collect()
    }

    /// All of them, if the kernel has taken none: it has taken nothing since they were pushed.
    pub(super) fn untaken(&mut self, taken: u64) -> Option<Vec<Arc<dyn Flight>>> {
        let mut flying = self.slots.iter().filter_map(|slot| slot.flying.as_ref());
        flying.all(|flying| flying.pushed_at == taken).then(|| {
            let tokens = self.tokens();
            tokens.into_iter().filter_map(|token| Some(self.remove(token)?.flight)).collect()
        })
    }

    /// Takes all of them out. None may be freed before the kernel has let go of it.
    pub(super) fn take_all(&mut self) -> ManuallyDrop<Vec<Arc<dyn Flight>>> {
        let slots = std::mem::take(self).slots.into_iter();
        ManuallyDrop::new(slots.filter_map(|slot| Some(slot.flying?.flight)).collect())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::driver::Interest;
    use crate::driver::op::{Boarded, Completion, Landing};
    use crate::driver::uring::Remote;
    use crate::sys::uring::{Ring, Sqe};

    /// An operation: a poll of `fd`, which it keeps open, or nothing that anybody wants.
    #[derive(Default)]
    pub(in crate::driver::uring) struct Watching {
        pub(in crate::driver::uring) fd: Option<UnixStream>,
        pub(in crate::driver::uring) is_multishot: bool,
        pub(in crate::driver::uring) holds_clock: bool,
    }

    impl Flight for Watching {
        fn board(&self, _: &Arc<Remote>, _: &mut Ring, token: Token) -> Option<Boarded> {
            let fd = self.fd.as_ref()?.as_raw_fd();
            let entry = Sqe::poll_multishot(fd, Interest::READABLE.poll_events(), token);
            Some(Boarded { entry, limit: None, is_cancelled: false, is_punted: false })
        }
        fn progress(&self, _: Completion) -> Landing {
            Landing::Awaited(None)
        }
        fn land(&self, _: Completion) -> Landing {
            Landing::Awaited(None)
        }
        fn recall(&self) -> bool {
            false
        }
        fn orphan(&self, _: Completion) {}
        fn is_awaited(&self) -> bool {
            true
        }
        fn holds_clock(&self) -> bool {
            self.holds_clock
        }
        fn is_multishot(&self) -> bool {
            self.is_multishot
        }
    }

    fn holding_clock() -> Arc<dyn Flight> {
        Arc::new(Watching { holds_clock: true, ..Watching::default() })
    }

    #[test]
    fn a_freed_slot_does_not_answer_to_an_old_operations_token() {
        let mut ops = Ops::default();
        let old = ops.insert(holding_clock(), 0);
        assert!(ops.hold_clock());
        assert!(ops.remove(old).is_some());
        assert!(!ops.hold_clock());
        let new = ops.insert(holding_clock(), 0);
        assert_eq!(old.index(), new.index());
        assert!(ops.get(old).is_none());
        assert!(ops.remove(old).is_none());
        assert!(ops.get(new).is_some());
        assert_eq!(ops.tokens(), [new]);
        assert_eq!(ops.len(), 1);
    }

    #[test]
    fn what_is_taken_out_is_not_freed() {
        let flight = holding_clock();
        let mut ops = Ops::default();
        ops.insert(flight.clone(), 0);
        assert_eq!(ops.take_all().len(), 1);
        assert_eq!(ops.len(), 0);
        assert_eq!(Arc::strong_count(&flight), 2);
    }
}
