//! What is let go of, how, and how that is seen.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdp};
use std::os::fd::{AsFd, FromRawFd};
use std::os::unix::net::{
    UnixDatagram as StdDatagram, UnixListener as StdUnixListener, UnixStream as StdUnix,
};
use std::sync::mpsc;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

use super::PATIENCE;
use super::common::*;

/// How something is let go of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum How {
    Drop,
    /// Taken out of the runtime, and closed.
    TakeOut,
    /// Taken out of the runtime, used by itself, and closed.
    Use,
    /// Dropped, while somebody has a duplicate, which works. Only when that is closed, too, all is over.
    Duplicate,
    /// The same, where the runtime never saw that a duplicate was made.
    DuplicateBefore,
}

#[allow(non_upper_case_globals)]
mod names {
    use super::How;

    pub const dropped: How = How::Drop;
    pub const taken_out: How = How::TakeOut;
    pub const used_and_closed: How = How::Use;
    pub const beside_a_duplicate: How = How::Duplicate;
    pub const beside_one_made_before: How = How::DuplicateBefore;
}
pub use names::*;

/// Says what is not as it should be yet.
pub type Ends = Box<dyn FnMut() -> Result<(), String> + Send>;

pub struct Made {
    pub let_go: Box<dyn FnOnce() + Send>,
    /// Looks whether it is over; what must work until then is tried first.
    pub ends: Ends,
}

type Outcome = Result<(), String>;

fn text(what: &'static str) -> impl Fn(std::io::Error) -> String {
    move |e| format!("{what}: {e}")
}

/// `it` is registered, `std` what it was made of, and `works` tells whether one of those can be used.
struct Making<T, S, P> {
    how: How,
    it: T,
    before: Option<S>,
    peer: P,
    duplicate: fn(&T) -> S,
    take_out: fn(T) -> S,
    works: fn(&S, &P) -> Outcome,
    is_over: fn(&P) -> Outcome,
}

impl<T: Send + 'static, S: Send + 'static, P: Send + 'static> Making<T, S, P> {
    async fn made(self) -> Made {
        let Making { how, it, before, peer, duplicate, take_out, works, is_over } = self;
        // It is watched after a turn.
        tokio::time::sleep(Duration::from_millis(3)).await;
        let (sender, kept) = mpsc::channel();
        if let Some(before) = before {
            sender.send(before).unwrap();
        }
        if how == How::Duplicate {
            sender.send(duplicate(&it)).unwrap();
        }
        let let_go: Box<dyn FnOnce() + Send> = match how {
            How::TakeOut => Box::new(move || drop(take_out(it))),
            How::Use => Box::new(move || sender.send(take_out(it)).unwrap()),
            _ => Box::new(move || drop(it)),
        };
        let mut broken = Ok(());
        let ends = Box::new(move || {
            if let Ok(kept) = kept.try_recv() {
                broken = works(&kept, &peer).map_err(|why| format!("what others have does not work: {why}"));
            }
            broken.clone().and_then(|()| is_over(&peer))
        });
        Made { let_go, ends }
    }
}

/// Is there a duplicate that the runtime knows nothing of?
fn before<S>(how: How, duplicate: impl FnOnce() -> S) -> Option<S> {
    (how == How::DuplicateBefore).then(duplicate)
}

fn ended(outcome: std::io::Result<usize>) -> Outcome {
    match outcome {
        Ok(0) => Ok(()),
        Ok(_) => Err("the peer reads something".into()),
        Err(e) if e.kind() == ErrorKind::WouldBlock => Err("the peer hears nothing".into()),
        Err(e) => Err(format!("the peer: {e}")),
    }
}

macro_rules! streams_work {
    ($ours:expr, $peer:expr) => {{
        let (mut ours, mut peer) = ($ours, $peer);
        for stream in [&ours, &peer] {
            stream.set_nonblocking(false).map_err(text("set_nonblocking"))?;
            stream.set_read_timeout(Some(PATIENCE)).map_err(text("set_read_timeout"))?;
        }
        ours.write_all(b"x").map_err(text("write"))?;
        peer.read_exact(&mut [0]).map_err(text("the peer reads"))?;
        peer.write_all(b"x").map_err(text("the peer writes"))?;
        ours.read_exact(&mut [0]).map_err(text("read"))?;
        peer.set_nonblocking(true).map_err(text("set_nonblocking"))
    }};
}

