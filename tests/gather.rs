//! A few short tasks go to the worker that runs already, and their sockets with them.

mod common;

use std::future::poll_fn;
use std::net::{SocketAddr, UdpSocket as StdSocket};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::runtime::{BackendKind, Runtime};
use tokio::shard::{Remote, Shard};
use tokio::time::timeout;

use common::{LONG, eventually, multi_thread};

fn shard(rt: &Runtime, index: usize) -> Remote {
    rt.handle().remote(Shard::new(index)).unwrap()
}

/// How many sockets each of the two shards watches.
fn watched(rt: &Runtime) -> (usize, usize) {
    (shard(rt, 0).stats().watched, shard(rt, 1).stats().watched)
}

/// A task that always runs on, in short steps, until told to stop.
async fn keep_running(stop: Arc<AtomicBool>) {
    poll_fn(|cx| {
        if stop.load(Relaxed) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Says where it is, and sends back what comes.
async fn echo(addr: mpsc::Sender<SocketAddr>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    addr.send(socket.local_addr().unwrap()).unwrap();
    let mut buf = [0; 64];
    loop {
        let (n, from) = socket.recv_from(&mut buf).await.unwrap();
        socket.send_to(&buf[..n], from).await.unwrap();
    }
}

/// One round trip.
fn ask(client: &StdSocket) {
    client.send(b"ping").unwrap();
    assert_eq!(client.recv(&mut [0; 64]).unwrap(), 4);
}

/// A runtime of two workers, of which the second one has an echo with one socket, and the first one
/// two sockets, of which nothing comes; and a client of the echo.
fn two_workers() -> (Runtime, StdSocket) {
    let rt = multi_thread(2);
    let client = StdSocket::bind("127.0.0.1:0").unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    for _ in 0..2 {
        shard(&rt, 0).spawn_pinned(async {
            let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            silent.recv_from(&mut [0]).await
        });
    }
    eventually("two on the first", || watched(&rt) == (2, 0));
    // The first one has no time to steal.
    let (busy, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let running = shard(&rt, 0).spawn_pinned({
        let (busy, stop) = (busy.clone(), stop.clone());
        async move {
            busy.store(true, Relaxed);
            while !stop.load(Relaxed) {
                thread::yield_now();
            }
        }
    });
    while !busy.load(Relaxed) {
        thread::yield_now();
    }
    let (tx, addr) = mpsc::channel();
    shard(&rt, 1).spawn_stealable(echo(tx));
    client.connect(addr.recv_timeout(LONG).unwrap()).unwrap();
    eventually("one on the second", || watched(&rt) == (2, 1));
    stop.store(true, Relaxed);
    rt.block_on(running).unwrap();
    (rt, client)
}

#[test]
fn a_socket_moves_to_the_worker_that_runs() {
    let (rt, client) = two_workers();
    if rt.handle().backend().kind() != BackendKind::IoUring {
        return;
    }
    // Nobody else runs: it stays.
    for _ in 0..5 {
        ask(&client);
        thread::sleep(Duration::from_millis(2));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let running = shard(&rt, 0).spawn_pinned(keep_running(stop.clone()));
    let start = Instant::now();
    // One that has no processor for a while is taken for stuck, and the other one keeps the socket.
    while watched(&rt) != (3, 0) {
        assert!(start.elapsed() < LONG, "the socket has not moved");
        ask(&client);
    }
    stop.store(true, Relaxed);
    rt.block_on(async { timeout(LONG, running).await.expect("the other task starves").unwrap() });
    ask(&client);
}

#[test]
fn h22_what_a_stuck_worker_was_handed_is_done_by_another() {
    let (rt, client) = two_workers();
    for _ in 0..5 {
        let (stuck, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let running = shard(&rt, 0).spawn_pinned({
            let (stuck, stop) = (stuck.clone(), stop.clone());
            async move {
                stuck.store(true, Relaxed);
                let start = Instant::now();
                while !stop.load(Relaxed) && start.elapsed() < 2 * LONG {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        });
        while !stuck.load(Relaxed) {
            thread::yield_now();
        }
        // It counts as one that runs.
        ask(&client);
        stop.store(true, Relaxed);
        rt.block_on(running).unwrap();
        thread::sleep(Duration::from_millis(5));
        ask(&client);
    }
}
