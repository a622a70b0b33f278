//! Operations that are linked.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Duration;

use futures::poll;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{self, BufResult, chain, fs::OpenHow};
use tokio::net::unix::pipe;
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::runtime::{Builder, Handle};
use tokio::shard::{self, Shard};
use tokio::task::yield_now;

use super::streams::{reset, tcp_pair};
use super::{is_emulated, on_workers};

const RECV: u8 = native::entry::opcode::Recv::CODE;
const SEND: u8 = native::entry::opcode::Send::CODE;
const LONG: Duration = Duration::from_secs(20);

async fn moment() {
    tokio::time::sleep(Duration::from_millis(3)).await;
}

async fn file(dir: &tempfile::TempDir, name: &str) -> tokio::fs::File {
    native::fs::open(dir.path().join(name), OpenHow::new().read_write().create(0o600)).await.unwrap()
}

fn is_cancelled<T>(result: &io::Result<T>) -> bool {
    matches!(result, Err(e) if e.raw_os_error() == Some(libc::ECANCELED))
}

/// How many operations of a kind are on rings of this runtime.
fn in_flight(opcode: u8) -> u32 {
    let handle = Handle::current();
    handle.shards().map(|shard| handle.remote(shard).unwrap().stats().in_flight(opcode)).sum()
}

async fn until_in_flight(opcode: u8, expected: u32) {
    let is_so = async {
        while !is_emulated() && in_flight(opcode) != expected {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(tokio::time::timeout(LONG, is_so).await.is_ok(), "{} instead of {expected}", in_flight(opcode));
}

/// As many pairs: the peers, and our ends.
fn pairs<const N: usize>() -> ([UnixStream; N], [UnixStream; N]) {
    let mut ours = Vec::new();
    let peers = [(); N].map(|()| {
        let (a, b) = UnixStream::pair().unwrap();
        ours.push(b);
        a
    });
    (peers, ours.try_into().unwrap())
}

fn buf() -> Vec<u8> {
    Vec::with_capacity(4)
}

#[test]
fn write_sync_and_read() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let log = file(&dir, "log").await;
        let log = log.native();
        let parts = (log.write_all_at(b"hello".to_vec(), 3), log.fdatasync());
        let ((written, buf), synced) = chain(parts).await;
        assert_eq!((written.unwrap(), &buf[..]), (5, &b"hello"[..]));
        synced.unwrap();

        let parts = (
            log.write_at(b"HE".to_vec(), 3),
            log.writev(vec![b"LL".to_vec(), b"O!".to_vec()], 5),
            log.fsync(),
            log.read_exact_at(Vec::with_capacity(9), 0),
        );
        let ((one, _), (two, bufs), synced, (read, buf)) = chain(parts).await;
        assert_eq!((one.unwrap(), two.unwrap(), bufs.len()), (2, 4, 2));
        synced.unwrap();
        assert_eq!((read.unwrap(), &buf[..]), (9, &b"\0\0\0HELLO!"[..]));
        assert!(format!("{:?}", chain((log.fsync(), log.fsync()))).contains("parts: 2"));
    });
}

/// The second part does not begin before the first one is over, although both were submitted.
#[test]
fn parts_are_submitted_together_and_done_one_after_the_other() {
    on_workers(|| async {
        let ([mut a, mut c], [b, d]) = pairs();
        let mut both = pin!(chain((b.native().recv(buf()), d.native().send("sent"))));
        assert!(poll!(&mut both).is_pending());
        until_in_flight(RECV, 1).await;
        until_in_flight(SEND, 1).await;
        moment().await;
        assert_eq!(c.try_read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
        a.write_all(b"now").await.unwrap();
        let ((received, buf), (sent, _)) = both.await;
        assert_eq!((received.unwrap(), &buf[..], sent.unwrap()), (3, &b"now"[..], 4));
        let mut got = [0; 4];
        c.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"sent");
        until_in_flight(RECV, 0).await;
        until_in_flight(SEND, 0).await;
    });
}

