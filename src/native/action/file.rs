//! What is done to an open file besides reading and writing.
//!
//! # Safety
//!
//! No memory is passed; the file stays open through the `Arc`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::sealed;
use crate::sys::call::Call;

/// Sees to what a file has on its disk: the `fsync` family, `ftruncate`, `fadvise`. See
/// [`File`](crate::native::File).
#[derive(Debug)]
pub struct Control {
    file: Arc<File>,
    what: What,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum What {
    Sync { data_only: bool },
    SyncRange { offset: u64, len: u32, flags: u32 },
    Truncate { len: u64 },
    Advise { offset: u64, len: u32, advice: i32 },
}

impl Control {
    pub(crate) fn new(file: &Arc<File>, what: What) -> Control {
        Control { file: file.clone(), what }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Control {
    type Output = io::Result<()>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let fd = self.file.as_raw_fd();
        match self.what {
            What::Sync { data_only } => Call::Fsync { fd, data_only },
            What::SyncRange { offset, len, flags } => Call::SyncFileRange { fd, offset, len, flags },
            What::Truncate { len } => Call::Ftruncate { fd, len },
            What::Advise { offset, len, advice } => Call::Fadvise { fd, offset, len, advice },
        }
    }

    fn complete(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }
}

/// Sees to a file's room. See [`File::fallocate`](crate::native::File::fallocate).
#[derive(Debug)]
pub struct Fallocate {
    file: Arc<File>,
    mode: i32,
    offset: u64,
    len: u64,
}

impl Fallocate {
    pub(crate) fn new(file: &Arc<File>, mode: i32, offset: u64, len: u64) -> Fallocate {
        Fallocate { file: file.clone(), mode, offset, len }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Fallocate {
    type Output = io::Result<()>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let (fd, mode) = (self.file.as_raw_fd(), self.mode);
        Call::Fallocate { fd, mode, offset: self.offset, len: self.len }
    }

    fn complete(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }
}
