//! Operations that a ring carries out: the side that a future sees, whatever the backend.
//!
//! # Protocol
//!
//! - An [`Operation`] is what is to be done, with everything the kernel reads or writes meanwhile:
//!   buffer, path, header, and a reference that keeps the descriptor open. [`Op`] moves it into one
//!   allocation, where it stays until it is over; the future itself is never shown to the kernel.
//! - **Fresh**: nobody but the future knows of it. Dropping the future drops the operation.
//! - **Queued**: a ring was asked to take it, by mail or since it left another ring.
//! - **Flying**: an entry for it went to a ring (its *home*). The operation belongs to the kernel
//!   until the terminal completion, the one without `F_MORE`. Nobody touches it before.
//! - **Landed**: the terminal completion came. The operation is the future's again, which makes the
//!   output of both.
//! - A future that is dropped in between marks the operation **abandoned** and asks its home to cancel
//!   it; that never blocks. Whatever the cancel says, the operation's own completion decides. When
//!   that comes the ring's owner calls [`Operation::orphan`], after its turn, with nothing borrowed.
//!   A future that is forgotten leaks all this, and nothing else happens.
//! - A ring that must let go of its thread (the end of a `block_on`, `block_in_place`) **recalls** what
//!   flies: it cancels, and what ends without an effect is queued for the next owner. What ended
//!   otherwise has landed. Nobody notices.
//! - The parts of a [`Chain`] go to a ring together, each linked to the next. Otherwise each of them is
//!   an operation by itself, but that what is recalled lands: the chain as a whole is to be repeated.
//! - At the end of a runtime everything is cancelled and waited for, as long as that takes a moment. What the
//!   kernel has not let go of by then it keeps, and whoever looks after the closed ring
//!   ([`left_behind`](crate::driver::uring)) sees to it: nothing is freed before.
//!
//! A completion with `F_MORE` is either one of many ([`OpStream`]) or, for `SEND_ZC`, the result, while
//! the terminal one (`F_NOTIF`) says that the buffer is free. With the result the operation is **settled**: the
//! future may hand it out ([`Op::take_result`]) and be polled on for the buffer, and nobody waits for it who
//! is to let go of a ring. When the buffer is free is up to the peer.
//!
//! # Safety
//!
//! [`Operation`] is an unsafe trait: what an implementation must promise is said there. Nothing else
//! here is unsafe.
#![allow(unsafe_code)]

mod chain;
mod single;
mod stream;

pub(crate) use chain::Chain;
pub(crate) use single::Op;
#[cfg_attr(not(feature = "uring-native"), allow(unused_imports))]
pub(crate) use stream::Results;
pub(crate) use stream::{OpStream, StreamOperation};

use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use crate::driver::error::RUNTIME_SHUTTING_DOWN_ERROR;
use crate::driver::uring::Remote;
use crate::sys::uring::{Ring, Sqe, Token};
use crate::util::unwind;

/// Something for a ring to do, once.
///
/// # Safety
///
/// The entry points only into memory that `self` owns (or that lives for ever) and names only
/// descriptors that `self` keeps open, and neither is freed, moved or closed by moving `self` in
/// memory before `entry` or after the terminal completion. Between the two nobody touches `self`.
pub(crate) unsafe trait Operation: Send + 'static {
    /// What the future resolves to.
    type Output;

    /// Does a paused clock stand still while this is in flight? It does for what Tokio does on its
    /// blocking pool, and does not for sockets.
    const HOLDS_CLOCK: bool = false;

    /// The entry, without a token. `self` is where it stays until the terminal completion. Called
    /// again if the operation changes rings.
    fn entry(&mut self) -> Sqe;

    /// The entry for `ring`, that of `home`, which may know some of the memory by an index.
    fn entry_on(&mut self, home: &Arc<Remote>, ring: &mut Ring) -> Sqe {
        let _ = (home, ring);
        self.entry()
    }

    /// A completion came that is not the terminal one, with success: the result is known, and the kernel does no more
    /// than read the buffer. Whatever else it holds can go. Called on the thread that drives the ring, once.
    fn settle(&mut self) {}

    /// The terminal completion came.
    fn complete(self, completion: Completion) -> Self::Output;

    /// The same, but nobody waits any more: closes a descriptor that was opened or accepted, gives
    /// received bytes back. Runs on the thread that drives the ring, or that drops the future.
    fn orphan(self, completion: Completion)
    where
        Self: Sized,
    {
        drop(self.complete(completion));
    }

    /// Does a thread of the kernel do it, which nobody knows how long that takes? Else it is a matter of the disk at
    /// the most.
    fn is_punted(&self) -> bool {
        false
    }

    /// Cancelled without an effect, since the ring had to go: may it be submitted again? If not, the
    /// future sees `ECANCELED`.
    fn is_repeatable(&self) -> bool {
        true
    }
}

