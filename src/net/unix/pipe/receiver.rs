//! The reading end of a pipe.

use crate::io::{AsyncRead, Interest, IntoInnerError, PollEvented, ReadBuf, Ready};
use crate::net::unix::pipe::{adopt, make_blocking};
use crate::sys::pipe::StatusFlags;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};

cfg_io_util! {
    use crate::sys::pipe::read_buf;
    use bytes::BufMut;
}

/// The reading end of a pipe.
///
/// Made by [`pipe`](super::pipe), from a FIFO by
/// [`OpenOptions::open_receiver`](super::OpenOptions::open_receiver), or from
/// an open descriptor.
///
/// Reads return 0 bytes when all senders have gone. A FIFO that new senders may
/// open later is better opened with
/// [`read_write`](super::OpenOptions::read_write): the receiver then holds a
/// writing end itself and simply waits. To go without that, treat the end of
/// file as "nobody there at the moment" and open the FIFO anew.
#[derive(Debug)]
pub struct Receiver {
    io: PollEvented<mio::unix::pipe::Receiver>,
}

impl Receiver {
    #[track_caller]
    pub(super) fn from_mio(rx: mio::unix::pipe::Receiver) -> io::Result<Receiver> {
        let io = PollEvented::new_watched(rx, Interest::READABLE)?;
        Ok(Receiver { io })
    }

    /// Turns an open FIFO into a receiver, as
    /// [`from_owned_fd`](Receiver::from_owned_fd) does.
    #[track_caller]
    pub fn from_file(file: File) -> io::Result<Receiver> {
        Receiver::from_owned_fd(file.into())
    }

    /// Turns the descriptor of a pipe or FIFO into a receiver: checks that it
    /// is one and that it is open for reading, and sets non-blocking mode.
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
    pub fn from_owned_fd(owned_fd: OwnedFd) -> io::Result<Receiver> {
        adopt(
            &owned_fd,
            StatusFlags::can_read,
            "not in O_RDONLY or O_RDWR access mode",
        )?;
        Receiver::from_owned_fd_unchecked(owned_fd)
    }

    /// Turns an open FIFO into a receiver without any check, as
    /// [`from_owned_fd_unchecked`](Receiver::from_owned_fd_unchecked) does.
    #[track_caller]
    pub fn from_file_unchecked(file: File) -> io::Result<Receiver> {
        Receiver::from_owned_fd_unchecked(file.into())
    }

    /// Turns the descriptor of a pipe or FIFO into a receiver without any
    /// check. The caller sees to it that it is a pipe, open for reading and in
    /// non-blocking mode.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`from_owned_fd`](Receiver::from_owned_fd) does.
    #[track_caller]
    pub fn from_owned_fd_unchecked(owned_fd: OwnedFd) -> io::Result<Receiver> {
        Receiver::from_mio(owned_fd.into())
    }

    /// Waits until the pipe is ready for any of `interest`, and returns what it
    /// is ready for: reading, or that its last sender has gone
    /// ([`Ready::is_read_closed`]).
    ///
    /// Readiness is a hint: an attempt may still fail with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), and the set may lack what was
    /// asked for. Look at the set, and wait again if necessary.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe. Once ready, the method keeps returning at once until an
    /// attempt to read ends with `WouldBlock`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        let event = self.io.registration().readiness(interest).await?;
        Ok(event.ready)
    }

    /// Waits until the pipe is readable: [`ready`](Receiver::ready) with
    /// [`Interest::READABLE`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](Receiver::ready).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::io;
    /// use tokio::net::unix::pipe;
    ///
    /// # async fn doc(rx: pipe::Receiver) -> io::Result<()> {
    /// loop {
    ///     rx.readable().await?;
    ///     let mut buf = [0; 1024];
    ///     match rx.try_read(&mut buf) {
    ///         Ok(0) => break,
    ///         Ok(n) => println!("read {n} bytes"),
    ///         Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
    ///         Err(e) => return Err(e),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn readable(&self) -> io::Result<()> {
        self.ready(Interest::READABLE).await?;
        Ok(())
    }

    /// Is the pipe readable? If not, arranges for the task of `cx` to be woken
    /// when it is.
    ///
    /// Of several calls to this method or to `poll_read`, only the one made
    /// last has its waker woken. [`readable`](Receiver::readable) has no such
    /// limit.
    ///
    /// # Errors
    ///
    /// Any I/O error except [`WouldBlock`](io::ErrorKind::WouldBlock).
    pub fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io.registration().poll_read_ready(cx).map_ok(drop)
    }

    /// Reads what is there, without waiting, and returns the number of bytes.
    /// `Ok(0)` means that all senders have gone, or that `buf` is empty.
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

    /// Like [`try_read`](Receiver::try_read), filling `bufs` one after the
    /// other with a single call; the last one used may be filled in part.
    pub fn try_read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.read_vectored(bufs))
    }

    cfg_io_util! {
        /// Like [`try_read`](Receiver::try_read), into the spare room of `buf`,
        /// which is advanced by the number of bytes read.
        ///
        /// A buffer with no room left gives `Ok(0)` too: reserve first.
        pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
            self.io
                .registration()
                .try_io(Interest::READABLE, || self.io.read_buf(buf, |buf| read_buf(self.io.as_fd(), buf)))
        }
    }

    /// Runs a read operation of the caller's, if the pipe is readable.
    ///
    /// `f` makes the system call itself. If it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock), the pipe no longer counts as
    /// readable. If it is not readable in the first place, `f` is not called
    /// and `WouldBlock` is returned.
    ///
    /// Therefore `f` must return `WouldBlock` only if a system call on this
    /// very pipe said so, and must not use the methods of this type: either
    /// would confuse the readiness, and tasks could wait for ever.
    pub fn try_io<R>(&self, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.io
            .registration()
            .try_call(Interest::READABLE, || self.io.try_io(f))
    }

    /// Takes the pipe end off the runtime and returns its descriptor in
    /// blocking mode, fit for a child process.
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had read. The error has the pipe end, which
    /// is as it was: `native::IntoInnerError::find` gets it out.
    pub fn into_blocking_fd(self) -> io::Result<OwnedFd> {
        make_blocking(self.into_nonblocking_fd()?)
    }

    /// Takes the pipe end off the runtime and returns its descriptor, still in
    /// non-blocking mode.
    ///
    /// # Errors
    ///
    /// While something is left that a dropped native operation had read. The error has the pipe end, which
    /// is as it was: `native::IntoInnerError::find` gets it out.
    pub fn into_nonblocking_fd(self) -> io::Result<OwnedFd> {
        Ok(self.take_fd()?)
    }

    /// [`into_nonblocking_fd`](Self::into_nonblocking_fd) with another error.
    pub(crate) fn take_fd(self) -> Result<OwnedFd, IntoInnerError<Receiver>> {
        let io = self.io.into_inner().map_err(|e| e.map(|io| Receiver { io }))?;
        Ok(io.into())
    }
}

impl AsyncRead for Receiver {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.io.poll_read(cx, buf)
    }
}

impl AsRawFd for Receiver {
    fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.io.as_fd()
    }
}

#[cfg(feature = "uring-native")]
impl Receiver {
    pub(crate) fn registration(&self) -> &crate::driver::Registration {
        self.io.registration()
    }
}
