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

use super::address::{Address, bytes_of};
use super::pool::PoolBuf;
use crate::driver::{Leftover, Registration};
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

        fn new() -> Self;

        /// The entry, for a socket and a group of buffers.
        fn entry(&mut self, fd: RawFd, group: u16, poll_first: bool) -> Entry;

        /// What the kernel has written to `buf`; `None` is the end.
        fn item(&self, buf: PoolBuf) -> io::Result<Option<Self::Item>>;

        /// The same for the next read.
        fn leftover(&self, buf: PoolBuf) -> Option<Leftover>;

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

    fn new() -> Chunks {
        Chunks
    }

    fn entry(&mut self, fd: RawFd, group: u16, poll_first: bool) -> Entry {
        recv_multi(fd, group, poll_first)
    }

    fn item(&self, buf: PoolBuf) -> io::Result<Option<PoolBuf>> {
        Ok((!buf.is_empty()).then_some(buf))
    }

    fn leftover(&self, buf: PoolBuf) -> Option<Leftover> {
        (!buf.is_empty()).then(|| Leftover::Bytes { data: buf.to_vec(), read: 0, extra: None })
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

impl<A> Datagrams<A> {
    /// Takes apart what the kernel has written: header, sender, payload.
    fn parse(&self, mut buf: PoolBuf) -> io::Result<(PoolBuf, SockAddr)> {
        let (begin, len, from) = match RecvMsgOut::parse(&buf, &self.header.0) {
            Ok(out) => {
                let begin = out.payload_data().as_ptr().addr() - buf.as_ptr().addr();
                let name = out.name_data();
                let known = name.len().min(out.incoming_name_len() as usize);
                (begin, out.payload_data().len(), socket::addr(&name[..known]))
            }
            Err(()) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "the pool's buffers are too small")),
        };
        buf.show(begin, len);
        Ok((buf, from))
    }
}

#[allow(private_interfaces)]
impl<A: Address> Incoming for Datagrams<A> {
    type Item = (PoolBuf, A);
    type Plain = (usize, SockAddr);

    fn new() -> Datagrams<A> {
        // SAFETY: all zero is a valid one.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_namelen = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        Datagrams { header: Box::new(Header(header)), address: PhantomData }
    }

    fn entry(&mut self, fd: RawFd, group: u16, _: bool) -> Entry {
        recv_msg_multi(fd, &raw const self.header.0, group)
    }

    fn item(&self, buf: PoolBuf) -> io::Result<Option<(PoolBuf, A)>> {
        let (buf, from) = self.parse(buf)?;
        Ok(Some((buf, A::from_kernel(&from)?)))
    }

    fn leftover(&self, buf: PoolBuf) -> Option<Leftover> {
        let (buf, from) = self.parse(buf).ok()?;
        Some(Leftover::Datagram { data: buf.to_vec(), from: bytes_of(&from), extra: None })
    }

    fn receive(io: &Registration, room: &mut [u8]) -> io::Result<(usize, SockAddr)> {
        let found = io.leftover(|leftovers| leftovers.recv_from(|bytes| put(bytes, room)));
        match found {
            Some(done) => done.map(|(n, from)| (n, socket::addr(&from))),
            None => socket::recv_from_fd(io.leftovers().fd(), room),
        }
    }

    fn received(mut buf: PoolBuf, (n, from): (usize, SockAddr)) -> io::Result<Option<(PoolBuf, A)>> {
        buf.show(0, n);
        Ok(Some((buf, A::from_kernel(&from)?)))
    }
}
