//! The end of a poll is not an event: hazard H05.
//!
//! Rings let go of their polls when they change hands. What is waited for is no readier for that, nor
//! may it be tried in order to find out where a try would be taken for an answer.
//!
//! The scenes run on the published Tokio as well.

mod common;

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Write};
use std::net::TcpListener as StdListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::net::TcpStream;

use common::*;

/// Longer than a spurious event takes.
const MOMENT: Duration = Duration::from_millis(50);

/// `$scene!(tokio)` on this crate, and on the published Tokio.
macro_rules! on_both {
    ($scene:ident) => {{
        $scene!(tokio);
        $scene!(upstream);
    }};
}

struct Fifo {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

fn fifo() -> Fifo {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    Fifo { _folder: folder, path }
}

/// Somebody else opens the FIFO, after a moment, and writes to it.
fn write_later(fifo: &Fifo) -> thread::JoinHandle<()> {
    let path = fifo.path.clone();
    thread::spawn(move || {
        thread::sleep(MOMENT);
        std::fs::OpenOptions::new().write(true).open(path).unwrap().write_all(b"late").unwrap();
    })
}

/// A FIFO that no writer has opened yet reads as ended, if it is read.
#[test]
fn h05_a_fifo_has_not_ended_between_two_block_ons() {
    let _alone = alone();
    macro_rules! scene {
        ($tokio:ident) => {{
            use $tokio::io::AsyncReadExt;
            let fifo = fifo();
            let rt = $tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let open =
                async { $tokio::net::unix::pipe::OpenOptions::new().open_receiver(&fifo.path).unwrap() };
            let mut receiver = rt.block_on(open);
            let tried = rt.block_on(async { receiver.try_read(&mut [0; 8]) });
            assert_eq!(tried.map_err(|e| e.kind()), Err(ErrorKind::WouldBlock));
            let writer = write_later(&fifo);
            let mut buf = [0; 8];
            let n = rt.block_on(receiver.read(&mut buf)).unwrap();
            assert_eq!(&buf[..n], b"late");
            writer.join().unwrap();
        }};
    }
    on_both!(scene);
}

#[test]
fn h05_a_fifo_has_not_ended_after_block_in_place() {
    let _alone = alone();
    macro_rules! scene {
        ($tokio:ident) => {{
            use $tokio::io::AsyncReadExt;
            let fifo = fifo();
            let rt =
                $tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            let path = fifo.path.clone();
            let task = rt.spawn(async move {
                let mut receiver = $tokio::net::unix::pipe::OpenOptions::new().open_receiver(path).unwrap();
                $tokio::task::yield_now().await;
                // Another thread takes the worker over.
                $tokio::task::block_in_place(|| thread::sleep(MOMENT));
                let mut buf = [0; 8];
                let n = receiver.read(&mut buf).await.unwrap();
                buf[..n].to_vec()
            });
            thread::sleep(2 * MOMENT);
            let writer = write_later(&fifo);
            assert_eq!(rt.block_on(task).unwrap(), b"late");
            writer.join().unwrap();
        }};
    }
    on_both!(scene);
}

/// What an `AsyncFd` calls is called when its descriptor is ready.
#[test]
fn h05_a_foreign_descriptor_is_not_tried_between_two_block_ons() {
    let _alone = alone();
    macro_rules! scene {
        ($tokio:ident) => {{
            use $tokio::io::{Interest, unix::AsyncFd};
            let rt = $tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (ours, mut theirs) = StdUnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            // Deprecated, since it asks for no promise.
            #[allow(deprecated)]
            let fd = rt.block_on(async { AsyncFd::with_interest(ours, Interest::READABLE).unwrap() });
            let mut calls = 0;
            let mut refuse = || {
                calls += 1;
                Err::<(), _>(std::io::Error::from(ErrorKind::WouldBlock))
            };
            rt.block_on(async {
                let tried = fd.try_io(Interest::READABLE, |_| refuse());
                assert_eq!(tried.unwrap_err().kind(), ErrorKind::WouldBlock);
                let io = fd.async_io(Interest::READABLE, |_| refuse());
                assert!($tokio::time::timeout(MOMENT, io).await.is_err());
            });
            assert_eq!(calls, 0, "called although there was nothing to read");
            theirs.write_all(b"x").unwrap();
            rt.block_on(fd.async_io(Interest::READABLE, |_| Ok(()))).unwrap();
        }};
    }
    on_both!(scene);
}

/// A socket that is being connected: the queue of the listener is full, so nobody answers.
fn connecting() -> (impl Future<Output = std::io::Result<TcpStream>> + Send, impl Sized) {
    let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&own_address().into()).unwrap();
    listener.listen(0).unwrap();
    let listener = StdListener::from(listener);
    let addr = listener.local_addr().unwrap();
    let fill = std::net::TcpStream::connect(addr).unwrap();
    // The one who connects knows first.
    let mut fds = [libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    // SAFETY: one of them.
    assert_eq!(unsafe { libc::poll(fds.as_mut_ptr(), 1, 20_000) }, 1, "the queue is not full");
    (TcpStream::connect(addr), (listener, fill))
}

type Connect = Pin<Box<dyn Future<Output = std::io::Result<TcpStream>> + Send>>;

async fn poll_in_vain(connect: &mut Connect) {
    let polled = poll_fn(|cx| Poll::Ready(connect.as_mut().poll(cx))).await;
    if let Poll::Ready(done) = polled {
        panic!("connected to nobody: {:?}", done.map(|stream| stream.peer_addr()));
    }
}

/// A task that polls from another worker, time and again, takes the watch of its socket along. It is
/// not connected for that.
#[test]
fn h05_a_connection_is_not_there_since_its_watch_moved() {
    let _alone = alone();
    let rt = multi_thread(2);
    let [first, second] = rt.handle().shards().collect::<Vec<_>>()[..] else { panic!("two shards") };
    let (connect, _listener) = connecting();
    let mut connect: Connect = Box::pin(connect);

    let begin = rt.handle().remote(first).unwrap().spawn_pinned(async move {
        poll_in_vain(&mut connect).await;
        (connect,)
    });
    let (mut connect,) = rt.block_on(begin).unwrap();
    let go_on = rt.handle().remote(second).unwrap().spawn_pinned(async move {
        for _ in 0..40 {
            poll_in_vain(&mut connect).await;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    rt.block_on(go_on).unwrap();
}
