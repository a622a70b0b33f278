//! Writes to what nobody reads any more, in a program that a `SIGPIPE` ends.

use std::io::{ErrorKind, IoSlice};
use std::os::fd::OwnedFd;

use tokio::io::AsyncWriteExt;
use tokio::io::unix::AsyncFd;
use tokio::native::{FdStream, FixedBufPool, chain, splice};
use tokio::net::unix::pipe;
use tokio::net::{UnixDatagram, UnixStream};

use super::common::{in_a_child, lacks};
use super::on_workers;

/// As it is when a program begins; Rust's `main` ignores it.
fn die_of_sigpipe() {
    // SAFETY: no handler is set.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// A writing end without a reader.
fn broken_pipe() -> OwnedFd {
    pipe::pipe().unwrap().0.into_nonblocking_fd().unwrap()
}

/// A socket whose peer is gone.
fn broken_socket() -> OwnedFd {
    UnixStream::pair().unwrap().0.into_std().unwrap().into()
}

async fn every_write_fails(broken: OwnedFd) {
    let mut fixed = FixedBufPool::new(1, 16).try_next().unwrap();
    fixed.set_len(3);
    // SAFETY: it owns its descriptor.
    let fd = unsafe { AsyncFd::register(broken) }.unwrap();
    let native = fd.native().unwrap();
    let (fixed, buf) = native.write(fixed).await;
    let errors = [
        fixed.unwrap_err(),
        native.write_all(buf).await.0.unwrap_err(),
        native.write("abc").await.0.unwrap_err(),
        native.write_all("abc").await.0.unwrap_err(),
        native.write_vectored(vec!["a", "b"]).await.0.unwrap_err(),
        chain((native.write("abc"), native.write("abc"))).hard().await.1.0.unwrap_err(),
    ];
    for (i, error) in errors.into_iter().enumerate() {
        assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{i}");
    }
    let mut stream = FdStream::new(fd.into_inner()).unwrap();
    let error = stream.write(b"abc").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    let error = stream.write_vectored(&[IoSlice::new(b"a"), IoSlice::new(b"b")]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
}

#[test]
fn h87_a_broken_pipe_is_an_error_and_no_signal() {
    if lacks((6, 18), "writes without SIGPIPE") {
        return;
    }
    in_a_child("broken::h87_a_broken_pipe_is_an_error_and_no_signal", || {
        die_of_sigpipe();
        on_workers(|| async {
            every_write_fails(broken_pipe()).await;
            every_write_fails(broken_socket()).await;

            let (tx, rx) = pipe::pipe().unwrap();
            drop(rx);
            let native = tx.native();
            let errors = [
                native.write("abc").await.0.unwrap_err(),
                native.write_all("abc").await.0.unwrap_err(),
                native.write_vectored(vec!["a", "b"]).await.0.unwrap_err(),
            ];
            for (i, error) in errors.into_iter().enumerate() {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{i}");
            }
        });
    });
}

#[test]
fn h87_a_splice_into_nothing_is_an_error_and_no_signal() {
    in_a_child("broken::h87_a_splice_into_nothing_is_an_error_and_no_signal", || {
        die_of_sigpipe();
        on_workers(|| async {
            let (tx, rx) = pipe::pipe().unwrap();
            tx.native().write_all("abcdef").await.0.unwrap();
            let (broken, reader) = pipe::pipe().unwrap();
            drop(reader);
            let error = splice(rx.native(), broken.native(), 3).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
            let (socket, peer) = UnixStream::pair().unwrap();
            drop(peer);
            let error = splice(rx.native(), socket.native(), 3).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BrokenPipe);
        });
    });
}

#[test]
fn h87_a_broken_socket_is_an_error_and_no_signal() {
    in_a_child("broken::h87_a_broken_socket_is_an_error_and_no_signal", || {
        die_of_sigpipe();
        on_workers(|| async {
            let (a, b) = UnixStream::pair().unwrap();
            drop(b);
            let native = a.native();
            let errors = [
                native.send("x").await.0.unwrap_err(),
                native.send_all("x").await.0.unwrap_err(),
                native.send_vectored(vec!["x", "y"]).await.0.unwrap_err(),
                native.send_msg(vec!["x"], Vec::new()).await.0.unwrap_err(),
                native.send_zc("x").await.0.unwrap_err(),
                native.send_msg_zc(vec!["x"], Vec::new()).await.0.unwrap_err(),
                chain((native.send("x"), native.send_vectored(vec!["x"]))).hard().await.1.0.unwrap_err(),
            ];
            for (i, error) in errors.into_iter().enumerate() {
                assert_eq!(error.kind(), ErrorKind::BrokenPipe, "{i}");
            }
            let (a, b) = UnixDatagram::pair().unwrap();
            drop(b);
            a.native().send("x").await.0.unwrap_err();
            a.native().send_msg(vec!["x"], None, Vec::new()).await.0.unwrap_err();
        });
    });
}
