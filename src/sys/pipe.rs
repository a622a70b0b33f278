//! The system calls a pipe end needs: its file type, its status flags and who
//! shares them, and a read into the spare capacity of a buffer.
//!
//! # Safety
//!
//! Every descriptor is borrowed, hence open, for the length of the call; every
//! pointer handed to the kernel comes from a live local or a live chunk and
//! travels with that object's own length.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
#[cfg(feature = "uring-native")]
use std::os::fd::RawFd;
use std::os::fd::{AsRawFd, BorrowedFd};

/// The file status flags of a descriptor (`fcntl(F_GETFL)`).
#[derive(Clone, Copy)]
pub(crate) struct StatusFlags(libc::c_int);

impl StatusFlags {
    /// Reads the flags of `fd`.
    pub(crate) fn of(fd: BorrowedFd<'_>) -> io::Result<StatusFlags> {
        // SAFETY: `F_GETFL` takes no argument and writes no memory.
        let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
        if flags == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(StatusFlags(flags))
    }

    /// Opened with `O_RDONLY` or `O_RDWR`.
    pub(crate) fn can_read(self) -> bool {
        matches!(self.access_mode(), libc::O_RDONLY | libc::O_RDWR)
    }

    /// Opened with `O_WRONLY` or `O_RDWR`.
    pub(crate) fn can_write(self) -> bool {
        matches!(self.access_mode(), libc::O_WRONLY | libc::O_RDWR)
    }

    /// Is `O_NONBLOCK` set?
    #[cfg(feature = "uring-native")]
    pub(crate) fn is_nonblocking(self) -> bool {
        self.0 & libc::O_NONBLOCK != 0
    }

    fn access_mode(self) -> libc::c_int {
        self.0 & libc::O_ACCMODE
    }

    /// Sets or clears `O_NONBLOCK` on `fd`, whose flags these are. No system
    /// call if the flag already has that value.
    pub(crate) fn set_nonblocking(self, fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
        let wanted = if on { self.0 | libc::O_NONBLOCK } else { self.0 & !libc::O_NONBLOCK };
        if wanted == self.0 {
            return Ok(());
        }
        // SAFETY: `F_SETFL` takes an integer and writes no memory.
        if unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, wanted) } == -1 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    }
}

/// Are both the same open file, which has one set of status flags? `false` if the kernel does not say:
/// without `CONFIG_KCMP`, or where it is forbidden.
#[cfg(feature = "uring-native")]
pub(crate) fn is_same_file(a: RawFd, b: RawFd) -> bool {
    const KCMP_FILE: libc::c_int = 0;
    let process = std::process::id();
    // SAFETY: it compares two of this process's descriptors, and touches no memory; one that is not open
    // is an error.
    unsafe { libc::syscall(libc::SYS_kcmp, process, process, KCMP_FILE, a, b) == 0 }
}

/// Is `fd` a pipe or a FIFO?
pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(file_type(fd)? == libc::S_IFIFO)
}

/// Is `fd` a pipe, a FIFO or a socket: something whose other end may go away?
#[cfg(feature = "uring-native")]
pub(crate) fn can_break(fd: BorrowedFd<'_>) -> bool {
    matches!(file_type(fd), Ok(libc::S_IFIFO | libc::S_IFSOCK))
}

/// Is `fd` a socket?
#[cfg(feature = "uring-native")]
pub(crate) fn is_socket(fd: BorrowedFd<'_>) -> bool {
    matches!(file_type(fd), Ok(libc::S_IFSOCK))
}

fn file_type(fd: BorrowedFd<'_>) -> io::Result<libc::mode_t> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for one `stat`, which is what the kernel writes.
    if unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fstat` succeeded, so it filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.st_mode & libc::S_IFMT)
}

cfg_io_util! {
    use bytes::BufMut;

    /// `read(2)` into the next chunk of `buf`, which is advanced by the number of
    /// bytes read.
    pub(crate) fn read_buf<B: BufMut>(fd: BorrowedFd<'_>, buf: &mut B) -> io::Result<usize> {
        let chunk = buf.chunk_mut();
        // Longer reads are refused or cut by the kernel anyway.
        let len = chunk.len().min(isize::MAX as usize);
        // SAFETY: the kernel only writes, and at most `len` bytes, into the chunk.
        let n = unsafe { libc::read(fd.as_raw_fd(), chunk.as_mut_ptr().cast(), len) };
        if n == -1 {
            return Err(io::Error::last_os_error());
        }
        let n = n as usize;
        assert!(n <= len, "read {n} bytes into room for {len}");
        // SAFETY: the kernel wrote the first `n` bytes of the chunk.
        unsafe { buf.advance_mut(n) };
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn tells_a_pipe_from_a_socket_and_a_file() {
        let (tx, rx) = mio::unix::pipe::new().unwrap();
        assert!(is_pipe(tx.as_fd()).unwrap());
        assert!(is_pipe(rx.as_fd()).unwrap());
        let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(!is_pipe(socket.as_fd()).unwrap());
        assert!(!is_pipe(std::fs::File::open("/").unwrap().as_fd()).unwrap());
    }

    #[test]
    fn access_modes_and_nonblocking() {
        let (tx, rx) = mio::unix::pipe::new().unwrap();
        let (tx_flags, rx_flags) =
            (StatusFlags::of(tx.as_fd()).unwrap(), StatusFlags::of(rx.as_fd()).unwrap());
        assert!(tx_flags.can_write() && !tx_flags.can_read());
        assert!(rx_flags.can_read() && !rx_flags.can_write());

        rx_flags.set_nonblocking(rx.as_fd(), false).unwrap();
        let now = StatusFlags::of(rx.as_fd()).unwrap();
        assert_eq!(now.0 & libc::O_NONBLOCK, 0);
        now.set_nonblocking(rx.as_fd(), true).unwrap();
        assert_ne!(StatusFlags::of(rx.as_fd()).unwrap().0 & libc::O_NONBLOCK, 0);
    }

    #[cfg(feature = "uring-native")]
    #[test]
    fn tells_who_shares_the_flags() {
        let (tx, rx) = mio::unix::pipe::new().unwrap();
        let duplicate = tx.as_fd().try_clone_to_owned().unwrap();
        assert!(is_same_file(tx.as_raw_fd(), duplicate.as_raw_fd()));
        assert!(!is_same_file(tx.as_raw_fd(), rx.as_raw_fd()));
        assert!(!is_same_file(tx.as_raw_fd(), -1));
    }

    #[cfg(feature = "io-util")]
    #[test]
    fn reads_into_spare_capacity() {
        use std::io::Write;

        let (mut tx, rx) = mio::unix::pipe::new().unwrap();
        let mut buf = Vec::with_capacity(8);
        let err = read_buf(rx.as_fd(), &mut buf).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        assert!(buf.is_empty());

        tx.write_all(b"abc").unwrap();
        assert_eq!(read_buf(rx.as_fd(), &mut buf).unwrap(), 3);
        drop(tx);
        assert_eq!(read_buf(rx.as_fd(), &mut buf).unwrap(), 0);
        assert_eq!(buf, b"abc");
    }
}
