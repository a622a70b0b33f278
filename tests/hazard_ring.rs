//! Rings, their threads and their end: hazards H20, H21, H23, H24, H26 and H27.

mod common;

use std::io::{self, Read, Write};
use std::net::TcpStream as StdStream;
use std::os::unix::net::UnixStream as StdUnix;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc;

use common::*;

/// Sends back what it gets, byte by byte.
fn echo(mut peer: StdStream) -> thread::JoinHandle<usize> {
    peer.set_nonblocking(false).unwrap();
    thread::spawn(move || {
        let mut bytes = 0;
        let mut byte = [0];
        while peer.read(&mut byte).unwrap() == 1 {
            peer.write_all(&byte).unwrap();
            bytes += 1;
        }
        bytes
    })
}

// ===== H20, H21: a ring obeys one thread =====

#[test]
fn h20_two_threads_take_turns_1000_times_with_one_stream() {
    const ROUNDS: usize = 500;
    let _alone = alone();
    let rt = current_thread();
    let (stream, peer) = rt.block_on(connection());
    let echo = echo(peer);
    let stream = tokio::sync::Mutex::new(stream);
    let turn = Barrier::new(2);
    let drive = |parity: usize| {
        for round in 0..2 * ROUNDS {
            if round % 2 == parity {
                rt.block_on(async {
                    let mut stream = stream.lock().await;
                    stream.write_all(&[round as u8]).await.unwrap();
                    assert_eq!(stream.read_u8().await.unwrap(), round as u8);
                });
            }
            turn.wait();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| drive(0));
        scope.spawn(|| drive(1));
    });
    drop(stream);
    assert_eq!(echo.join().unwrap(), 2 * ROUNDS);
}

#[test]
fn h20_two_threads_block_on_at_once() {
    let _alone = alone();
    let rt = current_thread();
    let done = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut done = 0;
                    for round in 0..100 {
                        rt.block_on(async {
                            let (mut stream, peer) = connection().await;
                            let echo = echo(peer);
                            stream.write_all(&[round]).await.unwrap();
                            assert_eq!(stream.read_u8().await.unwrap(), round);
                            drop(stream);
                            tokio::task::spawn_blocking(|| echo.join().unwrap()).await.unwrap();
                        });
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum::<usize>()
    });
    assert_eq!(done, 400);
}

#[test]
fn h21_a_poll_outlives_the_thread_that_armed_it() {
    let _alone = alone();
    let rt = current_thread();
    for round in 0..50u8 {
        let (mut peer, reader) = thread::scope(|scope| {
            let armed_here = scope.spawn(|| {
                rt.block_on(async {
                    let (mut stream, peer) = connection().await;
                    let (waits, waiting) = tokio::sync::oneshot::channel();
                    let reader = tokio::spawn(async move {
                        wait_in_read(&mut stream).await;
                        waits.send(()).unwrap();
                        stream.read_u8().await.unwrap()
                    });
                    waiting.await.unwrap();
                    armed(1).await;
                    (peer, reader)
                })
            });
            armed_here.join().unwrap()
        });
        // The thread and its ring are gone; the event comes now.
        peer.write_all(&[round]).unwrap();
        let byte = rt.block_on(async { tokio::time::timeout(LONG, reader).await });
        assert_eq!(byte.expect("the event was lost").unwrap(), round);
    }
}

// ===== H23: a task moves, its socket stays =====

#[test]
fn h23_a_socket_is_used_from_every_worker() {
    const WORKERS: usize = 3;
    let _alone = alone();
    let rt = multi_thread(WORKERS);
    let (stream, peer) = rt.block_on(async { tokio::spawn(connection()).await.unwrap() });
    let echo = echo(peer);
    let stream = Arc::new(tokio::sync::Mutex::new(stream));
    let mut users: Vec<ThreadId> = Vec::new();
    let mut rounds = 0u8;
    let start = Instant::now();
    while users.len() < WORKERS || rounds < 100 {
        assert!(rounds < 100 || start.elapsed() < LONG, "{users:?}");
        // One task on each worker at the same time; each has its turn with the stream.
        let meet = Arc::new(Barrier::new(WORKERS));
        let seen = rt.block_on(async {
            let tasks: Vec<_> = (0..WORKERS)
                .map(|_| {
                    let (meet, stream) = (meet.clone(), stream.clone());
                    tokio::spawn(async move {
                        meet.wait();
                        let mut stream = stream.lock().await;
                        stream.write_all(&[rounds]).await.unwrap();
                        assert_eq!(stream.read_u8().await.unwrap(), rounds);
                        thread::current().id()
                    })
                })
                .collect();
            let mut seen = Vec::new();
            for task in tasks {
                seen.push(tokio::time::timeout(LONG, task).await.expect("an event was lost").unwrap());
            }
            seen
        });
        for user in seen {
            if !users.contains(&user) {
                users.push(user);
            }
        }
        rounds = rounds.wrapping_add(1);
    }
    drop(stream);
    rt.block_on(async { tokio::task::spawn_blocking(|| echo.join().unwrap()).await.unwrap() });
    eventually("no poll is left", || armed_polls() == 0);
}

