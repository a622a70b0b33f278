//! An I/O object and its registration, bound together for life.
//!
//! # Protocol
//!
//! 1. The object is made non-blocking, then registered.
//! 2. Operations go through the registration's readiness.
//! 3. Drop and `into_inner` end the watch *before* the descriptor is closed or handed out: with a duplicate
//!    alive it would go on (hazard H01).

use std::fmt;
use std::io::{self, IoSlice};
use std::ops::Deref;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::task::{Context, Poll};

use crate::driver::{Direction, Drained, Interest, Lane, Registration};
use crate::io::{IntoInnerError, ReadBuf};
use crate::io::write_lane::WriteLane;
use crate::runtime::scheduler;
use crate::sys;

/// See the module docs.
pub(crate) struct PollEvented<E: AsRawFd + Into<OwnedFd>> {
    io: Option<E>,
    registration: Registration,
    pub(super) write_lane: WriteLane,
}

impl<E: AsRawFd + Into<OwnedFd>> PollEvented<E> {
    /// Registers `io`, which must be non-blocking, with the current runtime.
    ///
    /// # Panics
    ///
    /// Without a current runtime, or if its I/O driver is disabled.
    #[track_caller]
    pub(crate) fn new(io: E) -> io::Result<Self> {
        PollEvented::new_with_interest(io, Interest::READABLE | Interest::WRITABLE)
    }

    /// The same for a stream socket, which takes the lane that the runtime says.
    #[cfg(feature = "net")]
    #[track_caller]
    pub(crate) fn new_stream(io: E) -> io::Result<Self> {
        let mut stream = PollEvented::new(io)?;
        stream.write_lane = WriteLane::new(stream.registration.handle().lane());
        Ok(stream)
    }

    /// The same for one direction only.
    #[track_caller]
    pub(crate) fn new_with_interest(io: E, interest: Interest) -> io::Result<Self> {
        let handle = scheduler::Handle::current();
        let registration = Registration::lazy(io.as_raw_fd(), interest, handle.driver().io().clone())?;
        Ok(PollEvented { io: Some(io), registration, write_lane: WriteLane::new(Lane::Readiness) })
    }

    /// The same, but watched from now on, and never tried before the kernel said that it is ready.
    ///
    /// For objects an early try would misjudge: a FIFO that no writer has opened yet reads as
    /// ended, though `poll` knows better. And for those that live long, where it costs nothing
    /// and a `try_` call means exactly what it means on Tokio (UDP).
    ///
    /// # Panics
    ///
    /// Without a current runtime, or if its I/O driver is disabled.
    #[cfg(feature = "net")]
    #[track_caller]
    pub(crate) fn new_watched(io: E, interest: Interest) -> io::Result<Self> {
        let handle = scheduler::Handle::current();
        let registration =
            Registration::new_with_interest_and_handle(io.as_raw_fd(), interest, handle.driver().io().clone())?;
        Ok(PollEvented { io: Some(io), registration, write_lane: WriteLane::new(Lane::Readiness) })
    }

    pub(crate) fn registration(&self) -> &Registration {
        &self.registration
    }

    /// Takes the object out; it is not watched any more.
    ///
    /// What a stream has accepted is sent before.
    ///
    /// # Errors
    ///
    /// What native operations have received or are about to would be lost, or what was accepted cannot be
    /// sent. The object is as it was then, and watched.
    pub(crate) fn into_inner(mut self) -> Result<E, IntoInnerError<Self>> {
        if let Err(cause) = self.settle().and_then(|()| self.registration.check_leftovers()) {
            return Err(IntoInnerError::new(self, cause));
        }
        self.registration.deregister();
        match self.io.take() {
            Some(io) => Ok(io),
            None => unreachable!("only drop and into_inner take the object"),
        }
    }

    /// Reads once the object is readable.
    ///
    /// A read shorter than the buffer has emptied it: the readiness is cleared without the
    /// further call that would say `WouldBlock`.
    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_fill(cx, buf, sys::io::read)
    }

    /// The same for a socket.
    #[cfg(feature = "net")]
    pub(crate) fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_fill(cx, buf, sys::io::recv)
    }

    fn poll_fill(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
        read: impl Fn(RawFd, &mut ReadBuf<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<()>> {
        let fd = self.as_raw_fd();
        self.registration.poll_io(cx, Direction::Read, || {
            if let Some(done) = self.leftover_to(buf) {
                // That says nothing about the descriptor.
                return done.map(|_| ((), Drained::No));
            }
            let room = buf.remaining();
            let n = read(fd, buf)?;
            // Zero is the end of the stream, which stays readable.
            Ok(((), if 0 < n && n < room { Drained::Yes } else { Drained::No }))
        })
    }

    /// Writes once the object is writable.
    pub(crate) fn poll_write<'a>(&'a self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>>
    where
        &'a E: io::Write,
    {
        if !self.write_lane.is_plain() {
            if let Some(poll) = self.write_lane.poll_write(cx, &self.registration, &[IoSlice::new(buf)]) {
                return self.heed(poll);
            }
        }
        let mut io: &'a E = self;
        self.heed(self.poll_drain(cx, buf.len(), || io::Write::write(&mut io, buf)))
    }

    /// Writes from several buffers once the object is writable.
    pub(crate) fn poll_write_vectored<'a>(
        &'a self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>
    where
        &'a E: io::Write,
    {
        if !self.write_lane.is_plain() {
            if let Some(poll) = self.write_lane.poll_write(cx, &self.registration, bufs) {
                return self.heed(poll);
            }
        }
        let mut io: &'a E = self;
        // It is not full because there were more slices than one call takes.
        let len = bufs.iter().take(sys::io::MAX_SLICES).map(|buf| buf.len()).sum();
        self.heed(self.poll_drain(cx, len, || io::Write::write_vectored(&mut io, bufs)))
    }

    #[inline]
    fn heed(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written @ Err(_)) = &written {
            self.write_lane.heed(written);
        }
        written
    }

    fn poll_drain(
        &self,
        cx: &mut Context<'_>,
        len: usize,
        mut write: impl FnMut() -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.registration.poll_io(cx, Direction::Write, || {
            let n = write()?;
            Ok((n, if 0 < n && n < len { Drained::Yes } else { Drained::No }))
        })
    }
}

impl<E: AsRawFd + Into<OwnedFd>> Deref for PollEvented<E> {
    type Target = E;

    fn deref(&self) -> &E {
        match &self.io {
            Some(io) => io,
            None => unreachable!("only drop and into_inner take the object"),
        }
    }
}

impl<E: AsRawFd + Into<OwnedFd>> Drop for PollEvented<E> {
    fn drop(&mut self) {
        if let Some(io) = self.io.take() {
            self.registration.close(io.into());
        }
    }
}

impl<E: AsRawFd + Into<OwnedFd> + fmt::Debug> fmt::Debug for PollEvented<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PollEvented").field("io", &self.io).finish()
    }
}

impl<E: AsRawFd + Into<OwnedFd>> UnwindSafe for PollEvented<E> {}
impl<E: AsRawFd + Into<OwnedFd>> RefUnwindSafe for PollEvented<E> {}