#[test]
fn a_part_that_fails_breaks_the_chain() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let good = file(&dir, "file").await;
        let bad = native::fs::open(dir.path().join("file"), OpenHow::new()).await.unwrap();
        let (good, bad) = (good.native(), bad.native());
        for at in 0..4_usize {
            let log = |i| if i == at { bad } else { good };
            let write = |i| log(i).write_all_at(vec![i as u8; 10], 10 * i as u64);
            let ((a, x), (b, y), (c, z), (d, w)) = chain((write(0), write(1), write(2), write(3))).await;
            for (i, result) in [a, b, c, d].into_iter().enumerate() {
                match i {
                    _ if i < at => assert_eq!(result.unwrap(), 10),
                    _ if i == at => assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EBADF)),
                    _ => assert!(is_cancelled(&result), "{result:?}"),
                }
            }
            assert_eq!([x, y, z, w], [0, 1, 2, 3].map(|i| vec![i; 10]));
        }
        // Those behind the bad one have never been written.
        assert_eq!(std::fs::metadata(dir.path().join("file")).unwrap().len(), 30);
    });
}

/// Fails where it stands in a chain, first and in the middle: what comes after it is not begun, nor anything else.
macro_rules! breaks {
    ($dir:expr, $errno:ident, $part:expr) => {{
        let marker = $dir.path().join("marker");
        let (failed, rest) = chain(($part, native::fs::mkdir(&marker, 0o700))).await;
        let failed: io::Result<()> = $crate::chains::Plain::plain(failed);
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::$errno), "{}", stringify!($part));
        assert!(is_cancelled(&rest), "{}: {rest:?}", stringify!($part));

        let good = native::fs::statx($dir.path(), libc::STATX_SIZE);
        let after =
            (native::fs::symlink("nowhere", $dir.path().join("other")), native::fs::mkdir(&marker, 0o700));
        let (good, failed, rest, last) = chain((good, $part, after.0, after.1)).await;
        good.unwrap();
        let failed: io::Result<()> = $crate::chains::Plain::plain(failed);
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::$errno), "{}", stringify!($part));
        assert!(is_cancelled(&rest) && is_cancelled(&last), "{}: {rest:?}, {last:?}", stringify!($part));
        assert!(!marker.exists() && !$dir.path().join("other").is_symlink(), "{}", stringify!($part));

        // Where it is to be done whatever becomes of the part, it is.
        let (failed, rest) = chain(($part, native::fs::mkdir(&marker, 0o700))).hard().await;
        let failed: io::Result<()> = $crate::chains::Plain::plain(failed);
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::$errno), "{}", stringify!($part));
        rest.unwrap();
        std::fs::remove_dir(&marker).unwrap();
    }};
}

/// A result without what comes with it.
trait Plain {
    fn plain(self) -> io::Result<()>;
}

impl<T> Plain for io::Result<T> {
    fn plain(self) -> io::Result<()> {
        self.map(drop)
    }
}

impl<T, B> Plain for BufResult<T, B> {
    fn plain(self) -> io::Result<()> {
        self.0.map(drop)
    }
}

#[test]
fn h92_a_part_breaks_its_chain_whatever_the_kernel_takes_for_a_failure() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "contents").unwrap();
        breaks!(dir, ENOENT, native::fs::rename(at("no"), at("no2"), 0));
        breaks!(dir, EEXIST, native::fs::mkdir(at("file"), 0o700));
        breaks!(dir, ENOENT, native::fs::unlink(at("no")));
        breaks!(dir, ENOENT, native::fs::rmdir(at("no")));
        breaks!(dir, ENOENT, native::fs::link(at("no"), at("no2")));
        breaks!(dir, EEXIST, native::fs::symlink("x", at("file")));
        breaks!(dir, ENOENT, native::fs::statx(at("no"), libc::STATX_SIZE));
        breaks!(dir, ENOENT, native::fs::getxattr(at("no"), "user.x", vec![0; 8]));
        breaks!(dir, ENOENT, native::fs::setxattr(at("no"), "user.x", "y", 0));
        breaks!(dir, ENOENT, native::fs::open(at("no"), OpenHow::new()));

        let shut = native::fs::open(at("file"), OpenHow::new()).await.unwrap();
        let shut = shut.native();
        breaks!(dir, EINVAL, shut.ftruncate(3));
        breaks!(dir, EBADF, shut.fallocate(0, 0, 10));
        breaks!(dir, EINVAL, shut.sync_file_range(0, 1, 1 << 31));
        breaks!(dir, EINVAL, shut.fadvise(0, 1, 99));
        breaks!(dir, EOPNOTSUPP, shut.getxattr("nowhere.x", vec![0; 8]));
        breaks!(dir, EOPNOTSUPP, shut.setxattr("nowhere.x", "y", 0));
        breaks!(dir, EBADF, shut.write_at("x", 0));
        let null = tokio::fs::File::open("/dev/null").await.unwrap();
        breaks!(dir, EINVAL, null.native().fsync());

        let (a, b) = tcp_pair().await;
        reset(a);
        b.readable().await.unwrap();
        breaks!(dir, ENOTCONN, b.native().shutdown(std::net::Shutdown::Write));
    });
}

