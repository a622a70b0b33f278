//! Messages: datagrams with their address, and what goes along with bytes.
//!
//! # Safety
//!
//! Buffers, the list of them, and room for control messages are on the heap, and the action's; header
//! and address are part of the action, which stays where it is meanwhile. The socket stays open
//! through the leftovers.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::{SockAddr, SockAddrStorage};

use super::vectored::{IoVecs, gather, received_all, scatter};
use super::{Early, GivenBack, lasting, sealed};
use crate::driver::{Extra, Found, Leftover, Leftovers};
use crate::native::address::{Address, bytes_of};
use crate::native::buf::{BoundedBuf, BoundedBufMut, BufResult};
use crate::native::message::{ControlMessage, Message};
use crate::sys::call::Call;
use crate::sys::control::ControlBuf;
use crate::sys::socket;

/// What the kernel reads and writes besides the buffers.
struct Header {
    msg: libc::msghdr,
    iovecs: IoVecs,
    storage: SockAddrStorage,
    control: ControlBuf,
}

// SAFETY: its pointers are set anew for each call, and lead to what comes with it.
unsafe impl Send for Header {}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Header").field("control", &self.control.len()).finish_non_exhaustive()
    }
}

impl Header {
    fn new(control: ControlBuf) -> Header {
        // SAFETY: all zero is a valid one.
        let msg = unsafe { std::mem::zeroed() };
        Header { msg, iovecs: IoVecs::default(), storage: SockAddrStorage::zeroed(), control }
    }

    fn set(&mut self, (iov, n): (*mut libc::iovec, usize), name_len: libc::socklen_t) {
        self.msg.msg_iov = iov;
        self.msg.msg_iovlen = n as _;
        self.msg.msg_name = if name_len > 0 { (&raw mut self.storage).cast() } else { std::ptr::null_mut() };
        self.msg.msg_namelen = name_len;
        self.msg.msg_control = self.control.as_mut_ptr();
        self.msg.msg_controllen = self.control.len() as _;
    }

    /// Whose message it is, as the kernel wrote it.
    fn sender(&self) -> SockAddr {
        let len = self.msg.msg_namelen.min(self.storage.size_of()) as usize;
        // SAFETY: the kernel has written an address of that length.
        socket::addr(unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), len) })
    }

    /// What came along. To be asked once.
    ///
    /// # Safety
    ///
    /// The kernel has written the header, for a message nobody has asked about yet.
    unsafe fn along(&mut self) -> Along {
        #[allow(clippy::unnecessary_cast)] // not everywhere
        let len = self.msg.msg_controllen as usize;
        // SAFETY: the caller's promise.
        let control = unsafe { self.control.take(len) };
        Along { control: control.into_iter().map(ControlMessage::from).collect(), flags: self.msg.msg_flags }
    }
}

/// What the native lane alone can hand out.
#[derive(Debug, Default)]
struct Along {
    control: Vec<ControlMessage>,
    flags: i32,
}

/// What goes along with a datagram that did not fit.
pub(in crate::native) fn truncation() -> Box<dyn std::any::Any + Send + Sync> {
    Box::new(Along { control: Vec::new(), flags: libc::MSG_TRUNC })
}

/// Did a datagram not fit with which this came along?
pub(in crate::native) fn is_truncated(extra: Extra) -> bool {
    let along: Option<Box<Along>> = extra.and_then(|extra| extra.downcast().ok());
    along.is_some_and(|along| along.flags & libc::MSG_TRUNC != 0)
}

/// What kind of socket a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    Stream,
    Datagrams,
}

/// Receives a message. See [`Stream::recv_msg`](crate::native::Stream::recv_msg).
#[derive(Debug)]
pub struct RecvMsg<B, A> {
    io: Arc<Leftovers>,
    bufs: Vec<B>,
    header: Header,
    of: Of,
    /// What a dropped operation had received, if `early` found that.
    kept: Option<(SockAddr, Along)>,
    address: PhantomData<fn() -> A>,
}

impl<B: BoundedBufMut, A> RecvMsg<B, A> {
    pub(crate) fn new(io: &Arc<Leftovers>, bufs: Vec<B>, control: usize, of: Of) -> RecvMsg<B, A> {
        RecvMsg {
            io: io.clone(),
            bufs,
            header: Header::new(ControlBuf::with_room(control)),
            of,
            kept: None,
            address: PhantomData,
        }
    }