pub async fn tcp_stream(how: How) -> Made {
    let (mut it, peer) = connection().await;
    let mut kept = None;
    if how == How::DuplicateBefore {
        let std = it.into_std().unwrap();
        kept = Some(std.try_clone().unwrap());
        it = TcpStream::from_std(std).unwrap();
    }
    start_waiting(it.readable()).await;
    Making {
        how,
        it,
        before: kept,
        peer,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_std().unwrap(),
        works: |ours: &StdStream, peer: &StdStream| streams_work!(ours, peer),
        is_over: |mut peer| ended(peer.read(&mut [0; 8])),
    }
    .made()
    .await
}

pub async fn tcp_listener(how: How) -> Made {
    let std = StdListener::bind(own_address()).unwrap();
    std.set_nonblocking(true).unwrap();
    let addr = std.local_addr().unwrap();
    let before = before(how, || std.try_clone().unwrap());
    let it = TcpListener::from_std(std).unwrap();
    start_waiting(it.accept()).await;
    Making {
        how,
        it,
        before,
        peer: addr,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_std().unwrap(),
        works: |ours: &StdListener, addr| {
            ours.set_nonblocking(false).map_err(text("set_nonblocking"))?;
            let mut client = StdStream::connect_timeout(addr, PATIENCE).map_err(text("connect"))?;
            let (server, _) = ours.accept().map_err(text("accept"))?;
            // The client is the one that closes: the address is in no connection that waits for its end.
            drop(server);
            client.set_read_timeout(Some(PATIENCE)).map_err(text("set_read_timeout"))?;
            client.read(&mut [0]).map_err(text("read")).map(drop)
        },
        is_over: |addr| StdListener::bind(addr).map(drop).map_err(text("bind again")),
    }
    .made()
    .await
}

pub async fn udp_socket(how: How) -> Made {
    let std = StdUdp::bind(own_address()).unwrap();
    std.set_nonblocking(true).unwrap();
    let addr = std.local_addr().unwrap();
    let before = before(how, || std.try_clone().unwrap());
    let it = UdpSocket::from_std(std).unwrap();
    start_waiting(it.recv(&mut [0])).await;
    Making {
        how,
        it,
        before,
        peer: addr,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_std().unwrap(),
        works: |ours: &StdUdp, addr| {
            ours.set_nonblocking(false).map_err(text("set_nonblocking"))?;
            ours.set_read_timeout(Some(PATIENCE)).map_err(text("set_read_timeout"))?;
            let peer = StdUdp::bind(own_address()).map_err(text("bind"))?;
            peer.send_to(b"x", addr).map_err(text("send"))?;
            ours.recv(&mut [0]).map_err(text("recv")).map(drop)
        },
        is_over: |addr| StdUdp::bind(addr).map(drop).map_err(text("bind again")),
    }
    .made()
    .await
}

fn unix_pair() -> (StdUnix, StdUnix) {
    let (ours, peer) = StdUnix::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    peer.set_nonblocking(true).unwrap();
    (ours, peer)
}

pub async fn unix_stream(how: How) -> Made {
    let (std, peer) = unix_pair();
    let before = before(how, || std.try_clone().unwrap());
    let it = UnixStream::from_std(std).unwrap();
    start_waiting(it.readable()).await;
    Making {
        how,
        it,
        before,
        peer,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_std().unwrap(),
        works: |ours: &StdUnix, peer: &StdUnix| streams_work!(ours, peer),
        is_over: |mut peer| ended(peer.read(&mut [0; 8])),
    }
    .made()
    .await
}

pub async fn async_fd(how: How) -> Made {
    let (std, peer) = unix_pair();
    let before = before(how, || std.try_clone().unwrap());
    // SAFETY: it owns its descriptor.
    let it = unsafe { AsyncFd::register(std) }.unwrap();
    start_waiting(it.readable()).await;
    Making {
        how,
        it,
        before,
        peer,
        duplicate: |it| it.get_ref().try_clone().unwrap(),
        take_out: |it| it.into_inner(),
        works: |ours: &StdUnix, peer: &StdUnix| streams_work!(ours, peer),
        is_over: |mut peer| ended(peer.read(&mut [0; 8])),
    }
    .made()
    .await
}

