//! Calls to the file system, wherever they are carried out: with the results of `std::fs`, under whatever
//! executor polls them, and wherever their runtime is driven.

use std::future::poll_fn;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::task::Poll;
use std::time::Duration;
use std::{fs, io, thread};

use futures::stream::{FuturesUnordered, StreamExt};
use tempfile::TempDir;
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::runtime::{BackendKind, Builder, Runtime};
use tokio::task::{LocalSet, block_in_place, spawn_blocking};
use tokio::time::{sleep, timeout};

/// Ends the process if `f` does not end: a call nobody carries out would wait for ever.
fn in_time<R>(f: impl FnOnce() -> R) -> R {
    let done = Arc::new(AtomicBool::new(false));
    let watched = done.clone();
    let name = thread::current().name().unwrap_or("?").to_owned();
    thread::spawn(move || {
        for _ in 0..300 {
            thread::sleep(Duration::from_millis(100));
            if watched.load(SeqCst) {
                return;
            }
        }
        eprintln!("{name}: not within 30 s");
        std::process::abort();
    });
    let result = f();
    done.store(true, SeqCst);
    result
}

fn runtimes() -> Vec<Runtime> {
    vec![
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ]
}

/// A folder with a file in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    fs::write(&path, "contents").unwrap();
    (folder, path)
}

fn fifo(folder: &Path) -> PathBuf {
    let path = folder.join("fifo");
    let name = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
    // Not by a program: until it runs, a child has copies of the readers and writers of other tests.
    // SAFETY: a path that ends in a zero.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    path
}

/// All that a ring may carry out, once.
async fn everything(folder: &Path) -> io::Result<()> {
    let at = |name| folder.join(name);
    tokio::fs::write(at("a"), "one").await?;
    let mut file =
        OpenOptions::new().read(true).write(true).create(true).truncate(true).open(at("b")).await?;
    file.write_all(b"two two").await?;
    file.sync_all().await?;
    file.sync_data().await?;
    file.rewind().await?;
    let mut text = String::new();
    file.read_to_string(&mut text).await?;
    assert_eq!(text, "two two");
    tokio::fs::rename(at("a"), at("c")).await?;
    tokio::fs::hard_link(at("b"), at("d")).await?;
    tokio::fs::symlink("d", at("e")).await?;
    assert_eq!(tokio::fs::read_to_string(at("e")).await?, "two two");
    tokio::fs::create_dir(at("f")).await?;
    assert!(tokio::fs::metadata(at("f")).await?.is_dir());
    tokio::fs::remove_dir(at("f")).await?;
    for name in ["b", "c", "d", "e"] {
        tokio::fs::remove_file(at(name)).await?;
    }
    Ok(())
}

#[test]
fn everything_works_on_all_flavours() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = folder.path().to_owned();
        in_time(|| {
            rt.block_on(everything(&path)).unwrap();
            rt.block_on(rt.spawn(async move { everything(&path).await })).unwrap().unwrap();
        });
    }
}

/// Nobody turns the ring of a thread that a foreign executor keeps: such calls must not go there.
#[test]
fn under_an_executor_of_somebody_else() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = folder.path().to_owned();
        let foreign = move || futures::executor::block_on(everything(&path)).unwrap();
        in_time(|| {
            // In `block_on`, in a task, on a thread of the blocking pool, on one that is just entered.
            rt.block_on(async { foreign() });
            let task = foreign.clone();
            rt.block_on(rt.spawn(async move { task() })).unwrap();
            let pool = foreign.clone();
            rt.block_on(async { spawn_blocking(pool).await }).unwrap();
            let _entered = rt.enter();
            foreign();
        });
    }
}

