//! Events mean what epoll means: what `AsyncFd` tells of every kind of descriptor, with every interest, beside
//! the published Tokio, line by line.
//!
//! Descriptors of a kind are registered, one with each of the fifteen interests there are, and go through the
//! same steps. At each of them there are fifteen who wait, one for each interest: noted is who is woken and what
//! it is told, and then what whoever asks anew is told. `r w p e R W` are readable, writable, priority, error,
//! reading closed and writing closed; a `?` behind is one who would be told something but was not woken.

mod common;
#[path = "same_events/flag.rs"]
mod flag;
#[path = "same_events/kinds.rs"]
mod kinds;
#[path = "same_events/scene.rs"]
mod scene;

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use common::*;
use scene::Kind;

// Tokio and this crate, under one name.
mod on_tokio {
    use upstream as tokio;

    include!("same_events/play.rs");
}

mod on_spargio {
    use ::tokio;

    include!("same_events/play.rs");
}

/// Plays a kind on both, and compares the notes. `flavours`: on how many of the two.
fn compare(test: &str, flavours: usize, kind: impl FnOnce() -> Option<Kind>) {
    on_each_backend(test, || {
        let Some(kind) = kind() else { return };
        let mut wrong = Vec::new();
        for is_multi in [false, true].into_iter().take(flavours) {
            let theirs = on_tokio::play(&kind, is_multi);
            let ours = on_spargio::play(&kind, is_multi);
            assert_eq!(theirs.len(), ours.len());
            for (theirs, ours) in theirs.iter().zip(&ours) {
                if theirs != ours {
                    let flavour = if is_multi { "multi_thread" } else { "current_thread" };
                    wrong.push(format!("{flavour}\n  Tokio   {theirs}\n  spargio {ours}"));
                }
            }
            println!("{} lines", theirs.len());
        }
        assert!(wrong.is_empty(), "{} lines differ:\n{}", wrong.len(), wrong.join("\n"));
    });
}

macro_rules! kinds {
    ($($name:ident $(($flavours:literal))?;)*) => {$(
        #[test]
        fn $name() {
            compare(stringify!($name), 2 $(.min($flavours))?, || kinds::$name().into());
        }
    )*};
}

kinds! {
    // Those that make room by and by: a worker may see it, or not.
    tcp_to_its_end(1);
    tcp_reset(1);
    pty_master(1);
    pty_slave(1);
    tcp_refused;
    tcp_listener;
    unix_stream;
    unix_stream_closed_over_data;
    unix_datagram;
    unix_seqpacket;
    udp;
    pipe_reader;
    pipe_writer;
    // To read it makes room: a worker may see that before the reader says that there is no more, or after it.
    eventfd(1);
    timerfd;
    // Whose pending signals count is a matter of the thread that asks.
    signalfd(1);
    inotify;
    // The kernel goes on with its answer while it is read: a worker may see that, or not.
    netlink(1);
    pidfd;
    mounts(1);
    pressure;
    epoll;
    io_uring;
}

// ===== what cannot be registered =====

/// A descriptor that belongs to somebody else.
struct Number(RawFd);

impl AsRawFd for Number {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

fn closed() -> Number {
    // A number that nobody gets meanwhile.
    let fd = File::open("/dev/null").unwrap();
    // SAFETY: an integer.
    Number(scene::check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 900) })).close()
}

impl Number {
    fn close(self) -> Number {
        // SAFETY: nobody else has it.
        drop(unsafe { OwnedFd::from_raw_fd(self.0) });
        self
    }
}

#[test]
fn what_cannot_be_registered() {
    on_each_backend("what_cannot_be_registered", || {
        macro_rules! same {
            ($what:literal, $first:expr, $second:expr) => {
                assert_eq!(on_spargio::both($first, $second), on_tokio::both($first, $second), $what);
            };
        }
        let file = || tempfile::tempfile().unwrap();
        let (socket, other) = UnixStream::pair().unwrap();
        socket.set_nonblocking(true).unwrap();
        let number = || Number(socket.as_raw_fd());
        same!("files", file(), File::open("/").unwrap());
        same!("files", File::open("/dev/null").unwrap(), File::open("/proc/self/stat").unwrap());
        same!("numbers", Number(-1), closed());
        same!("twice", number(), number());
        same!("a duplicate", number(), socket.try_clone().unwrap());
        same!("one of each", number(), file());
        drop(other);
        same!("with its peer gone", number(), number());
    });
}

