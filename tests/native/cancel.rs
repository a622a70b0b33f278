//! Futures that are dropped while their operation is on its way, and where its results go.

use std::future::Future;
use std::io::{ErrorKind, IoSliceMut};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use futures::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::native::entry::opcode;
use tokio::native::{IoBuf, IoBufMut, connect_tcp, connect_unix, splice, waitid};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};
use tokio::runtime::Handle;

use super::common::{spawn, without_forks};
use super::streams::tcp_pair;
use super::{is_emulated, on_workers};

/// Longer than anything here takes, and less than a test may take.
const LONG: Duration = Duration::from_secs(15);

/// Long enough for what is there to be received.
async fn moment() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

/// Waits until no operation of a kind is on a ring of this runtime.
async fn landed(opcode: u8) {
    let handle = Handle::current();
    let in_flight = || handle.shards().map(|shard| handle.remote(shard).unwrap().stats().in_flight(opcode));
    let start = Instant::now();
    while in_flight().sum::<u32>() > 0 {
        assert!(start.elapsed() < LONG, "it is never over");
        moment().await;
    }
}

/// Waits until `count` is down to 0.
async fn reaches_zero(what: &str, count: impl Fn() -> usize) {
    let start = Instant::now();
    while count() > 0 {
        assert!(start.elapsed() < LONG, "{what}: {}", count());
        moment().await;
    }
}

/// Begins an operation, has `meanwhile` happen, then drops it although it may be done.
async fn dropped<F: Future>(operation: F, meanwhile: impl AsyncFnOnce()) {
    let mut operation = Box::pin(operation);
    assert!(poll!(&mut operation).is_pending());
    // It gets to the ring.
    tokio::task::yield_now().await;
    meanwhile().await;
    moment().await;
}

/// Begins an operation and drops it, done or not.
async fn begun<F: Future>(operation: F) {
    let mut operation = Box::pin(operation);
    let _ = poll!(&mut operation);
    tokio::task::yield_now().await;
}

/// A receive is dropped that has got "hello"; `read` finds it all the same, and " world" after it.
async fn finds<R: AsyncFn(&mut TcpStream) -> Vec<u8>>(read: R) {
    let (mut a, mut b) = tcp_pair().await;
    let recv = b.native().recv(Vec::with_capacity(5));
    dropped(recv, async || a.write_all(b"hello world").await.unwrap()).await;
    let mut all = Vec::new();
    while all.len() < 11 {
        let more = read(&mut b).await;
        assert!(!more.is_empty());
        all.extend(more);
    }
    assert_eq!(std::str::from_utf8(&all).unwrap(), "hello world");

    // The same when it was dropped before anything came.
    let recv = b.native().recv(Vec::with_capacity(5));
    dropped(recv, async || {}).await;
    a.write_all(b"next").await.unwrap();
    assert_eq!(read(&mut b).await, b"next");
}

#[test]
fn received_bytes_are_found_by_every_kind_of_read() {
    on_workers(|| async {
        finds(async |b| {
            let (n, mut buf) = b.native().recv(vec![0; 16]).await;
            buf.truncate(n.unwrap());
            buf
        })
        .await;
        finds(async |b| {
            let mut buf = [0; 16];
            let n = b.read(&mut buf).await.unwrap();
            buf[..n].to_vec()
        })
        .await;
        finds(async |b| {
            let mut buf = Vec::with_capacity(16);
            b.read_buf(&mut buf).await.unwrap();
            buf
        })
        .await;
        finds(async |b| {
            let mut buf = [0; 16];
            loop {
                b.readable().await.unwrap();
                match b.try_read(&mut buf) {
                    Ok(n) => return buf[..n].to_vec(),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                }
            }
        })
        .await;
        finds(async |b| {
            let (mut x, mut y) = ([0; 3], [0; 16]);
            loop {
                b.ready(Interest::READABLE).await.unwrap();
                match b.try_read_vectored(&mut [IoSliceMut::new(&mut x), IoSliceMut::new(&mut y)]) {
                    Ok(n) => return [&x[..], &y[..]].concat()[..n].to_vec(),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                }
            }
        })
        .await;
        finds(async |b| {
            let mut buf = Vec::with_capacity(16);
            loop {
                b.readable().await.unwrap();
                match b.try_read_buf(&mut buf) {
                    Ok(_) => return buf,
                    Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                }
            }
        })
        .await;
        finds(async |b| {
            let mut seen = [0; 16];
            let n = b.peek(&mut seen).await.unwrap();
            let mut buf = vec![0; n];
            b.read_exact(&mut buf).await.unwrap();
            assert_eq!(buf, seen[..n]);
            buf
        })
        .await;
        finds(async |b| {
            let (n, bufs) = b.native().recv_vectored(vec![vec![0; 2], vec![0; 16]]).await;
            bufs.concat()[..n.unwrap()].to_vec()
        })
        .await;
        finds(async |b| {
            let (message, mut bufs) = b.native().recv_msg(vec![vec![0; 16]], 0).await;
            bufs[0].truncate(message.unwrap().len);
            bufs.remove(0)
        })
        .await;
        finds(async |b| {
            let (read, _) = b.split();
            let mut buf = vec![0; 16];
            let n = { read }.read(&mut buf).await.unwrap();
            buf.truncate(n);
            buf
        })
        .await;
    });
}

