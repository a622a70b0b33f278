//! Streams on the native lane: what they accept is sent, in order, whatever happens.

use std::future::poll_fn;
use std::io::{ErrorKind, Read, Write};
use std::pin::Pin;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use super::{LONG, under};
use crate::native::Lane;
use crate::io::{AsyncWrite, AsyncWriteExt};
use crate::net::{TcpStream, UnixStream};
use crate::runtime::{Builder, Runtime};
use crate::sys::fault::{Call, Script};
use crate::task;

/// What is kept of a stream at the most.
const CAPACITY: usize = 8192;

fn current_thread(lane: Lane) -> Runtime {
    Builder::new_current_thread().lane(lane).enable_all().build().unwrap()
}

fn multi_thread(workers: usize, lane: Lane) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).lane(lane).enable_all().build().unwrap()
}

/// Runs a scene as a task, on each flavour.
fn on_each_flavour<F: Future<Output = ()> + Send + 'static>(scene: impl Fn() -> F) {
    on([current_thread(Lane::Native), multi_thread(1, Lane::Native), multi_thread(2, Lane::Native)], scene);
}

/// Without siblings: they send what a worker keeps that has no processor for a while.
fn on_one_thread<F: Future<Output = ()> + Send + 'static>(scene: impl Fn() -> F) {
    on([current_thread(Lane::Native), multi_thread(1, Lane::Native)], scene);
}

fn on<F: Future<Output = ()> + Send + 'static>(
    runtimes: impl IntoIterator<Item = Runtime>,
    scene: impl Fn() -> F,
) {
    for rt in runtimes {
        rt.block_on(async {
            task::spawn(crate::time::timeout(LONG, scene())).await.unwrap().expect("the scene hangs");
        });
    }
}

/// A stream, its blocking peer, and another stream to be busy with.
struct Ends {
    ours: TcpStream,
    peer: std::net::TcpStream,
    filler: UnixStream,
    _sink: UnixStream,
}

impl Ends {
    async fn new() -> Ends {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        // Small ones are full soon.
        socket2::SockRef::from(&listener).set_recv_buffer_size(1 << 14).unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        socket2::SockRef::from(&ours).set_send_buffer_size(1 << 14).unwrap();
        ours.set_nodelay(true).unwrap();
        let (peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(LONG)).unwrap();
        let (filler, sink) = UnixStream::pair().unwrap();
        Ends { ours, peer, filler, _sink: sink }
    }

    /// Makes this a busy turn. It is over with the next wait.
    async fn be_busy(&mut self) {
        be_busy(&mut self.filler).await;
    }

    /// What has arrived by now.
    fn arrived(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 1 << 16];
        self.peer.set_nonblocking(true).unwrap();
        let result = self.peer.read(&mut bytes);
        self.peer.set_nonblocking(false).unwrap();
        match result {
            Ok(n) => bytes.truncate(n),
            Err(e) if e.kind() == ErrorKind::WouldBlock => bytes.clear(),
            Err(e) => panic!("{e}"),
        }
        bytes
    }

    fn read_exactly(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.peer.read_exact(&mut bytes).unwrap();
        bytes
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.peer.read_to_end(&mut bytes).unwrap();
        bytes
    }
}

async fn be_busy(filler: &mut UnixStream) {
    for _ in 0..4 {
        filler.write_all(b".").await.unwrap();
    }
}

/// Writes without waiting until that is not possible any more; returns how much.
async fn fill(stream: &mut (impl AsyncWrite + Unpin), chunk: usize) -> usize {
    let mut total = 0;
    let fill = poll_fn(|cx| {
        loop {
            assert!(total < 1 << 24, "nothing says that it is enough");
            match Pin::new(&mut *stream).poll_write(cx, &vec![b'.'; chunk]) {
                Poll::Ready(n) => total += n.unwrap(),
                Poll::Pending => return Poll::Ready(()),
            }
        }
    });
    task::unconstrained(fill).await;
    total
}

/// The same, again and again, until the kernel has no room, and the lane neither.
async fn fill_up(stream: &mut (impl AsyncWrite + Unpin), chunk: usize) -> usize {
    let mut total: usize = 0;
    loop {
        let n = fill(&mut *stream, chunk).await;
        total += n;
        crate::time::sleep(Duration::from_millis(5)).await;
        if n == 0 {
            return total;
        }
    }
}