#[test]
fn under_collections_with_wakers_of_their_own() {
    for rt in runtimes() {
        let (_folder, path) = folder();
        let reads = || (0..50).map(|_| tokio::fs::read(path.clone())).collect::<FuturesUnordered<_>>();
        let check = |mut reads: FuturesUnordered<_>| async move {
            let mut n = 0;
            while let Some(bytes) = reads.next().await {
                let bytes: io::Result<Vec<u8>> = bytes;
                assert_eq!(bytes.unwrap(), b"contents");
                n += 1;
            }
            assert_eq!(n, 50);
        };
        in_time(|| {
            rt.block_on(check(reads()));
            rt.block_on(rt.spawn(check(reads()))).unwrap();
            // The same under a foreign executor.
            rt.block_on(async { futures::executor::block_on(check(reads())) });
        });
    }
}

/// A set is driven by whoever polls it.
#[test]
fn in_a_local_set() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = folder.path().to_owned();
        in_time(|| {
            let set = LocalSet::new();
            let task = path.clone();
            let task = set.spawn_local(async move { everything(&task).await });
            rt.block_on(set.run_until(task)).unwrap().unwrap();
            let task = path.clone();
            set.spawn_local(async move { everything(&task).await.unwrap() });
            rt.block_on(async { futures::executor::block_on(set) });
        });
    }
}

/// Begun by a task, and then waited for by a foreign executor on the same thread.
#[test]
fn handed_to_a_foreign_executor_halfway() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = folder.path().to_owned();
        let halfway = move || {
            let path = path.clone();
            async move {
                for _ in 0..20 {
                    let mut call = Box::pin(tokio::fs::rename(path.join("file"), path.join("file")));
                    let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
                    if polled.is_pending() {
                        futures::executor::block_on(call).unwrap();
                    }
                }
            }
        };
        in_time(|| {
            rt.block_on(halfway());
            rt.block_on(rt.spawn(halfway())).unwrap();
        });
    }
}

/// The same errors as `std::fs`, to the letter.
#[test]
fn errors_are_those_of_std() {
    fn same<T, U>(ours: io::Result<T>, std: io::Result<U>) {
        let (Err(ours), Err(std)) = (ours, std) else { panic!("one of them succeeds") };
        assert_eq!((ours.kind(), ours.raw_os_error()), (std.kind(), std.raw_os_error()));
        assert_eq!(ours.to_string(), std.to_string());
    }

    let (folder, path) = folder();
    let dir = folder.path();
    fs::write(dir.join("not-utf8"), [0xFF, 0xFE]).unwrap();
    for rt in runtimes() {
        in_time(|| {
            rt.block_on(async {
                for name in ["missing", "missing/below", "file/below", "with\0zero", "", "."] {
                    let at = &dir.join(name);
                    let at = if name.is_empty() { Path::new("") } else { at };
                    if name != "." {
                        same(File::open(at).await, fs::File::open(at));
                        same(tokio::fs::read(at).await, fs::read(at));
                        same(tokio::fs::rename(at, dir.join("new")).await, fs::rename(at, dir.join("new")));
                        same(
                            tokio::fs::hard_link(at, dir.join("new")).await,
                            fs::hard_link(at, dir.join("new")),
                        );
                    }
                    same(tokio::fs::remove_file(at).await, fs::remove_file(at));
                    same(tokio::fs::read_to_string(at).await, fs::read_to_string(at));
                    let symlink = |link: &Path| std::os::unix::fs::symlink("x", link);
                    if name != "missing" {
                        same(File::create(at).await, fs::File::create(at));
                        same(tokio::fs::create_dir(at).await, fs::create_dir(at));
                        same(tokio::fs::remove_dir(at).await, fs::remove_dir(at));
                        same(tokio::fs::symlink("x", at).await, symlink(at));
                    }
                }
                same(tokio::fs::remove_dir(dir).await, fs::remove_dir(dir));
                same(tokio::fs::create_dir(&path).await, fs::create_dir(&path));
                same(File::create_new(&path).await, fs::File::create_new(&path));
                let not_utf8 = dir.join("not-utf8");
                same(tokio::fs::read_to_string(&not_utf8).await, fs::read_to_string(&not_utf8));
                // Options that contradict each other.
                for bits in 0..64_u32 {
                    let bit = |n: u32| bits & 1 << n != 0;
                    let mut ours = OpenOptions::new();
                    ours.read(bit(0)).write(bit(1)).append(bit(2));
                    ours.truncate(bit(3)).create(bit(4)).create_new(bit(5));
                    let mut std = fs::OpenOptions::new();
                    std.read(bit(0)).write(bit(1)).append(bit(2));
                    std.truncate(bit(3)).create(bit(4)).create_new(bit(5));
                    match (ours.open(&path).await, std.open(&path)) {
                        (Ok(_), Ok(_)) => {}
                        (ours, std) => same(ours, std),
                    }
                }
                // The wrong direction.
                let mut file = OpenOptions::new().write(true).open(&path).await.unwrap();
                let mut std = fs::OpenOptions::new().write(true).open(&path).unwrap();
                same(file.read(&mut [0; 8]).await, io::Read::read(&mut std, &mut [0; 8]));
                let mut file = File::open(&path).await.unwrap();
                let mut std = fs::File::open(&path).unwrap();
                file.write_all(b"x").await.unwrap();
                let error = file.flush().await.unwrap_err();
                assert_eq!(error.kind(), std.write_all(b"x").unwrap_err().kind());
                same(
                    file.seek(io::SeekFrom::Current(-1)).await,
                    io::Seek::seek(&mut std, io::SeekFrom::Current(-1)),
                );
            });
        });
    }
}

