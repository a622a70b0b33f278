//! Random operations of the native lane, dropped at random: nothing is leaked, lost, invented or
//! written late (H10 to H16).
//!
//! The ledgers: every byte, datagram and connection that was sent arrives once, in order, whichever
//! lane asks for it; there are no more descriptors at the end than at the beginning; every buffer
//! is freed; and nobody writes to one after that.
//!
//! `SPARGIO_FUZZ_CASES` says how many cases of some forty steps there are.

use std::future::Future;
use std::io::{ErrorKind, Write};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::poll;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{BoundedBuf, BufPool, FixedBufPool, IoBuf, IoBufMut, chain};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::runtime::{Builder, Runtime};

// ===== buffers under watch =====

/// Buffers that were freed: nobody writes to them any more.
static FREED: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
static ALIVE: AtomicUsize = AtomicUsize::new(0);
const DEAD: u8 = 0xDD;
/// So much behind each buffer is not for anybody.
const GUARD: usize = 16;

struct Watched {
    bytes: Vec<u8>,
    room: usize,
    len: usize,
}

impl Watched {
    fn new(room: usize) -> Watched {
        ALIVE.fetch_add(1, SeqCst);
        Watched { bytes: vec![0xEE; room + GUARD], room, len: 0 }
    }

    fn of(bytes: &[u8]) -> Watched {
        let mut watched = Watched::new(bytes.len());
        watched.bytes[..bytes.len()].copy_from_slice(bytes);
        watched.len = bytes.len();
        watched
    }

    fn received(&self, n: usize) -> Vec<u8> {
        assert!(n <= self.room && n <= self.len.max(n));
        self.bytes[..n].to_vec()
    }
}

// SAFETY: the bytes are on the heap; a freed buffer is kept, too.
unsafe impl IoBuf for Watched {
    fn stable_ptr(&self) -> *const u8 {
        self.bytes.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.room
    }
}

// SAFETY: as above.
unsafe impl IoBufMut for Watched {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.bytes.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, pos: usize) {
        self.len = self.len.max(pos);
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        assert!(self.bytes[self.room..].iter().all(|&b| b == 0xEE), "written behind the end");
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.fill(DEAD);
        FREED.lock().unwrap().push(bytes);
        ALIVE.fetch_sub(1, SeqCst);
    }
}

fn check_freed() {
    let freed = std::mem::take(&mut *FREED.lock().unwrap());
    assert!(freed.iter().all(|bytes| bytes.iter().all(|&b| b == DEAD)), "written after it was freed");
}

/// How many sockets are open. (Runtimes open eventfds at times.)
fn descriptors() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap();
    let is_socket = |path: &std::path::Path| path.to_string_lossy().starts_with("socket:");
    fds.filter(|fd| std::fs::read_link(fd.as_ref().unwrap().path()).is_ok_and(|to| is_socket(&to))).count()
}

// ===== what happens =====

/// When an operation's future is dropped.
#[derive(Debug, Clone, Copy)]
enum Patience {
    /// When it is ready.
    Endless,
    /// Never polled.
    None,
    /// After so many polls, with something between them.
    Polls(u8),
    /// When the time limit is over: the kernel's.
    Limit(u16),
}

#[derive(Debug, Clone, Copy)]
enum Lane {
    Recv,
    RecvExact,
    Vectored,
    Message,
    Multi,
    Chain,
    AsyncRead,
    TryRead,
    Peek,
}

#[derive(Debug, Clone)]
enum Step {
    PeerWrites(u16),
    Read(Lane, u16, Patience),
    Write(u16, Patience),
    Yield(u8),
    Sleep(u8),
}

#[derive(Debug, Clone, Copy)]
enum End {
    Close,
    Reset,
    DropsFirst,
}

