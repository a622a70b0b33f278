//! A ring as other threads see it: a mailbox and a doorbell.
//!
//! # Protocol
//!
//! - A message is pushed into the mailbox first; then the shard is unparked. The message is never in the
//!   doorbell's completion alone: one sent to a dead ring can succeed silently.
//! - A closed mailbox takes nothing: what it is about is over.

use std::sync::{Arc, Weak};

use crate::driver::shards::Shard;
use crate::loom::sync::Mutex;
use crate::loom::sync::atomic::AtomicBool;
use crate::loom::sync::atomic::Ordering::{Acquire, Release};
use crate::sys::uring::{Doorbell, Token};

use super::stats::Stats;

/// What another thread asks of a ring's owner.
#[derive(Debug)]
pub(crate) enum Message {
    /// Cancel this operation.
    Cancel(Token),
    /// Some memory that the ring knows is retired.
    #[cfg_attr(not(feature = "uring-native"), allow(dead_code))]
    ForgetFixed,
}

#[derive(Debug)]
pub(crate) struct Remote {
    /// Whose owner is to be told of mail.
    shard: Weak<Shard>,
    pub(crate) doorbell: Doorbell,
    mailbox: Mutex<Mailbox>,
    has_mail: AtomicBool,
    pub(crate) stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Mailbox {
    messages: Vec<Message>,
    is_closed: bool,
}

impl Remote {
    pub(crate) fn new(shard: &Arc<Shard>, doorbell: Doorbell) -> Remote {
        Remote {
            shard: Arc::downgrade(shard),
            doorbell,
            mailbox: Mutex::default(),
            has_mail: AtomicBool::new(false),
            stats: Arc::default(),
        }
    }

    /// Delivers `message`, unless nobody takes mail any more.
    pub(crate) fn send(&self, message: Message) {
        {
            let mut mailbox = self.mailbox.lock();
            if mailbox.is_closed {
                return;
            }
            mailbox.messages.push(message);
            self.has_mail.store(true, Release);
        }
        if let Some(shard) = self.shard.upgrade() {
            shard.unpark();
        }
    }

    /// Moves all messages to `into`.
    pub(crate) fn receive(&self, into: &mut Vec<Message>) {
        if self.has_mail.load(Acquire) {
            let mut mailbox = self.mailbox.lock();
            self.has_mail.store(false, Release);
            into.append(&mut mailbox.messages);
        }
    }

    /// Takes no more messages. Those there are concern what is over.
    pub(crate) fn close(&self) {
        let mut mailbox = self.mailbox.lock();
        mailbox.is_closed = true;
        mailbox.messages.clear();
        self.has_mail.store(false, Release);
    }
}
