//! Which way the writes of a stream take, and the outbox of those that wait.
//!
//! The outbox, which is the registration's, is made for the first write that is kept; a stream on the readiness lane has none, and
//! pays one look at `mode` for each write. Everything else that concerns the writing side goes by the
//! outbox first: what was accepted is sent before.

#![cfg_attr(not(feature = "net"), allow(dead_code))]

use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};

use upstream::task::coop;

use crate::driver::{Direction, Drained, Handle, Interest, Lane, Offer, Outbox, Registration};
use crate::io::PollEvented;
use crate::sys;
use crate::util::leaf;

/// So many small writes in busy turns, less those in others, and a stream on [`Lane::Auto`] is hot.
const HOT: u8 = 16;

/// How far that goes: so many writes in quiet turns and it is not any more.
const MAX_HEAT: u8 = 2 * HOT;

const READINESS: u8 = 0;
const NATIVE: u8 = 1;
const AUTO: u8 = 2;
/// Back to readiness, as soon as the outbox is empty.
const LEAVING: u8 = 3;

/// See the module docs.
#[derive(Debug)]
pub(super) struct WriteLane {
    mode: AtomicU8,
    heat: AtomicU8,
}

impl WriteLane {
    pub(super) const fn new(lane: Lane) -> WriteLane {
        let mode = match lane {
            Lane::Readiness => READINESS,
            Lane::Native => NATIVE,
            Lane::Auto => AUTO,
        };
        WriteLane { mode: AtomicU8::new(mode), heat: AtomicU8::new(0) }
    }

    /// Does every write go straight to the socket?
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        self.mode.load(Relaxed) == READINESS
    }

    fn set(&self, lane: Lane, has_outbox: bool) {
        let mode = match lane {
            Lane::Readiness if has_outbox => LEAVING,
            Lane::Readiness => READINESS,
            Lane::Native => NATIVE,
            Lane::Auto => AUTO,
        };
        self.mode.store(mode, Relaxed);
    }

    /// Nothing is accepted any more that is not in the socket: the writing side is shut down or broken, and the
    /// kernel has an answer for each write.
    pub(super) fn leave(&self) {
        if !self.is_plain() {
            self.mode.store(LEAVING, Relaxed);
        }
    }

    /// What a write has said: a stream that has failed is to fail again, as on Tokio.
    pub(super) fn heed<T>(&self, written: &io::Result<T>) {
        if matches!(written, Err(e) if e.kind() != io::ErrorKind::WouldBlock) {
            self.leave();
        }
    }

    fn get(&self) -> Lane {
        match self.mode.load(Relaxed) {
            NATIVE => Lane::Native,
            AUTO => Lane::Auto,
            _ => Lane::Readiness,
        }
    }

    /// Counts a write of `len` bytes that nothing is in front of: is it one to keep?
    fn is_hot(&self, driver: &Handle, len: usize) -> bool {
        let is_busy = driver.is_busy();
        match self.mode.load(Relaxed) {
            NATIVE => is_busy,
            AUTO => {
                // A hint: a count lost in a race delays the decision, no more.
                let heat = self.heat.load(Relaxed);
                let is_wanted = is_busy && Outbox::takes(len);
                let heat = if is_wanted { (heat + 1).min(MAX_HEAT) } else { heat.saturating_sub(1) };
                self.heat.store(heat, Relaxed);
                is_busy && heat >= HOT
            }
            LEAVING => {
                // Nothing is in front.
                let _ = self.mode.compare_exchange(LEAVING, READINESS, Relaxed, Relaxed);
                false
            }
            _ => false,
        }
    }

    /// Accepts `bufs` for later, or sends them with what was accepted before. `None`: they go straight
    /// to the socket.
    pub(super) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        registration: &Registration,
        bufs: &[IoSlice<'_>],
    ) -> Option<Poll<io::Result<usize>>> {
        let driver = registration.handle();
        let len = bufs.iter().map(|buf| buf.len()).sum();
        let (outbox, counted) = match registration.known_outbox() {
            Some(outbox) => (outbox, false),
            None if self.is_hot(driver, len) && Outbox::takes(len) => (registration.outbox(), true),
            None => return None,
        };
        // What is kept in a child is never sent.
        driver.assert_own();
        if driver.is_shutdown() {
            return None;
        }
        if leaf::trace_leaf(cx).is_pending() {
            return Some(Poll::Pending);
        }
        let budget = match coop::poll_proceed(cx) {
            Poll::Ready(budget) => budget,
            Poll::Pending => return Some(Poll::Pending),
        };
        match outbox.offer(bufs, len, || counted || self.is_hot(driver, len)) {
            Offer::Kept => {
                budget.made_progress();
                Some(Poll::Ready(Ok(len)))
            }
            Offer::Direct => None,
            Offer::Behind => {
                // It takes a unit of its own.
                drop(budget);
                Some(poll_send(cx, registration, outbox, bufs))
            }
            Offer::Busy => Some(come_back(cx)),
            Offer::Failed(error) => Some(Poll::Ready(Err(error))),
        }
    }
}

