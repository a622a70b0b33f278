//! Both forms of the same.
//!
//! # Safety
//!
//! What the calls point to lives on the stack of the test, which waits for them.
#![allow(unsafe_code)]

use std::io::{Read as _, Seek as _, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, opcode};

use super::*;

/// The result of the entry, on a ring of its own.
fn submit(call: &Call) -> i32 {
    let mut ring = IoUring::new(2).unwrap();
    // SAFETY: the operation has ended when this function returns.
    unsafe { ring.submission().push(&call.entry()).unwrap() };
    ring.submit_and_wait(1).unwrap();
    ring.completion().next().unwrap().result()
}

/// Does this kernel know the operation?
fn knows(code: u8) -> bool {
    let mut probe = io_uring::Probe::new();
    let ring = IoUring::new(2).unwrap();
    ring.submitter().register_probe(&mut probe).is_ok() && probe.is_supported(code)
}

fn both(call: Call) -> [i32; 2] {
    // SAFETY: see the module docs.
    [submit(&call), unsafe { call.perform() }]
}

#[test]
fn sockets() {
    let (mut a, b) = UnixStream::pair().unwrap();
    a.write_all(b"hello").unwrap();
    let mut buf = [0; 5];
    let call = Call::Recv {
        fd: b.as_raw_fd(),
        buf: buf.as_mut_ptr(),
        len: 5,
        flags: libc::MSG_PEEK,
        poll_first: false,
    };
    assert_eq!(both(call), [5, 5]);
    assert_eq!(&buf, b"hello");
    let call = Call::Send { fd: a.as_raw_fd(), buf: buf.as_ptr(), len: 2, flags: libc::MSG_NOSIGNAL };
    assert_eq!(both(call), [2, 2]);
    assert_eq!((&b).read(&mut [0; 16]).unwrap(), 9);
    assert_eq!(both(Call::Shutdown { fd: a.as_raw_fd(), how: libc::SHUT_WR }), [0, 0]);
    assert_eq!((&b).read(&mut buf).unwrap(), 0);
    let call = Call::Recv { fd: -1, buf: buf.as_mut_ptr(), len: 5, flags: 0, poll_first: true };
    assert_eq!(both(call), [-libc::EBADF; 2]);
}

#[test]
fn files() {
    let mut file = tempfile::tempfile().unwrap();
    let fd = file.as_raw_fd();
    let data = b"some data";
    let call = Call::Write { fd, buf: data.as_ptr(), len: 9, offset: 3, flags: 0 };
    assert_eq!(both(call), [9, 9]);
    let mut buf = [0; 16];
    let call = Call::Read { fd, buf: buf.as_mut_ptr(), len: 16, offset: 3 };
    assert_eq!(both(call), [9, 9]);
    assert_eq!(&buf[..9], data);
    let call = Call::Read { fd, buf: buf.as_mut_ptr(), len: 6, offset: CURRENT_POSITION };
    assert_eq!(both(call), [6, 6]);
    assert_eq!(file.stream_position().unwrap(), 12);
    for call in [
        Call::Fsync { fd, data_only: false },
        Call::Fsync { fd, data_only: true },
        Call::SyncFileRange { fd, offset: 0, len: 4, flags: libc::SYNC_FILE_RANGE_WRITE },
        Call::Fallocate { fd, mode: 0, offset: 0, len: 100 },
        Call::Fadvise { fd, offset: 0, len: 0, advice: libc::POSIX_FADV_RANDOM },
        Call::Ftruncate { fd, len: 5 },
    ] {
        // Since 6.9.
        if matches!(call, Call::Ftruncate { .. }) && !knows(opcode::Ftruncate::CODE) {
            // SAFETY: see the module docs.
            assert_eq!(unsafe { call.perform() }, 0);
            continue;
        }
        assert_eq!(both(call.clone()), [0, 0], "{call:?}");
    }
    assert_eq!(file.metadata().unwrap().len(), 5);
    let advice = Call::Fadvise { fd, offset: 0, len: 0, advice: 99 };
    assert_eq!(both(advice), [-libc::EINVAL; 2]);
}

#[test]
fn paths() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| std::ffi::CString::new(dir.path().join(name).to_str().unwrap()).unwrap();
    let at = libc::AT_FDCWD;
    let [a, b, c] = ["a", "b", "c"].map(path);

    // The second finds what the first has done.
    let call = Call::MkdirAt { dir: at, path: a.as_ptr(), mode: 0o700 };
    assert_eq!(both(call), [0, -libc::EEXIST]);
    let call = Call::RenameAt2 { from_dir: at, from: a.as_ptr(), to_dir: at, to: b.as_ptr(), flags: 0 };
    assert_eq!(both(call), [0, -libc::ENOENT]);
    let call = Call::SymlinkAt { target: b.as_ptr(), dir: at, path: a.as_ptr() };
    assert_eq!(both(call), [0, -libc::EEXIST]);
    let call = Call::UnlinkAt { dir: at, path: b.as_ptr(), flags: libc::AT_REMOVEDIR };
    assert_eq!(both(call), [0, -libc::ENOENT]);
    std::fs::write(dir.path().join("b"), b"12345").unwrap();
    let call = Call::LinkAt { from_dir: at, from: b.as_ptr(), to_dir: at, to: c.as_ptr(), flags: 0 };
    assert_eq!(both(call), [0, -libc::EEXIST]);

    // SAFETY: all zero is a valid one.
    let mut out: libc::statx = unsafe { std::mem::zeroed() };
    let call = Call::Statx { dir: at, path: c.as_ptr(), flags: 0, mask: libc::STATX_SIZE, out: &raw mut out };
    assert_eq!(both(call), [0, 0]);
    assert_eq!(out.stx_size, 5);
    // SAFETY: all zero is a valid one.
    let mut how: libc::open_how = unsafe { std::mem::zeroed() };
    how.flags = (libc::O_RDONLY | libc::O_CLOEXEC) as u64;
    let call = Call::OpenAt2 { dir: at, path: c.as_ptr(), how: &raw const how };
    for fd in both(call) {
        // SAFETY: just opened, for this test.
        let mut file = unsafe { <std::fs::File as std::os::fd::FromRawFd>::from_raw_fd(fd) };
        let mut contents = String::new();
        file.read_to_string(&mut contents).unwrap();
        assert_eq!(contents, "12345");
    }
}
