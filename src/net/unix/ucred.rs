//! Credentials of a peer process.

use crate::net::UnixStream;
use crate::net::unix::{gid_t, pid_t, uid_t};
use crate::sys::peer_cred;

use std::io;
use std::os::fd::AsFd;

/// The credentials of a process, as
/// [`UnixStream::peer_cred`](crate::net::UnixStream::peer_cred) reports them.
#[derive(Copy, Clone, Eq, PartialEq, Hash, Debug)]
pub struct UCred {
    pid: Option<pid_t>,
    uid: uid_t,
    gid: gid_t,
}

impl UCred {
    /// The effective user ID of the process.
    pub fn uid(&self) -> uid_t {
        self.uid
    }

    /// The effective group ID of the process.
    pub fn gid(&self) -> gid_t {
        self.gid
    }

    /// The ID of the process. Always present on Linux.
    pub fn pid(&self) -> Option<pid_t> {
        self.pid
    }
}

/// Asks the kernel who is at the other end of `stream`.
pub(crate) fn get_peer_cred(stream: &UnixStream) -> io::Result<UCred> {
    let cred = peer_cred::peer_cred(stream.as_fd())?;
    Ok(UCred {
        pid: Some(cred.pid),
        uid: cred.uid,
        gid: cred.gid,
    })
}
