//! What the hazard tests have in common.
#![allow(dead_code)]

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

/// Far above what anything here takes.
pub const LIMIT: Duration = Duration::from_secs(20);

pub fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

pub fn flavours() -> [Runtime; 3] {
    [current_thread(), multi_thread(1), multi_thread(2)]
}

/// Runs `f` on a thread of its own. One that hangs ends the process: nothing else would.
#[track_caller]
pub fn within_limit<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let (tx, rx) = mpsc::channel();
    let thread = thread::spawn(move || {
        let result = f();
        let _ = tx.send(());
        result
    });
    if rx.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        eprintln!("hangs: {}", panic::Location::caller());
        std::process::abort();
    }
    thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload))
}

/// Counts how often it is dropped.
pub struct Counted(pub Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Panics when dropped.
pub struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("dropped");
        }
    }
}

pub async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

pub fn nap(rt: &Runtime, ms: u64) {
    rt.block_on(async { sleep(Duration::from_millis(ms)).await });
}

/// Shows that timers, sockets and tasks of `rt` still work.
pub fn assert_alive(rt: &Runtime) {
    rt.block_on(async {
        let task = tokio::spawn(async {
            sleep(Duration::from_millis(1)).await;
            let (mut a, mut b) = pair().await;
            let mut byte = [0];
            let (read, written) = tokio::join!(a.read_exact(&mut byte), async {
                sleep(Duration::from_millis(1)).await;
                b.write_all(b"x").await
            });
            written.unwrap();
            read.unwrap()
        });
        assert_eq!(timeout(LIMIT, task).await.unwrap().unwrap(), 1);
    });
}

pub fn poll_once<F: Future>(f: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    f.poll(&mut Context::from_waker(waker))
}

/// The text of the panic `f` ends with.
#[track_caller]
pub fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => text(payload),
    }
}

pub fn text(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or("?".into(), |text| text.to_string()),
    }
}

/// Runs a test of this file, one that must be in a process of its own.
pub fn child(test: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("HAZARD_CHILD", "1")
        .status()
        .unwrap()
}

pub fn is_child() -> bool {
    std::env::var_os("HAZARD_CHILD").is_some()
}
