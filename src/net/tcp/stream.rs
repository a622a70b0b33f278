//! A TCP connection.

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::io::{AsyncRead, AsyncWrite, Interest, IntoInnerError, PollEvented, ReadBuf, Ready};
use crate::net::addr::{ToSocketAddrs, no_address, to_socket_addrs};
use crate::net::tcp::split::{ReadHalf, WriteHalf, split};
use crate::net::tcp::split_owned::{OwnedReadHalf, OwnedWriteHalf, split_owned};
use crate::sys::socket::{self, check_socket_for_blocking};

mod options;
#[cfg(feature = "io-util")]
mod read_buf;

/// A TCP connection between this socket and a peer.
///
/// Made by [`connect`](Self::connect) or by
/// [`TcpListener::accept`](crate::net::TcpListener::accept). Bytes move with the methods of
/// [`AsyncReadExt`](crate::io::AsyncReadExt) and [`AsyncWriteExt`](crate::io::AsyncWriteExt), or
/// without waiting through [`try_read`](Self::try_read) and [`try_write`](Self::try_write). To read
/// and write at the same time, [`split`](Self::split) the stream within a task or
/// [`into_split`](Self::into_split) it over two.
///
/// Dropping the stream closes the connection. [`shutdown`](crate::io::AsyncWriteExt::shutdown) ends
/// only the writing side: the peer reads the end of the stream and may still answer.
///
/// # Examples
///
/// ```no_run
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::TcpStream;
///
/// # async fn example() -> std::io::Result<()> {
/// let mut stream = TcpStream::connect("example.com:7").await?;
/// stream.write_all(b"echo me").await?;
/// stream.shutdown().await?;
///
/// let mut answer = Vec::new();
/// stream.read_to_end(&mut answer).await?;
/// # Ok(())
/// # }
/// ```
pub struct TcpStream {
    io: PollEvented<mio::net::TcpStream>,
}

