//! The parent's ends of the pipes to a child.

use crate::driver::{Direction, Drained, Interest};
use crate::io::{PollEvented, ReadBuf};
use crate::sys;
use crate::sys::pipe::StatusFlags;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::task::{Context, Poll};

/// What one read of a collected stream asks for at least.
const CHUNK: usize = 4096;

/// An end to read from.
#[derive(Debug)]
pub(super) struct ReadPipe(PollEvented<mio::unix::pipe::Receiver>);

/// An end to write to.
#[derive(Debug)]
pub(super) struct WritePipe(PollEvented<mio::unix::pipe::Sender>);

impl ReadPipe {
    #[track_caller]
    pub(super) fn new(fd: OwnedFd) -> io::Result<ReadPipe> {
        set_nonblocking(&fd, true)?;
        PollEvented::new_with_interest(fd.into(), Interest::READABLE).map(ReadPipe)
    }

    pub(super) fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }

    /// Appends what there is to `all`; returns how much that was, `0` at the end.
    pub(super) fn poll_read_vec(&self, cx: &mut Context<'_>, all: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.0.registration().poll_io(cx, Direction::Read, || {
            let room = CHUNK.max(all.capacity() - all.len());
            let n = sys::io::read_vec(self.0.as_raw_fd(), all, room)?;
            Ok((n, if 0 < n && n < room { Drained::Yes } else { Drained::No }))
        })
    }

    /// Off the runtime and blocking, as programs expect their standard streams to be.
    pub(super) fn into_owned_fd(self) -> io::Result<OwnedFd> {
        let fd = self.0.into_inner()?.into();
        set_nonblocking(&fd, false)?;
        Ok(fd)
    }
}

impl WritePipe {
    #[track_caller]
    pub(super) fn new(fd: OwnedFd) -> io::Result<WritePipe> {
        set_nonblocking(&fd, true)?;
        PollEvented::new_with_interest(fd.into(), Interest::WRITABLE).map(WritePipe)
    }

    pub(super) fn poll_write(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, buf)
    }

    pub(super) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, bufs)
    }

    /// Off the runtime and blocking, as programs expect their standard streams to be.
    pub(super) fn into_owned_fd(self) -> io::Result<OwnedFd> {
        let fd = self.0.into_inner()?.into();
        set_nonblocking(&fd, false)?;
        Ok(fd)
    }
}

impl AsFd for ReadPipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for WritePipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn set_nonblocking(fd: &OwnedFd, on: bool) -> io::Result<()> {
    StatusFlags::of(fd.as_fd())?.set_nonblocking(fd.as_fd(), on)
}
