//! Accepting connections on a Unix socket.

use crate::io::{Interest, IntoInnerError, PollEvented};
use crate::net::UnixStream;
use crate::net::unix::SocketAddr;
use crate::sys::socket::check_socket_for_blocking;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net;
use std::path::Path;
use std::task::{Context, Poll, ready};

/// A Unix stream socket that accepts connections.
///
/// [`UnixListenerStream`] of the tokio-stream crate turns one into a `Stream`.
///
/// # Errors
///
/// An error from [`accept`] does not mean that the listener is dead: the
/// process may be out of file descriptors for a moment, or the peer may have
/// given up while it was queued. A server that should outlive such moments
/// logs the error and accepts again.
///
/// # Examples
///
/// ```no_run
/// use tokio::net::UnixListener;
///
/// # async fn doc() -> std::io::Result<()> {
/// let listener = UnixListener::bind("/tmp/server.sock")?;
/// loop {
///     match listener.accept().await {
///         Ok((_stream, addr)) => println!("connection from {addr:?}"),
///         Err(e) => eprintln!("accept failed: {e}"),
///     }
/// }
/// # }
/// ```
///
/// [`accept`]: UnixListener::accept
/// [`UnixListenerStream`]: https://docs.rs/tokio-stream/0.1/tokio_stream/wrappers/struct.UnixListenerStream.html
#[doc(alias = "uds")]
pub struct UnixListener {
    io: PollEvented<mio::net::UnixListener>,
}

impl UnixListener {
    #[track_caller]
    pub(crate) fn new(listener: mio::net::UnixListener) -> io::Result<UnixListener> {
        let io = PollEvented::new(listener)?;
        Ok(UnixListener { io })
    }

    /// Creates a listener bound to `path`. A path that starts with a zero byte
    /// names a socket in Linux's abstract namespace.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)`, `bind(2)` and `listen(2)`; a path that exists
    /// already gives [`AddrInUse`](io::ErrorKind::AddrInUse).
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    #[track_caller]
    pub fn bind<P>(path: P) -> io::Result<UnixListener>
    where
        P: AsRef<Path>,
    {
        UnixListener::bind_addr(&SocketAddr::from_path(path.as_ref())?)
    }

    /// Creates a listener bound to `socket_addr`.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`bind`](UnixListener::bind) does.
    #[track_caller]
    pub fn bind_addr(socket_addr: &SocketAddr) -> io::Result<UnixListener> {
        UnixListener::new(mio::net::UnixListener::bind_addr(&socket_addr.0)?)
    }

    /// Wraps a listener of the standard library.
    ///
    /// The listener must be in non-blocking mode already
    /// ([`set_nonblocking`](net::UnixListener::set_nonblocking)); this function
    /// does not set it. With a blocking listener, `accept` would block the
    /// thread and everything that runs on it.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, and, in debug
    /// builds, if the listener is in blocking mode.
    #[track_caller]
    pub fn from_std(listener: net::UnixListener) -> io::Result<UnixListener> {
        check_socket_for_blocking(&listener)?;
        let listener = UnixListener::new(mio::net::UnixListener::from_std(listener))?;
        listener.io.registration().watch_now()?;
        Ok(listener)
    }

    /// Takes the listener off the runtime and returns it as the standard
    /// library's type. It stays in non-blocking mode.
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had received, and if bytes that were accepted
    /// cannot be sent. The error has the socket, which is as it was: `native::IntoInnerError::find` gets it out.
    pub fn into_std(self) -> io::Result<net::UnixListener> {
        Ok(self.take_std()?)
    }

    /// [`into_std`](Self::into_std) with another error.
    pub(crate) fn take_std(self) -> Result<net::UnixListener, IntoInnerError<UnixListener>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| UnixListener { io }))?;
        Ok(io.into())
    }

    /// The address this listener is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr().map(SocketAddr)
    }

    /// Takes the pending error of the socket (`SO_ERROR`), if there is one.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.take_error()
    }

    /// Waits for a connection and accepts it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completed, for example
    /// because another branch of [`select!`](crate::select) did, no connection
    /// was accepted.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, addr) = self
            .io
            .registration()
            .async_io(Interest::READABLE, || self.io.accept())
            .await?;
        Ok((UnixStream::new_accepted(stream)?, SocketAddr(addr)))
    }

    /// Tries to accept a connection; if there is none, arranges for the task of
    /// `cx` to be woken when one arrives.
    ///
    /// Of several calls, only the one made last has its waker woken.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, SocketAddr)>> {
        let (stream, addr) = ready!(self.io.registration().poll_read_io(cx, || self.io.accept()))?;
        Poll::Ready(UnixStream::new_accepted(stream).map(|stream| (stream, SocketAddr(addr))))
    }
}

impl TryFrom<net::UnixListener> for UnixListener {
    type Error = io::Error;

    /// Same as [`UnixListener::from_std`].
    fn try_from(listener: net::UnixListener) -> io::Result<UnixListener> {
        UnixListener::from_std(listener)
    }
}

impl fmt::Debug for UnixListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self.io).fmt(f)
    }
}

impl AsRawFd for UnixListener {
    fn as_raw_fd(&self) -> RawFd {
        self.io.registration().lend_out();
        self.io.as_raw_fd()
    }
}

impl AsFd for UnixListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.registration().lend_out();
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl UnixListener {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }
}
