//! What is at the edge: the answers of this crate, beside those of the published Tokio.
//!
//! A scene notes what it is told; the notes of both must be the same. Where a note would depend on the
//! moment, the scene waits until it does not.

mod common;

use std::fmt::Debug;
use std::io::{IoSlice, Read, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use common::*;

/// Long enough for what would happen by mistake.
const MOMENT: Duration = Duration::from_millis(50);

const NOWHERE: &[SocketAddr] = &[];

/// The notes of a scene.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn note(&mut self, what: &str, told: impl Debug) {
        self.0.push(format!("{what}: {told:?}"));
    }

    /// Errors by kind and number: what they say comes from the system.
    fn outcome<T: Debug>(&mut self, what: &str, outcome: std::io::Result<T>) {
        self.note(
            what,
            outcome
                .map_err(|e| (e.kind(), e.raw_os_error(), e.raw_os_error().is_none().then(|| e.to_string()))),
        );
    }
}

/// Runs `$scene!(tokio, notes)` on both, on either flavour, and compares the notes.
macro_rules! compare {
    ($scene:ident) => {{
        let _alone = alone();
        macro_rules! run {
            ($tokio:ident, $flavor:ident) => {{
                let rt = $tokio::runtime::Builder::$flavor().enable_all().build().unwrap();
                rt.block_on(async {
                    let mut notes = Notes::default();
                    $scene!($tokio, notes);
                    notes.0
                })
            }};
        }
        let theirs = run!(upstream, new_current_thread);
        assert_eq!(run!(tokio, new_current_thread), theirs);
        assert_eq!(run!(tokio, new_multi_thread), theirs);
    }};
}

/// How it ends.
macro_rules! ends {
    ($tokio:ident, $notes:ident, $what:expr, $future:expr) => {
        match $tokio::time::timeout(LONG, $future).await {
            Ok(outcome) => $notes.outcome($what, outcome),
            Err(_) => panic!("{} does not end", $what),
        }
    };
}

/// It does not end.
macro_rules! goes_on {
    ($tokio:ident, $notes:ident, $what:expr, $future:expr) => {
        match $tokio::time::timeout(MOMENT, $future).await {
            Ok(outcome) => $notes.outcome($what, outcome),
            Err(_) => $notes.note($what, "goes on"),
        }
    };
}

macro_rules! connected {
    ($tokio:ident) => {{
        let listener = std::net::TcpListener::bind(own_address()).unwrap();
        let ours = $tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (ours, listener.accept().unwrap().0)
    }};
}

#[test]
fn a_stream_to_its_end() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
            let (mut ours, mut theirs) = connected!($tokio);
            ends!($tokio, $notes, "writable", ours.writable());
            goes_on!($tokio, $notes, "readable", ours.readable());
            goes_on!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            $notes.outcome("try_read", ours.try_read(&mut [0; 4]));
            $notes.outcome("try_read of nothing", ours.try_read(&mut []));
            goes_on!($tokio, $notes, "peek", ours.peek(&mut [0; 4]));
            goes_on!($tokio, $notes, "priority", ours.ready(Interest::PRIORITY));
            goes_on!($tokio, $notes, "error", ours.ready(Interest::ERROR));
            theirs.write_all(b"abcdef").unwrap();
            ends!($tokio, $notes, "peek", ours.peek(&mut [0; 4]));
            ends!($tokio, $notes, "read of nothing", ours.read(&mut []));
            ends!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            ends!($tokio, $notes, "ready", ours.ready(Interest::READABLE | Interest::WRITABLE));
            theirs.shutdown(std::net::Shutdown::Write).unwrap();
            ends!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            ends!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            ends!($tokio, $notes, "ready", ours.ready(Interest::READABLE));
            ends!($tokio, $notes, "priority", ours.ready(Interest::PRIORITY));
            $notes.outcome("try_read", ours.try_read(&mut [0; 4]));
            ends!($tokio, $notes, "write of nothing", ours.write(b""));
            ends!($tokio, $notes, "write", ours.write(b"x"));
            ends!($tokio, $notes, "shutdown", ours.shutdown());
            ends!($tokio, $notes, "shutdown", ours.shutdown());
            ends!($tokio, $notes, "write", ours.write(b"x"));
            $notes.outcome("try_write", ours.try_write(b"x"));
            let std = ours.into_std().unwrap();
            $notes.outcome("non-blocking", socket2::SockRef::from(&std).nonblocking());
        }};
    }
    compare!(scene);
}

