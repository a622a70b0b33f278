//! Socket calls that fill memory which is not initialised yet.
//!
//! A reader hands out a [`ReadBuf`], or a `bytes::BufMut`, whose spare part may never have been
//! written. Zeroing it first would cost as much as the copy itself, so the kernel writes straight
//! into it and the buffer is told afterwards how far it got.
//!
//! # Protocol
//!
//! 1. `fill` and `fill_buf_mut` lend the spare part as `&mut [MaybeUninit<u8>]` to one receiving
//!    call.
//! 2. The call reports how many bytes the kernel wrote; a count above the part's length is refused
//!    (H50).
//! 3. Exactly that many bytes are declared initialised and filled. On an error the buffer stays as
//!    it was.
//!
//! # Safety
//!
//! Steps 1 and 3 are the only `unsafe` here, and the two functions that hold it are private: every
//! caller goes through one of the safe functions below, each of which passes a `socket2` receive.
//! `socket2` promises that it writes initialised bytes only and that the count it returns is what
//! `recv(2)` and its siblings returned.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

#[cfg(feature = "io-util")]
use bytes::BufMut;
use socket2::{SockAddr, SockAddrStorage, SockRef};
use upstream::io::ReadBuf;

/// `recv(2)`: moves bytes from `socket` into the unfilled part of `buf` and returns their number.
pub(crate) fn recv(socket: &impl AsFd, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: `Socket::recv` initialises the bytes it counts.
    let done = unsafe { fill(buf, |spare| Ok((SockRef::from(socket).recv(spare)?, ()))) };
    done.map(|(n, ())| n)
}

/// `recv(2)` with `MSG_PEEK`: like [`recv`], but the bytes stay in the socket.
pub(crate) fn peek(socket: &impl AsFd, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    // SAFETY: `Socket::peek` initialises the bytes it counts.
    let done = unsafe { fill(buf, |spare| Ok((SockRef::from(socket).peek(spare)?, ()))) };
    done.map(|(n, ())| n)
}

/// `recvfrom(2)`: like [`recv`], with the sender's address.
pub(crate) fn recv_from(socket: &impl AsFd, buf: &mut ReadBuf<'_>) -> io::Result<(usize, SockAddr)> {
    // SAFETY: `Socket::recv_from` initialises the bytes it counts.
    unsafe { fill(buf, |spare| SockRef::from(socket).recv_from(spare)) }
}

/// `recvfrom(2)` with `MSG_PEEK`: like [`recv_from`], but the datagram stays in the socket.
pub(crate) fn peek_from(socket: &impl AsFd, buf: &mut ReadBuf<'_>) -> io::Result<(usize, SockAddr)> {
    // SAFETY: `Socket::peek_from` initialises the bytes it counts.
    unsafe { fill(buf, |spare| SockRef::from(socket).peek_from(spare)) }
}

/// [`recv_from`] of a descriptor; one that is closed is an error. Also says whether the datagram was
/// longer than `buf` (`MSG_TRUNC`).
#[cfg(feature = "uring-native")]
pub(crate) fn recv_from_fd(fd: std::os::fd::RawFd, buf: &mut [u8]) -> io::Result<(usize, (SockAddr, bool))> {
    // SAFETY: no more than the number is used, for one system call.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    let receive = |spare: &mut [MaybeUninit<u8>]| {
        let room = spare.len();
        let (len, from) = SockRef::from(&fd).recv_from_with_flags(spare, libc::MSG_TRUNC)?;
        Ok((len.min(room), (from, len > room)))
    };
    // SAFETY: what was received is initialised, up to the end of the room or of the datagram.
    unsafe { fill(&mut ReadBuf::new(buf), receive) }
}

