//! Accepting connections.
//!
//! # Safety
//!
//! The address that the kernel writes is part of the action, which stays where it is meanwhile; the
//! listener stays open through the leftovers. A descriptor that an accept returns is nobody else's.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;

use socket2::{SockAddr, SockAddrStorage};

use super::{Early, GivenBack, sealed};
use crate::driver::{Found, Leftover, Leftovers};
use crate::native::address::{Accepted, bytes_of};
use crate::sys::call::Call;
use crate::sys::socket;

/// Accepts a connection. See [`Listener::accept`](crate::native::Listener::accept).
#[derive(Debug)]
pub struct Accept<L> {
    io: Arc<Leftovers>,
    storage: SockAddrStorage,
    len: libc::socklen_t,
    /// One that a dropped operation has accepted.
    kept: Option<(OwnedFd, Box<[u8]>)>,
    listener: std::marker::PhantomData<fn() -> L>,
}

impl<L> Accept<L> {
    pub(crate) fn new(io: &Arc<Leftovers>) -> Accept<L> {
        Accept {
            io: io.clone(),
            storage: SockAddrStorage::zeroed(),
            len: 0,
            kept: None,
            listener: std::marker::PhantomData,
        }
    }

    fn peer(&self) -> SockAddr {
        let len = self.len.min(self.storage.size_of()) as usize;
        // SAFETY: the kernel has written an address of that length.
        socket::addr(unsafe { std::slice::from_raw_parts((&raw const self.storage).cast(), len) })
    }
}

/// The descriptor that an accept returned.
pub(crate) fn accepted(fd: u32) -> OwnedFd {
    // SAFETY: the kernel has just opened it for this operation.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<L: Accepted> sealed::Action for Accept<L> {
    type Output = io::Result<(L, L::Address)>;

    const TAKES: bool = true;

    fn call(&mut self) -> Call {
        self.len = self.storage.size_of();
        Call::Accept {
            fd: self.io.fd(),
            addr: (&raw mut self.storage).cast(),
            len: &raw mut self.len,
            flags: libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
        }
    }

    fn early(&mut self) -> Early {
        match self.io.accept() {
            Found::Kept(Ok(kept)) => {
                self.kept = Some(kept);
                Early::Done(Ok(0))
            }
            Found::Kept(Err(e)) => Early::Done(Err(e)),
            Found::Unsettled => Early::Wait,
            Found::Nothing => Early::Attempt,
        }
    }

    fn complete(mut self, result: io::Result<u32>) -> Self::Output {
        let fd = result?;
        match self.kept.take() {
            Some((fd, peer)) => L::accepted(fd, &socket::addr(&peer)),
            None => L::accepted(accepted(fd), &self.peer()),
        }
    }

    fn give_back(mut self, result: io::Result<u32>) -> GivenBack {
        let got = match (self.kept.take(), result) {
            (Some((fd, from)), _) => Some(Leftover::Accepted { fd, from }),
            (None, Ok(fd)) => Some(Leftover::Accepted { fd: accepted(fd), from: bytes_of(&self.peer()) }),
            // An error of accept concerns that attempt only.
            (None, Err(_)) => None,
        };
        GivenBack::new(self.io, got)
    }
}