fn patience() -> impl Strategy<Value = Patience> {
    prop_oneof![
        1 => Just(Patience::Endless),
        1 => Just(Patience::None),
        4 => (1..4_u8).prop_map(Patience::Polls),
        2 => (0..2000_u16).prop_map(Patience::Limit),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let lane = prop_oneof![
        3 => Just(Lane::Recv),
        1 => Just(Lane::RecvExact),
        1 => Just(Lane::Vectored),
        1 => Just(Lane::Message),
        2 => Just(Lane::Multi),
        3 => Just(Lane::Chain),
        1 => Just(Lane::AsyncRead),
        1 => Just(Lane::TryRead),
        1 => Just(Lane::Peek),
    ];
    prop_oneof![
        4 => (1..5000_u16).prop_map(Step::PeerWrites),
        6 => (lane, 1..3000_u16, patience()).prop_map(|(lane, n, patience)| Step::Read(lane, n, patience)),
        2 => (1..3000_u16, patience()).prop_map(|(n, patience)| Step::Write(n, patience)),
        1 => (1..4_u8).prop_map(Step::Yield),
        1 => (0..2_u8).prop_map(Step::Sleep),
    ]
}

/// The byte at a place of the stream.
fn byte(at: usize) -> u8 {
    (at * 31 % 251) as u8
}

/// Polls as long as patience lasts.
async fn run<F: Future>(future: F, patience: Patience) -> Option<F::Output> {
    let mut future = Box::pin(future);
    match patience {
        Patience::None => None,
        Patience::Endless | Patience::Limit(_) => Some(future.await),
        Patience::Polls(n) => {
            for i in 0..n {
                if let std::task::Poll::Ready(output) = poll!(&mut future) {
                    return Some(output);
                }
                match i % 3 {
                    0 => tokio::task::yield_now().await,
                    1 => tokio::time::sleep(Duration::from_micros(200)).await,
                    _ => {}
                }
            }
            None
        }
    }
}

/// `$op` with the limit that patience sets, if any.
macro_rules! with_patience {
    ($op:expr, $patience:expr) => {
        match $patience {
            Patience::Limit(micros) => {
                run($op.timeout(Duration::from_micros(micros.into())), $patience).await
            }
            _ => run($op, $patience).await,
        }
    };
}

/// A stream under test, with what it has read so far.
struct Reader<S> {
    stream: S,
    pool: BufPool,
    read: usize,
    written: usize,
    /// Bytes that a send, dropped or not, may have sent.
    may_have_sent: usize,
}

trait Stream: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin {
    fn native(&self) -> tokio::native::Stream<'_>;
    fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize>;
}

impl Stream for TcpStream {
    fn native(&self) -> tokio::native::Stream<'_> {
        TcpStream::native(self)
    }

    fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
        TcpStream::try_read(self, buf)
    }
}

impl Stream for UnixStream {
    fn native(&self) -> tokio::native::Stream<'_> {
        UnixStream::native(self)
    }

    fn try_read(&self, buf: &mut [u8]) -> std::io::Result<usize> {
        UnixStream::try_read(self, buf)
    }
}

impl<S: Stream> Reader<S> {
    fn take(&mut self, bytes: &[u8]) {
        for &b in bytes {
            assert_eq!(b, byte(self.read), "at {} of {}", self.read, self.written);
            self.read += 1;
        }
        assert!(self.read <= self.written);
    }

    /// What a read may fail with: the limit it was given.
    fn failed(&self, error: std::io::Error, patience: Patience) {
        let is_limit = matches!(patience, Patience::Limit(_)) && error.kind() == ErrorKind::TimedOut;
        assert!(is_limit, "{error:?}");
    }

