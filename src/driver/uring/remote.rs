//! A ring as other threads see it: a mailbox, a doorbell and a park state.
//!
//! # Protocol
//!
//! - A message is pushed into the mailbox first; then [`Remote::unpark`] marks the ring
//!   notified, and rings the doorbell only if its thread was parked (see
//!   [`parking`](crate::driver::parking)). The message is never in the completion alone: one sent
//!   to a dead ring can succeed silently.
//! - A closed mailbox takes nothing: the ring has no polls any more, and the sender acts itself.
//!   While the ring is *detached* that goes for what concerns its polls and operations only; a
//!   request to watch something, or a new operation, waits for the next owner.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, mpsc};

use crate::driver::op::{Chain, Flight};
use crate::driver::parking::Parking;
use crate::driver::scheduled_io::ScheduledIo;
use crate::loom::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use crate::loom::sync::atomic::{AtomicBool, AtomicU64};
use crate::loom::sync::{Mutex, MutexGuard};
use crate::sys;
use crate::sys::uring::{Doorbell, Token};

use super::outgoing::Outgoing;
use super::slots::Slots;
use super::stats::Stats;

/// What another thread asks of a ring's owner.
#[derive(Debug)]
pub(crate) enum Message {
    /// Watch this resource.
    Watch(Arc<ScheduledIo>),
    /// Stop watching this resource: its task lives on another shard by now.
    GiveUp(Arc<ScheduledIo>),
    /// Stop watching; then do what is due.
    Unwatch(Token, Due),
    /// Take this operation on.
    Launch(Arc<dyn Flight>),
    /// Take these operations on, together.
    LaunchChain(Arc<Chain>),
    /// Cancel this operation.
    Cancel(Token),
    /// Some memory that the ring knows is retired.
    #[cfg_attr(not(feature = "uring-native"), allow(dead_code))]
    ForgetFixed,
}

impl Message {
    /// May any ring of the runtime serve it?
    fn is_for_any_ring(&self) -> bool {
        match self {
            Message::Watch(_) => true,
            Message::Launch(flight) => flight.shard().is_none(),
            Message::LaunchChain(chain) => chain.shard().is_none(),
            // They concern what this one has.
            Message::GiveUp(_) | Message::Unwatch(..) | Message::Cancel(_) | Message::ForgetFixed => false,
        }
    }

    /// Does it wait for the next owner of a ring that was given up?
    fn outlasts_ring(&self) -> bool {
        matches!(self, Message::Watch(_) | Message::Launch(_) | Message::LaunchChain(_))
    }
}

/// What is due once a poll is gone: the descriptor is closed, if one is given, and then who waits
/// for that is told, by dropping the sender.
#[derive(Debug)]
pub(crate) struct Due {
    pub(crate) fd: Option<OwnedFd>,
    pub(crate) told: Option<mpsc::Sender<()>>,
}

#[derive(Debug)]
pub(crate) struct Remote {
    /// The runtime and the shard this ring serves.
    pub(crate) runtime: u64,
    pub(crate) shard: usize,
    parking: Parking,
    pub(crate) doorbell: Doorbell,
    mailbox: Mutex<Mailbox>,
    has_mail: AtomicBool,
    pub(crate) slots: Mutex<Slots>,
    /// What goes with the next turn.
    pub(crate) outgoing: Outgoing,
    /// Counts turns: a sibling that sees no progress for a while takes the ring for stalled.
    turns: AtomicU64,
    /// Held by a sibling while it waits for what this ring watches.
    visited: Mutex<()>,
    pub(crate) stats: Arc<Stats>,
    /// That sibling's ring.
    visitor: Mutex<Option<Arc<Remote>>>,
}

#[derive(Debug, Default)]
struct Mailbox {
    messages: Vec<Message>,
    attached: bool,
    closed: bool,
}

impl Remote {
    pub(crate) fn new(runtime: u64, shard: usize) -> io::Result<Remote> {
        Ok(Remote {
            runtime,
            shard,
            parking: Parking::new(),
            doorbell: Doorbell::new()?,
            mailbox: Mutex::default(),
            has_mail: AtomicBool::new(false),
            slots: Mutex::default(),
            outgoing: Outgoing::default(),
            turns: AtomicU64::new(0),
            visited: Mutex::new(()),
            stats: Arc::default(),
            visitor: Mutex::new(None),
        })
    }

