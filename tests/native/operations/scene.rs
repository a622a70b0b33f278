//! Everything that an operation may be done to, and the other ends of it.

use std::fs::File as StdFile;
use std::io::{Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream, UdpSocket as StdUdp};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::{
    UnixDatagram as StdDatagram, UnixListener as StdUnixListener, UnixStream as StdUnix,
};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use super::super::common::spawn;
use socket2::SockRef;
use tokio::fs::File;
use tokio::io::unix::AsyncFd;
use tokio::native::{BufPool, FixedBuf, FixedBufPool};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram};

use crate::cancel::Counted;
use crate::unacked;

/// What a file has in it.
pub const CONTENTS: &[u8] = &[b'x'; 200];

pub struct Scene {
    /// Buffers that are alive.
    pub alive: Arc<AtomicUsize>,
    pub pool: BufPool,
    fixed: FixedBufPool,
    pub tcp: TcpStream,
    tcp_peer: StdStream,
    pub udp: UdpSocket,
    pub udp_peer: StdUdp,
    pub datagrams: UnixDatagram,
    pub datagrams_peer: StdDatagram,
    pub listener: TcpListener,
    pub clients: Mutex<Vec<StdStream>>,
    pub accepts: StdListener,
    _unix_accepts: StdUnixListener,
    pub rx: pipe::Receiver,
    rx_peer: StdFile,
    pub tx: pipe::Sender,
    tx_peer: StdFile,
    pub fd: AsyncFd<StdUnix>,
    fd_peer: StdUnix,
    pub blocking: StdUnix,
    blocking_peer: StdUnix,
    pub file: File,
    child: Mutex<Option<Child>>,
    pub dir: tempfile::TempDir,
}