#[test]
fn a_busy_turn_keeps_small_writes_until_its_end() {
    on_one_thread(|| async {
        let mut ends = Ends::new().await;
        task::yield_now().await;
        ends.ours.write_all(b"direct").await.unwrap();
        assert_eq!(ends.read_exactly(6), b"direct");

        task::yield_now().await;
        ends.be_busy().await;
        ends.ours.write_all(b"kept ").await.unwrap();
        ends.ours.write_all(b"together").await.unwrap();
        ends.ours.flush().await.unwrap();
        assert_eq!(ends.arrived(), b"");
        task::yield_now().await;
        // One after the other on the wire, too.
        assert_eq!(ends.read_exactly(13), b"kept together");
    });
}

#[test]
fn on_the_readiness_lane_nothing_is_kept() {
    let scene = async {
        let mut ends = Ends::new().await;
        ends.be_busy().await;
        ends.ours.write_all(b"now").await.unwrap();
        assert_eq!(ends.arrived(), b"now");
    };
    current_thread(Lane::Readiness).block_on(scene);
}

#[test]
fn without_rings_every_lane_is_the_readiness_lane() {
    under(&Script::default().backend("epoll"), "epoll", || {
        current_thread(Lane::Native).block_on(async {
            let mut ends = Ends::new().await;
            ends.ours.set_lane(Lane::Native);
            assert_eq!(ends.ours.lane(), Lane::Readiness);
            ends.be_busy().await;
            ends.ours.write_all(b"now").await.unwrap();
            assert_eq!(ends.arrived(), b"now");
        });
    });
}

#[test]
fn a_stream_changes_lanes() {
    on_one_thread(|| async {
        let mut ends = Ends::new().await;
        task::yield_now().await;
        ends.be_busy().await;
        ends.ours.write_all(b"kept").await.unwrap();
        assert_eq!(ends.arrived(), b"");
        // Kept bytes go out with the change, and later writes after them.
        ends.ours.set_lane(Lane::Readiness);
        assert_eq!(ends.arrived(), b"kept");
        ends.ours.write_all(b"now").await.unwrap();
        assert_eq!(ends.arrived(), b"now");
        assert_eq!(ends.ours.lane(), Lane::Readiness);

        ends.ours.set_lane(Lane::Native);
        ends.ours.write_all(b"kept again").await.unwrap();
        assert_eq!(ends.arrived(), b"");
        task::yield_now().await;
        assert_eq!(ends.read_exactly(10), b"kept again");
    });
}

#[test]
fn a_hot_stream_goes_up_and_down_by_itself() {
    current_thread(Lane::Auto).block_on(async {
        let mut ends = Ends::new().await;
        for _ in 0..16 {
            ends.be_busy().await;
            assert_eq!(ends.arrived(), b"");
            ends.ours.write_all(b"x").await.unwrap();
            task::yield_now().await;
            assert_eq!(ends.read_exactly(1), b"x");
        }
        ends.be_busy().await;
        ends.ours.write_all(b"hot").await.unwrap();
        assert_eq!(ends.arrived(), b"");
        task::yield_now().await;
        assert_eq!(ends.read_exactly(3), b"hot");
        for _ in 0..32 {
            ends.ours.write_all(b"y").await.unwrap();
            assert_eq!(ends.arrived(), b"y");
            task::yield_now().await;
        }
        ends.be_busy().await;
        ends.ours.write_all(b"cold").await.unwrap();
        assert_eq!(ends.arrived(), b"cold");
    });
}

/// Sizes that go each way: kept, appended, straight to the socket, together with what is kept.
const SIZES: [usize; 10] = [1, 100, 5000, 30, 2048, 2049, 20_000, 7, 8000, 128];

async fn write_pattern(stream: &mut (impl AsyncWrite + Unpin), tag: u8, rounds: usize) {
    let mut next = usize::from(tag);
    for round in 0..rounds {
        for size in SIZES {
            let bytes: Vec<u8> = (next..next + size).map(|i| (i % 251) as u8).collect();
            if round % 3 == 2 {
                let (a, b) = bytes.split_at(size / 2);
                let slices = [std::io::IoSlice::new(a), std::io::IoSlice::new(b)];
                let n = stream.write_vectored(&slices).await.unwrap();
                stream.write_all(&bytes[n..]).await.unwrap();
            } else {
                stream.write_all(&bytes).await.unwrap();
            }
            next += size;
            if size % 7 == 0 {
                task::yield_now().await;
            }
        }
    }
    stream.shutdown().await.unwrap();
}