#[test]
fn what_recv_exact_had_is_found() {
    on_workers(|| async {
        let (mut a, mut b) = tcp_pair().await;
        let recv = b.native().recv_exact(vec![0; 100]);
        dropped(recv, async || {
            a.write_all(b"part").await.unwrap();
            moment().await;
            a.write_all(b" by part").await.unwrap();
        })
        .await;
        a.write_all(b"!").await.unwrap();
        let mut all = [0; 13];
        b.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"part by part!");
    });
}

#[test]
fn leftovers_can_be_taken() {
    on_workers(|| async {
        let (mut a, b) = tcp_pair().await;
        assert!(b.native().leftovers().await.unwrap().is_empty());
        dropped(b.native().recv(vec![0; 3]), async || {
            a.write_all(b"abcdef").await.unwrap();
            landed(opcode::Recv::CODE).await;
        })
        .await;
        // They are not handed to a descriptor without a runtime...
        let refused = is_into_std_refused(b).await;
        // ...but they are there for whoever asks.
        let (mut c, d) = tcp_pair().await;
        dropped(d.native().recv(vec![0; 3]), async || {
            c.write_all(b"abcdef").await.unwrap();
            landed(opcode::Recv::CODE).await;
        })
        .await;
        let left = d.native().leftovers().await.unwrap();
        assert_eq!((left.len() == 3, refused), (!is_emulated(), !is_emulated()));
        let std = d.into_std().unwrap();
        std.set_nonblocking(false).unwrap();
        let mut rest = vec![0; 6 - left.len()];
        std::io::Read::read_exact(&mut &std, &mut rest).unwrap();
        assert_eq!([left, rest].concat(), b"abcdef");
    });
}

/// Is `into_std` refused?
async fn is_into_std_refused(stream: TcpStream) -> bool {
    match stream.into_std() {
        Ok(_) => false,
        Err(e) => {
            assert!(e.to_string().contains("leftovers"), "{e}");
            true
        }
    }
}

#[test]
fn an_error_is_not_lost() {
    on_workers(|| async {
        let (a, mut b) = tcp_pair().await;
        socket2::SockRef::from(&a).set_linger(Some(Duration::ZERO)).unwrap();
        dropped(b.native().recv(vec![0; 3]), async || drop(a)).await;
        let error = b.read(&mut [0; 3]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    });
}

#[test]
fn accepted_connections_are_found() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        for round in 0..2 {
            let mut client = None;
            dropped(listener.native().accept(), async || client = TcpStream::connect(addr).await.ok()).await;
            let mut client = client.unwrap();
            let (mut server, peer) = match round {
                0 => listener.accept().await.unwrap(),
                _ => listener.native().accept().await.unwrap(),
            };
            assert_eq!(peer, client.local_addr().unwrap());
            server.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let mut client = None;
        dropped(listener.native().accept(), async || client = UnixStream::connect(&path).await.ok()).await;
        let (mut server, peer) = listener.accept().await.unwrap();
        assert!(peer.is_unnamed());
        server.write_all(b"x").await.unwrap();
        assert_eq!(client.unwrap().read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn a_listener_dropped_with_its_accept_frees_its_address() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut listener = Some(listener);
        for _ in 0..100 {
            let now = listener.take().unwrap();
            {
                let mut accept = pin!(now.native().accept());
                assert!(poll!(&mut accept).is_pending());
                tokio::task::yield_now().await;
            }
            let _forks = without_forks();
            drop(now);
            let refused = std::net::TcpStream::connect(addr).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
            listener = Some(TcpListener::bind(addr).await.unwrap());
        }
    });
}

