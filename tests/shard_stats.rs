//! What a shard counts: `Remote::stats`.

use std::io::{Read, Write};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::{BackendKind, Builder, Runtime};
use tokio::shard::{self, Remote, Shard, ShardStats};
use tokio::task::block_in_place;
use tokio::time::{sleep, timeout};

const LONG: Duration = Duration::from_secs(20);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

fn remote(rt: &Runtime, shard: usize) -> Remote {
    rt.handle().remote(Shard::new(shard)).unwrap()
}

/// Waits until the shard's numbers are as they should be: they are published now and then.
fn eventually(remote: &Remote, is_so: impl Fn(&ShardStats) -> bool) -> ShardStats {
    let start = Instant::now();
    loop {
        let stats = remote.stats();
        if is_so(&stats) {
            return stats;
        }
        assert!(start.elapsed() < LONG, "{stats:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn has_ring(rt: &Runtime) -> bool {
    rt.handle().backend().kind() == BackendKind::IoUring
}

#[test]
fn a_socket_in_numbers() {
    let rt = runtime(1);
    let remote = remote(&rt, 0);
    let before = remote.stats();
    let listener = rt.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let addr = listener.local_addr().unwrap();
    let server = rt.spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        let mut buf = [0; 16];
        while let n @ 1.. = stream.read(&mut buf).await.unwrap() {
            stream.write_all(&buf[..n]).await.unwrap();
        }
    });
    let mut client = std::net::TcpStream::connect(addr).unwrap();
    let enough = |stats: ShardStats| stats.task_polls > 10 && stats.turns >= before.turns + 10;
    let start = Instant::now();
    // Each is an event, unless the next one is there before the server waits for it.
    for round in 0.. {
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
        if round >= 20 && enough(remote.stats()) {
            break;
        }
        assert!(start.elapsed() < LONG, "{:?} after {round} rounds", remote.stats());
        thread::sleep(Duration::from_millis(1));
    }
    // The stream, and no longer the listener. A poll that fires goes on watching.
    let during = eventually(&remote, |stats| stats.watched == 1 && stats.task_polls > 10);
    drop(client);
    rt.block_on(server).unwrap();
    let after = eventually(&remote, |stats| stats.watched == 0);
    assert!(after.turns >= during.turns && during.turns > before.turns);
    assert!(after.task_polls >= during.task_polls);
    // Sockets need no ring.
    assert_eq!((after.enters, after.submissions, after.completions), (0, 0, 0));
    drop(rt);
    // Nothing is forgotten with the runtime.
    let gone = remote.stats();
    assert!(gone.turns >= after.turns);
    assert_eq!((gone.watched, gone.leaked, gone.all_in_flight().count()), (0, 0, 0));
}

#[test]
fn doorbells_of_a_sleeping_shard() {
    let rt = runtime(2);
    let remote = remote(&rt, 1);
    let before = eventually(&remote, |stats| stats.turns > 0).doorbells;
    let rung = || remote.stats().doorbells - before;
    let (start, mut rounds) = (Instant::now(), 0);
    // One each, unless it was awake for another reason; and some to look after its sibling.
    while rounds < 50 || rung() < 50 {
        assert!(start.elapsed() < LONG, "{} in {rounds} rounds", rung());
        thread::sleep(Duration::from_millis(2));
        rt.block_on(remote.spawn_pinned(async {})).unwrap();
        rounds += 1;
    }
    assert!(rung() < 4 * rounds, "{} in {rounds} rounds", rung());
}

#[test]
fn steals_are_counted() {
    let rt = runtime(2);
    rt.block_on(async {
        let hog = shard::spawn_pinned(Shard::new(0), async {
            let tasks: Vec<_> = (0..20).map(|_| tokio::spawn(async {})).collect();
            let start = Instant::now();
            while tasks.iter().any(|task| !task.is_finished()) {
                assert!(start.elapsed() < LONG);
                std::hint::spin_loop();
            }
        });
        hog.await.unwrap();
    });
    let stats = eventually(&remote(&rt, 1), |stats| stats.steals >= 20);
    assert!((1..=20).contains(&stats.steal_operations), "{stats:?}");
}

/// A shard has another ring after `block_in_place`; its numbers go on.
#[cfg(feature = "uring-native")]
#[test]
fn numbers_outlive_a_ring() {
    let rt = runtime(1);
    if !has_ring(&rt) {
        return;
    }
    let remote = remote(&rt, 0);
    let mut last = 0;
    for _ in 0..5 {
        rt.block_on(async {
            let blocks = tokio::spawn(async { block_in_place(|| thread::sleep(Duration::from_millis(20))) });
            timeout(LONG, tokio::spawn(sleep_briefly())).await.unwrap().unwrap();
            blocks.await.unwrap();
            tokio::spawn(sleep_briefly()).await.unwrap();
        });
        let enters = remote.stats().enters;
        assert!(enters > last, "{enters} after {last}");
        last = enters;
    }
}

/// With an operation of the ring.
#[cfg(feature = "uring-native")]
async fn sleep_briefly() {
    let (ours, mut theirs) = tokio::net::UnixStream::pair().unwrap();
    let (received, _) = tokio::join!(ours.native().recv(vec![0; 1]), async {
        sleep(Duration::from_millis(1)).await;
        tokio::io::AsyncWriteExt::write_all(&mut theirs, b"x").await.unwrap();
    });
    received.0.unwrap();
}

#[cfg(feature = "uring-native")]
#[test]
fn operations_in_flight_by_opcode() {
    /// `IORING_OP_RECV`.
    const RECV: u8 = 27;

    let rt = runtime(1);
    if !has_ring(&rt) {
        return;
    }
    let remote = remote(&rt, 0);
    let (here, mut there) = std::os::unix::net::UnixStream::pair().unwrap();
    here.set_nonblocking(true).unwrap();
    let task = remote.spawn_pinned(async move {
        let stream = tokio::net::UnixStream::from_std(here).unwrap();
        let (result, buf) = stream.native().recv(Vec::with_capacity(16)).await;
        (result.unwrap(), buf)
    });
    let stats = eventually(&remote, |stats| stats.in_flight(RECV) == 1);
    assert_eq!(stats.all_in_flight().collect::<Vec<_>>(), [(RECV, 1)]);
    assert!(format!("{stats:?}").contains("in_flight: [(27, 1)]"));
    there.write_all(b"now").unwrap();
    assert_eq!(rt.block_on(task).unwrap(), (3, b"now".to_vec()));
    let after = eventually(&remote, |stats| stats.all_in_flight().count() == 0);
    assert_eq!(after.in_flight(255), 0);
    assert!(after.enters > 0 && after.submissions >= 1 && after.completions >= 1, "{after:?}");
    assert!(after.largest_submission >= 1 && after.submissions >= after.largest_submission);
}
