//! Operations on the ring of a chosen shard.

use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{self, fs::OpenHow};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::shard::{self, Shard};

use super::is_emulated;

const RECV: u8 = native::entry::opcode::Recv::CODE;
const LONG: Duration = Duration::from_secs(20);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

/// How many receives each shard's ring has.
fn receives() -> Vec<u32> {
    let handle = Handle::current();
    handle.shards().map(|shard| handle.remote(shard).unwrap().stats().in_flight(RECV)).collect()
}

/// Waits until there are as many as that, on a runtime with rings.
async fn until_receives(expected: &[u32]) {
    let is_so = async {
        while !is_emulated() && receives() != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let is_so = tokio::time::timeout(LONG, is_so).await;
    assert!(is_so.is_ok(), "{:?} instead of {expected:?}", receives());
}

/// Runs a scene as a task that stays on the first shard of three.
fn on_the_first_shard<F: Future<Output = ()> + Send + 'static>(scene: impl FnOnce() -> F) {
    let rt = runtime(3);
    rt.block_on(async {
        let scene = tokio::time::timeout(LONG, scene());
        shard::spawn_pinned(Shard::new(0), scene).await.unwrap().expect("the test hangs");
    });
}

#[test]
fn an_operation_is_on_the_ring_it_was_sent_to() {
    on_the_first_shard(|| async {
        for i in 0..3 {
            let lane = native::lane(Shard::new(i)).unwrap();
            assert_eq!(lane.shard(), Shard::new(i));
            let (mut a, b) = UnixStream::pair().unwrap();
            let mut recv = pin!(b.native().recv(Vec::with_capacity(8)).on(&lane));
            assert!(poll!(&mut recv).is_pending());
            let mut expected = [0; 3];
            expected[i] = 1;
            until_receives(&expected).await;
            a.write_all(b"hello").await.unwrap();
            let (n, buf) = recv.await;
            assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
            until_receives(&[0; 3]).await;
        }
    });
}

