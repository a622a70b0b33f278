//! A Unix datagram socket.

use crate::io::{Interest, IntoInnerError, PollEvented, ReadBuf, Ready};
use crate::net::unix::SocketAddr;
use crate::sys::socket::{check_socket_for_blocking, recv, recv_from};

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net;
use std::path::Path;
use std::task::{Context, Poll, ready};

cfg_io_util! {
    use crate::sys::socket::{recv_buf, recv_buf_from};
    use bytes::BufMut;
}

/// A Unix datagram socket.
///
/// It may be bound to a path, or have no name. A path outlives the socket, and
/// the process: unlink it before binding to it again, or bind to a path in a
/// fresh temporary directory.
///
/// There is no `split`, because every method takes `&self`: put the socket into
/// an [`Arc`](std::sync::Arc) to share it between tasks.
///
/// A datagram that does not fit the buffer it is received into loses its tail.
///
/// # Examples
///
/// Between names:
///
/// ```
/// use tokio::net::UnixDatagram;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let dir = tempfile::tempdir()?;
/// let tx = UnixDatagram::bind(dir.path().join("tx"))?;
/// let rx = UnixDatagram::bind(dir.path().join("rx"))?;
///
/// tx.send_to(b"hello", dir.path().join("rx")).await?;
///
/// let mut buf = [0; 16];
/// let (n, from) = rx.recv_from(&mut buf).await?;
/// assert_eq!(&buf[..n], b"hello");
/// assert_eq!(from.as_pathname(), Some(dir.path().join("tx").as_path()));
/// # Ok(())
/// # }
/// ```
///
/// Between the ends of a nameless pair:
///
/// ```
/// use tokio::net::UnixDatagram;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (a, b) = UnixDatagram::pair()?;
/// a.send(b"hello").await?;
///
/// let mut buf = [0; 16];
/// let n = b.recv(&mut buf).await?;
/// assert_eq!(&buf[..n], b"hello");
/// # Ok(())
/// # }
/// ```
#[doc(alias = "uds")]
pub struct UnixDatagram {
    io: PollEvented<mio::net::UnixDatagram>,
}

/// Making sockets, and giving them back.
impl UnixDatagram {
    #[track_caller]
    fn new(socket: mio::net::UnixDatagram) -> io::Result<UnixDatagram> {
        let io = PollEvented::new(socket)?;
        Ok(UnixDatagram { io })
    }

