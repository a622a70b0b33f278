//! Datagrams.

use std::io::ErrorKind;
use std::time::Duration;

use tokio::native::ControlMessage;
use tokio::net::{UdpSocket, UnixDatagram};

use super::on_workers;

async fn pair() -> (UdpSocket, UdpSocket) {
    (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap())
}

#[test]
fn udp() {
    on_workers(|| async {
        let (a, b) = pair().await;
        let (at_a, at_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        assert_eq!(a.native().send_to("hello", at_b).await.0.unwrap(), 5);
        let (received, buf) = b.native().recv_from(Vec::with_capacity(64)).await;
        assert_eq!((received.unwrap(), &buf[..]), ((5, at_a), &b"hello"[..]));

        b.native().connect(at_a).await.unwrap();
        assert_eq!(b.native().send(b"back".to_vec()).await.0.unwrap(), 4);
        let (n, buf) = a.native().recv(vec![0; 2]).await;
        // The rest of it is gone.
        assert_eq!((n.unwrap(), &buf[..]), (2, &b"ba"[..]));

        let (n, _) = b.native().send_msg(vec!["in ", "parts"], Some(at_a), Vec::new()).await;
        assert_eq!(n.unwrap(), 8);
        let (message, bufs) = a.native().recv_msg(vec![vec![0; 4], vec![0; 64]], 0).await;
        let message = message.unwrap();
        assert_eq!((message.len, message.from), (8, Some(at_b)));
        assert_eq!((&bufs[0][..], &bufs[1][..4]), (&b"in p"[..], &b"arts"[..]));

        // Too long for the buffers.
        b.native().send("truncated").await.0.unwrap();
        let (message, _) = a.native().recv_msg(vec![vec![0; 4]], 0).await;
        assert_eq!(message.unwrap().flags & libc::MSG_TRUNC, libc::MSG_TRUNC);

        let none = a.native().recv(vec![0]).timeout(Duration::from_millis(5)).await.0;
        assert_eq!(none.unwrap_err().kind(), ErrorKind::TimedOut);
    });
}

#[test]
fn refused() {
    on_workers(|| async {
        let (a, b) = pair().await;
        a.native().connect(b.local_addr().unwrap()).await.unwrap();
        drop(b);
        a.native().send("anybody?").await.0.unwrap();
        let (n, _) = a.native().recv(vec![0; 4]).await;
        assert_eq!(n.unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
}

#[test]
fn control_messages() {
    on_workers(|| async {
        let (a, b) = pair().await;
        let on: libc::c_int = 1;
        socket2::SockRef::from(&b).set_recv_tos_v4(true).unwrap();
        let tos = ControlMessage::Other {
            level: libc::IPPROTO_IP,
            kind: libc::IP_TOS,
            data: 0x10_i32.to_ne_bytes().to_vec(),
        };
        let to = b.local_addr().unwrap();
        a.native().send_msg(vec!["x"], Some(to), vec![tos]).await.0.unwrap();
        let (message, _) = b.native().recv_msg(vec![vec![0; 4]], ControlMessage::room(16)).await;
        let message = message.unwrap();
        let Some(ControlMessage::Other { level, kind, data }) = message.control.first() else {
            panic!("nothing came along: {message:?}");
        };
        assert_eq!((*level, *kind, data[0]), (libc::IPPROTO_IP, libc::IP_TOS, 0x10));
        let _ = on;
    });
}

#[test]
fn unix_datagrams() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b");
        let (a, b) = (UnixDatagram::unbound().unwrap(), UnixDatagram::bind(&path).unwrap());
        let to = b.local_addr().unwrap();
        assert_eq!(a.native().send_to("hello", to.clone()).await.0.unwrap(), 5);
        let (received, _) = b.native().recv_from(vec![0; 16]).await;
        let (n, from) = received.unwrap();
        assert!(n == 5 && from.is_unnamed());
        a.native().connect(to).await.unwrap();
        a.native().send("again").await.0.unwrap();
        assert_eq!(b.native().recv(vec![0; 16]).await.0.unwrap(), 5);
        // Nobody can be sent to without a name.
        let (n, _) = b.native().send_to("x", from).await;
        assert_eq!(n.unwrap_err().kind(), ErrorKind::InvalidInput);

        let (a, b) = UnixDatagram::pair().unwrap();
        let fds = vec![std::fs::File::open("/dev/null").unwrap().into()];
        a.native().send_msg(vec!["fd"], None, vec![ControlMessage::Fds(fds)]).await.0.unwrap();
        let (message, _) = b.native().recv_msg(vec![vec![0; 4]], ControlMessage::room(4)).await;
        assert!(matches!(&message.unwrap().control[..], [ControlMessage::Fds(fds)] if fds.len() == 1));
    });
}
