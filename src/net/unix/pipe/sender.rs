//! The writing end of a pipe.

use crate::io::{AsyncWrite, Interest, IntoInnerError, PollEvented, Ready};
use crate::net::unix::pipe::{adopt, make_blocking};
use crate::sys::pipe::StatusFlags;

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

/// The writing end of a pipe.
///
/// Made by [`pipe`](super::pipe), from a FIFO by
/// [`OpenOptions::open_sender`](super::OpenOptions::open_sender), or from an
/// open descriptor. The pipe ends for its readers when the last sender is
/// dropped; writing to a pipe without readers fails with
/// [`BrokenPipe`](io::ErrorKind::BrokenPipe).
///
/// # Opening a FIFO
///
/// A FIFO nobody has open for reading cannot be opened for writing: the error
/// is `ENXIO`. Wait a little and try again:
///
/// ```no_run
/// use std::time::Duration;
/// use tokio::net::unix::pipe;
///
/// # async fn doc() -> std::io::Result<()> {
/// const ENXIO: i32 = 6;
///
/// let _tx = loop {
///     match pipe::OpenOptions::new().open_sender("/tmp/my.fifo") {
///         Ok(tx) => break tx,
///         Err(e) if e.raw_os_error() == Some(ENXIO) => {}
///         Err(e) => return Err(e),
///     }
///     tokio::time::sleep(Duration::from_millis(50)).await;
/// };
/// # Ok(())
/// # }
/// ```
///
/// Or set [`read_write`](super::OpenOptions::read_write), which opens at once.
/// Then see to it that a reader has come before the sender is dropped: the
/// kernel discards what is in a FIFO when its last end closes.
#[derive(Debug)]
pub struct Sender {
    io: PollEvented<mio::unix::pipe::Sender>,
}

impl Sender {
    #[track_caller]
    pub(super) fn from_mio(tx: mio::unix::pipe::Sender) -> io::Result<Sender> {
        let io = PollEvented::new_watched(tx, Interest::WRITABLE)?;
        Ok(Sender { io })
    }

    /// Turns an open FIFO into a sender, as
    /// [`from_owned_fd`](Sender::from_owned_fd) does.
    #[track_caller]
    pub fn from_file(file: File) -> io::Result<Sender> {
        Sender::from_owned_fd(file.into())
    }

    /// Turns the descriptor of a pipe or FIFO into a sender: checks that it is
    /// one and that it is open for writing, and sets non-blocking mode.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if a check fails; else
    /// what the operating system reports.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    #[track_caller]
    pub fn from_owned_fd(owned_fd: OwnedFd) -> io::Result<Sender> {
        adopt(
            &owned_fd,
            StatusFlags::can_write,
            "not in O_WRONLY or O_RDWR access mode",
        )?;
        Sender::from_owned_fd_unchecked(owned_fd)
    }

    /// Turns an open FIFO into a sender without any check, as
    /// [`from_owned_fd_unchecked`](Sender::from_owned_fd_unchecked) does.
    #[track_caller]
    pub fn from_file_unchecked(file: File) -> io::Result<Sender> {
        Sender::from_owned_fd_unchecked(file.into())
    }

    /// Turns the descriptor of a pipe or FIFO into a sender without any check.
    /// The caller sees to it that it is a pipe, open for writing and in
    /// non-blocking mode.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`from_owned_fd`](Sender::from_owned_fd) does.
    #[track_caller]
    pub fn from_owned_fd_unchecked(owned_fd: OwnedFd) -> io::Result<Sender> {
        Sender::from_mio(owned_fd.into())
    }

    /// Waits until the pipe is ready for any of `interest`, and returns what it
    /// is ready for: writing, or that its last reader has gone
    /// ([`Ready::is_write_closed`]).
    ///
    /// Readiness is a hint: an attempt may still fail with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the set may lack what was
    /// asked for. Look at the set, and wait again if necessary.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Once ready, the method keeps returning at once until an
    /// attempt to write ends with `WouldBlock`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let event = self.io.registration().readiness(interest).await?;
        Ok(event.ready)
    }

    /// Waits until the pipe is writable: [`ready`](Sender::ready) with
    /// [`Interest::WRITABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](Sender::ready).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io;
    /// use tokio::net::unix::pipe;
    ///
    /// # async fn doc(tx: pipe::Sender) -> io::Result<()> {
    /// loop {
    ///     tx.writable().await?;
    ///     match tx.try_write(b"hello") {
    ///         Ok(_) => break,
    ///         Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
    ///         Err(e) => return Err(e),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn writable(&self) -> io::Result<()> {
        self.ready(Interest::WRITABLE).await?;
        Ok(())
    }

    /// Is the pipe writable? If not, arranges for the task of `cx` to be woken
    /// when it is.
    ///
    /// Of several calls to this method or to `poll_write`, only the one made
    /// last has its waker woken. [`writable`](Sender::writable) has no such
    /// limit.
    ///
    /// # Errors
    ///
    /// Any I/O error except [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_write_ready(cx).map_ok(drop)
    }

    /// Writes as much of `buf` as fits, without waiting, and returns the number
    /// of bytes.
    ///
    /// A `buf` of at most `PIPE_BUF` bytes (4096 on Linux) is written whole or
    /// not at all; a longer one may be written in part.
    ///
    /// # Errors
    ///
    /// [`WouldBlock`](io::ErrorKind::WouldBlock) if there is no room, or if the
    /// runtime has not heard yet that there is.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || (&*self.io).write(buf))
    }

    /// Like [`try_write`](Sender::try_write), writing `bufs` one after the
    /// other with a single call. What holds for the length of one buffer there
    /// holds for the sum of all here.
    pub fn try_write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || (&*self.io).write_vectored(bufs))
    }

    /// Runs a write operation of the caller's, if the pipe is writable.
    ///
    /// `f` makes the system call itself. If it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), the pipe no longer counts as
    /// writable. If it is not writable in the first place, `f` is not called
    /// and `WouldBlock` is returned.
    ///
    /// Therefore `f` must return `WouldBlock` only if a system call on this
    /// very pipe said so, and must not use the methods of this type: either
    /// would confuse the readiness, and tasks could wait for ever.
    pub fn try_io<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || self.io.try_io(f))
    }

    /// Takes the pipe end off the runtime and returns its descriptor in
    /// blocking mode, fit for a child process.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        make_blocking(self.into_nonblocking_fd()?)
    }

    /// Takes the pipe end off the runtime and returns its descriptor, still in
    /// non-blocking mode.
    pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
        Ok(self.take_fd()?)
    }

    /// [`into_nonblocking_fd`](Self::into_nonblocking_fd) with another error.
    pub(crate) fn take_fd(self) -> Result<OwnedFd, IntoInnerError<Sender>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| Sender { io }))?;
        Ok(io.into())
    }
}

impl AsyncWrite for Sender {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Nothing is buffered here, so there is nothing to flush.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// A pipe has one direction only; it ends when the sender is dropped.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsRawFd for Sender {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}

impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl Sender {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }
}