    async fn read(&mut self, lane: Lane, n: usize, patience: Patience) {
        // Nobody waits for what does not come.
        let wanted = if matches!(lane, Lane::Chain) { 2 * n + 2 } else { n };
        let patience = match patience {
            Patience::Endless if self.read + wanted > self.written => Patience::Polls(2),
            patience => patience,
        };
        let native = self.stream.native();
        match lane {
            Lane::Recv => match with_patience!(native.recv(Watched::new(n)), patience) {
                Some((Ok(n), buf)) => self.take(&buf.received(n)),
                Some((Err(e), _)) => self.failed(e, patience),
                None => {}
            },
            Lane::RecvExact => match with_patience!(native.recv_exact(Watched::new(n)), patience) {
                Some((Ok(()), buf)) => self.take(&buf.received(n)),
                Some((Err(e), _)) => self.failed(e, patience),
                None => {}
            },
            Lane::Vectored => {
                let bufs = vec![Watched::new(n.div_ceil(3)), Watched::new(n)];
                match with_patience!(native.recv_vectored(bufs), patience) {
                    Some((Ok(n), bufs)) => self.take_all(&bufs, n),
                    Some((Err(e), _)) => self.failed(e, patience),
                    None => {}
                }
            }
            Lane::Message => {
                let bufs = vec![Watched::new(n.div_ceil(3)), Watched::new(n)];
                match with_patience!(native.recv_msg(bufs, 64), patience) {
                    Some((Ok(message), bufs)) => self.take_all(&bufs, message.len),
                    Some((Err(e), _)) => self.failed(e, patience),
                    None => {}
                }
            }
            Lane::Multi => {
                let mut received = Vec::new();
                let mut incoming = native.recv_multi(&self.pool);
                for _ in 0..3 {
                    match run(incoming.next(), Patience::Polls(2)).await {
                        Some(Some(bytes)) => received.extend_from_slice(&bytes.unwrap()),
                        Some(None) => panic!("no end yet"),
                        None => break,
                    }
                }
                drop(incoming);
                self.take(&received);
            }
            Lane::Chain => {
                let exact = n.div_ceil(3);
                let parts = (
                    native.recv(Watched::new(n)),
                    native.send_all(Watched::of(&vec![7; exact])),
                    native.recv_exact(Watched::new(exact)),
                    native.recv(Watched::new(exact)),
                );
                self.may_have_sent += exact;
                let output = with_patience!(chain(parts), patience);
                if let Some(((first, a), (sent, _), (second, b), (third, c))) = output {
                    let results = [first, sent.map(|()| 0), second.map(|()| exact), third];
                    let failed = results.iter().position(Result::is_err);
                    for (i, result) in results.into_iter().enumerate() {
                        match result {
                            Ok(n) => match i {
                                0 => self.take(&a.received(n)),
                                2 => self.take(&b.received(n)),
                                3 => self.take(&c.received(n)),
                                _ => {}
                            },
                            Err(e) if Some(i) == failed => self.failed(e, patience),
                            Err(e) => assert_eq!(e.raw_os_error(), Some(libc::ECANCELED)),
                        }
                    }
                }
            }
            Lane::AsyncRead => {
                let mut buf = vec![0; n];
                let read = match patience {
                    Patience::Limit(_) => Patience::Polls(2),
                    patience => patience,
                };
                if let Some(n) = run(self.stream.read(&mut buf), read).await {
                    self.take(&buf[..n.unwrap()]);
                }
            }
            Lane::TryRead => {
                let mut buf = vec![0; n];
                match self.stream.try_read(&mut buf) {
                    Ok(n) => self.take(&buf[..n]),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::WouldBlock),
                }
            }
            Lane::Peek => match with_patience!(native.peek(Watched::new(n)), patience) {
                Some((Ok(n), buf)) => {
                    let peeked = buf.received(n);
                    assert!(peeked.iter().zip(self.read..).all(|(&b, at)| b == byte(at)), "peeked");
                }
                Some((Err(e), _)) => self.failed(e, patience),
                None => {}
            },
        }
    }

    fn take_all(&mut self, bufs: &[Watched], n: usize) {
        let first = n.min(bufs[0].room);
        let all = [bufs[0].received(first), bufs[1].received(n - first)].concat();
        self.take(&all);
    }

    async fn write(&mut self, n: usize, patience: Patience) {
        self.may_have_sent += n;
        let buf = Watched::of(&vec![7; n]);
        match with_patience!(self.stream.native().send_all(buf), patience) {
            Some((Ok(()), _)) | None => {}
            Some((Err(e), _)) => self.failed(e, patience),
        }
    }
}

