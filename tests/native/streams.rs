//! Connections.

use std::future::Future;
use std::io::ErrorKind;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{ControlMessage, chain, connect_tcp, connect_unix};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::common::without_forks;
use super::{is_emulated, on_all_flavours, on_workers};

pub(crate) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, server)
}

#[test]
fn send_and_recv() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let (sent, buf) = a.native().send(b"hello".to_vec()).await;
        assert_eq!((sent.unwrap(), &buf[..]), (5, &b"hello"[..]));
        let (n, buf) = b.native().recv(Vec::with_capacity(64)).await;
        assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
        drop(a);
        let (n, _) = b.native().recv(buf).await;
        assert_eq!(n.unwrap(), 0);
    });
}

#[test]
fn recv_waits() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let receiver = tokio::spawn(async move { b.native().recv(vec![0; 8]).await });
        tokio::time::sleep(Duration::from_millis(20)).await;
        a.native().send_all("late").await.0.unwrap();
        let (n, buf) = receiver.await.unwrap();
        assert_eq!(&buf[..n.unwrap()], b"late");
    });
}

#[test]
fn send_all_and_recv_exact_move_a_lot() {
    on_workers(|| async {
        const LEN: usize = 3 << 20;
        let (a, b) = tcp_pair().await;
        let data: Vec<u8> = (0..LEN).map(|i| ((i * 7) >> 3) as u8).collect();
        let expected = data.clone();
        let sender = tokio::spawn(async move {
            let (sent, _) = a.native().send_all(data).await;
            sent.unwrap();
        });
        let (received, buf) = b.native().recv_exact(vec![0; LEN]).await;
        received.unwrap();
        assert!(buf == expected);
        sender.await.unwrap();
    });
}

#[test]
fn recv_exact_meets_the_end() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        a.native().send_all("abc").await.0.unwrap();
        drop(a);
        let (received, buf) = b.native().recv_exact(Vec::with_capacity(8)).await;
        assert_eq!(received.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert_eq!(buf, b"abc");
    });
}

/// The connection ends with a reset.
pub(super) fn reset(stream: TcpStream) {
    let std = stream.into_std().unwrap();
    socket2::SockRef::from(&std).set_linger(Some(Duration::ZERO)).unwrap();
}

/// What came before is kept, and the next read's, as it is with `read_exact`.
#[test]
fn h92c_recv_exact_says_that_the_connection_was_reset() {
    on_workers(|| async {
        for is_half_closed in [false, true] {
            let (a, b) = tcp_pair().await;
            if is_half_closed {
                b.native().shutdown(Shutdown::Write).await.unwrap();
            }
            let receiver = tokio::spawn(async move {
                let (received, _) = b.native().recv_exact(vec![0; 8]).await;
                (b, received)
            });
            for part in ["a", "b", "c"] {
                tokio::time::sleep(Duration::from_millis(5)).await;
                a.native().send_all(part).await.0.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            reset(a);
            let (mut b, received) = receiver.await.unwrap();
            assert_eq!(received.unwrap_err().kind(), ErrorKind::ConnectionReset, "{is_half_closed}");
            let mut rest = Vec::new();
            b.read_to_end(&mut rest).await.unwrap();
            assert_eq!(rest, b"abc");
        }
        // A Unix stream is reset by an end that has not read all.
        let (a, mut b) = UnixStream::pair().unwrap();
        b.write_all(b"unread").await.unwrap();
        let receiver = tokio::spawn(async move {
            let (received, _) = b.native().recv_exact(vec![0; 8]).await;
            (b, received)
        });
        tokio::time::sleep(Duration::from_millis(5)).await;
        a.native().send_all("abc").await.0.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(a);
        let (b, received) = receiver.await.unwrap();
        assert_eq!(received.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(b.native().leftovers().await.unwrap(), b"abc");
    });
}

/// The same where something is to come after it.
#[test]
fn h92c_recv_exact_in_a_chain_says_that_the_connection_was_reset() {
    on_workers(|| async {
        for is_hard in [false, true] {
            let (a, mut b) = UnixStream::pair().unwrap();
            let (c, d) = UnixStream::pair().unwrap();
            b.write_all(b"unread").await.unwrap();
            let receiver = tokio::spawn(async move {
                let parts = chain((b.native().recv_exact(vec![0; 8]), d.native().send("sent")));
                let parts = if is_hard { parts.hard() } else { parts };
                let ((received, _), (sent, _)) = parts.await;
                (b, received, sent)
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            a.native().send_all("abc").await.0.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            // It is not over.
            assert_eq!(c.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
            drop(a);
            let (b, received, sent) = receiver.await.unwrap();
            assert_eq!(received.unwrap_err().kind(), ErrorKind::ConnectionReset);
            assert_eq!(sent.is_ok(), is_hard, "{sent:?}");
            assert_eq!(b.native().leftovers().await.unwrap(), b"abc");
        }
    });
}

#[test]
fn peek_takes_nothing() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        a.native().send_all("hello").await.0.unwrap();
        assert_eq!(b.native().peek(Vec::with_capacity(2)).await.1.len(), 2);
        let (n, buf) = b.native().recv(vec![0; 8]).await;
        assert_eq!(&buf[..n.unwrap()], b"hello");
    });
}

#[test]
fn vectored() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let (n, bufs) = a.native().send_vectored(vec!["one ", "two ", "three"]).await;
        assert_eq!((n.unwrap(), bufs.len()), (13, 3));
        let bufs = vec![Vec::with_capacity(4), Vec::with_capacity(5), Vec::with_capacity(64)];
        let (n, bufs) = b.native().recv_vectored(bufs).await;
        assert_eq!(n.unwrap(), 13);
        assert_eq!(bufs.concat(), b"one two three");
        assert_eq!(bufs[0].len(), bufs[0].capacity());
    });
}

