//! The standard output of the process.

use crate::io::AsyncWrite;
use crate::io::blocking::Blocking;

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The standard output of the process. Made by [`stdout`].
///
/// Writes go to the blocking pool one after the other; `write` returns as soon
/// as the bytes have been taken over. What has been taken over is written out
/// even if the runtime shuts down right afterwards, but only
/// [`flush`](crate::io::AsyncWriteExt::flush) waits for it, and tells whether it
/// worked.
///
/// The handle does not lock: several of them, and the macros of the standard
/// library, may interleave. Create one, and share it.
///
/// # Examples
///
/// ```
/// use tokio::io::{self, AsyncWriteExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> io::Result<()> {
/// let mut stdout = io::stdout();
/// stdout.write_all(b"hello\n").await?;
/// stdout.flush().await?;
/// # Ok(())
/// # }
/// ```
pub struct Stdout {
    std: Blocking<io::Stdout>,
    /// The same stream once more, for its descriptor: `std` is away at times.
    fd: io::Stdout,
}

/// A handle to the standard output of the process.
///
/// Using it panics outside the context of a runtime.
pub fn stdout() -> Stdout {
    Stdout {
        std: Blocking::new_mandatory(io::stdout()),
        fd: io::stdout(),
    }
}

impl AsyncWrite for Stdout {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.std).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.std).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.std).poll_shutdown(cx)
    }
}

impl fmt::Debug for Stdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdout").field("std", &self.std).finish()
    }
}

impl AsRawFd for Stdout {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Stdout {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