#[test]
fn a_connection_that_is_reset() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
            let (mut ours, theirs) = connected!($tokio);
            goes_on!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            socket2::SockRef::from(&theirs).set_linger(Some(Duration::ZERO)).unwrap();
            drop(theirs);
            $tokio::time::sleep(MOMENT).await;
            ends!(
                $tokio,
                $notes,
                "ready",
                ours.ready(Interest::READABLE | Interest::WRITABLE | Interest::ERROR)
            );
            ends!($tokio, $notes, "error", ours.ready(Interest::ERROR));
            $notes.outcome("peer", ours.peer_addr().map(drop));
            ends!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            ends!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            ends!($tokio, $notes, "write", ours.write(b"x"));
            ends!($tokio, $notes, "shutdown", ours.shutdown());
            $notes.outcome("take_error", ours.take_error().map(|e| e.map(|e| e.kind())));
            let listener = std::net::TcpListener::bind(own_address()).unwrap();
            let nobody = listener.local_addr().unwrap();
            drop(listener);
            ends!($tokio, $notes, "refused", $tokio::net::TcpStream::connect(nobody));
            ends!($tokio, $notes, "no address", $tokio::net::TcpStream::connect(NOWHERE));
            ends!($tokio, $notes, "no such address", $tokio::net::TcpListener::bind("203.0.113.7:0"));
        }};
    }
    compare!(scene);
}

#[test]
fn halves() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{AsyncReadExt, AsyncWriteExt};
            let (ours, mut theirs) = connected!($tokio);
            let (other, _their_other) = connected!($tokio);
            let (mut read, mut write) = ours.into_split();
            let (other_read, _other_write) = other.into_split();
            let error = other_read.reunite(write).unwrap_err();
            $notes.note("reunite", error.to_string());
            write = error.1;
            ends!($tokio, $notes, "shutdown", write.shutdown());
            ends!($tokio, $notes, "write", write.write(b"x"));
            theirs.set_read_timeout(Some(LONG)).unwrap();
            $notes.outcome("peer", theirs.read(&mut [0]));
            theirs.write_all(b"still").unwrap();
            ends!($tokio, $notes, "read", read.read(&mut [0; 8]));
            let mut ours = read.reunite(write).unwrap();
            theirs.write_all(b"again").unwrap();
            ends!($tokio, $notes, "read", ours.read(&mut [0; 8]));
            let (read, write) = ours.into_split();
            write.forget();
            drop(read);
            $notes.outcome("peer", theirs.read(&mut [0]));
        }};
    }
    compare!(scene);
}

