//! A connected Unix stream socket.

use crate::io::{AsyncRead, AsyncWrite, Interest, IntoInnerError, PollEvented, ReadBuf, Ready};
use crate::net::unix::split::split;
use crate::net::unix::split_owned::split_owned;
use crate::net::unix::ucred::get_peer_cred;
use crate::net::unix::{OwnedReadHalf, OwnedWriteHalf, ReadHalf, SocketAddr, UCred, WriteHalf};
use crate::sys::socket::check_socket_for_blocking;

use std::fmt;
use std::future::poll_fn;
use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

cfg_io_util! {
    use crate::sys::socket::recv_buf;
    use bytes::BufMut;
}

/// A connected Unix stream socket.
///
/// One comes from [`UnixStream::connect`], from [`UnixListener::accept`], or,
/// without a name, from [`UnixStream::pair`].
///
/// [`shutdown()`] ends the write direction: the peer reads what is still
/// underway and then gets reads of length 0. The read direction stays open.
///
/// # Examples
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::UnixStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut a, mut b) = UnixStream::pair()?;
/// a.write_all(b"ping").await?;
/// a.shutdown().await?;
///
/// let mut received = Vec::new();
/// b.read_to_end(&mut received).await?;
/// assert_eq!(received, b"ping");
/// # Ok(())
/// # }
/// ```
///
/// [`shutdown()`]: fn@crate::io::AsyncWriteExt::shutdown
/// [`UnixListener::accept`]: crate::net::UnixListener::accept
#[doc(alias = "uds")]
pub struct UnixStream {
    io: PollEvented<mio::net::UnixStream>,
}

/// Making streams, and giving them back.
impl UnixStream {
    #[track_caller]
    pub(crate) fn new(stream: mio::net::UnixStream) -> io::Result<UnixStream> {
        let io = PollEvented::new_stream(stream)?;
        Ok(UnixStream { io })
    }

    /// For a socket fresh from `accept`: it is writable, and usually the peer's
    /// first bytes are there too. If not, one `WouldBlock` corrects the guess.
    pub(crate) fn new_accepted(stream: mio::net::UnixStream) -> io::Result<UnixStream> {
        let stream = UnixStream::new(stream)?;
        stream
            .io
            .registration()
            .assume_ready(Ready::READABLE | Ready::WRITABLE);
        Ok(stream)
    }

    /// Waits until a connection that has been started is made, or has failed:
    /// either makes the socket writable, and `SO_ERROR` tells which it was.
    pub(crate) async fn connect_mio(stream: mio::net::UnixStream) -> io::Result<UnixStream> {
        let stream = UnixStream::new(stream)?;
        poll_fn(|cx| stream.io.registration().poll_write_ready(cx)).await?;
        match stream.io.take_error()? {
            Some(e) => Err(e),
            None => Ok(stream),
        }
    }

    /// Connects to the listener bound to `path`. A path that starts with a zero
    /// byte names a socket in Linux's abstract namespace.
    ///
    /// # Errors
    ///
    /// Those of `socket(2)` and `connect(2)`. A listener whose backlog is full
    /// gives [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    pub async fn connect<P>(path: P) -> io::Result<UnixStream>
    where
        P: AsRef<Path>,
    {
        let addr = SocketAddr::from_path(path.as_ref())?;
        UnixStream::connect_addr(&addr).await
    }

    /// Connects to the listener bound to `socket_addr`.
    ///
    /// # Errors and panics
    ///
    /// As [`connect`](UnixStream::connect).
    pub async fn connect_addr(socket_addr: &SocketAddr) -> io::Result<UnixStream> {
        let stream = mio::net::UnixStream::connect_addr(&socket_addr.0)?;
        UnixStream::connect_mio(stream).await
    }

    /// Creates two nameless sockets that are connected to each other.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`connect`](UnixStream::connect) does.
    #[track_caller]
    pub fn pair() -> io::Result<(UnixStream, UnixStream)> {
        let (a, b) = mio::net::UnixStream::pair()?;
        let (a, b) = (UnixStream::new(a)?, UnixStream::new(b)?);
        // Nothing has been written yet: room to write, nothing to read.
        a.io.registration().assume_ready(Ready::WRITABLE);
        b.io.registration().assume_ready(Ready::WRITABLE);
        Ok((a, b))
    }

    /// Wraps a stream of the standard library.
    ///
    /// The stream must be in non-blocking mode already
    /// ([`set_nonblocking`](net::UnixStream::set_nonblocking)); this function
    /// does not set it. With a blocking stream, every operation would block the
    /// thread and everything that runs on it.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, and, in debug
    /// builds, if the stream is in blocking mode.
    #[track_caller]
    pub fn from_std(stream: net::UnixStream) -> io::Result<UnixStream> {
        check_socket_for_blocking(&stream)?;
        let stream = UnixStream::new(mio::net::UnixStream::from_std(stream))?;
        stream.io.registration().watch_now()?;
        Ok(stream)
    }