#[test]
fn a_part_that_falls_short_breaks_the_chain() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir, "file").await;
        let file = file.native();
        file.write_all_at("0123456789", 0).await.0.unwrap();
        let ((read, buf), rest) = chain((file.read_at(vec![0; 8], 6), file.fsync())).await;
        assert_eq!((read.unwrap(), &buf[..4]), (4, &b"6789"[..]));
        assert!(is_cancelled(&rest), "{rest:?}");

        let ((read, _), rest) = chain((file.read_exact_at(vec![0; 8], 6), file.fsync())).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(is_cancelled(&rest), "{rest:?}");

        let bufs = vec![vec![0; 4], vec![0; 4]];
        let ((read, _), rest) = chain((file.readv(bufs, 6), file.fsync())).await;
        assert_eq!(read.unwrap(), 4);
        assert!(is_cancelled(&rest), "{rest:?}");

        // What a socket receives is enough, however little.
        let ([mut a], [b]) = pairs();
        a.write_all(b"x").await.unwrap();
        let ((received, _), synced) = chain((b.native().recv(vec![0; 8]), file.fsync())).await;
        assert_eq!(received.unwrap(), 1);
        synced.unwrap();
        a.shutdown().await.unwrap();
        let ((received, _), rest) = chain((b.native().recv_exact(vec![0; 8]), file.fsync())).await;
        assert_eq!(received.unwrap_err().kind(), ErrorKind::UnexpectedEof);
        assert!(is_cancelled(&rest), "{rest:?}");
    });
}

#[test]
fn hard_ones_are_done_in_any_case() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let good = file(&dir, "file").await;
        let bad = native::fs::open(dir.path().join("file"), OpenHow::new()).await.unwrap();
        let parts = (
            bad.native().write_at(b"xx".to_vec(), 0),
            good.native().read_at(vec![0; 8], 0),
            good.native().write_at(b"yy".to_vec(), 0),
        );
        let ((failed, buf), (short, _), (written, _)) = chain(parts).hard().await;
        assert_eq!(failed.unwrap_err().raw_os_error(), Some(libc::EBADF));
        assert_eq!((buf, short.unwrap(), written.unwrap()), (b"xx".to_vec(), 0, 2));
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"yy");
    });
}

/// Dropped when the first `done` of three receives have got something: all of it is found.
async fn dropped_after(done: usize, how: usize) {
    let (mut peers, ours) = pairs::<3>();
    let [a, b, c] = &ours;
    let parts = (a.native().recv(buf()), b.native().recv_exact(buf()), c.native().recv(buf()));
    let mut all = Box::pin(chain(parts));
    assert!(poll!(&mut all).is_pending());
    yield_now().await;
    for (i, peer) in peers.iter_mut().enumerate().take(done) {
        peer.write_all(&[i as u8; 4]).await.unwrap();
    }
    match how {
        0 => {}
        1 => moment().await,
        _ => {
            moment().await;
            if done < 3 {
                assert!(poll!(&mut all).is_pending());
                moment().await;
            }
        }
    }
    drop(all);
    for (i, (mut peer, mut ours)) in peers.into_iter().zip(ours).enumerate() {
        peer.write_all(&[9]).await.unwrap();
        let expected: &[u8] = if i < done { &[i as u8, i as u8, i as u8, i as u8, 9] } else { &[9] };
        let mut got = vec![0; expected.len()];
        tokio::time::timeout(LONG, ours.read_exact(&mut got)).await.expect("bytes are missing").unwrap();
        assert_eq!(got, expected, "stream {i} of a chain dropped after {done}");
    }
    until_in_flight(RECV, 0).await;
}

