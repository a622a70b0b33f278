//! A TCP socket before it connects or listens.
//!
//! # Safety
//!
//! The only `unsafe` here is `FromRawFd`, whose contract the caller signs.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::net::{TcpListener, TcpStream};
use crate::sys::socket::inet_addr;

/// A TCP socket that is neither connected nor listening yet.
///
/// Use it where the options that [`TcpStream::connect`] and [`TcpListener::bind`] choose do not
/// fit: set what you need, then call [`connect`](Self::connect) or [`listen`](Self::listen).
/// Options not offered here can be set through [`AsFd`] with a crate like [`socket2`].
///
/// Nothing is registered with a runtime until then, so the options may be set anywhere. Dropping it
/// closes the socket.
///
/// # Examples
///
/// What [`TcpListener::bind`] does, with a backlog of one's own:
///
/// ```
/// use tokio::net::TcpSocket;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_reuseaddr(true)?;
/// socket.bind("127.0.0.1:0".parse().unwrap())?;
/// let listener = socket.listen(1024)?;
/// # drop(listener);
/// # Ok(())
/// # }
/// ```
///
/// A client that sends small messages at once:
///
/// ```no_run
/// use tokio::net::TcpSocket;
///
/// # async fn example() -> std::io::Result<()> {
/// let socket = TcpSocket::new_v4()?;
/// socket.set_nodelay(true)?;
/// let stream = socket.connect("192.0.2.1:80".parse().unwrap()).await?;
/// # drop(stream);
/// # Ok(())
/// # }
/// ```
///
/// [`socket2`]: https://docs.rs/socket2
pub struct TcpSocket {
    inner: Socket,
}

