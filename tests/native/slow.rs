//! Peers that send more than anybody reads, and peers that read less than is sent: memory stays flat on
//! every lane (H42).
//!
//! Each scene has a process of its own, whose memory is looked at. A gigabyte goes through the connection;
//! whoever is slow rests now and then, and the other side goes on for as long as it is let.

use std::future::Future;
use std::io::{Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{BufPool, Lane};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::common::{alone, in_a_child_with};

const GIGABYTE: usize = 1 << 30;
const REST: Duration = Duration::from_millis(60);
/// More than the kernel keeps of a connection.
const KEPT: usize = 64 << 20;
/// More than all buffers here, and what the allocator does with them.
const GROWTH: usize = 12 << 20;

fn runtimes(lane: Lane) -> [Runtime; 2] {
    let on = |mut builder: Builder| builder.enable_all().lane(lane).build().unwrap();
    let mut workers = Builder::new_multi_thread();
    workers.worker_threads(1);
    [on(Builder::new_current_thread()), on(workers)]
}

/// Runs the scene on a thread that turns a ring, on each flavour.
fn on_each_flavour<F>(lane: Lane, scene: impl Fn() -> F + Copy + Send + 'static)
where
    F: Future<Output = ()> + 'static,
{
    for runtime in runtimes(lane) {
        let shard = runtime.handle().shards().next().unwrap();
        let remote = runtime.handle().remote(shard).unwrap();
        runtime.block_on(remote.spawn_pinned_with(scene)).unwrap();
    }
}

/// A sanitizer keeps freed memory for a while, which would look like growth.
fn in_a_child_of_its_own(test: &str, body: impl FnOnce()) {
    let options = std::env::var("ASAN_OPTIONS").unwrap_or_default();
    let options = format!("{options}:quarantine_size_mb=1:thread_local_quarantine_size_kb=64");
    in_a_child_with(test, &[("ASAN_OPTIONS", options)], body);
}

async fn connection() -> (TcpStream, StdStream) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (ours, listener.accept().unwrap().0)
}

/// The memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// How much memory there is at the most, more than at the beginning.
struct Watch {
    before: usize,
    most: usize,
    next_look: usize,
    next_rest: usize,
}

impl Watch {
    /// So much has been moved, `len` in all. Is a rest due?
    fn moved(&mut self, moved: usize, len: usize) -> bool {
        if moved >= self.next_look {
            self.look();
            self.next_look = moved + (4 << 20);
        }
        let is_tired = moved >= self.next_rest;
        if is_tired {
            self.next_rest = moved + len / 8;
        }
        is_tired
    }

    fn look(&mut self) {
        self.most = self.most.max(resident());
    }

    fn new() -> Watch {
        let now = resident();
        Watch { before: now, most: now, next_look: 0, next_rest: 0 }
    }

    #[track_caller]
    fn assert_flat(&self) {
        let grown = self.most - self.before;
        assert!(grown < GROWTH, "{} KiB more", grown >> 10);
    }
}

// ===== a peer that sends =====

/// Keeps the runtime awake: what it could take in, it has every reason to.
fn keep_turning() -> tokio::task::JoinHandle<()> {
    tokio::spawn(async {
        loop {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    })
}

/// `read` returns how much it has read.
async fn reads_slowly(mut peer: StdStream, mut read: impl AsyncFnMut() -> usize) {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let writer = thread::spawn(move || {
        let chunk = vec![7; 1 << 16];
        while count.load(Relaxed) < GIGABYTE {
            peer.write_all(&chunk).unwrap();
            count.fetch_add(chunk.len(), Relaxed);
        }
    });
    let turning = keep_turning();
    let mut total = 0;
    // Everything has its buffers by then.
    while total < 8 << 20 {
        total += read().await;
    }
    let mut watch = Watch::new();
    while total < GIGABYTE {
        total += read().await;
        if watch.moved(total, GIGABYTE) {
            tokio::time::sleep(REST).await;
            watch.look();
            let kept = written.load(Relaxed) - total.min(written.load(Relaxed));
            assert!(kept < KEPT, "{} MiB were taken that nobody had asked for", kept >> 20);
        }
    }
    turning.abort();
    writer.join().unwrap();
    watch.assert_flat();
}

/// `AsyncRead` and `AsyncWrite` are the same without native operations: once is enough.
fn is_second_run() -> bool {
    std::env::var_os("SPARGIO_NATIVE").is_some()
}

fn by_async_read(lane: Lane) {
    if is_second_run() {
        return;
    }
    on_each_flavour(lane, || async {
        let (mut ours, peer) = connection().await;
        let mut buf = vec![0; 1 << 16];
        reads_slowly(peer, async || ours.read(&mut buf).await.unwrap()).await;
    });
}

#[test]
fn h42_nobody_reads_the_readiness_lane() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_nobody_reads_the_readiness_lane", || by_async_read(Lane::Readiness));
}

#[test]
fn h42_nobody_reads_the_native_lane() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_nobody_reads_the_native_lane", || by_async_read(Lane::Native));
}