    /// What the kernel has received, or `early` has found, for the next read.
    fn leftover(&mut self, n: usize) -> Option<Leftover> {
        // SAFETY: one of them has written that many bytes.
        let data = unsafe { gather(&mut self.bufs, n) };
        let (from, along) = match self.kept.take() {
            Some(kept) => kept,
            // SAFETY: the kernel has written the header.
            None => (self.header.sender(), unsafe { self.header.along() }),
        };
        // Something may have been thrown away for want of room: bytes, or what came along.
        let is_short = along.flags & (libc::MSG_TRUNC | libc::MSG_CTRUNC) != 0;
        let has_extra = !along.control.is_empty() || is_short;
        match self.of {
            Of::Stream if n == 0 => None,
            Of::Stream => {
                let extra = has_extra.then(|| Box::new(along) as _);
                Some(Leftover::Bytes { data, read: 0, extra })
            }
            Of::Datagrams => {
                let extra = has_extra.then(|| Box::new(along) as _);
                Some(Leftover::Datagram { data, from: bytes_of(&from), extra })
            }
        }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut, A: Address> sealed::Action for RecvMsg<B, A> {
    type Output = BufResult<Message<A>, Vec<B>>;

    const TAKES: bool = true;

    fn call(&mut self) -> Call {
        let iov = self.header.iovecs.fill_into(&mut self.bufs);
        let name_len = match self.of {
            Of::Stream => 0,
            Of::Datagrams => self.header.storage.size_of(),
        };
        self.header.set(iov, name_len);
        Call::RecvMsg { fd: self.io.fd(), msg: &raw mut self.header.msg, flags: libc::MSG_CMSG_CLOEXEC }
    }

    fn early(&mut self) -> Early {
        if !self.io.is_pending() {
            return Early::Attempt;
        }
        let found = self.io.take();
        let (leftover, from, extra) = match found {
            Found::Nothing => return Early::Attempt,
            Found::Unsettled => return Early::Wait,
            Found::Kept(Err(e)) => return Early::Done(Err(e)),
            Found::Kept(Ok(Leftover::Bytes { data, read, extra })) => {
                let n = scatter(&mut self.bufs, &data[read..]);
                if read + n < data.len() {
                    self.io.put_back(Leftover::Bytes { data, read: read + n, extra: None });
                }
                (n, Box::default(), extra)
            }
            Found::Kept(Ok(Leftover::Datagram { data, from, extra })) => {
                (scatter(&mut self.bufs, &data), from, extra)
            }
            Found::Kept(Ok(Leftover::Accepted { .. } | Leftover::Error(_))) => {
                unreachable!("neither is kept for readers, or taken as such")
            }
        };
        let along = extra.and_then(|extra| extra.downcast().ok()).map(|along: Box<Along>| *along);
        self.kept = Some((socket::addr(&from), along.unwrap_or_default()));
        Early::Done(Ok(leftover as u32))
    }

    fn complete(mut self, result: io::Result<u32>) -> Self::Output {
        let n = match result {
            Ok(n) => n as usize,
            Err(e) => return (Err(e), self.bufs),
        };
        let (from, along) = match self.kept.take() {
            Some(kept) => kept,
            None => {
                // SAFETY: the kernel has written that many bytes, and the header.
                let along = unsafe {
                    received_all(&mut self.bufs, n);
                    self.header.along()
                };
                (self.header.sender(), along)
            }
        };
        let from = match self.of {
            Of::Stream => None,
            Of::Datagrams => A::from_kernel(&from).ok(),
        };
        (Ok(Message { len: n, from, control: along.control, flags: along.flags }), self.bufs)
    }

    fn give_back(mut self, result: io::Result<u32>) -> GivenBack {
        let got = match result {
            Ok(n) => self.leftover(n as usize),
            Err(e) => lasting(&e).map(Leftover::Error),
        };
        GivenBack::new(self.io, got)
    }
}

/// Receives a datagram. See [`Udp::recv_from`](crate::native::Udp::recv_from).
#[derive(Debug)]
pub struct RecvFrom<B, S> {
    inner: RecvMsg<B, std::net::SocketAddr>,
    shape: PhantomData<fn() -> S>,
}

impl<B: BoundedBufMut, S> RecvFrom<B, S> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B) -> RecvFrom<B, S> {
        RecvFrom { inner: RecvMsg::new(io, vec![buf], 0, Of::Datagrams), shape: PhantomData }
    }
}

// SAFETY: that of `RecvMsg`.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut, S: crate::native::address::sealed::Shape> sealed::Action for RecvFrom<B, S> {
    type Output = BufResult<S, B>;

    const TAKES: bool = true;

    fn call(&mut self) -> Call {
        self.inner.call()
    }

    fn early(&mut self) -> Early {
        self.inner.early()
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        let mut inner = self.inner;
        let result = result.and_then(|n| {
            let n = n as usize;
            let from = match inner.kept.take() {
                Some((from, _)) => from,
                None => {
                    // SAFETY: the kernel has written that many bytes.
                    unsafe { received_all(&mut inner.bufs, n) };
                    inner.header.sender()
                }
            };
            S::of(n, &from)
        });
        match inner.bufs.pop() {
            Some(buf) => (result, buf),
            None => unreachable!("there is one"),
        }
    }

    fn give_back(self, result: io::Result<u32>) -> GivenBack {
        self.inner.give_back(result)
    }
}

