//! Several buffers at once.
//!
//! # Safety
//!
//! The buffers are the action's, and do not move with it; neither does the list of them, which is on
//! the heap. What is open stays so through the leftovers or the `Arc`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::recv::copy_out;
use super::rw::check_offset;
use super::send::Flags;
use super::{Early, GivenBack, lasting, sealed};
use crate::driver::{Leftover, Leftovers};
use crate::native::buf::{BoundedBuf, BoundedBufMut, BufResult, fill, received};
use crate::sys::call::{CURRENT_POSITION, Call};
use crate::sys::io::MAX_SLICES;

/// The list that the kernel reads.
#[derive(Debug, Default)]
pub(super) struct IoVecs(Vec<libc::iovec>);

// SAFETY: the list is only looked at by the kernel, and what it points to is the action's.
unsafe impl Send for IoVecs {}

impl IoVecs {
    pub(super) fn fill_from<B: BoundedBuf>(&mut self, bufs: &[B]) -> (*mut libc::iovec, usize) {
        let iov = |buf: &B| libc::iovec { iov_base: buf.stable_ptr().cast_mut().cast(), iov_len: buf.bytes_init() };
        self.set(bufs.iter().map(iov))
    }

    pub(super) fn fill_into<B: BoundedBufMut>(&mut self, bufs: &mut [B]) -> (*mut libc::iovec, usize) {
        let iov = |buf: &mut B| libc::iovec { iov_base: buf.stable_mut_ptr().cast(), iov_len: buf.bytes_total() };
        self.set(bufs.iter_mut().map(iov))
    }

    fn set(&mut self, list: impl Iterator<Item = libc::iovec>) -> (*mut libc::iovec, usize) {
        self.0.clear();
        self.0.extend(list.take(MAX_SLICES));
        (self.0.as_mut_ptr(), self.0.len())
    }
}

/// Says that `n` bytes were written to `bufs`, one after the other.
///
/// # Safety
///
/// They were.
pub(super) unsafe fn received_all<B: BoundedBufMut>(bufs: &mut [B], n: usize) {
    let mut left = n;
    for buf in bufs.iter_mut().take(MAX_SLICES) {
        let here = left.min(buf.bytes_total());
        // SAFETY: the caller's promise; the kernel fills one buffer after the other.
        unsafe { received(buf, here) };
        left -= here;
        if left == 0 {
            return;
        }
    }
    assert_eq!(left, 0, "received {n} bytes, more than there is room for");
}

/// Copies to `bufs`, one after the other; returns how much.
pub(super) fn scatter<B: BoundedBufMut>(bufs: &mut [B], bytes: &[u8]) -> usize {
    bufs.iter_mut().fold(0, |n, buf| if n < bytes.len() { n + fill(buf, &bytes[n..]) } else { n })
}

/// The `n` bytes that were received into `bufs`.
///
/// # Safety
///
/// They were.
pub(super) unsafe fn gather<B: BoundedBufMut>(bufs: &mut [B], n: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(n);
    for buf in bufs {
        let here = (n - data.len()).min(buf.bytes_total());
        // SAFETY: the caller's promise; the kernel fills one buffer after the other.
        data.extend(unsafe { copy_out(buf, here) });
    }
    assert_eq!(data.len(), n, "received more than there is room for");
    data
}

/// Receives once. See [`Stream::recv_vectored`](crate::native::Stream::recv_vectored).
#[derive(Debug)]
pub struct RecvVectored<B> {
    io: Arc<Leftovers>,
    bufs: Vec<B>,
    iovecs: IoVecs,
}