/// What the kernel said.
#[derive(Debug)]
pub(crate) struct Completion {
    /// The operation's value.
    pub(crate) result: io::Result<u32>,
    /// `IORING_CQE_F_*`.
    pub(crate) flags: u32,
    /// When its ring's thread got to know of it: no two of a ring are equal. `None` if no ring has said it.
    pub(crate) at: Option<Instant>,
}

impl Completion {
    /// From the fields of a completion.
    pub(crate) fn new(result: i32, flags: u32, at: Instant) -> Completion {
        let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
        Completion { result, flags, at: Some(at) }
    }

    /// It never reached the kernel.
    pub(crate) fn error(error: io::Error) -> Completion {
        Completion { result: Err(error), flags: 0, at: None }
    }

    /// The runtime has no rings.
    pub(crate) fn no_ring() -> Completion {
        Completion::error(io::ErrorKind::Unsupported.into())
    }

    /// Its ring was closed before it was over.
    pub(crate) fn left_behind() -> Completion {
        Completion::error(io::Error::other(
            "the thread that began the operation has left it behind: whether it was carried out is not known",
        ))
    }

    pub(crate) fn runtime_gone() -> Completion {
        Completion::error(io::Error::other(RUNTIME_SHUTTING_DOWN_ERROR))
    }
}

/// An operation as its ring sees it.
pub(crate) trait Flight: Send + Sync {
    /// `ring`, that of `home`, takes it on as `token`. `None` if nobody is interested any more.
    fn board(&self, home: &Arc<Remote>, ring: &mut Ring, token: Token) -> Option<Boarded>;

    /// A completion came that is not the last.
    fn progress(&self, completion: Completion) -> Landing;

    /// The last completion came, or the operation was refused.
    fn land(&self, completion: Completion) -> Landing;

    /// The last completion says that it was cancelled, which only its ring wanted: is it to be
    /// submitted again?
    fn recall(&self) -> bool;

    /// What is due after [`Landing::Orphaned`], with nothing borrowed.
    fn orphan(&self, completion: Completion);

    /// Does a future wait for it?
    fn is_awaited(&self) -> bool;

    /// Is its result known, so that it holds nothing but a buffer the kernel still reads?
    fn is_settled(&self) -> bool {
        false
    }

    /// See [`Operation::HOLDS_CLOCK`].
    fn holds_clock(&self) -> bool;

    /// Do completions come until it is cancelled?
    fn is_multishot(&self) -> bool;

    /// The one shard whose ring may take it on; any may if there is none.
    fn shard(&self) -> Option<usize> {
        None
    }
}

/// What goes into the ring.
pub(crate) struct Boarded {
    pub(crate) entry: Sqe,
    /// A linked timeout.
    pub(crate) limit: Option<Sqe>,
    /// A cancel was asked for before there was anything to cancel.
    pub(crate) is_cancelled: bool,
    /// See [`Operation::is_punted`].
    pub(crate) is_punted: bool,
}

/// What becomes of a completion. The waker is to be woken after the turn.
pub(crate) enum Landing {
    /// Somebody waits for it.
    Awaited(Option<Waker>),
    /// The same, and so many results wait that the operation is to be cancelled.
    Enough(Option<Waker>),
    /// Nobody does: see [`Flight::orphan`].
    Orphaned(Completion),
}

/// Ends an operation that no ring will take.
pub(crate) fn refuse(flight: &dyn Flight, why: Completion) {
    match flight.land(why) {
        Landing::Awaited(waker) | Landing::Enough(waker) => waker.into_iter().for_each(unwind::wake),
        Landing::Orphaned(completion) => flight.orphan(completion),
    }
}

impl fmt::Debug for dyn Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Flight")
    }
}

/// Where an operation flies.
#[derive(Debug, Clone)]
struct Home {
    remote: Arc<Remote>,
    token: Token,
}

/// Who knows of the operation, and what they want.
#[derive(Debug)]
enum Phase {
    Fresh,
    Queued,
    Flying(Home),
    Landed,
    Over,
}

impl Phase {
    /// Where a cancel has to go.
    fn home(&self) -> Option<Home> {
        match self {
            Phase::Flying(home) => Some(home.clone()),
            Phase::Fresh | Phase::Queued | Phase::Landed | Phase::Over => None,
        }
    }
}

/// Keeps the newest waker.
fn note_waker(slot: &mut Option<Waker>, waker: &Waker) {
    match slot {
        Some(known) => known.clone_from(waker),
        None => *slot = Some(waker.clone()),
    }
}

#[cfg(test)]
mod tests;
