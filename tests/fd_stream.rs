//! Any descriptor as a stream: `native::FdStream`.
#![cfg(feature = "uring-native")]

use std::fs::File;
use std::future::Future;
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use futures::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
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

/// Its two ends. `std::io::pipe` needs Rust 1.87.
fn pipe() -> (File, File) {
    let (read, write) = rustix::pipe::pipe().unwrap();
    (read.into(), write.into())
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
            let (read, mut write) = pipe();
            let mut read = FdStream::new(read).unwrap();
            let mut buf = [0; 10];
            assert!(timeout(Duration::from_millis(20), read.read(&mut buf)).await.is_err());
            write.write_all(b"abc").unwrap();
            assert_eq!(read.read(&mut buf).await.unwrap(), 3);
            drop(write);
            assert_eq!(timeout(LONG, read.read(&mut buf)).await.unwrap().unwrap(), 0);

            let (mut read, write) = pipe();
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

/// Begins a native read, has data come, and drops it, done or not.
async fn dropped<F: Future>(read: F, there: &mut UnixStream) {
    let mut read = Box::pin(read);
    assert!(poll!(&mut read).is_pending());
    // A ring that has it reads now.
    tokio::time::sleep(Duration::from_millis(2)).await;
    there.write_all(b"first ").unwrap();
    tokio::time::sleep(Duration::from_millis(2)).await;
    drop(read);
    there.write_all(b"second").unwrap();
}

/// Whatever reads after a native read was dropped gets all there is, in order.
#[test]
fn h84_what_a_dropped_read_would_have_got_is_there() {
    for rt in flavours() {
        rt.block_on(async {
            for lane in 0..8 {
                let (here, mut there) = UnixStream::pair().unwrap();
                let mut here = FdStream::new(here).unwrap();
                let native = here.as_async_fd().native().unwrap();
                match lane % 2 {
                    0 => dropped(native.read(Vec::with_capacity(64)), &mut there).await,
                    _ => dropped(native.read_vectored(vec![vec![0; 3], vec![0; 9]]), &mut there).await,
                }
                drop(there);
                let mut all = Vec::new();
                let mut buf = [0; 64];
                let file = here.as_async_fd();
                match lane {
                    0 | 1 => drop(timeout(LONG, here.read_to_end(&mut all)).await.unwrap().unwrap()),
                    2 | 3 => {
                        while let n @ 1.. =
                            file.async_io(Interest::READABLE, |mut file| file.read(&mut buf)).await.unwrap()
                        {
                            all.extend(&buf[..n]);
                        }
                    }
                    4 => loop {
                        let mut ready = timeout(LONG, file.readable()).await.unwrap().unwrap();
                        match ready
                            .try_io(|file| file.get_ref().read_vectored(&mut [IoSliceMut::new(&mut buf)]))
                        {
                            Ok(Ok(0)) => break,
                            Ok(n) => all.extend(&buf[..n.unwrap()]),
                            Err(_) => {}
                        }
                    },
                    5 => loop {
                        let (n, buf) = timeout(LONG, native.read(vec![0; 4])).await.unwrap();
                        match n.unwrap() {
                            0 => break,
                            n => all.extend(&buf[..n]),
                        }
                    },
                    6 => drop(File::from(here.into_inner()).read_to_end(&mut all).unwrap()),
                    _ => {
                        // Somebody else has a duplicate.
                        let mut other = File::from(here.as_fd().try_clone_to_owned().unwrap());
                        drop(here);
                        other.read_to_end(&mut all).unwrap();
                    }
                }
                assert_eq!(std::str::from_utf8(&all).unwrap(), "first second", "lane {lane}");
            }
        });
    }
}

/// Is `O_NONBLOCK` set?
fn does_not_block(fd: &impl AsRawFd) -> bool {
    // SAFETY: it asks for a number.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) };
    assert!(flags >= 0);
    flags & libc::O_NONBLOCK != 0
}

/// Both ends of a pseudoterminal that passes on what it gets: the program's, and the user's.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (0, 0);
    // SAFETY: two numbers are written, of fresh descriptors; all else may be null.
    unsafe {
        let (none, name, size) = (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        assert_eq!(libc::openpty(&raw mut master, &raw mut slave, name, none, size), 0);
        let mut modes = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(slave, &raw mut modes), 0);
        libc::cfmakeraw(&raw mut modes);
        assert_eq!(libc::tcsetattr(slave, libc::TCSANOW, &raw const modes), 0);
        (OwnedFd::from_raw_fd(slave), OwnedFd::from_raw_fd(master))
    }
}