impl TcpSocket {
    /// Creates an IPv4 socket: `socket(2)` with `AF_INET` and `SOCK_STREAM`, non-blocking and
    /// close-on-exec.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`.
    pub fn new_v4() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV4)
    }

    /// Creates an IPv6 socket: `socket(2)` with `AF_INET6` and `SOCK_STREAM`, non-blocking and
    /// close-on-exec.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`.
    pub fn new_v6() -> io::Result<TcpSocket> {
        TcpSocket::new(Domain::IPV6)
    }

    fn new(domain: Domain) -> io::Result<TcpSocket> {
        let inner = Socket::new(domain, Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        Ok(TcpSocket { inner })
    }

    /// Sets `SO_KEEPALIVE`: whether the kernel probes a peer that has been silent for long.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_keepalive(&self, keepalive: bool) -> io::Result<()> {
        self.inner.set_keepalive(keepalive)
    }

    /// Reads `SO_KEEPALIVE`; see [`set_keepalive`](Self::set_keepalive).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn keepalive(&self) -> io::Result<bool> {
        self.inner.keepalive()
    }

    /// Sets `SO_REUSEADDR`: whether the socket may bind an address that connections in `TIME_WAIT`
    /// still use.
    ///
    /// Takes effect in [`bind`](Self::bind), so set it before.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_reuseaddr(&self, reuseaddr: bool) -> io::Result<()> {
        self.inner.set_reuse_address(reuseaddr)
    }

    /// Reads `SO_REUSEADDR`; see [`set_reuseaddr`](Self::set_reuseaddr).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn reuseaddr(&self) -> io::Result<bool> {
        self.inner.reuse_address()
    }

    /// Sets `SO_REUSEPORT`: whether several sockets may listen on one address.
    ///
    /// Every one of them must set it before [`bind`](Self::bind). Linux spreads new connections
    /// among them.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::net::TcpSocket;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let first = TcpSocket::new_v4()?;
    /// first.set_reuseport(true)?;
    /// first.bind("127.0.0.1:0".parse().unwrap())?;
    ///
    /// let second = TcpSocket::new_v4()?;
    /// second.set_reuseport(true)?;
    /// second.bind(first.local_addr()?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_reuseport(&self, reuseport: bool) -> io::Result<()> {
        self.inner.set_reuse_port(reuseport)
    }

    /// Reads `SO_REUSEPORT`; see [`set_reuseport`](Self::set_reuseport).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn reuseport(&self) -> io::Result<bool> {
        self.inner.reuse_port()
    }

    /// Sets `SO_SNDBUF`: how many bytes the kernel buffers for sending.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_send_buffer_size(&self, size: u32) -> io::Result<()> {
        self.inner.set_send_buffer_size(size as usize)
    }

    /// Reads `SO_SNDBUF`.
    ///
    /// This need not be the value given to [`set_send_buffer_size`](Self::set_send_buffer_size):
    /// Linux clamps it to the system's limits and then doubles it, to account for its own
    /// bookkeeping (see `socket(7)`).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn send_buffer_size(&self) -> io::Result<u32> {
        self.inner.send_buffer_size().map(|size| size as u32)
    }

    /// Sets `SO_RCVBUF`: how many bytes the kernel buffers for reading.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_recv_buffer_size(&self, size: u32) -> io::Result<()> {
        self.inner.set_recv_buffer_size(size as usize)
    }

    /// Reads `SO_RCVBUF`.
    ///
    /// This need not be the value given to [`set_recv_buffer_size`](Self::set_recv_buffer_size):
    /// Linux clamps it to the system's limits and then doubles it, to account for its own
    /// bookkeeping (see `socket(7)`).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn recv_buffer_size(&self) -> io::Result<u32> {
        self.inner.recv_buffer_size().map(|size| size as u32)
    }

    /// Sets `SO_LINGER`: how long closing the socket may wait for unsent data.
    ///
    /// Deprecated because the wait blocks the thread that drops the socket, non-blocking mode or
    /// not. To make sure that everything arrived, shut down the writing side and read until the end
    /// instead. A duration of zero does not block and has a method of its own,
    /// [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    #[deprecated = "`SO_LINGER` causes the socket to block the thread on drop"]
    pub fn set_linger(&self, dur: Option<Duration>) -> io::Result<()> {
        self.inner.set_linger(dur)
    }

    /// Sets `SO_LINGER` to zero: closing the socket resets the connection.
    ///
    /// The peer gets an RST instead of a FIN, data not sent yet is thrown away, and no `TIME_WAIT`
    /// is left behind. The peer will most likely see `ConnectionReset` rather than the end of the
    /// stream.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let socket = tokio::net::TcpSocket::new_v4()?;
    /// socket.set_zero_linger()?;
    /// assert_eq!(socket.linger()?, Some(Duration::ZERO));
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_zero_linger(&self) -> io::Result<()> {
        self.inner.set_linger(Some(Duration::ZERO))
    }

    /// Reads `SO_LINGER`: `None` if closing does not wait.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        self.inner.linger()
    }

    /// Sets `TCP_NODELAY`: whether small segments are sent at once instead of being gathered
    /// (Nagle's algorithm).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// let socket = tokio::net::TcpSocket::new_v4()?;
    /// socket.set_nodelay(true)?;
    /// assert!(socket.nodelay()?);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.inner.set_tcp_nodelay(nodelay)
    }

    /// Reads `TCP_NODELAY`; see [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.inner.tcp_nodelay()
    }

    /// Reads `IPV6_TCLASS`; see [`set_tclass_v6`](Self::set_tclass_v6).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        self.inner.tclass_v6()
    }

    /// Sets `IPV6_TCLASS`: the traffic class of every packet sent from this socket. Without effect
    /// on IPv4.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        self.inner.set_tclass_v6(tclass)
    }

    /// Reads `IP_TOS`; see [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn tos_v4(&self) -> io::Result<u32> {
        self.inner.tos_v4()
    }

    /// The old name of [`tos_v4`](Self::tos_v4).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    #[deprecated(
        note = "`tos` related methods have been renamed `tos_v4` since they are IPv4-specific."
    )]
    #[doc(hidden)]
    pub fn tos(&self) -> io::Result<u32> {
        self.tos_v4()
    }

    /// Sets `IP_TOS`: the type of service of every packet sent from this socket. It may have no
    /// effect on IPv6.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        self.inner.set_tos_v4(tos)
    }

    /// The old name of [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    #[deprecated(
        note = "`tos` related methods have been renamed `tos_v4` since they are IPv4-specific."
    )]
    #[doc(hidden)]
    pub fn set_tos(&self, tos: u32) -> io::Result<()> {
        self.set_tos_v4(tos)
    }

    /// Reads `SO_BINDTODEVICE`: the name of the network interface this socket is bound to, if any.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        self.inner.device()
    }

    /// Sets `SO_BINDTODEVICE`: only packets of this network interface reach the socket.
    ///
    /// `None` or an empty name lifts the restriction.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`, such as `ENODEV` for an unknown interface.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        self.inner.bind_device(interface)
    }

    /// The address this socket is bound to; the unspecified one before [`bind`](Self::bind).
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`, and `InvalidInput` if the socket is neither IPv4 nor IPv6 (see
    /// [`FromRawFd`]).
    ///
    /// # Examples
    ///
    /// ```
    /// let socket = tokio::net::TcpSocket::new_v4()?;
    /// socket.bind("127.0.0.1:0".parse().unwrap())?;
    /// assert!(socket.local_addr()?.ip().is_loopback());
    /// # std::io::Result::Ok(())
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        inet_addr(&self.inner.local_addr()?)
    }

    /// Reads and clears `SO_ERROR`, the error that happened on the socket since the last call.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.inner.take_error()
    }

    /// Binds the socket to a local address: `bind(2)`. Port 0 lets the system choose.
    ///
    /// # Errors
    ///
    /// Those of `bind(2)`.
    pub fn bind(&self, addr: SocketAddr) -> io::Result<()> {
        self.inner.bind(&addr.into())
    }

    /// Connects to `addr`.
    ///
    /// The socket is closed if the future is dropped before it is done.
    ///
    /// # Errors
    ///
    /// Those of `connect(2)`; also those that arrive later, such as `ConnectionRefused` or
    /// `TimedOut`.
    ///
    /// # Panics
    ///
    /// Panics when polled outside of a runtime or in one without I/O.
    pub async fn connect(self, addr: SocketAddr) -> io::Result<TcpStream> {
        match self.inner.connect(&addr.into()) {
            // In progress: the registration reports when it is decided.
            Err(e) if e.raw_os_error() != Some(libc::EINPROGRESS) => return Err(e),
            _ => {}
        }
        TcpStream::connect_mio(OwnedFd::from(self.inner).into()).await
    }

    /// Starts to listen, with a queue of about `backlog` connections that wait to be accepted.
    ///
    /// [`bind`](Self::bind) the socket first. The system's limit (`net.core.somaxconn`) caps the
    /// backlog.
    ///
    /// # Errors
    ///
    /// Those of `listen(2)`.
    ///
    /// # Panics
    ///
    /// Panics outside of a runtime or in one without I/O.
    pub fn listen(self, backlog: u32) -> io::Result<TcpListener> {
        self.inner
            .listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        TcpListener::new(OwnedFd::from(self.inner).into())
    }

    /// Takes over a socket that a crate like `socket2` prepared and that is not connected, in spite
    /// of its type.
    ///
    /// The socket must be in non-blocking mode. With a socket that is connected already,
    /// [`connect`](Self::connect) and [`listen`](Self::listen) will fail.
    ///
    /// # Examples
    ///
    /// ```
    /// use socket2::{Domain, Socket, Type};
    /// use tokio::net::TcpSocket;
    ///
    /// let prepared = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    /// prepared.set_nonblocking(true)?;
    /// let socket = TcpSocket::from_std_stream(prepared.into());
    /// # drop(socket);
    /// # std::io::Result::Ok(())
    /// ```
    pub fn from_std_stream(std_stream: std::net::TcpStream) -> TcpSocket {
        TcpSocket {
            inner: Socket::from(std_stream),
        }
    }
}

impl fmt::Debug for TcpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl AsRawFd for TcpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}

impl AsFd for TcpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl FromRawFd for TcpSocket {
    /// Takes over a raw descriptor, which must be a TCP socket in non-blocking mode.
    unsafe fn from_raw_fd(fd: RawFd) -> TcpSocket {
        // SAFETY: the caller owns `fd` and passes it on.
        let inner = unsafe { Socket::from_raw_fd(fd) };
        TcpSocket { inner }
    }
}

impl IntoRawFd for TcpSocket {
    fn into_raw_fd(self) -> RawFd {
        self.inner.into_raw_fd()
    }
}
