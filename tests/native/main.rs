//! The native lane: every operation, on whatever lane there is, and all of it again without a ring.
//!
//! A new operation needs a row in docs/NATIVE.md (operation, opcode, kernel, fallback) and one in
//! `operations/table.rs`: how to do it, and what it waits for. From that row it gets its tests on the
//! ring, on the fallback (the same tests again, by `everything_again_without_the_ring`), and those that
//! drop it: before it is submitted, in flight, when it may be done, when it is, and with its runtime.
//! `operations/documented.rs` fails while either row is missing. What is special about an operation is
//! tested in the other files.

#[path = "../common/mod.rs"]
mod common;

mod broken;
mod buffers;
mod cancel;
mod chains;
mod datagrams;
mod descriptors;
mod files;
mod fixed;
mod held;
mod lanes;
mod leaving;
mod multishot;
mod names;
mod operations;
mod pools;
mod slow;
mod streams;

use std::future::Future;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::time::Duration;

use tokio::runtime::BackendKind;

/// Runs a test on both flavours, with a limit.
fn on_all_flavours<F: Future<Output = ()>>(test: impl Fn() -> F) {
    on_flavours(2, test);
}

fn on_flavours<F: Future<Output = ()>>(workers: usize, test: impl Fn() -> F) {
    let limited = |test: F| async move {
        tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs");
    };
    let current = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    current.block_on(limited(test()));
    let mut multi = tokio::runtime::Builder::new_multi_thread();
    let multi = multi.worker_threads(workers).enable_all().build().unwrap();
    multi.block_on(limited(test()));
}

/// The same for a future that can be spawned, so that a worker runs it.
fn on_workers<F: Future<Output = ()> + Send + 'static>(test: impl Fn() -> F) {
    on_all_flavours(|| async { tokio::spawn(test()).await.unwrap() });
}

/// The same with one worker: all that belongs to a ring, as the buffers of a pool do, is in one place.
fn on_one_worker<F: Future<Output = ()> + Send + 'static>(test: impl Fn() -> F) {
    on_flavours(1, || async { tokio::spawn(test()).await.unwrap() });
}

/// What a TCP connection has sent and its peer has not heard yet, in packets; of a listener: how many connections wait
/// in its queue.
fn unacked(socket: &impl AsRawFd) -> u32 {
    // SAFETY: all zero is a valid one.
    let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
    let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
    let (fd, info_at) = (socket.as_raw_fd(), (&raw mut info).cast());
    // SAFETY: `info` has `len` bytes, and outlives the call.
    let done = unsafe { libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, info_at, &mut len) };
    assert_eq!(done, 0);
    info.tcpi_unacked
}

/// Does nothing of the current runtime go to a ring, by whoever's choice?
fn is_emulated() -> bool {
    let backend = tokio::runtime::Handle::current().backend().kind();
    std::env::var_os("SPARGIO_NATIVE").is_some() || backend != BackendKind::IoUring
}

#[test]
fn everything_again_without_the_ring() {
    if std::env::var_os("SPARGIO_NATIVE").is_some() {
        return;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    let again = again.env("SPARGIO_NATIVE", "emulated").args(["--test-threads", "2"]);
    assert!(common::spawn(again).wait().unwrap().success());
}

#[test]
fn caps_say_what_there_is() {
    on_all_flavours(|| async {
        let caps = tokio::native::caps();
        assert_eq!(caps.has_ring(), !is_emulated());
        assert_eq!(caps.supports(tokio::native::entry::opcode::Recv::CODE), !is_emulated());
        assert!(!caps.supports(255));
        assert_eq!(caps.operations().count(), 34);
        assert!(format!("{caps:?}").contains("\"RECV\": "));
    });
}