#[test]
fn dropped_at_each_position_it_loses_nothing() {
    if crate::common::kernel() == (6, 17) {
        println!(
            "skipped: needs another kernel (on Linux 6.17 `recv_exact` of a Unix socket breaks its chain)"
        );
        return;
    }
    on_workers(|| async {
        for how in 0..3 {
            for done in 0..=3 {
                dropped_after(done, how).await;
            }
        }
    });
}

#[test]
fn one_that_was_never_polled() {
    on_workers(|| async {
        let ([mut a, _keep], [b, mut c]) = pairs();
        drop(chain((b.native().recv(buf()), c.native().recv(buf()))));
        a.write_all(b"x").await.unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(3), c.read(&mut [0])).await.is_err());
        let mut got = [0; 1];
        (&b).native_read(&mut got).await;
        assert_eq!(&got, b"x");
    });
}

trait NativeRead {
    async fn native_read(&self, into: &mut [u8]);
}

impl NativeRead for &UnixStream {
    async fn native_read(&self, into: &mut [u8]) {
        let (n, got) = self.native().recv(vec![0; into.len()]).await;
        into[..n.unwrap()].copy_from_slice(&got[..]);
    }
}

#[test]
fn a_time_limit_for_all_of_it() {
    on_workers(|| async {
        for done in 0..=3_usize {
            for is_hard in [false, true] {
                let (mut peers, ours) = pairs::<3>();
                let [a, b, c] = &ours;
                let parts = (a.native().recv(buf()), b.native().recv(buf()), c.native().recv(buf()));
                let all = chain(parts).timeout(Duration::from_millis(30));
                let all = if is_hard { all.hard() } else { all };
                // There before the time begins.
                for peer in peers.iter_mut().take(done) {
                    peer.write_all(b"x").await.unwrap();
                }
                let (a, b, c) = all.await;
                for (i, (result, buf)) in [a, b, c].into_iter().enumerate() {
                    assert_eq!(buf.capacity(), 4);
                    match i {
                        _ if i < done => assert_eq!(result.unwrap(), 1),
                        _ if i == done || is_hard => {
                            assert_eq!(result.unwrap_err().kind(), ErrorKind::TimedOut, "{i} of {done}");
                        }
                        _ => assert!(is_cancelled(&result), "{result:?}"),
                    }
                }
                for (i, (mut peer, mut ours)) in peers.into_iter().zip(ours).enumerate() {
                    peer.write_all(&[i as u8]).await.unwrap();
                    let mut got = [0; 1];
                    ours.read_exact(&mut got).await.unwrap();
                    assert_eq!(got, [i as u8]);
                }
            }
        }
        until_in_flight(RECV, 0).await;
    });
}

/// The limit of a part that waits for others counts all the while.
#[test]
fn limits_of_single_parts() {
    on_workers(|| async {
        let ([mut a, _keep], [b, c]) = pairs();
        let second = c.native().recv(buf()).timeout(Duration::from_millis(40));
        let mut both = pin!(chain((b.native().recv(buf()), second)).timeout(LONG));
        assert!(poll!(&mut both).is_pending());
        tokio::time::sleep(Duration::from_millis(30)).await;
        a.write_all(b"x").await.unwrap();
        let start = std::time::Instant::now();
        let ((first, _), (second, _)) = both.await;
        assert_eq!(first.unwrap(), 1);
        assert_eq!(second.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(5));
    });
}

#[test]
fn a_paused_clock() {
    let rt = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    rt.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir, "file").await;
        // What has not begun does not hold the clock.
        let ([mut a], [b]) = pairs();
        let peer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            a.write_all(b"x").await.unwrap();
            a
        });
        let parts = (b.native().recv(buf()), file.native().write_at("x", 0), file.native().fsync());
        let ((received, _), (written, _), synced) = chain(parts).await;
        assert_eq!((received.unwrap(), written.unwrap()), (1, 1));
        synced.unwrap();
        let _a = peer.await.unwrap();

        let parts = (b.native().recv(buf()), file.native().fsync());
        let ((received, _), rest) = chain(parts).timeout(Duration::from_secs(3600)).await;
        assert_eq!(received.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(is_cancelled(&rest));
    });
}