#[test]
fn zero_copy() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let reader = tokio::spawn(async move {
            let mut b = b;
            let mut all = Vec::new();
            b.read_to_end(&mut all).await.unwrap();
            all
        });
        let data: Vec<u8> = (0..100_000).map(|i| i as u8).collect();
        let mut sent = 0;
        while sent < data.len() {
            use tokio::native::BoundedBuf;
            let (n, lent) = a.native().send_zc(data.clone().slice(sent..)).await;
            assert_eq!(lent.await.get_ref(), &data);
            sent += n.unwrap();
        }
        let (n, lent) = a.native().send_msg_zc(vec!["the", " end"], Vec::new()).await;
        assert_eq!((n.unwrap(), lent.await), (7, vec!["the", " end"]));
        drop(a);
        assert!(reader.await.unwrap() == [&data[..], b"the end"].concat());

        // A kind of socket that has none.
        let (a, b) = UnixStream::pair().unwrap();
        assert_eq!(a.native().send_zc("hello").await.0.unwrap(), 5);
        assert_eq!(a.native().send_msg_zc(vec!["hello"], Vec::new()).await.0.unwrap(), 5);
        assert_eq!(b.native().recv(vec![0; 16]).await.0.unwrap(), 10);
    });
}

#[test]
fn descriptors_go_along() {
    on_workers(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let (x, mut y) = UnixStream::pair().unwrap();
        let fds = vec![OwnedFd::from(x.into_std().unwrap())];
        let (n, _) = a.native().send_msg(vec!["take this"], vec![ControlMessage::Fds(fds)]).await;
        assert_eq!(n.unwrap(), 9);
        let (message, bufs) = b.native().recv_msg(vec![vec![0; 64]], ControlMessage::room(16)).await;
        let message = message.unwrap();
        assert_eq!((message.len, &bufs[0][..9]), (9, &b"take this"[..]));
        assert!(message.from.is_none());
        let Some(ControlMessage::Fds(mut fds)) = message.control.into_iter().next() else {
            panic!("no descriptors came along");
        };
        let x = std::os::unix::net::UnixStream::from(fds.pop().unwrap());
        assert!(fds.is_empty());
        let flags = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", x.as_raw_fd())).unwrap();
        // O_CLOEXEC
        assert!(flags.lines().any(|l| l.starts_with("flags:") && l.contains("02")), "{flags}");
        y.write_all(b"!").await.unwrap();
        let x = UnixStream::from_std(x).unwrap();
        assert_eq!(x.native().recv(vec![0]).await.1, b"!");
    });
}

/// What a dropped `recv_msg` had no room for is told to the next one.
#[test]
fn h92d_what_a_dropped_receive_had_no_room_for_is_known() {
    on_workers(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        let (x, _y) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut recv = Box::pin(b.native().recv_msg(vec![vec![0; 4]], 0));
        assert!(futures::poll!(&mut recv).is_pending());
        tokio::time::sleep(Duration::from_millis(5)).await;
        a.native().send_msg(vec!["x"], vec![ControlMessage::Fds(vec![x.into()])]).await.0.unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(recv);
        let (message, bufs) = b.native().recv_msg(vec![vec![0; 4]], 0).await;
        let message = message.unwrap();
        assert_eq!((message.len, bufs[0][0]), (1, b'x'));
        assert_ne!(message.flags & libc::MSG_CTRUNC, 0, "{:#x}", message.flags);
    });
}

