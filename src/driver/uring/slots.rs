//! The polls in flight on one ring.
//!
//! A slot is taken when a poll is armed and freed by the poll's terminal completion, never
//! earlier. Its generation changes when it is freed, so a token names one poll for good. The
//! owner takes, closes and frees; other threads only read, and only while the owner's thread
//! is stalled.

use std::sync::Arc;

use crate::driver::scheduled_io::ScheduledIo;
use crate::sys::uring::{Kind, Token};

#[derive(Debug, Default)]
pub(crate) struct Slots {
    entries: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Free,
    /// Armed for this resource.
    Armed(Arc<ScheduledIo>),
    /// A cancel is on its way; the resource does not care any more.
    Closing,
}

impl Slots {
    /// Takes a slot for a poll about to be armed.
    pub(crate) fn insert(&mut self, io: Arc<ScheduledIo>) -> Token {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.entries.push(Slot { generation: 0, state: State::Free });
                (self.entries.len() - 1) as u32
            }
        };
        let slot = &mut self.entries[index as usize];
        slot.state = State::Armed(io);
        Token::new(Kind::Poll, slot.generation, index)
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        let slot = self.entries.get_mut(token.index() as usize)?;
        let current = slot.generation & Token::GENERATION_MASK == token.generation();
        (current && !matches!(slot.state, State::Free)).then_some(slot)
    }

    /// The resource of an armed poll. `Err` if the token is stale; `Ok(None)` while closing.
    pub(crate) fn get(&mut self, token: Token) -> Result<Option<&Arc<ScheduledIo>>, Stale> {
        match self.slot(token) {
            None => Err(Stale),
            Some(Slot { state: State::Armed(io), .. }) => Ok(Some(io)),
            Some(_) => Ok(None),
        }
    }

    /// A cancel is about to be sent; returns the resource.
    pub(crate) fn close(&mut self, token: Token) -> Option<Arc<ScheduledIo>> {
        match std::mem::replace(&mut self.slot(token)?.state, State::Closing) {
            State::Armed(io) => Some(io),
            State::Closing | State::Free => None,
        }
    }

    /// Is the poll's cancel still on its way?
    pub(crate) fn is_closing(&mut self, token: Token) -> bool {
        self.slot(token).is_some_and(|slot| matches!(slot.state, State::Closing))
    }

    /// The terminal completion came; returns the resource, unless it was closing.
    pub(crate) fn remove(&mut self, token: Token) -> Option<Arc<ScheduledIo>> {
        let slot = self.slot(token)?;
        slot.generation = slot.generation.wrapping_add(1);
        let state = std::mem::replace(&mut slot.state, State::Free);
        self.free.push(token.index());
        match state {
            State::Armed(io) => Some(io),
            State::Closing | State::Free => None,
        }
    }

    /// How many polls have no terminal completion yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// The tokens of all armed polls.
    pub(crate) fn armed(&self) -> Vec<Token> {
        let armed = |(index, slot): (usize, &Slot)| {
            matches!(slot.state, State::Armed(_))
                .then(|| Token::new(Kind::Poll, slot.generation, index as u32))
        };
        self.entries.iter().enumerate().filter_map(armed).collect()
    }

    /// All resources with an armed poll.
    pub(crate) fn resources(&self) -> impl Iterator<Item = &Arc<ScheduledIo>> {
        self.entries.iter().filter_map(|slot| match &slot.state {
            State::Armed(io) => Some(io),
            State::Closing | State::Free => None,
        })
    }
}

/// The token belongs to no poll in flight.
#[derive(Debug)]
pub(crate) struct Stale;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::Interest;

    fn io() -> Arc<ScheduledIo> {
        Arc::new(ScheduledIo::new(-1, Interest::READABLE))
    }

    #[test]
    fn a_freed_slot_does_not_answer_to_its_old_token() {
        let mut slots = Slots::default();
        let old = slots.insert(io());
        assert!(slots.remove(old).is_some());
        let new = slots.insert(io());
        assert_eq!(old.index(), new.index());
        assert!(slots.get(old).is_err());
        assert!(slots.remove(old).is_none());
        assert!(matches!(slots.get(new), Ok(Some(_))));
        assert_eq!(slots.in_flight(), 1);
    }

    #[test]
    fn a_closing_slot_stays_taken_until_the_terminal_completion() {
        let mut slots = Slots::default();
        let token = slots.insert(io());
        assert!(slots.close(token).is_some());
        assert!(slots.close(token).is_none());
        assert!(slots.is_closing(token));
        assert_eq!(slots.in_flight(), 1);
        assert!(slots.armed().is_empty());
        assert!(slots.remove(token).is_none());
        assert_eq!(slots.in_flight(), 0);
    }
}
