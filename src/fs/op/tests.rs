//! Where calls run: at once, on a ring, or on the blocking pool.

use crate::fs::{self, File, OpenOptions};
use crate::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use crate::runtime::{BackendKind, Builder, Runtime};
use crate::sys::fault::Script;

use io_uring::opcode;

use std::future::Future;
use std::io::SeekFrom;
use std::path::{Path, PathBuf};

/// A folder on the disk: what is in memory (`/tmp` may be) has no direct I/O.
fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(Path::new(env!("CARGO_MANIFEST_DIR")).join("target")).unwrap()
}

/// Makes every call that changes something, and looks at what is there then.
async fn changes(folder: &Path) {
    let [one, two, three, four, sub] = ["one", "two", "three", "four", "sub"].map(|name| folder.join(name));
    let mut file = File::create(&one).await.unwrap();
    file.write_all(b"written").await.unwrap();
    file.flush().await.unwrap();
    file.set_len(5).await.unwrap();
    file.sync_all().await.unwrap();
    file.sync_data().await.unwrap();
    fs::hard_link(&one, &two).await.unwrap();
    fs::symlink(&two, &three).await.unwrap();
    fs::rename(&two, &four).await.unwrap();
    assert!(fs::metadata(&three).await.is_err());
    fs::create_dir(&sub).await.unwrap();
    assert!(fs::create_dir(&sub).await.is_err());
    fs::remove_dir(&sub).await.unwrap();
    fs::remove_file(&three).await.unwrap();
    let mut left = fs::read_dir(folder).await.unwrap();
    let mut names = Vec::new();
    while let Some(entry) = left.next_entry().await.unwrap() {
        names.push(entry.file_name());
    }
    names.sort();
    assert_eq!(names, ["four", "one"]);
}

/// How many operations the ring was given, and how many threads the blocking pool needed.
fn effort<F: Future>(script: &Script, calls: F) -> (u64, usize) {
    let _installed = script.install();
    let rt: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(rt.handle().backend().kind(), BackendKind::IoUring);
    let submissions = || rt.handle().remote(rt.handle().shards().next().unwrap()).unwrap().stats().submissions;
    let before = submissions();
    rt.block_on(calls);
    let after = submissions();
    (after - before, rt.handle().inner.blocking_spawner().num_blocking_threads())
}

/// The kernel would give them to threads of its own: nothing is gained, and they could be cancelled.
#[test]
fn no_change_goes_to_a_ring() {
    let folder = folder();
    let (submissions, threads) = effort(&Script::default(), changes(folder.path()));
    assert_eq!(submissions, 0);
    assert!(threads > 0);
}

/// A file of which nobody knows whether it waits, and which tells the ring it can be polled.
#[test]
fn what_may_wait_goes_to_no_ring() {
    let reads = async {
        for path in ["/proc/self/mounts", "/proc/self/status"] {
            let mut text = String::new();
            File::open(path).await.unwrap().read_to_string(&mut text).await.unwrap();
            assert_eq!(fs::read_to_string(path).await.unwrap().lines().count(), text.lines().count());
        }
    };
    let (submissions, threads) = effort(&Script::default(), reads);
    assert_eq!(submissions, 0);
    assert!(threads > 0);
}

#[cfg(feature = "uring-native")]
#[test]
fn native_reads_of_what_may_wait_go_to_no_ring() {
    let reads = async {
        let file = File::open("/proc/self/status").await.unwrap();
        let (n, buf) = file.native().read_at(vec![0; 5], 0).await;
        assert_eq!(&buf[..n.unwrap()], b"Name:");
    };
    let (submissions, threads) = effort(&Script::default(), reads);
    assert_eq!(submissions, 0);
    assert!(threads > 0);
}

const BLOCK: usize = 4096;

/// A file of four blocks.
fn blocks(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("blocks");
    let bytes: Vec<u8> = (0..4 * BLOCK).map(|i| (i / BLOCK) as u8).collect();
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `None` if this file system has no direct I/O.
async fn open_direct(path: &Path) -> Option<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_DIRECT);
    match options.open(path).await {
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => None,
        file => Some(file.unwrap()),
    }
}

async fn direct(path: &Path) -> bool {
    let Some(mut file) = open_direct(path).await else { return false };
    for block in [2, 0, 3] {
        file.seek(SeekFrom::Start(block * BLOCK as u64)).await.unwrap();
        // Memory as it comes.
        let mut buf = vec![9; BLOCK + 1];
        file.read_exact(&mut buf[1..]).await.unwrap();
        assert!(buf[1..].iter().all(|&b| b == block as u8), "{block}: {}", buf[1]);
    }
    assert_eq!(file.read(&mut [0; BLOCK]).await.unwrap(), 0);
    file.rewind().await.unwrap();
    file.write_all(&[7; 2 * BLOCK]).await.unwrap();
    file.flush().await.unwrap();
    assert!(std::fs::read(path).unwrap()[..2 * BLOCK].iter().all(|&b| b == 7));
    true
}

/// Asked at once it would wait for the disk on the task's own thread.
#[test]
fn a_read_of_the_disk_itself_goes_to_the_ring() {
    let folder = folder();
    let path = blocks(&folder);
    let mut is_known = false;
    let (submissions, _) = effort(&Script::default(), async { is_known = direct(&path).await });
    if is_known {
        assert!(submissions >= 3, "{submissions}");
    }
}

#[test]
fn h29_what_the_kernel_lacks_is_done_by_the_pool() {
    let folder = folder();
    let tour = async || {
        let path = blocks(&folder);
        if direct(&path).await {
            assert!(!fs::read(&path).await.unwrap().is_empty());
        }
        assert!(fs::read(path.with_extension("none")).await.is_err());
    };
    let scripts = [opcode::Read::CODE, opcode::OpenAt2::CODE].map(|opcode| Script::default().hide(opcode));
    let [without_read, _] = scripts.map(|script| effort(&script, tour()));
    assert_eq!(without_read.0, 0);
    assert!(without_read.1 > 0);
}

/// What is in memory needs no thread: not for the opening either, once the file system is known.
#[test]
fn what_is_in_memory_needs_no_thread() {
    let folder = folder();
    let path = blocks(&folder);
    let file = std::fs::File::open(&path).unwrap();
    crate::sys::file::learn(&file);
    let reads = async {
        for _ in 0..2 {
            assert_eq!(fs::read(&path).await.unwrap().len(), 4 * BLOCK);
            let mut bytes = Vec::new();
            File::open(&path).await.unwrap().read_to_end(&mut bytes).await.unwrap();
            assert_eq!(bytes.len(), 4 * BLOCK);
        }
    };
    let (submissions, threads) = effort(&Script::default(), reads);
    if crate::sys::file::About::of(&file).reads_by_ring(std::os::fd::AsRawFd::as_raw_fd(&file)) {
        assert_eq!((submissions, threads), (0, 0));
    }
}