#[test]
fn h42_nobody_reads_the_lane_that_chooses() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_nobody_reads_the_lane_that_chooses", || by_async_read(Lane::Auto));
}

#[test]
fn h42_nobody_asks_for_the_next_receive() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_nobody_asks_for_the_next_receive", || {
        on_each_flavour(Lane::Readiness, || async {
            let (ours, peer) = connection().await;
            let mut buf = Some(vec![0; 1 << 16]);
            let receive = async || {
                let (n, back) = ours.native().recv(buf.take().unwrap()).await;
                buf = Some(back);
                n.unwrap()
            };
            reads_slowly(peer, receive).await;
        });
    });
}

#[test]
fn h42_nobody_takes_what_is_received_again_and_again() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_nobody_takes_what_is_received_again_and_again", || {
        on_each_flavour(Lane::Readiness, || async {
            let (ours, peer) = connection().await;
            let pool = BufPool::new(32, 1 << 15);
            let mut incoming = ours.native().recv_multi(&pool);
            reads_slowly(peer, async || incoming.next().await.unwrap().unwrap().len()).await;
        });
    });
}

// ===== a peer that reads =====

/// `write` returns how much it has written.
async fn writes_to_a_slow_reader(len: usize, mut peer: StdStream, mut write: impl AsyncFnMut() -> usize) {
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let reader = thread::spawn(move || {
        let mut buf = vec![0; 1 << 18];
        let mut next_rest = 0;
        loop {
            if count.load(Relaxed) >= next_rest {
                thread::sleep(REST);
                next_rest += len / 8;
            }
            match peer.read(&mut buf).unwrap() {
                0 => return,
                n => count.fetch_add(n, Relaxed),
            };
        }
    });
    let mut total = 0;
    while total < len / 64 {
        total += write().await;
    }
    let mut watch = Watch::new();
    while total < len {
        total += write().await;
        watch.moved(total, usize::MAX);
        let accepted = total - read.load(Relaxed).min(total);
        assert!(accepted < KEPT, "{} MiB were accepted that nobody has read", accepted >> 20);
    }
    watch.look();
    watch.assert_flat();
    drop(write);
    drop(reader);
}

fn by_async_write(lane: Lane) {
    if is_second_run() {
        return;
    }
    on_each_flavour(lane, || async {
        let (mut ours, peer) = connection().await;
        // From the fifth of a turn on they are kept, as far as there is room.
        let small = vec![7; 2000];
        writes_to_a_slow_reader(GIGABYTE / 8, peer, async || {
            ours.write_all(&small).await.unwrap();
            small.len()
        })
        .await;
    });
}

#[test]
fn h42_a_peer_that_rests_holds_up_who_writes() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_a_peer_that_rests_holds_up_who_writes", || {
        by_async_write(Lane::Native);
        by_async_write(Lane::Auto);
    });
}

#[test]
fn h42_a_peer_that_rests_holds_up_who_sends() {
    let _alone = alone();
    in_a_child_of_its_own("slow::h42_a_peer_that_rests_holds_up_who_sends", || {
        on_each_flavour(Lane::Native, || async {
            let (ours, peer) = connection().await;
            let mut buf = Some(vec![7; 1 << 18]);
            writes_to_a_slow_reader(GIGABYTE, peer, async || {
                let (sent, back) = ours.native().send_all(buf.take().unwrap()).await;
                sent.unwrap();
                buf = Some(back);
                1 << 18
            })
            .await;
        });
    });
}
