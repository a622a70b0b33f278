//! An eventfd that wakes whoever waits for it.
//!
//! It is never read: those who wait do so edge-triggered (in an epoll instance, or by a multishot
//! poll), and each write is an edge of its own.
//!
//! # Safety
//!
//! `eventfd(2)` makes a descriptor this module owns; `write(2)` reads eight bytes on the stack.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use crate::sys::fault::{self, Call};

#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// # Errors
    ///
    /// Those of `eventfd(2)`: `EMFILE`, `ENFILE`, `ENOMEM`, `ENODEV`.
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: no memory is passed; the descriptor returned is ours alone.
        unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(EventFd(OwnedFd::from_raw_fd(fd))) }
        }
    }

    /// Wakes who waits for it.
    pub(crate) fn ring(&self) -> io::Result<()> {
        fault::check(Call::Message)?;
        let one = 1u64;
        // SAFETY: eight bytes that outlive the call.
        let written = unsafe { libc::write(self.as_raw_fd(), (&raw const one).cast(), 8) };
        // The counter only grows; at its limit (2^64 - 2) a write would fail.
        if written < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}