fn check_pattern(mut peer: impl Read, tag: u8, rounds: usize) {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len(), rounds * SIZES.iter().sum::<usize>());
    assert!(bytes.iter().zip(usize::from(tag)..).all(|(&byte, i)| byte == (i % 251) as u8), "out of order");
}

#[test]
fn order_is_kept_over_all_ways() {
    const ROUNDS: usize = 30;
    on_each_flavour(|| async {
        let mut tasks = Vec::new();
        let mut threads = Vec::new();
        for tag in 0..12 {
            let Ends { mut ours, peer, .. } = Ends::new().await;
            threads.push(thread::spawn(move || check_pattern(peer, tag, ROUNDS)));
            tasks.push(task::spawn(async move { write_pattern(&mut ours, tag, ROUNDS).await }));
            let (ours, peer) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let ours = UnixStream::from_std(ours).unwrap();
            threads.push(thread::spawn(move || check_pattern(peer, tag, ROUNDS)));
            tasks.push(task::spawn(async move {
                let (_read, mut write) = ours.into_split();
                write_pattern(&mut write, tag, ROUNDS).await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn h42_a_peer_that_does_not_read_holds_writers_up() {
    const REST: usize = 1 << 20;
    for chunk in [1, 512, 4096, 100_000] {
        on_each_flavour(move || async move {
            let mut ends = Ends::new().await;
            let baseline = {
                let mut ends = Ends::new().await;
                ends.ours.set_lane(Lane::Readiness);
                fill_up(&mut ends.ours, 4096).await
            };
            ends.be_busy().await;
            let total = fill_up(&mut ends.ours, chunk).await;
            // What the kernel takes varies with the sizes of the segments.
            assert!(total < 4 * baseline + CAPACITY, "{total} bytes accepted; the kernel takes {baseline}");
            // What was accepted goes out, although nobody writes any more.
            let mut peer = ends.peer.try_clone().unwrap();
            let read = task::spawn_blocking(move || peer.read_exact(&mut vec![0; total]));
            read.await.unwrap().unwrap();

            let total = fill_up(&mut ends.ours, chunk).await;
            let waiting = task::spawn(async move {
                // More than the room that the last segment may have.
                ends.ours.write_all(&vec![b'-'; REST]).await.unwrap();
                ends.ours.shutdown().await.unwrap();
            });
            crate::time::sleep(Duration::from_millis(5)).await;
            assert!(!waiting.is_finished());
            let mut peer = ends.peer;
            let bytes = task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                peer.read_to_end(&mut bytes).map(|_| bytes)
            });
            let bytes = bytes.await.unwrap().unwrap();
            assert_eq!(bytes.len(), total + REST);
            assert!(bytes[..total].iter().all(|&byte| byte == b'.'));
            assert!(bytes[total..].iter().all(|&byte| byte == b'-'));
            waiting.await.unwrap();
        });
    }
}

#[test]
fn an_error_is_reported_by_what_comes_next() {
    on_each_flavour(|| async {
        for next in 0..3 {
            let mut ends = Ends::new().await;
            // Unread bytes make a close a reset.
            ends.ours.write_all(b"unread").await.unwrap();
            thread::sleep(Duration::from_millis(2));
            drop(std::mem::replace(&mut ends.peer, std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| {
                let stream = std::net::TcpStream::connect(l.local_addr()?)?;
                Ok(stream)
            }).unwrap()));
            task::yield_now().await;
            ends.be_busy().await;
            // The socket knows of the reset; the lane does not ask it.
            ends.ours.write_all(b"lost").await.unwrap();
            task::yield_now().await;
            let error = match next {
                0 => ends.ours.write_all(b"more").await,
                1 => ends.ours.flush().await,
                _ => ends.ours.shutdown().await,
            };
            let kind = error.unwrap_err().kind();
            assert!(matches!(kind, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{kind}");
            // Once.
            ends.ours.flush().await.unwrap();
        }
    });
}

#[test]
fn what_was_accepted_is_sent_before_the_end() {
    on_each_flavour(|| async {
        // A drop.
        let mut ends = Ends::new().await;
        task::yield_now().await;
        ends.be_busy().await;
        ends.ours.write_all(b"last words").await.unwrap();
        let Ends { ours, peer, filler, _sink } = ends;
        drop(ours);
        let mut peer = peer;
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"last words");

        // A shutdown, which waits.
        let mut ends = Ends { filler, _sink, ..Ends::new().await };
        task::yield_now().await;
        ends.be_busy().await;
        ends.ours.write_all(b"last words").await.unwrap();
        ends.ours.shutdown().await.unwrap();
        assert_eq!(ends.read_to_end(), b"last words");

        // The drop of a half.
        let mut ends = Ends::new().await;
        task::yield_now().await;
        ends.be_busy().await;
        ends.ours.write_all(b"last words").await.unwrap();
        let Ends { ours, mut peer, .. } = ends;
        let (_read, write) = ours.into_split();
        drop(write);
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"last words");
    });
}

#[test]
fn what_a_full_socket_has_left_is_sent_after_a_drop() {
    on_each_flavour(|| async {
        for half in [false, true] {
            let mut ends = Ends::new().await;
            ends.be_busy().await;
            let mut total = fill_up(&mut ends.ours, 64).await;
            let Ends { ours, mut peer, .. } = ends;
            let (read, mut write) = ours.into_split();
            total += fill_up(&mut write, 64).await;
            drop(write);
            let kept = if half { Some(read) } else { None };
            let bytes = task::spawn_blocking(move || {
                let mut bytes = Vec::new();
                peer.read_to_end(&mut bytes).map(|_| bytes)
            });
            let bytes = bytes.await.unwrap().unwrap();
            assert_eq!(bytes.len(), total);
            drop(kept);
        }
    });
}

#[test]
fn a_shutdown_does_not_wait_for_a_full_socket() {
    on_each_flavour(|| async {
        let mut ends = Ends::new().await;
        ends.be_busy().await;
        let total = fill_up(&mut ends.ours, 64).await;
        ends.ours.shutdown().await.unwrap();
        assert_eq!(ends.ours.write(b"too late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut peer = ends.peer;
        let bytes = task::spawn_blocking(move || {
            let mut bytes = Vec::new();
            peer.read_to_end(&mut bytes).map(|_| bytes)
        });
        assert_eq!(bytes.await.unwrap().unwrap().len(), total);
        assert_eq!(ends.ours.write(b"too late").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn every_other_way_to_the_socket_comes_after_what_was_accepted() {
    on_each_flavour(|| async {
        let mut ends = Ends::new().await;
        task::yield_now().await;
        ends.be_busy().await;
        ends.ours.write_all(b"a").await.unwrap();
        assert_eq!(ends.ours.try_write(b"b").unwrap(), 1);
        ends.ours.write_all(b"c").await.unwrap();
        ends.ours.writable().await.unwrap();
        let n = ends.ours.try_io(crate::io::Interest::WRITABLE, || {
            socket2::SockRef::from(&ends.ours).send(b"d")
        });
        assert_eq!(n.unwrap(), 1);
        ends.ours.write_all(b"e").await.unwrap();
        socket2::SockRef::from(&ends.ours).send(b"f").unwrap();
        ends.ours.write_all(b"g").await.unwrap();
        let (read, write) = ends.ours.into_split();
        let mut ours = read.reunite(write).unwrap();
        ours.write_all(b"h").await.unwrap();
        let mut std = ours.into_std().unwrap();
        std.write_all(b"i").unwrap();
        drop(std);
        let mut bytes = Vec::new();
        ends.peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"abcdefghi");
    });
}

#[test]
fn a_runtime_that_ends_sends_what_was_accepted() {
    for rt in [current_thread(Lane::Native), multi_thread(1, Lane::Native), multi_thread(2, Lane::Native)] {
        let (mut peer, done) = rt.block_on(async {
            let mut ends = Ends::new().await;
            let (tell, told) = std::sync::mpsc::channel();
            let peer = ends.peer.try_clone().unwrap();
            task::spawn(async move {
                ends.be_busy().await;
                ends.ours.write_all(b"last words").await.unwrap();
                tell.send(()).unwrap();
                std::future::pending::<()>().await;
                drop(ends);
            });
            task::yield_now().await;
            (peer, told)
        });
        done.recv().unwrap();
        drop(rt);
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"last words");
    }
}

#[test]
fn a_ring_that_is_given_up_has_sent_before() {
    let rt = current_thread(Lane::Native);
    let mut ends = rt.block_on(async {
        let mut ends = Ends::new().await;
        ends.be_busy().await;
        ends.ours.write_all(b"meanwhile").await.unwrap();
        ends
    });
    // Nobody drives the runtime.
    assert_eq!(ends.read_exactly(9), b"meanwhile");
}

#[test]
fn a_runtime_does_not_wait_for_ever_for_a_peer() {
    for reads in [true, false] {
        let rt = multi_thread(1, Lane::Native);
        let (mut peer, total) = rt.block_on(async {
            task::spawn(async {
                let mut ends = Ends::new().await;
                ends.be_busy().await;
                let total = fill_up(&mut ends.ours, 64).await;
                (ends.peer, total)
            })
            .await
            .unwrap()
        });
        let start = Instant::now();
        if reads {
            let reader = thread::spawn(move || {
                let mut bytes = Vec::new();
                peer.read_to_end(&mut bytes).map(|_| bytes)
            });
            drop(rt);
            assert_eq!(reader.join().unwrap().unwrap().len(), total);
        } else {
            drop(rt);
            assert!(start.elapsed() < Duration::from_secs(10));
        }
    }
}

#[test]
fn a_thread_that_blocks_has_sent_before() {
    let rt = multi_thread(1, Lane::Native);
    rt.block_on(async {
        let scene = async {
            let mut ends = Ends::new().await;
            task::yield_now().await;
            ends.be_busy().await;
            ends.ours.write_all(b"first").await.unwrap();
            let bytes = task::block_in_place(|| ends.read_exactly(5));
            assert_eq!(bytes, b"first");
            // The thread may have lost its shard; the stream goes on.
            ends.be_busy().await;
            ends.ours.write_all(b"second").await.unwrap();
            ends.ours.shutdown().await.unwrap();
            assert_eq!(ends.read_to_end(), b"second");
        };
        task::spawn(scene).await.unwrap();
    });
}

#[test]
fn h22_a_stalled_shard_is_sent_for() {
    let rt = multi_thread(2, Lane::Native);
    rt.block_on(async {
        let scene = async {
            let mut ends = Ends::new().await;
            task::yield_now().await;
            ends.be_busy().await;
            ends.ours.write_all(b"meanwhile").await.unwrap();
            // This blocks the worker, and nobody was told.
            assert_eq!(ends.read_exactly(9), b"meanwhile");
        };
        task::spawn(scene).await.unwrap();
    });
}

#[test]
fn h19_sends_survive_a_kernel_that_takes_nothing_for_now() {
    const ROUNDS: usize = 3;
    for errno in [libc::EAGAIN, libc::EBUSY, libc::EINTR, libc::ENOMEM] {
        for n in (0..60).step_by(7) {
            let script = Script::default().ring_size(4, 8).fail(Call::Enter, errno, n..n + 20);
            under(&script, &format!("errno {errno} at enter {n}"), || {
                let rt = current_thread(Lane::Native);
                let threads = rt.block_on(async {
                    let mut tasks = Vec::new();
                    let mut threads = Vec::new();
                    for tag in 0..10 {
                        let Ends { mut ours, peer, .. } = Ends::new().await;
                        threads.push(thread::spawn(move || check_pattern(peer, tag, ROUNDS)));
                        tasks.push(task::spawn(async move { write_pattern(&mut ours, tag, ROUNDS).await }));
                    }
                    for task in tasks {
                        task.await.unwrap();
                    }
                    threads
                });
                // The last bytes may wait for room in their sockets: as long as the runtime is driven, or at
                // its end.
                drop(rt);
                threads.into_iter().for_each(|thread| thread.join().unwrap());
            });
        }
    }
}

#[test]
fn an_echo_of_many_connections() {
    on_each_flavour(|| async {
        let listener = crate::net::TcpListener::bind(super::own_address()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let server = task::spawn(super::serve(listener));
        let clients: Vec<_> = (0..100).map(|tag| task::spawn(super::client(addr, tag, 50))).collect();
        for client in clients {
            assert_eq!(client.await.unwrap(), 100);
        }
        server.abort();
        let mut stream = TcpStream::connect(addr).await.err();
        // The listener is gone with its task, or about to be.
        while stream.is_none() {
            task::yield_now().await;
            stream = TcpStream::connect(addr).await.err();
        }
    });
}
