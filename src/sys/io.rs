//! `read` and `recv`, into memory that need not be initialised, `send`, `shutdown`, and what kind of
//! socket a descriptor is.
//!
//! # Safety
//!
//! The kernel writes at most the length of the part it is given, and exactly the bytes it
//! counts are declared initialised. A descriptor that was closed or reused is an I/O error or
//! somebody else's data, never unsound memory.
#![allow(unsafe_code)]

use std::io::{self, IoSlice};
use std::os::fd::RawFd;
use std::time::Duration;

use upstream::io::ReadBuf;

#[cfg(feature = "uring-native")]
use super::{call::NoSignal, mask};

/// What one call takes at the most (`MAX_RW_COUNT` of Linux).
const MAX_LEN: usize = 0x7fff_f000;

/// The most slices that one call takes (`IOV_MAX` of Linux): it leaves the rest alone, or refuses.
pub(crate) const MAX_SLICES: usize = 1024;

/// Reads into the unfilled part of `buf`; returns how much.
pub(crate) fn read(fd: RawFd, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: the kernel writes no further than the length it is given.
    unsafe { fill(buf, |spare, len| libc::read(fd, spare, len)) }
}

/// The same for a socket: a little cheaper, as the kernel need not find out what it reads from.
pub(crate) fn recv(fd: RawFd, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: the kernel writes no further than the length it is given.
    unsafe { fill(buf, |spare, len| libc::recv(fd, spare, len, 0)) }
}

/// Reads at most `max` bytes at the cursor of a file, as far as that takes no waiting (`preadv2` with
/// `RWF_NOWAIT`, Linux 4.14). An error says no more than that: a call that may wait finds out.
#[cfg(feature = "fs")]
pub(crate) fn read_now(fd: RawFd, buf: &mut ReadBuf<'_>, max: usize) -> io::Result<usize> {
    let read = |base, len: usize| {
        let part = libc::iovec { iov_base: base, iov_len: len.min(max) };
        // SAFETY: the kernel writes no further than the length of the one part.
        unsafe { libc::preadv2(fd, &raw const part, 1, -1, libc::RWF_NOWAIT) }
    };
    // SAFETY: as above.
    unsafe { fill(buf, read) }
}

/// Appends to `vec` what one such read of at most `max` bytes gives.
#[cfg(feature = "fs")]
pub(crate) fn read_vec_now(fd: RawFd, vec: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    vec.reserve(max);
    let mut spare = ReadBuf::uninit(&mut vec.spare_capacity_mut()[..max]);
    let n = read_now(fd, &mut spare, max)?;
    // SAFETY: `read_now` has initialised that many bytes behind the end of `vec`.
    unsafe { vec.set_len(vec.len() + n) };
    Ok(n)
}

