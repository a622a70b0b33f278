//! What the ring reports and what becomes of it: hazards H06 to H09.
//!
//! Where the answer is "what Tokio says", the published Tokio is asked in the same test.

mod common;

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdp};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream, UnixDatagram, UnixStream};

use common::*;

// ===== H06: no edge is lost =====

#[test]
fn h06_bytes_left_by_a_partial_read_are_found() {
    const BYTES: usize = 4096;
    let _alone = alone();
    on_each_flavour(|| async {
        let (mut stream, mut peer) = connection().await;
        wait_in_read(&mut stream).await;
        armed(1).await;
        // One edge for all of it.
        peer.write_all(&[7; BYTES]).unwrap();
        let mut sum = 0;
        let mut buf = [0; 3];
        while sum < BYTES {
            let n = stream.read(&mut buf).await.unwrap();
            assert!(n > 0 && buf[..n].iter().all(|&b| b == 7));
            sum += n;
        }
        assert_eq!(sum, BYTES);
        wait_in_read(&mut stream).await;
    });
}

#[test]
fn h06_a_short_read_that_races_the_next_byte() {
    const BYTES: usize = 20_000;
    let _alone = alone();
    on_each_flavour(|| async {
        let (mut stream, mut peer) = connection().await;
        peer.set_nonblocking(false).unwrap();
        peer.set_nodelay(true).unwrap();
        let writer = std::thread::spawn(move || {
            for i in 0..BYTES {
                peer.write_all(&[i as u8]).unwrap();
            }
            peer
        });
        // A buffer with room: each read is short, and clears the readiness it found.
        let mut buf = [0; 64];
        let mut got = 0;
        while got < BYTES {
            let n = stream.read(&mut buf).await.unwrap();
            for (i, &byte) in buf[..n].iter().enumerate() {
                assert_eq!(byte, (got + i) as u8);
            }
            got += n;
        }
        drop(writer.join().unwrap());
    });
}

/// One call takes 1,024 slices. That it left some does not mean that the socket is full.
#[test]
fn h06_more_slices_than_one_call_takes_do_not_fill_a_socket() {
    const SLICES: usize = 3_000;
    let _alone = alone();
    on_each_flavour(|| async {
        let (mut stream, mut peer) = connection().await;
        wait_in_read(&mut stream).await;
        armed(1).await;
        stream.writable().await.unwrap();
        let byte = [IoSlice::new(b"x"); SLICES];
        let mut sent = 0;
        while sent < SLICES {
            let written = tokio::time::timeout(LONG, stream.write_vectored(&byte[sent..])).await;
            sent += written.expect("it waits for a socket that has room").unwrap();
        }
        let mut received = vec![0; SLICES];
        peer.set_nonblocking(false).unwrap();
        peer.read_exact(&mut received).unwrap();
    });
}

#[test]
fn h06_a_connection_survives_emfile_in_accept() {
    in_a_child("h06_a_connection_survives_emfile_in_accept", || {
        limit_descriptors(128);
        for rt in [current_thread(), multi_thread(2)] {
            let (errors, polls) = rt.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                let addr = listener.local_addr().unwrap();
                start_waiting(listener.accept()).await;
                // The client's descriptor is there already.
                let client =
                    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
                let files = take_all_descriptors();
                client.connect(&addr.into()).unwrap();

                // An error each time, and no spinning in between: the next call is the user's.
                let mut errors = 0;
                for _ in 0..5 {
                    let error = tokio::time::timeout(LONG, listener.accept())
                        .await
                        .expect("an edge was lost")
                        .unwrap_err();
                    assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
                    errors += 1;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                drop(files);
                let accepted = tokio::time::timeout(LONG, listener.accept()).await.expect("an edge was lost");
                let (mut stream, _) = accepted.unwrap();
                let mut client = StdStream::from(client);
                client.write_all(b"x").unwrap();
                assert_eq!(stream.read_u8().await.unwrap(), b'x');
                (errors, armed_polls())
            });
            assert_eq!(errors, 5);
            assert!(polls >= 1);
        }
    });
}

// ===== the same scene on both runtimes =====

/// Runs `$scene!(tokio, Fd)` on this crate and on the published Tokio; both results.
macro_rules! on_both {
    ($scene:ident) => {{
        let ours = {
            let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            rt.block_on(async { $scene!(tokio) })
        };
        let theirs = {
            let rt = upstream::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            rt.block_on(async { $scene!(upstream) })
        };
        (ours, theirs)
    }};
}