#[test]
fn modes_and_flags_arrive() {
    let (folder, path) = folder();
    for rt in runtimes() {
        in_time(|| {
            rt.block_on(async {
                let new = folder.path().join("new");
                let file =
                    OpenOptions::new().write(true).create_new(true).mode(0o604).open(&new).await.unwrap();
                assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o604);
                drop(file);
                fs::remove_file(&new).unwrap();
                tokio::fs::DirBuilder::new().mode(0o700).create(&new).await.unwrap();
                assert_eq!(fs::metadata(&new).unwrap().permissions().mode() & 0o777, 0o700);
                fs::remove_dir(&new).unwrap();
                // O_DIRECTORY
                let mut options = OpenOptions::new();
                options.read(true).custom_flags(0o200_000);
                assert_eq!(options.open(&path).await.unwrap_err().kind(), io::ErrorKind::NotADirectory);
                options.open(folder.path()).await.unwrap();
            });
        });
    }
}

/// Waits until `is_so`.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
    panic!("{what}: not within 10 s");
}

/// A change that has begun goes on when its future is dropped: a time limit does not undo it.
#[test]
fn changes_go_on_when_nobody_waits() {
    const N: usize = 30;

    /// Begins a call, and forgets it.
    async fn begun<T>(call: impl Future<Output = io::Result<T>>) {
        let mut call = Box::pin(call);
        let polled = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await;
        assert!(polled.is_pending(), "it is done between two polls");
    }

    for rt in runtimes() {
        let (folder, _) = folder();
        let at = |name: &str, n: usize| folder.path().join(format!("{name}{n}"));
        for n in 0..N {
            for name in ["renamed", "removed", "linked", "opened"] {
                fs::write(at(name, n), "contents").unwrap();
            }
            fs::create_dir(at("removed-dir", n)).unwrap();
        }
        rt.block_on(async {
            for n in 0..N {
                begun(tokio::fs::rename(at("renamed", n), at("other", n))).await;
                begun(tokio::fs::remove_file(at("removed", n))).await;
                begun(tokio::fs::hard_link(at("linked", n), at("link", n))).await;
                begun(tokio::fs::symlink("nowhere", at("symlink", n))).await;
                begun(tokio::fs::create_dir(at("dir", n))).await;
                begun(tokio::fs::remove_dir(at("removed-dir", n))).await;
                begun(File::create(at("created", n))).await;
                begun(OpenOptions::new().write(true).truncate(true).open(at("opened", n))).await;
            }
        });
        let is_there = |name, n| fs::symlink_metadata(at(name, n)).is_ok();
        for n in 0..N {
            for name in ["other", "link", "symlink", "dir", "created"] {
                wait_until(name, || is_there(name, n));
            }
            for name in ["renamed", "removed", "removed-dir"] {
                wait_until(name, || !is_there(name, n));
            }
            wait_until("opened", || fs::metadata(at("opened", n)).unwrap().len() == 0);
        }
    }
}