/// Writes at the cursor of a file, as far as that takes no waiting; like [`read_now`].
#[cfg(feature = "fs")]
pub(crate) fn write_now(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len().min(MAX_LEN) };
    // SAFETY: the kernel reads the one part, which outlives the call.
    let n = unsafe { libc::pwritev2(fd, &raw const part, 1, -1, libc::RWF_NOWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// `recv(2)` without waiting.
#[cfg(feature = "uring-native")]
pub(crate) fn recv_slice(fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes no further than the length it is given.
    let n = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len().min(MAX_LEN), libc::MSG_DONTWAIT) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// `accept4(2)`, close-on-exec and non-blocking.
#[cfg(feature = "uring-native")]
pub(crate) fn accept(fd: RawFd) -> io::Result<std::os::fd::OwnedFd> {
    use std::os::fd::FromRawFd;

    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just opened it for this call.
    Ok(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
}

/// Has `read` fill the unfilled part of `buf`.
///
/// # Safety
///
/// `read` must initialise the bytes it counts, at the front of the memory that it is given.
unsafe fn fill(
    buf: &mut ReadBuf<'_>,
    read: impl FnOnce(*mut libc::c_void, usize) -> isize,
) -> io::Result<usize> {
    // SAFETY: nothing here de-initialises what is initialised.
    let spare = unsafe { buf.unfilled_mut() };
    let n = read(spare.as_mut_ptr().cast(), spare.len().min(MAX_LEN));
    let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
    assert!(n <= spare.len(), "read {n} bytes into room for {}", spare.len());
    // SAFETY: the caller vouches for that many bytes at the front of the part.
    unsafe { buf.assume_init(n) };
    buf.advance(n);
    Ok(n)
}

/// Appends what one read of at most `max` bytes gives to `vec`; returns how much that was.
#[cfg(any(feature = "fs", feature = "process"))]
pub(crate) fn read_vec(fd: RawFd, vec: &mut Vec<u8>, max: usize) -> io::Result<usize> {
    vec.reserve(max);
    let mut spare = ReadBuf::uninit(&mut vec.spare_capacity_mut()[..max]);
    let n = read(fd, &mut spare)?;
    // SAFETY: `read` has initialised that many bytes behind the end of `vec`.
    unsafe { vec.set_len(vec.len() + n) };
    Ok(n)
}

/// Does the socket have an address to itself: does it listen, or take datagrams?
pub(crate) fn holds_address(fd: RawFd) -> bool {
    let is = |option, value| socket_option(fd, option) == Some(value);
    is(libc::SO_ACCEPTCONN, 1) || is(libc::SO_TYPE, libc::SOCK_DGRAM)
}

fn socket_option(fd: RawFd, option: libc::c_int) -> Option<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both outlive the call, and the kernel writes no more than `len` bytes to `value`.
    let result =
        unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, (&raw mut value).cast(), &raw mut len) };
    (result == 0).then_some(value)
}

/// `shutdown(SHUT_WR)`, whatever the descriptor is: only a connected socket takes notice.
pub(crate) fn shutdown_write(fd: RawFd) {
    // SAFETY: no memory is passed.
    unsafe { libc::shutdown(fd, libc::SHUT_WR) };
}

/// Writes to a pipe, without `SIGPIPE` (`RWF_NOSIGNAL`, Linux 6.18). On an older kernel the signal is blocked
/// meanwhile.
#[cfg(feature = "uring-native")]
pub(crate) fn write_quietly(fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let (iov, n) = (bufs.as_ptr().cast(), bufs.len().min(MAX_SLICES) as libc::c_int);
    let outcome = |n: isize| usize::try_from(n).map_err(|_| io::Error::last_os_error());
    let flag = NoSignal::flag();
    if flag != 0 {
        // SAFETY: the slices are what an array of `iovec` is, and are only read.
        let result = outcome(unsafe { libc::pwritev2(fd, iov, n, -1, flag) });
        if !matches!(&result, Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP)) {
            return result;
        }
        NoSignal::is_unknown();
    }
    // SAFETY: as above.
    mask::without_sigpipe(|| outcome(unsafe { libc::writev(fd, iov, n) }))
}

/// Sends what the socket has room for, without waiting and without `SIGPIPE`.
pub(crate) fn send(fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all zero is a header with nothing in it.
    let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
    // An `IoSlice` is an `iovec` (its documentation says so), which is only read from.
    header.msg_iov = bufs.as_ptr().cast_mut().cast();
    header.msg_iovlen = bufs.len() as _;
    // SAFETY: the slices, and what they point to, outlive the call.
    let n = unsafe { libc::sendmsg(fd, &raw const header, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Has the kernel give a TCP connection up whose peer took nothing for `limit` (`TCP_USER_TIMEOUT`). No
/// other socket takes notice.
pub(crate) fn set_user_timeout(fd: RawFd, limit: Duration) {
    let limit = libc::c_uint::try_from(limit.as_millis()).unwrap_or(libc::c_uint::MAX);
    let len = size_of::<libc::c_uint>() as libc::socklen_t;
    // SAFETY: the kernel reads `len` bytes of a value that outlives the call.
    unsafe {
        libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, (&raw const limit).cast(), len)
    };
}