/// A message to be sent, with all that the kernel reads of it.
#[derive(Debug)]
pub(super) struct Outbound<B> {
    bufs: Vec<B>,
    header: Header,
    to: Option<SockAddr>,
    /// Open until they are sent.
    fds: Vec<OwnedFd>,
}

impl<B: BoundedBuf> Outbound<B> {
    pub(super) fn new(bufs: Vec<B>, to: Option<SockAddr>, control: Vec<ControlMessage>) -> Outbound<B> {
        let mut room = ControlBuf::default();
        let mut fds = Vec::new();
        for message in control {
            message.push_to(&mut room, &mut fds);
        }
        Outbound { bufs, header: Header::new(room), to, fds }
    }

    /// What the kernel is to read.
    pub(super) fn msg(&mut self) -> *const libc::msghdr {
        let iov = self.header.iovecs.fill_from(&self.bufs);
        let name_len = self.to.as_ref().map_or(0, |to| {
            self.header.storage = to.clone().as_storage();
            to.len()
        });
        self.header.set(iov, name_len);
        &raw const self.header.msg
    }

    /// It is sent, or never will be.
    pub(super) fn close_fds(&mut self) {
        self.fds = Vec::new();
    }

    pub(super) fn into_bufs(self) -> Vec<B> {
        self.bufs
    }
}

/// Sends a message. See [`Stream::send_msg`](crate::native::Stream::send_msg).
#[derive(Debug)]
pub struct SendMsg<B> {
    io: Arc<Leftovers>,
    message: Outbound<B>,
    /// There is no such address.
    error: Option<io::Error>,
}

impl<B: BoundedBuf> SendMsg<B> {
    pub(crate) fn new(
        io: &Arc<Leftovers>,
        bufs: Vec<B>,
        to: Option<io::Result<SockAddr>>,
        control: Vec<ControlMessage>,
    ) -> SendMsg<B> {
        let (to, error) = match to.transpose() {
            Ok(to) => (to, None),
            Err(error) => (None, Some(error)),
        };
        SendMsg { io: io.clone(), message: Outbound::new(bufs, to, control), error }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SendMsg<B> {
    type Output = BufResult<usize, Vec<B>>;

    fn call(&mut self) -> Call {
        Call::SendMsg { fd: self.io.fd(), msg: self.message.msg(), flags: libc::MSG_NOSIGNAL }
    }

    fn early(&mut self) -> Early {
        self.error.take().map_or(Early::Attempt, |error| Early::Done(Err(error)))
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|n| n as usize), self.message.bufs)
    }
}

/// Sends once, from several buffers. See [`Stream::send_vectored`](crate::native::Stream::send_vectored).
///
/// A message with nothing to it: unlike `writev(2)` it can do without the signal of a broken pipe.
#[derive(Debug)]
pub struct SendVectored<B>(SendMsg<B>);

impl<B: BoundedBuf> SendVectored<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, bufs: Vec<B>) -> SendVectored<B> {
        SendVectored(SendMsg::new(io, bufs, None, Vec::new()))
    }
}

// SAFETY: that of `SendMsg`.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SendVectored<B> {
    type Output = BufResult<usize, Vec<B>>;

    fn call(&mut self) -> Call {
        self.0.call()
    }

    fn falls_short(&self, moved: u32) -> bool {
        (moved as usize) < self.0.message.bufs.iter().map(BoundedBuf::bytes_init).sum()
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        self.0.complete(result)
    }
}

/// Sends a datagram to an address. See [`Udp::send_to`](crate::native::Udp::send_to).
#[derive(Debug)]
pub struct SendTo<B>(SendMsg<B>);

impl<B: BoundedBuf> SendTo<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, buf: B, to: io::Result<SockAddr>) -> SendTo<B> {
        SendTo(SendMsg::new(io, vec![buf], Some(to), Vec::new()))
    }
}

// SAFETY: that of `SendMsg`.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SendTo<B> {
    type Output = BufResult<usize, B>;

    fn call(&mut self) -> Call {
        self.0.call()
    }

    fn early(&mut self) -> Early {
        self.0.early()
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        let (result, mut bufs) = self.0.complete(result);
        match bufs.pop() {
            Some(buf) => (result, buf),
            None => unreachable!("there is one"),
        }
    }
}
