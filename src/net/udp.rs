//! A UDP socket.
//!
//! This file makes sockets and waits for them; `udp/send`, `udp/recv`, `udp/recv_buf` and
//! `udp/peek` move datagrams, each in up to three forms (`async`, `poll_*`, `try_*`), and
//! `udp/options` has the socket options.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll};

use crate::io::{Interest, IntoInnerError, PollEvented, Ready};
use crate::net::addr::{ToSocketAddrs, first_success, to_socket_addrs};
use crate::sys::socket::check_socket_for_blocking;

mod options;
mod peek;
mod recv;
#[cfg(feature = "io-util")]
mod recv_buf;
mod send;

/// A UDP socket.
///
/// [`bind`](Self::bind) it, then either
///
/// * exchange datagrams with anybody through [`send_to`](Self::send_to) and
///   [`recv_from`](Self::recv_from), or
/// * [`connect`](Self::connect) it to one peer and use [`send`](Self::send) and
///   [`recv`](Self::recv).
///
/// All methods take `&self`, so there is nothing to split: share the socket in an
/// [`Arc`](std::sync::Arc).
///
/// A datagram is received whole or not at all. What does not fit the buffer is lost without an
/// error, so offer room for the largest datagram the protocol knows.
///
/// # Examples
///
/// ```
/// use tokio::net::UdpSocket;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let server = UdpSocket::bind("127.0.0.1:0").await?;
/// let client = UdpSocket::bind("127.0.0.1:0").await?;
/// client.connect(server.local_addr()?).await?;
///
/// client.send(b"ping").await?;
/// let mut buf = [0; 1500];
/// let (n, from) = server.recv_from(&mut buf).await?;
/// server.send_to(&buf[..n], from).await?;
///
/// let n = client.recv(&mut buf).await?;
/// assert_eq!(&buf[..n], b"ping");
/// # Ok(())
/// # }
/// ```
///
/// One task sends while another receives:
///
/// ```no_run
/// use std::sync::Arc;
/// use tokio::net::UdpSocket;
///
/// # async fn example() -> std::io::Result<()> {
/// let socket = Arc::new(UdpSocket::bind("0.0.0.0:5000").await?);
/// let sender = Arc::clone(&socket);
/// tokio::spawn(async move { sender.send_to(b"hello", "192.0.2.1:5000").await });
///
/// let mut buf = [0; 1500];
/// loop {
///     let (n, from) = socket.recv_from(&mut buf).await?;
///     println!("{n} bytes from {from}");
/// }
/// # }
/// ```
pub struct UdpSocket {
    io: PollEvented<mio::net::UdpSocket>,
}

impl UdpSocket {
    /// Creates a socket bound to `addr`.
    ///
    /// If `addr` yields several addresses they are tried in turn, and the first that can be bound
    /// is taken. Port 0 lets the system choose one; [`local_addr`](Self::local_addr) tells which.
    ///
    /// # Errors
    ///
    /// The error of the last address tried, that of the name resolution, or `InvalidInput` if there
    /// was no address.
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<UdpSocket> {
        let addrs = to_socket_addrs(addr).await?;
        first_success(addrs, |addr| {
            UdpSocket::new(mio::net::UdpSocket::bind(addr)?)
        })
    }

    #[track_caller]
    fn new(socket: mio::net::UdpSocket) -> io::Result<UdpSocket> {
        let io = PollEvented::new_watched(socket, Interest::READABLE | Interest::WRITABLE)?;
        Ok(UdpSocket { io })
    }

