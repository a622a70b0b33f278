//! Files: what the published suite does not ask.

use std::fs::File as StdFile;
use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tempfile::{NamedTempFile, tempdir};
use tokio::fs::{self, DirBuilder, File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeek, AsyncSeekExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Builder;

/// Every write to it fails, with `StorageFull`.
async fn full() -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options.open("/dev/full").await.unwrap()
}

/// Cannot seek.
async fn fifo() -> (tempfile::TempDir, File) {
    let dir = tempdir().unwrap();
    let path = dir.path().join("fifo");
    let status = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(status.unwrap().success());
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(&path).await.unwrap();
    (dir, file)
}

async fn file_with(contents: &[u8]) -> (NamedTempFile, File) {
    let mut temp = NamedTempFile::new().unwrap();
    temp.write_all(contents).unwrap();
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).open(temp.path()).await;
    (temp, file.unwrap())
}

/// Polls once, then drops the future.
fn poll_once<F: Future>(f: F) -> Poll<F::Output> {
    let mut f = Box::pin(f);
    f.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs a test with a single thread for blocking calls.
fn run(test: impl Future<Output = ()>) {
    let mut builder = Builder::new_current_thread();
    let rt = builder.enable_all().max_blocking_threads(1).build().unwrap();
    rt.block_on(test);
}

/// Begins to read all there is and drops the future. It asks for more than is read at once, and the
/// single thread is kept busy, so that it cannot be ready.
fn abandoned_read(file: &mut File) {
    let (release, released) = mpsc::channel::<()>();
    drop(tokio::task::spawn_blocking(move || released.recv()));
    assert!(poll_once(file.read(&mut vec![0; 300_000])).is_pending());
    drop(release);
}

/// What a poll of such a call finds does not depend on how quick the pool is.
#[test]
fn a_call_on_the_pool_is_pending_at_first() {
    run(async {
        for _ in 0..3_000 {
            let mut call = std::pin::pin!(tokio::fs::metadata("/"));
            let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            call.await.unwrap();
        }
    });
}

#[tokio::test]
async fn a_failed_write_is_reported_by_the_next_flush_once() {
    let mut file = full().await;
    assert_eq!(file.write(b"lost").await.unwrap(), 4);
    assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::StorageFull);
    file.flush().await.unwrap();
}

#[tokio::test]
async fn a_failed_write_is_reported_by_the_next_write() {
    let mut file = full().await;
    assert_eq!(file.write(b"lost").await.unwrap(), 4);
    assert_eq!(file.write(b"not written").await.unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write(b"lost").await.unwrap(), 4);
}

#[tokio::test]
async fn reading_and_syncing_do_not_swallow_the_error_of_a_write() {
    let mut file = full().await;
    file.write_all(b"lost").await.unwrap();
    let mut buf = [1; 4];
    assert_eq!(file.read(&mut buf).await.unwrap(), 4); // /dev/full reads as zeros
    assert_eq!(buf, [0; 4]);
    let _ = file.sync_all().await;
    file.seek(SeekFrom::Start(0)).await.unwrap();
    assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::StorageFull);
}

/// With the error of a write kept *and* a read on its way, waiting must wait for the read.
#[test]
fn settling_waits_for_a_read_behind_a_failed_write() {
    run(async {
        for step in 0..3 {
            let mut file = full().await;
            file.write_all(b"lost").await.unwrap();
            file.read_exact(&mut [0; 1]).await.unwrap();
            abandoned_read(&mut file);
            match step {
                0 => drop(file.set_len(0).await),
                1 => drop(file.try_clone().await.unwrap()),
                _ => {
                    file.into_std().await;
                    continue;
                }
            }
            assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::StorageFull);
        }
    });
}

#[test]
fn bytes_of_an_abandoned_read_go_to_the_next() {
    run(async {
        let (_temp, mut file) = file_with(b"0123456789").await;
        abandoned_read(&mut file);
        let mut buf = [0; 4];
        file.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"0123");
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"456789");
    });
}

