//! `ChildStdin`.

use crate::io::AsyncWrite;
use crate::process::pipe::WritePipe;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

/// The pipe to a child's standard input.
///
/// Dropping it is how the child sees the end of its input; flushing and shutting down do
/// nothing. Writing to a child that has closed its end fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
#[derive(Debug)]
pub struct ChildStdin {
    pub(super) inner: WritePipe,
}

impl ChildStdin {
    /// Takes over a pipe of the standard library.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking or registered with the runtime.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled.
    pub fn from_std(inner: std::process::ChildStdin) -> io::Result<Self> {
        Ok(ChildStdin { inner: WritePipe::new(inner.into())? })
    }

    /// Takes the pipe off the runtime, in blocking mode.
    ///
    /// # Errors
    ///
    /// If it cannot be made blocking.
    pub fn into_owned_fd(self) -> io::Result<OwnedFd> {
        self.inner.into_owned_fd()
    }
}

impl AsyncWrite for ChildStdin {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }
}

/// For the standard stream of another child.
impl TryInto<Stdio> for ChildStdin {
    type Error = io::Error;

    fn try_into(self) -> Result<Stdio, Self::Error> {
        self.into_owned_fd().map(Stdio::from)
    }
}

impl AsRawFd for ChildStdin {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for ChildStdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
