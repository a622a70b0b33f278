//! Pipes and FIFOs.
//!
//! A pipe end is registered for its own direction only: a [`Receiver`] for
//! reading, a [`Sender`] for writing. Unlike a socket it is watched from the
//! start: a read of a FIFO that no sender has opened yet would report its end.

mod open_options;
pub use open_options::OpenOptions;

mod receiver;
pub use receiver::Receiver;

mod sender;
pub use sender::Sender;

use crate::sys::pipe::{StatusFlags, is_pipe};

use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// Creates an anonymous pipe.
///
/// To talk to a child process, [`Stdio::piped()`](std::process::Stdio::piped)
/// is usually simpler.
///
/// # Errors
///
/// Those of `pipe2(2)`.
///
/// # Panics
///
/// Panics outside the context of a runtime with I/O enabled. A task always has
/// that context; elsewhere [`Runtime::enter`](crate::runtime::Runtime::enter)
/// sets it.
///
/// # Examples
///
/// ```
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
/// use tokio::net::unix::pipe;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let (mut tx, mut rx) = pipe::pipe()?;
/// tx.write_all(b"hello").await?;
/// drop(tx);
///
/// let mut received = String::new();
/// rx.read_to_string(&mut received).await?;
/// assert_eq!(received, "hello");
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn pipe() -> io::Result<(Sender, Receiver)> {
    let (tx, rx) = mio::unix::pipe::new()?;
    Ok((Sender::from_mio(tx)?, Receiver::from_mio(rx)?))
}

/// The checks before a descriptor somebody else opened becomes a pipe end: it
/// must be a pipe, and must have been opened for the direction `allows` asks
/// for. Sets non-blocking mode.
fn adopt(fd: &OwnedFd, allows: fn(StatusFlags) -> bool, refusal: &'static str) -> io::Result<()> {
    if !is_pipe(fd.as_fd())? {
        return Err(not_a_pipe());
    }
    let flags = StatusFlags::of(fd.as_fd())?;
    if !allows(flags) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, refusal));
    }
    flags.set_nonblocking(fd.as_fd(), true)
}

/// Puts a descriptor that left the runtime into blocking mode.
fn make_blocking(fd: OwnedFd) -> io::Result<OwnedFd> {
    StatusFlags::of(fd.as_fd())?.set_nonblocking(fd.as_fd(), false)?;
    Ok(fd)
}

fn not_a_pipe() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a pipe")
}