#[test]
fn a_write_goes_where_the_last_byte_was_handed_out() {
    run(async {
        let (temp, mut file) = file_with(b"0123456789").await;
        abandoned_read(&mut file);
        let mut buf = [0; 2];
        file.read_exact(&mut buf).await.unwrap();
        file.write_all(b"ab").await.unwrap();
        file.flush().await.unwrap();
        assert_eq!(std::fs::read(temp.path()).unwrap(), b"01ab456789");
    });
}

#[test]
fn a_relative_seek_counts_from_the_last_byte_handed_out() {
    run(async {
        let (_temp, mut file) = file_with(b"0123456789").await;
        for (by, to) in [(0, 2), (3, 5), (-1, 1), (i64::MAX, i64::MAX as u64 + 2)] {
            file.rewind().await.unwrap();
            abandoned_read(&mut file);
            file.read_exact(&mut [0; 2]).await.unwrap();
            match file.seek(SeekFrom::Current(by)).await {
                Ok(pos) => assert_eq!(pos, to),
                Err(e) => assert_eq!((by, e.kind()), (i64::MAX, ErrorKind::InvalidInput)),
            }
        }
        // The sum of what is unread and of the smallest offset does not fit.
        file.rewind().await.unwrap();
        abandoned_read(&mut file);
        assert!(file.seek(SeekFrom::Current(i64::MIN)).await.is_err());
        assert_eq!(file.stream_position().await.unwrap(), 0);
    });
}

#[test]
fn a_write_that_could_not_go_back_leaves_nothing_to_read() {
    run(async {
        let (_dir, mut file) = fifo().await;
        file.write_all(b"0123").await.unwrap();
        file.flush().await.unwrap();
        abandoned_read(&mut file);
        file.write_all(b"never read").await.unwrap(); // ESPIPE
        assert_eq!(file.flush().await.unwrap_err().kind(), ErrorKind::NotSeekable);
        file.write_all(b"4567").await.unwrap();
        let mut buf = [0; 4];
        file.read_exact(&mut buf).await.unwrap();
        assert_eq!(&buf, b"4567");
        file.flush().await.unwrap();
    });
}

#[test]
fn set_len_drops_what_was_read_ahead() {
    run(async {
        let (temp, mut file) = file_with(b"0123456789").await;
        abandoned_read(&mut file);
        file.read_exact(&mut [0; 2]).await.unwrap();
        file.set_len(3).await.unwrap();
        let mut rest = Vec::new();
        file.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"2");
        assert_eq!(std::fs::read(temp.path()).unwrap(), b"012");
        let read_only = File::open(temp.path()).await.unwrap();
        assert_eq!(read_only.set_len(0).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    });
}

#[tokio::test]
async fn a_seek_may_not_begin_while_something_is_on_its_way() {
    let (_temp, mut file) = file_with(b"0123456789").await;
    poll_fn(|cx| Pin::new(&mut file).poll_write(cx, b"ab")).await.unwrap();
    let e = Pin::new(&mut file).start_seek(SeekFrom::Start(0)).unwrap_err();
    assert_eq!(e.to_string(), "other file operation is pending, call poll_complete before start_seek");
    poll_fn(|cx| Pin::new(&mut file).poll_complete(cx)).await.unwrap();
    Pin::new(&mut file).start_seek(SeekFrom::Start(7)).unwrap();
    let pos = poll_fn(|cx| Pin::new(&mut file).poll_complete(cx)).await;
    assert_eq!(pos.unwrap(), 7);
}

#[tokio::test]
async fn a_file_is_given_back_only_when_idle() {
    let (_temp, mut file) = file_with(b"").await;
    let (_dir, mut pipe) = fifo().await;
    assert!(poll_once(pipe.read(&mut [0; 1])).is_pending());
    let pipe = pipe.try_into_std().unwrap_err(); // waits for a byte
    std::fs::write(_dir.path().join("fifo"), "x").unwrap();
    pipe.into_std().await;

    file.write_all(b"written").await.unwrap();
    let mut std: StdFile = file.into_std().await;
    std.rewind().unwrap();
    let mut contents = String::new();
    std.read_to_string(&mut contents).unwrap();
    assert_eq!(contents, "written");
}