#[test]
fn datagrams() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::net::UdpSocket;
            let ours = UdpSocket::bind(own_address()).await.unwrap();
            let theirs = std::net::UdpSocket::bind(own_address()).unwrap();
            let (us, them) = (ours.local_addr().unwrap(), theirs.local_addr().unwrap());
            $notes.outcome("peer", ours.peer_addr().map(drop));
            ends!($tokio, $notes, "send to nobody", ours.send(b"x"));
            ends!($tokio, $notes, "send too much", ours.send_to(&[0; 70_000], them));
            goes_on!($tokio, $notes, "recv", ours.recv(&mut [0; 4]));
            $notes.outcome("try_recv", ours.try_recv(&mut [0; 4]));
            theirs.send_to(b"", us).unwrap();
            ends!($tokio, $notes, "readable", ours.readable());
            ends!($tokio, $notes, "peek of nothing", ours.peek(&mut [0; 4]));
            ends!($tokio, $notes, "recv of nothing", ours.recv(&mut [0; 4]));
            theirs.send_to(b"truncated", us).unwrap();
            theirs.send_to(b"next", us).unwrap();
            ends!($tokio, $notes, "peek", ours.peek(&mut [0; 4]));
            let mut buf = [0; 4];
            ends!($tokio, $notes, "recv", ours.recv(&mut buf));
            ends!($tokio, $notes, "recv into nothing", ours.recv(&mut []));
            $notes.note("buf", buf);
            goes_on!($tokio, $notes, "recv", ours.recv(&mut buf));
            let mut all = Vec::with_capacity(3);
            theirs.send_to(b"four", us).unwrap();
            ends!($tokio, $notes, "recv_buf", ours.recv_buf(&mut all));
            ends!($tokio, $notes, "connect", ours.connect(them));
            theirs.send_to(b"connected", us).unwrap();
            ends!($tokio, $notes, "recv", ours.recv(&mut buf));
            drop(theirs);
            // Nobody is there: that is told with the next call, once.
            ends!($tokio, $notes, "send", ours.send(b"x"));
            ends!($tokio, $notes, "recv", ours.recv(&mut buf));
            goes_on!($tokio, $notes, "recv", ours.recv(&mut buf));
            ends!($tokio, $notes, "send", ours.send(b"x"));
            $tokio::time::sleep(MOMENT).await;
            ends!($tokio, $notes, "send", ours.send(b"x"));
            ends!($tokio, $notes, "send_to nobody", ours.send_to(b"x", NOWHERE));
        }};
    }
    compare!(scene);
}

#[test]
fn unix_sockets() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
            use $tokio::net::{UnixDatagram, UnixListener, UnixSocket, UnixStream};
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("socket");
            ends!($tokio, $notes, "nothing there", UnixStream::connect(&path));
            ends!($tokio, $notes, "a NUL", UnixStream::connect("a\0b"));
            ends!($tokio, $notes, "a long path", UnixStream::connect("x".repeat(200)));
            let listener = UnixListener::bind(&path).unwrap();
            $notes.outcome("twice", UnixListener::bind(&path));
            let mut ours = UnixStream::connect(&path).await.unwrap();
            let (theirs, address) = listener.accept().await.unwrap();
            $notes.note("unnamed", address.is_unnamed());
            $notes.note(
                "addresses",
                (
                    ours.local_addr().unwrap().is_unnamed(),
                    theirs.local_addr().unwrap().as_pathname() == Some(&path),
                ),
            );
            let cred = theirs.peer_cred().unwrap();
            $notes.note("peer", (cred.pid(), cred.uid(), cred.gid()));
            goes_on!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            drop(theirs);
            $tokio::time::sleep(MOMENT).await;
            ends!($tokio, $notes, "ready", ours.ready(Interest::READABLE | Interest::WRITABLE));
            ends!($tokio, $notes, "read", ours.read(&mut [0; 4]));
            ends!($tokio, $notes, "write", ours.write(b"x"));
            ends!($tokio, $notes, "shutdown", ours.shutdown());
            drop(listener);
            ends!($tokio, $notes, "nobody there", UnixStream::connect(&path));

            let name = format!("\0spargio-same-answers-{}", std::process::id());
            let listener = UnixListener::bind(&name).unwrap();
            $notes.note(
                "name",
                listener.local_addr().unwrap().as_abstract_name().map(|n| n == &name.as_bytes()[1..]),
            );
            let ours = UnixStream::connect(&name).await.unwrap();
            $notes.note("peer", format!("{:?}", ours.peer_addr().unwrap()));
            drop((ours, listener));

            let (a, b) = UnixDatagram::pair().unwrap();
            ends!($tokio, $notes, "send", a.send(b"truncated"));
            ends!($tokio, $notes, "send of nothing", a.send(b""));
            ends!($tokio, $notes, "recv", b.recv(&mut [0; 4]));
            ends!($tokio, $notes, "recv", b.recv(&mut [0; 4]));
            goes_on!($tokio, $notes, "recv", b.recv(&mut [0; 4]));
            $notes.outcome("shutdown", a.shutdown(std::net::Shutdown::Both));
            goes_on!($tokio, $notes, "recv", b.recv(&mut [0; 4]));
            ends!($tokio, $notes, "send", b.send(b"x"));
            drop(a);
            goes_on!($tokio, $notes, "recv", b.recv(&mut [0; 4]));
            ends!($tokio, $notes, "send", b.send(b"x"));
            ends!($tokio, $notes, "send_to", b.send_to(b"x", folder.path().join("nobody")));
            $notes.outcome("a stream as datagram", UnixSocket::new_stream().unwrap().datagram());
            $notes.outcome("a datagram as listener", UnixSocket::new_datagram().unwrap().listen(1));
            ends!($tokio, $notes, "a datagram as stream", UnixSocket::new_datagram().unwrap().connect(&path));
        }};
    }
    compare!(scene);
}

