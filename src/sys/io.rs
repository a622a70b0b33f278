//! `read` on a plain descriptor, into memory that need not be initialised.
//!
//! # Safety
//!
//! The kernel writes at most the length of the slice it is given, and only initialised bytes
//! are counted. A descriptor that was closed or reused is an I/O error or somebody else's data,
//! never unsound memory.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// What one call takes at the most (`MAX_RW_COUNT` of Linux).
const MAX_LEN: usize = 0x7fff_f000;

fn count(n: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Reads into `buf`; the first `n` bytes are initialised afterwards.
pub(crate) fn read(fd: RawFd, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: see the module docs.
    count(unsafe { libc::read(fd, buf.as_mut_ptr().cast(), buf.len().min(MAX_LEN)) })
}
