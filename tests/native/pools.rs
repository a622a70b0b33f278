//! Pools of buffers that several streams receive into: who gets one, and when.
//!
//! The buffers are those of one ring, so the runtimes here have one worker each, unless a test is about several.
//!
//! Where a test waits for a moment the code under test may do something meanwhile that it must not,
//! or must be able to cope with; none waits for something to have happened by then.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, poll};
use tokio::native::{BufPool, PoolBuf, RecvMulti};
use tokio::net::{UdpSocket, UnixDatagram, UnixStream};
use tokio::shard::{self, Shard};
use tokio::sync::{Barrier, Notify};

use super::on_one_worker;

async fn moment() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// Has `peer` send something.
async fn send(peer: &UnixStream, text: &'static str) {
    peer.native().send_all(text).await.0.unwrap();
}

/// What a stream of another task receives first; `None` at its end.
fn first(stream: UnixStream, pool: &BufPool) -> tokio::task::JoinHandle<Option<Vec<u8>>> {
    let pool = pool.clone();
    tokio::spawn(async move {
        let received = stream.native().recv_multi(&pool).next().await;
        received.map(|bytes| bytes.unwrap().to_vec())
    })
}

/// The only buffer of a pool with that, and the connection it came by.
async fn held(pool: &BufPool) -> (PoolBuf, UnixStream, UnixStream) {
    let (a, peer) = pair();
    send(&peer, "held").await;
    let held = a.native().recv_multi(pool).next().await.unwrap().unwrap();
    (held, a, peer)
}

type Pair = (UnixStream, UnixStream);

/// A pool whose only buffer is held, and two streams that have something to receive: "for b", "for c".
async fn both_want_one() -> (BufPool, PoolBuf, [Pair; 2]) {
    let pool = BufPool::new(1, 4096);
    let (held, ..) = held(&pool).await;
    let (b, c) = (pair(), pair());
    send(&b.1, "for b").await;
    send(&c.1, "for c").await;
    (pool, held, [b, c])
}

/// Polls it until it waits for a buffer, and lets go of the future.
async fn let_it_wait(stream: &mut RecvMulti<'_>) {
    for _ in 0..3 {
        assert!(poll!(Box::pin(stream.next())).is_pending());
        moment().await;
    }
}

// ===== a wake-up is a debt =====

#[test]
fn h80_who_is_woken_and_has_ended_passes_it_on() {
    on_one_worker(|| async {
        let pool = BufPool::new(1, 4096);
        let (held, ..) = held(&pool).await;
        let ((b, of_b), (c, of_c)) = (pair(), pair());
        let b = first(b, &pool);
        moment().await;
        drop(of_b);
        moment().await;
        let c = first(c, &pool);
        send(&of_c, "for c").await;
        moment().await;
        drop(held);
        assert_eq!(b.await.unwrap(), None);
        assert_eq!(c.await.unwrap().unwrap(), b"for c");
    });
}

#[test]
fn h80_who_waits_for_bytes_holds_up_nobody() {
    on_one_worker(|| async {
        let pool = BufPool::new(1, 4096);
        let (held, ..) = held(&pool).await;
        let ((b, _of_b), (c, of_c)) = (pair(), pair());
        // It finds no buffer, and would have no use for one.
        let b = first(b, &pool);
        moment().await;
        let c = first(c, &pool);
        send(&of_c, "for c").await;
        moment().await;
        drop(held);
        assert_eq!(c.await.unwrap().unwrap(), b"for c");
        b.abort();
    });
}

#[test]
fn h80_who_is_woken_and_dropped_passes_it_on() {
    on_one_worker(|| async {
        let (pool, held, [(b, _of_b), (c, _of_c)]) = both_want_one().await;
        let mut incoming = b.native().recv_multi(&pool);
        let_it_wait(&mut incoming).await;
        let c = first(c, &pool);
        moment().await;
        // It is woken, and never polled again.
        drop(held);
        drop(incoming);
        assert_eq!(c.await.unwrap().unwrap(), b"for c");
    });
}