#[test]
fn accept_and_connect() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let client = tokio::spawn(async move { connect_tcp(addr).await.unwrap() });
        let (server, peer) = listener.native().accept().await.unwrap();
        let client = client.await.unwrap();
        assert_eq!(client.local_addr().unwrap(), peer);
        assert_eq!(client.peer_addr().unwrap(), addr);
        client.native().send_all("x").await.0.unwrap();
        assert_eq!(server.native().recv(vec![0]).await.1, b"x");

        let _forks = without_forks();
        drop(listener);
        let refused = connect_tcp(addr).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn accept_and_connect_on_unix() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let missing = connect_unix(&path).await.unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let client = connect_unix(&path).await.unwrap();
        let (server, peer) = listener.native().accept().await.unwrap();
        assert!(peer.is_unnamed());
        assert_eq!(client.peer_addr().unwrap().as_pathname(), Some(&*path));
        client.native().send_all("x").await.0.unwrap();
        assert_eq!(server.native().recv(vec![0]).await.1, b"x");
        let too_long = connect_unix("x".repeat(200)).await.unwrap_err();
        assert_eq!(too_long.kind(), ErrorKind::InvalidInput);
    });
}

#[test]
fn shutdown() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        a.native().shutdown(Shutdown::Write).await.unwrap();
        assert_eq!(b.native().recv(vec![0]).await.0.unwrap(), 0);
        b.native().send_all("still open").await.0.unwrap();
        assert_eq!(a.native().recv(vec![0; 16]).await.0.unwrap(), 10);
        let broken = a.native().send("x").await.0.unwrap_err();
        assert_eq!(broken.kind(), ErrorKind::BrokenPipe);
    });
}

#[test]
fn both_lanes_on_one_stream() {
    on_workers(|| async {
        let (mut a, mut b) = tcp_pair().await;
        for round in 0..50_u8 {
            a.native().send_all(vec![round, 1]).await.0.unwrap();
            a.write_all(&[round, 2]).await.unwrap();
            let mut first = [0; 2];
            b.read_exact(&mut first).await.unwrap();
            let (second, buf) = b.native().recv_exact(vec![0; 2]).await;
            second.unwrap();
            assert_eq!((first, &buf[..]), ([round, 1], &[round, 2][..]));
        }
    });
}

#[test]
fn halves_reach_it() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let (_ar, aw) = a.into_split();
        let (br, _bw) = b.into_split();
        aw.as_ref().native().send_all("half").await.0.unwrap();
        assert_eq!(br.as_ref().native().recv(vec![0; 4]).await.1, b"half");
    });
}

#[test]
fn timeouts() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let start = Instant::now();
        let (n, buf) = b.native().recv(vec![7; 8]).timeout(Duration::from_millis(30)).await;
        assert_eq!(n.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(buf, [7; 8]);
        assert!(start.elapsed() >= Duration::from_millis(29), "{:?}", start.elapsed());

        // In time.
        a.native().send_all("x").await.0.unwrap();
        let (n, _) = b.native().recv(vec![0; 8]).timeout(Duration::from_secs(10)).await;
        assert_eq!(n.unwrap(), 1);

        // What had come by then is not lost.
        a.native().send_all("abc").await.0.unwrap();
        let (n, _) = b.native().recv_exact(vec![0; 8]).timeout(Duration::from_millis(30)).await;
        assert_eq!(n.unwrap_err().kind(), ErrorKind::TimedOut);
        let (n, buf) = b.native().recv(vec![0; 8]).await;
        assert_eq!(&buf[..n.unwrap()], b"abc");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let late = listener.native().accept().timeout(Duration::from_millis(10)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let connected = connect_tcp(listener.local_addr().unwrap()).timeout(Duration::from_secs(5)).await;
        connected.unwrap();
    });
}

#[test]
fn a_full_socket_is_waited_for() {
    on_workers(|| async {
        let (a, mut b) = tcp_pair().await;
        let chunk = vec![1; 1 << 20];
        let mut sent = 0;
        let mut buf = chunk;
        loop {
            let (n, back) = a.native().send(buf).timeout(Duration::from_millis(50)).await;
            buf = back;
            match n {
                Ok(n) => sent += n,
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::TimedOut);
                    break;
                }
            }
        }
        drop(a);
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.unwrap();
        assert_eq!(all.len(), sent);
    });
}

