//! Credentials of the process at the other end of a Unix socket.
//!
//! # Safety
//!
//! One `getsockopt(2)` into a local `ucred`, whose size is passed along; the
//! descriptor is borrowed, hence open, for the length of the call.
#![allow(unsafe_code)]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What `SO_PEERCRED` reports: the credentials at the time of `connect(2)`,
/// `listen(2)` or `socketpair(2)`.
#[derive(Clone, Copy)]
pub(crate) struct PeerCred {
    pub(crate) pid: i32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Reads `SO_PEERCRED` from a Unix socket.
pub(crate) fn peer_cred(socket: BorrowedFd<'_>) -> io::Result<PeerCred> {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = mem::size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: `cred` is a live `ucred` of `len` bytes, and the kernel writes at
    // most `len` bytes to it; `socket` is open while it is borrowed.
    let ret = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &mut len,
        )
    };
    if ret != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(PeerCred { pid: cred.pid, uid: cred.uid, gid: cred.gid })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_pair_belongs_to_this_process() {
        let (a, _b) = UnixStream::pair().unwrap();
        let cred = peer_cred(a.as_fd()).unwrap();
        assert_eq!(cred.pid, std::process::id() as i32);
    }

    #[test]
    fn not_a_socket() {
        let file = std::fs::File::open("/dev/null").unwrap();
        let err = peer_cred(file.as_fd()).err().unwrap();
        assert_eq!(err.raw_os_error(), Some(libc::ENOTSOCK));
    }
}