#[test]
fn what_a_dropped_receive_has_left_comes_first() {
    on_workers(|| async {
        let ([mut a, mut c], [b, mut d]) = pairs();
        let leave = async |peer: &mut UnixStream, ours: &UnixStream, bytes: &[u8]| {
            let mut recv = Box::pin(ours.native().recv(Vec::with_capacity(64)));
            assert!(poll!(&mut recv).is_pending());
            yield_now().await;
            peer.write_all(bytes).await.unwrap();
            moment().await;
        };
        leave(&mut a, &b, b"left").await;
        let ((received, buf), (sent, _)) = chain((b.native().recv(buf()), d.native().send("go"))).await;
        assert_eq!((received.unwrap(), &buf[..], sent.unwrap()), (4, &b"left"[..], 2));

        // In a later part: not taken before its turn, and not lost if that does not come.
        leave(&mut a, &b, b"more").await;
        {
            let parts = (d.native().recv(Vec::with_capacity(4)), b.native().recv(Vec::with_capacity(4)));
            let mut both = pin!(chain(parts).timeout(Duration::from_millis(5)));
            assert!(poll!(&mut both).is_pending());
            let ((first, _), (second, _)) = both.await;
            assert_eq!(first.unwrap_err().kind(), ErrorKind::TimedOut);
            assert!(is_cancelled(&second));
        }
        // Taken by a part that is over, when the chain is dropped.
        {
            let parts = (b.native().recv(Vec::with_capacity(4)), d.native().recv(Vec::with_capacity(4)));
            let mut both = pin!(chain(parts));
            assert!(poll!(&mut both).is_pending());
        }
        let mut got = [0; 4];
        (&b).native_read(&mut got).await;
        assert_eq!(&got, b"more");
        c.write_all(b"x").await.unwrap();
        d.read_exact(&mut got[..1]).await.unwrap();
    });
}

#[test]
fn connections_of_a_dropped_chain_are_kept() {
    on_workers(|| async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let accept = || listener.native().accept();
        let mut clients = Vec::new();
        for how in 0..3 {
            let mut both = Box::pin(chain((accept(), accept())));
            assert!(poll!(&mut both).is_pending());
            yield_now().await;
            clients.push(TcpStream::connect(addr).await.unwrap());
            moment().await;
            drop(both);
            if how == 2 {
                // One that finds what was left, and is dropped, too.
                let mut both = Box::pin(chain((accept(), accept())));
                assert!(poll!(&mut both).is_pending());
                moment().await;
                drop(both);
            }
            let (_, peer) = tokio::time::timeout(LONG, listener.accept()).await.unwrap().unwrap();
            assert_eq!(peer, clients.last().unwrap().local_addr().unwrap());
        }
    });
}

/// More than fits into the submission queue, again and again.
#[test]
fn more_chains_than_the_queue_has_room_for() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir, "file").await;
        let file = &file.native();
        let one = |i: u64| async move {
            let parts = (
                file.write_all_at(vec![i as u8; 16], 16 * i),
                file.read_exact_at(vec![0; 16], 16 * i),
                file.write_all_at(vec![!(i as u8); 16], 16 * i),
                file.read_exact_at(vec![0; 16], 16 * i),
            );
            let ((a, _), (b, before), (c, _), (d, after)) = chain(parts).timeout(LONG).await;
            for result in [a, b, c, d] {
                assert_eq!(result.unwrap(), 16);
            }
            assert_eq!((before, after), (vec![i as u8; 16], vec![!(i as u8); 16]));
        };
        futures::future::join_all((0..600).map(one)).await;
    });
}

/// A pipe takes a part of what is to be written, and has to be waited for.
#[test]
fn a_part_in_several_steps_keeps_its_place() {
    on_workers(|| async {
        let (writer, mut reader) = pipe::pipe().unwrap();
        let all: Vec<u8> = (0..300_000_usize).map(|i| (i % 251) as u8).collect();
        let expected = [&all[..], b"end"].concat();
        let read = tokio::spawn(async move {
            moment().await;
            let mut got = Vec::new();
            reader.read_to_end(&mut got).await.unwrap();
            got
        });
        let ((one, _), (two, _)) =
            chain((writer.native().write_all(all), writer.native().write_all("end"))).await;
        one.unwrap();
        two.unwrap();
        drop(writer);
        assert!(read.await.unwrap() == expected, "out of order");
    });
}