#[test]
fn errors_come_with_the_buffer() {
    on_all_flavours(|| async {
        let (a, b) = tcp_pair().await;
        socket2::SockRef::from(&a).set_linger(Some(Duration::ZERO)).unwrap();
        drop(a);
        let (n, buf) = b.native().recv(vec![3; 4]).await;
        assert_eq!(n.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(buf, [3; 4]);
    });
}

#[test]
fn outside_of_a_runtime() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (a, b) = runtime.block_on(tcp_pair());
    // Another executor altogether; the runtime's driver does the work.
    futures::executor::block_on(async {
        let receiver = b.native().recv(vec![0; 8]);
        let sender = async {
            futures::future::ready(()).await;
            a.native().send_all("hi").await.0.unwrap();
        };
        let ((n, _), ()) = futures::join!(receiver, sender);
        assert_eq!(n.unwrap(), 2);
    });
    drop(runtime);
    let (n, _) = futures::executor::block_on(b.native().recv(vec![0; 8]));
    n.unwrap_err();
}

#[test]
fn h92e_a_limit_outside_of_a_runtime() {
    for runtime in [
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ] {
        let (a, b) = runtime.block_on(tcp_pair());
        let limit = Duration::from_millis(20);
        let (n, _) = futures::executor::block_on(b.native().recv(vec![0; 8]).timeout(limit));
        assert_eq!(n.unwrap_err().kind(), ErrorKind::TimedOut);
        let parts = chain((b.native().recv(vec![0; 8]), b.native().send("never")));
        let ((n, _), (sent, _)) = futures::executor::block_on(parts.timeout(limit));
        assert_eq!(n.unwrap_err().kind(), ErrorKind::TimedOut);
        assert_eq!(sent.unwrap_err().raw_os_error(), Some(libc::ECANCELED));
        let (sent, _) = futures::executor::block_on(a.native().send_all("hi").timeout(limit));
        sent.unwrap();
        let (n, _) =
            futures::executor::block_on(b.native().recv(vec![0; 8]).timeout(Duration::from_secs(20)));
        assert_eq!(n.unwrap(), 2);
    }
}

/// Writes of a busy turn are kept, and a native operation on the same stream comes after them.
#[test]
fn sends_come_after_what_is_kept() {
    let kept = || async {
        let (ours, mut peer) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut ours = UnixStream::from_std(ours).unwrap();
        let pool = tokio::native::BufPool::new(1, 8);
        let (x, y) = UnixStream::pair().unwrap();
        x.native().send("g").await.0.unwrap();
        let mut incoming = y.native().recv_multi(&pool);
        let mut kept = 0;
        for way in 0..7 {
            tokio::task::yield_now().await;
            for _ in 0..20 {
                ours.write_all(b".").await.unwrap();
            }
            if !is_emulated() {
                let arrived = socket2::SockRef::from(&peer).peek(&mut [std::mem::MaybeUninit::uninit(); 32]);
                // Not if a sibling took this worker for stalled, and sent it.
                kept += usize::from(arrived.unwrap() < 20);
            }
            let native = ours.native();
            match way {
                0 => drop(native.send("a").await.0.unwrap()),
                1 => native.send_all("b").await.0.unwrap(),
                2 => drop(native.send_zc("c").await.0.unwrap()),
                3 => drop(native.send_vectored(vec!["d"]).await.0.unwrap()),
                4 => drop(native.send_msg(vec!["e"], Vec::new()).await.0.unwrap()),
                5 => drop(native.send_msg_zc(vec!["f"], Vec::new()).await.0.unwrap()),
                _ => native.send_all(incoming.next().await.unwrap().unwrap()).await.0.unwrap(),
            }
            ours.write_all(b"!").await.unwrap();
            tokio::task::yield_now().await;
            let mut all = [0; 22];
            std::io::Read::read_exact(&mut peer, &mut all).unwrap();
            assert_eq!(all[..20], [b'.'; 20], "way {way}");
            assert_eq!(all[20..], [b'a' + way, b'!']);
        }
        assert!(kept > 0 || is_emulated(), "nothing is kept");
    };
    on_the_native_lane(kept);
}

