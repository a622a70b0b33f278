//! Reading from what cancelled native operations have left, before the descriptor itself is asked.
//!
//! The methods here have the names of those of the objects behind [`PollEvented`] and take their
//! place: `self.io.recv(buf)` in a socket's code ends up here. Where there are no leftovers that
//! is one look at an empty cell.

use std::io::{self, IoSliceMut, Read};
use std::os::fd::{AsRawFd, OwnedFd};

use super::PollEvented;
use crate::io::ReadBuf;

impl<E: AsRawFd + Into<OwnedFd>> PollEvented<E> {
    /// Has `put` take the bytes of a stream that come before those in the descriptor.
    pub(crate) fn leftover_bytes(&self, put: impl FnOnce(&[u8]) -> usize) -> Option<io::Result<usize>> {
        self.registration().leftover(|leftovers| leftovers.read(put))
    }

    /// The same into the unfilled part of a buffer.
    pub(crate) fn leftover_to(&self, buf: &mut ReadBuf<'_>) -> Option<io::Result<usize>> {
        self.leftover_bytes(|bytes| put(bytes, buf))
    }

    /// `read(2)` of a stream.
    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize>
    where
        for<'a> &'a E: Read,
    {
        match self.leftover_bytes(|bytes| copy(bytes, buf)) {
            Some(done) => done,
            None => (&**self).read(buf),
        }
    }

