//! The form for the ring.

use std::os::fd::RawFd;

use io_uring::opcode as op;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, FsyncFlags, OpenHow, statx};

use super::Call;

/// `IORING_RECVSEND_POLL_FIRST`: no attempt before the descriptor is ready.
const POLL_FIRST: u16 = 1;
/// `IORING_RECV_MULTISHOT`.
const MULTISHOT: u16 = 2;

/// `RECV` again and again (6.0), into the buffers of a group; see [`Call::Recv`] on `poll_first`.
pub(crate) fn recv_multi(fd: RawFd, group: u16, poll_first: bool) -> Entry {
    // The builder for it knows no flags besides its own.
    let how = MULTISHOT | if poll_first { POLL_FIRST } else { 0 };
    let entry = op::Recv::new(Fd(fd), std::ptr::null_mut(), 0).buf_group(group).ioprio(how).build();
    entry.flags(Flags::BUFFER_SELECT)
}

/// `RECVMSG` again and again (6.0), into the buffers of a group; see [`Call::Recv`] on `poll_first`.
pub(crate) fn recv_msg_multi(fd: RawFd, msg: *const libc::msghdr, group: u16, poll_first: bool) -> Entry {
    op::RecvMsgMulti::new(Fd(fd), msg, group).ioprio(if poll_first { POLL_FIRST } else { 0 }).build()
}

/// `ACCEPT` again and again (5.19). It says nothing of peers.
pub(crate) fn accept_multi(fd: RawFd) -> Entry {
    op::AcceptMulti::new(Fd(fd)).flags(libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK).build()
}

impl Call {
    /// The opcode in question, `IORING_OP_…`.
    pub(crate) fn opcode(&self) -> u8 {
        match self {
            Call::Recv { .. } => op::Recv::CODE,
            Call::Send { .. } => op::Send::CODE,
            Call::SendZc { .. } => op::SendZc::CODE,
            Call::RecvMsg { .. } => op::RecvMsg::CODE,
            Call::SendMsg { .. } => op::SendMsg::CODE,
            Call::SendMsgZc { .. } => op::SendMsgZc::CODE,
            Call::Accept { .. } => op::Accept::CODE,
            Call::Connect { .. } => op::Connect::CODE,
            Call::Shutdown { .. } => op::Shutdown::CODE,
            Call::Splice { .. } => op::Splice::CODE,
            Call::Read { .. } => op::Read::CODE,
            Call::Write { .. } => op::Write::CODE,
            Call::ReadFixed { .. } => op::ReadFixed::CODE,
            Call::WriteFixed { .. } => op::WriteFixed::CODE,
            Call::Readv { .. } => op::Readv::CODE,
            Call::Writev { .. } => op::Writev::CODE,
            Call::Fsync { .. } => op::Fsync::CODE,
            Call::SyncFileRange { .. } => op::SyncFileRange::CODE,
            Call::Fallocate { .. } => op::Fallocate::CODE,
            Call::Ftruncate { .. } => op::Ftruncate::CODE,
            Call::Fadvise { .. } => op::Fadvise::CODE,
            Call::OpenAt2 { .. } => op::OpenAt2::CODE,
            Call::Statx { .. } => op::Statx::CODE,
            Call::RenameAt2 { .. } => op::RenameAt::CODE,
            Call::UnlinkAt { .. } => op::UnlinkAt::CODE,
            Call::MkdirAt { .. } => op::MkDirAt::CODE,
            Call::LinkAt { .. } => op::LinkAt::CODE,
            Call::SymlinkAt { .. } => op::SymlinkAt::CODE,
            Call::GetXattr { .. } => op::GetXattr::CODE,
            Call::SetXattr { .. } => op::SetXattr::CODE,
            Call::FGetXattr { .. } => op::FGetXattr::CODE,
            Call::FSetXattr { .. } => op::FSetXattr::CODE,
            Call::WaitId { .. } => op::WaitId::CODE,
            Call::Raw(entry) => entry.get_opcode() as u8,
        }
    }

