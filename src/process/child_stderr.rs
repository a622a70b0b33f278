//! `ChildStderr`.

use crate::io::{AsyncRead, ReadBuf};
use crate::process::pipe::ReadPipe;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

/// The pipe from a child's standard error.
///
/// It ends when the child, and whoever inherited the stream from it, has closed the other end.
#[derive(Debug)]
pub struct ChildStderr {
    pub(super) inner: ReadPipe,
}

impl ChildStderr {
    /// Takes over a pipe of the standard library.
    ///
    /// # Errors
    ///
    /// If it cannot be made non-blocking or registered with the runtime.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled.
    pub fn from_std(inner: std::process::ChildStderr) -> io::Result<Self> {
        Ok(ChildStderr { inner: ReadPipe::new(inner.into())? })
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

impl AsyncRead for ChildStderr {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_read(cx, buf)
    }
}

/// For the standard stream of another child.
impl TryInto<Stdio> for ChildStderr {
    type Error = io::Error;

    fn try_into(self) -> Result<Stdio, Self::Error> {
        self.into_owned_fd().map(Stdio::from)
    }
}

impl AsRawFd for ChildStderr {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl AsFd for ChildStderr {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}
