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

use super::{Early, len32, sealed};
use crate::driver::FixedMemory;
use crate::native::buf::{BoundedBuf, BoundedBufMut, BufResult, IoBuf, received};
use crate::sys::call::Call;

/// How much of the buffer is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// As much as one operation moves.
    Once,
    /// All of it.
    All,
}

/// Refuses offsets that no file has, in the words of `pread(2)`: a ring takes the last of them for "at the
/// cursor".
pub(super) fn check_offset(offset: u64) -> Early {
    match i64::try_from(offset) {
        Ok(_) => Early::Attempt,
        Err(_) => Early::Done(Err(io::Error::from_raw_os_error(libc::EINVAL))),
    }
}

/// What a read or a write works on, and how far it has come.
#[derive(Debug)]
struct Transfer<B> {
    file: Arc<File>,
    buf: B,
    offset: u64,
    extent: Extent,
    done: usize,
}

impl<B: BoundedBuf> Transfer<B> {
    fn new(file: &Arc<File>, buf: B, offset: u64, extent: Extent) -> Transfer<B> {
        Transfer { file: file.clone(), buf, offset, extent, done: 0 }
    }

    /// Where it goes on in the file.
    fn place(&self) -> (i32, u64) {
        (self.file.as_raw_fd(), self.offset.wrapping_add(self.done as u64))
    }

    /// A part was moved; of `len` bytes, is there more to do?
    fn again(&mut self, result: &io::Result<u32>, len: usize) -> bool {
        let Ok(n) = result else { return false };
        self.done += *n as usize;
        assert!(self.done <= len, "moved more than there is room for");
        *n > 0 && self.extent == Extent::All && self.done < len
    }

    /// What to say in the end; `short` if there were to be more of the `len` bytes.
    fn outcome(&self, result: io::Result<u32>, len: usize, short: io::ErrorKind) -> io::Result<usize> {
        match result {
            Ok(_) if self.extent == Extent::All && self.done < len => Err(short.into()),
            Ok(_) => Ok(self.done),
            Err(e) => Err(e),
        }
    }
}

/// Reads at an offset. See [`File::read_at`](crate::native::File::read_at).
#[derive(Debug)]
pub struct ReadAt<B>(Transfer<B>);

impl<B: BoundedBufMut> ReadAt<B> {
    pub(crate) fn new(file: &Arc<File>, buf: B, offset: u64, extent: Extent) -> ReadAt<B> {
        ReadAt(Transfer::new(file, buf, offset, extent))
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for ReadAt<B> {
    type Output = BufResult<usize, B>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let ((fd, offset), done) = (self.0.place(), self.0.done);
        let buf = self.0.buf.stable_mut_ptr().wrapping_add(done);
        Call::Read { fd, buf, len: len32(self.0.buf.bytes_total() - done), offset }
    }

    fn fixed(&self) -> Option<&FixedMemory> {
        self.0.buf.get_buf().fixed()
    }

    fn early(&mut self) -> Early {
        check_offset(self.0.offset)
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        self.0.again(result, self.0.buf.bytes_total())
    }

    fn falls_short(&self, _: u32) -> bool {
        self.0.done < self.0.buf.bytes_total()
    }

    fn complete(mut self, result: io::Result<u32>) -> BufResult<usize, B> {
        let result = self.0.outcome(result, self.0.buf.bytes_total(), io::ErrorKind::UnexpectedEof);
        // SAFETY: the kernel has written that many bytes.
        unsafe { received(&mut self.0.buf, self.0.done) };
        (result, self.0.buf)
    }
}

/// Writes at an offset. See [`File::write_at`](crate::native::File::write_at).
#[derive(Debug)]
pub struct WriteAt<B>(Transfer<B>);

impl<B: BoundedBuf> WriteAt<B> {
    pub(crate) fn new(file: &Arc<File>, buf: B, offset: u64, extent: Extent) -> WriteAt<B> {
        WriteAt(Transfer::new(file, buf, offset, extent))
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for WriteAt<B> {
    type Output = BufResult<usize, B>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let ((fd, offset), done) = (self.0.place(), self.0.done);
        let buf = self.0.buf.stable_ptr().wrapping_add(done);
        Call::Write { fd, buf, len: len32(self.0.buf.bytes_init() - done), offset, flags: 0 }
    }

    fn fixed(&self) -> Option<&FixedMemory> {
        self.0.buf.get_buf().fixed()
    }

    fn early(&mut self) -> Early {
        check_offset(self.0.offset)
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        self.0.again(result, self.0.buf.bytes_init())
    }

    fn falls_short(&self, _: u32) -> bool {
        self.0.done < self.0.buf.bytes_init()
    }

    fn complete(self, result: io::Result<u32>) -> BufResult<usize, B> {
        let result = self.0.outcome(result, self.0.buf.bytes_init(), io::ErrorKind::WriteZero);
        (result, self.0.buf)
    }
}