/// A FIFO is opened once: a first reader that goes again would let the writer go with it.
#[test]
fn a_fifo_is_opened_once() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = fifo(folder.path());
        in_time(|| {
            for _ in 0..20 {
                let theirs = path.clone();
                let writer = thread::spawn(move || fs::write(theirs, "a line"));
                // So that it waits for a reader.
                thread::sleep(Duration::from_millis(10));
                let ours = path.clone();
                let text = rt.block_on(rt.spawn(async move { tokio::fs::read_to_string(ours).await }));
                assert_eq!(text.unwrap().unwrap(), "a line");
                writer.join().unwrap().unwrap();
            }
        });
    }
}

/// What the user says is meant: this one does not wait.
#[test]
fn a_fifo_in_non_blocking_mode_does_not_wait() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = fifo(folder.path());
        in_time(|| {
            rt.block_on(async {
                let mut options = OpenOptions::new();
                options.read(true).custom_flags(libc::O_NONBLOCK);
                let mut reader = options.open(&path).await.unwrap();
                let mut writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
                let error = reader.read(&mut [0; 8]).await.unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
                writer.write_all(b"now").unwrap();
                let mut buf = [0; 8];
                assert_eq!(reader.read(&mut buf).await.unwrap(), 3);

                let mut options = OpenOptions::new();
                options.write(true).custom_flags(libc::O_NONBLOCK);
                drop((reader, writer));
                // A child that another test starts has a copy of the reader until it runs its program.
                let start = std::time::Instant::now();
                let error = loop {
                    match options.open(&path).await {
                        Err(error) => break error,
                        Ok(_) => {
                            assert!(start.elapsed() < std::time::Duration::from_secs(20), "somebody reads")
                        }
                    }
                };
                assert_eq!(error.raw_os_error(), Some(libc::ENXIO));
            });
        });
    }
}

/// Calls that are stuck in the kernel take nobody's turn.
#[test]
fn stuck_opens_hold_up_nobody() {
    for rt in runtimes() {
        let (folder, path) = folder();
        let fifo = fifo(folder.path());
        in_time(|| {
            rt.block_on(async {
                let opens: Vec<_> =
                    (0..40).map(|n| tokio::spawn(stuck_open(fifo.clone(), n % 2 == 0))).collect();
                sleep(Duration::from_millis(50)).await;
                everything(folder.path()).await.unwrap();
                assert_eq!(tokio::fs::read(&path).await.unwrap(), b"contents");
                // Some that is both ends lets them go.
                let _both = fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
                for open in opens {
                    open.await.unwrap();
                }
            });
        });
    }
}

/// Waits for a reader of a FIFO, with one open or the other.
async fn stuck_open(fifo: PathBuf, creates: bool) {
    let open =
        if creates { File::create(&fifo).await } else { OpenOptions::new().write(true).open(&fifo).await };
    drop(open.unwrap());
}

