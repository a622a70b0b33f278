//! Messages for an owner who comes by.
//!
//! # Protocol
//!
//! - Whoever leaves a message makes the owner look around afterwards; the flag spares an owner with no mail
//!   the lock.
//! - A closed mailbox takes nothing.

use crate::loom::sync::Mutex;
use crate::loom::sync::atomic::AtomicBool;
use crate::loom::sync::atomic::Ordering::{Acquire, Release};

/// See the module docs.
#[derive(Debug)]
pub(super) struct Mailbox<M> {
    contents: Mutex<Contents<M>>,
    has_mail: AtomicBool,
}

#[derive(Debug)]
struct Contents<M> {
    messages: Vec<M>,
    is_closed: bool,
}

impl<M> Mailbox<M> {
    pub(super) fn new() -> Mailbox<M> {
        Mailbox {
            contents: Mutex::new(Contents { messages: Vec::new(), is_closed: false }),
            has_mail: AtomicBool::new(false),
        }
    }

    /// Leaves `message`; gives it back if nobody takes mail any more.
    pub(super) fn deliver(&self, message: M) -> Result<(), M> {
        let mut contents = self.contents.lock();
        if contents.is_closed {
            return Err(message);
        }
        contents.messages.push(message);
        self.has_mail.store(true, Release);
        Ok(())
    }

    /// Moves all messages to `into`.
    #[inline]
    pub(super) fn receive(&self, into: &mut Vec<M>) {
        if self.has_mail.load(Acquire) {
            let mut contents = self.contents.lock();
            self.has_mail.store(false, Release);
            into.append(&mut contents.messages);
        }
    }

    /// Moves those messages to `into` that `is_given` names.
    pub(super) fn hand_out(&self, is_given: impl Fn(&M) -> bool, into: &mut Vec<M>) {
        if self.has_mail.load(Acquire) {
            let mut contents = self.contents.lock();
            let messages = std::mem::take(&mut contents.messages).into_iter();
            let (given, kept): (Vec<_>, _) = messages.partition(is_given);
            into.extend(given);
            contents.messages = kept;
            self.has_mail.store(!contents.messages.is_empty(), Release);
        }
    }

    /// Takes no more messages; returns those there are.
    pub(super) fn close(&self) -> Vec<M> {
        let mut contents = self.contents.lock();
        contents.is_closed = true;
        self.has_mail.store(false, Release);
        std::mem::take(&mut contents.messages)
    }
}
