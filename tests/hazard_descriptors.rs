//! Closing what the ring watches: hazards H01 to H04.
//!
//! An armed poll pins its file: `close` alone sends no FIN, and a closed listener goes on
//! accepting. Here the peer looks right after the close, in the same thread, without waiting.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream as StdStream, UdpSocket as StdUdp};
use std::os::unix::net::UnixStream as StdUnix;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use common::*;

fn watch(socket: StdUnix) -> AsyncFd<StdUnix> {
    // SAFETY: a `UnixStream` owns its descriptor and keeps it to its end.
    unsafe { AsyncFd::register(socket) }.unwrap()
}

// ===== H01: an armed poll pins the file =====

#[test]
fn h01_drop_sends_fin_at_once() {
    let _alone = alone();
    on_one_thread(|| async {
        // The whole stream.
        let (mut stream, mut peer) = connection().await;
        wait_in_read(&mut stream).await;
        armed(1).await;
        assert_eq!(read_now(&mut peer).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(stream);
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);

        // Its halves: the second one closes.
        let (stream, mut peer) = connection().await;
        let (mut reader, writer) = stream.into_split();
        wait_in_read(&mut reader).await;
        armed(1).await;
        drop(reader);
        writer.forget();
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);

        // After a shutdown the peer still has to learn that nobody reads.
        let (mut stream, mut peer) = connection().await;
        stream.shutdown().await.unwrap();
        wait_in_read(&mut stream).await;
        armed(1).await;
        drop(stream);
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);
        assert_eq!(peer.write(b"x").unwrap(), 1);
        assert_eq!(peer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);

        let (ours, mut peer) = StdUnix::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        let mut ours = UnixStream::from_std(ours).unwrap();
        wait_in_read(&mut ours).await;
        armed(1).await;
        drop(ours);
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);

        assert_eq!(armed_polls(), 0);
    });
}

/// The kernel does a limited amount of a ring's deferred work in one go, events first.
#[test]
fn h01_drop_sends_fin_at_once_behind_many_events() {
    const OTHERS: usize = 200;
    let _alone = alone();
    on_one_thread(|| async {
        let mut others = Vec::new();
        for _ in 0..OTHERS {
            let (mut other, peer) = connection().await;
            wait_in_read(&mut other).await;
            others.push((other, peer));
        }
        let listener = TcpListener::bind(own_address()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        start_waiting(listener.accept()).await;
        let (mut stream, mut peer) = connection().await;
        wait_in_read(&mut stream).await;
        armed(OTHERS + 2).await;
        for (_, other_peer) in &mut others {
            other_peer.write_all(b"x").unwrap();
        }
        drop(stream);
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);
        drop(listener);
        drop(rebind(addr).unwrap());
        // And nothing of the others' was lost.
        for (mut other, _peer) in others {
            assert_eq!(other.read_u8().await.unwrap(), b'x');
        }
    });
}

#[test]
fn h01_into_std_leaves_no_poll_behind() {
    let _alone = alone();
    on_each_flavour(|| async {
        let (mut stream, mut peer) = connection().await;
        wait_in_read(&mut stream).await;
        armed(1).await;
        let stream = stream.into_std().unwrap();
        assert_eq!(armed_polls(), 0);
        drop(stream);
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);

        let (ours, mut peer) = StdUnix::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        peer.set_nonblocking(true).unwrap();
        let fd = watch(ours);
        start_waiting(fd.readable()).await;
        armed(1).await;
        drop(fd.into_inner());
        assert_eq!(read_without_turns(&mut peer).unwrap(), 0);
        assert_eq!(armed_polls(), 0);
    });
}

