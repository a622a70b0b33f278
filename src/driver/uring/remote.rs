//! A ring as other threads see it: a mailbox and a doorbell.
//!
//! # Protocol
//!
//! - A message is pushed into the mailbox first; then the shard is unparked. The message is never in the
//!   doorbell's completion alone: one sent to a dead ring can succeed silently.
//! - A closed mailbox takes nothing: what it is about is over.

use std::sync::{Arc, Weak};

use crate::driver::mailbox::Mailbox;
use crate::driver::shards::Shard;
use crate::sys::uring::{Doorbell, Token};

use super::stats::Stats;

/// What another thread asks of a ring's owner.
#[derive(Debug)]
pub(crate) enum Message {
    /// Cancel this operation.
    Cancel(Token),
    /// Nobody uses some memory any more that the ring knows.
    #[cfg_attr(not(feature = "uring-native"), allow(dead_code))]
    ForgetUnused,
}

#[derive(Debug)]
pub(crate) struct Remote {
    /// Whose owner is to be told of mail.
    shard: Weak<Shard>,
    pub(crate) doorbell: Doorbell,
    mail: Mailbox<Message>,
    pub(crate) stats: Arc<Stats>,
}

impl Remote {
    pub(crate) fn new(shard: &Arc<Shard>, doorbell: Doorbell) -> Remote {
        Remote { shard: Arc::downgrade(shard), doorbell, mail: Mailbox::new(), stats: Arc::default() }
    }

    /// Delivers `message`, unless nobody takes mail any more.
    pub(crate) fn send(&self, message: Message) {
        if self.mail.deliver(message).is_err() {
            return;
        }
        if let Some(shard) = self.shard.upgrade() {
            shard.unpark();
        }
    }

    /// Moves all messages to `into`.
    #[inline]
    pub(crate) fn receive(&self, into: &mut Vec<Message>) {
        self.mail.receive(into);
    }

    /// Takes no more messages. Those there are concern what is over.
    pub(crate) fn close(&self) {
        drop(self.mail.close());
    }
}
