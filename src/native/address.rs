//! Addresses of sockets, and what is accepted with them.
//!
//! # Safety
//!
//! An address is looked at as the bytes the kernel wrote.
#![allow(unsafe_code)]

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use socket2::SockAddr;

use crate::net::{TcpStream, UnixStream, unix};
use crate::sys::socket;

pub(crate) use sealed::{Accepted, Address};

pub(crate) mod sealed {
    //! Traits that users cannot name.

    use super::{OwnedFd, SockAddr, io};

    /// The address of a kind of socket.
    #[doc(hidden)]
    pub trait Address: Sized + Send + Unpin + 'static {
        fn from_kernel(addr: &SockAddr) -> io::Result<Self>;
        fn to_kernel(&self) -> io::Result<SockAddr>;
    }

    /// What is said of a datagram.
    #[doc(hidden)]
    pub trait Shape: Sized + Send + 'static {
        fn of(len: usize, from: &SockAddr) -> io::Result<Self>;
    }

    impl Shape for usize {
        fn of(len: usize, _: &SockAddr) -> io::Result<usize> {
            Ok(len)
        }
    }

    impl<A: Address> Shape for (usize, A) {
        fn of(len: usize, from: &SockAddr) -> io::Result<(usize, A)> {
            Ok((len, A::from_kernel(from)?))
        }
    }

    /// What a listener accepts.
    #[doc(hidden)]
    pub trait Accepted: Sized + Send + 'static {
        type Address: Address;

        fn unnamed(fd: OwnedFd) -> io::Result<Self>;

        fn accepted(fd: OwnedFd, peer: &SockAddr) -> io::Result<(Self, Self::Address)> {
            Ok((Self::unnamed(fd)?, Self::Address::from_kernel(peer)?))
        }
    }
}

impl Address for SocketAddr {
    fn from_kernel(addr: &SockAddr) -> io::Result<SocketAddr> {
        socket::inet_addr(addr)
    }

    fn to_kernel(&self) -> io::Result<SockAddr> {
        Ok(SockAddr::from(*self))
    }
}

impl Address for unix::SocketAddr {
    fn from_kernel(addr: &SockAddr) -> io::Result<unix::SocketAddr> {
        Ok(socket::unix_addr(addr).into())
    }

    fn to_kernel(&self) -> io::Result<SockAddr> {
        socket::from_unix_addr(&self.clone().into())
    }
}

impl Accepted for TcpStream {
    type Address = SocketAddr;

    fn unnamed(fd: OwnedFd) -> io::Result<TcpStream> {
        TcpStream::new_accepted(mio::net::TcpStream::from_std(fd.into()))
    }
}

impl Accepted for UnixStream {
    type Address = unix::SocketAddr;

    fn unnamed(fd: OwnedFd) -> io::Result<UnixStream> {
        UnixStream::new_accepted(mio::net::UnixStream::from_std(fd.into()))
    }
}

/// The bytes that the kernel wrote.
pub(crate) fn bytes_of(addr: &SockAddr) -> Box<[u8]> {
    // SAFETY: that many bytes of the storage are initialised.
    unsafe { std::slice::from_raw_parts(addr.as_ptr().cast::<u8>(), addr.len() as usize) }.into()
}