#[test]
fn a_stream_dropped_with_its_receive_sends_fin() {
    on_workers(|| async {
        for _ in 0..20 {
            let (mut a, b) = tcp_pair().await;
            {
                let mut recv = pin!(b.native().recv(vec![0; 8]));
                assert!(poll!(&mut recv).is_pending());
                tokio::task::yield_now().await;
            }
            drop(b);
            assert_eq!(a.read(&mut [0]).await.unwrap(), 0);
        }
    });
}

#[test]
fn datagrams_are_found_with_their_senders() {
    on_workers(|| async {
        let [a, b] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let [a, b] = [a, b].map(|socket| {
            socket.set_nonblocking(true).unwrap();
            UdpSocket::from_std(socket).unwrap()
        });
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let lose = async |text: &'static str| {
            let send = async || assert_eq!(a.send_to(text.as_bytes(), at_b).await.unwrap(), text.len());
            dropped(b.native().recv(vec![0; 16]), send).await;
        };
        let mut buf = [0; 16];

        lose("one").await;
        assert_eq!(b.peek_from(&mut buf).await.unwrap(), (3, at_a));
        assert_eq!(b.peek(&mut buf[..2]).await.unwrap(), 2);
        assert_eq!(b.peek_sender().await.unwrap(), at_a);
        assert_eq!(b.recv_from(&mut buf).await.unwrap(), (3, at_a));
        assert_eq!(b.try_recv(&mut buf).unwrap_err().kind(), ErrorKind::WouldBlock);
        lose("two").await;
        b.readable().await.unwrap();
        assert_eq!(b.try_recv_from(&mut buf).unwrap(), (3, at_a));
        lose("three").await;
        let (received, got) = b.native().recv_from(Vec::with_capacity(16)).await;
        assert_eq!((received.unwrap(), &got[..]), ((5, at_a), &b"three"[..]));
        lose("four").await;
        let (message, bufs) = b.native().recv_msg(vec![vec![0; 3], vec![0; 3]], 64).await;
        let message = message.unwrap();
        assert_eq!((message.len, message.from, &bufs.concat()[..4]), (4, Some(at_a), &b"four"[..]));
        lose("five").await;
        let mut into = Vec::with_capacity(16);
        assert_eq!(b.recv_buf_from(&mut into).await.unwrap(), (4, at_a));
        assert_eq!(into, b"five");
        lose("six").await;
        // What does not fit is gone, as always.
        assert_eq!(b.recv(&mut buf[..1]).await.unwrap(), 1);
        a.send_to(b"seven", at_b).await.unwrap();
        assert_eq!(b.recv(&mut buf).await.unwrap(), 5);

        let (a, b) = UnixDatagram::pair().unwrap();
        dropped(b.native().recv(vec![0; 16]), async || assert_eq!(a.send(b"one").await.unwrap(), 3)).await;
        let (n, from) = b.recv_from(&mut buf).await.unwrap();
        assert!(n == 3 && from.is_unnamed());
    });
}

#[test]
fn bytes_of_pipes_are_found() {
    on_workers(|| async {
        let (mut tx, mut rx) = pipe::pipe().unwrap();
        dropped(rx.native().read(vec![0; 3]), async || tx.write_all(b"abcdef").await.unwrap()).await;
        let mut all = [0; 6];
        rx.read_exact(&mut all).await.unwrap();
        assert_eq!(&all, b"abcdef");
        dropped(rx.native().read_vectored(vec![vec![0; 3]]), async || tx.write_all(b"abc").await.unwrap())
            .await;
        rx.readable().await.unwrap();
        assert_eq!(rx.try_read(&mut all).unwrap(), 3);
        // Splicing would pass them by.
        if !is_emulated() {
            dropped(rx.native().read(vec![0; 3]), async || {
                tx.write_all(b"abc").await.unwrap();
                landed(opcode::Read::CODE).await;
            })
            .await;
            let (client, _server) = tcp_pair().await;
            splice(rx.native(), client.native(), 10).await.unwrap_err();
            assert_eq!(rx.native().leftovers().await.unwrap(), b"abc");
        }
    });
}