    /// Delivers `message` and wakes the owner; gives it back if the mailbox is closed.
    pub(crate) fn send(&self, message: Message) -> Result<(), Message> {
        {
            let mut mailbox = self.mailbox.lock();
            if mailbox.closed || !mailbox.attached && !message.outlasts_ring() {
                return Err(message);
            }
            mailbox.messages.push(message);
            self.has_mail.store(true, Release);
        }
        self.unpark();
        Ok(())
    }

    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail.load(Acquire)
    }

    /// Moves all messages to `into`.
    pub(crate) fn receive(&self, into: &mut Vec<Message>) {
        if self.has_mail() {
            let mut mailbox = self.mailbox.lock();
            self.has_mail.store(false, Release);
            into.append(&mut mailbox.messages);
        }
    }

    /// Moves what any ring may serve to `into`, for a sibling: the owner does not come to it.
    pub(super) fn hand_out(&self, into: &mut Vec<Message>) {
        if self.has_mail() {
            let mut mailbox = self.mailbox.lock();
            let messages = std::mem::take(&mut mailbox.messages).into_iter();
            let (given, kept): (Vec<_>, _) = messages.partition(Message::is_for_any_ring);
            into.extend(given);
            mailbox.messages = kept;
            self.has_mail.store(!mailbox.messages.is_empty(), Release);
        }
    }

    /// A ring is there.
    pub(super) fn attach(&self) {
        self.mailbox.lock().attached = true;
    }

    /// The ring is drained and leaves; returns the messages about its polls.
    pub(super) fn detach(&self) -> Vec<Message> {
        let mut mailbox = self.mailbox.lock();
        mailbox.attached = false;
        let messages = std::mem::take(&mut mailbox.messages).into_iter();
        let (kept, rest) = messages.partition(Message::outlasts_ring);
        mailbox.messages = kept;
        rest
    }

    /// Takes no more messages; returns those not yet received.
    pub(crate) fn close_mailbox(&self) -> Vec<Message> {
        let mut mailbox = self.mailbox.lock();
        mailbox.closed = true;
        self.has_mail.store(false, Release);
        std::mem::take(&mut mailbox.messages)
    }

    /// Makes the owner look around, from any thread.
    pub(crate) fn unpark(&self) {
        if self.notify() {
            self.stats.count_doorbell();
            super::lane::ring_doorbell(self);
        }
    }

    /// Marks the ring notified; `true` if its doorbell must be rung.
    pub(super) fn notify(&self) -> bool {
        self.parking.notify()
    }

    /// The owner is about to wait; `false` if it must look around instead.
    pub(super) fn start_parking(&self) -> bool {
        self.parking.start()
    }

    /// The owner is back.
    pub(super) fn stop_parking(&self) {
        self.parking.stop();
    }

    /// Was the owner notified, and has not looked around since?
    pub(super) fn is_notified(&self) -> bool {
        self.parking.is_notified()
    }

    pub(crate) fn is_parked(&self) -> bool {
        self.parking.is_parked()
    }

    pub(super) fn count_turn(&self) {
        // One writer: no read-modify-write needed.
        self.turns.store(self.turns.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// The right of the owner of `visitor` to wait for what this ring watches, unless somebody
    /// else does.
    pub(super) fn visit(&self, visitor: &Arc<Remote>) -> Option<Visit<'_>> {
        let visited = self.visited.try_lock()?;
        *self.visitor.lock() = Some(visitor.clone());
        Some(Visit { host: self, _visited: visited })
    }

    /// Closes `fd`, whose poll is gone. A visitor's wait holds its files, too, and is ended. If
    /// the file has an address to itself, that one is free afterwards.
    pub(super) fn close(&self, fd: Option<OwnedFd>) {
        let Some(fd) = fd else { return };
        // Who comes later does not see it any more.
        let visited = self.visited.try_lock().is_none();
        let wait = visited && sys::io::holds_address(fd.as_raw_fd());
        drop(fd);
        if visited {
            let visitor = self.visitor.lock().clone();
            if let Some(visitor) = visitor {
                visitor.unpark();
            }
        }
        if wait {
            drop(self.visited.lock());
        }
    }

    /// A number that changes while the owner makes progress.
    pub(crate) fn turns(&self) -> u64 {
        self.turns.load(Relaxed)
    }
}

/// A sibling's wait for what a ring watches.
#[derive(Debug)]
pub(super) struct Visit<'a> {
    host: &'a Remote,
    _visited: MutexGuard<'a, ()>,
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        *self.host.visitor.lock() = None;
    }
}