    /// For a socket the user configured: reports an error that is pending on it.
    #[track_caller]
    pub(crate) fn from_mio(socket: mio::net::UnixDatagram) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::new(socket)?;
        match socket.io.take_error()? {
            Some(e) => Err(e),
            None => Ok(socket),
        }
    }

    /// Creates a socket bound to `path`.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)` and `bind(2)`; a path that exists already gives
    /// [`AddrInUse`](io::ErrorKind::AddrInUse).
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    #[track_caller]
    pub fn bind<P>(path: P) -> io::Result<UnixDatagram>
    where
        P: AsRef<Path>,
    {
        UnixDatagram::new(mio::net::UnixDatagram::bind(path)?)
    }

    /// Creates two nameless sockets that are connected to each other.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`bind`](UnixDatagram::bind) does.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixDatagram, UnixDatagram)> {
        let (a, b) = mio::net::UnixDatagram::pair()?;
        let (a, b) = (UnixDatagram::new(a)?, UnixDatagram::new(b)?);
        // Nothing has been sent yet: room to send, nothing to receive.
        a.io.registration().assume_ready(Ready::WRITABLE);
        b.io.registration().assume_ready(Ready::WRITABLE);
        Ok((a, b))
    }

    /// Creates a socket without a name. It can send; to be answered it needs a
    /// name.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`bind`](UnixDatagram::bind) does.
    #[track_caller]
    pub fn unbound() -> io::Result<UnixDatagram> {
        UnixDatagram::new(mio::net::UnixDatagram::unbound()?)
    }

    /// Wraps a socket of the standard library.
    ///
    /// The socket must be in non-blocking mode already
    /// ([`set_nonblocking`](net::UnixDatagram::set_nonblocking)); this function
    /// does not set it. With a blocking socket, every operation would block the
    /// thread and everything that runs on it.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, and, in debug
    /// builds, if the socket is in blocking mode.
    #[track_caller]
    pub fn from_std(datagram: net::UnixDatagram) -> io::Result<UnixDatagram> {
        check_socket_for_blocking(&datagram)?;
        let datagram = UnixDatagram::new(mio::net::UnixDatagram::from_std(datagram))?;
        datagram.io.registration().watch_now()?;
        Ok(datagram)
    }

    /// Takes the socket off the runtime and returns it as the standard
    /// library's type. It stays in non-blocking mode.
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had received, and if bytes that were accepted
    /// cannot be sent. The error has the socket, which is as it was: `native::IntoInnerError::find` gets it out.
    pub fn into_std(self) -> io::Result<net::UnixDatagram> {
        Ok(self.take_std()?)
    }

    /// [`into_std`](Self::into_std) with another error.
    pub(crate) fn take_std(self) -> Result<net::UnixDatagram, IntoInnerError<UnixDatagram>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| UnixDatagram { io }))?;
        Ok(io.into())
    }

    /// Connects the socket to `path`: [`send`](UnixDatagram::send) goes there,
    /// and only datagrams from there are received.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::net::UnixDatagram;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let dir = tempfile::tempdir()?;
    /// let rx = UnixDatagram::bind(dir.path().join("rx"))?;
    /// let tx = UnixDatagram::unbound()?;
    /// tx.connect(dir.path().join("rx"))?;
    /// tx.send(b"hello").await?;
    /// assert_eq!(rx.recv(&mut [0; 16]).await?, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        self.io.connect(path)
    }

    /// Shuts the read direction, the write direction or both down. Operations
    /// in that direction, also those that wait already, return at once.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.io.shutdown(how)
    }

    /// The address this socket is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr().map(SocketAddr::from)
    }

    /// The address this socket is connected to.
    ///
    /// # Errors
    ///
    /// [`NotConnected`](io::ErrorKind::NotConnected) if it is not.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr().map(SocketAddr::from)
    }

    /// Takes the pending error of the socket (`SO_ERROR`), if there is one.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.take_error()
    }
}

/// Readiness.
impl UnixDatagram {
    /// Waits until the socket is ready for any of `interest`, and returns what
    /// it is ready for.
    ///
    /// Meant to be followed by [`try_recv`](UnixDatagram::try_recv) or
    /// [`try_send`](UnixDatagram::try_send); one task can send and receive on
    /// the same socket this way.
    ///
    /// Readiness is a hint: the attempt may still fail with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the set may lack what was
    /// asked for. Look at the set, and wait again if necessary.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Once ready, the method keeps returning at once until an
    /// attempt to send or receive ends with `WouldBlock`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let event = self.io.registration().readiness(interest).await?;
        Ok(event.ready)
    }

    /// Waits until the socket is writable: [`ready`](UnixDatagram::ready) with
    /// [`Interest::WRITABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](UnixDatagram::ready).
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await?;
        Ok(())
    }

    /// Waits until the socket is readable: [`ready`](UnixDatagram::ready) with
    /// [`Interest::READABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](UnixDatagram::ready).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io;
    /// use tokio::net::UnixDatagram;
    ///
    /// # async fn doc(socket: UnixDatagram) -> io::Result<()> {
    /// loop {
    ///     socket.readable().await?;
    ///     let mut buf = [0; 1024];
    ///     match socket.try_recv(&mut buf) {
    ///         Ok(n) => println!("received {:?}", &buf[..n]),
    ///         Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
    ///         Err(e) => return Err(e),
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await?;
        Ok(())
    }

    /// Is the socket writable? If not, arranges for the task of `cx` to be
    /// woken when it is.
    ///
    /// Of several calls to this method or to the `poll_send` methods, only the
    /// one made last has its waker woken; the receive direction has a waker of
    /// its own. [`writable`](UnixDatagram::writable) has no such limit.
    ///
    /// # Errors
    ///
    /// Any I/O error except [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_send_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_write_ready(cx).map_ok(drop)
    }

    /// Is the socket readable? If not, arranges for the task of `cx` to be
    /// woken when it is.
    ///
    /// Of several calls to this method or to the `poll_recv` methods, only the
    /// one made last has its waker woken; the send direction has a waker of its
    /// own. [`readable`](UnixDatagram::readable) has no such limit.
    ///
    /// # Errors
    ///
    /// Any I/O error except [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_recv_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_read_ready(cx).map_ok(drop)
    }
}