/// Messages of a packet socket, read as a stream.
#[test]
fn packets() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{AsyncReadExt, AsyncWriteExt};
            let kind = socket2::Type::SEQPACKET.nonblocking();
            let (ours, theirs) = socket2::Socket::pair(socket2::Domain::UNIX, kind, None).unwrap();
            let ours = std::os::unix::net::UnixStream::from(OwnedFd::from(ours));
            let mut ours = $tokio::net::UnixStream::from_std(ours).unwrap();
            theirs.send(b"first").unwrap();
            let mut buf = [0; 3];
            ends!($tokio, $notes, "read", ours.read(&mut buf));
            $notes.note("buf", buf);
            goes_on!($tokio, $notes, "read", ours.read(&mut buf));
            theirs.send(b"ok").unwrap();
            ends!($tokio, $notes, "read", ours.read(&mut buf));
            ends!($tokio, $notes, "write", ours.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]));
            drop(theirs);
            ends!($tokio, $notes, "read", ours.read(&mut buf));
        }};
    }
    compare!(scene);
}

#[test]
fn foreign_descriptors() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{Interest, Ready, unix::AsyncFd};
            let (ours, theirs) = connected!($tokio);
            let fd = {
                #[allow(deprecated)]
                AsyncFd::with_interest(ours.into_std().unwrap(), Interest::PRIORITY | Interest::READABLE)
                    .unwrap()
            };
            goes_on!($tokio, $notes, "priority", async {
                fd.ready(Interest::PRIORITY).await.map(|guard| guard.ready())
            });
            socket2::SockRef::from(&theirs).send_out_of_band(b"!").unwrap();
            let mut guard = fd.ready(Interest::PRIORITY).await.unwrap();
            $notes.note("urgent", guard.ready());
            guard.clear_ready_matching(Ready::PRIORITY);
            $notes.note("cleared", guard.ready());
            goes_on!($tokio, $notes, "priority", async {
                fd.ready(Interest::PRIORITY).await.map(|guard| guard.ready())
            });
            let mut guard = fd.ready(Interest::READABLE | Interest::PRIORITY).await.unwrap();
            $notes.note("readable", guard.ready());
            let told = guard.try_io(|fd| fd.get_ref().read(&mut [0; 4]));
            $notes.note("try_io", told.map(|r| r.map_err(|e| e.kind())));
            $notes.note("cleared", guard.ready());
            $notes.outcome("try_io", fd.try_io(Interest::WRITABLE, |_| Ok(())));
            #[allow(deprecated)]
            let again = AsyncFd::new(fd.get_ref().as_raw_fd());
            $notes.outcome("twice", again.map(drop));
            drop(theirs);
            ends!($tokio, $notes, "closed", async {
                fd.ready(Interest::READABLE).await.map(|guard| guard.ready())
            });
            let file = std::fs::File::open("/dev/null").unwrap();
            #[allow(deprecated)]
            let refused = AsyncFd::new(file);
            $notes.outcome("a file", refused.map(drop));
        }};
    }
    compare!(scene);
}