#[test]
fn every_step_of_an_operation_goes_there() {
    on_the_first_shard(|| async {
        let lane = native::lane(Shard::new(2)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let how = OpenHow::new().read_write().create(0o600);
        let file = native::fs::open(dir.path().join("file"), how).on(&lane).await.unwrap();
        let (written, _) = file.native().write_all_at(vec![7; 100_000], 0).on(&lane).await;
        assert_eq!(written.unwrap(), 100_000);
        file.native().fdatasync().timeout(LONG).on(&lane).await.unwrap();
        let (read, buf) = file.native().read_exact_at(vec![0; 100_000], 0).on(&lane).await;
        assert_eq!((read.unwrap(), buf), (100_000, vec![7; 100_000]));

        // Bytes in several pieces.
        let (mut a, b) = UnixStream::pair().unwrap();
        let mut recv = pin!(b.native().recv_exact(Vec::with_capacity(6)).on(&lane));
        for piece in [b"ab", b"cd", b"ef"] {
            assert!(poll!(&mut recv).is_pending());
            until_receives(&[0, 0, 1]).await;
            a.write_all(piece).await.unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert_eq!(recv.await.1, b"abcdef");
    });
}

#[test]
fn a_shard_that_does_not_exist() {
    for rt in [runtime(2), Builder::new_current_thread().enable_all().build().unwrap()] {
        let shards = rt.handle().shards().len();
        rt.block_on(async {
            assert!(native::lane(Shard::new(shards - 1)).is_ok());
            let error = native::lane(Shard::new(shards)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert_eq!(error.to_string(), format!("there is no shard {shards}: the runtime has {shards}"));
        });
    }
    assert!(std::panic::catch_unwind(|| native::lane(Shard::new(0))).is_err());
}

#[test]
fn dropped_in_flight_it_loses_nothing() {
    on_the_first_shard(|| async {
        let lane = native::lane(Shard::new(1)).unwrap();
        let (mut a, mut b) = UnixStream::pair().unwrap();
        for i in 0..100_u8 {
            {
                let mut recv = pin!(b.native().recv(Vec::with_capacity(4)).on(&lane));
                assert!(poll!(&mut recv).is_pending());
                if i % 3 == 0 {
                    until_receives(&[0, 1, 0]).await;
                }
                a.write_all(&[i; 4]).await.unwrap();
                if i % 5 == 0 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let mut buf = [0; 4];
            b.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, [i; 4]);
        }
        until_receives(&[0, 0, 0]).await;
    });
}

#[test]
fn a_time_limit() {
    on_the_first_shard(|| async {
        let lane = native::lane(Shard::new(1)).unwrap();
        let (_a, b) = UnixStream::pair().unwrap();
        let recv = b.native().recv(Vec::with_capacity(4)).on(&lane);
        let (result, buf) = recv.timeout(Duration::from_millis(5)).await;
        assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(buf.capacity(), 4);
    });
}

#[test]
fn a_shard_that_blocks_in_place_goes_on_elsewhere() {
    on_the_first_shard(|| async {
        let lane = native::lane(Shard::new(1)).unwrap();
        let (mut a, b) = UnixStream::pair().unwrap();
        // One is on the ring when the worker goes to block, the other comes when it has.
        let (mut c, d) = UnixStream::pair().unwrap();
        let mut first = pin!(b.native().recv(Vec::with_capacity(8)).on(&lane));
        assert!(poll!(&mut first).is_pending());
        until_receives(&[0, 1, 0]).await;
        let (go, wait) = mpsc::channel::<()>();
        let (said, is_in) = tokio::sync::oneshot::channel();
        let blocked = shard::spawn_pinned(Shard::new(1), async move {
            tokio::task::block_in_place(|| {
                said.send(()).unwrap();
                wait.recv().unwrap();
            });
        });
        is_in.await.unwrap();
        let mut second = pin!(d.native().recv(Vec::with_capacity(8)).on(&lane));
        assert!(poll!(&mut second).is_pending());
        until_receives(&[0, 2, 0]).await;
        a.write_all(b"one").await.unwrap();
        c.write_all(b"two").await.unwrap();
        assert_eq!((first.await.1, second.await.1), (b"one".to_vec(), b"two".to_vec()));
        go.send(()).unwrap();
        blocked.await.unwrap();
    });
}

/// Again and again its ring is replaced as operations are handed to it: none is lost or refused.
#[test]
fn a_shard_that_blocks_in_place_all_the_time() {
    on_the_first_shard(|| async {
        let lane = native::lane(Shard::new(1)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let how = OpenHow::new().read_write().create(0o600);
        let file = native::fs::open(dir.path().join("file"), how).await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let blocks = {
            let is_over = is_over.clone();
            shard::spawn_pinned(Shard::new(1), async move {
                while !is_over.load(Relaxed) {
                    tokio::task::block_in_place(|| std::thread::sleep(Duration::from_micros(50)));
                    tokio::task::yield_now().await;
                }
            })
        };
        for i in 0..1000_u64 {
            let write = file.native().write_all_at(i.to_ne_bytes().to_vec(), 0);
            let read = file.native().read_exact_at(vec![0; 8], 0);
            let ((written, _), (read, buf)) = native::chain((write, read)).on(&lane).await;
            assert_eq!((written.unwrap(), read.unwrap(), buf), (8, 8, i.to_ne_bytes().to_vec()));
            file.native().fdatasync().on(&lane).await.unwrap();
        }
        is_over.store(true, Relaxed);
        blocks.await.unwrap();
    });
}

#[test]
fn a_shard_that_blocks_without_telling_is_waited_for() {
    on_the_first_shard(|| async {
        let lane = native::lane(Shard::new(1)).unwrap();
        let (mut a, b) = UnixStream::pair().unwrap();
        let (go, wait) = mpsc::channel::<()>();
        let (said, is_in) = tokio::sync::oneshot::channel();
        let blocked = shard::spawn_pinned(Shard::new(1), async move {
            said.send(()).unwrap();
            wait.recv().unwrap();
        });
        is_in.await.unwrap();
        a.write_all(b"one").await.unwrap();
        let mut recv = pin!(b.native().recv(Vec::with_capacity(8)).on(&lane));
        if !is_emulated() {
            assert!(poll!(&mut recv).is_pending());
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(poll!(&mut recv).is_pending());
            // One that is dropped meanwhile takes nothing.
            let mut other = Box::pin(b.native().recv(Vec::with_capacity(8)).on(&lane));
            assert!(poll!(&mut other).is_pending());
        }
        go.send(()).unwrap();
        assert_eq!(recv.await.1, b"one");
        blocked.await.unwrap();
    });
}

#[test]
fn a_runtime_that_ends_meanwhile() {
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    let rt = runtime(2);
    let (lane, [_a, b]) = rt.block_on(async {
        let (a, b) = UnixStream::pair().unwrap();
        (native::lane(Shard::new(1)).unwrap(), [a, b])
    });
    let is_ring = rt.block_on(async { !is_emulated() });
    let remote = rt.handle().remote(Shard::new(1)).unwrap();
    let mut recv = Box::pin(b.native().recv(Vec::with_capacity(8)).on(&lane));
    here.block_on(async {
        assert!(poll!(&mut recv).is_pending());
        while is_ring && remote.stats().in_flight(RECV) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    rt.shutdown_timeout(LONG);
    let ended = here.block_on(async { tokio::time::timeout(LONG, recv).await });
    let (result, buf) = ended.expect("it hangs");
    assert!(result.is_err());
    assert_eq!(buf.capacity(), 8);
    assert_eq!(remote.stats().in_flight(RECV), 0);
    assert_eq!(remote.stats().leaked, 0);

    // And what comes after that.
    let late = b.native().recv(Vec::with_capacity(8)).on(&lane);
    assert!(here.block_on(async { tokio::time::timeout(LONG, late).await }).expect("it hangs").0.is_err());
}
