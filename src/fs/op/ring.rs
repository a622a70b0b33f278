//! Calls that a ring carries out.
//!
//! # Safety
//!
//! Each operation owns what its entry points to: buffers and paths on the heap, which stay where they
//! are when the operation moves, and a reference to the file, which keeps the descriptor open.
#![allow(unsafe_code)]

use crate::driver::{self, op};
use crate::fs::file::Buf;
use crate::sys::uring::Sqe;

use std::ffi::CString;
use std::fs::File;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use io_uring::opcode;

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
    max: usize,
}

impl Read {
    /// Reads at most `max` bytes behind what is in `buf`.
    pub(super) fn new(driver: &driver::Handle, file: Arc<File>, buf: Buf, max: usize) -> Read {
        let mut storage = buf.into_storage();
        let max = max.min(MAX_LEN);
        storage.reserve(max);
        Read(op::Op::new(driver, ReadOp { file, storage, max }))
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
        // SAFETY: the storage is not touched before the completion. The cursor is -1.
        unsafe { Sqe::read(self.file.as_raw_fd(), spare, len, u64::MAX) }
    }

    fn complete(mut self, completion: op::Completion) -> Self::Output {
        let result = match completion.result {
            Ok(n) => {
                let n = n as usize;
                assert!(n <= self.max, "read {n} bytes into room for {}", self.max);
                // SAFETY: the kernel has initialised that many bytes behind the end.
                unsafe { self.storage.set_len(self.storage.len() + n) };
                Ok(())
            }
            Err(e) if is_for_others(&e) => {
                return Err((self.file, Buf::from_storage(self.storage), self.max));
            }
            Err(e) => Err(e),
        };
        let buf = Buf::from_storage(self.storage);
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

/// What a call by path, or on an open file, is to do.
pub(super) enum Request {
    Open { path: CString, flags: i32, mode: u32 },
    Rename(CString, CString),
    Unlink { path: CString, flags: i32 },
    MkDir { path: CString, mode: u32 },
    Link(CString, CString),
    Symlink(CString, CString),
    Sync { file: Arc<File>, data_only: bool },
}

impl Request {
    fn opcode(&self) -> u8 {
        match self {
            Request::Open { .. } => opcode::OpenAt::CODE,
            Request::Rename(..) => opcode::RenameAt::CODE,
            Request::Unlink { .. } => opcode::UnlinkAt::CODE,
            Request::MkDir { .. } => opcode::MkDirAt::CODE,
            Request::Link(..) => opcode::LinkAt::CODE,
            Request::Symlink(..) => opcode::SymlinkAt::CODE,
            Request::Sync { .. } => opcode::Fsync::CODE,
        }
    }
}

/// A path as the kernel reads it; `None` if it has a zero in it, which the standard library has an error
/// for.
pub(super) fn path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

/// Has a ring carry out what `request` makes, if one can and will: see [`ring_for`](super::ring_for).
/// Otherwise the answer is `None`, and nothing has happened.
pub(super) async fn call(request: impl FnOnce() -> Option<Request>) -> Option<io::Result<Done>> {
    poll_fn(|cx| Poll::Ready(super::may_use_ring(cx))).await.then_some(())?;
    let request = request()?;
    let driver = super::ring_driver(request.opcode())?;
    let mut op = op::Op::new(&driver, request);
    let result = poll_fn(|cx| super::keep_turning(Pin::new(&mut op).poll(cx), cx)).await;
    match result {
        Err(e) if is_for_others(&e) => None,
        // The runtime is gone, and the call was not made.
        Err(e) if e.raw_os_error().is_none() => Some(Err(super::background_task_failed())),
        result => Some(result),
    }
}

/// What a [`call`] has done.
pub(super) enum Done {
    Opened(File),
    Nothing,
}

// SAFETY: the paths and the reference to the file are its own, see the module docs.
unsafe impl op::Operation for Request {
    type Output = io::Result<Done>;
    const HOLDS_CLOCK: bool = true;

    fn entry(&mut self) -> Sqe {
        // SAFETY: the paths are not touched before the completion.
        unsafe {
            match self {
                Request::Open { path, flags, mode } => Sqe::open(path.as_ptr(), *flags, *mode),
                Request::Rename(from, to) => Sqe::rename(from.as_ptr(), to.as_ptr()),
                Request::Unlink { path, flags } => Sqe::unlink(path.as_ptr(), *flags),
                Request::MkDir { path, mode } => Sqe::mkdir(path.as_ptr(), *mode),
                Request::Link(from, to) => Sqe::link(from.as_ptr(), to.as_ptr()),
                Request::Symlink(target, link) => Sqe::symlink(target.as_ptr(), link.as_ptr()),
                Request::Sync { file, data_only } => Sqe::fsync(file.as_raw_fd(), *data_only),
            }
        }
    }

    /// Nobody waits: a file that was opened is closed.
    fn complete(self, completion: op::Completion) -> io::Result<Done> {
        let result = completion.result?;
        Ok(match self {
            // SAFETY: the kernel has just opened it for us.
            Request::Open { .. } => Done::Opened(unsafe { File::from_raw_fd(result as RawFd) }),
            _ => Done::Nothing,
        })
    }
}