/// Opening waits, and the one opening there is does.
#[test]
fn opening_a_fifo_waits_for_the_other_side() {
    for rt in runtimes() {
        let (folder, _) = folder();
        let path = fifo(folder.path());
        in_time(|| {
            rt.block_on(async {
                let mut reader = Box::pin(File::open(path.clone()));
                assert!(timeout(Duration::from_millis(50), reader.as_mut()).await.is_err(), "no writer yet");
                let writer = path.clone();
                let writer = spawn_blocking(move || fs::OpenOptions::new().write(true).open(writer).unwrap());
                let mut reader = reader.await.unwrap();
                let mut writer = writer.await.unwrap();
                // What is there, not what was asked for.
                writer.write_all(b"some").unwrap();
                let mut buf = [0; 64];
                assert_eq!(reader.read(&mut buf).await.unwrap(), 4);
                drop(writer);
                assert_eq!(reader.read(&mut buf).await.unwrap(), 0);
                drop(reader);

                let mut options = OpenOptions::new();
                let writer = options.write(true).open(path.clone());
                let mut writer = pin!(writer);
                assert!(timeout(Duration::from_millis(50), writer.as_mut()).await.is_err(), "no reader yet");
                let reader = path.clone();
                let reader = spawn_blocking(move || fs::File::open(reader).unwrap());
                assert!(writer.await.unwrap().metadata().await.unwrap().file_type().is_fifo());
                drop(reader.await.unwrap());
            });
        });
    }
}

/// A FIFO that both sides have open, and a read that waits in it.
async fn waiting_read(path: PathBuf) -> (fs::File, tokio::task::JoinHandle<Vec<u8>>) {
    let mut file = OpenOptions::new().read(true).write(true).open(&path).await.unwrap();
    let writer = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let read = tokio::spawn(async move {
        let mut buf = [0; 64];
        let n = file.read(&mut buf).await.unwrap();
        buf[..n].to_vec()
    });
    tokio::task::yield_now().await;
    sleep(Duration::from_millis(5)).await;
    (writer, read)
}

/// Neither side of a `block_in_place` holds the other up.
#[test]
fn h22_block_in_place_takes_no_operation_along() {
    for workers in [1, 2] {
        let rt = Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap();
        let (folder, _) = folder();
        let path = fifo(folder.path());
        in_time(|| {
            for _ in 0..20 {
                let path = path.clone();
                let task = rt.spawn(async move {
                    let (mut writer, read) = waiting_read(path).await;
                    block_in_place(|| {
                        writer.write_all(b"meanwhile").unwrap();
                        // The read is done by somebody else, while this thread is away.
                        tokio::runtime::Handle::current().block_on(read).unwrap()
                    })
                });
                assert_eq!(rt.block_on(task).unwrap(), b"meanwhile");
            }
        });
    }
}

/// A read that is in flight when its `block_on` ends goes on under the next, on whatever thread.
#[test]
fn h20_calls_follow_their_runtime_to_another_thread() {
    let (folder, _) = folder();
    let path = fifo(folder.path());
    let mut rt = Builder::new_current_thread().enable_all().build().unwrap();
    in_time(|| {
        for round in 0..50 {
            let (mut writer, read) = rt.block_on(waiting_read(path.clone()));
            let before = round % 2 == 0;
            if before {
                writer.write_all(b"before").unwrap();
            }
            let next = thread::spawn(move || {
                if !before {
                    writer.write_all(b"behind").unwrap();
                }
                assert_eq!(rt.block_on(read).unwrap(), if before { b"before" } else { b"behind" });
                rt
            });
            rt = next.join().unwrap();
        }
    });
}

/// A runtime that ends takes the calls in flight along, and does not wait for data that never comes.
#[test]
fn h11_a_runtime_ends_with_calls_in_flight() {
    let (folder, _) = folder();
    let path = fifo(folder.path());
    in_time(|| {
        for rt in runtimes() {
            if rt.handle().backend().kind() != BackendKind::IoUring {
                // There, as on Tokio, a thread of the pool does such a read. It is waited for.
                continue;
            }
            let mut reads = Vec::new();
            for _ in 0..10 {
                reads.push(rt.block_on(waiting_read(path.clone())));
            }
            drop(rt);
            for (_writer, read) in reads {
                assert!(futures::executor::block_on(read).unwrap_err().is_cancelled());
            }
        }
    });
}

/// How many descriptors this process has for files in `folder`.
fn descriptors(folder: &Path) -> usize {
    let targets =
        fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets.filter(|target| target.starts_with(folder)).count()
}