/// Sending.
impl UnixDatagram {
    /// Sends `buf` as one datagram to the address the socket is connected to.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completed, nothing was
    /// sent.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .registration()
            .async_io(Interest::WRITABLE, || self.io.send(buf))
            .await
    }

    /// Sends `buf` as one datagram to `target`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completed, nothing was
    /// sent.
    pub async fn send_to<P>(&self, buf: &[u8], target: P) -> io::Result<usize>
    where
        P: AsRef<Path>,
    {
        self.io
            .registration()
            .async_io(Interest::WRITABLE, || self.io.send_to(buf, target.as_ref()))
            .await
    }

    /// Like [`send`](UnixDatagram::send), without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room, or if the
    /// runtime has not heard yet that there is.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || self.io.send(buf))
    }

    /// Like [`send_to`](UnixDatagram::send_to), without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), as
    /// [`try_send`](UnixDatagram::try_send).
    pub fn try_send_to<P>(&self, buf: &[u8], target: P) -> io::Result<usize>
    where
        P: AsRef<Path>,
    {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || self.io.send_to(buf, target))
    }

    /// Tries to [`send`](UnixDatagram::send); if there is no room, arranges for
    /// the task of `cx` to be woken when there is. Of several calls in the send
    /// direction only the one made last has its waker woken.
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io
            .registration()
            .poll_write_io(cx, || self.io.send(buf))
    }

    /// Tries to [`send_to`](UnixDatagram::send_to) `target`; if there is no
    /// room, arranges for the task of `cx` to be woken when there is. Of
    /// several calls in the send direction only the one made last has its waker
    /// woken.
    pub fn poll_send_to<P>(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: P,
    ) -> Poll<io::Result<usize>>
    where
        P: AsRef<Path>,
    {
        self.io
            .registration()
            .poll_write_io(cx, || self.io.send_to(buf, target.as_ref()))
    }
}

