//! What a multishot receive yields: bytes of a stream, or datagrams.
//!
//! # Safety
//!
//! A header that the kernel reads is on the heap, and lives as long as the operation.
#![allow(unsafe_code)]

use std::io;
use std::marker::PhantomData;
use std::os::fd::RawFd;

use io_uring::squeue::Entry;
use io_uring::types::RecvMsgOut;
use socket2::SockAddr;

use super::action::{is_truncated, truncation};
use super::address::{Address, bytes_of};
use super::pool::{Headroom, PoolBuf};
use crate::driver::{Interest, Leftover, Leftovers, Registration};
use crate::sys::call::{recv_msg_multi, recv_multi};
use crate::sys::{self, socket};

pub(crate) mod sealed {
    //! A trait that users cannot name.

    use super::*;

    /// See the module docs.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    pub trait Incoming: Send + Unpin + 'static {
        type Item;
        /// What an attempt without a ring says.
        type Plain;

        /// What the kernel puts before it.
        const HEADROOM: Headroom;

        /// What an attempt without a ring waits for.
        const INTEREST: Interest;

        fn new() -> Self;

        /// The entry, for a socket and a group of buffers.
        fn entry(&mut self, fd: RawFd, group: u16, poll_first: bool) -> Entry;

        /// What the kernel has written to `buf`; `None` is the end.
        fn item(buf: PoolBuf) -> io::Result<Option<Self::Item>>;

        /// The same for the next read.
        fn leftover(buf: &PoolBuf) -> Option<Leftover>;

        /// Does nothing come after that error?
        fn is_last(error: &io::Error) -> bool;

        /// An attempt without a ring.
        fn receive(io: &Registration, room: &mut [u8]) -> io::Result<Self::Plain>;

        /// What it has received; `None` is the end.
        fn received(buf: PoolBuf, plain: Self::Plain) -> io::Result<Option<Self::Item>>;
    }
}

pub(crate) use sealed::Incoming;

/// Chunks of a stream, as a [`RecvMulti`](super::RecvMulti) yields them.
#[derive(Debug)]
pub struct Chunks;

/// Fills `room` from leftovers.
fn put(bytes: &[u8], room: &mut [u8]) -> usize {
    let n = bytes.len().min(room.len());
    room[..n].copy_from_slice(&bytes[..n]);
    n
}

#[allow(private_interfaces)]
impl Incoming for Chunks {
    type Item = PoolBuf;
    type Plain = usize;

    const HEADROOM: Headroom = Headroom::Nothing;
    const INTEREST: Interest = Interest::READABLE;

    fn new() -> Chunks {
        Chunks
    }

    fn entry(&mut self, fd: RawFd, group: u16, poll_first: bool) -> Entry {
        recv_multi(fd, group, poll_first)
    }

    fn item(buf: PoolBuf) -> io::Result<Option<PoolBuf>> {
        Ok((!buf.is_empty()).then_some(buf))
    }

    fn leftover(buf: &PoolBuf) -> Option<Leftover> {
        (!buf.is_empty()).then(|| Leftover::Bytes { data: buf.to_vec(), read: 0, extra: None })
    }

    fn is_last(_: &io::Error) -> bool {
        true
    }

    fn receive(io: &Registration, room: &mut [u8]) -> io::Result<usize> {
        let found = io.leftover(|leftovers| leftovers.read(|bytes| put(bytes, room)));
        found.unwrap_or_else(|| sys::io::recv_slice(io.leftovers().fd(), room))
    }

    fn received(mut buf: PoolBuf, n: usize) -> io::Result<Option<PoolBuf>> {
        buf.show(0, n);
        Ok((n > 0).then_some(buf))
    }
}

/// An error about what was sent before (`ECONNREFUSED`) makes nothing readable.
pub(super) const DATAGRAM_OR_ERROR: Interest = Interest::READABLE.add(Interest::ERROR);