#[test]
fn files() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::fs::{self, File, OpenOptions};
            use $tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("file");
            $notes.outcome("open", File::open(&path).await.map(drop));
            $notes.outcome("a folder", fs::read(folder.path()).await);
            $notes.outcome("a NUL", File::open("a\0b").await.map(drop));
            $notes.outcome("no options", OpenOptions::new().open(&path).await.map(drop));
            $notes.outcome(
                "contradiction",
                OpenOptions::new().append(true).truncate(true).open(&path).await.map(drop),
            );
            let mut file = File::create_new(&path).await.unwrap();
            $notes.outcome("twice", File::create_new(&path).await.map(drop));
            $notes.outcome("write", file.write(b"0123456789").await);
            $notes.outcome("write of nothing", file.write(b"").await);
            $notes.outcome("position", file.stream_position().await);
            $notes.outcome("before the beginning", file.seek(SeekFrom::Current(-11)).await);
            $notes.outcome("seek", file.seek(SeekFrom::End(-8)).await);
            let mut buf = [0; 3];
            $notes.outcome("read", file.read(&mut buf).await);
            $notes.note("buf", buf);
            $notes.outcome("write", file.write(b"ABC").await);
            $notes.outcome("set_len", file.set_len(9).await);
            $notes.outcome("position", file.stream_position().await);
            $notes.outcome("read", file.read(&mut buf).await);
            let mut other = file.try_clone().await.unwrap();
            $notes.outcome("rewind", other.rewind().await);
            let mut all = String::new();
            $notes.outcome("all", file.read_to_string(&mut all).await);
            $notes.note("all", all);
            $notes.outcome("shrink", file.set_len(2).await);
            $notes.outcome("read at the end", file.read(&mut buf).await);
            $notes.outcome("write behind the end", file.write(b"z").await);
            $notes.outcome("flush", file.flush().await);
            drop(other);
            $notes.outcome("all", fs::read(&path).await);
            let mut file = File::open(&path).await.unwrap();
            $notes.outcome("write", file.write(b"x").await);
            $notes.outcome("flush", file.flush().await);
            $notes.outcome("flush", file.flush().await);
            $notes.outcome("write", file.write(b"x").await);
            $notes.outcome("sync", file.sync_all().await);
            $notes.outcome("read", file.read(&mut buf).await);
            $notes.outcome("write", file.write(b"x").await);
            $notes.outcome("write", file.write(b"x").await);
            $notes.outcome("set_len", file.set_len(1).await);
            let mut std = file.into_std().await;
            $notes.outcome("cursor", std::io::Seek::stream_position(&mut std));
            $notes.outcome("no folder", fs::create_dir(folder.path().join("a/b")).await);
            $notes.outcome("not empty", fs::remove_dir(folder.path()).await);
            $notes.outcome("a file as folder", fs::read_dir(&path).await.map(drop));
            $notes.outcome("a file is no folder", fs::create_dir_all(path.join("x")).await);
            $notes.outcome("exists", fs::try_exists(path.join("x")).await);
            $notes.outcome("copy", fs::copy(folder.path().join("none"), &path).await);
            $notes.outcome("rename", fs::rename(folder.path().join("none"), &path).await);
            $notes.outcome(
                "not text",
                async {
                    fs::write(&path, [0xff]).await?;
                    fs::read_to_string(&path).await
                }
                .await,
            );
        }};
    }
    compare!(scene);
}

