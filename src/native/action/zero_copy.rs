//! Sending bytes that the kernel reads itself as it transmits.
//!
//! The first completion has the result. From then on the kernel reads the buffers and nothing else, until the peer
//! has taken what was sent: so the socket is let go of, and the output made. The buffers come back with the last
//! completion, through [`Lent`].
//!
//! # Safety
//!
//! The buffers are the action's, and do not move with it; the socket stays open through the leftovers until the
//! result is known. [`settle`](sealed::Action::settle) leaves alone what the kernel still reads.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use super::message::Outbound;
use super::send::is_unsupported;
use super::{len32, sealed};
use crate::driver::op::Op;
use crate::driver::{FixedMemory, Leftovers};
use crate::native::buf::{BoundedBuf, IoBuf};
use crate::native::lent::{Lent, Lends};
use crate::native::message::ControlMessage;
use crate::native::ring::Ringed;
use crate::sys::call::{Call, opcode};

/// Sends once, without copying. See [`Stream::send_zc`](crate::native::Stream::send_zc).
#[derive(Debug)]
pub struct SendZc<B> {
    /// Until the result is known.
    io: Option<Arc<Leftovers>>,
    buf: B,
    copies: bool,
}

impl<B: BoundedBuf> SendZc<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B) -> SendZc<B> {
        SendZc { io: Some(io.clone()), buf, copies: false }
    }
}

/// The socket of an action that is not settled.
fn fd(io: &Option<Arc<Leftovers>>) -> i32 {
    match io {
        Some(io) => io.fd(),
        None => unreachable!("its result is known"),
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SendZc<B> {
    type Output = (io::Result<usize>, Lent<B>);

    const LENDS: bool = true;

    fn call(&mut self) -> Call {
        let (fd, buf, len) = (fd(&self.io), self.buf.stable_ptr(), len32(self.buf.bytes_init()));
        let flags = libc::MSG_NOSIGNAL;
        match self.copies {
            false => Call::SendZc { fd, buf, len, flags, index: None },
            true => Call::Send { fd, buf, len, flags },
        }
    }

    fn fixed(&self) -> Option<&FixedMemory> {
        // A plain `SEND` has no use for it.
        if self.copies { None } else { self.buf.get_buf().fixed() }
    }

    fn opcode(&mut self) -> u8 {
        if self.copies { opcode::Send::CODE } else { opcode::SendZc::CODE }
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        is_unsupported(result) && !std::mem::replace(&mut self.copies, true)
    }

    fn settle(&mut self) {
        self.io = None;
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|n| n as usize), Lent::back(self.buf))
    }

    fn lent(op: Op<Ringed<Self>>, done: u32) -> Self::Output {
        (Ok(done as usize), Lent::until_landed(op))
    }
}

impl<B: BoundedBuf> Lends for SendZc<B> {
    type Buffer = B;

    fn into_buffer(self) -> B {
        self.buf
    }
}

/// Sends a message without copying. See [`Stream::send_msg_zc`](crate::native::Stream::send_msg_zc).
#[derive(Debug)]
pub struct SendMsgZc<B> {
    /// Until the result is known.
    io: Option<Arc<Leftovers>>,
    message: Outbound<B>,
    copies: bool,
}

impl<B: BoundedBuf> SendMsgZc<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, bufs: Vec<B>, control: Vec<ControlMessage>) -> SendMsgZc<B> {
        SendMsgZc { io: Some(io.clone()), message: Outbound::new(bufs, None, control), copies: false }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SendMsgZc<B> {
    type Output = (io::Result<usize>, Lent<Vec<B>>);

    const LENDS: bool = true;

    fn call(&mut self) -> Call {
        let (fd, msg, flags) = (fd(&self.io), self.message.msg(), libc::MSG_NOSIGNAL);
        if self.copies { Call::SendMsg { fd, msg, flags } } else { Call::SendMsgZc { fd, msg, flags } }
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        is_unsupported(result) && !std::mem::replace(&mut self.copies, true)
    }

    fn settle(&mut self) {
        self.io = None;
        self.message.close_fds();
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|n| n as usize), Lent::back(self.message.into_bufs()))
    }

    fn lent(op: Op<Ringed<Self>>, done: u32) -> Self::Output {
        (Ok(done as usize), Lent::until_landed(op))
    }
}

impl<B: BoundedBuf> Lends for SendMsgZc<B> {
    type Buffer = Vec<B>;

    fn into_buffer(self) -> Vec<B> {
        self.message.into_bufs()
    }
}
