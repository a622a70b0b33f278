//! Operations that are dropped, and objects that leave their runtime, or are read by calls of the user's own.

use std::future::Future;
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use futures::poll;
use tokio::io::{AsyncReadExt, Interest};
use tokio::native::{FdStream, IntoInnerError, chain};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

use super::streams::tcp_pair;
use super::{is_emulated, on_workers};
use crate::common::LONG;

async fn moment() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

/// Begins an operation, has `meanwhile` happen, then drops it, done or not.
async fn dropped<F: Future>(operation: F, meanwhile: impl AsyncFnOnce()) {
    let mut operation = Box::pin(operation);
    assert!(poll!(&mut operation).is_pending());
    moment().await;
    meanwhile().await;
    moment().await;
}

fn write(to: &impl AsRawFd, bytes: &[u8]) {
    // SAFETY: that many bytes are there.
    let n = unsafe { libc::write(to.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    assert_eq!(n, bytes.len() as isize);
}

/// `recv(2)`.
fn recv(fd: RawFd, buf: &mut [u8]) -> io::Result<usize> {
    // SAFETY: there is room for that many bytes.
    let n = unsafe { libc::recv(fd, buf.as_mut_ptr().cast(), buf.len(), 0) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// A read was dropped, which a ring has carried out all the same: the object is refused by its own type and
/// by `into_std`, it is as it was, nothing is closed, and then it leaves with all there is.
macro_rules! leaves {
    ($pair:expr, |$b:ident| $read:expr, $leave:ident, $try_leave:ident) => {
        on_workers(|| async {
            for way in 0..3 {
                let (a, $b) = $pair.await;
                dropped($read, async || write(&a, b"first ")).await;
                write(&a, b"second");
                let $b = match way {
                    0 => match $b.$leave() {
                        Ok(_) if is_emulated() => continue,
                        Ok(_) => panic!("something is lost"),
                        Err(error) => {
                            assert!(error.to_string().contains("leftovers"), "{error}");
                            let (object, cause) = IntoInnerError::find(error).unwrap().into_parts();
                            assert_eq!(cause.kind(), ErrorKind::Other);
                            object
                        }
                    },
                    1 => match $b.$try_leave() {
                        Ok(_) if is_emulated() => continue,
                        Ok(_) => panic!("something is lost"),
                        Err(error) => error.into_parts().0,
                    },
                    _ => $b,
                };
                let mut all = $b.native().leftovers().await.unwrap();
                assert_eq!(all, if is_emulated() { &b""[..] } else { b"first " });
                all.extend(bytes(&$b.$leave().unwrap()));
                assert_eq!(std::str::from_utf8(&all).unwrap(), "first second");
            }
        });
    };
}

/// All bytes there are, once there are some: what was sent through the network stack may take a moment.
fn bytes(fd: &impl AsRawFd) -> Vec<u8> {
    let mut readable = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one struct, and a number.
    assert_eq!(unsafe { libc::poll(&mut readable, 1, LONG.as_millis() as i32) }, 1);
    let mut all = Vec::new();
    let mut buf = [0; 64];
    loop {
        // SAFETY: there is room for that many bytes.
        match unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), buf.len()) } {
            n @ 1.. => all.extend(&buf[..n as usize]),
            _ => return all,
        }
    }
}

async fn unix_pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

async fn datagram_pair() -> (UnixDatagram, UnixDatagram) {
    UnixDatagram::pair().unwrap()
}

async fn udp_pair() -> (UdpSocket, UdpSocket) {
    let (a, b) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    a.connect(b.local_addr().unwrap()).await.unwrap();
    a.writable().await.unwrap();
    (a, b)
}

async fn pipe_pair() -> (pipe::Sender, pipe::Receiver) {
    pipe::pipe().unwrap()
}

#[test]
fn h85_streams_leave_with_all_or_stay() {
    leaves!(tcp_pair(), |b| b.native().recv(vec![0; 32]), into_std, try_into_std);
    leaves!(tcp_pair(), |b| b.native().recv_vectored(vec![vec![0; 32]]), into_std, try_into_std);
    leaves!(tcp_pair(), |b| b.native().recv_msg(vec![vec![0; 32]], 0), into_std, try_into_std);
    leaves!(unix_pair(), |b| b.native().recv(vec![0; 32]), into_std, try_into_std);
}

#[test]
fn h85_datagrams_leave_with_all_or_stay() {
    leaves!(udp_pair(), |b| b.native().recv(vec![0; 32]), into_std, try_into_std);
    leaves!(datagram_pair(), |b| b.native().recv_from(vec![0; 32]), into_std, try_into_std);
}

#[test]
fn h85_pipes_leave_with_all_or_stay() {
    leaves!(pipe_pair(), |b| b.native().read(vec![0; 32]), into_nonblocking_fd, try_into_nonblocking_fd);
}

/// What came in parts is kept without a ring, too.
#[test]
fn h85_a_part_of_what_was_to_be_received() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        dropped(b.native().recv_exact(vec![0; 32]), async || write(&a, b"first ")).await;
        write(&a, b"second");
        let result = b.try_into_std();
        let b = match result {
            // It waited without taking anything.
            Ok(std) => return assert!(is_emulated() && !bytes(&std).is_empty()),
            Err(error) => error.into_parts().0,
        };
        let first = b.native().leftovers().await.unwrap();
        let second = bytes(&b.into_std().unwrap());
        assert_eq!([first, second].concat(), b"first second");
    });
}

