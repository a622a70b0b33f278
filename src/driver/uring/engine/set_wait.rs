//! The one entry by which a ring waits in the watch set.
//!
//! # Safety
//!
//! The entry points to room for events, which stays where it is and is not looked at before the
//! completion. A ring that is given up with the entry in flight leaks it.
#![allow(unsafe_code)]

use std::os::fd::AsRawFd;

use io_uring::opcode;

use super::{Aftermath, Engine};
use crate::driver::set::WatchSet;
use crate::sys::epoll::Events;
use crate::sys::uring::{Cqe, Kind, Sqe, Token, supports};

const TOKEN: Token = Token::new(Kind::SetWait, 0, 0);

/// So many events a completion brings; the rest comes with the next.
const EVENTS: usize = 64;

/// See the module docs.
pub(super) struct SetWait {
    /// From the first wait on.
    events: Option<Box<Events>>,
    is_armed: bool,
    /// It was taken back, and has no completion yet.
    is_cancelled: bool,
    /// The kernel does not let this ring wait in a set.
    is_refused: bool,
}

impl SetWait {
    pub(super) fn new() -> SetWait {
        SetWait { events: None, is_armed: false, is_cancelled: false, is_refused: false }
    }

    pub(super) fn is_armed(&self) -> bool {
        self.is_armed
    }
}

impl Engine {
    /// Can this ring wait in a set?
    pub(in crate::driver) fn can_wait_in_set(&self) -> bool {
        supports(opcode::EpollWait::CODE) && !self.set_wait.is_refused
    }

    /// Before a sleep in the ring: it waits in `set` as well, or else must not.
    pub(super) fn see_to_set_wait(&mut self, set: Option<&WatchSet>) {
        match set {
            Some(set) if !self.set_wait.is_armed => {
                let events =
                    self.set_wait.events.get_or_insert_with(|| Box::new(Events::with_capacity(EVENTS)));
                // SAFETY: the room is on the heap; see the module docs.
                self.ring.push(unsafe { Sqe::epoll_wait(set.epoll().as_raw_fd(), events.room(), TOKEN) });
                self.set_wait.is_armed = true;
                self.set_wait.is_cancelled = false;
            }
            Some(_) => {}
            None => self.cancel_set_wait(),
        }
    }

    /// Takes the entry back. A cancel takes no event.
    pub(super) fn cancel_set_wait(&mut self) {
        if self.set_wait.is_armed && !self.set_wait.is_cancelled {
            self.set_wait.is_cancelled = true;
            self.ring.push(Sqe::cancel(TOKEN));
        }
    }

    /// The entry is over. `EAGAIN`: somebody else has taken the events. `ECANCELED`, `EINTR`: it was taken
    /// back. Any other error would come again: the thread waits in the set from now on.
    pub(super) fn set_wait_ended(&mut self, cqe: &Cqe, set: Option<&WatchSet>, aftermath: &mut Aftermath) {
        self.set_wait.is_armed = false;
        let passes = matches!(-cqe.result, libc::EAGAIN | libc::ECANCELED | libc::EINTR | libc::ENOMEM);
        self.set_wait.is_refused |= cqe.result < 0 && !passes;
        if let (Ok(n), Some(events), Some(set)) =
            (usize::try_from(cqe.result), &mut self.set_wait.events, set)
        {
            events.filled(n);
            set.serve_ring(events, &mut aftermath.wakers);
        }
    }

    /// The kernel may still write there.
    pub(super) fn leak_set_wait(&mut self) {
        if std::mem::take(&mut self.set_wait.is_armed) {
            std::mem::forget(self.set_wait.events.take());
        }
    }
}
