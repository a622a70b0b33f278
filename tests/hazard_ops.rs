//! Operations of a ring and the memory that the kernel writes to meanwhile.
//!
//! Freed memory is not given back at once: it is filled with a pattern and waits in a queue. When its
//! turn comes the pattern must still be there: if not, somebody has written to it, say the kernel. A
//! sanitizer would not see that.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::fs;
use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::runtime::{Builder, Runtime};

// ===== the allocator =====

/// How many blocks wait.
const BLOCKS: usize = 4096;
/// The sizes that do: those of buffers, and of what operations are allocated in.
const SIZES: std::ops::RangeInclusive<usize> = 64..=16_384;
const PATTERN: u8 = 0xDE;

struct Quarantine {
    is_locked: AtomicBool,
    waiting: UnsafeCell<[(usize, usize, usize); BLOCKS]>,
    next: UnsafeCell<usize>,
}

/// Blocks that somebody has written to after they were freed.
static SPOILT: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Quarantine = Quarantine {
    is_locked: AtomicBool::new(false),
    waiting: UnsafeCell::new([(0, 0, 0); BLOCKS]),
    next: UnsafeCell::new(0),
};

// SAFETY: the cells are touched under the lock only.
unsafe impl Sync for Quarantine {}

impl Quarantine {
    /// Puts a block in and takes the oldest one out.
    fn exchange(&self, block: (usize, usize, usize)) -> (usize, usize, usize) {
        while self.is_locked.swap(true, SeqCst) {
            std::hint::spin_loop();
        }
        // SAFETY: under the lock.
        let oldest = unsafe {
            let next = &mut *self.next.get();
            *next = (*next + 1) % BLOCKS;
            std::mem::replace(&mut (&mut *self.waiting.get())[*next], block)
        };
        self.is_locked.store(false, SeqCst);
        oldest
    }

    /// Gives a block back for good.
    fn release(&self, (address, size, align): (usize, usize, usize)) {
        if address == 0 {
            return;
        }
        let block = std::ptr::with_exposed_provenance_mut::<u8>(address);
        // SAFETY: the block was filled when it came in, and it is nobody else's.
        unsafe {
            let bytes = std::slice::from_raw_parts(block, size);
            if bytes.iter().any(|&byte| byte != PATTERN) {
                SPOILT.fetch_add(1, SeqCst);
            }
            System.dealloc(block, Layout::from_size_align_unchecked(size, align));
        }
    }

    /// Has all blocks looked at.
    fn flush(&self) {
        for _ in 0..BLOCKS {
            let oldest = self.exchange((0, 0, 0));
            self.release(oldest);
        }
    }
}

// SAFETY: blocks come from the system's allocator and go back to it, later.
unsafe impl GlobalAlloc for Quarantine {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !SIZES.contains(&layout.size()) {
            // SAFETY: the caller's promise.
            return unsafe { System.dealloc(block, layout) };
        }
        // SAFETY: the block is ours from here on.
        unsafe { block.write_bytes(PATTERN, layout.size()) };
        let oldest = self.exchange((block.expose_provenance(), layout.size(), layout.align()));
        self.release(oldest);
    }
}

// ===== the tests =====

/// The tests share the count.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[track_caller]
fn check(test: impl FnOnce()) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    ALLOCATOR.flush();
    SPOILT.store(0, SeqCst);
    test();
    ALLOCATOR.flush();
    assert_eq!(SPOILT.load(SeqCst), 0, "blocks were written to after they had been freed");
}

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ]
}

/// A FIFO and a thread that writes to it whenever it has room.
struct Flood {
    path: PathBuf,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
    _folder: tempfile::TempDir,
}

