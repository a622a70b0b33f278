//! Sending bytes.
//!
//! # Safety
//!
//! The buffer is the action's, and does not move with it; the socket stays open through the
//! leftovers.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use super::{len32, sealed};
use crate::driver::{FixedMemory, Leftovers};
use crate::native::buf::{BoundedBuf, BufResult, IoBuf};
use crate::sys::call::{CURRENT_POSITION, Call, NoSignal, opcode};

/// How bytes are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum How {
    /// With `send`, and these `MSG_*` flags.
    Copied(i32),
    /// With `write`.
    Pipe(Flags),
}

/// The flags of a `write` (`RWF_*`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flags(i32);

impl Flags {
    /// Those of a write to `io`. What is neither a pipe nor a socket raises no signal, and may know no flags.
    pub(crate) fn of(io: &Leftovers) -> Flags {
        Flags(if io.can_break() { NoSignal::flag() } else { 0 })
    }

    pub(super) fn bits(self) -> i32 {
        self.0
    }

    /// An older kernel: the signal is as in `write(2)`.
    pub(super) fn falls_back(&mut self, result: &io::Result<u32>) -> bool {
        let was_refused = is_unsupported(result) && self.0 != 0;
        if was_refused {
            NoSignal::is_unknown();
            self.0 = 0;
        }
        was_refused
    }
}

fn call<B: BoundedBuf>(io: &Leftovers, buf: &B, sent: usize, how: How) -> Call {
    let (fd, len) = (io.fd(), len32(buf.bytes_init() - sent));
    let buf = buf.stable_ptr().wrapping_add(sent);
    match how {
        How::Copied(flags) => Call::Send { fd, buf, len, flags: flags | libc::MSG_NOSIGNAL },
        How::Pipe(flags) => Call::Write { fd, buf, len, offset: CURRENT_POSITION, flags: flags.bits() },
    }
}

/// A plain `SEND` has no use for it.
fn fixed<B: BoundedBuf>(buf: &B, how: How) -> Option<&FixedMemory> {
    match how {
        How::Copied(_) => None,
        How::Pipe(_) => buf.get_buf().fixed(),
    }
}

fn opcode(how: How) -> u8 {
    match how {
        How::Copied(_) => opcode::Send::CODE,
        How::Pipe(_) => opcode::Write::CODE,
    }
}

/// A kernel without a flag: it is left out.
fn falls_back(how: &mut How, result: &io::Result<u32>) -> bool {
    match how {
        How::Pipe(flags) => flags.falls_back(result),
        How::Copied(_) => false,
    }
}

/// A kind of socket without zero copy, or a kernel without a flag.
pub(super) fn is_unsupported(result: &io::Result<u32>) -> bool {
    matches!(result, Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP))
}

/// Sends once. See [`Stream::send`](crate::native::Stream::send).
#[derive(Debug)]
pub struct Send<B> {
    io: Arc<Leftovers>,
    buf: B,
    how: How,
}

impl<B: BoundedBuf> Send<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B, how: How) -> Send<B> {
        Send { io: io.clone(), buf, how }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for Send<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self) -> Call {
        call(&self.io, &self.buf, 0, self.how)
    }

    fn fixed(&self) -> Option<&FixedMemory> {
        fixed(&self.buf, self.how)
    }

    fn opcode(&mut self) -> u8 {
        opcode(self.how)
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        falls_back(&mut self.how, result)
    }

    fn falls_short(&self, moved: u32) -> bool {
        matches!(self.how, How::Pipe(_)) && (moved as usize) < self.buf.bytes_init()
    }

    fn complete(self, result: io::Result<u32>) -> BufResult<usize, B> {
        (result.map(|n| n as usize), self.buf)
    }
}

/// Sends all. See [`Stream::send_all`](crate::native::Stream::send_all).
#[derive(Debug)]
pub struct SendAll<B> {
    io: Arc<Leftovers>,
    buf: B,
    how: How,
    sent: usize,
}

impl<B: BoundedBuf> SendAll<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B, how: How) -> SendAll<B> {
        SendAll { io: io.clone(), buf, how, sent: 0 }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SendAll<B> {
    type Output = BufResult<(), B>;

    fn call(&mut self) -> Call {
        // The kernel itself goes on until all is sent, where it can (5.19).
        let how = match self.how {
            How::Copied(flags) => How::Copied(flags | libc::MSG_WAITALL),
            how => how,
        };
        call(&self.io, &self.buf, self.sent, how)
    }

    fn fixed(&self) -> Option<&FixedMemory> {
        fixed(&self.buf, self.how)
    }

    fn opcode(&mut self) -> u8 {
        opcode(self.how)
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        match result {
            _ if falls_back(&mut self.how, result) => true,
            Ok(n @ 1..) => {
                self.sent += *n as usize;
                self.sent < self.buf.bytes_init()
            }
            Ok(0) | Err(_) => false,
        }
    }

    fn falls_short(&self, _: u32) -> bool {
        self.sent < self.buf.bytes_init()
    }

    fn complete(self, result: io::Result<u32>) -> BufResult<(), B> {
        let result = match result {
            Ok(_) if self.sent < self.buf.bytes_init() => Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => Ok(()),
            Err(e) => Err(e),
        };
        (result, self.buf)
    }
}
