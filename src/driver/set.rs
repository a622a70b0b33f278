//! What a runtime watches: its watch set.
//!
//! # Protocol
//!
//! - There is one for each runtime, an epoll instance, whatever the backend. A resource is a **member**
//!   from its first wait until it is let go of.
//! - Any thread adds and removes, at once: nothing that watches belongs to a thread. Removing comes
//!   before the descriptor is closed or handed out: with a duplicate alive the kernel would go on
//!   reporting it.
//! - Any thread takes events; who does is the matter of [`hold`](super::hold). Each event comes to one
//!   of them, and is entered into the readiness word of its resource, whose wakers are collected, to be
//!   woken with nothing locked or held.
//! - A member's token has a generation: an event that was taken before the member left is nobody's.
//! - The **bell** is an eventfd in the set, for a thread that sleeps there and is wanted elsewhere. Its
//!   event is nobody's, too.
//! - The **alarm** is a descriptor that is no resource of the runtime's. Its first event wakes a waker, once.
//! - A set that is **closed** takes no members; those it had are told that the runtime is gone.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use crate::driver::Ready;
use crate::driver::hold::{Hold, Holder};
use crate::driver::scheduled_io::ScheduledIo;
use crate::loom::sync::Mutex;
use crate::sys::epoll::{Epoll, Events, explain};
use crate::sys::event_fd::EventFd;
use crate::sys::poll;
use crate::sys::uring::Wait;

/// The token of the bell: no member's, since generations start at 1.
const BELL: u64 = 0;

/// The token of the alarm: no member's, either.
const ALARM: u64 = 1;

/// The bits of a token that say where its member is; the rest is the generation.
const INDEX_BITS: u32 = 32;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

/// See the module docs.
pub(crate) struct WatchSet {
    epoll: Epoll,
    bell: EventFd,
    holder: Holder,
    members: Mutex<Members>,
    /// Whom the alarm wakes; `None` once it has.
    alarm: Mutex<Option<Waker>>,
}

struct Members {
    /// Each with its token.
    slab: Slab<(u64, Arc<ScheduledIo>)>,
    /// Goes into the next token.
    generation: u32,
    is_closed: bool,
}

impl WatchSet {
    /// An empty set: two descriptors.
    pub(crate) fn new() -> io::Result<WatchSet> {
        let epoll = Epoll::new()?;
        let bell = EventFd::new().map_err(|error| explain("create an eventfd", &error))?;
        epoll.add(bell.as_raw_fd(), poll::IN, BELL)?;
        let members = Members { slab: Slab::new(), generation: 1, is_closed: false };
        Ok(WatchSet {
            epoll,
            bell,
            holder: Holder::new(),
            members: Mutex::new(members),
            alarm: Mutex::new(None),
        })
    }

    /// Makes `io` a member; returns its token, or `None` if the set is closed.
    ///
    /// # Errors
    ///
    /// Those of [`Epoll::add`].
    pub(crate) fn add(&self, io: &Arc<ScheduledIo>) -> io::Result<Option<u64>> {
        // A member before the kernel knows it: whoever takes its first event finds it.
        let Some(token) = self.members.lock().insert(io) else { return Ok(None) };
        match self.epoll.add(io.fd(), io.interest().poll_events(), token) {
            Ok(()) => Ok(Some(token)),
            Err(error) => {
                let io = self.members.lock().remove(token);
                drop(io);
                Err(error)
            }
        }
    }

    /// Ends the membership of `token`, whose descriptor is `fd`; returns the member, to be dropped with
    /// no lock held.
    pub(crate) fn remove(&self, fd: RawFd, token: u64) -> Option<Arc<ScheduledIo>> {
        let io = self.members.lock().remove(token)?;
        // An error: the descriptor was closed under us, which removed it as well.
        let _ = self.epoll.remove(fd);
        Some(io)
    }

