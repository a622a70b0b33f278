//! One operation of the kernel, in its two forms: an entry of the ring and a system call.
//!
//! # Protocol
//!
//! A [`Call`] is plain data: descriptors, numbers, and pointers to what the operation reads and
//! writes. Whoever makes one keeps all of that in place until the operation has ended. Then
//!
//! - [`Call::entry`] is what the ring is given; its completion has the result;
//! - [`Call::perform`] does the same with a system call, at once, and returns the same: a number,
//!   or a negated errno. On a descriptor that would block it is `-EAGAIN`.
//!
//! So whoever understands the result of one understands that of the other.
//!
//! # Safety
//!
//! `entry` only writes numbers into an entry. `perform` is unsafe: pointers must be valid, as the
//! system call in question wants them.
#![allow(unsafe_code)]

mod entry;
mod perform;

pub(crate) use entry::{accept_multi, recv_msg_multi, recv_multi};

use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

pub(crate) use io_uring::opcode;
use io_uring::squeue;

/// Was there more to receive (`IORING_CQE_F_SOCK_NONEMPTY`, 5.19)?
pub(crate) fn left_some(completion_flags: u32) -> bool {
    io_uring::cqueue::sock_nonempty(completion_flags)
}

/// The file's own position, where an operation takes an offset.
pub(crate) const CURRENT_POSITION: u64 = u64::MAX;

/// A write to what nobody reads any more is an error and no `SIGPIPE`: a flag (`RWF_NOSIGNAL`, Linux 6.18) that an
/// older kernel refuses with `EOPNOTSUPP`.
pub(crate) struct NoSignal;

/// Has this kernel refused it?
static LACKS_NO_SIGNAL: AtomicBool = AtomicBool::new(false);

impl NoSignal {
    /// The flag, or none if it was refused before.
    pub(crate) fn flag() -> i32 {
        if LACKS_NO_SIGNAL.load(Relaxed) { 0 } else { 0x100 }
    }

    /// It was refused.
    pub(crate) fn is_unknown() {
        LACKS_NO_SIGNAL.store(true, Relaxed);
    }
}

/// See the module docs. The fields are the arguments of the system calls of these names.
#[derive(Debug, Clone)]
#[rustfmt::skip]
#[allow(missing_docs)]
pub(crate) enum Call {
    // Sockets.
    /// `poll_first`: nothing is there, as far as one knows (`IORING_RECVSEND_POLL_FIRST`, 5.19).
    Recv { fd: RawFd, buf: *mut u8, len: u32, flags: i32, poll_first: bool },
    Send { fd: RawFd, buf: *const u8, len: u32, flags: i32 },
    /// Like `Send`; the kernel reads the buffer until the second completion. The ring may know it as
    /// `index`.
    SendZc { fd: RawFd, buf: *const u8, len: u32, flags: i32, index: Option<u16> },
    RecvMsg { fd: RawFd, msg: *mut libc::msghdr, flags: i32 },
    SendMsg { fd: RawFd, msg: *const libc::msghdr, flags: i32 },
    /// Like `SendMsg`; the kernel reads the buffers until the second completion.
    SendMsgZc { fd: RawFd, msg: *const libc::msghdr, flags: i32 },
    Accept { fd: RawFd, addr: *mut libc::sockaddr, len: *mut libc::socklen_t, flags: i32 },
    Connect { fd: RawFd, addr: *const libc::sockaddr, len: libc::socklen_t },
    Shutdown { fd: RawFd, how: i32 },
    Splice { from: RawFd, from_off: i64, to: RawFd, to_off: i64, len: u32, flags: u32 },

    // Open files, at an offset or at [`CURRENT_POSITION`].
    Read { fd: RawFd, buf: *mut u8, len: u32, offset: u64 },
    /// `flags`: `RWF_*`.
    Write { fd: RawFd, buf: *const u8, len: u32, offset: u64, flags: i32 },
    /// Like `Read`, into a buffer that the ring knows under this index.
    ReadFixed { fd: RawFd, buf: *mut u8, len: u32, offset: u64, index: u16 },
    /// Like `Write`, from a buffer that the ring knows under this index.
    WriteFixed { fd: RawFd, buf: *const u8, len: u32, offset: u64, flags: i32, index: u16 },
    Readv { fd: RawFd, iov: *const libc::iovec, n: u32, offset: u64 },
    Writev { fd: RawFd, iov: *const libc::iovec, n: u32, offset: u64, flags: i32 },
    Fsync { fd: RawFd, data_only: bool },
    SyncFileRange { fd: RawFd, offset: u64, len: u32, flags: u32 },
    Fallocate { fd: RawFd, mode: i32, offset: u64, len: u64 },
    Ftruncate { fd: RawFd, len: u64 },
    Fadvise { fd: RawFd, offset: u64, len: u32, advice: i32 },

    // Paths.
    OpenAt2 { dir: RawFd, path: *const libc::c_char, how: *const libc::open_how },
    Statx { dir: RawFd, path: *const libc::c_char, flags: i32, mask: u32, out: *mut libc::statx },
    RenameAt2 { from_dir: RawFd, from: *const libc::c_char, to_dir: RawFd, to: *const libc::c_char, flags: u32 },
    UnlinkAt { dir: RawFd, path: *const libc::c_char, flags: i32 },
    MkdirAt { dir: RawFd, path: *const libc::c_char, mode: u32 },
    LinkAt { from_dir: RawFd, from: *const libc::c_char, to_dir: RawFd, to: *const libc::c_char, flags: i32 },
    SymlinkAt { target: *const libc::c_char, dir: RawFd, path: *const libc::c_char },
    GetXattr { path: *const libc::c_char, name: *const libc::c_char, value: *mut u8, len: u32 },
    SetXattr { path: *const libc::c_char, name: *const libc::c_char, value: *const u8, len: u32, flags: i32 },
    FGetXattr { fd: RawFd, name: *const libc::c_char, value: *mut u8, len: u32 },
    FSetXattr { fd: RawFd, name: *const libc::c_char, value: *const u8, len: u32, flags: i32 },

    // The rest.
    WaitId { id_type: libc::idtype_t, id: libc::id_t, info: *mut libc::siginfo_t, options: i32 },
    /// An entry of a user's own, which has no other form.
    Raw(Box<squeue::Entry>),
}

impl Call {
    /// The same on a buffer that the ring knows as `index`, if there is such an operation.
    pub(crate) fn on_fixed(self, index: u16) -> Call {
        match self {
            Call::Read { fd, buf, len, offset } => Call::ReadFixed { fd, buf, len, offset, index },
            Call::Write { fd, buf, len, offset, flags } => {
                Call::WriteFixed { fd, buf, len, offset, flags, index }
            }
            Call::SendZc { fd, buf, len, flags, .. } => {
                Call::SendZc { fd, buf, len, flags, index: Some(index) }
            }
            other => other,
        }
    }
}

// SAFETY: plain data; who follows the pointers has to know what he does anyway.
unsafe impl Send for Call {}

#[cfg(test)]
mod tests;
