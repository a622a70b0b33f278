//! Reads that a ring carries out.
//!
//! # Safety
//!
//! The operation owns what its entry points to: a buffer on the heap, which stays where it is when the
//! operation moves, and a reference to the file, which keeps the descriptor open.
#![allow(unsafe_code)]

use crate::driver::{self, op};
use crate::fs::file::Buf;
use crate::sys::uring::Sqe;

use std::fs::File;
use std::future::Future;
use std::io::{self, Seek, SeekFrom};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The most one read takes (`MAX_RW_COUNT` of Linux).
const MAX_LEN: usize = 0x7fff_f000;

/// A read at the cursor of a file.
///
/// Resolves to what it takes to try another way if a ring cannot.
#[derive(Debug)]
pub(in crate::fs) struct Read(op::Op<ReadOp>);

struct ReadOp {
    file: Arc<File>,
    storage: Vec<u8>,
    /// How much at the front of it is padding.
    pad: usize,
    max: usize,
    /// Where the cursor is, if the file has one.
    at: Option<u64>,
}

impl Read {
    /// Reads at most `max` bytes behind what is in `buf`, at the cursor, which nobody else may use and is at
    /// `at` if that is known.
    pub(super) fn new(
        driver: &driver::Handle,
        file: Arc<File>,
        buf: Buf,
        max: usize,
        at: Option<u64>,
    ) -> Read {
        let (mut storage, pad) = buf.into_storage();
        let max = max.min(MAX_LEN);
        storage.reserve(max);
        // Not left to the ring: it does not move the cursor if the disk is late (`O_DIRECT`).
        let at = at.or_else(|| (&*file).stream_position().ok());
        Read(op::Op::new(driver, ReadOp { file, storage, pad, max, at }))
    }
}

impl Future for Read {
    type Output = Result<(io::Result<usize>, Buf), (Arc<File>, Buf, usize)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        super::keep_turning(Pin::new(&mut self.0).poll(cx), cx)
    }
}

// SAFETY: the memory and the reference to the file are its own, see the module docs.
unsafe impl op::Operation for ReadOp {
    type Output = <Read as Future>::Output;
    const HOLDS_CLOCK: bool = true;

    fn entry(&mut self) -> Sqe {
        let spare = self.storage.spare_capacity_mut();
        let len = spare.len().min(self.max) as u32; // at most MAX_LEN
        let spare = spare.as_mut_ptr().cast();
        // SAFETY: the storage is not touched before the completion. What has no cursor has -1.
        unsafe { Sqe::read(self.file.as_raw_fd(), spare, len, self.at.unwrap_or(u64::MAX)) }
    }

    fn complete(mut self, completion: op::Completion) -> Self::Output {
        let result = match completion.result {
            Ok(n) => {
                let n = n as usize;
                assert!(n <= self.max, "read {n} bytes into room for {}", self.max);
                // SAFETY: the kernel has initialised that many bytes behind the end.
                unsafe { self.storage.set_len(self.storage.len() + n) };
                match self.at {
                    Some(at) => (&*self.file).seek(SeekFrom::Start(at + n as u64)).map(drop),
                    None => Ok(()),
                }
            }
            Err(e) if is_for_others(&e) => {
                return Err((self.file, Buf::from_storage(self.storage, self.pad), self.max));
            }
            Err(e) => Err(e),
        };
        let buf = Buf::from_storage(self.storage, self.pad);
        Ok((buf.after_read(result), buf))
    }
}

/// Not the answer of the file, but of the ring: it was interrupted, or does not know how.
fn is_for_others(e: &io::Error) -> bool {
    matches!(
        e.raw_os_error(),
        Some(libc::EINTR | libc::EAGAIN | libc::ECANCELED | libc::EINVAL | libc::EOPNOTSUPP)
    ) || e.kind() == io::ErrorKind::Unsupported
}
