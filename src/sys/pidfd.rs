//! A descriptor for a process: it becomes readable when the process has exited.
//!
//! # Safety
//!
//! The call takes two integers, and a descriptor it returns belongs to nobody else.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// Opens a descriptor for the child `pid`, close-on-exec (Linux 5.3, may be refused by seccomp).
///
/// The child must not have been waited for: its number might mean another process by now.
pub(crate) fn open(pid: u32) -> io::Result<OwnedFd> {
    #[cfg(test)]
    if tests::is_refused() {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    // SAFETY: no memory is passed.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(fd) {
        // SAFETY: the kernel has just opened it for this call.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    thread_local! {
        static REFUSED: Cell<bool> = const { Cell::new(false) };
    }

    pub(super) fn is_refused() -> bool {
        REFUSED.get()
    }

    /// Has `open` fail on this thread while `f` runs, as on a kernel that lacks it.
    pub(crate) fn refused<R>(f: impl FnOnce() -> R) -> R {
        REFUSED.set(true);
        let result = f();
        REFUSED.set(false);
        result
    }
}