/// A descriptor that a stream or an `AsyncFd` has cannot be registered, until that is gone.
#[test]
fn a_descriptor_that_is_registered_already() {
    macro_rules! scene {
        ($tokio:ident, $flavor:ident) => {{
            use $tokio::io::unix::AsyncFd;
            let rt = $tokio::runtime::Builder::$flavor().worker_threads(2).enable_all().build().unwrap();
            rt.block_on(async {
                let mut notes = Vec::new();
                macro_rules! register {
                    ($what:literal, $fd:expr) => {{
                        // SAFETY: the descriptor is open meanwhile.
                        let fd = unsafe { AsyncFd::register(Number($fd)) }.map_err(std::io::Error::from);
                        notes.push((
                            $what,
                            fd.as_ref().err().map(|e| (e.kind(), e.raw_os_error(), e.to_string())),
                        ));
                        drop(fd);
                    }};
                }
                let listener = TcpListener::bind(own_address()).unwrap();
                let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
                stream.set_nonblocking(true).unwrap();
                listener.set_nonblocking(true).unwrap();
                let stream = $tokio::net::TcpStream::from_std(stream).unwrap();
                let fd = stream.as_raw_fd();
                register!("beside a fresh stream", fd);
                stream.writable().await.unwrap();
                register!("beside a stream that was written to", fd);
                let _ = $tokio::time::timeout(scene::MOMENT, stream.readable()).await;
                register!("beside a stream that is read from", fd);
                let stream = stream.into_std().unwrap();
                register!("after the stream", fd);
                let stream = $tokio::net::TcpStream::from_std(stream).unwrap();
                register!("beside it again", fd);
                let (read, write) = stream.into_split();
                register!("beside its halves", fd);
                drop((read, write));
                let listener = $tokio::net::TcpListener::from_std(listener).unwrap();
                register!("beside a listener", listener.as_raw_fd());
                let udp = $tokio::net::UdpSocket::bind(own_address()).await.unwrap();
                register!("beside a UDP socket", udp.as_raw_fd());
                let (ours, theirs) = $tokio::net::UnixStream::pair().unwrap();
                register!("beside a Unix stream", ours.as_raw_fd());
                register!("beside its peer", theirs.as_raw_fd());
                let (sender, receiver) = $tokio::net::unix::pipe::pipe().unwrap();
                register!("beside a sender", sender.as_raw_fd());
                register!("beside a receiver", receiver.as_raw_fd());

                let (ours, _theirs) = UnixStream::pair().unwrap();
                ours.set_nonblocking(true).unwrap();
                let fd = ours.into_raw_fd();
                // SAFETY: the descriptor is open meanwhile.
                let claimed = unsafe { AsyncFd::register(Number(fd)) }.unwrap();
                register!("beside another", fd);
                let _ = $tokio::time::timeout(scene::MOMENT, claimed.readable()).await;
                register!("beside another that waits", fd);
                // SAFETY: nobody else has it.
                let owned = unsafe { std::os::unix::net::UnixStream::from_raw_fd(fd) };
                let again = $tokio::net::UnixStream::from_std(owned);
                notes.push((
                    "a stream beside it",
                    again.as_ref().err().map(|e| (e.kind(), e.raw_os_error(), e.to_string())),
                ));
                let Number(fd) = claimed.into_inner();
                register!("after another", fd);
                drop(again);
                notes
            })
        }};
    }
    on_each_backend("a_descriptor_that_is_registered_already", || {
        let theirs = scene!(upstream, new_current_thread);
        for ours in [scene!(tokio, new_current_thread), scene!(tokio, new_multi_thread)] {
            let wrong: Vec<_> = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs).collect();
            assert!(wrong.is_empty(), "ours, theirs: {wrong:#?}");
        }
    });
}
