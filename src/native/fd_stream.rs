//! Any descriptor as a stream.

use crate::driver::{Direction, Drained};
use crate::io::unix::AsyncFd;
use crate::io::{AsyncRead, AsyncWrite, ReadBuf};
use crate::runtime::scheduler;
use crate::sys::pipe::StatusFlags;
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
    inner: AsyncFd<File>,
}

impl FdStream {
    /// Takes `fd` over: sets it to non-blocking, which its duplicates share, and has it watched.
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
        let file = File::from(fd.into());
        StatusFlags::of(file.as_fd())?.set_nonblocking(file.as_fd(), true)?;
        // Its own descriptor: it stays the same and open as long as the file lives.
        #[allow(deprecated)]
        let inner = AsyncFd::new(file)?;
        Ok(FdStream { inner })
    }

    /// The descriptor with its readiness.
    pub fn as_async_fd(&self) -> &AsyncFd<File> {
        &self.inner
    }

    /// Stops watching and returns the descriptor, which stays non-blocking.
    pub fn into_inner(self) -> OwnedFd {
        self.inner.into_inner().into()
    }

    fn poll_write_with(
        &self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(&mut &File) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        self.inner.registration().poll_io(cx, Direction::Write, || {
            let n = write(&mut self.inner.get_ref())?;
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
        let fd = self.inner.get_ref().as_raw_fd();
        self.inner.registration().poll_io(cx, Direction::Read, || {
            sys::io::read(fd, buf)?;
            // A short read need not be the last: there may be another message.
            Ok(((), Drained::No))
        })
    }
}

impl AsyncWrite for FdStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |file| file.write(buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |file| file.write_vectored(bufs))
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
        let result = SockRef::from(self.inner.get_ref()).shutdown(Shutdown::Write);
        Poll::Ready(match result {
            Err(error) if error.raw_os_error() == Some(libc::ENOTSOCK) => Ok(()),
            result => result,
        })
    }
}

impl AsFd for FdStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.get_ref().as_fd()
    }
}

impl AsRawFd for FdStream {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.get_ref().as_raw_fd()
    }
}