/// Lends the unfilled part of `buf` to `receive` and advances `buf` by the count it returns.
///
/// # Panics
///
/// Panics if `receive` counts more bytes than it was lent.
///
/// # Safety
///
/// `receive` must initialise the bytes it counts, from the front, and must not write uninitialised
/// bytes anywhere.
unsafe fn fill<T>(
    buf: &mut ReadBuf<'_>,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<(usize, T)>,
) -> io::Result<(usize, T)> {
    // SAFETY: the caller promises that nothing in this part gets de-initialised.
    let spare = unsafe { buf.unfilled_mut() };
    let room = spare.len();
    let (n, rest) = receive(spare)?;
    assert!(n <= room, "received {n} bytes into room for {room}");
    // SAFETY: the caller promises that the first `n` bytes of the part are initialised now.
    unsafe { buf.assume_init(n) };
    buf.advance(n);
    Ok((n, rest))
}

/// [`recv`] into the next chunk of a `BufMut`.
#[cfg(feature = "io-util")]
pub(crate) fn recv_buf<B: BufMut>(socket: &impl AsFd, buf: &mut B) -> io::Result<usize> {
    // SAFETY: `Socket::recv` initialises the bytes it counts.
    let done = unsafe { fill_buf_mut(buf, |spare| Ok((SockRef::from(socket).recv(spare)?, ()))) };
    done.map(|(n, ())| n)
}

/// [`recv_from`] into the next chunk of a `BufMut`.
#[cfg(feature = "io-util")]
pub(crate) fn recv_buf_from<B: BufMut>(socket: &impl AsFd, buf: &mut B) -> io::Result<(usize, SockAddr)> {
    // SAFETY: `Socket::recv_from` initialises the bytes it counts.
    unsafe { fill_buf_mut(buf, |spare| SockRef::from(socket).recv_from(spare)) }
}

/// The twin of [`fill`] for the next chunk of a `BufMut`.
///
/// # Panics
///
/// Panics if `receive` counts more bytes than it was lent.
///
/// # Safety
///
/// As for [`fill`].
#[cfg(feature = "io-util")]
unsafe fn fill_buf_mut<B: BufMut, T>(
    buf: &mut B,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<(usize, T)>,
) -> io::Result<(usize, T)> {
    let chunk = buf.chunk_mut();
    let room = chunk.len();
    // SAFETY: the chunk is `room` writable bytes, borrowed for as long as `spare`; the caller promises not to
    // de-initialise any of them.
    let spare = unsafe { std::slice::from_raw_parts_mut(chunk.as_mut_ptr().cast(), room) };
    let (n, rest) = receive(spare)?;
    assert!(n <= room, "received {n} bytes into room for {room}");
    // SAFETY: the caller promises that the first `n` bytes of the chunk are initialised now.
    unsafe { buf.advance_mut(n) };
    Ok((n, rest))
}

/// The internet address in `addr`.
///
/// # Errors
///
/// `InvalidInput` if `addr` belongs to another family than IPv4 and IPv6.
pub(crate) fn inet_addr(addr: &SockAddr) -> io::Result<std::net::SocketAddr> {
    addr.as_socket().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "invalid address family (not IPv4 or IPv6)")
    })
}

/// The address that the kernel has written as these bytes.
pub(crate) fn addr(bytes: &[u8]) -> SockAddr {
    let mut storage = SockAddrStorage::zeroed();
    let len = bytes.len().min(size_of::<SockAddrStorage>());
    // SAFETY: there is room for `len` bytes in either, any bytes are a valid storage, and the part
    // that counts is initialised.
    unsafe {
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), (&raw mut storage).cast::<u8>(), len);
        SockAddr::new(storage, len as libc::socklen_t)
    }
}

/// `addr` as the kernel reads it.
///
/// # Errors
///
/// `InvalidInput` if it is the address of an unnamed socket.
pub(crate) fn from_unix_addr(addr: &std::os::unix::net::SocketAddr) -> io::Result<SockAddr> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;

    if let Some(path) = addr.as_pathname() {
        return SockAddr::unix(path);
    }
    match addr.as_abstract_name() {
        Some(name) => SockAddr::unix(std::ffi::OsStr::from_bytes(&[b"\0", name].concat())),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "an unnamed socket cannot be addressed")),
    }
}