// ===== H24: a message to a ring that is gone =====

#[test]
fn h24_wakes_into_a_dying_runtime_reach_nobody_else() {
    let _alone = alone();
    multi_thread(2).block_on(async { tokio::spawn(async {}).await.unwrap() });
    let before = open_fds();
    let mut sent_in_all = 0;
    for round in 0..200 {
        let stop = Arc::new(AtomicBool::new(false));
        let dying = multi_thread(2);
        let (send, mut receive) = mpsc::unbounded_channel::<()>();
        dying.spawn(async move { while receive.recv().await.is_some() {} });
        let (begins, begun) = std::sync::mpsc::channel();
        let waker = thread::spawn({
            let stop = stop.clone();
            move || {
                let mut sent = 0;
                while !stop.load(Relaxed) && sent < 100_000 {
                    let _ = send.send(());
                    sent += 1;
                    if sent == 100 {
                        begins.send(()).unwrap();
                    }
                }
                sent
            }
        });
        begun.recv().unwrap();
        thread::sleep(Duration::from_micros(200));
        drop(dying);
        // The same descriptor numbers, in another runtime, while the messages go on.
        let next = multi_thread(2);
        let answer = next.block_on(async { tokio::spawn(async move { round }).await.unwrap() });
        assert_eq!(answer, round);
        stop.store(true, Relaxed);
        sent_in_all += waker.join().unwrap();
    }
    assert!(sent_in_all > 10_000, "only {sent_in_all} wake-ups");
    eventually("every ring is closed", || open_fds() <= before);
}

// ===== H26: after the drop everything is free =====

fn ports_and_descriptors_are_free(runtime: fn() -> Runtime, rounds: usize) {
    // The thread's first runtime leaves it a ring for its next ones.
    runtime().block_on(async { tokio::spawn(async {}).await.unwrap() });
    let before = open_fds();
    let mut addr = own_address();
    for round in 0..rounds {
        let listener = rebind(addr).unwrap_or_else(|e| panic!("round {round}: {e}"));
        listener.set_nonblocking(true).unwrap();
        addr = listener.local_addr().unwrap();
        let rt = runtime();
        let (mut peer, listening) = rt.block_on(async {
            let listener = TcpListener::from_std(listener).unwrap();
            let peer = StdStream::connect(addr).unwrap();
            let (listens, listening) = tokio::sync::oneshot::channel();
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move { stream.read_u8().await });
                start_waiting(listener.accept()).await;
                let _ = listens.send(());
                let _ = listener.accept().await;
            });
            (peer, listening)
        });
        rt.block_on(listening).unwrap();
        drop(rt);
        // It is on its way, by way of a thread of the kernel if there is much to do.
        peer.set_read_timeout(Some(LONG)).unwrap();
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "round {round}: the connection is still open");
        drop(peer);
        assert_eq!(open_fds(), before, "round {round}");
    }
    rebind(addr).unwrap();
}

#[test]
fn h26_a_port_is_free_after_the_drop_1000_times() {
    let _alone = alone();
    ports_and_descriptors_are_free(current_thread, 500);
    ports_and_descriptors_are_free(|| multi_thread(2), 500);
}

