//! Connecting, and ending a connection.
//!
//! # Safety
//!
//! The address is part of the action, which stays where it is meanwhile; the socket stays open
//! through the leftovers.
#![allow(unsafe_code)]

use std::io;
use std::net;
use std::sync::Arc;

use socket2::SockAddr;

use super::{Early, sealed};
use crate::driver::Leftovers;
use crate::sys::call::Call;

/// Connects a socket. See [`connect_tcp`](crate::native::connect_tcp) and
/// [`Udp::connect`](crate::native::Udp::connect).
#[derive(Debug)]
pub struct Connect {
    io: Arc<Leftovers>,
    /// Taken out if it is none.
    addr: io::Result<SockAddr>,
}

impl Connect {
    pub(crate) fn new(io: &Arc<Leftovers>, addr: io::Result<SockAddr>) -> Connect {
        Connect { io: io.clone(), addr }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Connect {
    type Output = io::Result<()>;

    fn call(&mut self) -> Call {
        let Ok(addr) = &self.addr else { unreachable!("that was seen to before") };
        Call::Connect { fd: self.io.fd(), addr: addr.as_ptr().cast(), len: addr.len() }
    }

    fn early(&mut self) -> Early {
        match &self.addr {
            Ok(_) => Early::Attempt,
            Err(e) => Early::Done(Err(e.kind().into())),
        }
    }

    fn complete(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }
}

/// Ends a connection. See [`Stream::shutdown`](crate::native::Stream::shutdown).
#[derive(Debug)]
pub struct Shutdown {
    io: Arc<Leftovers>,
    how: net::Shutdown,
}

impl Shutdown {
    pub(crate) fn new(io: &Arc<Leftovers>, how: net::Shutdown) -> Shutdown {
        Shutdown { io: io.clone(), how }
    }
}

// SAFETY: no memory is passed; the socket stays open through the leftovers.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Shutdown {
    type Output = io::Result<()>;

    fn call(&mut self) -> Call {
        let how = match self.how {
            net::Shutdown::Read => libc::SHUT_RD,
            net::Shutdown::Write => libc::SHUT_WR,
            net::Shutdown::Both => libc::SHUT_RDWR,
        };
        Call::Shutdown { fd: self.io.fd(), how }
    }

    fn complete(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }
}