/// The Unix address in `addr`. What the standard library cannot express (no name, a path that fills
/// its room to the last byte) counts as unnamed.
pub(crate) fn unix_addr(addr: &SockAddr) -> std::os::unix::net::SocketAddr {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::SocketAddr;

    let named = match (addr.as_pathname(), addr.as_abstract_namespace()) {
        (Some(path), _) => SocketAddr::from_pathname(path).ok(),
        (None, Some(name)) => SocketAddr::from_abstract_name(name).ok(),
        (None, None) => None,
    };
    named.unwrap_or_else(|| match SocketAddr::from_pathname("") {
        Ok(unnamed) => unnamed,
        Err(_) => unreachable!("an empty path is none"),
    })
}

/// Refuses a descriptor that would block the thread.
///
/// # Errors
///
/// What `fcntl(F_GETFL)` says, in builds with debug assertions.
///
/// # Panics
///
/// Panics in builds with debug assertions if `socket` is in blocking mode, unless built with `--cfg
/// tokio_allow_from_blocking_fd`.
#[track_caller]
pub(crate) fn check_socket_for_blocking<S: AsFd>(socket: &S) -> io::Result<()> {
    if cfg!(all(debug_assertions, not(tokio_allow_from_blocking_fd))) {
        assert!(
            SockRef::from(socket).nonblocking()?,
            "Registering a blocking socket with the tokio runtime is unsupported. \
            If you wish to do anyways, please add `--cfg tokio_allow_from_blocking_fd` to your \
            RUSTFLAGS. See github.com/tokio-rs/tokio/issues/7172 for details."
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, UdpSocket};

    fn pair() -> (UdpSocket, UdpSocket) {
        let a = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let b = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        a.connect(b.local_addr().unwrap()).unwrap();
        b.connect(a.local_addr().unwrap()).unwrap();
        (a, b)
    }

    #[test]
    fn received_bytes_land_behind_what_the_buffer_holds() {
        let (a, b) = pair();
        a.send(b"world").unwrap();
        let mut storage = [MaybeUninit::uninit(); 32];
        let mut buf = ReadBuf::uninit(&mut storage);
        buf.put_slice(b"hello ");

        assert_eq!(peek(&b, &mut buf).unwrap(), 5);
        buf.set_filled(6);
        let (n, from) = recv_from(&b, &mut buf).unwrap();

        assert_eq!((n, buf.filled()), (5, &b"hello world"[..]));
        assert_eq!(inet_addr(&from).unwrap(), a.local_addr().unwrap());
        assert_eq!(buf.initialized().len(), 11);
    }

    #[test]
    fn an_error_leaves_the_buffer_alone() {
        let (_a, b) = pair();
        b.set_nonblocking(true).unwrap();
        let mut storage = [MaybeUninit::uninit(); 8];
        let mut buf = ReadBuf::uninit(&mut storage);

        let err = recv(&b, &mut buf).unwrap_err();

        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        assert!(buf.filled().is_empty() && buf.initialized().is_empty());
    }

    #[test]
    #[should_panic(expected = "received 9 bytes into room for 8")]
    fn a_count_above_the_room_is_refused() {
        let mut storage = [MaybeUninit::uninit(); 8];
        // SAFETY: nothing is written; the lie about the count is what is tested.
        let _ = unsafe { fill(&mut ReadBuf::uninit(&mut storage), |_| Ok((9, ()))) };
    }

    #[cfg(feature = "io-util")]
    #[test]
    fn a_vec_grows_by_what_was_received() {
        let (a, b) = pair();
        a.send(b"abc").unwrap();
        a.send(b"def").unwrap();
        let mut v = Vec::with_capacity(16);

        assert_eq!(recv_buf(&b, &mut v).unwrap(), 3);
        assert_eq!(recv_buf_from(&b, &mut v).unwrap().0, 3);

        assert_eq!(v, b"abcdef");
    }
}