/// One connection, from its first step to its end.
async fn connection<S: Stream>(mut peer: S, reset: impl FnOnce(&S), stream: S, steps: &[Step], end: End) {
    let pool = BufPool::new(4, 700);
    let mut reader = Reader { stream, pool, read: 0, written: 0, may_have_sent: 0 };
    for step in steps {
        match *step {
            Step::PeerWrites(n) => {
                let bytes: Vec<u8> = (reader.written..reader.written + usize::from(n)).map(byte).collect();
                // The kernel has room for all that a case writes.
                peer.write_all(&bytes).await.unwrap();
                reader.written += bytes.len();
            }
            Step::Read(lane, n, patience) => reader.read(lane, n.into(), patience).await,
            Step::Write(n, patience) => reader.write(n.into(), patience).await,
            Step::Yield(n) => {
                for _ in 0..n {
                    tokio::task::yield_now().await;
                }
            }
            Step::Sleep(millis) => tokio::time::sleep(Duration::from_millis(millis.into())).await,
        }
    }
    match end {
        End::Close => {
            peer.shutdown().await.unwrap();
            let mut rest = Vec::new();
            reader.stream.read_to_end(&mut rest).await.unwrap();
            reader.take(&rest);
            assert_eq!(reader.read, reader.written, "bytes are missing");
            let sent = reader.may_have_sent;
            drop(reader);
            let mut received = Vec::new();
            peer.read_to_end(&mut received).await.unwrap();
            assert!(received.len() <= sent && received.iter().all(|&b| b == 7));
        }
        End::Reset => {
            reset(&peer);
            drop(peer);
            let mut rest = Vec::new();
            let _ = reader.stream.read_to_end(&mut rest).await;
            reader.take(&rest);
        }
        End::DropsFirst => {
            let mut last = Box::pin(reader.stream.native().recv(Watched::new(100)));
            let _ = poll!(&mut last);
            drop(last);
            drop(reader);
            // The end, or a reset since bytes were left unread.
            let _ = peer.read_to_end(&mut Vec::new()).await;
        }
    }
}

async fn tcp_case(steps: &[Step], end: End) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    socket2::SockRef::from(&stream).set_recv_buffer_size(1 << 20).unwrap();
    let reset = |peer: &TcpStream| socket2::SockRef::from(peer).set_linger(Some(Duration::ZERO)).unwrap();
    connection(peer, reset, stream, steps, end).await;
}

async fn unix_case(steps: &[Step], end: End) {
    let (peer, stream) = UnixStream::pair().unwrap();
    socket2::SockRef::from(&peer).set_send_buffer_size(1 << 20).unwrap();
    socket2::SockRef::from(&stream).set_send_buffer_size(1 << 20).unwrap();
    connection(peer, |_| {}, stream, steps, end).await;
}