    /// Takes the stream off the runtime and returns it as the standard
    /// library's type. It stays in non-blocking mode.
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had received, and if bytes that were accepted
    /// cannot be sent. The error has the socket, which is as it was: `native::IntoInnerError::find` gets it out.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    /// use tokio::net::UnixStream;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let (stream, _peer) = UnixStream::pair()?;
    /// let mut stream = stream.into_std()?;
    /// stream.set_nonblocking(false)?;
    /// stream.write_all(b"this call may block")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_std(self) -> io::Result<net::UnixStream> {
        Ok(self.take_std()?)
    }

    /// [`into_std`](Self::into_std) with another error.
    pub(crate) fn take_std(self) -> Result<net::UnixStream, IntoInnerError<UnixStream>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| UnixStream { io }))?;
        Ok(io.into())
    }

    /// Splits the stream into a half that reads and a half that writes, both
    /// borrowed from it.
    ///
    /// Costs nothing, but the halves cannot go to different tasks; for that see
    /// [`into_split`](UnixStream::into_split).
    #[allow(clippy::needless_lifetimes)] // the lifetime shows that this split borrows
    pub fn split<'a>(&'a mut self) -> (ReadHalf<'a>, WriteHalf<'a>) {
        split(self)
    }

    /// Splits the stream into a half that reads and a half that writes, which
    /// share it and can go to different tasks, at the price of an allocation.
    ///
    /// Dropping the write half shuts the write direction down, as
    /// [`shutdown()`] does.
    ///
    /// [`shutdown()`]: fn@crate::io::AsyncWriteExt::shutdown
    pub fn into_split(self) -> (OwnedReadHalf, OwnedWriteHalf) {
        split_owned(self)
    }
}

/// Readiness.
impl UnixStream {
    /// Waits until the stream is ready for any of `interest`, and returns what
    /// it is ready for.
    ///
    /// Meant to be followed by [`try_read`](UnixStream::try_read) or
    /// [`try_write`](UnixStream::try_write); one task can read and write the
    /// same stream this way without splitting it.
    ///
    /// Readiness is a hint: the attempt may still fail with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the set may lack what was
    /// asked for. Look at the set, and wait again if necessary.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Once ready, the method keeps returning at once until an
    /// attempt to read or write ends with `WouldBlock`.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io;
    /// use tokio::io::Interest;
    /// use tokio::net::UnixStream;
    ///
    /// # async fn doc(stream: UnixStream) -> io::Result<()> {
    /// let mut buf = [0; 1024];
    /// loop {
    ///     let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await?;
    ///     if ready.is_readable() {
    ///         match stream.try_read(&mut buf) {
    ///             Ok(0) => return Ok(()),
    ///             Ok(n) => println!("read {n} bytes"),
    ///             Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
    ///             Err(e) => return Err(e),
    ///         }
    ///     }
    ///     if ready.is_writable() {
    ///         match stream.try_write(b"tick") {
    ///             Ok(n) => println!("wrote {n} bytes"),
    ///             Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
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

    /// Waits until the stream is readable: [`ready`](UnixStream::ready) with
    /// [`Interest::READABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](UnixStream::ready).
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await?;
        Ok(())
    }

    /// Waits until the stream is writable: [`ready`](UnixStream::ready) with
    /// [`Interest::WRITABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](UnixStream::ready).
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await?;
        Ok(())
    }

    /// Is the stream readable? If not, arranges for the task of `cx` to be
    /// woken when it is.
    ///
    /// Of several calls to this method or to `poll_read`, only the one made
    /// last has its waker woken; the write direction has a waker of its own.
    /// [`readable`](UnixStream::readable) has no such limit.
    ///
    /// # Errors
    ///
    /// Any I/O error except [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_read_ready(cx).map_ok(drop)
    }

    /// Is the stream writable? If not, arranges for the task of `cx` to be
    /// woken when it is.
    ///
    /// Of several calls to this method or to `poll_write`, only the one made
    /// last has its waker woken; the read direction has a waker of its own.
    /// [`writable`](UnixStream::writable) has no such limit.
    ///
    /// # Errors
    ///
    /// Any I/O error except [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_write_ready(cx).map_ok(drop)
    }
}