#[test]
fn h80_whose_future_is_given_up_passes_it_on() {
    on_one_worker(|| async {
        for is_woken_before in [false, true] {
            let (pool, held, [(b, _of_b), (c, _of_c)]) = both_want_one().await;
            let mut incoming = b.native().recv_multi(&pool);
            let_it_wait(&mut incoming).await;
            let c = first(c, &pool);
            moment().await;
            let mut next = Box::pin(incoming.next());
            assert!(poll!(&mut next).is_pending());
            if is_woken_before {
                drop(held);
                drop(next);
            } else {
                drop(next);
                drop(held);
            }
            // The stream stays, but nobody asks it for anything.
            assert_eq!(c.await.unwrap().unwrap(), b"for c");
            assert_eq!(&*incoming.next().await.unwrap().unwrap(), b"for b");
        }
    });
}

#[test]
fn h80_a_stream_that_is_not_polled_again_holds_up_nobody() {
    on_one_worker(|| async {
        let (pool, held, [(b, _of_b), (c, _of_c)]) = both_want_one().await;
        // As a combinator does it.
        let mut incoming = b.native().recv_multi(&pool).map(Result::unwrap);
        for _ in 0..3 {
            assert!(poll!(incoming.next()).is_pending());
            moment().await;
        }
        let c = first(c, &pool);
        moment().await;
        drop(held);
        assert_eq!(c.await.unwrap().unwrap(), b"for c");
        assert_eq!(&*incoming.next().await.unwrap(), b"for b");
    });
}

#[test]
fn h80_streams_of_one_task_wait_each_for_themselves() {
    on_one_worker(|| async {
        let pool = BufPool::new(1, 4096);
        let (held, ..) = held(&pool).await;
        let ((b, of_b), (c, of_c), (d, of_d)) = (pair(), pair(), pair());
        let both = {
            let pool = pool.clone();
            tokio::spawn(async move {
                let (mut b, mut c) = (b.native().recv_multi(&pool), c.native().recv_multi(&pool));
                let b = async { b.next().await.map(|bytes| bytes.unwrap().to_vec()) };
                let c = async { c.next().await.map(|bytes| bytes.unwrap().to_vec()) };
                futures::join!(b, c)
            })
        };
        send(&of_b, "for b").await;
        send(&of_c, "for c").await;
        moment().await;
        let d = first(d, &pool);
        send(&of_d, "for d").await;
        moment().await;
        drop(held);
        let (b, c) = both.await.unwrap();
        assert_eq!((b.unwrap(), c.unwrap()), (b"for b".to_vec(), b"for c".to_vec()));
        assert_eq!(d.await.unwrap().unwrap(), b"for d");
    });
}

#[test]
fn h80_who_waits_and_comes_to_another_ring_passes_it_on() {
    let rt = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let test = async {
        let pool = BufPool::new(1, 4096);
        let ((a, of_a), (b, of_b), (c, of_c)) = (pair(), pair(), pair());
        send(&of_a, "held").await;
        send(&of_b, "for b").await;
        send(&of_c, "for c").await;
        let held = {
            let pool = pool.clone();
            let first = async move { a.native().recv_multi(&pool).next().await.unwrap().unwrap() };
            shard::spawn_pinned(Shard::new(0), first).await.unwrap()
        };
        // A stream that waits on the one ring, and goes on on the other.
        let leaked: &'static UnixStream = Box::leak(Box::new(b));
        let waiting = {
            let pool = pool.clone();
            let waits = async move {
                let mut incoming = leaked.native().recv_multi(&pool);
                let_it_wait(&mut incoming).await;
                incoming
            };
            shard::spawn_pinned(Shard::new(0), waits).await.unwrap()
        };
        let waits = async move { c.native().recv_multi(&pool).next().await.unwrap().unwrap().to_vec() };
        let c = shard::spawn_pinned(Shard::new(0), waits);
        moment().await;
        let (polled, go_on) = (Arc::new(Barrier::new(2)), Arc::new(Notify::new()));
        let b = {
            let (polled, go_on) = (polled.clone(), go_on.clone());
            shard::spawn_pinned(Shard::new(1), async move {
                let mut incoming = waiting;
                let early = poll!(Box::pin(incoming.next()));
                polled.wait().await;
                go_on.notified().await;
                let bytes = match early {
                    std::task::Poll::Ready(received) => received,
                    std::task::Poll::Pending => incoming.next().await,
                };
                bytes.unwrap().unwrap().to_vec()
            })
        };
        polled.wait().await;
        drop(held);
        go_on.notify_one();
        assert_eq!(b.await.unwrap(), b"for b");
        assert_eq!(c.await.unwrap(), b"for c");
    };
    rt.block_on(async { tokio::time::timeout(Duration::from_secs(20), test).await.expect("the test hangs") });
}