    /// The right to take events, unless another thread has it.
    pub(crate) fn try_hold(&self) -> Option<Hold<'_>> {
        self.holder.try_hold()
    }

    /// Takes events as they come, at most as many as there is room for; with [`serve`](WatchSet::serve)
    /// they have an effect. By whoever [holds](WatchSet::try_hold) the set.
    pub(crate) fn wait(&self, events: &mut Events, wait: Wait) {
        if let Err(error) = self.epoll.wait(events, wait) {
            refused(&error);
        }
    }

    /// Enters what was taken, and moves the wakers of those who wait for it to `wakers`.
    pub(crate) fn serve(&self, events: &Events, wakers: &mut Vec<Waker>) {
        let mut events = events.iter().filter(|(token, _)| *token != BELL).peekable();
        if events.peek().is_none() {
            return;
        }
        let members = self.members.lock();
        for (token, bits) in events {
            if token == ALARM {
                wakers.extend(self.alarm.lock().take());
            } else if let Some(io) = members.get(token) {
                let ready = Ready::from_poll(bits);
                io.set_readiness(ready);
                io.take_wakers(ready, wakers);
            }
        }
    }

    /// The same for what a ring has taken. It may have done so while another thread slept in the set, for whom
    /// the bell was rung: then it rings once more.
    pub(crate) fn serve_ring(&self, events: &Events, wakers: &mut Vec<Waker>) {
        /// How long the kernel gets to find some memory.
        const MOMENT: Duration = Duration::from_micros(100);

        self.serve(events, wakers);
        if events.iter().any(|(token, _)| token == BELL) {
            while self.holder.listens() && self.ring().is_err() {
                std::thread::sleep(MOMENT);
            }
        }
    }

    /// Has `waker` woken at the first event of `fd`; if it is readable already, that is one. There is one alarm at a
    /// time.
    ///
    /// # Errors
    ///
    /// Those of [`Epoll::add`].
    pub(crate) fn set_alarm(&self, fd: RawFd, waker: Waker) -> io::Result<()> {
        // Before the kernel knows it: whoever takes the event finds it.
        let before = self.alarm.lock().replace(waker);
        drop(before);
        self.epoll.add(fd, poll::IN, ALARM)
    }

    /// Ends that, before `fd` is closed.
    pub(crate) fn end_alarm(&self, fd: RawFd) {
        // An error: as in `remove`.
        let _ = self.epoll.remove(fd);
        let waker = self.alarm.lock().take();
        drop(waker);
    }

    /// Wakes the thread that sleeps in the set.
    pub(crate) fn ring(&self) -> io::Result<()> {
        self.bell.ring()
    }

    pub(crate) fn bell(&self) -> &EventFd {
        &self.bell
    }

    /// For a ring that waits in the set.
    pub(crate) fn epoll(&self) -> &Epoll {
        &self.epoll
    }

    /// How many members there are.
    pub(crate) fn len(&self) -> usize {
        self.members.lock().slab.len()
    }

    /// Has the outboxes that wait for room in a member try again; `false` if there are none.
    pub(crate) fn wake_senders(&self) -> bool {
        let senders: Vec<_> = {
            let members = self.members.lock();
            members.slab.iter().filter_map(|(_, (_, io))| io.take_sender()).collect()
        };
        let are_some = !senders.is_empty();
        senders.into_iter().for_each(Waker::wake);
        are_some
    }

    /// Takes no more members; returns those there were, to be told.
    pub(crate) fn close(&self) -> Vec<Arc<ScheduledIo>> {
        let slab = {
            let mut members = self.members.lock();
            members.is_closed = true;
            std::mem::take(&mut members.slab)
        };
        slab.into_iter().map(|(_, (_, io))| io).collect()
    }
}

impl Members {
    fn insert(&mut self, io: &Arc<ScheduledIo>) -> Option<u64> {
        if self.is_closed {
            return None;
        }
        let generation = self.generation;
        // Never 0: see `BELL`.
        self.generation = generation.checked_add(1).unwrap_or(1);
        let entry = self.slab.vacant_entry();
        let token = u64::from(generation) << INDEX_BITS | entry.key() as u64 & INDEX_MASK;
        entry.insert((token, io.clone()));
        Some(token)
    }

    fn remove(&mut self, token: u64) -> Option<Arc<ScheduledIo>> {
        self.get(token)?;
        Some(self.slab.remove((token & INDEX_MASK) as usize).1)
    }

    fn get(&self, token: u64) -> Option<&Arc<ScheduledIo>> {
        let (current, io) = self.slab.get((token & INDEX_MASK) as usize)?;
        (*current == token).then_some(io)
    }
}

#[cold]
fn refused(error: &io::Error) -> ! {
    panic!(
        "spargio: the kernel refuses an epoll instance that worked before: {error}. Was its descriptor closed \
         while the runtime ran?"
    )
}

impl fmt::Debug for WatchSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSet")
            .field("members", &self.len())
            .field("holder", &self.holder)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
