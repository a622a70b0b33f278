//! `poll(2)` bits, and a one-off wait on several descriptors.
//!
//! # Safety
//!
//! One system call over a slice that outlives it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

pub(crate) const IN: u32 = libc::POLLIN as u32;
pub(crate) const PRI: u32 = libc::POLLPRI as u32;
pub(crate) const OUT: u32 = libc::POLLOUT as u32;
pub(crate) const ERR: u32 = libc::POLLERR as u32;
pub(crate) const HUP: u32 = libc::POLLHUP as u32;
pub(crate) const RDHUP: u32 = libc::POLLRDHUP as u32;

/// One descriptor to wait on.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct PollFd(libc::pollfd);

impl PollFd {
    pub(crate) fn new(fd: RawFd, events: u32) -> PollFd {
        PollFd(libc::pollfd { fd, events: events as libc::c_short, revents: 0 })
    }

    /// The bits that were found set.
    pub(crate) fn ready(&self) -> u32 {
        u32::from(self.0.revents as u16)
    }
}

/// Waits until one of `fds` is ready or `timeout` is over; returns how many are.
pub(crate) fn wait(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<usize> {
    let ts = timeout.map(|t| libc::timespec {
        // As far as every C library counts seconds: 68 years.
        tv_sec: t.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: t.subsec_nanos().into(),
    });
    let ts = ts.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    // SAFETY: `PollFd` is a transparent `pollfd`; slice and timespec outlive the call.
    let n = unsafe { libc::ppoll(fds.as_mut_ptr().cast(), fds.len() as libc::nfds_t, ts, std::ptr::null()) };
    if n < 0 { Err(io::Error::last_os_error()) } else { Ok(n as usize) }
}