/// Nothing came: it leaves at once, while the operation is being cancelled.
#[test]
fn h85_what_has_got_nothing_keeps_nobody() {
    on_workers(|| async {
        for _ in 0..20 {
            let (a, b) = tcp_pair().await;
            dropped(b.native().recv(vec![0; 32]), async || ()).await;
            let std = b.into_std().unwrap();
            write(&a, b"all");
            std.set_nonblocking(false).unwrap();
            let mut buf = [0; 3];
            (&std).read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"all");
        }
    });
}

#[test]
fn h85_a_listener_leaves_with_its_connections() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let mut clients = Vec::new();
        dropped(listener.native().accept(), async || clients.push(TcpStream::connect(addr).await.unwrap()))
            .await;
        clients.push(TcpStream::connect(addr).await.unwrap());
        let mut accepted = Vec::new();
        let listener = match listener.into_std() {
            Ok(listener) => listener,
            Err(error) => {
                let listener = IntoInnerError::<TcpListener>::find(error).unwrap().into_parts().0;
                accepted
                    .extend(listener.native().leftovers().await.unwrap().into_iter().map(|(_, peer)| peer));
                assert_eq!(accepted, [clients[0].local_addr().unwrap()]);
                listener.into_std().unwrap()
            }
        };
        while let Ok((_, peer)) = listener.accept() {
            accepted.push(peer);
        }
        let all: Vec<_> = clients.iter().map(|client| client.local_addr().unwrap()).collect();
        assert_eq!(accepted, all);
    });
}

#[test]
fn h85_an_unix_listener_leaves_with_its_connections() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let mut clients = Vec::new();
        dropped(listener.native().accept(), async || clients.push(UnixStream::connect(&path).await.unwrap()))
            .await;
        clients.push(UnixStream::connect(&path).await.unwrap());
        let mut accepted = 0;
        let listener = match listener.try_into_std() {
            Ok(listener) => listener,
            Err(error) => {
                let listener = error.into_parts().0;
                accepted += listener.native().leftovers().await.unwrap().len();
                listener.into_std().unwrap()
            }
        };
        while listener.accept().is_ok() {
            accepted += 1;
        }
        assert_eq!(accepted, 2);
    });
}

/// A chain that is dropped in the middle has read what its first part was to read.
#[test]
fn h84_what_a_dropped_chain_has_read() {
    on_workers(|| async {
        for way in 0..3 {
            let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
            let mut b = FdStream::new(b).unwrap();
            let (full, _rx) = pipe::pipe().unwrap();
            full.writable().await.unwrap();
            while full.try_write(&[0; 4096]).is_ok() {}
            write(&a, b"first ");
            {
                let native = b.as_async_fd().native().unwrap();
                let mut chain = Box::pin(chain((native.read(vec![0; 6]), full.native().write("x"))));
                assert!(poll!(&mut chain).is_pending());
                moment().await;
                assert!(poll!(&mut chain).is_pending());
            }
            write(&a, b"second");
            drop(a);
            let mut all = Vec::new();
            match way {
                0 => drop(b.read_to_end(&mut all).await.unwrap()),
                1 => {
                    let file = b.as_async_fd();
                    let error = file.readable().await.err().unwrap();
                    assert!(error.to_string().contains("leftovers"), "{error}");
                    let error = file.try_io(Interest::READABLE, |_| Ok(())).unwrap_err();
                    assert!(error.to_string().contains("leftovers"), "{error}");
                    file.writable().await.unwrap().retain_ready();
                    all.extend(file.native().unwrap().leftovers().await.unwrap());
                    all.extend(bytes(file));
                }
                _ => {
                    b = b.try_into_inner().unwrap_err().into_parts().0;
                    all.extend(b.as_async_fd().native().unwrap().leftovers().await.unwrap());
                    all.extend(bytes(&b.try_into_inner().unwrap()));
                }
            }
            assert_eq!(std::str::from_utf8(&all).unwrap(), "first second", "{way}");
        }
    });
}

/// All that a call of one's own gets, until it is told to take the leftovers first.
async fn own_calls(interest: Interest, b: &UnixStream) -> io::Result<Vec<u8>> {
    let mut buf = [0; 16];
    let fd = b.as_raw_fd();
    let n = b.async_io(interest, || recv(fd, &mut buf)).await?;
    Ok(buf[..n].to_vec())
}

#[test]
fn h84_a_call_of_ones_own_passes_nothing_by() {
    on_workers(|| async {
        for is_late in [true, false] {
            let (a, b) = UnixStream::pair().unwrap();
            dropped(b.native().recv(vec![0; 16]), async || {
                if is_late {
                    write(&a, b"first ");
                }
            })
            .await;
            write(&a, if is_late { b"second" } else { b"first second" });
            let mut all = Vec::new();
            while all.len() < 12 {
                match own_calls(Interest::READABLE, &b).await {
                    Ok(more) => all.extend(more),
                    Err(e) => {
                        assert!(e.to_string().contains("leftovers"), "{e}");
                        // What is written is nobody's business.
                        let fd = b.as_raw_fd();
                        b.try_io(Interest::WRITABLE, || Ok(fd)).unwrap();
                        all.extend(b.native().leftovers().await.unwrap());
                    }
                }
            }
            assert_eq!(std::str::from_utf8(&all).unwrap(), "first second");
        }
    });
}