    /// `readv(2)` of a stream.
    pub(crate) fn read_vectored(&self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize>
    where
        for<'a> &'a E: Read,
    {
        let scatter = |bytes: &[u8]| bufs.iter_mut().fold(0, |n, buf| n + copy(&bytes[n..], buf));
        match self.leftover_bytes(scatter) {
            Some(done) => done,
            None => (&**self).read_vectored(bufs),
        }
    }

    /// Reads into a `BufMut`, or has `read` do it.
    #[cfg(feature = "io-util")]
    pub(crate) fn read_buf<B: bytes::BufMut>(
        &self,
        buf: &mut B,
        read: impl FnOnce(&mut B) -> io::Result<usize>,
    ) -> io::Result<usize> {
        match self.leftover_bytes(|bytes| put_buf(bytes, buf)) {
            Some(done) => done,
            None => read(buf),
        }
    }
}

/// Copies as much as there is room for.
fn copy(bytes: &[u8], to: &mut [u8]) -> usize {
    let n = bytes.len().min(to.len());
    to[..n].copy_from_slice(&bytes[..n]);
    n
}

/// The same for the unfilled part of a buffer.
pub(crate) fn put(bytes: &[u8], to: &mut ReadBuf<'_>) -> usize {
    let n = bytes.len().min(to.remaining());
    to.put_slice(&bytes[..n]);
    n
}

/// The same for the next chunk of a `BufMut`: what a system call would fill.
#[cfg(feature = "io-util")]
fn put_buf<B: bytes::BufMut>(bytes: &[u8], to: &mut B) -> usize {
    let n = bytes.len().min(to.chunk_mut().len());
    to.put_slice(&bytes[..n]);
    n
}

cfg_net! {
    use std::net::SocketAddr;
    use std::os::unix::net::SocketAddr as UnixAddr;

    use socket2::SockAddr;

    use crate::sys::socket;

    impl PollEvented<mio::net::TcpStream> {
        pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
            match self.peek_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => Ok(done?.0),
                None => (**self).peek(buf),
            }
        }
    }

    impl PollEvented<mio::net::TcpListener> {
        pub(crate) fn accept(&self) -> io::Result<(mio::net::TcpStream, SocketAddr)> {
            match self.registration().leftover(|leftovers| leftovers.accept()) {
                Some(done) => {
                    let (fd, from) = done?;
                    Ok((mio::net::TcpStream::from_std(fd.into()), socket::inet_addr(&socket::addr(&from))?))
                }
                None => (**self).accept(),
            }
        }
    }

    impl PollEvented<mio::net::UnixListener> {
        pub(crate) fn accept(&self) -> io::Result<(mio::net::UnixStream, UnixAddr)> {
            match self.registration().leftover(|leftovers| leftovers.accept()) {
                Some(done) => {
                    let (fd, from) = done?;
                    let stream = std::os::unix::net::UnixStream::from(fd);
                    Ok((mio::net::UnixStream::from_std(stream), socket::unix_addr(&socket::addr(&from))))
                }
                None => (**self).accept(),
            }
        }
    }

    impl PollEvented<mio::net::UdpSocket> {
        pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
            match self.recv_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => Ok(done?.0),
                None => (**self).recv(buf),
            }
        }

        pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            match self.recv_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => inet(done),
                None => (**self).recv_from(buf),
            }
        }

        pub(crate) fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
            match self.peek_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => Ok(done?.0),
                None => (**self).peek(buf),
            }
        }

        pub(crate) fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
            match self.peek_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => inet(done),
                None => (**self).peek_from(buf),
            }
        }

        /// Who sent the next datagram, if a cancelled operation has it.
        pub(crate) fn peek_sender(&self) -> Option<io::Result<SocketAddr>> {
            Some(self.peek_leftover(|_| 0)?.and_then(|(_, from)| socket::inet_addr(&from)))
        }
    }

    fn inet(received: io::Result<(usize, SockAddr)>) -> io::Result<(usize, SocketAddr)> {
        let (n, from) = received?;
        Ok((n, socket::inet_addr(&from)?))
    }

    impl PollEvented<mio::net::UnixDatagram> {
        pub(crate) fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
            match self.recv_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => Ok(done?.0),
                None => (**self).recv(buf),
            }
        }

        pub(crate) fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, UnixAddr)> {
            match self.recv_leftover(|bytes| copy(bytes, buf)) {
                Some(done) => done.map(|(n, from)| (n, socket::unix_addr(&from))),
                None => (**self).recv_from(buf),
            }
        }
    }

    impl<E: AsRawFd + Into<OwnedFd>> PollEvented<E> {
        fn recv_leftover(&self, put: impl FnOnce(&[u8]) -> usize) -> Option<io::Result<(usize, SockAddr)>> {
            let found = self.registration().leftover(|leftovers| leftovers.recv_from(put))?;
            Some(found.map(|(n, from)| (n, socket::addr(&from))))
        }

        fn peek_leftover(&self, put: impl FnOnce(&[u8]) -> usize) -> Option<io::Result<(usize, SockAddr)>> {
            let found = self.registration().leftover(|leftovers| leftovers.peek(put))?;
            Some(found.map(|(n, from)| (n, socket::addr(&from))))
        }

        /// Receives a datagram into a buffer, or has `recv` do it.
        pub(crate) fn recv_to(
            &self,
            buf: &mut ReadBuf<'_>,
            recv: impl FnOnce(&mut ReadBuf<'_>) -> io::Result<usize>,
        ) -> io::Result<usize> {
            match self.recv_leftover(|bytes| put(bytes, buf)) {
                Some(done) => done.map(|(n, _)| n),
                None => recv(buf),
            }
        }

        /// The same, and who sent it.
        pub(crate) fn recv_to_from(
            &self,
            buf: &mut ReadBuf<'_>,
            recv: impl FnOnce(&mut ReadBuf<'_>) -> io::Result<(usize, SockAddr)>,
        ) -> io::Result<(usize, SockAddr)> {
            self.recv_leftover(|bytes| put(bytes, buf)).unwrap_or_else(|| recv(buf))
        }

        /// Looks at what comes next, or has `peek` do it.
        pub(crate) fn peek_to(
            &self,
            buf: &mut ReadBuf<'_>,
            peek: impl FnOnce(&mut ReadBuf<'_>) -> io::Result<usize>,
        ) -> io::Result<usize> {
            match self.peek_leftover(|bytes| put(bytes, buf)) {
                Some(done) => done.map(|(n, _)| n),
                None => peek(buf),
            }
        }

        /// The same, and who sent it.
        pub(crate) fn peek_to_from(
            &self,
            buf: &mut ReadBuf<'_>,
            peek: impl FnOnce(&mut ReadBuf<'_>) -> io::Result<(usize, SockAddr)>,
        ) -> io::Result<(usize, SockAddr)> {
            self.peek_leftover(|bytes| put(bytes, buf)).unwrap_or_else(|| peek(buf))
        }

        cfg_io_util! {
            /// Receives a datagram into a `BufMut`, or has `recv` do it.
            pub(crate) fn recv_buf<B: bytes::BufMut>(
                &self,
                buf: &mut B,
                recv: impl FnOnce(&mut B) -> io::Result<usize>,
            ) -> io::Result<usize> {
                match self.recv_leftover(|bytes| put_buf(bytes, buf)) {
                    Some(done) => done.map(|(n, _)| n),
                    None => recv(buf),
                }
            }

            /// The same, and who sent it.
            pub(crate) fn recv_buf_from<B: bytes::BufMut>(
                &self,
                buf: &mut B,
                recv: impl FnOnce(&mut B) -> io::Result<(usize, SockAddr)>,
            ) -> io::Result<(usize, SockAddr)> {
                self.recv_leftover(|bytes| put_buf(bytes, buf)).unwrap_or_else(|| recv(buf))
            }
        }
    }
}