// ===== H07: what can be registered =====

/// A descriptor that nobody owns.
struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

#[test]
fn h07_the_errors_that_tokio_gives() {
    let _alone = alone();
    macro_rules! scene {
        ($tokio:ident) => {{
            use $tokio::io::unix::AsyncFd;
            let errno = |fd: RawFd| {
                // SAFETY: each descriptor stays open beyond this call, or is no descriptor.
                let registered = unsafe { AsyncFd::register(Number(fd)) };
                registered.map(drop).map_err(|e| std::io::Error::from(e).raw_os_error())
            };
            let files: Vec<_> =
                ["/", "/dev/null", "/dev/zero", "/proc/self/exe", "/proc/self/mounts", "/dev/random"]
                    .map(|path| File::open(path).unwrap())
                    .into();
            let temp = tempfile::tempfile().unwrap();
            let (a, _b) = UnixPair::new();
            // SAFETY: it is dropped before the socket.
            let first = unsafe { AsyncFd::register(Number(a.as_raw_fd())) }.unwrap();
            let mut errors: Vec<_> = files.iter().map(|f| errno(f.as_raw_fd())).collect();
            errors.push(errno(temp.as_raw_fd()));
            errors.push(errno(-1));
            errors.push(errno(1_000_000));
            // A twin, and once more after it.
            errors.push(errno(a.as_raw_fd()));
            drop(first);
            errors.push(errno(a.as_raw_fd()));
            errors
        }};
    }
    let (ours, theirs) = on_both!(scene);
    assert_eq!(ours, theirs);
    assert!(ours.contains(&Err(Some(libc::EPERM))) && ours.contains(&Err(Some(libc::EEXIST))));
}

/// A connected pair of unix sockets.
struct UnixPair;

impl UnixPair {
    #[allow(clippy::new_ret_no_self)]
    fn new() -> (std::os::unix::net::UnixStream, std::os::unix::net::UnixStream) {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        a.set_nonblocking(true).unwrap();
        b.set_nonblocking(true).unwrap();
        (a, b)
    }
}

// ===== H08: poll bits as mio maps them =====

