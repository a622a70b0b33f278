//! How one learns that the kernel has let go of a ring that was closed.
//!
//! Closing a ring is no barrier: the kernel cancels what is in flight and waits for it by itself, however long that
//! takes, and reads and writes the memory until then. It says nothing when it is done, but the last it does is to
//! close the files that were registered with the ring. So one end of a pipe is, and the other end sees that.
//!
//! # Safety
//!
//! `pipe2` writes two descriptors to an array of two, and they are nobody else's.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use io_uring::IoUring;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Release(File);

impl Release {
    /// That of `io`, which must be of this thread and have no other files registered with it.
    pub(super) fn of(io: &IoUring) -> io::Result<Release> {
        let mut ends = [-1; 2];
        // SAFETY: see the module docs.
        if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: as above.
        let [ours, kernels] = ends.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
        io.submitter().register_files(&[kernels.as_raw_fd()])?;
        Ok(Release(File::from(ours)))
    }

    /// Blocks until the ring is gone, and nothing that was submitted to it is in the kernel's hands.
    pub(crate) fn wait(mut self) -> io::Result<()> {
        let mut byte = [0];
        loop {
            match self.0.read(&mut byte) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Nobody writes.
                result => return result.map(drop),
            }
        }
    }
}