pub async fn unix_listener(how: How) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let std = StdUnixListener::bind(folder.path().join("socket")).unwrap();
    std.set_nonblocking(true).unwrap();
    let before = before(how, || std.try_clone().unwrap());
    let it = UnixListener::from_std(std).unwrap();
    start_waiting(it.accept()).await;
    Making {
        how,
        it,
        before,
        peer: folder,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_std().unwrap(),
        works: |ours: &StdUnixListener, folder| {
            ours.set_nonblocking(false).map_err(text("set_nonblocking"))?;
            let _client = StdUnix::connect(folder.path().join("socket")).map_err(text("connect"))?;
            ours.accept().map_err(text("accept")).map(drop)
        },
        // What connects to a listener that is left behind fills its queue: it must not wait there.
        is_over: |folder| {
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)
                .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
                .map_err(text("socket"))?;
            let addr = socket2::SockAddr::unix(folder.path().join("socket")).map_err(text("address"))?;
            match socket.connect(&addr) {
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
                outcome => Err(format!("somebody still listens: {outcome:?}")),
            }
        },
    }
    .made()
    .await
}

pub async fn unix_datagram(how: How) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let std = StdDatagram::bind(folder.path().join("socket")).unwrap();
    std.set_nonblocking(true).unwrap();
    let before = before(how, || std.try_clone().unwrap());
    let it = UnixDatagram::from_std(std).unwrap();
    start_waiting(it.recv(&mut [0])).await;
    Making {
        how,
        it,
        before,
        peer: folder,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_std().unwrap(),
        works: |ours: &StdDatagram, folder| {
            ours.set_nonblocking(false).map_err(text("set_nonblocking"))?;
            ours.set_read_timeout(Some(PATIENCE)).map_err(text("set_read_timeout"))?;
            let peer = StdDatagram::unbound().map_err(text("unbound"))?;
            peer.send_to(b"x", folder.path().join("socket")).map_err(text("send"))?;
            ours.recv(&mut [0]).map_err(text("recv")).map(drop)
        },
        is_over: |folder| {
            let peer = StdDatagram::unbound().map_err(text("unbound"))?;
            peer.set_nonblocking(true).map_err(text("set_nonblocking"))?;
            match peer.send_to(b"x", folder.path().join("socket")) {
                Err(e) if e.kind() == ErrorKind::ConnectionRefused => Ok(()),
                outcome => Err(format!("somebody still receives: {outcome:?}")),
            }
        },
    }
    .made()
    .await
}

/// Both ends are non-blocking.
fn pipe() -> (File, File) {
    let mut pipe = [0; 2];
    // SAFETY: room for two descriptors, which nobody else has then.
    unsafe {
        assert_eq!(libc::pipe2(pipe.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK), 0);
        (File::from_raw_fd(pipe[0]), File::from_raw_fd(pipe[1]))
    }
}

pub async fn pipe_sender(how: How) -> Made {
    let (peer, std) = pipe();
    let before = before(how, || std.try_clone().unwrap());
    let it = pipe::Sender::from_owned_fd(std.into()).unwrap();
    // Only when it is full there is something to wait for.
    let fill = async {
        while it.writable().await.is_ok() {
            while it.try_write(&[0; 4096]).is_ok() {}
        }
    };
    assert!(tokio::time::timeout(Duration::from_millis(5), fill).await.is_err());
    Making {
        how,
        it,
        before,
        peer,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_blocking_fd().unwrap().into(),
        works: |mut ours: &File, mut peer: &File| {
            while peer.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {}
            ours.write_all(b"x").map_err(text("write"))?;
            peer.read_exact(&mut [0]).map_err(text("the peer reads"))
        },
        is_over: |mut peer| loop {
            match peer.read(&mut [0; 4096]) {
                Ok(n) if n > 0 => (),
                outcome => return ended(outcome),
            }
        },
    }
    .made()
    .await
}

pub async fn pipe_receiver(how: How) -> Made {
    let (std, peer) = pipe();
    let before = before(how, || std.try_clone().unwrap());
    let it = pipe::Receiver::from_owned_fd(std.into()).unwrap();
    start_waiting(it.readable()).await;
    Making {
        how,
        it,
        before,
        peer,
        duplicate: |it| it.as_fd().try_clone_to_owned().unwrap().into(),
        take_out: |it| it.into_blocking_fd().unwrap().into(),
        works: |mut ours: &File, mut peer: &File| {
            peer.write_all(b"x").map_err(text("the peer writes"))?;
            ours.read_exact(&mut [0]).map_err(text("read"))
        },
        is_over: |mut peer| match peer.write(b"x") {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
            outcome => Err(format!("somebody still reads: {outcome:?}")),
        },
    }
    .made()
    .await
}