#[test]
fn h80_buffers_come_back_from_any_thread_to_streams_that_come_and_go() {
    on_one_worker(|| async {
        let pool = BufPool::new(2, 16);
        let (give, take) = std::sync::mpsc::channel::<PoolBuf>();
        let elsewhere = std::thread::spawn(move || take.into_iter().for_each(drop));
        let tasks: Vec<_> = (0..24_u32)
            .map(|i| {
                let (pool, give) = (pool.clone(), give.clone());
                tokio::spawn(async move {
                    let (a, b) = pair();
                    let writer = tokio::spawn(async move {
                        for round in 0..40_u32 {
                            a.native().send_all(round.to_ne_bytes().to_vec()).await.0.unwrap();
                            if (round + i) % 7 == 0 {
                                tokio::task::yield_now().await;
                            }
                        }
                    });
                    let mut all = Vec::new();
                    let mut incoming = b.native().recv_multi(&pool);
                    while all.len() < 160 {
                        // Given up in all states there are.
                        let mut next = Box::pin(incoming.next());
                        let early = match poll!(&mut next) {
                            std::task::Poll::Ready(received) => received,
                            std::task::Poll::Pending if (all.len() as u32 / 4 + i) % 3 == 0 => {
                                drop(next);
                                tokio::task::yield_now().await;
                                if i % 4 == 0 {
                                    incoming = b.native().recv_multi(&pool);
                                }
                                incoming.next().await
                            }
                            std::task::Poll::Pending => next.await,
                        };
                        let bytes = early.unwrap().unwrap();
                        all.extend_from_slice(&bytes);
                        give.send(bytes).unwrap();
                    }
                    assert!(all == (0..40_u32).flat_map(u32::to_ne_bytes).collect::<Vec<u8>>());
                    writer.await.unwrap();
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        drop(give);
        elsewhere.join().unwrap();
    });
}

// ===== nobody takes all of them =====

/// Polled once, it is on its way.
async fn begin(stream: &mut RecvMulti<'_>) {
    assert!(poll!(Box::pin(stream.next())).is_pending());
    tokio::task::yield_now().await;
    moment().await;
}

#[test]
fn h81_who_does_not_poll_does_not_take_all_buffers() {
    on_one_worker(|| async {
        for (count, idle) in [(1, 1), (2, 1), (2, 3), (8, 3), (64, 1), (64, 70)] {
            let pool = BufPool::new(count, 512);
            let mut pairs: Vec<_> = (0..idle).map(|_| pair()).collect();
            let (streams, peers): (Vec<_>, Vec<_>) = pairs.drain(..).unzip();
            let mut waiting: Vec<_> =
                streams.iter().map(|stream: &UnixStream| stream.native().recv_multi(&pool)).collect();
            for stream in &mut waiting {
                assert!(poll!(Box::pin(stream.next())).is_pending());
            }
            moment().await;
            // More than the pool has room for, at once and little by little.
            let bytes: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
            for peer in &peers {
                assert_eq!(peer.try_write(&bytes[..40_000]).unwrap(), 40_000);
            }
            for at in (40_000..50_000).step_by(500) {
                tokio::task::yield_now().await;
                assert_eq!(peers[0].try_write(&bytes[at..at + 500]).unwrap(), 500);
            }
            moment().await;
            let (y, of_y) = pair();
            let mut incoming = y.native().recv_multi(&pool);
            for round in 0..20_u8 {
                of_y.native().send_all(vec![round; 3]).await.0.unwrap();
                assert_eq!(&*incoming.next().await.unwrap().unwrap(), [round; 3]);
            }
            // And it has lost nothing.
            drop(peers);
            for (i, stream) in waiting.iter_mut().enumerate() {
                let mut all = Vec::new();
                while let Some(more) = stream.next().await {
                    all.extend_from_slice(&more.unwrap());
                }
                assert!(all == bytes[..if i == 0 { 50_000 } else { 40_000 }], "{} bytes", all.len());
            }
        }
    });
}

#[test]
fn h81_what_nobody_polls_is_bounded() {
    use std::os::fd::AsRawFd;

    on_one_worker(|| async {
        let pool = BufPool::new(64, 256);
        let (x, peer) = pair();
        let mut incoming = x.native().recv_multi(&pool);
        begin(&mut incoming).await;
        for _ in 0..120 {
            assert_eq!(peer.try_write(&[7; 256]).unwrap(), 256);
            moment().await;
            // Somebody else is served all the time, so that there is always a buffer.
            let (y, of_y) = pair();
            send(&of_y, "y").await;
            assert_eq!(&*y.native().recv_multi(&pool).next().await.unwrap().unwrap(), b"y");
        }
        let mut left: libc::c_int = 0;
        // SAFETY: it writes one number.
        assert_eq!(unsafe { libc::ioctl(x.as_raw_fd(), libc::FIONREAD, &raw mut left) }, 0);
        let taken = 120 - left as usize / 256;
        assert!(taken <= 34, "{taken} of 120 were received, though nobody asks for them");
    });
}

#[test]
fn h81_datagrams_that_nobody_polls_do_not_take_all_buffers() {
    on_one_worker(|| async {
        let pool = BufPool::new(4, 64);
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let (x, y, a) = (bind().await.unwrap(), bind().await.unwrap(), bind().await.unwrap());
        let mut idle = x.native().recv_multi(&pool);
        assert!(poll!(Box::pin(idle.next())).is_pending());
        moment().await;
        for i in 0..20_u8 {
            a.send_to(&[i; 30], x.local_addr().unwrap()).await.unwrap();
        }
        moment().await;
        let mut incoming = y.native().recv_multi(&pool);
        for i in 0..20_u8 {
            a.send_to(&[i; 40], y.local_addr().unwrap()).await.unwrap();
            let (bytes, from) = incoming.next().await.unwrap().unwrap();
            assert_eq!((&*bytes, from), (&[i; 40][..], a.local_addr().unwrap()));
        }
        for i in 0..20_u8 {
            let (bytes, from) = idle.next().await.unwrap().unwrap();
            assert_eq!((&*bytes, from), (&[i; 30][..], a.local_addr().unwrap()));
        }
    });
}

#[test]
fn h81_what_a_dropped_idle_stream_had_is_found() {
    on_one_worker(|| async {
        let pool = BufPool::new(2, 4);
        let (mut x, peer) = pair();
        {
            let mut idle = x.native().recv_multi(&pool);
            begin(&mut idle).await;
            send(&peer, "0123456789").await;
            moment().await;
            let (y, of_y) = pair();
            send(&of_y, "y").await;
            assert_eq!(&*y.native().recv_multi(&pool).next().await.unwrap().unwrap(), b"y");
        }
        let mut all = [0; 10];
        tokio::io::AsyncReadExt::read_exact(&mut x, &mut all).await.unwrap();
        assert_eq!(&all, b"0123456789");
    });
}

#[test]
fn h81_a_stream_that_is_forgotten_does_not_take_all_buffers() {
    on_one_worker(|| async {
        let pool = BufPool::new(2, 64);
        let (x, peer) = pair();
        let x: &'static UnixStream = Box::leak(Box::new(x));
        let mut forgotten = x.native().recv_multi(&pool);
        begin(&mut forgotten).await;
        std::mem::forget(forgotten);
        assert_eq!(peer.try_write(&[1; 10_000]).unwrap(), 10_000);
        moment().await;
        let (y, of_y) = pair();
        send(&of_y, "hello").await;
        assert_eq!(&*y.native().recv_multi(&pool).next().await.unwrap().unwrap(), b"hello");
    });
}

// ===== datagrams =====

#[test]
fn h83_a_datagram_that_does_not_fit_says_so() {
    on_one_worker(|| async {
        let pool = BufPool::new(4, 100);
        let bind = || UdpSocket::bind("127.0.0.1:0");
        let (a, b) = (bind().await.unwrap(), bind().await.unwrap());
        let at_b = b.local_addr().unwrap();
        let mut incoming = b.native().recv_multi(&pool);
        for (len, is_truncated) in [(100, false), (101, true), (0, false), (5000, true), (99, false)] {
            a.send_to(&vec![1; len], at_b).await.unwrap();
            let (bytes, _) = incoming.next().await.unwrap().unwrap();
            assert_eq!((bytes.len(), bytes.is_truncated()), (len.min(100), is_truncated));
        }
        // What a dropped stream had received says so, too; whoever has less room sees that.
        assert!(poll!(Box::pin(incoming.next())).is_pending());
        moment().await;
        for len in [101, 102, 100, 103, 100] {
            a.send_to(&vec![1; len], at_b).await.unwrap();
        }
        moment().await;
        drop(incoming);
        let (message, _) = b.native().recv_msg(vec![vec![0; 100]], 0).await;
        assert_eq!(message.unwrap().flags & libc::MSG_TRUNC, libc::MSG_TRUNC);
        let mut incoming = b.native().recv_multi(&pool);
        assert!(incoming.next().await.unwrap().unwrap().0.is_truncated());
        assert!(!incoming.next().await.unwrap().unwrap().0.is_truncated());
        drop(incoming);
        let small = BufPool::new(4, 99);
        let mut incoming = b.native().recv_multi(&small);
        for _ in 0..2 {
            let (bytes, _) = incoming.next().await.unwrap().unwrap();
            assert!(bytes.is_truncated() && bytes.len() == 99);
        }
    });
}

#[test]
fn h83_a_buffer_holds_a_datagram_of_its_size() {
    on_one_worker(|| async {
        for size in [1, 15, 100, 144, 160, 161, 1000] {
            let pool = BufPool::new(2, size);
            let bind = || UdpSocket::bind("[::1]:0");
            let (a, b) = (bind().await.unwrap(), bind().await.unwrap());
            let mut incoming = b.native().recv_multi(&pool);
            for _ in 0..5 {
                a.send_to(&vec![7; size], b.local_addr().unwrap()).await.unwrap();
                let (bytes, from) = incoming.next().await.unwrap().unwrap();
                assert_eq!((bytes.len(), from), (size, a.local_addr().unwrap()));
                assert!(bytes.iter().all(|&byte| byte == 7));
            }
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("a rather long name of a socket, longer than most others are");
            let (a, b) = (UnixDatagram::bind(&path).unwrap(), UnixDatagram::unbound().unwrap());
            let mut incoming = a.native().recv_multi(&pool);
            b.send_to(&vec![8; size], &path).await.unwrap();
            assert_eq!(incoming.next().await.unwrap().unwrap().0.len(), size);
            // The bytes of a stream get no more room by that.
            let (x, peer) = pair();
            peer.native().send_all(vec![9; 3 * size]).await.0.unwrap();
            let mut incoming = x.native().recv_multi(&pool);
            for _ in 0..3 {
                assert_eq!(incoming.next().await.unwrap().unwrap().len(), size);
            }
        }
    });
}

#[test]
fn h83_a_refusal_is_an_item_and_the_stream_goes_on() {
    on_one_worker(|| async {
        let pool = BufPool::new(4, 64);
        let a = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let b = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at_b = b.local_addr().unwrap();
        a.connect(at_b).await.unwrap();
        let mut incoming = a.native().recv_multi(&pool);
        drop(b);
        for _ in 0..3 {
            a.send(b"anybody?").await.unwrap();
            let error = incoming.next().await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        }
        // And so it is for who waits already.
        {
            let mut next = Box::pin(incoming.next());
            assert!(poll!(&mut next).is_pending());
            moment().await;
            a.send(b"anybody?").await.unwrap();
            assert_eq!(next.await.unwrap().unwrap_err().kind(), ErrorKind::ConnectionRefused);
        }
        let b = UdpSocket::bind(at_b).await.unwrap();
        b.send_to(b"yes", a.local_addr().unwrap()).await.unwrap();
        assert_eq!(&*incoming.next().await.unwrap().unwrap().0, b"yes");
        // Receiving once is no different.
        drop((b, incoming));
        let mut once = Box::pin(a.native().recv(vec![0; 9]));
        assert!(poll!(&mut once).is_pending());
        moment().await;
        a.send(b"anybody?").await.unwrap();
        assert_eq!(once.await.0.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}