impl<B: BoundedBufMut> RecvVectored<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, bufs: Vec<B>) -> RecvVectored<B> {
        RecvVectored { io: io.clone(), bufs, iovecs: IoVecs::default() }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for RecvVectored<B> {
    type Output = BufResult<usize, Vec<B>>;

    const TAKES: bool = true;

    fn call(&mut self) -> Call {
        let (iov, n) = self.iovecs.fill_into(&mut self.bufs);
        Call::Readv { fd: self.io.fd(), iov, n: n as u32, offset: CURRENT_POSITION }
    }

    fn early(&mut self) -> Early {
        if !self.io.is_pending() {
            return Early::Attempt;
        }
        Early::of(self.io.read(|bytes| scatter(&mut self.bufs, bytes)))
    }

    fn falls_short(&self, moved: u32) -> bool {
        (moved as usize) < self.bufs.iter().map(BoundedBuf::bytes_total).sum()
    }

    fn complete(mut self, result: io::Result<u32>) -> Self::Output {
        let result = result.map(|n| n as usize);
        if let Ok(n) = result {
            // SAFETY: the kernel, or `early`, has written that many bytes.
            unsafe { received_all(&mut self.bufs, n) };
        }
        (result, self.bufs)
    }

    fn give_back(mut self, result: io::Result<u32>) -> GivenBack {
        let got = match result {
            Ok(0) => None,
            Ok(n) => {
                // SAFETY: the kernel has written that many bytes.
                let data = unsafe { gather(&mut self.bufs, n as usize) };
                Some(Leftover::Bytes { data, read: 0, extra: None })
            }
            Err(e) => lasting(&e).map(Leftover::Error),
        };
        GivenBack::new(self.io, got)
    }
}

/// Writes to a pipe or the like, once. See
/// [`PipeWriter::write_vectored`](crate::native::PipeWriter::write_vectored).
#[derive(Debug)]
pub struct WriteVectored<B> {
    io: Arc<Leftovers>,
    bufs: Vec<B>,
    iovecs: IoVecs,
    flags: Flags,
}

impl<B: BoundedBuf> WriteVectored<B> {
    pub(crate) fn new(io: &Arc<Leftovers>, bufs: Vec<B>) -> WriteVectored<B> {
        WriteVectored { io: io.clone(), bufs, iovecs: IoVecs::default(), flags: Flags::of(io) }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for WriteVectored<B> {
    type Output = BufResult<usize, Vec<B>>;

    fn call(&mut self) -> Call {
        let (iov, n) = self.iovecs.fill_from(&self.bufs);
        let flags = self.flags.bits();
        Call::Writev { fd: self.io.fd(), iov, n: n as u32, offset: CURRENT_POSITION, flags }
    }

    fn again(&mut self, result: &io::Result<u32>) -> bool {
        self.flags.falls_back(result)
    }

    fn falls_short(&self, moved: u32) -> bool {
        (moved as usize) < self.bufs.iter().map(BoundedBuf::bytes_init).sum()
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|n| n as usize), self.bufs)
    }
}

/// Reads at an offset. See [`File::readv`](crate::native::File::readv).
#[derive(Debug)]
pub struct Readv<B> {
    file: Arc<File>,
    bufs: Vec<B>,
    iovecs: IoVecs,
    offset: u64,
}

impl<B: BoundedBufMut> Readv<B> {
    pub(crate) fn new(file: &Arc<File>, bufs: Vec<B>, offset: u64) -> Readv<B> {
        Readv { file: file.clone(), bufs, iovecs: IoVecs::default(), offset }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for Readv<B> {
    type Output = BufResult<usize, Vec<B>>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let (iov, n) = self.iovecs.fill_into(&mut self.bufs);
        Call::Readv { fd: self.file.as_raw_fd(), iov, n: n as u32, offset: self.offset }
    }

    fn early(&mut self) -> Early {
        check_offset(self.offset)
    }

    fn falls_short(&self, moved: u32) -> bool {
        (moved as usize) < self.bufs.iter().map(BoundedBuf::bytes_total).sum()
    }

    fn complete(mut self, result: io::Result<u32>) -> Self::Output {
        let result = result.map(|n| n as usize);
        if let Ok(n) = result {
            // SAFETY: the kernel has written that many bytes.
            unsafe { received_all(&mut self.bufs, n) };
        }
        (result, self.bufs)
    }
}

/// Writes at an offset. See [`File::writev`](crate::native::File::writev).
#[derive(Debug)]
pub struct Writev<B> {
    file: Arc<File>,
    bufs: Vec<B>,
    iovecs: IoVecs,
    offset: u64,
}

impl<B: BoundedBuf> Writev<B> {
    pub(crate) fn new(file: &Arc<File>, bufs: Vec<B>, offset: u64) -> Writev<B> {
        Writev { file: file.clone(), bufs, iovecs: IoVecs::default(), offset }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for Writev<B> {
    type Output = BufResult<usize, Vec<B>>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let (iov, n) = self.iovecs.fill_from(&self.bufs);
        Call::Writev { fd: self.file.as_raw_fd(), iov, n: n as u32, offset: self.offset, flags: 0 }
    }

    fn early(&mut self) -> Early {
        check_offset(self.offset)
    }

    fn falls_short(&self, moved: u32) -> bool {
        (moved as usize) < self.bufs.iter().map(BoundedBuf::bytes_init).sum()
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        (result.map(|n| n as usize), self.bufs)
    }
}
