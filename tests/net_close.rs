//! `net`: what ends a socket. Whatever way a socket leaves the runtime, its port is free and its
//! peer knows at once: an armed poll left behind would pin the file (H01, H03).
//!
//! A plain Tokio program: every expectation here was first checked against tokio 1.54.1.

use std::future::Future;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd};
use std::pin::pin;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Far above what a close takes, even on a busy machine. What a forgotten poll costs is for ever.
const SOON: Duration = Duration::from_secs(20);

/// One test at a time of those that start a child, or rely on it that nobody does: until it calls `exec`,
/// a child has all descriptors of this process, so a port is not free once the last one here is closed.
fn no_forks() -> MutexGuard<'static, ()> {
    static FORKS: Mutex<()> = Mutex::new(());
    FORKS.lock().unwrap_or_else(|e| e.into_inner())
}

fn flavours() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ]
}

/// Runs `test` as a task on both flavours.
fn on_both<F: Future<Output = ()> + Send + 'static>(test: fn() -> F) {
    for rt in flavours() {
        rt.block_on(async { tokio::spawn(test()).await.unwrap() });
    }
}

/// A loopback address whose ports no other process takes while one is free for a moment.
fn own_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 79, high, low], 0))
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

/// Polls once, so that whatever it waits for is being watched.
fn poll_once<F: Future>(f: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    f.poll(&mut Context::from_waker(Waker::noop()))
}