/// Datagrams and connections: each is found once, in order.
async fn others_case(steps: &[Step]) {
    let [a, b] =
        [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (to_b, to_listener) = (b.local_addr().unwrap(), listener.local_addr().unwrap());
    let (mut sent, mut seen) = (0_u32, 0_u32);
    let (mut clients, mut accepted) = (Vec::new(), Vec::new());
    let check = |seen: &mut u32, bytes: &[u8]| {
        assert_eq!(bytes, seen.to_ne_bytes());
        *seen += 1;
    };
    for step in steps {
        match *step {
            Step::PeerWrites(n) if n % 2 == 0 => {
                a.send_to(&sent.to_ne_bytes(), to_b).await.unwrap();
                sent += 1;
            }
            Step::PeerWrites(_) => clients.push(TcpStream::connect(to_listener).await.unwrap()),
            Step::Read(Lane::AsyncRead | Lane::TryRead, ..) => {
                let mut buf = [0; 4];
                if let Ok(4) = b.try_recv(&mut buf) {
                    check(&mut seen, &buf);
                }
            }
            Step::Read(Lane::Multi, ..) => {
                let mut incoming = listener.native().accept_multi();
                while let Some(stream) = run(incoming.next(), Patience::Polls(2)).await {
                    accepted.push(stream.unwrap().peer_addr().unwrap());
                }
            }
            Step::Read(Lane::Peek | Lane::Message, _, patience) => {
                let patience = if let Patience::Endless = patience { Patience::Polls(2) } else { patience };
                if let Some(Ok((_, peer))) = with_patience!(listener.native().accept(), patience) {
                    accepted.push(peer);
                }
            }
            Step::Read(Lane::Chain, _, patience) => {
                let patience = if let Patience::Endless = patience { Patience::Polls(2) } else { patience };
                let parts = (listener.native().accept(), b.native().recv_from(Watched::new(8)));
                if let Some((connection, (datagram, buf))) = with_patience!(chain(parts), patience) {
                    accepted.extend(connection.map(|(_, peer)| peer));
                    if let Ok((n, _)) = datagram {
                        check(&mut seen, &buf.received(n));
                    }
                }
            }
            Step::Read(_, _, patience) => {
                let patience = if let Patience::Endless = patience { Patience::Polls(2) } else { patience };
                if let Some((Ok((n, from)), buf)) =
                    with_patience!(b.native().recv_from(Watched::new(8)), patience)
                {
                    assert_eq!(from, a.local_addr().unwrap());
                    check(&mut seen, &buf.received(n));
                }
            }
            Step::Write(..) => {}
            Step::Yield(_) => tokio::task::yield_now().await,
            Step::Sleep(millis) => tokio::time::sleep(Duration::from_millis(millis.into())).await,
        }
    }
    while seen < sent {
        let mut buf = [0; 8];
        let n = b.recv(&mut buf).await.unwrap();
        check(&mut seen, &buf[..n]);
    }
    while accepted.len() < clients.len() {
        accepted.push(listener.accept().await.unwrap().1);
    }
    let expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
    assert_eq!(accepted, expected);
}

/// Registered buffers: a pipe is read to its end, a file has at each place what belongs there or
/// nothing yet, and nobody writes to a buffer that is at hand again.
async fn fixed_case(steps: &[Step]) {
    const ROOM: usize = 2000;

    let pool = FixedBufPool::new(3, ROOM);
    let (tx, mut rx) = pipe::pipe().unwrap();
    let file = File::from_std(tempfile::tempfile().unwrap());
    // Its reads wait on a ring, and nobody wants what they get.
    let (feed, slow) = pipe::pipe().unwrap();
    let mut feed = std::fs::File::from(feed.into_blocking_fd().unwrap());
    let (mut read, mut written) = (0, 0);
    let check = |read: &mut usize, bytes: &[u8]| {
        for &b in bytes {
            assert_eq!(b, byte(*read));
            *read += 1;
        }
    };
    let belongs = |at: usize, bytes: &[u8]| bytes.iter().zip(at..).all(|(&b, at)| b == 0 || b == byte(at));
    for step in steps {
        match *step {
            Step::PeerWrites(n) => {
                // So much fits into a pipe.
                let bytes: Vec<u8> = (written..written + usize::from(n) % 600).map(byte).collect();
                written += bytes.len();
                tx.native().write_all(bytes).await.0.unwrap();
            }
            Step::Read(Lane::Recv | Lane::RecvExact | Lane::Vectored, n, patience) => {
                let patience = if let Patience::Endless = patience { Patience::Polls(2) } else { patience };
                let buf = pool.next().await.slice(..usize::from(n).min(ROOM));
                if let Some((Ok(n), buf)) = with_patience!(rx.native().read(buf), patience) {
                    assert_eq!(n, buf.len());
                    check(&mut read, &buf);
                }
            }
            Step::Read(Lane::AsyncRead, n, _) => {
                let mut buf = vec![0; n.into()];
                if let Some(n) = run(rx.read(&mut buf), Patience::Polls(2)).await {
                    check(&mut read, &buf[..n.unwrap()]);
                }
            }
            Step::Read(Lane::TryRead, n, patience) => {
                let (at, buf) = (usize::from(n) * 3, pool.next().await);
                if let Some((Ok(n), buf)) = with_patience!(file.native().read_at(buf, at as u64), patience) {
                    assert!(belongs(at, &buf[..n]));
                }
            }
            Step::Read(Lane::Message | Lane::Multi, _, patience) => {
                let read = slow.native().read(pool.next().await);
                match patience {
                    // On its way to the ring, at most.
                    Patience::None | Patience::Endless => drop(poll!(&mut Box::pin(read))),
                    patience => drop(with_patience!(read, patience)),
                }
            }
            Step::Read(Lane::Chain, n, patience) => {
                let (at, mut from) = (usize::from(n), pool.next().await);
                from.extend_from_slice(&(at..at + 700).map(byte).collect::<Vec<_>>());
                let write = file.native().write_all_at(from, at as u64);
                let read = file.native().read_at(pool.next().await, at as u64);
                if let Some((_, (Ok(n), buf))) = with_patience!(chain((write, read)), patience) {
                    assert!(belongs(at, &buf[..n]));
                }
            }
            Step::Read(Lane::Peek, ..) => {
                let mut buf = pool.next().await;
                buf.set_len(ROOM);
                buf.fill(0xEE);
                // A read that still waits would get it.
                feed.write_all(&[5; 100]).unwrap();
                tokio::time::sleep(Duration::from_micros(200)).await;
                assert!(buf.iter().all(|&b| b == 0xEE), "written to a buffer at hand");
            }
            Step::Write(n, patience) => {
                let (at, mut buf) = (usize::from(n), pool.next().await);
                buf.extend_from_slice(&(at..at + 1000).map(byte).collect::<Vec<_>>());
                let _ = with_patience!(file.native().write_all_at(buf, at as u64), patience);
            }
            Step::Yield(_) => tokio::task::yield_now().await,
            Step::Sleep(millis) => tokio::time::sleep(Duration::from_millis(millis.into())).await,
        }
    }
    drop(tx);
    let mut rest = Vec::new();
    rx.read_to_end(&mut rest).await.unwrap();
    check(&mut read, &rest);
    assert_eq!(read, written, "bytes are missing");
    // All buffers come back.
    let all = [pool.next().await, pool.next().await, pool.next().await];
    assert!(pool.try_next().is_none());
    drop(all);
}

/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);