#[test]
fn descriptors_that_came_along_are_found_or_closed() {
    on_workers(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let send = async || {
            let fds = vec![std::fs::File::open("/dev/null").unwrap().into()];
            let control = vec![tokio::native::ControlMessage::Fds(fds)];
            a.native().send_msg(vec!["x"], control).await.0.unwrap();
        };
        dropped(b.native().recv_msg(vec![vec![0; 4]], 64), send).await;
        let (message, _) = b.native().recv_msg(vec![vec![0; 4]], 64).await;
        let control = message.unwrap().control;
        let fds = control.iter().filter(|message| matches!(message, tokio::native::ControlMessage::Fds(_)));
        assert_eq!(fds.count(), 1);
        // Linux 6.17 adds how much there is to read, which nobody asked for.
        assert_eq!(control.len(), if crate::common::kernel() == (6, 17) { 2 } else { 1 });
    });
}

#[test]
fn opened_files_are_closed() {
    // Nobody else opens this one.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("opened");
    std::fs::write(&path, "x").unwrap();
    let count = {
        let path = path.clone();
        move || {
            let fds = std::fs::read_dir("/proc/self/fd").unwrap();
            fds.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|to| to == path))
                .count()
        }
    };
    on_workers(move || {
        let (path, count) = (path.clone(), count.clone());
        async move {
            for round in 0..200 {
                let open = tokio::native::fs::open(&path, Default::default());
                let mut open = Box::pin(open);
                drop(poll!(&mut open));
                for _ in 0..round % 4 {
                    tokio::task::yield_now().await;
                }
            }
            reaches_zero("so many are open", count).await;
        }
    });
}

/// A buffer that counts those that are alive, and is another one when it is freed.
pub(crate) struct Counted(pub(crate) Vec<u8>, Arc<AtomicUsize>);

impl Counted {
    pub(crate) fn new(alive: &Arc<AtomicUsize>) -> Counted {
        Counted::filled(vec![0; 64], alive)
    }

    pub(crate) fn filled(bytes: Vec<u8>, alive: &Arc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, SeqCst);
        Counted(bytes, alive.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fill(0);
        self.1.fetch_sub(1, SeqCst);
    }
}

// SAFETY: that of `Vec`.
unsafe impl IoBuf for Counted {
    fn stable_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.0.len()
    }

    fn bytes_total(&self) -> usize {
        self.0.len()
    }
}

