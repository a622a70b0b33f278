//! `AsyncFd` refuses what epoll refuses (hazard H07), and lets go of what it held.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn pair() -> (UnixStream, UnixStream) {
    let (a, b) = UnixStream::pair().unwrap();
    a.set_nonblocking(true).unwrap();
    b.set_nonblocking(true).unwrap();
    (a, b)
}

fn register<T: AsRawFd>(object: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: in these tests every object outlives its registration, or is meant to be refused.
    unsafe { AsyncFd::register(object) }.map_err(io::Error::from)
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|e| e.raw_os_error())
}

struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[test]
fn what_cannot_be_polled_is_eperm() {
    let rt = runtime();
    let _enter = rt.enter();
    for path in ["/", "/dev/null", "/proc/self/exe"] {
        let file = File::open(path).unwrap();
        assert_eq!(errno(register(file)), Some(libc::EPERM), "{path}");
    }
    assert_eq!(errno(register(Number(-1))), Some(libc::EBADF));
}

#[test]
fn the_object_comes_back_when_it_is_refused() {
    let rt = runtime();
    let _enter = rt.enter();
    let file = File::open("/").unwrap();
    let fd = file.as_raw_fd();
    // SAFETY: refused.
    let error = unsafe { AsyncFd::register(file) }.unwrap_err();
    let (file, cause) = error.into_parts();
    assert_eq!(file.as_raw_fd(), fd);
    assert_eq!(cause.kind(), io::ErrorKind::PermissionDenied);
}

#[test]
fn twice_on_one_runtime_is_eexist_on_two_it_is_not() {
    let (rt, other) = (runtime(), runtime());
    let (a, _b) = pair();
    let fd = a.as_raw_fd();

    let first = {
        let _enter = rt.enter();
        let first = register(a).unwrap();
        assert_eq!(errno(register(Number(fd))), Some(libc::EEXIST));
        first
    };
    {
        let _enter = other.enter();
        drop(register(Number(fd)).unwrap());
    }

    let _enter = rt.enter();
    let a = first.into_inner();
    let again = register(a).unwrap();
    drop(again);
}

#[test]
fn a_forgotten_registration_does_not_outlive_its_file() {
    // Never dropped, but no leak either.
    static FORGOTTEN: Mutex<Vec<AsyncFd<Number>>> = Mutex::new(Vec::new());

    let rt = runtime();
    rt.block_on(async {
        for _ in 0..100 {
            let (a, mut b) = pair();
            let fd = a.as_raw_fd();
            // The number is free again right after this, and most likely the next one used.
            FORGOTTEN.lock().unwrap().push(register(Number(fd)).unwrap());
            let a = UnixStream::from(OwnedFd::from(a));
            drop(a);
            b.write_all(b"x").ok();
        }
    });
}

#[test]
fn dropping_lets_the_peer_see_the_end() {
    let rt = runtime();
    rt.block_on(async {
        for _ in 0..100 {
            let (a, mut b) = pair();
            let a = register(a).unwrap();
            // Somebody has waited, so the kernel is watching.
            let waited = tokio::time::timeout(Duration::from_millis(1), a.readable()).await;
            assert!(waited.is_err());
            drop(a);
            b.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            b.set_nonblocking(false).unwrap();
            assert_eq!(b.read(&mut [0; 8]).unwrap(), 0);
        }
    });
}

#[test]
fn only_the_matching_part_of_the_readiness_is_cleared() {
    let rt = runtime();
    rt.block_on(async {
        let (a, mut b) = pair();
        b.write_all(b"x").unwrap();
        let a = register(a).unwrap();
        a.readable().await.unwrap().retain_ready();
        let mut guard = a.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap();
        assert!(guard.ready().is_readable() && guard.ready().is_writable());
        guard.clear_ready_matching(tokio::io::Ready::READABLE);
        assert!(!guard.ready().is_readable() && guard.ready().is_writable());
        drop(guard);
        a.writable().await.unwrap().retain_ready();
    });
}