    /// Takes over a socket of the standard library, bound and perhaps configured with a crate like
    /// `socket2`.
    ///
    /// The socket must be in non-blocking mode (see
    /// [`set_nonblocking`](net::UdpSocket::set_nonblocking)); otherwise its operations would block
    /// the whole thread.
    ///
    /// # Errors
    ///
    /// Fails if the driver cannot take the socket.
    ///
    /// # Panics
    ///
    /// Panics outside of a runtime (enter one with
    /// [`Runtime::enter`](crate::runtime::Runtime::enter)), in a runtime without I/O, and, in
    /// builds with debug assertions, if the socket is in blocking mode.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let std_socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// std_socket.set_nonblocking(true)?;
    /// let socket = tokio::net::UdpSocket::from_std(std_socket)?;
    /// # drop(socket);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn from_std(socket: net::UdpSocket) -> io::Result<UdpSocket> {
        check_socket_for_blocking(&socket)?;
        UdpSocket::new(mio::net::UdpSocket::from_std(socket))
    }

    /// Takes the socket out of the runtime and returns it as one of the standard library.
    ///
    /// It stays in non-blocking mode; change that with
    /// [`set_nonblocking`](net::UdpSocket::set_nonblocking).
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had received, and if bytes that were accepted
    /// cannot be sent. The error has the socket, which is as it was: `native::IntoInnerError::find` gets it out.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// let std_socket = socket.into_std()?;
    /// std_socket.set_nonblocking(false)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::UdpSocket> {
        Ok(self.take_std()?)
    }

    /// [`into_std`](Self::into_std) with another error.
    pub(crate) fn take_std(self) -> Result<net::UdpSocket, IntoInnerError<UdpSocket>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| UdpSocket { io }))?;
        Ok(io.into())
    }

    /// The address this socket is bound to.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// The address this socket is connected to.
    ///
    /// # Errors
    ///
    /// `NotConnected` if [`connect`](Self::connect) has not been called.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// assert!(socket.peer_addr().is_err());
    /// socket.connect("127.0.0.1:9").await?;
    /// assert_eq!(socket.peer_addr()?.port(), 9);
    /// # Ok(())
    /// # }
    /// ```
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr()
    }

    /// Makes `addr` the one peer: [`send`](Self::send) sends there, and only datagrams from there
    /// are received.
    ///
    /// Nothing is sent for that. If `addr` yields several addresses, the first that the system
    /// accepts is taken. Calling it again changes the peer.
    ///
    /// # Errors
    ///
    /// The error of the last address tried, that of the name resolution, or `InvalidInput` if there
    /// was no address.
    pub async fn connect<A: ToSocketAddrs>(&self, addr: A) -> io::Result<()> {
        let addrs = to_socket_addrs(addr).await?;
        first_success(addrs, |addr| self.io.connect(addr))
    }

    /// Waits until the socket has one of the states in `interest`, and returns those it has.
    ///
    /// Goes with the `try_` methods: together they send and receive on one task. The result is a
    /// hint. The attempt may still end in `WouldBlock`, and then one waits again; the set may even
    /// be empty.
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness is kept until an attempt meets `WouldBlock` (or `Poll::Pending`).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io::ErrorKind;
    /// use tokio::io::Interest;
    ///
    /// # async fn example(socket: tokio::net::UdpSocket) -> std::io::Result<()> {
    /// let ready = socket.ready(Interest::READABLE | Interest::WRITABLE).await?;
    /// if ready.is_readable() {
    ///     let mut buf = [0; 1500];
    ///     match socket.try_recv(&mut buf) {
    ///         Ok(n) => println!("{:?}", &buf[..n]),
    ///         Err(e) if e.kind() == ErrorKind::WouldBlock => {}
    ///         Err(e) => return Err(e),
    ///     }
    /// }
    /// if ready.is_writable() {
    ///     match socket.try_send(b"still here") {
    ///         Ok(n) => println!("{n} bytes sent"),
    ///         Err(e) if e.kind() == ErrorKind::WouldBlock => {}
    ///         Err(e) => return Err(e),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let event = self.io.registration().readiness(interest).await?;
        Ok(event.ready)
    }

    /// Waits until the socket can send: [`ready`](Self::ready) with [`Interest::WRITABLE`].
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](Self::ready) is.
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await.map(drop)
    }

    /// The polling form of [`writable`](Self::writable).
    ///
    /// Of this and the `poll_send*` methods only the waker of the latest call is kept; any number
    /// of tasks may await [`writable`](Self::writable). Readiness is kept until an attempt to send
    /// meets `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_write_ready(cx).map_ok(drop)
    }

    /// Waits until there is something to receive: [`ready`](Self::ready) with
    /// [`Interest::READABLE`].
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](Self::ready) is.
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await.map(drop)
    }

    /// The polling form of [`readable`](Self::readable).
    ///
    /// Of this and the `poll_recv*` and `poll_peek*` methods only the waker of the latest call is
    /// kept; any number of tasks may await [`readable`](Self::readable). Readiness is kept until an
    /// attempt to receive meets `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_read_ready(cx).map_ok(drop)
    }

    /// Runs `f`, an operation on this socket of the caller's own, if the socket is ready for
    /// `interest`.
    ///
    /// If `f` returns `WouldBlock` the readiness is forgotten until the next event. So it must
    /// return that error only if the *socket* would block, with the direction that `interest`
    /// names, and it must not call other methods of this socket: they might clear the readiness a
    /// second time, after a new event.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the socket is not ready, in which case `f` is not called; otherwise what `f`
    /// returns.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.registration().try_call(interest, f)
    }

    /// Runs `f`, an operation on this socket of the caller's own, whenever the socket is ready for
    /// `interest`, until it returns something other than `WouldBlock`.
    ///
    /// The rules of [`try_io`](Self::try_io) apply to `f`.
    ///
    /// # Errors
    ///
    /// What `f` returns, or an error when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// `f` runs to its end each time; whether dropping the future between two runs loses anything
    /// is up to what `f` keeps.
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.registration().async_call(interest, f).await
    }

    /// Runs `receive` once there is a datagram, or an error queued on the socket: an ICMP "port
    /// unreachable" comes as the latter alone.
    async fn when_received<R>(&self, receive: impl FnMut() -> io::Result<R>) -> io::Result<R> {
        self.io
            .registration()
            .async_io(Interest::READABLE | Interest::ERROR, receive)
            .await
    }
}

impl TryFrom<net::UdpSocket> for UdpSocket {
    type Error = io::Error;

    /// The same as [`UdpSocket::from_std`].
    fn try_from(socket: net::UdpSocket) -> Result<Self, Self::Error> {
        Self::from_std(socket)
    }
}

impl fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.io.fmt(f)
    }
}

impl AsRawFd for UdpSocket {
    fn as_raw_fd(&self) -> RawFd {
        self.io.registration().lend_out();
        self.io.as_raw_fd()
    }
}

impl AsFd for UdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.registration().lend_out();
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl UdpSocket {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }
}