/// Closes with a reset.
fn reset(peer: StdStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

/// What both runtimes say of a stream after something happened to it: its readiness, and the
/// results of a read and a write.
#[test]
fn h08_tcp_readiness_is_tokios() {
    let _alone = alone();
    type Thing = (&'static str, fn(StdStream) -> Option<StdStream>);
    let things: [Thing; 6] = [
        ("nothing", Some),
        ("data", |mut peer| {
            peer.write_all(b"x").unwrap();
            Some(peer)
        }),
        ("half-close", |peer| {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            Some(peer)
        }),
        ("data and half-close", |mut peer| {
            peer.write_all(b"x").unwrap();
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            Some(peer)
        }),
        ("close", |_| None),
        ("reset", |peer| {
            reset(peer);
            None
        }),
    ];
    for (what, happen) in things {
        macro_rules! scene {
            ($tokio:ident) => {{
                let listener = StdListener::bind("127.0.0.1:0").unwrap();
                let stream = $tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
                let (peer, _) = listener.accept().unwrap();
                // Watched by now: nothing is read yet.
                let _ = stream.try_read(&mut [0; 8]);
                let _ = futures::poll!(std::pin::pin!(stream.readable()));
                $tokio::time::sleep(Duration::from_millis(5)).await;
                let _peer = happen(peer);
                $tokio::time::sleep(Duration::from_millis(20)).await;
                let interest = $tokio::io::Interest::READABLE | $tokio::io::Interest::WRITABLE;
                let ready = stream.ready(interest).await.unwrap();
                let error = stream.ready($tokio::io::Interest::ERROR | interest).await.unwrap().is_error();
                let read = stream.try_read(&mut [0; 8]).map_err(|e| e.kind());
                let write = stream.try_write(b"y").map_err(|e| e.kind());
                (format!("{ready:?}"), error, read, write)
            }};
        }
        let (ours, theirs) = on_both!(scene);
        assert_eq!(ours, theirs, "after {what}");
    }
}

#[test]
fn h08_refused_connections_are_tokios() {
    let _alone = alone();
    let _forks = without_forks();
    macro_rules! scene {
        ($tokio:ident) => {{
            let addr = StdListener::bind(own_address()).unwrap().local_addr().unwrap();
            let tcp = $tokio::net::TcpStream::connect(addr).await.map(drop).map_err(|e| e.kind());
            let unix =
                $tokio::net::UnixStream::connect("/nowhere/at/all").await.map(drop).map_err(|e| e.kind());

            let udp_addr = StdUdp::bind(own_address()).unwrap().local_addr().unwrap();
            let udp = $tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
            udp.connect(udp_addr).await.unwrap();
            udp.send(b"x").await.unwrap();
            // The ICMP answer is an error of the next call.
            let mut bytes = [0; 8];
            let udp = $tokio::time::timeout(LONG, udp.recv(&mut bytes)).await.unwrap().map_err(|e| e.kind());
            (tcp, unix, udp)
        }};
    }
    let (ours, theirs) = on_both!(scene);
    assert_eq!(ours, theirs);
    assert_eq!(ours.0, Err(ErrorKind::ConnectionRefused));
    assert_eq!(ours.2, Err(ErrorKind::ConnectionRefused));
}

#[test]
fn h08_unix_and_pipe_readiness_is_tokios() {
    let _alone = alone();
    use std::os::unix::net::UnixStream;
    type Thing = (&'static str, fn(UnixStream) -> Option<UnixStream>);
    let things: [Thing; 3] = [
        ("data", |mut peer| {
            peer.write_all(b"x").unwrap();
            Some(peer)
        }),
        ("half-close", |peer| {
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            Some(peer)
        }),
        ("close", |_| None),
    ];
    for (what, happen) in things {
        macro_rules! scene {
            ($tokio:ident) => {{
                let (ours, peer) = UnixPair::new();
                let stream = $tokio::net::UnixStream::from_std(ours).unwrap();
                let _ = stream.try_read(&mut [0; 8]);
                let _ = futures::poll!(std::pin::pin!(stream.readable()));
                $tokio::time::sleep(Duration::from_millis(5)).await;
                let _peer = happen(peer);
                $tokio::time::sleep(Duration::from_millis(20)).await;
                let interest = $tokio::io::Interest::READABLE | $tokio::io::Interest::WRITABLE;
                let ready = stream.ready(interest).await.unwrap();
                let read = stream.try_read(&mut [0; 8]).map_err(|e| e.kind());
                let write = stream.try_write(b"y").map_err(|e| e.kind());
                (format!("{ready:?}"), read, write)
            }};
        }
        let (ours, theirs) = on_both!(scene);
        assert_eq!(ours, theirs, "after {what}");
    }

    macro_rules! pipes {
        ($tokio:ident) => {{
            use $tokio::io::Interest;
            // The writer goes while the reader waits ...
            let (sender, receiver) = $tokio::net::unix::pipe::pipe().unwrap();
            let _ = futures::poll!(std::pin::pin!(receiver.readable()));
            $tokio::time::sleep(Duration::from_millis(5)).await;
            drop(sender);
            $tokio::time::sleep(Duration::from_millis(20)).await;
            let ready = format!("{:?}", receiver.ready(Interest::READABLE).await.unwrap());
            let read = receiver.try_read(&mut [0; 8]).map_err(|e| e.kind());
            // ... and the reader while the writer waits for room.
            let (sender, receiver) = $tokio::net::unix::pipe::pipe().unwrap();
            while sender.try_write(&[0; 4096]).is_ok() {}
            let _ = futures::poll!(std::pin::pin!(sender.writable()));
            $tokio::time::sleep(Duration::from_millis(5)).await;
            drop(receiver);
            $tokio::time::sleep(Duration::from_millis(20)).await;
            let gone = sender.ready(Interest::WRITABLE).await.unwrap();
            let write = sender.try_write(b"x").map_err(|e| e.kind());
            (ready, read, format!("{gone:?}"), write)
        }};
    }
    let (ours, theirs) = on_both!(pipes);
    assert_eq!(ours, theirs);
}

// ===== H09: one wake for each newly set bit =====

#[derive(Default)]
struct CountWakes(AtomicUsize);

impl Wake for CountWakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Waits for a wake-up, and a little for more.
async fn woken(wakes: &CountWakes) {
    let start = Instant::now();
    while wakes.0.load(SeqCst) == 0 {
        assert!(start.elapsed() < LONG, "nobody is woken");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_millis(5)).await;
}

#[test]
fn h09_10000_writes_wake_a_reader_once() {
    let _alone = alone();
    on_each_flavour(|| async {
        let (stream, mut peer) = connection().await;
        let _ = stream.try_read(&mut [0; 8]);
        let wakes = Arc::new(CountWakes::default());
        let waker = Waker::from(wakes.clone());
        assert!(matches!(stream.poll_read_ready(&mut Context::from_waker(&waker)), Poll::Pending));
        armed(1).await;
        for round in 0..10_000 {
            peer.write_all(b"x").unwrap();
            if round % 10 == 0 {
                // The ring is looked at in between, so that the kernel reports again.
                tokio::task::yield_now().await;
            }
        }
        woken(&wakes).await;
        assert_eq!(wakes.0.load(SeqCst), 1);
        assert!(matches!(stream.poll_read_ready(&mut Context::from_waker(&waker)), Poll::Ready(Ok(()))));
        assert_eq!(wakes.0.load(SeqCst), 1);
    });
}

#[test]
fn h09_incoming_data_does_not_wake_a_writer() {
    let _alone = alone();
    on_each_flavour(|| async {
        let (ours, mut peer) = UnixPair::new();
        let stream = UnixStream::from_std(ours).unwrap();
        stream.writable().await.unwrap();
        while stream.try_write(&[0; 4096]).is_ok() {}
        let wakes = Arc::new(CountWakes::default());
        let waker = Waker::from(wakes.clone());
        assert!(matches!(stream.poll_write_ready(&mut Context::from_waker(&waker)), Poll::Pending));
        armed(1).await;
        for round in 0..100 {
            peer.write_all(b"x").unwrap();
            if round % 10 == 0 {
                tokio::task::yield_now().await;
            }
        }
        stream.ready(Interest::READABLE).await.unwrap();
        assert_eq!(wakes.0.load(SeqCst), 0);
        // Room again: one wake-up, however many reads make it.
        let mut buf = vec![0; 1 << 20];
        while peer.read(&mut buf).is_ok() {}
        stream.writable().await.unwrap();
        woken(&wakes).await;
        assert_eq!(wakes.0.load(SeqCst), 1);
    });
}

// ===== H91: a guess hides nothing =====

/// Streams that are taken for ready before they were watched: an accepted one and a pair, with their peers.
async fn guessed() -> (TcpStream, TcpStream, UnixStream, UnixStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connect = TcpStream::connect(listener.local_addr().unwrap());
    let (peer, accepted) = tokio::join!(connect, listener.accept());
    let (a, b) = UnixStream::pair().unwrap();
    (accepted.unwrap().0, peer.unwrap(), a, b)
}

/// The loop of Tokio's documentation: whatever is ready is tried, of both directions.
macro_rules! echo_by_ready {
    ($stream:expr) => {
        async {
            let stream = $stream;
            let mut kept = Vec::new();
            loop {
                let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap();
                if ready.is_readable() {
                    let mut bytes = [0; 64];
                    match stream.try_read(&mut bytes) {
                        Ok(0) => return,
                        Ok(n) => kept.extend_from_slice(&bytes[..n]),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
                    }
                }
                if ready.is_writable() && !kept.is_empty() {
                    let n = stream.try_write(&kept).unwrap();
                    kept.drain(..n);
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
}

/// One that says nothing for a while.
async fn ask(mut peer: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    tokio::time::sleep(Duration::from_millis(20)).await;
    peer.write_all(b"hello").await.unwrap();
    let mut answer = [0; 5];
    peer.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"hello");
}

#[test]
fn h91_ready_for_both_directions_sees_both() {
    on_each_flavour(|| async {
        let (accepted, of_accepted, a, b) = guessed().await;
        tokio::join!(echo_by_ready!(accepted), ask(of_accepted));
        tokio::join!(echo_by_ready!(a), ask(b));

        let (a, b) = UnixDatagram::pair().unwrap();
        let hears = async {
            while !a.ready(Interest::READABLE | Interest::WRITABLE).await.unwrap().is_readable() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(a.try_recv(&mut [0; 8]).unwrap(), 5);
        };
        let says = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            b.send(b"hello").await.unwrap();
        };
        tokio::join!(hears, says);
    });
}

/// The end of the other side is seen by who asks for something else.
#[test]
fn h91_whoever_asks_hears_of_the_end() {
    on_each_flavour(|| async {
        let (accepted, of_accepted, a, b) = guessed().await;
        accepted.ready(Interest::WRITABLE).await.unwrap();
        a.ready(Interest::WRITABLE).await.unwrap();
        drop((of_accepted, b));
        let both = Interest::READABLE | Interest::WRITABLE;
        while !a.ready(both).await.unwrap().is_write_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        while !accepted.ready(both).await.unwrap().is_read_closed() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}
