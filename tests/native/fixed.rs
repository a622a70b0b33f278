//! Buffers that rings know for good.

use std::io::Write;
use std::time::{Duration, Instant};

use futures::poll;
use tokio::fs::File;
use tokio::native::entry::opcode;
use tokio::native::{BoundedBuf, FixedBuf, FixedBufPool};
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, Handle, Runtime};

use super::streams::tcp_pair;
use super::{is_emulated, on_all_flavours, on_workers};

/// How many operations with this opcode are in flight on the rings of the current runtime.
fn in_flight(opcode: u8) -> u32 {
    let handle = Handle::current();
    handle.shards().map(|shard| handle.remote(shard).unwrap().stats().in_flight(opcode)).sum()
}

/// Waits until that many are in flight.
async fn reach(opcode: u8, count: u32) {
    let start = Instant::now();
    while in_flight(opcode) != count {
        assert!(start.elapsed() < Duration::from_secs(15), "{} in flight, not {count}", in_flight(opcode));
        tokio::task::yield_now().await;
    }
}

/// A pipe: a ring's read stays in flight until something is written.
fn slow_pipe() -> (pipe::Receiver, std::fs::File) {
    let (tx, rx) = pipe::pipe().unwrap();
    (rx, tx.into_blocking_fd().unwrap().into())
}

fn filled(pool: &FixedBufPool, bytes: &[u8]) -> FixedBuf {
    let mut buf = pool.try_next().unwrap();
    buf.extend_from_slice(bytes);
    buf
}