/// Whatever becomes of its future, a file that was opened is closed.
#[test]
fn h12_dropped_opens_leave_no_descriptor() {
    for rt in runtimes() {
        let (folder, path) = folder();
        let canonical = folder.path().canonicalize().unwrap();
        let opens = async move {
            for n in 0..3_000_usize {
                let new = path.with_extension((n % 8).to_string());
                let mut options = OpenOptions::new();
                // One that is opened at once, and one that a thread of the pool opens.
                options.read(true).write(n % 2 == 0).create(n % 2 == 0);
                let mut open = Box::pin(options.open(if n % 2 == 0 { &new } else { &path }));
                let _ = poll_fn(|cx| Poll::Ready(open.as_mut().poll(cx))).await;
                for _ in 0..n % 3 {
                    tokio::task::yield_now().await;
                }
                drop(open);
            }
        };
        in_time(|| {
            rt.block_on(rt.spawn(opens)).unwrap();
            drop(rt);
            assert_eq!(descriptors(&canonical), 0);
        });
    }
}

/// Time does not pass while a file is waited for, as on Tokio.
#[test]
fn h46_a_paused_clock_waits_for_files() {
    let rt = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let (folder, path) = folder();
    in_time(|| {
        rt.block_on(async {
            for _ in 0..50 {
                let read = async {
                    let new = folder.path().join("new");
                    File::create(&new).await.unwrap().sync_all().await.unwrap();
                    tokio::fs::remove_file(&new).await.unwrap();
                    tokio::fs::read(&path).await.unwrap()
                };
                let read = timeout(Duration::from_secs(60), read).await;
                assert_eq!(read.expect("the clock ran ahead"), b"contents");
            }
            // And it does pass when there is nothing else.
            sleep(Duration::from_secs(60)).await;
        });
    });
}

/// A task that finds all it reads in memory must not keep its worker.
#[test]
fn h40_reads_that_never_wait_starve_nobody() {
    let rt = Builder::new_current_thread().enable_all().build().unwrap();
    let (_folder, path) = folder();
    in_time(|| {
        rt.block_on(async {
            let stop = Arc::new(AtomicBool::new(false));
            let reader = tokio::spawn({
                let stop = stop.clone();
                async move {
                    let mut file = File::open(path).await.unwrap();
                    let mut buf = [0; 8];
                    while !stop.load(SeqCst) {
                        file.rewind().await.unwrap();
                        file.read_exact(&mut buf).await.unwrap();
                    }
                }
            });
            sleep(Duration::from_millis(20)).await;
            stop.store(true, SeqCst);
            reader.await.unwrap();
        });
    });
}

/// Only part of what is asked for is in memory, or is there at all.
#[test]
fn reads_end_where_they_should() {
    let (folder, _) = folder();
    let path = folder.path().join("large");
    let contents: Vec<u8> = (0..600_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    fs::write(&path, &contents).unwrap();
    for rt in runtimes() {
        in_time(|| {
            rt.block_on(async {
                assert_eq!(tokio::fs::read(&path).await.unwrap(), contents);
                let mut file = File::open(&path).await.unwrap();
                for size in [1, 4096, 65_536, 262_144, 262_145, 2_000_000] {
                    file.rewind().await.unwrap();
                    let mut buf = vec![0; size];
                    assert_eq!(file.read(&mut buf).await.unwrap(), size);
                    assert_eq!(buf, contents[..size]);
                }
                let end = contents.len() as u64;
                file.seek(io::SeekFrom::Start(end - 10)).await.unwrap();
                let mut buf = [0; 64];
                assert_eq!(file.read(&mut buf).await.unwrap(), 10);
                assert_eq!(file.read(&mut buf).await.unwrap(), 0);
                // No size, no `RWF_NOWAIT`.
                let status = tokio::fs::read_to_string("/proc/self/status").await.unwrap();
                assert!(status.starts_with("Name:"));
            });
        });
    }
}
