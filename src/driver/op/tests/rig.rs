//! The operations that the tests submit, and the driver that carries them out.
//!
//! # Safety
//!
//! The operations own their buffers, paths and descriptors; the heap blocks they point to stay where
//! they are.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::future::Future;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::super::*;
use crate::driver::{Cfg, Driver, Handle};
use crate::sys::uring::Sqe;

/// What became of one.
#[derive(Default, Debug)]
pub(super) struct Fate {
    entered: AtomicUsize,
    completed: AtomicUsize,
    orphaned: AtomicUsize,
    dropped: AtomicUsize,
}

impl Fate {
    pub(super) fn read(&self) -> [usize; 4] {
        [&self.entered, &self.completed, &self.orphaned, &self.dropped].map(|n| n.load(SeqCst))
    }
}

/// Reads once.
pub(super) struct Read {
    fd: Arc<OwnedFd>,
    buf: Vec<u8>,
    fate: Arc<Fate>,
}

impl Read {
    pub(super) fn new(fd: &Arc<OwnedFd>) -> (Read, Arc<Fate>) {
        let fate = Arc::new(Fate::default());
        (Read { fd: fd.clone(), buf: vec![0xAA; 64], fate: fate.clone() }, fate)
    }
}

// SAFETY: the buffer and the reference to the descriptor are its own.
unsafe impl Operation for Read {
    type Output = io::Result<Vec<u8>>;
    const HOLDS_CLOCK: bool = true;

    fn entry(&mut self) -> Sqe {
        self.fate.entered.fetch_add(1, SeqCst);
        // SAFETY: see above.
        unsafe { Sqe::read(self.fd.as_raw_fd(), self.buf.as_mut_ptr(), self.buf.len() as u32, u64::MAX) }
    }

    fn complete(mut self, completion: Completion) -> io::Result<Vec<u8>> {
        self.fate.completed.fetch_add(1, SeqCst);
        self.buf.truncate(completion.result? as usize);
        Ok(mem::take(&mut self.buf))
    }

    fn orphan(self, _: Completion) {
        self.fate.orphaned.fetch_add(1, SeqCst);
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.fate.dropped.fetch_add(1, SeqCst);
    }
}

/// Opens a file.
pub(super) struct Open {
    path: CString,
    flags: i32,
}

impl Open {
    pub(super) fn new(path: &Path, flags: i32) -> Open {
        Open { path: CString::new(path.as_os_str().as_bytes()).unwrap(), flags }
    }
}

// SAFETY: the path is on the heap and its own.
unsafe impl Operation for Open {
    type Output = io::Result<OwnedFd>;

    fn entry(&mut self) -> Sqe {
        // SAFETY: see above.
        unsafe { Sqe::open(self.path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC | self.flags, 0) }
    }

    fn complete(self, completion: Completion) -> io::Result<OwnedFd> {
        // SAFETY: the kernel has just opened it for us.
        completion.result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }
}

/// Accepts connections, one after the other.
pub(super) struct Accept {
    pub(super) listener: Arc<OwnedFd>,
    pub(super) orphans: Arc<AtomicUsize>,
}

// SAFETY: it points to nothing, and the reference to the descriptor is its own.
unsafe impl StreamOperation for Accept {
    type Item = io::Result<OwnedFd>;

    fn enough(&self) -> usize {
        usize::MAX
    }

    fn entry(&mut self) -> Sqe {
        let entry = io_uring::opcode::AcceptMulti::new(io_uring::types::Fd(self.listener.as_raw_fd()));
        // SAFETY: see above.
        unsafe { Sqe::operation(entry.build()) }
    }

    fn item(&self, completion: Completion) -> io::Result<OwnedFd> {
        // SAFETY: the kernel has just opened it for us.
        completion.result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
    }

    fn orphan(&self, completion: Completion) -> Option<Self::Item> {
        let item = self.item(completion);
        self.orphans.fetch_add(usize::from(item.is_ok()), SeqCst);
        Some(item)
    }
}

/// Sends without a copy: the result comes first, the buffer is free with `F_NOTIF`.
pub(super) struct SendZc {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) buf: Vec<u8>,
}

// SAFETY: the buffer and the reference to the descriptor are its own.
unsafe impl Operation for SendZc {
    type Output = (io::Result<u32>, Vec<u8>);

    fn entry(&mut self) -> Sqe {
        let fd = io_uring::types::Fd(self.fd.as_raw_fd());
        let entry = io_uring::opcode::SendZc::new(fd, self.buf.as_ptr(), self.buf.len() as u32);
        // SAFETY: see above.
        unsafe { Sqe::operation(entry.build()) }
    }

    fn complete(self, completion: Completion) -> Self::Output {
        (completion.result, self.buf)
    }
}

/// Counts wake-ups.
#[derive(Default)]
pub(super) struct Wakes(pub(super) AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

pub(super) struct Rig {
    pub(super) driver: Driver,
    pub(super) handle: Handle,
    pub(super) wakes: Arc<Wakes>,
}

impl Rig {
    pub(super) fn new() -> Rig {
        Rig::with_clock(false)
    }

    pub(super) fn with_clock(start_paused: bool) -> Rig {
        let cfg = Cfg {
            enable_io: true,
            enable_time: true,
            enable_pause_time: true,
            start_paused,
            fire_at_shutdown: false,
            lane: None,
        };
        let (mut driver, handle) = crate::driver::new_single(&cfg).unwrap();
        driver.attach();
        Rig { driver, handle, wakes: Arc::default() }
    }

    pub(super) fn poll<T: Operation>(&self, op: &mut Op<T>) -> Poll<T::Output> {
        let waker = Waker::from(self.wakes.clone());
        Pin::new(op).poll(&mut Context::from_waker(&waker))
    }

    pub(super) fn turn(&mut self) {
        self.driver.park_timeout(&self.handle, Duration::from_millis(2));
    }

    /// Turns until `op` is ready.
    #[track_caller]
    pub(super) fn finish<T: Operation>(&mut self, op: &mut Op<T>) -> T::Output {
        let start = Instant::now();
        loop {
            if let Poll::Ready(output) = self.poll(op) {
                return output;
            }
            assert!(start.elapsed() < Duration::from_secs(10), "it never ends");
            self.turn();
        }
    }

    /// Turns until `condition` holds.
    #[track_caller]
    pub(super) fn until(&mut self, condition: impl Fn() -> bool) {
        let start = Instant::now();
        while !condition() {
            assert!(start.elapsed() < Duration::from_secs(10), "it never happens");
            self.turn();
        }
    }

    pub(super) fn end(self) {
        drop(self);
    }
}

/// Also where a test is to panic: its thread would keep the seat.
impl Drop for Rig {
    fn drop(&mut self) {
        self.driver.shutdown(&self.handle);
    }
}

pub(super) fn pair() -> (Arc<OwnedFd>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    (Arc::new(OwnedFd::from(ours)), theirs)
}
