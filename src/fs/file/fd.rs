//! The descriptor of a file.
//!
//! # Safety
//!
//! `FromRawFd` is an unsafe trait method; its contract is handed on to the standard library's as it
//! is. Nothing else here is unsafe.
#![allow(unsafe_code)]

use super::File;

use std::fs::File as StdFile;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        File::from_std(StdFile::from(fd))
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller promises what this asks for: `fd` is open, and nobody else's.
        File::from_std(unsafe { StdFile::from_raw_fd(fd) })
    }
}