fn runtimes() -> Vec<Runtime> {
    let current = Builder::new_current_thread().enable_all().build().unwrap();
    let workers = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    vec![current, workers]
}

/// Runs a case on a worker, then looks at what is left.
fn run_case<F: Future<Output = ()> + Send + 'static>(runtime: &Runtime, case: impl FnOnce() -> F) {
    let before = descriptors();
    let case: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(case());
    runtime.block_on(async {
        let limited = tokio::time::timeout(LONG, case);
        tokio::spawn(limited).await.unwrap().expect("the case hangs");
        // What was dropped last ends a moment later.
        let start = Instant::now();
        while (ALIVE.load(SeqCst) > 0 || descriptors() > before) && start.elapsed() < LONG {
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    });
    assert_eq!(ALIVE.load(SeqCst), 0, "buffers are leaked");
    assert!(descriptors() <= before, "{} sockets instead of {before}", descriptors());
    check_freed();
}

#[test]
fn nothing_is_lost_leaked_or_written_late() {
    let cases = std::env::var("SPARGIO_FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(60);
    let runtimes = runtimes();
    for runtime in &runtimes {
        // What a runtime opens when it is first used.
        runtime.block_on(async {
            tokio::spawn(tcp_case(&[], End::Close)).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        });
    }
    let end = prop_oneof![4 => Just(End::Close), 1 => Just(End::Reset), 1 => Just(End::DropsFirst)];
    let strategy = (proptest::collection::vec(step(), 1..60), end, 0..2_usize, 0..4_u8);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&strategy, |(steps, end, runtime, kind)| {
        let steps: Arc<[Step]> = steps.into();
        run_case(&runtimes[runtime], || async move {
            match kind {
                0 => tcp_case(&steps, end).await,
                1 => unix_case(&steps, end).await,
                2 => fixed_case(&steps).await,
                _ => others_case(&steps).await,
            }
        });
        Ok(())
    });
    if let Err(e) = result {
        panic!("{e}");
    }
}
