//! A Unix socket before it becomes a stream, a listener or a datagram socket.
//!
//! # Safety
//!
//! The only `unsafe` here is the signature of [`FromRawFd`], whose contract
//! (the caller owns the descriptor) is passed on to socket2 unchanged.
#![allow(unsafe_code)]

use crate::net::{UnixDatagram, UnixListener, UnixStream};

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::path::Path;

/// A Unix socket that is not yet a [`UnixStream`], [`UnixListener`] or
/// [`UnixDatagram`].
///
/// Use it when something has to happen between the creation of a socket and its
/// first use: set an option, or bind a stream socket before it connects.
/// Without such a need [`UnixStream::connect`], [`UnixListener::bind`] and
/// [`UnixDatagram::bind`] are shorter.
///
/// Options this type has no method for can be set through [`AsFd`] with a crate
/// such as socket2. Dropping a `UnixSocket` closes it.
///
/// # Examples
///
/// ```no_run
/// use tokio::net::UnixSocket;
///
/// # async fn doc() -> std::io::Result<()> {
/// let socket = UnixSocket::new_stream()?;
/// socket.bind("/tmp/client.sock")?;
/// let _stream = socket.connect("/tmp/server.sock").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct UnixSocket {
    inner: socket2::Socket,
}

impl UnixSocket {
    /// Creates a datagram socket (`AF_UNIX`, `SOCK_DGRAM`) in non-blocking mode.
    pub fn new_datagram() -> io::Result<UnixSocket> {
        UnixSocket::new(socket2::Type::DGRAM)
    }

    /// Creates a stream socket (`AF_UNIX`, `SOCK_STREAM`) in non-blocking mode.
    pub fn new_stream() -> io::Result<UnixSocket> {
        UnixSocket::new(socket2::Type::STREAM)
    }

    fn new(ty: socket2::Type) -> io::Result<UnixSocket> {
        let inner = socket2::Socket::new(socket2::Domain::UNIX, ty.nonblocking(), None)?;
        Ok(UnixSocket { inner })
    }

    /// Refuses a call that makes no sense for sockets of type `wrong`.
    fn refuse(&self, wrong: socket2::Type, message: &'static str) -> io::Result<()> {
        if self.inner.r#type()? == wrong {
            return Err(io::Error::other(message));
        }
        Ok(())
    }

    fn into_fd(self) -> OwnedFd {
        self.inner.into()
    }

    /// Binds the socket to `path`. A path that starts with a zero byte names a
    /// socket in Linux's abstract namespace.
    ///
    /// # Errors
    ///
    /// Those of `bind(2)`; a path too long for a socket address gives
    /// [`InvalidInput`](io::ErrorKind::InvalidInput).
    pub fn bind(&self, path: impl AsRef<Path>) -> io::Result<()> {
        self.inner.bind(&socket2::SockAddr::unix(path)?)
    }

    /// Starts to listen, with room for `backlog` connections that wait to be
    /// accepted, and returns the listener.
    ///
    /// # Errors
    ///
    /// Fails on a datagram socket, and with the errors of `listen(2)`.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    #[track_caller]
    pub fn listen(self, backlog: u32) -> io::Result<UnixListener> {
        self.refuse(
            socket2::Type::DGRAM,
            "listen cannot be called on a datagram socket",
        )?;
        self.inner
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        UnixListener::new(self.into_fd().into())
    }

    /// Connects to the listener bound to `path` and returns the stream. A path
    /// that starts with a zero byte names a socket in the abstract namespace.
    ///
    /// # Errors
    ///
    /// Fails on a datagram socket, and with the errors of `connect(2)`; a
    /// listener whose backlog is full gives
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`listen`](UnixSocket::listen) does.
    pub async fn connect(self, path: impl AsRef<Path>) -> io::Result<UnixStream> {
        self.refuse(
            socket2::Type::DGRAM,
            "connect cannot be called on a datagram socket",
        )?;
        let addr = socket2::SockAddr::unix(path)?;
        match self.inner.connect(&addr) {
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => return Err(e),
            _ => {}
        }
        UnixStream::connect_mio(self.into_fd().into()).await
    }

    /// Returns the socket as a [`UnixDatagram`].
    ///
    /// # Errors
    ///
    /// Fails on a stream socket.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`listen`](UnixSocket::listen) does.
    #[track_caller]
    pub fn datagram(self) -> io::Result<UnixDatagram> {
        self.refuse(
            socket2::Type::STREAM,
            "datagram cannot be called on a stream socket",
        )?;
        UnixDatagram::from_mio(self.into_fd().into())
    }
}

impl AsRawFd for UnixSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsFd for UnixSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl FromRawFd for UnixSocket {
    /// Takes over a Unix socket that was created elsewhere. It should be in
    /// non-blocking mode.
    ///
    /// # Safety
    ///
    /// `fd` must be open and owned by the caller, who gives it up.
    unsafe fn from_raw_fd(fd: RawFd) -> UnixSocket {
        // SAFETY: the caller's promise is the one socket2 asks for.
        let inner = unsafe { socket2::Socket::from_raw_fd(fd) };
        UnixSocket { inner }
    }
}

impl IntoRawFd for UnixSocket {
    fn into_raw_fd(self) -> RawFd {
        self.inner.into_raw_fd()
    }
}