#[tokio::test]
async fn reads_pipes_as_they_come() {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let mut file = File::from(reader);
    let mut writer = StdFile::from(writer);
    writer.write_all(b"a little").unwrap();
    let mut storage = [0; 64];
    let mut buf = ReadBuf::new(&mut storage);
    poll_fn(|cx| tokio::io::AsyncRead::poll_read(Pin::new(&mut file), cx, &mut buf)).await.unwrap();
    assert_eq!(buf.filled(), b"a little");
}

#[test]
fn writes_that_were_begun_outlive_the_runtime() {
    for _ in 0..50 {
        let temp = NamedTempFile::new().unwrap();
        let rt = Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let path = temp.path().to_owned();
        rt.block_on(async move {
            let mut file = File::create(path).await.unwrap();
            // The only thread is busy when the runtime goes.
            tokio::task::spawn_blocking(|| std::thread::sleep(Duration::from_millis(2)));
            file.write_all(b"kept").await.unwrap();
        });
        drop(rt);
        assert_eq!(std::fs::read(temp.path()).unwrap(), b"kept");
    }
}

#[test]
fn after_the_runtime_nothing_begins() {
    let temp = NamedTempFile::new().unwrap();
    let rt = Builder::new_current_thread().build().unwrap();
    let mut file = File::from_std(temp.reopen().unwrap());
    let handle = rt.handle().clone();
    drop(rt);

    let _guard = handle.enter();
    let Poll::Ready(Err(e)) = poll_once(fs::read(temp.path())) else {
        panic!("read on a runtime that is gone");
    };
    assert_eq!(e.to_string(), "background task failed");
    let Poll::Ready(Err(e)) = poll_once(file.write(b"x")) else {
        panic!("wrote on a runtime that is gone");
    };
    assert_eq!(e.to_string(), "background task failed");
}

#[tokio::test]
async fn directories_of_any_size_are_read_whole() {
    for n in [0, 1, 31, 32, 33, 64, 200] {
        let dir = tempdir().unwrap();
        for i in 0..n {
            fs::write(dir.path().join(i.to_string()), "").await.unwrap();
        }
        let mut names = Vec::new();
        let mut entries = fs::read_dir(dir.path()).await.unwrap();
        while let Some(entry) = entries.next_entry().await.unwrap() {
            assert!(entry.file_type().await.unwrap().is_file());
            names.push(entry.file_name().into_string().unwrap().parse::<usize>().unwrap());
        }
        assert!(entries.next_entry().await.unwrap().is_none());
        names.sort();
        assert_eq!(names, (0..n).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn links_are_followed_or_not() {
    let dir = tempdir().unwrap();
    let [target, link, second] = ["target", "link", "second"].map(|name| dir.path().join(name));
    fs::write(&target, "text").await.unwrap();
    fs::symlink(&target, &link).await.unwrap();
    fs::hard_link(&target, &second).await.unwrap();

    assert!(fs::metadata(&link).await.unwrap().is_file());
    assert!(fs::symlink_metadata(&link).await.unwrap().is_symlink());
    assert_eq!(fs::read_link(&link).await.unwrap(), target);
    assert_eq!(fs::canonicalize(&link).await.unwrap(), fs::canonicalize(&target).await.unwrap());

    fs::remove_file(&target).await.unwrap();
    assert!(!fs::try_exists(&link).await.unwrap());
    assert_eq!(fs::read_to_string(&second).await.unwrap(), "text");
    fs::rename(&second, &target).await.unwrap();
    assert_eq!(fs::read(&link).await.unwrap(), b"text");
}

#[tokio::test]
async fn recursive_builders_accept_what_exists() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("a/b");
    assert_eq!(fs::create_dir(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    builder.create(&path).await.unwrap();
    builder.create(&path).await.unwrap();
    assert_eq!(fs::create_dir(&path).await.unwrap_err().kind(), ErrorKind::AlreadyExists);
    fs::remove_dir_all(dir.path().join("a")).await.unwrap();
    fs::remove_dir(dir.path()).await.unwrap();
}