/// Sends what `outbox` has and then `bufs`, of `len` bytes together, once the socket has room.
fn poll_send(
    cx: &mut Context<'_>,
    registration: &Registration,
    outbox: &Arc<Outbox>,
    bufs: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    // One is for what is kept. The socket is not full because there were more than one call takes.
    let len = bufs.iter().take(sys::io::MAX_SLICES - 1).map(|buf| buf.len()).sum();
    let sent = registration.poll_io(cx, Direction::Write, || {
        let n = outbox.send(bufs)?;
        Ok((n, if n.is_some_and(|n| n < len) { Drained::Yes } else { Drained::No }))
    });
    match ready!(sent)? {
        Some(n) => Poll::Ready(Ok(n)),
        None => come_back(cx),
    }
}

/// An outbox is in the hands of a ring: that lasts no longer than a system call.
fn come_back<T>(cx: &Context<'_>) -> Poll<T> {
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// The writing side of a stream. What was accepted comes first.
impl<E: AsRawFd + Into<OwnedFd>> PollEvented<E> {
    /// The lane of what is written from now on.
    pub(crate) fn set_lane(&self, lane: Lane) {
        let registration = self.registration();
        self.write_lane.set(registration.handle().offers(lane), registration.known_outbox().is_some());
        if lane == Lane::Readiness {
            self.push_out();
        }
    }

    /// The outbox, if there is anything in it, be it an error.
    fn pending(&self) -> Option<&Arc<Outbox>> {
        // What a child finds there is the parent's to send.
        if self.write_lane.is_plain() || self.registration().handle().is_inherited() {
            return None;
        }
        self.registration().known_outbox().filter(|outbox| !outbox.is_idle())
    }

    /// The lane in effect.
    pub(crate) fn lane(&self) -> Lane {
        self.write_lane.get()
    }

    /// Tells of the error of an earlier write. Does not wait for what was accepted: it is on its way.
    #[inline]
    pub(crate) fn check_writes(&self) -> io::Result<()> {
        match self.pending().and_then(|outbox| outbox.take_error()) {
            Some(error) => {
                self.write_lane.leave();
                Err(error)
            }
            None => Ok(()),
        }
    }

    /// Writes without waiting, if there is anything in front.
    pub(crate) fn try_write_behind(&self, bufs: &[IoSlice<'_>]) -> Option<io::Result<usize>> {
        let outbox = self.pending()?;
        let sent = self.registration().try_io(Interest::WRITABLE, || outbox.send(bufs));
        self.write_lane.heed(&sent);
        Some(sent.and_then(|n| n.ok_or_else(|| io::ErrorKind::WouldBlock.into())))
    }

    /// The same with nothing in front.
    pub(crate) fn try_write_plain(&self, write: impl FnOnce() -> io::Result<usize>) -> io::Result<usize> {
        let written = self.registration().try_io(Interest::WRITABLE, write);
        self.write_lane.heed(&written);
        written
    }

    /// Sends what was accepted, before a system call of somebody else's that writes.
    pub(crate) fn send_first(&self, interest: Interest) -> io::Result<()> {
        match self.pending() {
            Some(outbox) if interest.is_writable() => outbox.send_all(),
            _ => Ok(()),
        }
    }

    /// Sends what was accepted as far as the socket has room: somebody uses the descriptor.
    pub(crate) fn push_out(&self) {
        if let Some(outbox) = self.pending() {
            outbox.drive();
        }
    }

    /// Sends all that was accepted, with the thread blocked for a moment if need be.
    pub(super) fn settle(&self) -> io::Result<()> {
        match self.registration().known_outbox() {
            Some(outbox) if !self.registration().handle().is_inherited() => outbox.settle(),
            Some(_) | None => Ok(()),
        }
    }

    /// Has the writing side shut down once everything is sent; `false` if it is.
    pub(crate) fn shut_later(&self) -> bool {
        self.write_lane.leave();
        self.pending().is_some_and(|outbox| outbox.shut_later())
    }
}