/// The other end of a pipe.
fn other_end(fd: &impl AsRawFd, write: bool) -> StdFile {
    let mut options = StdFile::options();
    options.read(!write).write(write).custom_flags(libc::O_NONBLOCK);
    options.open(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap()
}

impl Scene {
    pub async fn new() -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let accepts = StdListener::bind("127.0.0.1:0").unwrap();
        let tcp = StdStream::connect(accepts.local_addr().unwrap()).unwrap();
        let (tcp_peer, _) = accepts.accept().unwrap();
        let (udp, udp_peer) = (StdUdp::bind("127.0.0.1:0").unwrap(), StdUdp::bind("127.0.0.1:0").unwrap());
        udp_peer.connect(udp.local_addr().unwrap()).unwrap();
        udp.connect(udp_peer.local_addr().unwrap()).unwrap();
        let datagrams_peer = StdDatagram::bind(dir.path().join("datagrams")).unwrap();
        let datagrams = StdDatagram::bind(dir.path().join("others")).unwrap();
        datagrams.connect(dir.path().join("datagrams")).unwrap();
        datagrams_peer.connect(dir.path().join("others")).unwrap();
        let (fd, fd_peer) = StdUnix::pair().unwrap();
        let (blocking, blocking_peer) = StdUnix::pair().unwrap();
        // What is full is full soon.
        for socket in [SockRef::from(&tcp), SockRef::from(&fd)] {
            socket.set_send_buffer_size(4096).unwrap();
            socket.set_nonblocking(true).unwrap();
        }
        for socket in [
            SockRef::from(&tcp_peer),
            SockRef::from(&udp),
            SockRef::from(&udp_peer),
            SockRef::from(&datagrams),
            SockRef::from(&datagrams_peer),
            SockRef::from(&fd_peer),
            SockRef::from(&blocking_peer),
        ] {
            socket.set_nonblocking(true).unwrap();
        }
        let (rx_peer, rx) = pipe::pipe().unwrap();
        let (tx, tx_peer) = pipe::pipe().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, CONTENTS).unwrap();
        let file = File::options().read(true).write(true).open(path).await.unwrap();
        Scene {
            alive: Arc::default(),
            pool: BufPool::new(4, 512),
            fixed: FixedBufPool::new(2, 64),
            tcp: TcpStream::from_std(tcp).unwrap(),
            tcp_peer,
            udp: UdpSocket::from_std(udp).unwrap(),
            udp_peer,
            datagrams: UnixDatagram::from_std(datagrams).unwrap(),
            datagrams_peer,
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            clients: Mutex::default(),
            accepts,
            _unix_accepts: StdUnixListener::bind(dir.path().join("socket")).unwrap(),
            rx_peer: other_end(&rx_peer, true),
            rx,
            tx_peer: other_end(&tx_peer, false),
            tx,
            // SAFETY: the socket owns its descriptor.
            fd: unsafe { AsyncFd::register(fd) }.unwrap(),
            fd_peer,
            blocking,
            blocking_peer,
            file,
            child: Mutex::default(),
            dir,
        }
    }

    /// A buffer of 64 bytes.
    pub fn buf(&self) -> Counted {
        Counted::new(&self.alive)
    }

    /// A registered buffer, likewise.
    pub fn fixed(&self) -> FixedBuf {
        let mut buf = self.fixed.try_next().unwrap();
        buf.set_len(64);
        buf
    }

    /// How many buffers of these kinds there are.
    pub fn alive(&self) -> usize {
        let at_hand: Vec<_> = std::iter::from_fn(|| self.fixed.try_next()).collect();
        self.alive.load(SeqCst) + self.fixed.count() - at_hand.len()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn nothing(&self) {}

    // ===== what they wait for =====

    pub fn write_tcp(&self) {
        let _ = (&self.tcp_peer).write(&[1; 64]);
    }

    pub fn send_datagrams(&self) {
        let _ = self.udp_peer.send(&[1; 64]);
        let _ = self.datagrams_peer.send(&[1; 64]);
    }

    pub fn take_datagrams(&self) {
        while self.udp_peer.recv(&mut [0; 64]).is_ok() || self.datagrams_peer.recv(&mut [0; 64]).is_ok() {}
    }

    /// Not without an end: where the listener's queue is full, `connect` waits.
    pub fn connect(&self) {
        const ENOUGH: usize = 100;

        let mut clients = self.clients.lock().unwrap();
        if clients.len() < ENOUGH {
            clients.push(StdStream::connect(self.listener.local_addr().unwrap()).unwrap());
        }
    }

    pub fn write_pipe(&self) {
        let _ = (&self.rx_peer).write(&[1; 64]);
    }

    pub fn write_fd(&self) {
        let _ = (&self.fd_peer).write(&[1; 64]);
    }

    pub fn write_blocking(&self) {
        let _ = (&self.blocking_peer).write(&[1; 64]);
    }

    pub fn read_tcp(&self) {
        while let Ok(1..) = (&self.tcp_peer).read(&mut [0; 4096]) {}
    }

    pub fn read_pipe(&self) {
        while let Ok(1..) = (&self.tx_peer).read(&mut [0; 4096]) {}
    }

    pub fn read_fd(&self) {
        while let Ok(1..) = (&self.fd_peer).read(&mut [0; 4096]) {}
    }

    pub fn end_child(&self) {
        if let Some(child) = &mut *self.child.lock().unwrap() {
            let _ = child.kill();
        }
    }

    // ===== what there is before =====

    pub fn fill_tcp(&self) {
        let tcp = SockRef::from(&self.tcp);
        // What was sent makes room again once the peer has it. Nothing more fits when all that has gone
        // out has arrived, and none is taken after that.
        let mut quiet = 0;
        while quiet < 3 {
            let has_arrived = unacked(&self.tcp) == 0;
            let mut sent = 0;
            while let Ok(n) = tcp.send(&[1; 4096]) {
                sent += n;
            }
            quiet = if has_arrived && sent == 0 { quiet + 1 } else { 0 };
            std::thread::sleep(std::time::Duration::from_micros(300));
        }
    }

    pub fn fill_pipe(&self) {
        let file = other_end(&self.tx, true);
        while (&file).write(&[1; 4096]).is_ok() {}
    }

    pub fn fill_fd(&self) {
        while self.fd.get_ref().write(&[1; 4096]).is_ok() {}
    }

    pub fn start_child(&self) {
        self.end_child();
        let child = spawn(Command::new("sleep").arg("100"));
        if let Some(mut old) = self.child.lock().unwrap().replace(child) {
            let _ = old.wait();
        }
    }

    pub fn child(&self) -> u32 {
        self.child.lock().unwrap().as_ref().unwrap().id()
    }

    /// Names for the operations on names: `a` is a file, `b` is not there, `full` is a directory,
    /// `new` is not there.
    pub fn name_files(&self) {
        std::fs::write(self.path("a"), "a").unwrap();
        let _ = std::fs::remove_file(self.path("b"));
        let _ = std::fs::create_dir(self.path("full"));
        let _ = std::fs::remove_dir(self.path("new"));
    }

    /// A rename has happened or not.
    pub fn is_renamed_or_not(&self) {
        let there = ["a", "b"].map(|name| self.path(name).exists());
        assert!(there[0] != there[1], "neither here nor there: {there:?}");
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.end_child();
        if let Some(mut child) = self.child.lock().unwrap().take() {
            let _ = child.wait();
        }
    }
}
