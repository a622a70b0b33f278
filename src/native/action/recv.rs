//! Receiving bytes.
//!
//! # Safety
//!
//! The buffer is the action's, and does not move with it; the socket stays open through the
//! leftovers.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use super::{Early, GivenBack, lasting, len32, sealed};
use crate::driver::{FixedMemory, Leftover, Leftovers};
use crate::native::buf::{BoundedBufMut, BufResult, IoBuf, received};
use crate::sys::call::{CURRENT_POSITION, Call, left_some, opcode};

/// Receives once. See [`Stream::recv`](crate::native::Stream::recv).
#[derive(Debug)]
pub struct Recv<B> {
    io: Arc<Leftovers>,
    buf: B,
    kind: Kind,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// A socket of bytes, with `MSG_*` flags.
    Stream(i32),
    /// A pipe or the like.
    Pipe,
}

impl<B: BoundedBufMut> Recv<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B, kind: Kind) -> Recv<B> {
        Recv { io: io.clone(), buf, kind }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for Recv<B> {
    type Output = BufResult<usize, B>;

    const TAKES: bool = true;

    fn call(&mut self) -> Call {
        let (fd, buf, len) = (self.io.fd(), self.buf.stable_mut_ptr(), len32(self.buf.bytes_total()));
        match self.kind {
            Kind::Stream(flags) => Call::Recv { fd, buf, len, flags, poll_first: self.io.is_drained() },
            Kind::Pipe => Call::Read { fd, buf, len, offset: CURRENT_POSITION },
        }
    }

    fn fixed(&self) -> Option<&FixedMemory> {
        match self.kind {
            // `RECV` has no use for it.
            Kind::Stream(_) => None,
            Kind::Pipe => self.buf.get_buf().fixed(),
        }
    }

    fn opcode(&mut self) -> u8 {
        match self.kind {
            Kind::Stream(_) => opcode::Recv::CODE,
            Kind::Pipe => opcode::Read::CODE,
        }
    }

    fn note(&mut self, flags: u32) {
        self.io.set_drained(!left_some(flags));
    }

    fn early(&mut self) -> Early {
        if self.wants_nothing() {
            return Early::Done(Ok(0));
        }
        if !self.io.is_pending() {
            return Early::Attempt;
        }
        match self.kind {
            Kind::Stream(flags) if flags & libc::MSG_PEEK != 0 => {
                let found = self.io.peek(|bytes| crate::native::buf::fill(&mut self.buf, bytes));
                Early::of(found.map_ok(|(n, _)| n))
            }
            Kind::Stream(_) | Kind::Pipe => Early::bytes(&self.io, &mut self.buf),
        }
    }

    /// A socket would wait for bytes that nobody wants.
    fn wants_nothing(&self) -> bool {
        matches!(self.kind, Kind::Stream(_)) && self.buf.bytes_total() == 0
    }

    fn falls_short(&self, moved: u32) -> bool {
        matches!(self.kind, Kind::Pipe) && (moved as usize) < self.buf.bytes_total()
    }

    fn complete(mut self, result: io::Result<u32>) -> BufResult<usize, B> {
        let result = result.map(|n| n as usize);
        if let Ok(n) = result {
            // SAFETY: the kernel, or `early`, has written that many bytes.
            unsafe { received(&mut self.buf, n) };
        }
        (result, self.buf)
    }

    fn give_back(mut self, result: io::Result<u32>) -> GivenBack {
        let got = match result {
            Ok(0) => None,
            Ok(_) if matches!(self.kind, Kind::Stream(flags) if flags & libc::MSG_PEEK != 0) => None,
            Ok(n) => {
                // SAFETY: the kernel has written that many bytes.
                let data = unsafe { copy_out(&mut self.buf, n as usize) };
                Some(Leftover::Bytes { data, read: 0, extra: None })
            }
            Err(e) => lasting(&e).map(Leftover::Error),
        };
        GivenBack::new(self.io, got)
    }
}

/// The first `n` bytes that were received into `buf`.
///
/// # Safety
///
/// They were.
pub(super) unsafe fn copy_out<B: BoundedBufMut>(buf: &mut B, n: usize) -> Vec<u8> {
    // SAFETY: the caller's promise, checked against the room there is.
    unsafe {
        received(buf, n);
        std::slice::from_raw_parts(buf.stable_ptr(), n).to_vec()
    }
}

/// Receives until the buffer is full. See
/// [`Stream::recv_exact`](crate::native::Stream::recv_exact).
#[derive(Debug)]
pub struct RecvExact<B> {
    io: Arc<Leftovers>,
    buf: B,
    /// What the buffer has by now.
    filled: usize,
}

impl<B: BoundedBufMut> RecvExact<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B) -> RecvExact<B> {
        RecvExact { io: io.clone(), buf, filled: 0 }
    }

    /// Gives back what was received, with what came last.
    fn partial(&mut self, last: usize) -> Option<Leftover> {
        let n = self.filled + last;
        // SAFETY: the kernel has written that many bytes in all.
        let data = unsafe { copy_out(&mut self.buf, n) };
        (n > 0).then_some(Leftover::Bytes { data, read: 0, extra: None })
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for RecvExact<B> {
    type Output = BufResult<(), B>;

    const TAKES: bool = true;

    const TAKES_STEPS: bool = true;

    fn call(&mut self) -> Call {
        let buf = self.buf.stable_mut_ptr().wrapping_add(self.filled);
        let len = len32(self.buf.bytes_total() - self.filled);
        // Not with `MSG_WAITALL`: a ring would wait for all of it, but if the connection is reset after a part it
        // says how long that was, and the error has gone by then: the next receive meets an end of the stream.
        Call::Recv { fd: self.io.fd(), buf, len, flags: 0, poll_first: self.io.is_drained() }
    }

    fn opcode(&mut self) -> u8 {
        opcode::Recv::CODE
    }

    fn note(&mut self, flags: u32) {
        self.io.set_drained(!left_some(flags));
    }

    fn early(&mut self) -> Early {
        if self.wants_nothing() {
            return Early::Done(Ok(0));
        }
        if !self.io.is_pending() {
            return Early::Attempt;
        }
        let (buf, filled) = (&mut self.buf, self.filled);
        let room = buf.bytes_total() - filled;
        Early::of(self.io.read(|bytes| {
            let n = bytes.len().min(room);
            // SAFETY: there is room for `n` bytes behind those that are there, nobody else looks at
            // them, and the source is elsewhere.
            unsafe {
                let to = buf.stable_mut_ptr().add(filled);
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, n);
            }
            n
        }))
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        match result {
            Ok(n @ 1..) => {
                self.filled += *n as usize;
                assert!(self.filled <= self.buf.bytes_total(), "received more than there is room for");
                self.filled < self.buf.bytes_total()
            }
            Ok(0) | Err(_) => false,
        }
    }

    /// The same.
    fn wants_nothing(&self) -> bool {
        self.filled == self.buf.bytes_total()
    }

    fn falls_short(&self, _: u32) -> bool {
        self.filled < self.buf.bytes_total()
    }

    fn complete(mut self, result: io::Result<u32>) -> BufResult<(), B> {
        let is_full = self.filled == self.buf.bytes_total();
        let result = match result {
            Ok(_) if is_full => Ok(()),
            Ok(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Err(e) => {
                // They are the next read's.
                if let Some(partial) = self.partial(0) {
                    self.io.put_back(partial);
                }
                return (Err(e), self.buf);
            }
        };
        // SAFETY: the kernel has written that many bytes in all.
        unsafe { received(&mut self.buf, self.filled) };
        (result, self.buf)
    }

    fn give_back(mut self, result: io::Result<u32>) -> GivenBack {
        let error = result.as_ref().err().and_then(lasting).map(Leftover::Error);
        let partial = self.partial(result.unwrap_or(0) as usize);
        GivenBack { error, ..GivenBack::new(self.io, partial) }
    }

    fn has_partial(&self) -> bool {
        self.filled > 0
    }
}
