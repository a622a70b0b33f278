//! Any descriptor as a stream: `native::FdStream`.
#![cfg(feature = "uring-native")]

use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::FdStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const LONG: Duration = Duration::from_secs(20);

fn flavours() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ]
}

#[test]
fn a_socket_both_ways() {
    for rt in flavours() {
        rt.block_on(async {
            let (here, there) = UnixStream::pair().unwrap();
            let (mut here, mut there) = (FdStream::new(here).unwrap(), FdStream::new(there).unwrap());
            let echo = tokio::spawn(async move {
                let mut buf = [0; 1000];
                while let n @ 1.. = there.read(&mut buf).await.unwrap() {
                    there.write_all(&buf[..n]).await.unwrap();
                }
            });
            // More than the socket holds, so both wait for each other.
            let text: Vec<u8> = (0..2_000_000u32).map(|i| i as u8).collect();
            let (mut read, mut write) = tokio::io::split(here);
            let writer = tokio::spawn({
                let text = text.clone();
                async move {
                    write.write_all(&text).await.unwrap();
                    write.shutdown().await.unwrap();
                    write
                }
            });
            let mut back = Vec::new();
            timeout(LONG, read.read_to_end(&mut back)).await.unwrap().unwrap();
            assert!(back == text);
            here = read.unsplit(writer.await.unwrap());
            echo.await.unwrap();
            let fd = here.as_raw_fd();
            assert_eq!(here.into_inner().as_raw_fd(), fd);
        });
    }
}

/// Red if a short read counts as the last one: the second message is not found.
#[test]
fn messages_that_are_shorter_than_the_buffer() {
    for rt in flavours() {
        rt.block_on(async {
            let (here, there) = UnixDatagram::pair().unwrap();
            let mut here = FdStream::new(here).unwrap();
            for n in 0..3u8 {
                there.send(&[n; 5]).unwrap();
            }
            let mut buf = [0; 100];
            for n in 0..3u8 {
                assert_eq!(timeout(LONG, here.read(&mut buf)).await.unwrap().unwrap(), 5);
                assert_eq!(buf[..5], [n; 5]);
            }
        });
    }
}

#[test]
fn a_pipe_waits_and_ends() {
    for rt in flavours() {
        rt.block_on(async {
            let (read, mut write) = std::io::pipe().unwrap();
            let mut read = FdStream::new(read).unwrap();
            let mut buf = [0; 10];
            assert!(timeout(Duration::from_millis(20), read.read(&mut buf)).await.is_err());
            write.write_all(b"abc").unwrap();
            assert_eq!(read.read(&mut buf).await.unwrap(), 3);
            drop(write);
            assert_eq!(timeout(LONG, read.read(&mut buf)).await.unwrap().unwrap(), 0);

            let (mut read, write) = std::io::pipe().unwrap();
            let mut write = FdStream::new(write).unwrap();
            let n = write.write_vectored(&[IoSlice::new(b"de"), IoSlice::new(b"f")]).await.unwrap();
            assert_eq!(n, 3);
            // Not a socket: nothing to shut down.
            write.shutdown().await.unwrap();
            drop(write);
            let mut text = String::new();
            read.read_to_string(&mut text).unwrap();
            assert_eq!(text, "def");
        });
    }
}

#[test]
fn what_cannot_be_polled() {
    let rt = Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = rt.enter();
    let error = FdStream::new(tempfile::tempfile().unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    let error = FdStream::new(File::open(".").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[test]
#[should_panic = "there is no reactor running"]
fn outside_of_a_runtime() {
    drop(FdStream::new(UnixStream::pair().unwrap().0));
}