#[test]
fn sends_come_after_what_a_full_socket_has_not_taken() {
    on_the_native_lane(|| async {
        let (mut ours, peer) = tcp_pair().await;
        socket2::SockRef::from(&ours).set_send_buffer_size(1 << 14).unwrap();
        let mut peer = peer.into_std().unwrap();
        peer.set_nonblocking(false).unwrap();
        let mut total = 0;
        while let std::task::Poll::Ready(n) = futures::poll!(Box::pin(ours.write(&[b'.'; 500]))) {
            total += n.unwrap();
        }
        let mut send =
            Box::pin(std::future::IntoFuture::into_future(ours.native().send_all(vec![b'-'; 50_000])));
        assert!(futures::poll!(&mut send).is_pending());
        let reader = tokio::task::spawn_blocking(move || {
            let mut all = Vec::new();
            std::io::Read::read_to_end(&mut peer, &mut all).map(|_| all)
        });
        send.await.0.unwrap();
        ours.shutdown().await.unwrap();
        let all = reader.await.unwrap().unwrap();
        assert_eq!(all.len(), total + 50_000);
        assert!(all[..total].iter().all(|&byte| byte == b'.'), "out of order");
    });
}

fn on_the_native_lane<F: Future<Output = ()> + Send + 'static>(test: impl Fn() -> F) {
    use tokio::runtime::Builder;
    let on = |mut builder: Builder| builder.enable_all().lane(tokio::native::Lane::Native).build().unwrap();
    for runtime in [on(Builder::new_current_thread()), on(Builder::new_multi_thread())] {
        runtime.block_on(async { tokio::spawn(test()).await.unwrap() });
    }
}

#[test]
fn after_its_own_shutdown_a_stream_accepts_nothing() {
    // The first few of a turn are never kept: what the shutdown finds is an outbox, or none.
    for before in [0, 8] {
        on_the_native_lane(|| async move {
            let (mut stream, mut peer) = tcp_pair().await;
            for _ in 0..before {
                stream.write_all(b"x").await.unwrap();
            }
            stream.shutdown().await.unwrap();
            for i in 0..8 {
                let error = stream.write(b"x").await.expect_err("it was accepted");
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "write {i}");
            }
            stream.flush().await.unwrap();
            stream.shutdown().await.unwrap();
            let mut all = Vec::new();
            peer.read_to_end(&mut all).await.unwrap();
            assert_eq!(all, vec![b'x'; before]);
        });
    }
}

#[test]
fn a_stream_that_has_said_that_its_peer_is_gone_accepts_nothing() {
    on_the_native_lane(|| async {
        let (mut stream, peer) = UnixStream::pair().unwrap();
        drop(peer);
        for i in 0..24 {
            let error = stream.write(b"hello").await.expect_err("it was accepted");
            assert_eq!(error.kind(), ErrorKind::BrokenPipe, "write {i}");
        }
        stream.flush().await.unwrap();

        // Here it is a send of the ring's that meets it.
        let (mut stream, peer) = UnixStream::pair().unwrap();
        for _ in 0..8 {
            stream.write_all(b"hello").await.unwrap();
        }
        drop(peer);
        let broken = async {
            while stream.write(b"hello").await.is_ok() {
                tokio::task::yield_now().await
            }
        };
        assert!(tokio::time::timeout(Duration::from_secs(10), broken).await.is_ok());
        for i in 0..24 {
            assert!(stream.write(b"hello").await.is_err(), "write {i}");
        }
        stream.flush().await.unwrap();
    });
}

/// Is a `SIGPIPE` pending for this thread, which has it blocked?
fn has_sigpipe() -> bool {
    // SAFETY: an empty set, which is written to.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigpending(&raw mut set);
        libc::sigismember(&raw const set, libc::SIGPIPE) == 1
    }
}

/// Blocked, a signal is kept for the thread even if the process ignores it, as this one does.
fn block_sigpipe() {
    // SAFETY: an empty set, which is written to before it is read.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGPIPE);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

#[test]
fn no_send_raises_sigpipe() {
    let thread = std::thread::spawn(|| {
        block_sigpipe();
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        rt.block_on(async {
            for how in 0..6 {
                let (a, b) = UnixStream::pair().unwrap();
                drop(b);
                let native = a.native();
                let error = match how {
                    0 => native.send("x").await.0.unwrap_err(),
                    1 => native.send_all("x").await.0.unwrap_err(),
                    2 => native.send_vectored(vec!["x", "y"]).await.0.unwrap_err(),
                    3 => native.send_msg(vec!["x"], Vec::new()).await.0.unwrap_err(),
                    4 => native.send_zc("x").await.0.unwrap_err(),
                    _ => native.send_msg_zc(vec!["x"], Vec::new()).await.0.unwrap_err(),
                };
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "send {how}");
                assert!(!has_sigpipe(), "send {how}");
            }
        });
    });
    thread.join().unwrap();
}
