//! Rings to which the kernel allows certain operations only (hazard H51).

use std::future::Future;
use std::io::ErrorKind;
use std::time::Duration;

use io_uring::opcode as op;

use super::{current_thread, multi_thread, under};
use crate::fs;
use crate::io::{AsyncReadExt, AsyncWriteExt};
use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream, unix::pipe};
use crate::runtime::Runtime;
use crate::sys::fault::Script;
use crate::task;

/// What SECURITY.md says of the default lane: polls, cancels, messages, time limits, files.
const DEFAULT_LANE: &[u8] = &[
    op::Nop::CODE,
    op::PollAdd::CODE,
    op::AsyncCancel::CODE,
    op::MsgRingData::CODE,
    op::Timeout::CODE,
    op::Read::CODE,
    op::Write::CODE,
    op::OpenAt::CODE,
    op::RenameAt::CODE,
    op::UnlinkAt::CODE,
    op::MkDirAt::CODE,
    op::LinkAt::CODE,
    op::SymlinkAt::CODE,
    op::Fsync::CODE,
    op::Ftruncate::CODE,
];

fn on_each_flavour<F: Future<Output = ()> + Send + 'static>(what: &'static str, scene: fn() -> F) {
    let script = Script::default().only(DEFAULT_LANE);
    under(&script, what, move || {
        for runtime in [current_thread().unwrap(), multi_thread(2).unwrap()] {
            run(&runtime, scene());
        }
    });
}

fn run(runtime: &Runtime, scene: impl Future<Output = ()> + Send + 'static) {
    runtime.block_on(async { task::spawn(scene).await.unwrap() });
}

async fn echo(mut a: impl AsyncReadExt + AsyncWriteExt + Unpin, mut b: impl AsyncReadExt + AsyncWriteExt + Unpin) {
    for _ in 0..3 {
        let mut buf = [0; 5];
        let (read, written) = futures::join!(b.read_exact(&mut buf), async {
            crate::time::sleep(Duration::from_millis(1)).await;
            a.write_all(b"hello").await
        });
        written.unwrap();
        read.unwrap();
        assert_eq!(&buf, b"hello");
    }
    a.shutdown().await.unwrap();
    assert_eq!(b.read(&mut [0]).await.unwrap(), 0);
}

async fn datagrams() {
    let (a, b) = (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let (c, d) = UnixDatagram::pair().unwrap();
    for _ in 0..3 {
        let mut buf = [0; 8];
        let (received, _) = futures::join!(b.recv_from(&mut buf), async {
            task::yield_now().await;
            a.send_to(b"hello", b.local_addr().unwrap()).await.unwrap()
        });
        assert_eq!(received.unwrap().0, 5);
        let (received, _) = futures::join!(d.recv(&mut buf), async { c.send(b"hello").await.unwrap() });
        assert_eq!(received.unwrap(), 5);
    }
}

async fn files() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a"), "contents").await.unwrap();
    let mut file = fs::OpenOptions::new().read(true).write(true).open(path("a")).await.unwrap();
    let mut text = String::new();
    file.read_to_string(&mut text).await.unwrap();
    file.write_all(b"!").await.unwrap();
    file.sync_all().await.unwrap();
    file.set_len(3).await.unwrap();
    assert_eq!(text, "contents");
    fs::rename(path("a"), path("b")).await.unwrap();
    fs::hard_link(path("b"), path("c")).await.unwrap();
    fs::symlink("b", path("d")).await.unwrap();
    fs::create_dir(path("e")).await.unwrap();
    assert_eq!(fs::read_to_string(path("d")).await.unwrap(), "con");
    fs::remove_dir(path("e")).await.unwrap();
    fs::remove_file(path("b")).await.unwrap();
    assert_eq!(fs::metadata(path("c")).await.unwrap().len(), 3);
}

#[test]
fn h51_the_default_lane_needs_few_operations() {
    on_each_flavour("few operations", || async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = task::spawn(TcpStream::connect(listener.local_addr().unwrap()));
        let (server, _) = listener.accept().await.unwrap();
        echo(client.await.unwrap().unwrap(), server).await;

        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        let client = task::spawn(UnixStream::connect(dir.path().join("s")));
        let (server, _) = listener.accept().await.unwrap();
        echo(client.await.unwrap().unwrap(), server).await;

        let (mut tx, mut rx) = pipe::pipe().unwrap();
        let (read, written) = futures::join!(rx.read_u8(), tx.write_u8(7));
        written.unwrap();
        assert_eq!(read.unwrap(), 7);

        datagrams().await;
        files().await;
        // Between threads.
        let woken = task::spawn(async { crate::time::sleep(Duration::from_millis(1)).await });
        woken.await.unwrap();
        task::spawn_blocking(|| ()).await.unwrap();
    });
}

/// The other way round: the restriction is one, and who wants to forbid the native lane can.
#[test]
fn h51_the_native_lane_needs_others() {
    if std::env::var_os("SPARGIO_NATIVE").is_some() {
        // None of them is an operation of the ring then.
        return;
    }
    on_each_flavour("other operations", || async {
        let (a, b) = UnixStream::pair().unwrap();
        let sent = a.native().send("hello").await.0.unwrap_err();
        let received = b.native().recv(vec![0; 8]).await.0.unwrap_err();
        let opened = crate::native::fs::open("/dev/null", Default::default()).await.unwrap_err();
        for error in [sent, received, opened] {
            assert_eq!(error.kind(), ErrorKind::PermissionDenied);
        }
    });
}
