//! Any descriptor as a stream.

use super::nonblocking::{self, NonBlocking};
use crate::driver::{Direction, Drained};
use crate::io::unix::AsyncFd;
use crate::io::{self as ours, AsyncRead, AsyncWrite, IntoInnerError, ReadBuf};
use crate::runtime::scheduler;
use crate::sys;

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;

/// A descriptor of any kind that can be polled, as an [`AsyncRead`] and [`AsyncWrite`]: terminals,
/// character devices, TUN devices, sockets of families without a type here, the ends of foreign pipes.
///
/// Reads and writes are `read(2)` and `write(2)`, made when the descriptor is ready; it is watched as an
/// [`AsyncFd`] is. For operations of the ring, and for calls of your own, there is
/// [`FdStream::as_async_fd`].
///
/// # Non-blocking mode
///
/// is a property of the open file, which others may have, too: a terminal is shared with the shell and with
/// this program's own `println!`. So a terminal in blocking mode is opened a second time, for this stream alone,
/// and its mode stays what it is. Anything else, and a terminal that cannot be opened, is set to non-blocking
/// mode, and back when the stream is dropped or taken apart; if another `FdStream` of this process shares it,
/// when that one is. A process that is killed, or calls [`exit`](std::process::exit), does not set it back.
///
/// # A peer that is gone
///
/// Writing to a socket or a pipe that nobody reads any more is `EPIPE`, and raises no `SIGPIPE`.
///
/// # Messages
///
/// A read returns what one `read(2)` does. So on a device that keeps messages apart the buffer must hold
/// a whole one.
///
/// # Examples
///
/// ```
/// use std::os::unix::net::UnixStream;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::native::FdStream;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (here, there) = UnixStream::pair()?;
/// let mut here = FdStream::new(here)?;
/// let mut there = FdStream::new(there)?;
///
/// here.write_all(b"hello").await?;
/// here.shutdown().await?;
/// let mut text = String::new();
/// there.read_to_string(&mut text).await?;
/// assert_eq!(text, "hello");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct FdStream {
    /// `None` only between [`take`](FdStream::take) and the end of `self`.
    inner: Option<AsyncFd<File>>,
    origin: Option<Origin>,
    kind: Kind,
}

/// How a write to what nobody reads any more raises no `SIGPIPE`.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// By a flag.
    Socket,
    /// By another one, or with the signal blocked.
    Pipe,
    /// There is no such thing.
    Other,
}

/// Where the file in the [`AsyncFd`] is from.
#[derive(Debug)]
enum Origin {
    /// It is what we were given.
    Given(NonBlocking),
    /// It is this terminal, opened once more.
    Reopened(OwnedFd),
}

impl FdStream {
    /// Takes `fd` over and has it watched, in [non-blocking mode](Self#non-blocking-mode).
    ///
    /// # Errors
    ///
    /// `EPERM` for what cannot be polled: regular files and directories, for which there is
    /// [`fs::File`](crate::fs::File). `EEXIST` if the runtime watches the descriptor already. The
    /// descriptor is closed then.
    ///
    /// # Panics
    ///
    /// Outside the context of a runtime with I/O enabled.
    #[track_caller]
    pub fn new(fd: impl Into<OwnedFd>) -> io::Result<FdStream> {
        // Panics before anything is changed.
        scheduler::Handle::current().driver().io();
        let fd = fd.into();
        let kind = match sys::pipe::can_break(fd.as_fd()) {
            true if sys::pipe::is_socket(fd.as_fd()) => Kind::Socket,
            true => Kind::Pipe,
            false => Kind::Other,
        };
        let (file, origin) = match nonblocking::reopened(fd.as_fd()) {
            Some(file) => (file, Origin::Reopened(fd)),
            None => {
                let mode = NonBlocking::begin(fd.as_fd())?;
                (File::from(fd), Origin::Given(mode))
            }
        };
        // Its own descriptor: it stays the same and open as long as the file lives.
        #[allow(deprecated)]
        match AsyncFd::try_new(file) {
            Ok(inner) => Ok(FdStream { inner: Some(inner), origin: Some(origin), kind }),
            Err(error) => {
                let (file, cause) = error.into_parts();
                drop(origin.end(file));
                Err(cause)
            }
        }
    }

