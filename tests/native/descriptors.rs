//! Pipes, descriptors from elsewhere, splicing, children, entries of one's own.

use std::io::ErrorKind;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{entry, raw, splice, waitid};
use tokio::net::unix::pipe;

use super::common::spawn as start;
use super::on_workers;
use super::streams::tcp_pair;

#[test]
fn pipes() {
    on_workers(|| async {
        let (tx, mut rx) = pipe::pipe().unwrap();
        assert_eq!(tx.native().write("hello").await.0.unwrap(), 5);
        let (n, buf) = rx.native().read(Vec::with_capacity(16)).await;
        assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
        tx.native().write_vectored(vec!["a", "b"]).await.0.unwrap();
        let (n, bufs) = rx.native().read_vectored(vec![vec![0; 1], vec![0; 1]]).await;
        assert_eq!((n.unwrap(), bufs.concat()), (2, b"ab".to_vec()));
        let none = rx.native().read(vec![0]).timeout(Duration::from_millis(5)).await.0;
        assert_eq!(none.unwrap_err().kind(), ErrorKind::TimedOut);

        let writer = tokio::spawn(async move { tx.native().write_all(vec![5; 300_000]).await.0.unwrap() });
        let mut all = Vec::new();
        rx.read_to_end(&mut all).await.unwrap();
        assert!(all == vec![5; 300_000]);
        writer.await.unwrap();
        assert_eq!(rx.native().read(vec![0]).await.0.unwrap(), 0);
    });
}

fn eventfd() -> OwnedFd {
    // SAFETY: a fresh descriptor.
    unsafe { OwnedFd::from_raw_fd(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }
}

#[test]
fn any_descriptor() {
    on_workers(|| async {
        // SAFETY: it owns its descriptor.
        let event = unsafe { AsyncFd::register(eventfd()) }.unwrap();
        let native = event.native().unwrap();
        let none = native.read(vec![0; 8]).timeout(Duration::from_millis(5)).await.0;
        assert_eq!(none.unwrap_err().kind(), ErrorKind::TimedOut);
        native.write_all(5_u64.to_ne_bytes().to_vec()).await.0.unwrap();
        native.write_vectored(vec![7_u64.to_ne_bytes().to_vec()]).await.0.unwrap();
        let (n, buf) = native.read(vec![0; 8]).await;
        assert_eq!((n.unwrap(), buf), (8, 12_u64.to_ne_bytes().to_vec()));
        assert!(native.leftovers().await.unwrap().is_empty());
    });
}

#[test]
fn splices() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let data: Vec<u8> = (0..50_000).map(|i| (i / 3) as u8).collect();
        std::fs::write(&path, &data).unwrap();
        let file = tokio::fs::File::open(&path).await.unwrap();
        let (client, mut server) = tcp_pair().await;
        let (tx, rx) = pipe::pipe().unwrap();

        let reader = tokio::spawn(async move {
            let mut all = Vec::new();
            server.read_to_end(&mut all).await.unwrap();
            all
        });
        let mut at = 0;
        loop {
            let n = splice((file.native(), at), tx.native(), 20_000).await.unwrap();
            if n == 0 {
                break;
            }
            at += n as u64;
            let mut left = n;
            while left > 0 {
                left -= splice(rx.native(), client.native(), left).await.unwrap();
            }
        }
        drop(client);
        assert!(reader.await.unwrap() == data);
    });
}

#[test]
fn splices_wait_for_either_end() {
    on_workers(|| async {
        let (mut client, server) = tcp_pair().await;
        let (tx, rx) = pipe::pipe().unwrap();
        let late = splice(server.native(), tx.native(), 100).timeout(Duration::from_millis(20)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        let writer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            client.write_all(b"hello").await.unwrap();
            client
        });
        assert_eq!(splice(server.native(), tx.native(), 100).await.unwrap(), 5);
        let client = writer.await.unwrap();

        // A full pipe.
        while tx.try_write(&[0; 4096]).is_ok() {}
        client.native().send_all("more").await.0.unwrap();
        let drain = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let mut rx = rx;
            let mut all = Vec::new();
            rx.read_to_end(&mut all).await.unwrap();
            all
        });
        assert_eq!(splice(server.native(), tx.native(), 100).await.unwrap(), 4);
        drop(tx);
        let all = drain.await.unwrap();
        assert!(all.starts_with(b"hello") && all.ends_with(b"more"));
    });
}

#[test]
fn children() {
    on_workers(|| async {
        let spawn = |script: &str| start(Command::new("sh").args(["-c", script])).id();
        let status = waitid(spawn("exit 3")).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(3));
        let status = waitid(spawn("sleep 0.05; exit 4")).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(4));
        let pid = spawn("kill -KILL $$");
        let status = waitid(pid).await.unwrap().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
        let gone = waitid(pid).await.unwrap_err();
        assert!(matches!(gone.raw_os_error(), Some(libc::ECHILD | libc::ESRCH)), "{gone:?}");

        let mut child = start(Command::new("cat").stdin(Stdio::piped()));
        let late = waitid(child.id()).timeout(Duration::from_millis(20)).await;
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        drop(child.stdin.take());
        assert!(waitid(child.id()).await.unwrap().unwrap().success());
        assert!(child.wait().is_err(), "it was waited for already");
    });
}

#[test]
fn entries_of_ones_own() {
    on_workers(|| async {
        let nop = entry::opcode::Nop::new().build();
        // SAFETY: it touches nothing.
        let (result, text) = unsafe { raw(nop, String::from("kept"), |_| Ok(0)) }.await;
        assert_eq!((result.unwrap(), &text[..]), (0, "kept"));

        let file = std::fs::File::open("/dev/zero").unwrap();
        let mut owned = (file, Box::new([7_u8; 16]));
        let fd = entry::types::Fd(owned.0.as_raw_fd());
        let read = entry::opcode::Read::new(fd, owned.1.as_mut_ptr(), 16).build();
        let otherwise = |(file, buf): &mut (std::fs::File, Box<[u8; 16]>)| {
            std::io::Read::read(file, &mut buf[..]).map(|n| n as u32)
        };
        // SAFETY: file and buffer are owned, the buffer is on the heap.
        let (result, (_, buf)) = unsafe { raw(read, owned, otherwise) }.await;
        assert_eq!((result.unwrap(), *buf), (16, [0; 16]));
    });
}

/// A ring has no such files; as a descriptor the index would be somebody else's.
#[test]
fn an_index_is_no_descriptor() {
    on_workers(|| async {
        let file = std::fs::File::open("/dev/zero").unwrap();
        let mut owned = (file, Box::new([7_u8; 16]));
        let fixed = entry::types::Fixed(owned.0.as_raw_fd() as u32);
        let read = entry::opcode::Read::new(fixed, owned.1.as_mut_ptr(), 16).build();
        // SAFETY: file and buffer are owned, the buffer is on the heap.
        let (result, (_, buf)) = unsafe { raw(read, owned, |_| panic!("a fixed file, done by hand")) }.await;
        assert_eq!((result.unwrap_err().kind(), *buf), (ErrorKind::InvalidInput, [7; 16]));
    });
}
