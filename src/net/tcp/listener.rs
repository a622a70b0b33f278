//! A listening TCP socket.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::task::{Context, Poll, ready};

use crate::io::{Interest, IntoInnerError, PollEvented};
use crate::net::addr::{ToSocketAddrs, first_success, to_socket_addrs};
use crate::net::tcp::TcpStream;
use crate::sys::socket::check_socket_for_blocking;

/// A TCP socket that accepts connections.
///
/// [`bind`](Self::bind) one, then [`accept`](Self::accept) in a loop. Dropping it closes the port
/// at once; connections already accepted live on.
///
/// # When the process runs out of descriptors
///
/// With `EMFILE` or `ENFILE` the kernel leaves the connection in the queue, and *every* call of
/// `accept` fails until a descriptor is free. A loop that merely logs the error spins, so let it
/// pause for a moment.
///
/// # Examples
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let addr = listener.local_addr()?;
///
/// let server = tokio::spawn(async move {
///     let (mut stream, _peer) = listener.accept().await?;
///     stream.write_all(b"welcome").await
/// });
///
/// let mut greeting = String::new();
/// TcpStream::connect(addr).await?.read_to_string(&mut greeting).await?;
/// server.await??;
/// assert_eq!(greeting, "welcome");
/// # Ok(())
/// # }
/// ```
pub struct TcpListener {
    io: PollEvented<mio::net::TcpListener>,
}

impl TcpListener {
    /// Creates a socket that listens on `addr`.
    ///
    /// If `addr` yields several addresses they are tried in turn, and the first that can be bound
    /// is taken. Port 0 lets the system choose one; [`local_addr`](Self::local_addr) tells which.
    /// `SO_REUSEADDR` is set, so that a server can be restarted while connections of its
    /// predecessor are in `TIME_WAIT`. For other options, or another backlog, see
    /// [`TcpSocket`](crate::net::TcpSocket).
    ///
    /// # Errors
    ///
    /// The error of the last address tried, that of the name resolution, or `InvalidInput` if there
    /// was no address.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("localhost:0").await?;
    /// # drop(listener);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn bind<A: ToSocketAddrs>(addr: A) -> io::Result<TcpListener> {
        let addrs = to_socket_addrs(addr).await?;
        first_success(addrs, |addr| {
            TcpListener::new(mio::net::TcpListener::bind(addr)?)
        })
    }

    /// Waits for a connection and returns it together with the peer's address.
    ///
    /// # Errors
    ///
    /// Those of `accept(2)`. Some of them (`ConnectionAborted`, for instance) concern a single
    /// connection, and the listener stays usable after any of them.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this is dropped in a `select!` because another branch won, no connection has
    /// been accepted and none is lost.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn serve(listener: tokio::net::TcpListener) {
    /// loop {
    ///     match listener.accept().await {
    ///         Ok((stream, peer)) => println!("{peer}: {stream:?}"),
    ///         Err(e) => {
    ///             eprintln!("accept: {e}");
    ///             tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, peer) = self
            .io
            .registration()
            .async_io(Interest::READABLE, || self.io.accept())
            .await?;
        Ok((TcpStream::new_accepted(stream)?, peer))
    }

    /// The polling form of [`accept`](Self::accept).
    ///
    /// If nothing is waiting, the task of `cx` is woken when something may be. Only the waker of
    /// the latest call is kept, so several tasks that accept from one listener must use
    /// [`accept`](Self::accept).
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = self.io.registration().poll_read_io(cx, || self.io.accept());
        let (stream, peer) = ready!(accepted)?;
        Poll::Ready(Ok((TcpStream::new_accepted(stream)?, peer)))
    }

    /// Takes over a listener of the standard library.
    ///
    /// The socket must be in non-blocking mode (see
    /// [`set_nonblocking`](net::TcpListener::set_nonblocking)); otherwise `accept` would block the
    /// whole thread.
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
    /// let std_listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    /// std_listener.set_nonblocking(true)?;
    /// let listener = tokio::net::TcpListener::from_std(std_listener)?;
    /// # drop(listener);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn from_std(listener: net::TcpListener) -> io::Result<TcpListener> {
        check_socket_for_blocking(&listener)?;
        let listener = TcpListener::new(mio::net::TcpListener::from_std(listener))?;
        listener.io.registration().watch_now()?;
        Ok(listener)
    }

    /// Takes the socket out of the runtime and returns it as one of the standard library.
    ///
    /// It stays in non-blocking mode; change that with
    /// [`set_nonblocking`](net::TcpListener::set_nonblocking).
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had received, and if bytes that were accepted
    /// cannot be sent. The error has the listener, which is as it was: `native::IntoInnerError::find` gets it out.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let std_listener = listener.into_std()?;
    /// std_listener.set_nonblocking(false)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::TcpListener> {
        Ok(self.take_std()?)
    }

    /// [`into_std`](Self::into_std) with another error.
    pub(crate) fn take_std(self) -> Result<net::TcpListener, IntoInnerError<TcpListener>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| TcpListener { io }))?;
        Ok(io.into())
    }

    #[track_caller]
    pub(crate) fn new(listener: mio::net::TcpListener) -> io::Result<TcpListener> {
        Ok(TcpListener {
            io: PollEvented::new(listener)?,
        })
    }

    /// The address this socket listens on.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// assert_ne!(listener.local_addr()?.port(), 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Reads the `IP_TTL` option; see [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.ttl()
    }

    /// Sets the `IP_TTL` option: the number of hops a packet of this socket may take.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// listener.set_ttl(64)?;
    /// assert_eq!(listener.ttl()?, 64);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.set_ttl(ttl)
    }
}

impl TryFrom<net::TcpListener> for TcpListener {
    type Error = io::Error;

    /// The same as [`TcpListener::from_std`].
    fn try_from(listener: net::TcpListener) -> Result<Self, Self::Error> {
        Self::from_std(listener)
    }
}

impl fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self.io).fmt(f)
    }
}

impl AsRawFd for TcpListener {
    fn as_raw_fd(&self) -> RawFd {
        self.io.registration().lend_out();
        self.io.as_raw_fd()
    }
}

impl AsFd for TcpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.registration().lend_out();
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl TcpListener {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }
}