#[test]
fn children() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use std::process::Stdio;
            use $tokio::io::{AsyncReadExt, AsyncWriteExt};
            use $tokio::process::Command;
            $notes.outcome("none", Command::new("/no/such/program").spawn().map(drop));
            let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            $notes.outcome("try_wait", child.try_wait());
            let mut stdin = child.stdin.take().unwrap();
            $notes.outcome("write", stdin.write(b"meow").await);
            let mut stdout = child.stdout.take().unwrap();
            $notes.outcome("read", stdout.read(&mut [0; 8]).await);
            goes_on!($tokio, $notes, "read", stdout.read(&mut [0; 8]));
            goes_on!($tokio, $notes, "wait", child.wait());
            $notes.outcome("kill", child.start_kill());
            $notes.outcome("wait", child.wait().await);
            $notes.note("id", child.id());
            $notes.outcome("wait", child.wait().await);
            $notes.outcome("kill", child.kill().await);
            $notes.outcome("try_wait", child.try_wait());
            $notes.outcome("write", stdin.write(b"meow").await);
            $notes.outcome("read", stdout.read(&mut [0; 8]).await);
            // `wait` closes the input that is still there.
            let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            $notes.outcome("wait", child.wait().await);
            $notes.note("stdin", child.stdin.is_some());
            let output = Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]).output().await;
            $notes.outcome("output", output);
            let mut child = Command::new("sh").args(["-c", "kill -9 $$"]).spawn().unwrap();
            $notes.outcome("signalled", child.wait().await);
        }};
    }
    compare!(scene);
}

#[test]
fn signals() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::signal::unix::{SignalKind, signal};
            for number in [-1, 0, 4, 9, 11, 19, 65, 1000, i32::MAX] {
                $notes.outcome("signal", signal(SignalKind::from_raw(number)).map(drop));
            }
        }};
    }
    compare!(scene);
}

#[test]
fn pipes() {
    macro_rules! scene {
        ($tokio:ident, $notes:ident) => {{
            use $tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
            use $tokio::net::unix::pipe;
            let (mut tx, mut rx) = pipe::pipe().unwrap();
            goes_on!($tokio, $notes, "read", rx.read(&mut [0; 4]));
            goes_on!($tokio, $notes, "read of nothing", rx.read(&mut []));
            $notes.outcome("try_read", rx.try_read(&mut [0; 4]));
            ends!($tokio, $notes, "write", tx.write(b"abc"));
            ends!($tokio, $notes, "ready", rx.ready(Interest::READABLE));
            ends!($tokio, $notes, "read", rx.read(&mut [0; 4]));
            drop(tx);
            ends!($tokio, $notes, "read", rx.read(&mut [0; 4]));
            ends!($tokio, $notes, "ready", rx.ready(Interest::READABLE));
            let (mut tx, rx) = pipe::pipe().unwrap();
            ends!($tokio, $notes, "fill", tx.write(&[0; 1 << 20]));
            goes_on!($tokio, $notes, "write", tx.write(b"x"));
            drop(rx);
            ends!($tokio, $notes, "ready", tx.ready(Interest::WRITABLE));
            ends!($tokio, $notes, "write", tx.write(b"x"));
            $notes.outcome("try_write", tx.try_write(b"x"));
            let file = tempfile::tempfile().unwrap();
            $notes.outcome("a file", pipe::Receiver::from_file(file).map(drop));
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("fifo");
            assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
            $notes.outcome("no reader", pipe::OpenOptions::new().open_sender(&path).map(drop));
            let rx = pipe::OpenOptions::new().open_receiver(&path).unwrap();
            $notes.outcome("try_read", rx.try_read(&mut [0; 4]));
            $notes.outcome("sender", pipe::OpenOptions::new().open_sender(&path).map(drop));
            ends!($tokio, $notes, "ready", rx.ready(Interest::READABLE));
            $notes.outcome("try_read", rx.try_read(&mut [0; 4]));
        }};
    }
    compare!(scene);
}