#[test]
fn h01_a_dropped_listener_refuses_and_frees_its_port_1000_times() {
    let _alone = alone();
    on_each_flavour(|| async {
        let listener = TcpListener::bind(own_address()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        start_waiting(listener.accept()).await;
        armed(1).await;
        drop(listener);
        assert_eq!(StdStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);

        let mut armed_rounds = 0;
        for round in 0..1000 {
            let listener = TcpListener::bind(addr).await.unwrap_or_else(|e| panic!("round {round}: {e}"));
            start_waiting(listener.accept()).await;
            // A turn arms the poll.
            tokio::task::yield_now().await;
            armed_rounds += usize::from(round % 50 == 0 && armed_polls() == 1);
        }
        assert!(armed_rounds > 0, "no poll was ever armed");
    });
}

#[test]
fn h01_a_dropped_udp_socket_frees_its_port() {
    let _alone = alone();
    on_each_flavour(|| async {
        let socket = UdpSocket::bind(own_address()).await.unwrap();
        let addr = socket.local_addr().unwrap();
        start_waiting(socket.recv(&mut [0; 8])).await;
        armed(1).await;
        drop(socket);
        StdUdp::bind(addr).unwrap();
    });
}

// ===== H02: a removal races an event =====

#[test]
fn h02_10000_deregistrations_under_a_flood() {
    let _alone = alone();
    on_each_flavour(|| async {
        let (mut stream, mut peer) = connection().await;
        let stop = Arc::new(AtomicBool::new(false));
        let flood = std::thread::spawn({
            let stop = stop.clone();
            move || {
                while !stop.load(Relaxed) {
                    if let Err(e) = peer.write_all(b"x") {
                        assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    }
                }
                peer
            }
        });
        let mut waited = 0;
        let mut buf = [0; 4096];
        for _ in 0..10_000 {
            // Drain, so that the reader has to wait, with the next event on its way.
            while stream.try_read(&mut buf).is_ok() {}
            waited += usize::from(futures::poll!(std::pin::pin!(stream.readable())).is_pending());
            stream = TcpStream::from_std(stream.into_std().unwrap()).unwrap();
            tokio::task::yield_now().await;
        }
        assert!(waited > 100, "only {waited} of 10000 rounds had a poll to cancel");
        stop.store(true, Relaxed);
        let mut peer = flood.join().unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        while stream.try_read(&mut buf).is_ok() {}
        drop(stream);
        assert_eq!(armed_polls(), 0);
        eventually("the peer sees the end", || sees_end(&mut peer));
    });
}

// ===== H03: a drop on a thread that does not own the poll =====

/// Drops a watched stream by `drop_it`; the peer learns of it, and nothing stays behind.
fn dropped_elsewhere(rt: &tokio::runtime::Runtime, drop_it: impl FnOnce(TcpStream)) {
    // The first task starts what all runtimes share.
    rt.block_on(async { tokio::spawn(async {}).await.unwrap() });
    let before = open_sockets();
    let (stream, mut peer) = rt.block_on(async {
        tokio::spawn(async {
            let (mut stream, peer) = connection().await;
            wait_in_read(&mut stream).await;
            (stream, peer)
        })
        .await
        .unwrap()
    });
    drop_it(stream);
    eventually("the peer sees the end", || sees_end(&mut peer));
    drop(peer);
    eventually("no poll is left", || armed_polls() == 0);
    eventually("no socket is left", || open_sockets() <= before);
}

#[test]
fn h03_drop_on_a_foreign_thread_closes() {
    let _alone = alone();
    for rt in [multi_thread(1), multi_thread(2)] {
        dropped_elsewhere(&rt, |stream| std::thread::spawn(|| drop(stream)).join().unwrap());
        dropped_elsewhere(&rt, |stream| rt.block_on(async { drop(stream) }));
        dropped_elsewhere(&rt, drop);
        dropped_elsewhere(&rt, |stream| {
            rt.block_on(async { tokio::task::spawn_blocking(|| drop(stream)).await.unwrap() });
        });
    }
    let rt = current_thread();
    dropped_elsewhere(&rt, drop);
    dropped_elsewhere(&rt, |stream| std::thread::spawn(|| drop(stream)).join().unwrap());
    dropped_elsewhere(&rt, |stream| {
        rt.block_on(async { tokio::task::spawn_blocking(|| drop(stream)).await.unwrap() });
    });
}

#[test]
fn h03_a_drop_that_races_the_end_of_block_on_closes() {
    let _alone = alone();
    let rt = current_thread();
    rt.block_on(async {});
    let before = open_fds();
    let (give, take) = mpsc::channel::<TcpStream>();
    let (begin, begun) = mpsc::channel();
    let dropper = std::thread::spawn(move || {
        for (delay, stream) in take.into_iter().enumerate() {
            begin.send(()).unwrap();
            // Sweep over the moments at which `block_on` gives its ring up.
            for _ in 0..delay % 400 {
                std::hint::spin_loop();
            }
            drop(stream);
        }
    });
    for _ in 0..2000 {
        let mut peer = rt.block_on(async {
            let (mut stream, peer) = connection().await;
            wait_in_read(&mut stream).await;
            tokio::task::yield_now().await;
            give.send(stream).unwrap();
            begun.recv().unwrap();
            peer
        });
        // Nobody drives the runtime any more, and nobody has to.
        eventually("the peer sees the end", || sees_end(&mut peer));
    }
    drop(give);
    dropper.join().unwrap();
    eventually("no descriptor is left", || open_fds() <= before);
}

#[test]
fn h03_drop_on_another_worker_closes() {
    let _alone = alone();
    let rt = multi_thread(2);
    for _ in 0..50 {
        dropped_elsewhere(&rt, |stream| {
            // Two tasks that wait for each other by blocking sit on different workers, so one
            // of the two is not the owner.
            let (give, take) = mpsc::channel::<TcpStream>();
            let (taken, done) = mpsc::channel();
            rt.block_on(async {
                let a = tokio::spawn(async move {
                    give.send(stream).unwrap();
                    done.recv_timeout(LONG).unwrap()
                });
                let b = tokio::spawn(async move {
                    drop(take.recv_timeout(LONG).unwrap());
                    taken.send(()).unwrap();
                });
                a.await.unwrap();
                b.await.unwrap();
            });
        });
    }
}

#[test]
fn h03_an_address_is_free_when_a_foreign_drop_returns() {
    let _alone = alone();
    let rt = multi_thread(2);
    let mut aborted = 0;
    for _ in 0..300 {
        rt.block_on(async {
            let listener = TcpListener::bind(own_address()).await.unwrap();
            let addr = listener.local_addr().unwrap();
            let udp = UdpSocket::bind(addr).await.unwrap();
            let server = tokio::spawn(async move {
                let mut buf = [0];
                tokio::select! {
                    _ = listener.accept() => {}
                    _ = udp.recv(&mut buf) => {}
                }
            });
            tokio::task::yield_now().await;
            server.abort();
            aborted += usize::from(server.await.is_err_and(|e| e.is_cancelled()));
            rebind(addr).unwrap();
            StdUdp::bind(addr).unwrap();
        });
        // A drop here, of what a worker watches.
        let (listener, udp) = rt.block_on(async {
            tokio::spawn(async {
                let listener = TcpListener::bind(own_address()).await.unwrap();
                let udp = UdpSocket::bind(listener.local_addr().unwrap()).await.unwrap();
                start_waiting(listener.accept()).await;
                start_waiting(udp.recv(&mut [0])).await;
                (listener, udp)
            })
            .await
            .unwrap()
        });
        let addr = udp.local_addr().unwrap();
        drop(udp);
        StdUdp::bind(addr).unwrap();
        drop(listener.into_std().unwrap());
        rebind(addr).unwrap();
    }
    assert_eq!(aborted, 300);
}

#[test]
fn h03_two_owners_that_wait_for_each_other() {
    const ROUNDS: usize = 200;
    let _alone = alone();
    let rt = multi_thread(2);
    // Two tasks, each on a worker of its own, swap sockets and drop them at the same time.
    let meet = Arc::new(std::sync::Barrier::new(2));
    let (to_a, for_a) = unbounded_channel::<UdpSocket>();
    let (to_b, for_b) = unbounded_channel::<UdpSocket>();
    let swap = |give: UnboundedSender<UdpSocket>, mut take: UnboundedReceiver<UdpSocket>| {
        let meet = meet.clone();
        async move {
            let mut took = Vec::new();
            for _ in 0..ROUNDS {
                let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
                start_waiting(socket.recv(&mut [0])).await;
                give.send(socket).unwrap();
                let socket = take.recv().await.unwrap();
                meet.wait();
                let start = Instant::now();
                drop(socket);
                took.push(start.elapsed());
            }
            took
        }
    };
    let (a, b) = (rt.spawn(swap(to_b, for_a)), rt.spawn(swap(to_a, for_b)));
    let mut took = rt.block_on(async { [a.await.unwrap(), b.await.unwrap()].concat() });
    assert_eq!(took.len(), 2 * ROUNDS);
    // 100 ms each if one does not serve the other. For lack of a processor some may take long anyway.
    took.sort();
    assert!(took[ROUNDS / 2] < Duration::from_millis(50), "took {:?}", took[ROUNDS / 2]);
}

#[test]
fn h03_a_busy_owner_holds_no_close_up() {
    const BUSY: Duration = Duration::from_millis(200);
    let _alone = alone();
    let rt = multi_thread(1);
    dropped_elsewhere(&rt, |stream| {
        let (started, start) = mpsc::channel();
        rt.spawn(async move {
            started.send(()).unwrap();
            std::thread::sleep(BUSY);
        });
        start.recv().unwrap();
        drop(stream);
    });
}

// ===== H04: descriptors and slots are used again =====

#[test]
fn h04_closing_one_descriptor_of_a_file_leaves_the_other_ones_poll() {
    let _alone = alone();
    on_each_flavour(|| async {
        let (ours, mut peer) = StdUnix::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let twin = watch(ours.try_clone().unwrap());
        let ours = watch(ours);
        start_waiting(ours.readable()).await;
        start_waiting(twin.readable()).await;
        armed(2).await;
        drop(twin);
        assert_eq!(armed_polls(), 1);
        peer.write_all(b"x").unwrap();
        drop(ours.readable().await.unwrap());
    });
}

#[test]
fn h04_churn_of_equal_numbers_loses_no_event() {
    const TASKS: u8 = 8;
    const ROUNDS: u8 = 200;
    let _alone = alone();
    for rt in [current_thread(), multi_thread(2)] {
        let served = rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            // Sends each connection its own first byte back, a little later.
            tokio::spawn(async move {
                loop {
                    let (mut stream, _) = listener.accept().await.unwrap();
                    tokio::spawn(async move {
                        let mut tag = [0; 2];
                        if stream.read_exact(&mut tag).await.is_ok() {
                            tokio::task::yield_now().await;
                            let _ = stream.write_all(&tag).await;
                        }
                    });
                }
            });
            let tasks: Vec<_> = (0..TASKS)
                .map(|task| {
                    tokio::spawn(async move {
                        for round in 0..ROUNDS {
                            let mut stream = TcpStream::connect(addr).await.unwrap();
                            stream.write_all(&[task, round]).await.unwrap();
                            if round % 3 == 0 {
                                // Closed with its poll armed and an answer on the way.
                                tokio::select! { biased;
                                    _ = stream.readable() => {}
                                    () = tokio::task::yield_now() => {}
                                }
                                continue;
                            }
                            let mut tag = [0; 2];
                            stream.read_exact(&mut tag).await.unwrap();
                            assert_eq!(tag, [task, round]);
                        }
                    })
                })
                .collect();
            let mut served = 0;
            for task in tasks {
                tokio::time::timeout(LONG, task).await.expect("an event was lost").unwrap();
                served += 1;
            }
            served
        });
        assert_eq!(served, TASKS);
        drop(rt);
        assert_eq!(armed_polls(), 0);
    }
}

#[test]
fn h04_a_closed_connection_reads_to_its_end() {
    let _alone = alone();
    on_each_flavour(|| async {
        // The same numbers again and again, each with bytes of its own.
        for round in 0..200u32 {
            let (mut stream, peer) = connection().await;
            let tag = round.to_le_bytes();
            let writer = std::thread::spawn(move || {
                peer.set_nonblocking(false).unwrap();
                let mut peer = peer;
                peer.write_all(&tag).unwrap();
                peer.shutdown(std::net::Shutdown::Write).unwrap();
                peer.read(&mut [0]).unwrap()
            });
            let mut all = Vec::new();
            stream.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, tag);
            drop(stream);
            assert_eq!(writer.join().unwrap(), 0);
        }
    });
}