    /// The entry, without `user_data`.
    pub(crate) fn entry(&self) -> Entry {
        match *self {
            Call::Recv { fd, buf, len, flags, poll_first } => {
                let how = if poll_first { POLL_FIRST } else { 0 };
                op::Recv::new(Fd(fd), buf, len).flags(flags).ioprio(how).build()
            }
            Call::Send { fd, buf, len, flags } => op::Send::new(Fd(fd), buf, len).flags(flags).build(),
            Call::SendZc { fd, buf, len, flags, index } => {
                op::SendZc::new(Fd(fd), buf, len).flags(flags).buf_index(index).build()
            }
            Call::RecvMsg { fd, msg, flags } => op::RecvMsg::new(Fd(fd), msg).flags(flags as u32).build(),
            Call::SendMsg { fd, msg, flags } => op::SendMsg::new(Fd(fd), msg).flags(flags as u32).build(),
            Call::SendMsgZc { fd, msg, flags } => op::SendMsgZc::new(Fd(fd), msg).flags(flags as u32).build(),
            Call::Accept { fd, addr, len, flags } => op::Accept::new(Fd(fd), addr, len).flags(flags).build(),
            Call::Connect { fd, addr, len } => op::Connect::new(Fd(fd), addr, len).build(),
            Call::Shutdown { fd, how } => op::Shutdown::new(Fd(fd), how).build(),
            Call::Splice { from, from_off, to, to_off, len, flags } => {
                op::Splice::new(Fd(from), from_off, Fd(to), to_off, len).flags(flags).build()
            }
            Call::WaitId { id_type, id, info, options } => {
                op::WaitId::new(id_type, id, options).infop(info).build()
            }
            Call::Raw(ref entry) => (**entry).clone(),
            _ => self.file_entry(),
        }
    }

    fn file_entry(&self) -> Entry {
        match *self {
            Call::Read { fd, buf, len, offset } => op::Read::new(Fd(fd), buf, len).offset(offset).build(),
            Call::Write { fd, buf, len, offset, flags } => {
                op::Write::new(Fd(fd), buf, len).offset(offset).rw_flags(flags).build()
            }
            Call::ReadFixed { fd, buf, len, offset, index } => {
                op::ReadFixed::new(Fd(fd), buf, len, index).offset(offset).build()
            }
            Call::WriteFixed { fd, buf, len, offset, flags, index } => {
                op::WriteFixed::new(Fd(fd), buf, len, index).offset(offset).rw_flags(flags).build()
            }
            Call::Readv { fd, iov, n, offset } => op::Readv::new(Fd(fd), iov, n).offset(offset).build(),
            Call::Writev { fd, iov, n, offset, flags } => {
                op::Writev::new(Fd(fd), iov, n).offset(offset).rw_flags(flags).build()
            }
            Call::Fsync { fd, data_only } => {
                let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
                op::Fsync::new(Fd(fd)).flags(flags).build()
            }
            Call::SyncFileRange { fd, offset, len, flags } => {
                op::SyncFileRange::new(Fd(fd), len).offset(offset).flags(flags).build()
            }
            Call::Fallocate { fd, mode, offset, len } => {
                op::Fallocate::new(Fd(fd), len).offset(offset).mode(mode).build()
            }
            Call::Ftruncate { fd, len } => op::Ftruncate::new(Fd(fd), len).build(),
            Call::Fadvise { fd, offset, len, advice } => {
                op::Fadvise::new(Fd(fd), len as libc::off_t, advice).offset(offset).build()
            }
            _ => self.path_entry(),
        }
    }

    fn path_entry(&self) -> Entry {
        match *self {
            Call::OpenAt2 { dir, path, how } => {
                // The thread that submits it would open it with `O_NONBLOCK` first, and ask a server if the
                // file is one's.
                op::OpenAt2::new(Fd(dir), path, how.cast::<OpenHow>()).build().flags(Flags::ASYNC)
            }
            Call::Statx { dir, path, flags, mask, out } => {
                op::Statx::new(Fd(dir), path, out.cast::<statx>()).flags(flags).mask(mask).build()
            }
            Call::RenameAt2 { from_dir, from, to_dir, to, flags } => {
                op::RenameAt::new(Fd(from_dir), from, Fd(to_dir), to).flags(flags).build()
            }
            Call::UnlinkAt { dir, path, flags } => op::UnlinkAt::new(Fd(dir), path).flags(flags).build(),
            Call::MkdirAt { dir, path, mode } => op::MkDirAt::new(Fd(dir), path).mode(mode).build(),
            Call::LinkAt { from_dir, from, to_dir, to, flags } => {
                op::LinkAt::new(Fd(from_dir), from, Fd(to_dir), to).flags(flags).build()
            }
            Call::SymlinkAt { target, dir, path } => op::SymlinkAt::new(Fd(dir), target, path).build(),
            Call::GetXattr { path, name, value, len } => {
                op::GetXattr::new(name, value.cast(), path, len).build()
            }
            Call::SetXattr { path, name, value, len, flags } => {
                op::SetXattr::new(name, value.cast_mut().cast(), path, len).flags(flags).build()
            }
            Call::FGetXattr { fd, name, value, len } => {
                op::FGetXattr::new(Fd(fd), name, value.cast(), len).build()
            }
            Call::FSetXattr { fd, name, value, len, flags } => {
                op::FSetXattr::new(Fd(fd), name, value.cast(), len).flags(flags).build()
            }
            _ => unreachable!("all others have been looked at"),
        }
    }
}
