//! Non-blocking mode, borrowed.
//!
//! `O_NONBLOCK` is a flag of the open file, not of a descriptor: whoever has a duplicate has it, too, in this
//! process or in another one. So a terminal's shell, or this program's own `println!`, would meet `EAGAIN`.
//!
//! # Protocol
//!
//! 1. A terminal is opened once more, where it lets itself be: that open file is nobody else's.
//! 2. Everything else has its flag set, and cleared again by who has set it, unless another stream here shares
//!    the open file: then that one inherits the duty.
//! 3. In the child of a fork nothing is cleared: the open file is the parent's, too.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::sys::pipe::{StatusFlags, is_same_file};

/// An open file that is in non-blocking mode for us.
#[derive(Debug)]
pub(super) struct NonBlocking {
    fd: RawFd,
    /// The process that has set it.
    process: u32,
}

/// Those there are. There are few; they come and go with their streams.
static ALL: Mutex<Vec<Member>> = Mutex::new(Vec::new());

#[derive(Debug)]
struct Member {
    fd: RawFd,
    /// Is it to be in blocking mode afterwards?
    is_to_block: bool,
}

fn all() -> MutexGuard<'static, Vec<Member>> {
    // It is consistent between any two statements.
    ALL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl NonBlocking {
    /// Puts an open file into non-blocking mode. [`end`](Self::end) is to be called before `fd` is closed.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(2)`.
    pub(super) fn begin(fd: BorrowedFd<'_>) -> io::Result<NonBlocking> {
        let mut all = all();
        let flags = StatusFlags::of(fd)?;
        flags.set_nonblocking(fd, true)?;
        all.push(Member { fd: fd.as_raw_fd(), is_to_block: !flags.is_nonblocking() });
        Ok(NonBlocking { fd: fd.as_raw_fd(), process: std::process::id() })
    }

    /// Puts it back, if nobody else needs it so.
    pub(super) fn end(self, fd: BorrowedFd<'_>) {
        if std::process::id() != self.process {
            // And a thread of the parent may have held the lock.
            return;
        }
        let mut all = all();
        let Some(at) = all.iter().position(|member| member.fd == self.fd) else { return };
        if !all.swap_remove(at).is_to_block {
            return;
        }
        match all.iter_mut().find(|member| is_same_file(member.fd, self.fd)) {
            Some(heir) => heir.is_to_block = true,
            // Refused, it stays as it is: nobody could be told.
            None => drop(StatusFlags::of(fd).and_then(|flags| flags.set_nonblocking(fd, false))),
        }
    }
}

/// The same terminal as another open file, in non-blocking mode. `None` for what is no terminal, for one that
/// does not block anyway, and where it cannot be opened: somebody else's, or used exclusively.
pub(super) fn reopened(fd: BorrowedFd<'_>) -> Option<File> {
    if !fd.is_terminal() {
        return None;
    }
    let flags = StatusFlags::of(fd).ok().filter(|flags| !flags.is_nonblocking())?;
    let number = device(fd)?;
    if is_master(number) {
        return None;
    }
    let again = File::options()
        .read(flags.can_read())
        .write(flags.can_write())
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
        .ok()?;
    // Whatever is mounted there.
    (device(again.as_fd()) == Some(number)).then_some(again)
}

/// Opening the master of a pseudoterminal makes another one.
fn is_master(number: u64) -> bool {
    // `/dev/ptmx`, and those of BSD's kind: the kernel's `Documentation/admin-guide/devices.txt`.
    (libc::major(number), libc::minor(number)) == (5, 2) || libc::major(number) == 2
}

fn device(fd: BorrowedFd<'_>) -> Option<u64> {
    // A descriptor's own metadata come with a file only.
    let file = File::from(fd.try_clone_to_owned().ok()?);
    file.metadata().ok().map(|metadata| metadata.rdev())
}