/// The shell of a terminal, and `println!`, are not told `EAGAIN`: neither afterwards nor meanwhile.
#[test]
fn h86_a_terminal_keeps_its_mode() {
    for rt in flavours() {
        rt.block_on(async {
            let (slave, master) = terminal();
            let shell = slave.try_clone().unwrap();
            let fd = slave.as_raw_fd();
            let mut program = FdStream::new(slave).unwrap();
            assert!(!does_not_block(&shell), "meanwhile");
            assert_eq!(program.as_raw_fd(), fd);

            let masters = master.try_clone().unwrap();
            let mut user = FdStream::new(master).unwrap();
            let mut buf = [0; 16];
            user.write_all(b"typed").await.unwrap();
            assert_eq!(timeout(LONG, program.read(&mut buf)).await.unwrap().unwrap(), 5);
            program.write_all(b"shown").await.unwrap();
            assert_eq!(timeout(LONG, user.read(&mut buf)).await.unwrap().unwrap(), 5);
            assert_eq!(&buf[..5], b"shown");
            // It waits, though the terminal blocks.
            assert!(timeout(Duration::from_millis(20), program.read(&mut buf)).await.is_err());
            let native = program.as_async_fd().native().unwrap();
            assert!(timeout(Duration::from_millis(20), native.read(vec![0; 4])).await.is_err());
            user.write_all(b"more").await.unwrap();
            assert_eq!(timeout(LONG, native.read(vec![0; 4])).await.unwrap().1, b"more");

            drop(user);
            assert!(!does_not_block(&masters), "the master, which cannot be opened again");
            assert_eq!(program.into_inner().as_raw_fd(), fd);
            assert!(!does_not_block(&shell), "afterwards");
        });
    }
}

#[test]
fn h86_what_others_share_has_its_mode_again() {
    for rt in flavours() {
        rt.block_on(async {
            // Dropped, and taken apart.
            for is_dropped in [true, false] {
                let (read, _write) = pipe();
                let other = read.try_clone().unwrap();
                let stream = FdStream::new(read).unwrap();
                assert!(does_not_block(&other));
                match is_dropped {
                    true => drop(stream),
                    false => assert!(!does_not_block(&stream.into_inner())),
                }
                assert!(!does_not_block(&other));
            }

            // What did not block before does not block afterwards.
            let (socket, _peer) = UnixStream::pair().unwrap();
            socket.set_nonblocking(true).unwrap();
            assert!(does_not_block(&FdStream::new(socket).unwrap().into_inner()));

            // Refused.
            let file = tempfile::tempfile().unwrap();
            let other = file.try_clone().unwrap();
            FdStream::new(file).unwrap_err();
            assert!(!does_not_block(&other));
        });
    }
}

/// Two streams of one open file: the mode is there until both have gone, in either order.
#[test]
fn h86_the_last_of_several_streams_sets_the_mode_back() {
    for rt in flavours() {
        rt.block_on(async {
            for first in [0, 1] {
                let (read, _write) = pipe();
                let other = read.try_clone().unwrap();
                let mut streams =
                    vec![FdStream::new(read.try_clone().unwrap()).unwrap(), FdStream::new(read).unwrap()];
                drop(streams.remove(first));
                assert!(does_not_block(&other), "one of them needs it");
                drop(streams);
                assert!(!does_not_block(&other));
            }
        });
    }
}
