//! Operations of rings that complete with errors, one after the other.
//!
//! A scene ends as always or with an error, whichever of its operations fails; its answers are right, and it
//! nothing hangs.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{current_thread, multi_thread, own_address, under};
use crate::io::{AsyncReadExt, AsyncWriteExt};
use crate::native::fs::OpenHow;
use crate::native::{self, BufPool, Lane, chain};
use crate::net::{TcpListener, TcpStream, UdpSocket};
use crate::runtime::{Builder, Runtime};
use crate::sys::fault::Script;

/// What manual pages name, and some of what they do not.
const ERRORS: [i32; 10] = [
    libc::EINTR,
    libc::EAGAIN,
    libc::ECANCELED,
    libc::EIO,
    libc::ENOMEM,
    libc::EINVAL,
    libc::EOPNOTSUPP,
    libc::ECONNRESET,
    libc::ENOBUFS,
    libc::EBADF,
];

type Scene = fn(io::Result<Runtime>) -> io::Result<()>;

/// Those that mean nothing but "once more": not all that gives up on them is wrong.
fn may_be_hidden(errno: i32) -> bool {
    [libc::EINTR, libc::EAGAIN, libc::ECANCELED].contains(&errno)
}

/// Has each operation of `scene` fail with each error; returns how many did, and how many errors it told of.
fn sweep(name: &str, errors: &[i32], scene: Scene) -> (usize, usize) {
    let (mut failed, told) = (0, Arc::new(AtomicUsize::new(0)));
    for &errno in errors {
        for n in 0..16 {
            for workers in 0..2 {
                let script = Script::default().fail_operations(errno, n..n + 1);
                let what = format!("{name}: errno {errno} at operation {n}, {workers} workers");
                let tells = told.clone();
                under(&script, &what, move || {
                    let rt = if workers == 0 { current_thread() } else { multi_thread(workers) };
                    if scene(rt).is_err() && !may_be_hidden(errno) {
                        tells.fetch_add(1, Relaxed);
                    }
                });
                failed += usize::from(script.operations() > n && !may_be_hidden(errno));
            }
        }
    }
    (failed, told.load(Relaxed))
}

