//! The system calls a pipe end needs: its file type, its status flags, and a
//! read into memory that need not be initialised.
//!
//! # Safety
//!
//! Every descriptor is borrowed, hence open, for the length of the call; every
//! pointer handed to the kernel comes from a live local or a live slice and
//! travels with that object's own length.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
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

    fn access_mode(self) -> libc::c_int {
        self.0 & libc::O_ACCMODE
    }

    /// Sets or clears `O_NONBLOCK` on `fd`, whose flags these are. No system
    /// call if the flag already has that value.
    pub(crate) fn set_nonblocking(self, fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
        let wanted = if on {
            self.0 | libc::O_NONBLOCK
        } else {
            self.0 & !libc::O_NONBLOCK
        };
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

/// Is `fd` a pipe or a FIFO?
pub(crate) fn is_pipe(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: `stat` has room for one `stat`, which is what the kernel writes.
    if unsafe { libc::fstat(fd.as_raw_fd(), stat.as_mut_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fstat` succeeded, so it filled the structure.
    let stat = unsafe { stat.assume_init() };
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFIFO)
}

/// `read(2)`; the first `n` bytes of `buf` are initialised on `Ok(n)`.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // The kernel transfers at most `MAX_RW_COUNT`; std caps at `isize::MAX` too.
    let len = buf.len().min(isize::MAX as usize);
    // SAFETY: the kernel only writes, and at most `len` bytes, into the slice.
    let n = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), len) };
    if n == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(n as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
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
        let (tx_flags, rx_flags) = (
            StatusFlags::of(tx.as_fd()).unwrap(),
            StatusFlags::of(rx.as_fd()).unwrap(),
        );
        assert!(tx_flags.can_write() && !tx_flags.can_read());
        assert!(rx_flags.can_read() && !rx_flags.can_write());

        rx_flags.set_nonblocking(rx.as_fd(), false).unwrap();
        let now = StatusFlags::of(rx.as_fd()).unwrap();
        assert_eq!(now.0 & libc::O_NONBLOCK, 0);
        now.set_nonblocking(rx.as_fd(), true).unwrap();
        assert_ne!(
            StatusFlags::of(rx.as_fd()).unwrap().0 & libc::O_NONBLOCK,
            0
        );
    }

    #[test]
    fn reads_into_uninitialised_memory() {
        let (mut tx, rx) = mio::unix::pipe::new().unwrap();
        let mut buf = [const { MaybeUninit::<u8>::uninit() }; 8];
        let err = read(rx.as_fd(), &mut buf).unwrap_err();
        assert_eq!(err.kind(), io::ErrorKind::WouldBlock);
        tx.write_all(b"abc").unwrap();
        assert_eq!(read(rx.as_fd(), &mut buf).unwrap(), 3);
        drop(tx);
        assert_eq!(read(rx.as_fd(), &mut buf).unwrap(), 0);
    }
}
