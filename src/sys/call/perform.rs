//! The form for everybody else: a system call.
//!
//! # Safety
//!
//! Each arm hands the pointers of its [`Call`] to the system call of that name, which is what they
//! are for; see the module above.
#![allow(unsafe_code)]

use super::{CURRENT_POSITION, Call};
use crate::sys::mask;

/// What a ring's completion would say.
fn outcome(result: isize) -> i32 {
    match result {
        -1 => -std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO),
        n => i32::try_from(n).unwrap_or(i32::MAX),
    }
}

fn status(result: libc::c_int) -> i32 {
    outcome(result as isize)
}

impl Call {
    /// Makes the system call. One on a socket or a pipe does not wait, but says `-EAGAIN`.
    ///
    /// # Safety
    ///
    /// The pointers must be what the system call wants: valid for what it reads or writes.
    pub(crate) unsafe fn perform(&self) -> i32 {
        loop {
            // SAFETY: the caller's promise.
            let result = unsafe { self.perform_once() };
            if result != -libc::EINTR {
                return result;
            }
        }
    }

    unsafe fn perform_once(&self) -> i32 {
        // SAFETY: the caller's promise.
        unsafe {
            match *self {
                Call::Recv { fd, buf, len, flags, .. } => {
                    outcome(libc::recv(fd, buf.cast(), len as usize, flags | libc::MSG_DONTWAIT))
                }
                Call::Send { fd, buf, len, flags } | Call::SendZc { fd, buf, len, flags, .. } => {
                    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
                    outcome(libc::send(fd, buf.cast(), len as usize, flags))
                }
                Call::RecvMsg { fd, msg, flags } => {
                    outcome(libc::recvmsg(fd, msg, flags | libc::MSG_DONTWAIT))
                }
                Call::SendMsg { fd, msg, flags } | Call::SendMsgZc { fd, msg, flags } => {
                    outcome(libc::sendmsg(fd, msg, flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL))
                }
                Call::Accept { fd, addr, len, flags } => status(libc::accept4(fd, addr, len, flags)),
                Call::Connect { fd, addr, len } => match status(libc::connect(fd, addr, len)) {
                    // Called again when the socket is writable, it tells how that ended.
                    errno if errno == -libc::EINPROGRESS || errno == -libc::EALREADY => -libc::EAGAIN,
                    result => result,
                },
                Call::Shutdown { fd, how } => status(libc::shutdown(fd, how)),
                Call::Splice { from, mut from_off, to, mut to_off, len, flags } => {
                    let from_off = if from_off < 0 { std::ptr::null_mut() } else { &raw mut from_off };
                    let to_off = if to_off < 0 { std::ptr::null_mut() } else { &raw mut to_off };
                    let flags = flags | libc::SPLICE_F_NONBLOCK;
                    // A ring has a thread of the kernel do it, which no signal ends.
                    mask::without_sigpipe(|| {
                        outcome(libc::splice(from, from_off, to, to_off, len as usize, flags))
                    })
                }
                Call::WaitId { id_type, id, info, options } => {
                    status(libc::waitid(id_type, id, info, options))
                }
                // It has no such form: who submits it brings one along.
                Call::Raw(_) => -libc::ENOSYS,
                _ => self.perform_on_file(),
            }
        }
    }

    unsafe fn perform_on_file(&self) -> i32 {
        // SAFETY: the caller's promise.
        unsafe {
            match *self {
                Call::Read { fd, buf, len, offset } | Call::ReadFixed { fd, buf, len, offset, .. } => {
                    outcome(match offset {
                        CURRENT_POSITION => libc::read(fd, buf.cast(), len as usize),
                        _ => libc::pread(fd, buf.cast(), len as usize, offset as libc::off_t),
                    })
                }
                Call::Write { fd, buf, len, offset, flags }
                | Call::WriteFixed { fd, buf, len, offset, flags, .. } => {
                    let part = libc::iovec { iov_base: buf.cast_mut().cast(), iov_len: len as usize };
                    outcome(match offset {
                        _ if flags != 0 => {
                            libc::pwritev2(fd, &raw const part, 1, offset as libc::off_t, flags)
                        }
                        CURRENT_POSITION => libc::write(fd, buf.cast(), len as usize),
                        _ => libc::pwrite(fd, buf.cast(), len as usize, offset as libc::off_t),
                    })
                }
                Call::Readv { fd, iov, n, offset } => outcome(match offset {
                    CURRENT_POSITION => libc::readv(fd, iov, n as libc::c_int),
                    _ => libc::preadv(fd, iov, n as libc::c_int, offset as libc::off_t),
                }),
                Call::Writev { fd, iov, n, offset, flags } => outcome(match offset {
                    _ if flags != 0 => {
                        libc::pwritev2(fd, iov, n as libc::c_int, offset as libc::off_t, flags)
                    }
                    CURRENT_POSITION => libc::writev(fd, iov, n as libc::c_int),
                    _ => libc::pwritev(fd, iov, n as libc::c_int, offset as libc::off_t),
                }),
                Call::Fsync { fd, data_only: false } => status(libc::fsync(fd)),
                Call::Fsync { fd, data_only: true } => status(libc::fdatasync(fd)),
                Call::SyncFileRange { fd, offset, len, flags } => {
                    status(libc::sync_file_range(fd, offset as libc::off64_t, len.into(), flags))
                }
                Call::Fallocate { fd, mode, offset, len } => {
                    status(libc::fallocate(fd, mode, offset as libc::off_t, len as libc::off_t))
                }
                Call::Ftruncate { fd, len } => status(libc::ftruncate(fd, len as libc::off_t)),
                Call::Fadvise { fd, offset, len, advice } => {
                    // This one returns its error.
                    -libc::posix_fadvise(fd, offset as libc::off_t, len.into(), advice)
                }
                _ => self.perform_on_path(),
            }
        }
    }

    unsafe fn perform_on_path(&self) -> i32 {
        // SAFETY: the caller's promise.
        unsafe {
            match *self {
                Call::OpenAt2 { dir, path, how } => {
                    let size = size_of::<libc::open_how>();
                    outcome(libc::syscall(libc::SYS_openat2, dir, path, how, size) as isize)
                }
                Call::Statx { dir, path, flags, mask, out } => {
                    status(libc::statx(dir, path, flags, mask, out))
                }
                Call::RenameAt2 { from_dir, from, to_dir, to, flags } => {
                    outcome(libc::syscall(libc::SYS_renameat2, from_dir, from, to_dir, to, flags) as isize)
                }
                Call::UnlinkAt { dir, path, flags } => status(libc::unlinkat(dir, path, flags)),
                Call::MkdirAt { dir, path, mode } => status(libc::mkdirat(dir, path, mode)),
                Call::LinkAt { from_dir, from, to_dir, to, flags } => {
                    status(libc::linkat(from_dir, from, to_dir, to, flags))
                }
                Call::SymlinkAt { target, dir, path } => status(libc::symlinkat(target, dir, path)),
                Call::GetXattr { path, name, value, len } => {
                    outcome(libc::getxattr(path, name, value.cast(), len as usize))
                }
                Call::SetXattr { path, name, value, len, flags } => {
                    status(libc::setxattr(path, name, value.cast(), len as usize, flags))
                }
                Call::FGetXattr { fd, name, value, len } => {
                    outcome(libc::fgetxattr(fd, name, value.cast(), len as usize))
                }
                Call::FSetXattr { fd, name, value, len, flags } => {
                    status(libc::fsetxattr(fd, name, value.cast(), len as usize, flags))
                }
                _ => unreachable!("all others have been looked at"),
            }
        }
    }
}