    /// The descriptor with its readiness. Of a terminal that was in blocking mode it is one of the stream's
    /// own, to the same terminal.
    pub fn as_async_fd(&self) -> &AsyncFd<File> {
        match &self.inner {
            Some(inner) => inner,
            None => unreachable!("it is taken out at the end"),
        }
    }

    /// Stops watching and returns the descriptor, in the [mode](Self#non-blocking-mode) that it had.
    ///
    /// As for [`AsyncFd::into_inner`], what a chain that was dropped in the middle had read goes with this.
    pub fn into_inner(mut self) -> OwnedFd {
        match self.take() {
            Some(fd) => fd,
            None => unreachable!("it is taken out at the end"),
        }
    }

    /// [`into_inner`](Self::into_inner) that loses nothing.
    ///
    /// # Errors
    ///
    /// Those of [`AsyncFd::try_into_inner`]. The error has the stream, as it was.
    pub fn try_into_inner(self) -> Result<OwnedFd, IntoInnerError<FdStream>> {
        match self.as_async_fd().registration().check_leftovers() {
            Ok(()) => Ok(self.into_inner()),
            Err(cause) => Err(IntoInnerError::new(self, cause)),
        }
    }

    fn take(&mut self) -> Option<OwnedFd> {
        let (inner, origin) = (self.inner.take()?, self.origin.take()?);
        Some(origin.end(inner.into_inner()))
    }

    /// What we were given.
    fn given(&self) -> BorrowedFd<'_> {
        match &self.origin {
            Some(Origin::Reopened(fd)) => fd.as_fd(),
            Some(Origin::Given(_)) | None => self.as_async_fd().get_ref().as_fd(),
        }
    }

    fn poll_write_bytes(&self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let file = self.as_async_fd();
        file.registration().poll_io(cx, Direction::Write, || {
            let n = match self.kind {
                Kind::Socket => SockRef::from(file.get_ref()).send_vectored_with_flags(bufs, libc::MSG_NOSIGNAL)?,
                Kind::Pipe => sys::io::write_quietly(file.get_ref().as_raw_fd(), bufs)?,
                Kind::Other => file.get_ref().write_vectored(bufs)?,
            };
            Ok((n, Drained::No))
        })
    }
}

impl AsyncRead for FdStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let fd = self.as_async_fd().get_ref().as_raw_fd();
        let io = self.as_async_fd().registration();
        io.poll_io(cx, Direction::Read, || {
            match io.leftover(|leftovers| leftovers.read(|bytes| ours::put(bytes, buf))) {
                Some(done) => done?,
                None => sys::io::read(fd, buf)?,
            };
            // A short read need not be the last: there may be another message.
            Ok(((), Drained::No))
        })
    }
}

impl AsyncWrite for FdStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_bytes(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_bytes(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the writing direction of a socket. Other descriptors have no such thing: their peer sees
    /// the end when this is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = SockRef::from(self.as_async_fd().get_ref()).shutdown(Shutdown::Write);
        Poll::Ready(match result {
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => Ok(()),
            result => result,
        })
    }
}

impl Origin {
    /// The watch is over: what we were given, as it was.
    fn end(self, file: File) -> OwnedFd {
        match self {
            Origin::Given(mode) => {
                mode.end(file.as_fd());
                file.into()
            }
            Origin::Reopened(fd) => fd,
        }
    }
}

impl AsFd for FdStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.given()
    }
}

impl AsRawFd for FdStream {
    fn as_raw_fd(&self) -> RawFd {
        self.given().as_raw_fd()
    }
}

impl Drop for FdStream {
    fn drop(&mut self) {
        drop(self.take());
    }
}