/// Makes the driver watch `stream` for data that never comes.
async fn watch(stream: &TcpStream) {
    let mut byte = [0];
    // An accepted stream believes it is readable until an attempt says otherwise.
    assert_eq!(stream.try_read(&mut byte).unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(poll_once(pin!(stream.readable())).is_pending());
    armed().await;
}

/// Lets the driver get around to what it was asked to watch.
async fn armed() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

async fn ends(peer: &mut TcpStream) {
    let mut byte = [0];
    let n = timeout(SOON, peer.read(&mut byte)).await.expect("the peer heard nothing").unwrap();
    assert_eq!(n, 0);
}

async fn refused(addr: SocketAddr) {
    let err = TcpStream::connect(addr).await.unwrap_err();
    assert_eq!(err.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_dropped_stream_ends_its_peer() {
    on_both(|| async {
        let (mut client, server) = pair().await;
        watch(&server).await;
        drop(server);
        ends(&mut client).await;
    });
}

#[test]
fn a_stream_dropped_on_a_foreign_thread_ends_its_peer() {
    on_both(|| async {
        let (mut client, server) = pair().await;
        watch(&server).await;
        thread::spawn(move || drop(server));
        ends(&mut client).await;

        let (mut client, server) = pair().await;
        watch(&server).await;
        tokio::task::spawn_blocking(move || drop(server)).await.unwrap();
        ends(&mut client).await;
    });
}

#[test]
fn a_stream_dropped_outside_of_block_on_ends_its_peer() {
    for rt in flavours() {
        let (client, server) = rt.block_on(pair());
        rt.block_on(watch(&server));
        let mut client = client.into_std().unwrap();
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(SOON)).unwrap();

        drop(server);

        assert_eq!(client.read(&mut [0]).expect("the peer heard nothing"), 0);
    }
}

#[test]
fn both_owned_halves_have_to_go() {
    on_both(|| async {
        let (mut client, server) = pair().await;
        watch(&server).await;
        let (read, write) = server.into_split();
        write.forget();
        let mut byte = [0];
        assert!(poll_once(pin!(client.read(&mut byte))).is_pending());
        drop(read);
        ends(&mut client).await;
    });
}

#[test]
fn a_dropped_write_half_ends_one_direction() {
    on_both(|| async {
        let (mut client, server) = pair().await;
        let (mut read, write) = server.into_split();
        drop(write);
        ends(&mut client).await;
        client.write_all(b"x").await.unwrap();
        assert_eq!(read.read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn reunited_halves_are_the_stream_again() {
    on_both(|| async {
        let (mut client, server) = pair().await;
        let (read, write) = server.into_split();
        let (stranger, _keep) = pair().await.0.into_split();

        let err = stranger.reunite(write).unwrap_err();
        assert_eq!(err.to_string(), "tried to reunite halves that are not from the same socket");
        let mut server = read.reunite(err.1).unwrap();

        server.write_all(b"x").await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        drop(server);
        ends(&mut client).await;
    });
}

#[test]
fn a_stream_taken_out_is_closed_by_std() {
    on_both(|| async {
        let (mut client, server) = pair().await;
        watch(&server).await;
        let mut server = server.into_std().unwrap();
        server.write_all(b"x").unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'x');
        drop(server);
        ends(&mut client).await;
    });
}

#[test]
fn a_dropped_listener_refuses() {
    let _forks = no_forks();
    on_both(|| async {
        let listener = TcpListener::bind(own_address()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(poll_once(pin!(listener.accept())).is_pending());
        armed().await;
        drop(listener);
        refused(addr).await;
    });
}

#[test]
fn a_listener_taken_out_works_and_then_refuses() {
    let _forks = no_forks();
    on_both(|| async {
        let listener = TcpListener::bind(own_address()).await.unwrap();
        let addr = listener.local_addr().unwrap();
        assert!(poll_once(pin!(listener.accept())).is_pending());
        armed().await;
        let listener = listener.into_std().unwrap();
        let client = TcpStream::connect(addr).await.unwrap();
        let (server, _) = listener.accept().unwrap();
        drop((client, server, listener));
        refused(addr).await;
    });
}

#[test]
fn a_port_can_be_bound_a_thousand_times() {
    let _forks = no_forks();
    on_both(|| async {
        let mut addr = own_address();
        for round in 0..1000 {
            // Without SO_REUSEADDR, to which a forgotten listener would be just as much in use.
            let socket = TcpSocket::new_v4().unwrap();
            if let Err(e) = socket.bind(addr) {
                panic!("round {round}: {e}");
            }
            let listener = socket.listen(1).unwrap();
            addr = listener.local_addr().unwrap();
            assert!(poll_once(pin!(listener.accept())).is_pending());
        }
    });
}

#[test]
fn a_udp_port_can_be_bound_a_thousand_times() {
    let _forks = no_forks();
    on_both(|| async {
        let mut addr = own_address();
        for round in 0..1000 {
            let socket = match UdpSocket::bind(addr).await {
                Ok(socket) => socket,
                Err(e) => panic!("round {round}: {e}"),
            };
            addr = socket.local_addr().unwrap();
            assert!(poll_once(pin!(socket.readable())).is_pending());
        }
    });
}

/// A listener whose queue is full, so that a further connect neither succeeds nor fails.
fn deaf_listener() -> (std::net::TcpListener, Vec<std::net::TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Listen without a runtime: the descriptor changes hands as a number.
    // SAFETY: `into_raw_fd` gives the descriptor away.
    let listener = unsafe { std::net::TcpListener::from_raw_fd(socket.into_raw_fd()) };
    listen(&listener, 0);
    let addr = listener.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
        queue.push(stream);
    }
    (listener, queue)
}

fn listen(listener: &std::net::TcpListener, backlog: i32) {
    unsafe extern "C" {
        fn listen(fd: i32, backlog: i32) -> i32;
    }
    // SAFETY: `listen(2)` takes two integers and touches no memory of ours.
    assert_eq!(unsafe { listen(listener.as_raw_fd(), backlog) }, 0);
}

/// The number of open sockets. A runtime opens other things at times.
fn sockets() -> usize {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = links.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    links.filter(|to| to.to_string_lossy().starts_with("socket:")).count()
}

/// Waits until there are no more than `n` sockets: some may be on their way to the thread that closes them.
async fn left(n: usize) {
    let start = Instant::now();
    while sockets() > n {
        assert!(start.elapsed() < SOON, "{} sockets instead of {n}", sockets());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Runs `name`, an ignored test of this file, in a process of its own.
fn alone(name: &str) {
    let _forks = no_forks();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_connect_given_up_closes_its_socket() {
    alone("child_connect_given_up");
}

#[test]
#[ignore = "counts descriptors, so it needs a process of its own"]
fn child_connect_given_up() {
    for rt in flavours() {
        let (listener, _queue) = deaf_listener();
        let addr = listener.local_addr().unwrap();
        rt.block_on(async {
            let before = sockets();
            assert!(timeout(Duration::from_millis(100), TcpStream::connect(addr)).await.is_err());
            for _ in 0..20 {
                assert!(poll_once(pin!(TcpStream::connect(addr))).is_pending());
                let socket = TcpSocket::new_v4().unwrap();
                assert!(poll_once(pin!(socket.connect(addr))).is_pending());
            }
            left(before).await;
        });
    }
}

#[test]
fn a_refused_connect_closes_its_socket() {
    alone("child_connect_refused");
}

#[test]
#[ignore = "counts descriptors, so it needs a process of its own"]
fn child_connect_refused() {
    for rt in flavours() {
        rt.block_on(async {
            let before = sockets();
            let listener = TcpListener::bind(own_address()).await.unwrap();
            let addr = listener.local_addr().unwrap();
            drop(listener);
            for _ in 0..20 {
                refused(addr).await;
            }
            left(before).await;
        });
    }
}

/// H43: with no descriptor left every accept says so, and the connection is not lost.
#[test]
fn accept_reports_each_time_that_descriptors_ran_out() {
    alone("child_accept_without_descriptors");
}

#[test]
#[ignore = "uses up all descriptors, so it needs a process of its own"]
fn child_accept_without_descriptors() {
    const EMFILE: i32 = 24;
    for rt in flavours() {
        rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut hoard = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                hoard.push(file);
            }

            for _ in 0..3 {
                let err = timeout(SOON, listener.accept()).await.expect("accept waits").unwrap_err();
                assert_eq!(err.raw_os_error(), Some(EMFILE));
            }

            drop(hoard);
            let (_server, peer) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
        });
    }
}
