//! Reading and writing files at an offset.
//!
//! # Safety
//!
//! The buffer is the action's, and does not move with it; the file stays open through the `Arc`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::{len32, sealed};
use crate::native::buf::{BoundedBuf, BoundedBufMut, BufResult, received};
use crate::sys::call::Call;

/// How much of the buffer is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As much as one operation moves.
    Once,
    /// All of it.
    All,
}

/// Reads at an offset. See [`File::read_at`](crate::native::File::read_at).
#[derive(Debug)]
pub struct ReadAt<B> {
    file: Arc<File>,
    buf: B,
    offset: u64,
    extent: Extent,
    done: usize,
    /// The buffer's index, if the ring knows it.
    index: Option<u16>,
}

impl<B: BoundedBufMut> ReadAt<B> {
    pub(crate) fn new(file: &Arc<File>, buf: B, offset: u64, extent: Extent) -> ReadAt<B> {
        ReadAt { file: file.clone(), buf, offset, extent, done: 0, index: None }
    }

    /// The same into a buffer that rings know as `index`.
    #[allow(dead_code)]
    pub(crate) fn fixed(file: &Arc<File>, buf: B, offset: u64, index: Option<u16>) -> ReadAt<B> {
        ReadAt { index, ..ReadAt::new(file, buf, offset, Extent::Once) }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for ReadAt<B> {
    type Output = BufResult<usize, B>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let fd = self.file.as_raw_fd();
        let buf = self.buf.stable_mut_ptr().wrapping_add(self.done);
        let len = len32(self.buf.bytes_total() - self.done);
        let offset = self.offset.wrapping_add(self.done as u64);
        match self.index {
            Some(index) => Call::ReadFixed { fd, buf, len, offset, index },
            None => Call::Read { fd, buf, len, offset },
        }
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        match result {
            Ok(n) => {
                self.done += *n as usize;
                assert!(self.done <= self.buf.bytes_total(), "read more than there is room for");
                *n > 0 && self.extent == Extent::All && self.done < self.buf.bytes_total()
            }
            // A ring that does not know the buffer.
            Err(e) => e.raw_os_error() == Some(libc::EFAULT) && self.index.take().is_some(),
        }
    }

    fn falls_short(&self, _: u32) -> bool {
        self.done < self.buf.bytes_total()
    }

    fn complete(mut self, result: io::Result<u32>) -> BufResult<usize, B> {
        // SAFETY: the kernel has written that many bytes.
        unsafe { received(&mut self.buf, self.done) };
        let result = result.and_then(|_| {
            if self.extent == Extent::All && self.done < self.buf.bytes_total() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(self.done)
        });
        (result, self.buf)
    }
}

/// Writes at an offset. See [`File::write_at`](crate::native::File::write_at).
#[derive(Debug)]
pub struct WriteAt<B> {
    file: Arc<File>,
    buf: B,
    offset: u64,
    extent: Extent,
    done: usize,
    /// The buffer's index, if the ring knows it.
    index: Option<u16>,
}

impl<B: BoundedBuf> WriteAt<B> {
    pub(crate) fn new(file: &Arc<File>, buf: B, offset: u64, extent: Extent) -> WriteAt<B> {
        WriteAt { file: file.clone(), buf, offset, extent, done: 0, index: None }
    }

    /// The same from a buffer that rings know as `index`.
    #[allow(dead_code)]
    pub(crate) fn fixed(file: &Arc<File>, buf: B, offset: u64, index: Option<u16>) -> WriteAt<B> {
        WriteAt { index, ..WriteAt::new(file, buf, offset, Extent::Once) }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for WriteAt<B> {
    type Output = BufResult<usize, B>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let fd = self.file.as_raw_fd();
        let buf = self.buf.stable_ptr().wrapping_add(self.done);
        let len = len32(self.buf.bytes_init() - self.done);
        let offset = self.offset.wrapping_add(self.done as u64);
        match self.index {
            Some(index) => Call::WriteFixed { fd, buf, len, offset, index },
            None => Call::Write { fd, buf, len, offset },
        }
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        match result {
            Ok(n) => {
                self.done += *n as usize;
                *n > 0 && self.extent == Extent::All && self.done < self.buf.bytes_init()
            }
            // A ring that does not know the buffer.
            Err(e) => e.raw_os_error() == Some(libc::EFAULT) && self.index.take().is_some(),
        }
    }

    fn falls_short(&self, _: u32) -> bool {
        self.done < self.buf.bytes_init()
    }

    fn complete(self, result: io::Result<u32>) -> BufResult<usize, B> {
        let result = result.and_then(|_| {
            if self.extent == Extent::All && self.done < self.buf.bytes_init() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            Ok(self.done)
        });
        (result, self.buf)
    }
}
