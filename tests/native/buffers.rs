//! Every kind of buffer, sent and received.

use bytes::{Bytes, BytesMut};
use tokio::native::{AlignedBuf, BoundedBuf, BoundedBufMut};
use tokio::net::UnixStream;

use super::on_all_flavours;

async fn sends<B: BoundedBuf>(buf: B, expected: &[u8]) {
    let (a, b) = UnixStream::pair().unwrap();
    let (sent, _) = a.native().send(buf).await;
    assert_eq!(sent.unwrap(), expected.len());
    let (received, buf) = b.native().recv(Vec::with_capacity(64)).await;
    assert_eq!(&buf[..received.unwrap()], expected);
}

async fn receives<B: BoundedBufMut>(buf: B) -> B {
    let (a, b) = UnixStream::pair().unwrap();
    a.native().send("hello").await.0.unwrap();
    let (received, buf) = b.native().recv(buf).await;
    assert_eq!(received.unwrap(), 5);
    buf
}

#[test]
fn all_kinds_are_sent() {
    on_all_flavours(|| async {
        sends(b"vec".to_vec(), b"vec").await;
        sends(Box::<[u8]>::from(*b"box"), b"box").await;
        sends(Box::new(*b"array"), b"array").await;
        sends("static str", b"static str").await;
        sends(&b"static"[..], b"static").await;
        sends(String::from("string"), b"string").await;
        sends(Bytes::from_static(b"bytes"), b"bytes").await;
        sends(BytesMut::from(&b"bytes mut"[..]), b"bytes mut").await;
        let mut aligned = AlignedBuf::new(512, 512);
        aligned.extend_from_slice(b"aligned");
        sends(aligned, b"aligned").await;
        sends(b"a slice".to_vec().slice(2..), b"slice").await;
        sends("a slice of a slice".slice(2..).slice(0..5), b"slice").await;
    });
}

#[test]
fn all_kinds_are_received_into() {
    on_all_flavours(|| async {
        assert_eq!(receives(Vec::with_capacity(8)).await, b"hello");
        assert_eq!(receives(b"abcdefgh".to_vec()).await, b"hellofgh");
        assert_eq!(*receives(Box::<[u8]>::from([0; 6])).await, *b"hello\0");
        assert_eq!(*receives(Box::new([0; 6])).await, *b"hello\0");
        assert_eq!(receives(BytesMut::with_capacity(8)).await, b"hello"[..]);
        assert_eq!(*receives(AlignedBuf::new(512, 512)).await, *b"hello");
        let slice = receives(b"0123456789".to_vec().slice(2..8)).await;
        assert_eq!(slice.into_inner(), b"01hello789");
        let mut v = Vec::with_capacity(64);
        v.extend_from_slice(b"say: ");
        assert_eq!(receives(v.slice(5..)).await.into_inner(), b"say: hello");
    });
}

#[test]
fn no_room_and_nothing_to_send() {
    on_all_flavours(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        assert_eq!(a.native().send(Vec::new()).await.0.unwrap(), 0);
        a.native().send_all(Vec::new()).await.0.unwrap();
        a.native().send("x").await.0.unwrap();
        assert_eq!(b.native().recv(Vec::new()).await.0.unwrap(), 0);
        b.native().recv_exact(Vec::new()).await.0.unwrap();
        assert_eq!(b.native().recv(vec![0]).await.1, b"x");
    });
}

/// As `read_exact(&mut [])` and `send_all("")`: there is nothing to wait for.
#[test]
fn receiving_nothing_waits_for_nothing() {
    on_all_flavours(|| async {
        let (a, b) = UnixStream::pair().unwrap();
        b.native().recv_exact(Vec::new()).await.0.unwrap();
        assert_eq!(b.native().recv(Vec::new()).await.0.unwrap(), 0);
        assert_eq!(b.native().recv_vectored(vec![Vec::new(), Vec::new()]).await.0.unwrap(), 0);
        // The end of the stream changes nothing, and neither does what is there.
        a.native().send_all("x").await.0.unwrap();
        b.native().recv_exact(Vec::new()).await.0.unwrap();
        drop(a);
        assert_eq!(b.native().recv_exact(vec![0]).await.1, b"x");
        b.native().recv_exact(Vec::new()).await.0.unwrap();

        // A part of a buffer without room, and other kinds of sockets.
        let (_client, server) = super::streams::tcp_pair().await;
        server.native().recv_exact(vec![0; 8].slice(8..)).await.0.unwrap();
        server.native().recv_exact(Box::<[u8]>::default()).await.0.unwrap();
        server.native().recv_exact(Vec::new()).timeout(std::time::Duration::ZERO).await.0.unwrap();
        let (read, _write) = server.into_split();
        read.as_ref().native().recv_exact(Vec::new()).await.0.unwrap();
    });
}
