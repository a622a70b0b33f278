//! `read`, `write` and `writev` on a plain descriptor.
//!
//! # Safety
//!
//! The kernel writes at most the length of the slice it is given, and only initialised bytes
//! are counted. A descriptor that was closed or reused is an I/O error or somebody else's data,
//! never unsound memory.
#![allow(unsafe_code)]

use std::io;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// What one call takes at the most (`MAX_RW_COUNT` of Linux).
const MAX_LEN: usize = 0x7fff_f000;
/// `UIO_MAXIOV`.
const MAX_SLICES: usize = 1024;

fn count(n: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Reads into `buf`; the first `n` bytes are initialised afterwards.
pub(crate) fn read(fd: RawFd, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: see the module docs.
    count(unsafe { libc::read(fd, buf.as_mut_ptr().cast(), buf.len().min(MAX_LEN)) })
}

/// Writes from `buf`.
pub(crate) fn write(fd: RawFd, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: see the module docs.
    count(unsafe { libc::write(fd, buf.as_ptr().cast(), buf.len().min(MAX_LEN)) })
}

/// Writes from several buffers.
pub(crate) fn write_vectored(fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let n = bufs.len().min(MAX_SLICES) as libc::c_int;
    // SAFETY: `IoSlice` is ABI-compatible with `iovec` on Unix.
    count(unsafe { libc::writev(fd, bufs.as_ptr().cast(), n) })
}

/// Sends from `buf` on a socket; a peer that is gone is `EPIPE`, never `SIGPIPE`.
pub(crate) fn send(fd: RawFd, buf: &[u8]) -> io::Result<usize> {
    // SAFETY: see the module docs.
    count(unsafe { libc::send(fd, buf.as_ptr().cast(), buf.len().min(MAX_LEN), libc::MSG_NOSIGNAL) })
}
