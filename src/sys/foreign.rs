//! Which descriptors of the user's are watched by a runtime.
//!
//! An `AsyncFd` watches a descriptor this crate knows nothing about. Under epoll
//! the kernel answers for it: a file that cannot be polled is refused with
//! `EPERM`, one that the runtime watches already with `EEXIST`, a closed one with
//! `EBADF`. `IORING_OP_POLL_ADD` answers nothing of the kind: a regular file is
//! simply always ready, and two polls on one file are fine.
//!
//! No combination of `fstat(2)` gives these answers (`/dev/null` cannot be
//! polled and `/dev/random` can; most regular files cannot and
//! `/proc/self/mounts` can). So they come from where they always came: each
//! runtime has an epoll instance that nobody ever waits on, and every foreign
//! descriptor is a member of it for as long as it is watched. Membership costs a
//! system call at either end of an `AsyncFd`'s life. It does not pin the file,
//! and, being for errors and hang-ups only, it adds nothing to ordinary events.
//!
//! # Safety
//!
//! `epoll_create1(2)` makes a descriptor this module owns; `epoll_ctl(2)` reads
//! one `epoll_event` on the stack. A descriptor that is not open is an error of
//! the call, not a violation.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Arc, OnceLock};

/// The foreign descriptors of one runtime. Empty, it owns no descriptor itself.
#[derive(Debug, Default)]
pub(crate) struct ForeignFds {
    epoll: OnceLock<OwnedFd>,
}

/// A membership in [`ForeignFds`], ended by dropping it. Must go before the
/// descriptor is closed.
#[derive(Debug)]
pub(crate) struct Claim {
    fd: RawFd,
    set: Arc<ForeignFds>,
}

impl ForeignFds {
    /// Enters `fd`.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(EPOLL_CTL_ADD)`: `EPERM` if the file cannot be
    /// polled, `EEXIST` if it is a member already, `EBADF` if it is not open;
    /// and, for the first member, those of `epoll_create1`.
    pub(crate) fn claim(self: &Arc<Self>, fd: RawFd) -> io::Result<Claim> {
        // Errors and hang-ups are always reported; ask for nothing beyond that.
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: `event` is a live `epoll_event`, which the kernel only reads.
        let ret = unsafe { libc::epoll_ctl(self.epoll()?.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &mut event) };
        if ret == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(Claim { fd, set: Arc::clone(self) })
    }

    fn epoll(&self) -> io::Result<&OwnedFd> {
        if let Some(epoll) = self.epoll.get() {
            return Ok(epoll);
        }
        // SAFETY: takes a flag, touches no memory.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the descriptor is fresh and nobody else knows it.
        let fresh = unsafe { OwnedFd::from_raw_fd(fd) };
        // Of two threads that get here at once, one drops its instance unused.
        Ok(self.epoll.get_or_init(|| fresh))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let Some(epoll) = self.set.epoll.get() else {
            return;
        };
        // SAFETY: `EPOLL_CTL_DEL` ignores its event argument (Linux 2.6.9).
        //
        // The error is of no use: `ENOENT` and `EBADF` mean that the file has
        // been closed in the meantime, which ended the membership.
        unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_DEL, self.fd, ptr::null_mut()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::net::UnixStream;

    fn errno(result: io::Result<Claim>) -> Option<i32> {
        result.err().and_then(|e| e.raw_os_error())
    }

    #[test]
    fn what_cannot_be_polled_is_refused() {
        let set = Arc::new(ForeignFds::default());
        for path in ["/", "/dev/null", "/proc/self/exe"] {
            let file = File::open(path).unwrap();
            assert_eq!(errno(set.claim(file.as_raw_fd())), Some(libc::EPERM));
        }
        let mounts = File::open("/proc/self/mounts").unwrap();
        assert_eq!(errno(set.claim(mounts.as_raw_fd())), None);
        assert_eq!(errno(set.claim(-1)), Some(libc::EBADF));
    }

    #[test]
    fn one_claim_at_a_time_in_each_set() {
        let (a, b) = (Arc::new(ForeignFds::default()), Arc::new(ForeignFds::default()));
        let (socket, _peer) = UnixStream::pair().unwrap();
        let fd = socket.as_raw_fd();

        let claim = a.claim(fd).unwrap();
        assert_eq!(errno(a.claim(fd)), Some(libc::EEXIST));
        let _other_runtime = b.claim(fd).unwrap();
        drop(claim);
        let _again = a.claim(fd).unwrap();
    }

    #[test]
    fn closing_the_file_ends_the_claim() {
        let set = Arc::new(ForeignFds::default());
        let (socket, _peer) = UnixStream::pair().unwrap();
        let stale = set.claim(socket.as_raw_fd()).unwrap();
        drop(socket);
        // Very likely the same number; whatever it is, it can be claimed.
        let (next, _peer) = UnixStream::pair().unwrap();
        let claim = set.claim(next.as_raw_fd()).unwrap();
        drop(claim);
        drop(stale);
    }
}