#[test]
fn files_are_read_and_written() {
    on_workers(|| async {
        let pool = FixedBufPool::new(3, 5000);
        let file = File::from_std(tempfile::tempfile().unwrap());
        let (n, buf) = file.native().write_at(filled(&pool, b"hello world"), 3).await;
        assert_eq!((n.unwrap(), &buf[..]), (11, &b"hello world"[..]));
        let (n, other) = file.native().read_at(pool.next().await, 9).await;
        assert_eq!((n.unwrap(), &other[..]), (5, &b"world"[..]));
        // Parts of buffers.
        let (n, part) = file.native().read_at(buf.slice(6..9), 4).await;
        assert_eq!((n.unwrap(), &part[..]), (3, &b"ell"[..]));
        let buf = part.into_inner();
        assert_eq!(&buf[..], b"hello ellld");
        let (n, part) = file.native().write_all_at(buf.slice(1..5), 0).await;
        assert_eq!(n.unwrap(), 4);
        drop(part);
        let (n, buf) = file.native().read_exact_at(pool.next().await.slice(..8), 0).await;
        assert_eq!((n.unwrap(), &buf[..]), (8, &b"elloello"[..]));
        let (n, buf) = file.native().read_exact_at(pool.next().await, 5).await;
        assert_eq!(n.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(&buf[..], b"llo world");
        let (n, buf) = file.native().read_at(other, 100).await;
        assert_eq!((n.unwrap(), &buf[..]), (0, &b"world"[..]));
    });
}

#[test]
fn the_ring_does_it_with_fixed_operations() {
    on_workers(|| async {
        if is_emulated() {
            return;
        }
        let mut pool = FixedBufPool::new(2, 64);
        let (mut slow, mut tx) = slow_pipe();
        for _ in 0..3 {
            let read = tokio::spawn(async move {
                let (n, buf) = slow.native().read(pool.next().await).await;
                assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
                drop(buf);
                (slow, pool)
            });
            reach(opcode::ReadFixed::CODE, 1).await;
            assert_eq!(in_flight(opcode::Read::CODE), 0);
            tx.write_all(b"hello").unwrap();
            (slow, pool) = read.await.unwrap();
            assert_eq!(in_flight(opcode::ReadFixed::CODE), 0);
        }
        // Other buffers do not become fixed.
        let read = tokio::spawn(async move { slow.native().read(vec![0; 64]).await.0.unwrap() });
        reach(opcode::Read::CODE, 1).await;
        tx.write_all(b"x").unwrap();
        assert_eq!(read.await.unwrap(), 1);
    });
}

#[test]
fn pipes_sockets_and_descriptors() {
    on_workers(|| async {
        let pool = FixedBufPool::new(2, 4096);
        let (tx, rx) = pipe::pipe().unwrap();
        assert_eq!(tx.native().write(filled(&pool, b"hello")).await.0.unwrap(), 5);
        let (n, buf) = rx.native().read(pool.next().await).await;
        assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
        let none = rx.native().read(buf).timeout(Duration::from_millis(5)).await.0;
        assert_eq!(none.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
        let mut all = pool.next().await;
        all.set_len(4096);
        all.fill(7);
        tx.native().write_all(all).await.0.unwrap();
        let (n, buf) = rx.native().read(pool.next().await.slice(..100)).await;
        assert_eq!(n.unwrap(), 100);
        assert!(buf.iter().all(|&b| b == 7));
        drop(buf);

        // `RECV` and `SEND` know no such buffers, and take them all the same.
        let (a, b) = tcp_pair().await;
        a.native().send_zc(filled(&pool, b"zero")).await.0.unwrap();
        a.native().send_all(filled(&pool, b"copy")).await.0.unwrap();
        let (n, buf) = b.native().recv_exact(pool.next().await.slice(..8)).await;
        n.unwrap();
        assert_eq!(&buf[..], b"zerocopy");
    });
}

#[test]
fn a_dropped_read_keeps_its_buffer_until_it_is_over() {
    on_workers(|| async {
        if is_emulated() {
            return;
        }
        let pool = FixedBufPool::new(1, 16);
        let (slow, mut tx) = slow_pipe();
        for round in 0..50 {
            let mut read = Box::pin(slow.native().read(pool.next().await));
            assert!(poll!(&mut read).is_pending());
            if round % 2 == 0 {
                reach(opcode::ReadFixed::CODE, 1).await;
            }
            drop(read);
            // It comes back, and nobody writes to it any more.
            let mut buf = pool.next().await;
            assert_eq!(in_flight(opcode::ReadFixed::CODE), 0);
            buf.set_len(16);
            buf.fill(0xAA);
            tx.write_all(b"y").unwrap();
            tokio::task::yield_now().await;
            assert!(buf.iter().all(|&b| b == 0xAA));
            drop(buf);
            // The read that was dropped has not got it.
            let (n, buf) = slow.native().read(pool.next().await).await;
            assert_eq!((n.unwrap(), &buf[..]), (1, &b"y"[..]));
        }
    });
}

#[test]
fn what_a_dropped_read_of_a_pipe_had_is_found() {
    on_workers(|| async {
        let pool = FixedBufPool::new(1, 16);
        let (tx, rx) = pipe::pipe().unwrap();
        for n in 0..50_u8 {
            let mut read = Box::pin(rx.native().read(pool.next().await));
            assert!(poll!(&mut read).is_pending());
            tx.native().write(vec![n]).await.0.unwrap();
            if n % 2 == 0 {
                tokio::task::yield_now().await;
            }
            drop(read);
            let (read, buf) = rx.native().read(pool.next().await).await;
            assert_eq!((read.unwrap(), &buf[..]), (1, &[n][..]));
        }
    });
}

#[test]
fn a_pool_is_bounded_and_its_buffers_come_back() {
    on_all_flavours(|| async {
        let pool = FixedBufPool::new(2, 100);
        assert_eq!((pool.count(), pool.size()), (2, 100));
        let (a, mut b) = (pool.next().await, pool.try_next().unwrap());
        assert!(pool.try_next().is_none());
        assert_eq!((a.len(), a.capacity()), (0, 100));
        // Buffers do not overlap.
        b.set_len(100);
        b.fill(1);
        let mut a = a;
        a.set_len(100);
        a.fill(2);
        assert!(b.iter().all(|&byte| byte == 1));

        // Who waits gets it, in turn; who does not any more is not waited for.
        let (first, second) = (pool.next(), pool.next());
        let mut given_up = Box::pin(pool.next());
        assert!(poll!(&mut given_up).is_pending());
        let mut first = Box::pin(first);
        let mut second = Box::pin(second);
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        drop(given_up);
        std::thread::spawn(move || drop(b)).join().unwrap();
        let b = first.await;
        assert!(b.is_empty());
        assert!(poll!(&mut second).is_pending());
        drop(a);
        second.await;
        drop(b);
        drop((pool.try_next().unwrap(), pool.try_next().unwrap()));

        // A buffer outlives its pool.
        let mut buf = pool.next().await;
        drop(pool);
        buf.extend_from_slice(b"still there");
        let file = File::from_std(tempfile::tempfile().unwrap());
        assert_eq!(file.native().write_at(buf, 0).await.0.unwrap(), 11);
    });
}

#[test]
fn sizes_have_limits() {
    for (count, size) in [(0, 1), (1, 0), (1, (1 << 30) + 1), (1 << 20, 1025), (2, usize::MAX)] {
        let made = std::panic::catch_unwind(|| FixedBufPool::new(count, size));
        assert!(made.is_err(), "{count} buffers of {size} bytes");
    }
    // Aligned for direct I/O.
    let pool = FixedBufPool::new(3, 4096);
    let bufs: Vec<_> = (0..3).map(|_| pool.try_next().unwrap()).collect();
    assert!(bufs.iter().all(|buf| buf.as_ptr().addr() % 4096 == 0));
}

/// More pools at a time than a ring knows.
#[test]
fn very_many_pools() {
    on_workers(|| async {
        let file = File::from_std(tempfile::tempfile().unwrap());
        let pools: Vec<_> = (0..100).map(|_| FixedBufPool::new(1, 4096)).collect();
        for round in 0..3 {
            for (n, pool) in pools.iter().enumerate() {
                let byte = n as u8 + round;
                file.native().write_at(filled(pool, &[byte; 9]), n as u64).await.0.unwrap();
                let (read, buf) = file.native().read_exact_at(pool.next().await.slice(..9), n as u64).await;
                assert_eq!((read.unwrap(), &buf[..]), (9, &[byte; 9][..]));
            }
        }
        // One after the other there is no limit.
        drop(pools);
        if is_emulated() {
            return;
        }
        let (slow, mut tx) = slow_pipe();
        let slow = std::sync::Arc::new(slow);
        for _ in 0..200 {
            let pool = FixedBufPool::new(1, 4096);
            let theirs = slow.clone();
            let read = tokio::spawn(async move { theirs.native().read(pool.next().await).await.0.unwrap() });
            reach(opcode::ReadFixed::CODE, 1).await;
            tx.write_all(b"x").unwrap();
            assert_eq!(read.await.unwrap(), 1);
        }
    });
}

/// In chains, and on the ring of another shard.
#[test]
fn chains_and_chosen_rings() {
    on_workers(|| async {
        let pool = FixedBufPool::new(3, 64);
        let file = File::from_std(tempfile::tempfile().unwrap());
        for (n, shard) in Handle::current().shards().chain(Handle::current().shards()).enumerate() {
            let lane = tokio::native::lane(shard).unwrap();
            let (native, text) = (file.native(), [b'a' + n as u8; 16]);
            let write = native.write_all_at(filled(&pool, &text), 0);
            let read = native.read_exact_at(pool.next().await.slice(..16), 0);
            let ((written, _), (read, buf)) = tokio::native::chain((write, read)).on(&lane).await;
            assert_eq!((written.unwrap(), read.unwrap(), &buf[..]), (16, 16, &text[..]));
            let (n, buf) = native.read_at(buf, 8).on(&lane).await;
            assert_eq!((n.unwrap(), &buf[..8]), (8, &text[..8]));
        }
        if is_emulated() {
            return;
        }
        let (slow, mut tx) = slow_pipe();
        let (first, second) = (pool.next().await, pool.next().await);
        let (first, second) = (first.slice(..1), second.slice(..1));
        let reads = tokio::spawn(async move {
            let native = slow.native();
            let chain = (native.read(first), native.read(second));
            let ((first, a), (second, b)) = tokio::native::chain(chain).await;
            [(first.unwrap(), a[0]), (second.unwrap(), b[0])]
        });
        reach(opcode::ReadFixed::CODE, 2).await;
        tx.write_all(b"ab").unwrap();
        assert_eq!(reads.await.unwrap(), [(1, b'a'), (1, b'b')]);
    });
}

fn workers(n: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap()
}

#[test]
fn another_ring_learns_of_it_after_block_in_place() {
    for n in 1..3 {
        workers(n).block_on(async {
            if is_emulated() {
                return;
            }
            let work = tokio::spawn(async {
                let pool = FixedBufPool::new(4, 64);
                let (slow, mut tx) = slow_pipe();
                let slow = std::sync::Arc::new(slow);
                for round in 0..10 {
                    // In flight on the ring of a thread that goes to block ...
                    let (theirs, buf) = (slow.clone(), pool.next().await);
                    let read = tokio::spawn(async move { theirs.native().read(buf).await });
                    reach(opcode::ReadFixed::CODE, 1).await;
                    if round % 3 < 2 {
                        let there = tokio::task::block_in_place(|| {
                            // ... and on that of the one that takes over.
                            let handle = Handle::current();
                            std::thread::scope(|scope| {
                                let reached = || handle.block_on(reach(opcode::ReadFixed::CODE, 1));
                                scope.spawn(reached).join().unwrap();
                            });
                            round % 3 == 0 && tx.write_all(b"hello").is_ok()
                        });
                        if !there {
                            tx.write_all(b"hello").unwrap();
                        }
                    } else {
                        tx.write_all(b"hello").unwrap();
                    }
                    let (n, buf) = read.await.unwrap();
                    assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
                }
            });
            tokio::time::timeout(Duration::from_secs(20), work).await.expect("the test hangs").unwrap();
        });
    }
}

#[test]
fn runtimes_go_and_the_pool_stays() {
    let pool = FixedBufPool::new(2, 64);
    let mut kept = Vec::new();
    for n in 0..20 {
        let runtime =
            if n % 2 == 0 { workers(2) } else { Builder::new_current_thread().enable_all().build().unwrap() };
        let (slow, _tx) = {
            let _inside = runtime.enter();
            slow_pipe()
        };
        let (theirs, buf) = (pool.clone(), pool.try_next().unwrap());
        kept.extend(runtime.block_on(async {
            let reads = async move {
                let _ = slow.native().read(buf).await;
                std::future::pending::<()>().await;
            };
            tokio::spawn(reads);
            let mut buf = theirs.next().await;
            if !is_emulated() {
                reach(opcode::ReadFixed::CODE, 1).await;
            }
            buf.extend_from_slice(b"out");
            let file = File::from_std(tempfile::tempfile().unwrap());
            let (n, buf) = file.native().write_at(buf, 0).await;
            assert_eq!(n.unwrap(), 3);
            Some(buf)
        }));
        drop(runtime);
        // Outside of any runtime; the other one came back with the operation.
        assert_eq!(&kept.pop().unwrap()[..], b"out");
        let start = Instant::now();
        while pool.try_next().is_none_or(|_first| pool.try_next().is_none()) {
            assert!(start.elapsed() < Duration::from_secs(20), "a buffer is missing");
            std::thread::yield_now();
        }
    }
}
