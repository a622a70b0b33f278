//! The standard input of the process.

use crate::io::blocking::Blocking;
use crate::io::{AsyncRead, ReadBuf};

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The standard input of the process. Made by [`stdin`].
///
/// A read runs on a thread of the blocking pool, and cannot be called back from
/// there: a runtime that shuts down while one is underway waits for it, until
/// the user presses enter (see
/// [`shutdown_background`](crate::runtime::Runtime::shutdown_background)). For
/// interactive programs a thread of its own that reads
/// [`std::io::stdin`] and sends the lines through a channel is the better
/// choice.
///
/// # Examples
///
/// ```no_run
/// use tokio::io::{self, AsyncReadExt};
///
/// # async fn doc() -> io::Result<()> {
/// let mut input = Vec::new();
/// io::stdin().read_to_end(&mut input).await?;
/// # Ok(())
/// # }
/// ```
pub struct Stdin {
    std: Blocking<io::Stdin>,
    /// The same stream once more, for its descriptor: `std` is away at times.
    fd: io::Stdin,
}

/// A handle to the standard input of the process.
///
/// Using it panics outside the context of a runtime. All handles read from the
/// buffer of the standard library's, but what a handle has read for a future
/// that was dropped stays in that handle: create one, and share it.
pub fn stdin() -> Stdin {
    Stdin {
        std: Blocking::new(io::stdin()),
        fd: io::stdin(),
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.std).poll_read(cx, buf)
    }
}

impl fmt::Debug for Stdin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stdin").field("std", &self.std).finish()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