impl Flood {
    fn new(pause: Duration) -> Flood {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
        let stop = Arc::new(AtomicBool::new(false));
        let mut fifo = nonblocking(&path);
        let stopped = stop.clone();
        let write = move || {
            while !stopped.load(SeqCst) {
                let _ = fifo.write(&[7; 1024]);
                thread::sleep(pause);
            }
        };
        Flood { path, stop, thread: Some(thread::spawn(write)), _folder: folder }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn open(path: &PathBuf) -> File {
    OpenOptions::new().read(true).write(true).open(path).await.unwrap()
}

fn nonblocking(path: &PathBuf) -> fs::File {
    const O_NONBLOCK: i32 = 0o4000;
    fs::OpenOptions::new().read(true).write(true).custom_flags(O_NONBLOCK).open(path).unwrap()
}

/// Leaves nothing in the FIFO, so that the next read waits.
fn empty(path: &PathBuf) {
    let mut fifo = nonblocking(path);
    while matches!(fifo.read(&mut [0; 65_536]), Ok(1..)) {}
}

/// One poll of a read of 4 KiB.
async fn poll_read_once(file: &mut File) {
    let mut storage = [0; 4096];
    let mut buf = ReadBuf::new(&mut storage);
    poll_fn(|cx| {
        let _ = Pin::new(&mut *file).poll_read(cx, &mut buf);
        Poll::Ready(())
    })
    .await;
}

/// The file goes while the kernel may be writing to its buffer: before the read went in, in flight, and
/// when it is over and nobody has looked. What it is to read arrives before and after that.
#[test]
fn h10_10000_dropped_reads_write_to_no_freed_memory() {
    check(|| {
        let flood = Flood::new(Duration::from_micros(20));
        for rt in runtimes() {
            let path = flood.path.clone();
            let reads = async move {
                let mut fifo = nonblocking(&path);
                for n in 0..5_000 {
                    if n % 4 < 2 {
                        empty(&path);
                    }
                    let mut file = open(&path).await;
                    poll_read_once(&mut file).await;
                    for _ in 0..n % 3 {
                        tokio::task::yield_now().await;
                    }
                    if n % 4 == 0 {
                        let _ = fifo.write(&[7; 64]);
                    }
                    if n % 5 == 0 {
                        // On another thread.
                        thread::spawn(move || drop(file));
                    } else {
                        drop(file);
                    }
                    if n % 4 == 1 {
                        let _ = fifo.write(&[7; 64]);
                    }
                }
            };
            rt.block_on(rt.spawn(reads)).unwrap();
        }
    });
}

/// The runtime goes, with its rings, and so do the buffers.
#[test]
fn h11_no_freed_memory_is_written_to_after_a_runtime() {
    check(|| {
        let flood = Flood::new(Duration::from_micros(200));
        for n in 0..40 {
            for rt in runtimes() {
                let path = flood.path.clone();
                let mut fifo = nonblocking(&path);
                let reads = async move {
                    let mut files = Vec::new();
                    for _ in 0..16 {
                        files.push(open(&path).await);
                    }
                    empty(&path);
                    for file in &mut files {
                        poll_read_once(file).await;
                    }
                    for _ in 0..n % 3 {
                        tokio::task::yield_now().await;
                    }
                    let _ = fifo.write(&[7; 1024]);
                    files
                };
                let files = rt.block_on(async { rt.spawn(reads).await });
                drop(rt);
                drop(files);
            }
        }
        for n in 0..40 {
            for rt in runtimes() {
                let path = flood.path.clone();
                rt.block_on(async {
                    for _ in 0..16 {
                        let mut file = open(&path).await;
                        tokio::spawn(async move { while file.read(&mut [0; 4096]).await.is_ok() {} });
                    }
                    for _ in 0..n % 3 {
                        tokio::task::yield_now().await;
                    }
                });
                drop(rt);
            }
        }
    });
}

/// Between two owners of a runtime nothing is freed, lost or read twice.
#[test]
fn h20_reads_change_threads_with_their_runtime() {
    check(|| {
        let flood = Flood::new(Duration::from_micros(50));
        let mut rt = Builder::new_current_thread().enable_all().build().unwrap();
        let path = flood.path.clone();
        let total = Arc::new(AtomicUsize::new(0));
        let counted = total.clone();
        rt.spawn(async move {
            let mut file = open(&path).await;
            let mut buf = [0; 100];
            loop {
                let n = file.read(&mut buf).await.unwrap();
                assert!(buf[..n].iter().all(|&byte| byte == 7));
                counted.fetch_add(n, SeqCst);
            }
        });
        let start = Instant::now();
        let mut turns = 0;
        while turns < 200 || total.load(SeqCst) < 100_000 {
            rt = thread::spawn(move || {
                rt.block_on(async { tokio::time::sleep(Duration::from_millis(1)).await });
                rt
            })
            .join()
            .unwrap();
            turns += 1;
            assert!(start.elapsed() < Duration::from_secs(60), "nothing is read");
        }
    });
}
