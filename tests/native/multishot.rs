//! Operations with many results, and the pools they receive into.

use std::io::{ErrorKind, Write};
use std::time::Duration;

use futures::{StreamExt, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{BufPool, IoBuf};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};

use super::streams::tcp_pair;
use super::{on_workers, unacked};

async fn moment() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

#[test]
fn bytes_as_they_come() {
    on_workers(|| async {
        let pool = BufPool::new(8, 1000);
        assert_eq!((pool.count(), pool.size()), (8, 1000));
        let (mut a, b) = tcp_pair().await;
        let writer = tokio::spawn(async move {
            for i in 0..300_u32 {
                a.write_all(&vec![i as u8; 777]).await.unwrap();
            }
        });
        let mut all = Vec::new();
        let mut incoming = b.native().recv_multi(&pool);
        while let Some(bytes) = incoming.next().await {
            let bytes = bytes.unwrap();
            assert!(!bytes.is_empty() && bytes.len() <= 1000);
            all.extend_from_slice(&bytes);
        }
        writer.await.unwrap();
        let expected: Vec<u8> = (0..300_u32).flat_map(|i| vec![i as u8; 777]).collect();
        assert!(all == expected);
        assert!(incoming.next().await.is_none());
    });
}

#[test]
fn one_pool_for_many() {
    on_workers(|| async {
        let pool = BufPool::new(4, 64);
        let tasks: Vec<_> = (0..50_u8)
            .map(|i| {
                let pool = pool.clone();
                tokio::spawn(async move {
                    let (mut a, b) = tcp_pair().await;
                    let mut incoming = b.native().recv_multi(&pool);
                    for round in 0..20_u8 {
                        a.write_all(&[i, round]).await.unwrap();
                        let bytes = incoming.next().await.unwrap().unwrap();
                        assert_eq!(&bytes[..], [i, round]);
                    }
                    drop(a);
                    assert!(incoming.next().await.is_none());
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
}

#[test]
fn h16_no_buffer_left() {
    on_workers(|| async {
        let pool = BufPool::new(2, 4);
        let (mut a, b) = tcp_pair().await;
        a.write_all(b"onetwothrfor").await.unwrap();
        let mut incoming = b.native().recv_multi(&pool);
        let first = incoming.next().await.unwrap().unwrap();
        let second = incoming.next().await.unwrap().unwrap();
        assert_eq!((&*first, &*second), (&b"onet"[..], &b"woth"[..]));
        // Both are away: the rest waits in the socket.
        let waits = tokio::time::timeout(Duration::from_millis(20), incoming.next()).await;
        assert!(waits.is_err(), "{waits:?}");
        drop(first);
        let third = incoming.next().await.unwrap().unwrap();
        assert_eq!(&*third, b"rfor");
        drop((second, third));
        a.write_all(b"!").await.unwrap();
        assert_eq!(&*incoming.next().await.unwrap().unwrap(), b"!");
    });
}

#[test]
fn h16_who_waits_for_a_buffer_does_not_spin() {
    let cpu_time = || {
        // SAFETY: all zero is a valid one, and it outlives the call.
        let mut time: libc::timespec = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let pool = BufPool::new(1, 4);
        let (mut a, b) = tcp_pair().await;
        a.write_all(b"onetwo").await.unwrap();
        let mut incoming = b.native().recv_multi(&pool);
        let held = incoming.next().await.unwrap().unwrap();
        let before = cpu_time();
        let waits = tokio::time::timeout(Duration::from_millis(200), incoming.next()).await;
        let spent = cpu_time() - before;
        assert!(waits.is_err() && spent < Duration::from_millis(20), "{spent:?}");
        drop(held);
        assert_eq!(&*incoming.next().await.unwrap().unwrap(), b"wo");
    });
}

#[test]
fn a_slow_consumer_with_two_buffers() {
    on_workers(|| async {
        let pool = BufPool::new(2, 16);
        let (mut a, b) = tcp_pair().await;
        let writer = tokio::spawn(async move {
            a.write_all(&(0..4000_u32).flat_map(u32::to_ne_bytes).collect::<Vec<u8>>()).await.unwrap();
        });
        let mut incoming = b.native().recv_multi(&pool);
        let mut all = Vec::new();
        let mut count = 0;
        while let Some(bytes) = incoming.next().await {
            let bytes = bytes.unwrap();
            all.extend_from_slice(&bytes);
            count += 1;
            if count % 50 == 0 {
                moment().await;
            }
        }
        writer.await.unwrap();
        assert!(all == (0..4000_u32).flat_map(u32::to_ne_bytes).collect::<Vec<u8>>());
    });
}

#[test]
fn what_a_dropped_stream_had_is_found() {
    on_workers(|| async {
        let pool = BufPool::new(16, 4);
        let (mut a, mut b) = tcp_pair().await;
        {
            let mut incoming = b.native().recv_multi(&pool);
            assert!(poll!(Box::pin(incoming.next())).is_pending());
            tokio::task::yield_now().await;
            a.write_all(b"0123456789").await.unwrap();
            moment().await;
            assert_eq!(&*incoming.next().await.unwrap().unwrap(), b"0123");
            a.write_all(b"ab").await.unwrap();
        }
        a.write_all(b"cd").await.unwrap();
        let mut rest = [0; 10];
        b.read_exact(&mut rest).await.unwrap();
        assert_eq!(&rest, b"456789abcd");

        // And the next stream takes it, too.
        let mut incoming = b.native().recv_multi(&pool);
        assert!(poll!(Box::pin(incoming.next())).is_pending());
        tokio::task::yield_now().await;
        a.write_all(b"xy").await.unwrap();
        moment().await;
        drop(incoming);
        let mut incoming = b.native().recv_multi(&pool);
        assert_eq!(&*incoming.next().await.unwrap().unwrap(), b"xy");
        a.write_all(b"z").await.unwrap();
        assert_eq!(&*incoming.next().await.unwrap().unwrap(), b"z");
    });
}

#[test]
fn a_buffer_of_a_pool_can_be_sent() {
    on_workers(|| async {
        let pool = BufPool::new(1, 64);
        let (a, b) = UnixStream::pair().unwrap();
        let mut incoming = b.native().recv_multi(&pool);
        for _ in 0..100 {
            a.native().send_all("echo").await.0.unwrap();
            let mut bytes = incoming.next().await.unwrap().unwrap();
            bytes[0] = b'E';
            assert_eq!((bytes.bytes_init(), bytes.as_ref()), (4, &b"Echo"[..]));
            b.native().send_all(bytes).await.0.unwrap();
            assert_eq!(a.native().recv(vec![0; 4]).await.1, b"Echo");
        }
    });
}

#[test]
fn an_error_ends_the_stream() {
    on_workers(|| async {
        let pool = BufPool::new(2, 16);
        let (a, b) = tcp_pair().await;
        socket2::SockRef::from(&a).set_linger(Some(Duration::ZERO)).unwrap();
        drop(a);
        let mut incoming = b.native().recv_multi(&pool);
        let error = incoming.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(incoming.next().await.is_none());
    });
}

#[test]
fn many_pools_one_after_the_other() {
    on_workers(|| async {
        let (mut a, b) = tcp_pair().await;
        for round in 0..50_u8 {
            let pool = BufPool::new(2, 16);
            let mut incoming = b.native().recv_multi(&pool);
            a.write_all(&[round]).await.unwrap();
            assert_eq!(&*incoming.next().await.unwrap().unwrap(), [round]);
        }
    });
}

#[test]
fn connections_as_they_come() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let clients = tokio::spawn(async move {
            for i in 0..100_u8 {
                TcpStream::connect(addr).await.unwrap().write_all(&[i]).await.unwrap();
            }
        });
        let streams = listener.native().accept_multi().take(100);
        let mut seen = Vec::new();
        let mut streams = std::pin::pin!(streams);
        while let Some(stream) = streams.next().await {
            seen.push(stream.unwrap().read_u8().await.unwrap());
        }
        assert_eq!(seen, (0..100).collect::<Vec<u8>>());
        clients.await.unwrap();

        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let mut accepted = listener.native().accept_multi();
        let mut client = UnixStream::connect(dir.path().join("s")).await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(accepted.next().await.unwrap().read_u8().await.unwrap(), b'x');
    });
}

#[test]
fn who_asks_for_no_connections_has_few_accepted() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut accepted = listener.native().accept_multi();
        let (mut seen, mut clients) = (Vec::new(), Vec::new());
        for round in 0..2 {
            assert!(round > 0 || poll!(Box::pin(accepted.next())).is_pending());
            // Not more than a short queue has room for.
            for _ in 0..22 {
                for _ in 0..5 {
                    let mut client = std::net::TcpStream::connect(addr).unwrap();
                    // The last word of a handshake may be heard later than that of the next one: not if more that was
                    // said has been heard.
                    client.write_all(b"x").unwrap();
                    while unacked(&client) > 0 {
                        std::thread::yield_now();
                    }
                    clients.push(client);
                }
                // Time to accept them, if they are to be.
                for _ in 0..50 {
                    if unacked(&listener) > 0 {
                        tokio::time::sleep(Duration::from_micros(300)).await;
                    }
                }
            }
            let taken = clients.len() - seen.len() - unacked(&listener) as usize;
            assert!(taken <= 90, "{taken} of 110 are accepted, though nobody asks for them");
            // They all come, in order.
            while seen.len() < clients.len() {
                seen.push(accepted.next().await.unwrap().peer_addr().unwrap());
            }
        }
        let expected: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn connections_of_a_dropped_stream_are_found() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        {
            let mut accepted = listener.native().accept_multi();
            assert!(poll!(Box::pin(accepted.next())).is_pending());
            tokio::task::yield_now().await;
            for _ in 0..5 {
                clients.push(TcpStream::connect(addr).await.unwrap());
            }
            moment().await;
        }
        for client in &mut clients {
            let (mut server, peer) = listener.accept().await.unwrap();
            assert_eq!(peer, client.local_addr().unwrap());
            server.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }
    });
}

