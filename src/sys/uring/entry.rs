//! The entries of operations.
//!
//! # Safety
//!
//! Entries here hold pointers, which the kernel follows until the operation's terminal completion. So
//! making one is unsafe: whoever does promises that what it points to lives that long, is not touched
//! meanwhile except as the function says, and that the descriptor stays open.
#![allow(unsafe_code)]
#![allow(dead_code)]

use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

use super::token::{Kind, Token};
use super::{Sqe, timespec};

const CWD: types::Fd = types::Fd(libc::AT_FDCWD);

/// A time limit as the kernel reads it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Limit(types::Timespec);

impl Limit {
    pub(crate) fn new(limit: Duration) -> Limit {
        Limit(timespec(limit))
    }

    /// The point of time that is `left` from now, by the clock of `std`'s `Instant`.
    pub(crate) fn ending_in(left: Duration) -> Limit {
        let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it is written to, and there always is such a clock.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
        #[allow(clippy::unnecessary_cast)] // not everywhere
        let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
        Limit::new(now.saturating_add(left))
    }
}

impl Sqe {
    /// Any entry, for an operation to give.
    ///
    /// # Safety
    ///
    /// See the module docs.
    #[allow(dead_code)]
    pub(crate) unsafe fn operation(entry: Entry) -> Sqe {
        Sqe(entry)
    }

    /// `read(2)` at `offset`, or at the file's cursor, which it moves, if that is -1 (`READ`, 5.6).
    ///
    /// # Safety
    ///
    /// See the module docs; the kernel writes to `len` bytes at `buf`.
    pub(crate) unsafe fn read(fd: RawFd, buf: *mut u8, len: u32, offset: u64) -> Sqe {
        Sqe(opcode::Read::new(types::Fd(fd), buf, len).offset(offset).build())
    }

    /// `write(2)`, likewise (`WRITE`, 5.6).
    ///
    /// # Safety
    ///
    /// See the module docs; the kernel reads `len` bytes at `buf`.
    pub(crate) unsafe fn write(fd: RawFd, buf: *const u8, len: u32, offset: u64) -> Sqe {
        Sqe(opcode::Write::new(types::Fd(fd), buf, len).offset(offset).build())
    }

    /// `send(2)` that takes what the socket has room for now, and never waits: the kernel is done with the
    /// entry, one way or the other, when it has taken it (`SEND`, 5.6; `MSG_DONTWAIT`). A connection
    /// that the peer has ended is an error, not a signal.
    ///
    /// # Safety
    ///
    /// See the module docs; the kernel reads `len` bytes at `buf`.
    pub(crate) unsafe fn send_now(fd: RawFd, buf: *const u8, len: u32) -> Sqe {
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        Sqe(opcode::Send::new(types::Fd(fd), buf, len).flags(flags).build())
    }

    /// Waits in the epoll instance `set` until there are events, and leaves them in the `room` of
    /// [`Events`](crate::sys::epoll::Events) (`EPOLL_WAIT`, Linux 6.15).
    ///
    /// # Safety
    ///
    /// The room stays where it is, and belongs to the kernel, until the completion.
    pub(crate) unsafe fn epoll_wait(
        set: RawFd,
        (events, len): (*mut libc::epoll_event, u32),
        token: Token,
    ) -> Sqe {
        let entry = opcode::EpollWait::new(types::Fd(set), events.cast(), len).build();
        Sqe(entry.user_data(token.into_raw()))
    }

    /// `openat(2)` from the working directory (`OPENAT`, 5.6). The result is a new descriptor.
    ///
    /// # Safety
    ///
    /// See the module docs; `path` ends in a zero.
    pub(crate) unsafe fn open(path: *const libc::c_char, flags: i32, mode: u32) -> Sqe {
        Sqe(opcode::OpenAt::new(CWD, path).flags(flags).mode(mode).build())
    }

    /// The same entry as the operation `token`.
    pub(crate) fn with_token(self, token: Token) -> Sqe {
        Sqe(self.0.user_data(token.into_raw()))
    }

    /// Linked to the entry pushed after it (`IOSQE_IO_LINK`, 5.3): that one begins when this one is
    /// over, unless it has failed or fallen short.
    pub(crate) fn linked(self) -> Sqe {
        Sqe(self.0.flags(Flags::IO_LINK))
    }

    /// The same, whatever has become of this one (`IOSQE_IO_HARDLINK`, 5.5).
    pub(crate) fn hard_linked(self) -> Sqe {
        Sqe(self.0.flags(Flags::IO_HARDLINK))
    }

    /// The `IORING_OP_*` of the entry.
    pub(crate) fn opcode(&self) -> u8 {
        self.0.get_opcode() as u8
    }

    /// Cancels the operation `token`, whose [linked](Sqe::linked) entry this one follows, after
    /// `limit` (`LINK_TIMEOUT`, 5.5).
    ///
    /// # Safety
    ///
    /// `limit` is valid until the kernel has taken the entry.
    pub(crate) unsafe fn link_timeout(limit: *const Limit, token: Token) -> Sqe {
        let token = Token::new(Kind::OpLimit, token.generation(), token.index());
        Sqe(opcode::LinkTimeout::new(limit.cast()).build().user_data(token.into_raw()))
    }

    /// The same at the point of time that `limit` [is](Limit::ending_in).
    ///
    /// # Safety
    ///
    /// As above.
    pub(crate) unsafe fn link_timeout_at(limit: *const Limit, token: Token) -> Sqe {
        let token = Token::new(Kind::OpLimit, token.generation(), token.index());
        let entry = opcode::LinkTimeout::new(limit.cast()).flags(types::TimeoutFlags::ABS).build();
        Sqe(entry.user_data(token.into_raw()))
    }
}