/// A bad argument of a later part is not reported before its turn.
#[test]
fn arguments_that_are_wrong() {
    on_workers(|| async {
        let dir = tempfile::tempdir().unwrap();
        let file = file(&dir, "file").await;
        let bad = || native::fs::mkdir("in\0valid", 0o700);
        let ((written, _), made, synced) =
            chain((file.native().write_at("x", 0), bad(), file.native().fsync())).await;
        assert_eq!(written.unwrap(), 1);
        assert_eq!(made.unwrap_err().kind(), ErrorKind::InvalidInput);
        assert!(is_cancelled(&synced));
    });
}

#[test]
fn on_the_ring_of_a_shard() {
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let scene = || async {
        let lane = native::lane(Shard::new(1)).unwrap();
        for is_of_part in [false, true] {
            let ([mut a, mut c], [b, d]) = pairs();
            let recv = b.native().recv(buf());
            let both = match is_of_part {
                false => chain((recv, d.native().send("sent"))).on(&lane),
                true => chain((recv.on(&lane), d.native().send("sent"))),
            };
            let mut both = pin!(both);
            assert!(poll!(&mut both).is_pending());
            if !is_emulated() {
                let remote = Handle::current().remote(Shard::new(1)).unwrap();
                while [RECV, SEND].map(|opcode| remote.stats().in_flight(opcode)) != [1, 1] {
                    moment().await;
                }
            }
            a.write_all(b"x").await.unwrap();
            let ((received, _), (sent, _)): (BufResult<usize, _>, BufResult<usize, _>) = both.await;
            assert_eq!((received.unwrap(), sent.unwrap()), (1, 4));
            c.read_exact(&mut [0; 4]).await.unwrap();

            // Dropped on its way there.
            let mut both = Box::pin(chain((b.native().recv(buf()), d.native().recv(buf()))).on(&lane));
            assert!(poll!(&mut both).is_pending());
            drop(both);
            until_in_flight(RECV, 0).await;
        }
    };
    rt.block_on(async {
        let scene = tokio::time::timeout(LONG, scene());
        shard::spawn_pinned(Shard::new(0), scene).await.unwrap().expect("the test hangs");
    });
}

/// What is on the ring is called back, and done elsewhere, still in order.
#[test]
fn a_worker_that_blocks_in_place() {
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let scene = || async {
        let ([mut a, mut c], [b, mut d]) = pairs();
        let (go, wait) = mpsc::channel::<()>();
        let (said, is_in) = tokio::sync::oneshot::channel();
        let both = tokio::spawn(async move {
            let parts = (b.native().recv(buf()), b.native().send("sent"), b.native().recv_exact(buf()));
            chain(parts).await
        });
        until_in_flight(RECV, 2).await;
        let blocked = tokio::spawn(async move {
            tokio::task::block_in_place(|| {
                said.send(()).unwrap();
                wait.recv().unwrap();
            });
        });
        is_in.await.unwrap();
        moment().await;
        a.write_all(b"one").await.unwrap();
        let mut got = [0; 4];
        a.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"sent");
        a.write_all(b"four").await.unwrap();
        let ((one, first), (sent, _), (four, last)) = both.await.unwrap();
        assert_eq!((one.unwrap(), &first[..], sent.unwrap()), (3, &b"one"[..], 4));
        four.unwrap();
        assert_eq!(last, b"four");
        go.send(()).unwrap();
        blocked.await.unwrap();
        c.write_all(b"x").await.unwrap();
        d.read_exact(&mut [0]).await.unwrap();
    };
    rt.block_on(async {
        tokio::spawn(tokio::time::timeout(LONG, scene())).await.unwrap().expect("the test hangs");
    });
}

/// A `current_thread` runtime goes from one thread to another meanwhile.
#[test]
fn a_runtime_that_changes_threads() {
    let rt = Builder::new_current_thread().enable_all().build().unwrap();
    let (mut peers, ours) = rt.block_on(async { pairs::<2>() });
    let [b, d] = ours;
    let both = rt.spawn(async move { chain((b.native().recv(buf()), d.native().recv(buf()))).await });
    for peer in &mut peers {
        rt.block_on(moment());
        std::thread::scope(|scope| {
            scope.spawn(|| rt.block_on(async { peer.write_all(b"x").await.unwrap() })).join().unwrap();
        });
    }
    let ((one, _), (two, _)) =
        rt.block_on(async { tokio::time::timeout(LONG, both).await }).unwrap().unwrap();
    assert_eq!((one.unwrap(), two.unwrap()), (1, 1));
}