#[test]
fn datagrams_as_they_come() {
    on_workers(|| async {
        let pool = BufPool::new(4, 256);
        let [a, b] =
            [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let mut incoming = b.native().recv_multi(&pool);
        for round in 0..50_u8 {
            a.send_to(&[round; 100], at_b).await.unwrap();
            a.send_to(&[], at_b).await.unwrap();
            let (bytes, from) = incoming.next().await.unwrap().unwrap();
            assert_eq!((&bytes[..], from), (&[round; 100][..], at_a));
            let (bytes, _) = incoming.next().await.unwrap().unwrap();
            assert!(bytes.is_empty());
        }
        // Dropped, it leaves what it had, with senders.
        assert!(poll!(Box::pin(incoming.next())).is_pending());
        tokio::task::yield_now().await;
        for text in ["one", "two", "three"] {
            a.send_to(text.as_bytes(), at_b).await.unwrap();
        }
        moment().await;
        drop(incoming);
        let mut buf = [0; 16];
        assert_eq!(b.recv_from(&mut buf).await.unwrap(), (3, at_a));
        let mut incoming = b.native().recv_multi(&pool);
        assert_eq!(&*incoming.next().await.unwrap().unwrap().0, b"two");
        assert_eq!(&*incoming.next().await.unwrap().unwrap().0, b"three");
    });
}