fn sockets(rt: io::Result<Runtime>) -> io::Result<()> {
    rt?.block_on(async {
        let listener = TcpListener::bind(own_address()).await?;
        let address = listener.local_addr()?;
        let accepted = crate::task::spawn(async move { listener.native().accept().await });
        let ours = TcpStream::connect(address).await?;
        let theirs = accepted.await.unwrap()?.0;
        for n in 0..3u8 {
            ours.native().send_all(vec![n; 200]).await.0?;
            let (received, bytes) = theirs.native().recv_exact(vec![0; 200]).await;
            received?;
            assert_eq!(bytes, [n; 200], "wrong");
        }
        let parts = (ours.native().send("a"), ours.native().send("b"));
        let (first, second) = chain(parts).await;
        let sent = [first.0, second.0].into_iter().map(|n| n.unwrap_or(0)).sum();
        drop(ours);
        let mut rest = Vec::new();
        let mut theirs = theirs;
        theirs.read_to_end(&mut rest).await?;
        assert_eq!(&rest[..], &b"ab"[..sent], "wrong: {sent} sent");
        if sent < 2 {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    })
}

fn streams(rt: io::Result<Runtime>) -> io::Result<()> {
    use futures_core::Stream;
    use std::future::poll_fn;
    use std::pin::pin;

    rt?.block_on(async {
        let (a, b) = (UdpSocket::bind(own_address()).await?, UdpSocket::bind(own_address()).await?);
        a.connect(b.local_addr()?).await?;
        let pool = BufPool::new(8, 512);
        let listener = TcpListener::bind(own_address()).await?;
        let mut ours = TcpStream::connect(listener.local_addr()?).await?;
        let theirs = {
            let mut incoming = pin!(listener.native().accept_multi());
            poll_fn(|cx| incoming.as_mut().poll_next(cx)).await.expect("over")?
        };
        ours.write_all(&[7; 1_000]).await?;
        drop(ours);
        let mut bytes = 0;
        let mut parts = pin!(theirs.native().recv_multi(&pool));
        while let Some(part) = poll_fn(|cx| parts.as_mut().poll_next(cx)).await {
            let part = part?;
            assert!(part.iter().all(|&byte| byte == 7), "wrong");
            bytes += part.len();
        }
        assert_eq!(bytes, 1_000, "wrong");
        a.native().send("datagram").await.0?;
        let (received, bytes) = b.native().recv_from(Vec::with_capacity(20)).await;
        received?;
        assert_eq!(bytes, b"datagram", "wrong");
        Ok(())
    })
}

fn files(rt: io::Result<Runtime>) -> io::Result<()> {
    let dir = tempfile::tempdir()?;
    rt?.block_on(async {
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let file = native::fs::open(&a, OpenHow::new().read_write().create(0o600)).await?;
        file.native().write_all_at(vec![7; 5_000], 0).await.0?;
        let (read, bytes) = file.native().read_at(Vec::with_capacity(6_000), 1_000).await;
        assert_eq!(bytes, vec![7; read?], "wrong");
        drop(file);
        native::fs::rename(&a, &b, 0).await?;
        assert_eq!(native::fs::statx(&b, libc::STATX_SIZE).await?.len(), 5_000, "wrong");
        native::fs::mkdir(&a, 0o700).await?;
        native::fs::rmdir(&a).await?;
        native::fs::unlink(&b).await
    })
}

/// Writes of one turn that are sent together.
fn outboxes(rt: io::Result<Runtime>) -> io::Result<()> {
    drop(rt?);
    let rt = Builder::new_current_thread().enable_all().lane(Lane::Native).build()?;
    rt.block_on(async {
        let mut pairs = Vec::new();
        for _ in 0..12 {
            let listener = TcpListener::bind(own_address()).await?;
            let ours = TcpStream::connect(listener.local_addr()?).await?;
            ours.set_nodelay(true)?;
            pairs.push((ours, listener.accept().await?.0));
        }
        for n in 0..2u8 {
            for (ours, _) in &mut pairs {
                ours.write_all(&[n; 100]).await?;
            }
            // The next turn sends it.
            crate::task::yield_now().await;
        }
        for (mut ours, mut theirs) in pairs {
            let ended = ours.shutdown().await;
            drop(ours);
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).await?;
            // What follows an error is not sent, and nothing out of order.
            let whole = [[0; 100], [1; 100]].concat();
            assert!(whole.starts_with(&bytes), "wrong: {bytes:?}");
            assert!(ended.is_err() || bytes.len() == whole.len(), "wrong: nobody is told");
            ended?;
        }
        Ok(())
    })
}

#[test]
fn every_error_of_every_operation_of_a_socket_is_told() {
    let (failed, told) = sweep("sockets", &ERRORS, sockets);
    assert!(failed > 40, "only {failed}");
    assert_eq!(failed, told);
}

#[test]
fn every_error_of_every_operation_of_a_stream_ends_well() {
    // ENOBUFS says that the pool is empty: the stream waits until a buffer comes back.
    let errors = ERRORS.map(|errno| if errno == libc::ENOBUFS { libc::EPIPE } else { errno });
    let (failed, told) = sweep("streams", &errors, streams);
    assert!(failed > 20 && told > 0, "only {failed}, {told} told");
}

#[test]
fn every_error_of_every_operation_of_a_file_ends_well() {
    let (failed, told) = sweep("files", &ERRORS, files);
    assert!(failed > 20 && told <= failed, "only {failed}, {told} told");
}

#[test]
fn every_error_of_every_send_of_an_outbox_ends_well() {
    let (failed, told) = sweep("outboxes", &ERRORS, outboxes);
    assert!(failed > 20 && told <= failed, "only {failed}, {told} told");
}