/// Reading and writing without waiting.
impl UnixStream {
    /// Reads what is there, without waiting, and returns the number of bytes.
    ///
    /// Usually called after [`readable`](UnixStream::readable) or
    /// [`ready`](UnixStream::ready). Since the call does not wait, `buf` can
    /// live on the stack instead of in the task. `Ok(0)` means that the peer
    /// has shut its write direction down, or that `buf` is empty.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is nothing to read,
    /// or if the runtime has not heard yet that there is.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.read(buf))
    }

    /// Like [`try_read`](UnixStream::try_read), filling `bufs` one after the
    /// other with a single call; the last one used may be filled in part.
    pub fn try_read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.read_vectored(bufs))
    }

    cfg_io_util! {
        /// Like [`try_read`](UnixStream::try_read), into the spare room of
        /// `buf`, which is advanced by the number of bytes read.
        ///
        /// A buffer with no room left gives `Ok(0)` too: reserve first.
        pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
            self.io
                .registration()
                .try_io(Interest::READABLE, || self.io.read_buf(buf, |buf| recv_buf(&*self.io, buf)))
        }
    }

    /// Writes as much of `buf` as fits, without waiting, and returns the number
    /// of bytes, which can be less than `buf.len()`.
    ///
    /// Usually called after [`writable`](UnixStream::writable) or
    /// [`ready`](UnixStream::ready).
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room, or if the
    /// runtime has not heard yet that there is.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        if let Some(done) = self.io.try_write_behind(&[io::IoSlice::new(buf)]) {
            return done;
        }
        self.io.try_write_plain(|| (&*self.io).write(buf))
    }

    /// Like [`try_write`](UnixStream::try_write), writing `bufs` one after the
    /// other with a single call; the last one used may be written in part.
    pub fn try_write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        if let Some(done) = self.io.try_write_behind(bufs) {
            return done;
        }
        self.io.try_write_plain(|| (&*self.io).write_vectored(bufs))
    }

    /// Runs an I/O operation of the caller's, if the stream is ready for it.
    ///
    /// `f` makes the system call itself. If it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), the stream no longer counts
    /// as ready for `interest`. If the stream is not ready in the first place,
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
        self.io.send_first(interest)?;
        self.io
            .registration()
            .try_call(interest, || self.io.try_io(f))
    }

    /// Runs an I/O operation of the caller's as soon as the stream is ready for
    /// it, and again for as long as it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// The rules for `f` and `interest` are those of
    /// [`try_io`](UnixStream::try_io).
    pub async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let f = || {
            self.io.send_first(interest)?;
            self.io.try_io(&mut f)
        };
        self.io.registration().async_call(interest, f).await
    }
}

/// What is known about the connection.
impl UnixStream {
    /// The address of this end.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr().map(SocketAddr)
    }

    /// The address of the other end.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.io.peer_addr().map(SocketAddr)
    }

    /// The credentials of the process at the other end, as they were when it
    /// called `connect`, `listen` or `pair`.
    pub fn peer_cred(&self) -> io::Result<UCred> {
        get_peer_cred(self)
    }

    /// Takes the pending error of the socket (`SO_ERROR`), if there is one.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.take_error()
    }
}

/// For the halves of a stream, which share it.
impl UnixStream {
    pub(crate) fn poll_read_priv(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io.poll_recv(cx, buf)
    }

    pub(crate) fn poll_write_priv(
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

    pub(super) fn poll_flush_priv(&self) -> Poll<io::Result<()>> {
        Poll::Ready(self.io.check_writes())
    }

    pub(super) fn poll_shutdown_priv(&self) -> Poll<io::Result<()>> {
        self.io.check_writes()?;
        Poll::Ready(self.shutdown_std(Shutdown::Write))
    }

    /// Shuts one or both directions down. A socket that is no longer connected
    /// has nothing left to shut down, which is no error: the peer may have gone
    /// at any time before this call.
    pub(super) fn shutdown_std(&self, how: Shutdown) -> io::Result<()> {
        if how != Shutdown::Read && self.io.shut_later() {
            return self.io.check_writes();
        }
        match self.io.shutdown(how) {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        }
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_read_priv(cx, buf)
    }
}

impl AsyncWrite for UnixStream {
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

    /// Waits for nothing: what was written is with the kernel already, or goes
    /// there by itself (on the native lane).
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush_priv()
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_shutdown_priv()
    }
}

impl TryFrom<net::UnixStream> for UnixStream {
    type Error = io::Error;

    /// Same as [`UnixStream::from_std`].
    fn try_from(stream: net::UnixStream) -> io::Result<UnixStream> {
        UnixStream::from_std(stream)
    }
}

impl fmt::Debug for UnixStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (*self.io).fmt(f)
    }
}

impl AsRef<Self> for UnixStream {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl AsRawFd for UnixStream {
    fn as_raw_fd(&self) -> RawFd {
        self.io.push_out();
        self.io.registration().lend_out();
        self.io.as_raw_fd()
    }
}

impl AsFd for UnixStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.push_out();
        self.io.registration().lend_out();
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl UnixStream {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }

    pub(crate) fn evented(&self) -> &PollEvented<mio::net::UnixStream> {
        &self.io
    }
}
