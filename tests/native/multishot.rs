//! Operations with many results, and the pools they receive into.

use std::io::ErrorKind;
use std::time::Duration;

use futures::{StreamExt, poll};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{BufPool, IoBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::on_workers;
use super::streams::tcp_pair;

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