/// Receiving.
impl UnixDatagram {
    /// Receives a datagram into `buf` and returns its length.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completed, no datagram
    /// was taken from the socket.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .async_io(Interest::READABLE, || self.io.recv(buf))
            .await
    }

    /// Receives a datagram into `buf` and returns its length and its sender.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if the future is dropped before it completed, no datagram
    /// was taken from the socket.
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, addr) = self
            .io
            .registration()
            .async_io(Interest::READABLE, || self.io.recv_from(buf))
            .await?;
        Ok((n, SocketAddr::from(addr)))
    }

    /// Like [`recv`](UnixDatagram::recv), without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no datagram, or if
    /// the runtime has not heard yet that there is.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.recv(buf))
    }

    /// Like [`recv_from`](UnixDatagram::recv_from), without waiting.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), as
    /// [`try_recv`](UnixDatagram::try_recv).
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        let (n, addr) = self
            .io
            .registration()
            .try_io(Interest::READABLE, || self.io.recv_from(buf))?;
        Ok((n, SocketAddr::from(addr)))
    }

    /// Tries to [`recv`](UnixDatagram::recv) into `buf`; if there is no
    /// datagram, arranges for the task of `cx` to be woken when there is. Of
    /// several calls in the receive direction only the one made last has its
    /// waker woken.
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io
            .registration()
            .poll_read_io(cx, || self.io.recv_to(buf, |buf| recv(&*self.io, buf)))
            .map_ok(drop)
    }

    /// Tries to [`recv_from`](UnixDatagram::recv_from) into `buf`, and returns
    /// the sender; if there is no datagram, arranges for the task of `cx` to be
    /// woken when there is. Of several calls in the receive direction only the
    /// one made last has its waker woken.
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let (_, addr) = ready!(
            self.io
                .registration()
                .poll_read_io(cx, || self.io.recv_to_from(buf, |buf| recv_from(&*self.io, buf)))
        )?;
        Poll::Ready(SocketAddr::from_received(&addr))
    }

    cfg_io_util! {
        /// Like [`recv`](UnixDatagram::recv), into the spare room of `buf`,
        /// which is advanced by the length of the datagram.
        ///
        /// # Cancel safety
        ///
        /// Cancel safe: if the future is dropped before it completed, no
        /// datagram was taken from the socket.
        pub async fn recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
            self.io
                .registration()
                .async_io(Interest::READABLE, || self.io.recv_buf(buf, |buf| recv_buf(&*self.io, buf)))
                .await
        }

        /// Like [`recv_from`](UnixDatagram::recv_from), into the spare room of
        /// `buf`, which is advanced by the length of the datagram.
        ///
        /// # Cancel safety
        ///
        /// Cancel safe: if the future is dropped before it completed, no
        /// datagram was taken from the socket.
        pub async fn recv_buf_from<B: BufMut>(
            &self,
            buf: &mut B,
        ) -> io::Result<(usize, SocketAddr)> {
            let (n, addr) = self
                .io
                .registration()
                .async_io(Interest::READABLE, || self.io.recv_buf_from(buf, |buf| recv_buf_from(&*self.io, buf)))
                .await?;
            Ok((n, SocketAddr::from_received(&addr)?))
        }

        /// Like [`try_recv`](UnixDatagram::try_recv), into the spare room of
        /// `buf`, which is advanced by the length of the datagram.
        pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
            self.io
                .registration()
                .try_io(Interest::READABLE, || self.io.recv_buf(buf, |buf| recv_buf(&*self.io, buf)))
        }

        /// Like [`try_recv_from`](UnixDatagram::try_recv_from), into the spare
        /// room of `buf`, which is advanced by the length of the datagram.
        pub fn try_recv_buf_from<B: BufMut>(
            &self,
            buf: &mut B,
        ) -> io::Result<(usize, SocketAddr)> {
            let (n, addr) = self
                .io
                .registration()
                .try_io(Interest::READABLE, || self.io.recv_buf_from(buf, |buf| recv_buf_from(&*self.io, buf)))?;
            Ok((n, SocketAddr::from_received(&addr)?))
        }
    }
}

/// Operations of the caller's own.
impl UnixDatagram {
    /// Runs an I/O operation of the caller's, if the socket is ready for it.
    ///
    /// `f` makes the system call itself. If it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), the socket no longer counts
    /// as ready for `interest`. If the socket is not ready in the first place,
    /// `f` is not called and `WouldBlock` is returned.
    ///
    /// Therefore `f` must return `WouldBlock` only if a system call on this
    /// very socket said so, and must not use the methods of this type: either
    /// would confuse the readiness, and tasks could wait for ever. `interest`
    /// should be a single one, that of the operation; with a combination this
    /// method may panic or tasks may wait for ever.
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io
            .registration()
            .try_call(interest, || self.io.try_io(f))
    }

    /// Runs an I/O operation of the caller's as soon as the socket is ready for
    /// it, and again for as long as it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// The rules for `f` and `interest` are those of
    /// [`try_io`](UnixDatagram::try_io).
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io
            .registration()
            .async_call(interest, || self.io.try_io(&mut f))
            .await
    }
}

impl TryFrom<net::UnixDatagram> for UnixDatagram {
    type Error = io::Error;

    /// Same as [`UnixDatagram::from_std`].
    fn try_from(datagram: net::UnixDatagram) -> io::Result<UnixDatagram> {
        UnixDatagram::from_std(datagram)
    }
}

impl fmt::Debug for UnixDatagram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self.io).fmt(f)
    }
}

impl AsRawFd for UnixDatagram {
    fn as_raw_fd(&self) -> RawFd {
        self.io.registration().lend_out();
        self.io.as_raw_fd()
    }
}

impl AsFd for UnixDatagram {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.registration().lend_out();
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl UnixDatagram {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }
}