impl TcpStream {
    /// Opens a connection to `addr`.
    ///
    /// If `addr` yields several addresses they are tried one after the other until a connection is
    /// established. To set options or a local address first, see
    /// [`TcpSocket`](crate::net::TcpSocket).
    ///
    /// There is no timeout but the kernel's; use [`timeout`](crate::time::timeout()) for a shorter
    /// one. If the future is dropped before it is done, the socket is closed and the attempt given
    /// up.
    ///
    /// # Errors
    ///
    /// The error of the last address tried, that of the name resolution, or `InvalidInput` if there
    /// was no address.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::net::{TcpListener, TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let stream = TcpStream::connect(listener.local_addr()?).await?;
    /// assert_eq!(stream.peer_addr()?, listener.local_addr()?);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect<A: ToSocketAddrs>(addr: A) -> io::Result<TcpStream> {
        let addrs = to_socket_addrs(addr).await?;
        let mut failure = None;
        for addr in addrs {
            match TcpStream::connect_addr(addr).await {
                Ok(stream) => return Ok(stream),
                Err(e) => failure = Some(e),
            }
        }
        Err(failure.unwrap_or_else(no_address))
    }

    async fn connect_addr(addr: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect_mio(mio::net::TcpStream::connect(addr)?).await
    }

    /// Waits until `started`, on which `connect(2)` has been called, is connected.
    ///
    /// 1. The socket is registered; from here on every way out, a dropped future included, ends in
    ///    the drop of its `PollEvented`.
    /// 2. The kernel reports it writable when the attempt is decided, either way.
    /// 3. `SO_ERROR` tells which.
    pub(crate) async fn connect_mio(started: mio::net::TcpStream) -> io::Result<TcpStream> {
        let stream = TcpStream::new(started)?;
        poll_fn(|cx| stream.io.registration().poll_write_ready(cx)).await?;
        match stream.io.take_error()? {
            Some(refused) => Err(refused),
            None => Ok(stream),
        }
    }

    pub(crate) fn new(connected: mio::net::TcpStream) -> io::Result<TcpStream> {
        let io = PollEvented::new_stream(connected)?;
        Ok(TcpStream { io })
    }

    /// Like [`new`](Self::new) for a socket fresh from `accept`: there is room to write, and often
    /// there is something to read already, so the first attempt of either needs no event.
    pub(crate) fn new_accepted(connected: mio::net::TcpStream) -> io::Result<TcpStream> {
        let stream = TcpStream::new(connected)?;
        stream
            .io
            .registration()
            .assume_ready(Ready::READABLE | Ready::WRITABLE);
        Ok(stream)
    }

    /// Takes over a connection of the standard library.
    ///
    /// The socket must be in non-blocking mode (see
    /// [`set_nonblocking`](std::net::TcpStream::set_nonblocking)); otherwise reading and writing
    /// would block the whole thread.
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
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// let std_stream = std::net::TcpStream::connect("127.0.0.1:7")?;
    /// std_stream.set_nonblocking(true)?;
    /// let stream = tokio::net::TcpStream::from_std(std_stream)?;
    /// # drop(stream);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn from_std(stream: std::net::TcpStream) -> io::Result<TcpStream> {
        check_socket_for_blocking(&stream)?;
        let io = PollEvented::new_stream(mio::net::TcpStream::from_std(stream))?;
        io.registration().watch_now()?;
        Ok(TcpStream { io })
    }

    /// Takes the connection out of the runtime and returns it as one of the standard library.
    ///
    /// It stays in non-blocking mode; change that with
    /// [`set_nonblocking`](std::net::TcpStream::set_nonblocking).
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had received, and if bytes that were accepted
    /// cannot be sent. The error has the connection, which is as it was: `native::IntoInnerError::find` gets it out.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// let stream = tokio::net::TcpStream::connect("127.0.0.1:7").await?;
    /// let std_stream = stream.into_std()?;
    /// std_stream.set_nonblocking(false)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<std::net::TcpStream> {
        Ok(self.take_std()?)
    }

    /// [`into_std`](Self::into_std) with another error.
    pub(crate) fn take_std(self) -> Result<std::net::TcpStream, IntoInnerError<TcpStream>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| TcpStream { io }))?;
        Ok(io.into())
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`; `NotConnected` once the connection is gone.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr()
    }

    /// Reads and clears `SO_ERROR`, the error that happened on the socket since the last call.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.take_error()
    }

    /// The polling form of [`peek`](Self::peek): fills `buf` with bytes that stay in the socket,
    /// and returns how many they are.
    ///
    /// If there is nothing to read, the task of `cx` is woken when there may be. Of
    /// [`poll_read`](AsyncRead::poll_read), [`poll_read_ready`](Self::poll_read_ready) and this
    /// method only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    pub fn poll_peek(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        self.io
            .registration()
            .poll_read_io(cx, || self.io.peek_to(buf, |buf| socket::peek(&*self.io, buf)))
    }

    /// Copies bytes that have arrived into `buf` without taking them out of the socket, waiting for
    /// the first.
    ///
    /// The next read returns the same bytes. `Ok(0)` means that the peer has ended the stream, or
    /// that `buf` is empty.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the socket anyway.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use tokio::io::AsyncReadExt;
    ///
    /// # async fn example(mut stream: tokio::net::TcpStream) -> std::io::Result<()> {
    /// let mut first = [0; 1];
    /// stream.peek(&mut first).await?;
    /// assert_eq!(stream.read_u8().await?, first[0]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .async_io(Interest::READABLE, || self.io.peek(buf))
            .await
    }

    /// Waits until the socket has one of the states in `interest`, and returns those it has.
    ///
    /// Goes with the `try_` methods: together they read and write on one task without splitting the
    /// stream. The result is a hint. The attempt may still end in `WouldBlock`, and then one waits
    /// again; the set may even be empty.
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
    /// # async fn example(stream: tokio::net::TcpStream) -> std::io::Result<()> {
    /// let mut unsent = &b"question"[..];
    /// loop {
    ///     let interest = match unsent {
    ///         [] => Interest::READABLE,
    ///         _ => Interest::READABLE | Interest::WRITABLE,
    ///     };
    ///     let ready = stream.ready(interest).await?;
    ///     if ready.is_writable() && !unsent.is_empty() {
    ///         match stream.try_write(unsent) {
    ///             Ok(n) => unsent = &unsent[n..],
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => {}
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    ///     if ready.is_readable() {
    ///         match stream.try_read(&mut [0; 1024]) {
    ///             Ok(0) => return Ok(()),
    ///             Ok(n) => println!("{n} bytes"),
    ///             Err(e) if e.kind() == ErrorKind::WouldBlock => {}
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let event = self.io.registration().readiness(interest).await?;
        Ok(event.ready)
    }

    /// Waits until the stream can be read: [`ready`](Self::ready) with [`Interest::READABLE`].
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
    /// Only the waker of the latest call is kept, shared with [`poll_read`](AsyncRead::poll_read)
    /// and [`poll_peek`](Self::poll_peek); any number of tasks may await
    /// [`readable`](Self::readable). Readiness is kept until an attempt to read meets `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_read_ready(cx).map_ok(drop)
    }

    /// Reads what has arrived into `buf`, without waiting.
    ///
    /// `Ok(0)` means that the peer has ended the stream, or that `buf` is empty.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing has arrived; wait with [`readable`](Self::readable). Otherwise those
    /// of `recv(2)`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(stream: tokio::net::TcpStream) -> std::io::Result<()> {
    /// let mut buf = [0; 4096];
    /// let n = loop {
    ///     stream.readable().await?;
    ///     match stream.try_read(&mut buf) {
    ///         Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => continue,
    ///         done => break done?,
    ///     }
    /// };
    /// println!("{:?}", &buf[..n]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.read(buf))
    }

    /// [`try_read`](Self::try_read) into several buffers, filled one after the other with a single
    /// system call.
    ///
    /// # Errors
    ///
    /// As for [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.read_vectored(bufs))
    }

    /// Waits until the stream can be written: [`ready`](Self::ready) with [`Interest::WRITABLE`].
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
    /// Only the waker of the latest call is kept, shared with
    /// [`poll_write`](AsyncWrite::poll_write); any number of tasks may await
    /// [`writable`](Self::writable). Readiness is kept until an attempt to write meets
    /// `WouldBlock`.
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_write_ready(cx).map_ok(drop)
    }

    /// Writes as much of `buf` as the socket takes, without waiting, and returns how much that was.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the socket takes nothing; wait with [`writable`](Self::writable). Otherwise
    /// those of `send(2)`.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if let Some(done) = self.io.try_write_behind(&[io::IoSlice::new(buf)]) {
            return done;
        }
        self.io.try_write_plain(|| (&*self.io).write(buf))
    }

    /// [`try_write`](Self::try_write) from several buffers, one after the other with a single
    /// system call.
    ///
    /// # Errors
    ///
    /// As for [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if let Some(done) = self.io.try_write_behind(bufs) {
            return done;
        }
        self.io.try_write_plain(|| (&*self.io).write_vectored(bufs))
    }

    /// Runs `f`, an operation on this socket of the caller's own, if the stream is ready for
    /// `interest`.
    ///
    /// If `f` returns `WouldBlock` the readiness is forgotten until the next event. So it must
    /// return that error only if the *socket* would block, with the direction that `interest`
    /// names, and it must not call other methods of this stream: they might clear the readiness a
    /// second time, after a new event.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the stream is not ready, in which case `f` is not called; otherwise what `f`
    /// returns.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use socket2::SockRef;
    /// use tokio::io::Interest;
    ///
    /// # fn example(stream: &tokio::net::TcpStream) -> std::io::Result<usize> {
    /// stream.try_io(Interest::WRITABLE, || SockRef::from(stream).send_out_of_band(b"!"))
    /// # }
    /// ```
    pub fn try_io<R>(
        &self,
        interest: Interest,
        f: impl FnOnce() -> io::Result<R>,
    ) -> io::Result<R> {
        self.io.send_first(interest)?;
        self.io.registration().try_call(interest, f)
    }

    /// Runs `f`, an operation on this socket of the caller's own, whenever the stream is ready for
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
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let f = || {
            self.io.send_first(interest)?;
            f()
        };
        self.io.registration().async_call(interest, f).await
    }

    /// `shutdown(2)`, except that a connection the peer has reset in the meantime counts as shut
    /// down: whether the kernel noticed before or after this call is a race no caller can win.
    pub(super) fn shutdown_std(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read && self.io.shut_later() {
            return self.io.check_writes();
        }
        match self.io.shutdown(how) {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            done => done,
        }
    }

    /// Borrows the stream as a half to read from and a half to write to.
    ///
    /// Costs nothing, but both halves must stay in the task that has the stream; see
    /// [`into_split`](Self::into_split) for halves of their own.
    // The lifetime is spelled out so that the documentation shows that this is a borrow.
    #[allow(clippy::needless_lifetimes)]
    pub fn split<'a>(&'a mut self) -> (ReadHalf<'a>, WriteHalf<'a>) {
        split(self)
    }

    /// Divides the stream into a half to read from and a half to write to, which different tasks
    /// may own.
    ///
    /// The halves share the stream through an [`Arc`](std::sync::Arc);
    /// [`reunite`](OwnedReadHalf::reunite) puts them together again. Dropping the write half shuts
    /// down the writing side.
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split_owned(self)
    }

    // The `&self` forms of the I/O traits, for the halves.

    pub(super) fn poll_flush_priv(&self) -> Poll<io::Result<()>> {
        Poll::Ready(self.io.check_writes())
    }

    pub(super) fn poll_shutdown_priv(&self) -> Poll<io::Result<()>> {
        self.io.check_writes()?;
        Poll::Ready(self.shutdown_std(Shutdown::Write))
    }

    pub(crate) fn poll_read_priv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io.poll_recv(cx, buf)
    }

    pub(super) fn poll_write_priv(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, buf)
    }

    pub(super) fn poll_write_vectored_priv(
        &self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write_vectored(cx, bufs)
    }
}

impl TryFrom<std::net::TcpStream> for TcpStream {
    type Error = io::Error;

    /// The same as [`TcpStream::from_std`].
    fn try_from(stream: std::net::TcpStream) -> Result<Self, Self::Error> {
        Self::from_std(stream)
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_priv(cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_priv(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored_priv(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Waits for nothing: what was written is with the kernel already, or goes there by itself (on the
    /// native lane).
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_priv()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown_priv()
    }
}

impl fmt::Debug for TcpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self.io).fmt(f)
    }
}

impl AsRef<Self> for TcpStream {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRawFd for TcpStream {
    fn as_raw_fd(&self) -> RawFd {
        self.io.push_out();
        self.io.registration().lend_out();
        self.io.as_raw_fd()
    }
}

impl AsFd for TcpStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.push_out();
        self.io.registration().lend_out();
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl TcpStream {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }

    pub(crate) fn evented(&self) -> &PollEvented<mio::net::TcpStream> {
        &self.io
    }
}