#[test]
fn a_runtime_that_ends_meanwhile() {
    let here = Builder::new_current_thread().enable_all().build().unwrap();
    for polls in 0..2 {
        let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (_peers, ours) = rt.block_on(async { pairs::<2>() });
        let remotes: Vec<_> = rt.handle().shards().map(|s| rt.handle().remote(s).unwrap()).collect();
        let [b, d] = &ours;
        let mut both = Box::pin(chain((b.native().recv(buf()), d.native().recv(buf()))));
        here.block_on(async {
            for _ in 0..polls {
                assert!(poll!(&mut both).is_pending());
                moment().await;
            }
        });
        rt.shutdown_timeout(LONG);
        let ended = here.block_on(async { tokio::time::timeout(LONG, both).await });
        let ((one, x), (two, y)) = ended.expect("it hangs");
        assert!(one.is_err() && is_cancelled(&two), "{one:?} {two:?}");
        assert_eq!([x, y].map(|buf| buf.capacity()), [4, 4]);
        assert!(remotes.iter().all(|remote| remote.stats().leaked == 0));
    }
}

#[test]
fn after_completion_it_panics() {
    let rt = Builder::new_current_thread().enable_all().build().unwrap();
    rt.block_on(async {
        let ([mut a], [b]) = pairs();
        a.write_all(b"xy").await.unwrap();
        let mut both = chain((b.native().recv(vec![0; 1]), b.native().recv(vec![0; 1])));
        let ((one, x), (two, y)) = (&mut both).await;
        assert_eq!((one.unwrap(), two.unwrap(), x, y), (1, 1, b"x".to_vec(), b"y".to_vec()));
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
            let _ = std::pin::Pin::new(&mut both).poll(&mut cx);
        }));
        assert!(again.is_err());
    });
}

#[test]
fn a_part_that_wants_nothing_waits_for_nothing() {
    on_workers(|| async {
        let (a, b) = tcp_pair().await;
        let parts = (b.native().recv_exact(Vec::new()), b.native().recv(Vec::new()), a.native().send("x"));
        let ((exact, _), (some, _), (sent, _)) = chain(parts).await;
        exact.unwrap();
        assert_eq!((some.unwrap(), sent.unwrap()), (0, 1));
        // In the middle of it, too.
        let parts = (a.native().send("y"), b.native().recv_exact(Vec::new()), a.native().send("z"));
        let ((_, _), (exact, _), (sent, _)) = chain(parts).await;
        exact.unwrap();
        assert_eq!(sent.unwrap(), 1);
        assert_eq!(b.native().recv_exact(vec![0; 3]).await.1, b"xyz");
    });
}

/// The peer's bytes count up; chains of receives are dropped as they come, by another thread than the ring's.
#[test]
fn what_dropped_parts_have_received_stays_in_order() {
    for round in 0..12 {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let all = tokio::time::timeout(LONG, counted_bytes(round)).await;
            assert!(all.is_ok(), "it hangs");
        });
    }
}

/// Each poll of the chain that is not ready is its last one. Reads it all, and counts.
async fn counted_bytes(round: u64) {
    const ALL: usize = 6000;
    let (ours, mut peer) = UnixStream::pair().unwrap();
    let writes = tokio::spawn(async move {
        for i in 0..ALL as u64 + 16 {
            peer.write_all(&[(i % 251) as u8]).await.unwrap();
            if i % 7 == 0 {
                tokio::time::sleep(Duration::from_micros((i + round) % 5 * 40)).await;
            }
        }
        peer
    });
    let ours = ours.native();
    let mut at = 0;
    let mut count = |bytes: &[u8]| {
        for &byte in bytes {
            assert_eq!(byte, (at % 251) as u8, "byte {at} of round {round}");
            at += 1;
        }
        at
    };
    loop {
        let mut both =
            Box::pin(chain((ours.recv_exact(vec![0; 1]), ours.recv_exact(vec![0; 3]))).into_future());
        let both_ended = if let Poll::Ready(ended) = poll!(&mut both) { Some(ended) } else { None };
        drop(both);
        if let Some(((one, first), (three, rest))) = both_ended {
            one.unwrap();
            three.unwrap();
            count(&first);
            count(&rest);
        }
        let (n, bytes) = ours.recv(vec![0; 5]).await;
        if count(&bytes[..n.unwrap()]) >= ALL {
            break;
        }
    }
    writes.abort();
}