#[test]
fn h26_shutdown_in_the_middle_of_traffic() {
    let _alone = alone();
    multi_thread(2).block_on(async { tokio::spawn(async {}).await.unwrap() });
    let before = open_fds();
    for _ in 0..20 {
        let rt = multi_thread(2);
        let (addr, clients) = rt.block_on(async {
            let listener = TcpListener::bind(own_address()).await.unwrap();
            let addr = listener.local_addr().unwrap();
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(async move {
                        let mut buf = [0; 64];
                        while let Ok(n @ 1..) = stream.read(&mut buf).await {
                            if stream.write_all(&buf[..n]).await.is_err() {
                                break;
                            }
                        }
                    });
                }
            });
            let clients: Vec<_> = (0..8)
                .map(|_| {
                    thread::spawn(move || {
                        let Ok(mut stream) = StdStream::connect(addr) else { return };
                        let mut buf = [0; 8];
                        while stream.write_all(&buf).is_ok() && stream.read_exact(&mut buf).is_ok() {}
                    })
                })
                .collect();
            tokio::time::sleep(Duration::from_millis(5)).await;
            (addr, clients)
        });
        drop(rt);
        rebind(addr).unwrap();
        // Their connections are closed, all of them, so they end.
        for client in clients {
            client.join().unwrap();
        }
    }
    eventually("every ring is closed", || open_fds() <= before);
}

// ===== H27: the user's own system calls are not interrupted =====

/// Reads from a socket that is written to in a moment. With a time limit set, an interrupted
/// call is not restarted by the kernel but fails (signal(7)).
fn block_for_a_moment() -> io::Result<usize> {
    let (mut ours, mut theirs) = StdUnix::pair().unwrap();
    ours.set_read_timeout(Some(LONG)).unwrap();
    let writer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(15));
        theirs.write_all(b"x").unwrap();
        theirs
    });
    let result = ours.read(&mut [0]);
    drop(writer.join().unwrap());
    result
}

/// Some traffic, so that the ring has polls to cancel.
async fn some_traffic() {
    let (mut stream, peer) = connection().await;
    let echo = echo(peer);
    stream.write_all(b"x").await.unwrap();
    stream.read_u8().await.unwrap();
    drop(stream);
    tokio::task::spawn_blocking(|| echo.join().unwrap()).await.unwrap();
}

#[test]
fn h27_no_eintr_after_a_runtime_was_dropped() {
    let _alone = alone();
    for make in [current_thread as fn() -> Runtime, || multi_thread(2)] {
        for round in 0..20 {
            let rt = make();
            rt.block_on(some_traffic());
            drop(rt);
            block_for_a_moment().unwrap_or_else(|e| panic!("round {round}: {e}"));
        }
    }
}

#[test]
fn h27_no_eintr_after_many_runtimes_of_one_thread() {
    let _alone = alone();
    for round in 0..5 {
        let runtimes: Vec<_> = (0..8).map(|_| current_thread()).collect();
        for rt in &runtimes {
            rt.block_on(some_traffic());
        }
        drop(runtimes);
        block_for_a_moment().unwrap_or_else(|e| panic!("round {round}: {e}"));
    }
}

#[test]
fn h27_no_eintr_while_polls_complete() {
    let _alone = alone();
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    rt.block_on(async {
        tokio::spawn(async {
            for round in 0..20 {
                let (mut stream, mut peer) = connection().await;
                wait_in_read(&mut stream).await;
                armed(1).await;
                // The poll completes while this very thread is blocked.
                let writer = thread::spawn(move || {
                    thread::sleep(Duration::from_millis(5));
                    peer.write_all(b"x").unwrap();
                    peer
                });
                block_for_a_moment().unwrap_or_else(|e| panic!("round {round}: {e}"));
                assert_eq!(stream.read_u8().await.unwrap(), b'x');
                drop(writer.join().unwrap());
            }
        })
        .await
        .unwrap();
    });
}

/// A stream of one runtime, read inside of another one's `block_on`.
#[test]
fn h23_a_socket_is_used_from_another_runtime() {
    let _alone = alone();
    let (owner, user) = (multi_thread(1), current_thread());
    let (stream, peer) = owner.block_on(async { tokio::spawn(connection()).await.unwrap() });
    let echo = echo(peer);
    let mut stream: TcpStream = stream;
    for round in 0..100 {
        user.block_on(async {
            stream.write_all(&[round]).await.unwrap();
            assert_eq!(stream.read_u8().await.unwrap(), round);
        });
    }
    drop(stream);
    assert_eq!(echo.join().unwrap(), 100);
}