/// Datagrams and their senders, as a [`RecvMulti`](super::RecvMulti) yields them.
#[derive(Debug)]
pub struct Datagrams<A> {
    header: Box<Header>,
    address: PhantomData<fn() -> A>,
}

struct Header(libc::msghdr);

// SAFETY: it points to nothing.
unsafe impl Send for Header {}

impl std::fmt::Debug for Header {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Header")
    }
}

/// What the kernel has written to a buffer: header, sender, payload.
struct Parsed {
    begin: usize,
    len: usize,
    from: SockAddr,
    is_truncated: bool,
}

impl Header {
    fn new() -> Header {
        // SAFETY: all zero is a valid one.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        Header(header)
    }
}

fn parse(buf: &[u8]) -> io::Result<Parsed> {
    // Buffers have room for it, see `Headroom`.
    let Ok(out) = RecvMsgOut::parse(buf, &Header::new().0) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the kernel has written no header"));
    };
    let name = out.name_data();
    let known = name.len().min(out.incoming_name_len() as usize);
    Ok(Parsed {
        begin: out.payload_data().as_ptr().addr() - buf.as_ptr().addr(),
        len: out.payload_data().len(),
        from: socket::addr(&name[..known]),
        is_truncated: out.is_payload_truncated(),
    })
}

#[allow(private_interfaces)]
impl<A: Address> Incoming for Datagrams<A> {
    type Item = (PoolBuf, A);
    type Plain = (usize, (SockAddr, bool));

    const HEADROOM: Headroom = Headroom::Datagram;
    const INTEREST: Interest = DATAGRAM_OR_ERROR;

    fn new() -> Datagrams<A> {
        Datagrams { header: Box::new(Header::new()), address: PhantomData }
    }

    fn entry(&mut self, fd: RawFd, group: u16, poll_first: bool) -> Entry {
        recv_msg_multi(fd, &raw const self.header.0, group, poll_first)
    }

    fn item(mut buf: PoolBuf) -> io::Result<Option<(PoolBuf, A)>> {
        let Parsed { begin, len, from, is_truncated } = parse(&buf)?;
        buf.show(begin, len);
        buf.set_truncated(is_truncated);
        Ok(Some((buf, A::from_kernel(&from)?)))
    }

    fn leftover(buf: &PoolBuf) -> Option<Leftover> {
        let Parsed { begin, len, from, is_truncated } = parse(buf).ok()?;
        let extra = is_truncated.then(truncation);
        Some(Leftover::Datagram { data: buf[begin..][..len].to_vec(), from: bytes_of(&from), extra })
    }

    /// Others are reported once, about what was sent before (`ECONNREFUSED` and its like), or about the
    /// moment: the next datagram may come all the same.
    fn is_last(error: &io::Error) -> bool {
        let errno = error.raw_os_error();
        // No errno: the runtime is gone.
        errno.is_none_or(|errno| matches!(errno, libc::EBADF | libc::EFAULT | libc::EINVAL | libc::ENOTSOCK))
    }

    fn receive(io: &Registration, room: &mut [u8]) -> io::Result<Self::Plain> {
        match io.leftover(Leftovers::take) {
            Some(Ok(Leftover::Datagram { data, from, extra })) => {
                let is_truncated = data.len() > room.len() || is_truncated(extra);
                Ok((put(&data, room), (socket::addr(&from), is_truncated)))
            }
            Some(Ok(Leftover::Bytes { .. } | Leftover::Accepted { .. } | Leftover::Error(_))) => {
                unreachable!("datagrams are kept by their sockets")
            }
            Some(Err(e)) => Err(e),
            None => socket::recv_from_fd(io.leftovers().fd(), room),
        }
    }

    fn received(mut buf: PoolBuf, plain: Self::Plain) -> io::Result<Option<(PoolBuf, A)>> {
        let (n, (from, is_truncated)) = plain;
        buf.show(0, n);
        buf.set_truncated(is_truncated);
        Ok(Some((buf, A::from_kernel(&from)?)))
    }
}