// SAFETY: that of `Vec`.
unsafe impl IoBufMut for Counted {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

#[test]
fn h10_buffers_are_freed_when_the_operation_is_over() {
    on_workers(|| async {
        let alive = Arc::new(AtomicUsize::new(0));
        let (a, b) = tcp_pair().await;
        let mut recv = Box::pin(b.native().recv(Counted::new(&alive)));
        let home = std::thread::current().id();
        assert!(poll!(&mut recv).is_pending());
        tokio::task::yield_now().await;
        drop(recv);
        // Elsewhere the cancel goes by mail, and may be over by now.
        if !is_emulated() && std::thread::current().id() == home {
            assert_eq!(alive.load(SeqCst), 1, "freed while the kernel has it");
        }
        reaches_zero("buffers that are alive", || alive.load(SeqCst)).await;
        // Never polled.
        drop(b.native().recv(Counted::new(&alive)));
        assert_eq!(alive.load(SeqCst), 0);
        drop(a);
    });
}

#[test]
fn h15_a_zero_copy_buffer_is_freed_after_the_second_completion() {
    on_workers(|| async {
        let alive = Arc::new(AtomicUsize::new(0));
        let (a, mut b) = tcp_pair().await;
        // Fills the connection, so that what follows stays here.
        let filler = a.native().send_all(vec![0; 64 << 20]).timeout(Duration::from_millis(50)).await;
        filler.0.unwrap_err();
        let mut send = Box::pin(a.native().send_zc(Counted::new(&alive)));
        let _ = poll!(&mut send);
        tokio::task::yield_now().await;
        drop(send);
        let mut left = vec![0; 1 << 20];
        let start = Instant::now();
        while alive.load(SeqCst) > 0 {
            assert!(start.elapsed() < LONG, "the buffer is leaked");
            let read = tokio::time::timeout(Duration::from_millis(1), b.read(&mut left)).await;
            drop(read);
        }
    });
}

#[test]
fn h13_a_forgotten_future_leaks_only() {
    on_workers(|| async {
        let (mut a, b) = tcp_pair().await;
        let mut recv = Box::pin(b.native().recv(vec![0; 8]));
        assert!(poll!(&mut recv).is_pending());
        tokio::task::yield_now().await;
        std::mem::forget(recv);
        a.write_all(b"lost").await.unwrap();
        moment().await;
        a.write_all(b"next").await.unwrap();
        // Whoever forgets it has lost what it got; the socket works on.
        let (n, buf) = b.native().recv(vec![0; 16]).await;
        assert!(buf[..n.unwrap()].ends_with(b"next"));
        drop(b);
    });
}

#[test]
fn every_other_operation_can_be_dropped() {
    on_workers(|| async {
        // Sends that find no room.
        let (a, mut b) = tcp_pair().await;
        begun(a.native().send_all(vec![1; 16 << 20])).await;
        begun(a.native().send(vec![1; 16 << 20])).await;
        begun(a.native().send_zc(vec![1; 16 << 20])).await;
        begun(a.native().send_vectored(vec![vec![1; 16 << 20]])).await;
        begun(a.native().send_msg(vec![vec![1; 16 << 20]], Vec::new())).await;
        drop(a);
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.unwrap();
        assert!(all.iter().all(|&byte| byte == 1));

        // A connect that nobody answers: the listener's queue is full.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        socket2::SockRef::from(&listener).listen(0).unwrap();
        let _queued = std::net::TcpStream::connect(addr).unwrap();
        let mut connect = Box::pin(std::future::IntoFuture::into_future(connect_tcp(addr)));
        drop(poll!(&mut connect));
        tokio::task::yield_now().await;
        drop(connect);
        drop(connect_unix("\0spargio-nobody"));

        let (tx, rx) = pipe::pipe().unwrap();
        let (client, _server) = tcp_pair().await;
        dropped(splice(rx.native(), client.native(), 10), async || {}).await;
        while tx.try_write(&[0; 4096]).is_ok() {}
        dropped(tx.native().write_all(vec![0; 100_000]), async || {}).await;

        let mut child = spawn(std::process::Command::new("sleep").arg("100"));
        dropped(waitid(child.id()), async || {}).await;
        child.kill().unwrap();
        child.wait().unwrap();

        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        for round in 0..50 {
            let how = tokio::native::fs::OpenHow::new().read_write().create(0o600);
            let file = tokio::native::fs::open(&path, how).await.unwrap();
            let native = file.native();
            for step in 0..2 {
                let mut all: Vec<std::pin::Pin<Box<dyn Future<Output = ()> + Send>>> = vec![
                    Box::pin(async { drop(native.write_at(vec![1; 10_000], round).await) }),
                    Box::pin(async { drop(native.read_at(vec![0; 10_000], round).await) }),
                    Box::pin(async { drop(native.writev(vec![vec![1; 100]; 3], round).await) }),
                    Box::pin(async { drop(native.readv(vec![vec![0; 100]; 3], round).await) }),
                    Box::pin(async { drop(native.fsync().await) }),
                    Box::pin(async { drop(native.fallocate(0, 0, 20_000).await) }),
                    Box::pin(async { drop(native.statx(libc::STATX_SIZE).await) }),
                    Box::pin(async { drop(native.setxattr("user.x", "x", 0).await) }),
                    Box::pin(async { drop(native.getxattr("user.x", vec![0; 8]).await) }),
                    Box::pin(async { drop(tokio::native::fs::mkdir(dir.path().join("d"), 0o700).await) }),
                    Box::pin(async { drop(tokio::native::fs::rmdir(dir.path().join("d")).await) }),
                    Box::pin(async { drop(tokio::native::fs::rename(&path, &path, 0).await) }),
                ];
                for operation in &mut all {
                    let _ = poll!(operation);
                }
                if step == 1 {
                    tokio::task::yield_now().await;
                }
            }
        }
    });
}

#[test]
fn a_runtime_may_end_with_all_of_it_in_flight() {
    for workers in [0, 2] {
        let mut builder = match workers {
            0 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder.enable_all().build().unwrap();
        let (a, b) = runtime.block_on(async {
            let (a, b) = tcp_pair().await;
            let b = Arc::new(b);
            let other = b.clone();
            tokio::spawn(async move { other.native().recv(vec![0; 8]).await.0.map(drop) });
            tokio::spawn(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                listener.native().accept().await.map(drop)
            });
            moment().await;
            (a, b)
        });
        drop(runtime);
        drop((a, b));
    }
}
