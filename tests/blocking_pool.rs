//! The blocking pool: limits, keep-alive, shutdown, and what happens when there are no threads.

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::task::{JoinHandle, spawn_blocking};

fn builder() -> Builder {
    let mut builder = Builder::new_current_thread();
    builder.enable_all();
    builder
}

fn join<T>(rt: &Runtime, tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    rt.block_on(async move {
        let mut outputs = Vec::new();
        for task in tasks {
            outputs.push(task.await.unwrap());
        }
        outputs
    })
}

/// H39: above the limit of threads, tasks wait in the queue.
#[test]
fn the_limit_is_kept() {
    let rt = builder().max_blocking_threads(3).build().unwrap();
    // The first three, which no thread could have done one after the other.
    let meet = Arc::new(Barrier::new(3));
    let tasks = (0..30).map(|n| {
        let meet = meet.clone();
        rt.spawn_blocking(move || {
            if n < 3 {
                meet.wait();
            }
            thread::sleep(Duration::from_millis(2));
            thread::current().id()
        })
    });
    let tasks = tasks.collect();
    let threads: HashSet<_> = join(&rt, tasks).into_iter().collect();
    assert_eq!(threads.len(), 3);
}

#[test]
fn threads_start_as_needed_and_end_when_idle() {
    let (started, stopped) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let rt = builder()
        .thread_keep_alive(Duration::from_millis(10))
        .on_thread_start({
            let started = started.clone();
            move || {
                started.fetch_add(1, SeqCst);
            }
        })
        .on_thread_stop({
            let stopped = stopped.clone();
            move || {
                stopped.fetch_add(1, SeqCst);
            }
        })
        .build()
        .unwrap();

    // All four at once, or this hangs.
    let barrier = Arc::new(Barrier::new(4));
    let tasks = (0..4).map(|_| {
        let barrier = barrier.clone();
        rt.spawn_blocking(move || {
            barrier.wait();
        })
    });
    let tasks = tasks.collect();
    join(&rt, tasks);
    assert_eq!(started.load(SeqCst), 4);

    let deadline = Instant::now() + Duration::from_secs(10);
    while stopped.load(SeqCst) < 4 {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(5));
    }
    join(&rt, vec![rt.spawn_blocking(|| ())]);
    drop(rt);
    assert_eq!((started.load(SeqCst), stopped.load(SeqCst)), (5, 5));
}

/// Spawning races with the end of the keep-alive time.
#[test]
fn no_task_is_lost_at_the_end_of_the_keep_alive_time() {
    let rt = builder().max_blocking_threads(2).thread_keep_alive(Duration::from_micros(200)).build().unwrap();
    rt.block_on(async {
        for round in 0..500u64 {
            thread::sleep(Duration::from_micros(100 + round % 200));
            assert_eq!(spawn_blocking(move || round).await.unwrap(), round);
        }
    });
}

#[test]
fn a_shutdown_waits_no_longer_than_told() {
    let rt = builder().build().unwrap();
    let handle = rt.handle().clone();
    let (tx, rx) = mpsc::channel::<()>();
    let (started_tx, started_rx) = mpsc::channel();
    rt.spawn_blocking(move || {
        started_tx.send(()).unwrap();
        rx.recv()
    });
    started_rx.recv().unwrap();

    let start = Instant::now();
    rt.shutdown_timeout(Duration::from_millis(50));
    assert!(start.elapsed() >= Duration::from_millis(50));
    drop(tx);

    // H34: the pool is closed for good.
    let late = handle.spawn_blocking(|| ());
    let rt = builder().build().unwrap();
    assert!(rt.block_on(late).unwrap_err().is_cancelled());
}

#[test]
fn a_drop_waits_for_running_tasks() {
    let rt = builder().build().unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let (started_tx, started_rx) = mpsc::channel();
    rt.spawn_blocking({
        let done = done.clone();
        move || {
            started_tx.send(()).unwrap();
            thread::sleep(Duration::from_millis(30));
            done.store(1, SeqCst);
        }
    });
    started_rx.recv().unwrap();
    drop(rt);
    assert_eq!(done.load(SeqCst), 1);
}

/// H38: dropping a runtime blocks, so asynchronous code must not.
#[test]
fn a_drop_in_async_code_panics() {
    let outer = builder().build().unwrap();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        outer.block_on(async { drop(builder().build().unwrap()) });
    }));
    assert_eq!(
        panicked.unwrap_err().downcast_ref::<&str>().unwrap(),
        &"Cannot drop a runtime in a context where blocking is not allowed. This happens when a \
          runtime is dropped from within an asynchronous context."
    );
    outer.block_on(async { builder().build().unwrap().shutdown_background() });
}

/// A paused clock stands still while a blocking task runs: the runtime is not idle.
#[test]
#[cfg(feature = "test-util")]
fn a_paused_clock_waits_for_blocking_tasks() {
    let rt = builder().start_paused(true).build().unwrap();
    rt.block_on(async {
        let start = tokio::time::Instant::now();
        let (tx, rx) = tokio::sync::oneshot::channel();
        let task = spawn_blocking(move || {
            thread::sleep(Duration::from_millis(20));
            tx.send(()).unwrap();
        });
        tokio::time::timeout(Duration::from_secs(1), rx).await.expect("the clock went on").unwrap();
        task.await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
    });
}

/// H39: without a thread, and without hope for one, spawning panics and the closure is dropped.
#[test]
fn no_thread_at_all() {
    // No address space has room for such a stack.
    let rt = builder().thread_stack_size(1 << 50).build().unwrap();
    let captured = Arc::new(());
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let captured = captured.clone();
        rt.spawn_blocking(move || drop(captured));
    }));
    let payload = panicked.unwrap_err();
    let text = payload.downcast_ref::<String>().unwrap();
    assert!(text.starts_with("OS can't spawn worker thread: "), "{text}");
    assert_eq!(Arc::strong_count(&captured), 1);
}

/// H39: with a busy thread, a task waits for it when the system refuses another one.
#[test]
fn no_further_thread() {
    const CHILD: &str = "SPARGIO_TEST_NO_FURTHER_THREAD";

    if std::env::var_os(CHILD).is_none() {
        // In a process of its own: the limit is for all of it.
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "no_further_thread"])
            .env(CHILD, "1")
            .status()
            .unwrap();
        assert!(status.success());
        return;
    }

    let rt = builder().build().unwrap();
    // What the first `block_on` of a process sets up, it sets up before the limit.
    rt.block_on(async {});
    let (tx, rx) = mpsc::channel::<()>();
    let (started_tx, started_rx) = mpsc::channel();
    let busy = rt.spawn_blocking(move || {
        started_tx.send(thread::current().id()).unwrap();
        rx.recv().unwrap();
    });
    let first = started_rx.recv().unwrap();

    forbid_further_memory();
    let waiting = rt.spawn_blocking(|| thread::current().id());
    assert!(!waiting.is_finished());
    tx.send(()).unwrap();
    assert_eq!(rt.block_on(waiting).unwrap(), first);
    rt.block_on(busy).unwrap();
}

/// Leaves this process no room for another thread's stack.
fn forbid_further_memory() {
    let used = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = used.split(' ').next().unwrap().parse().unwrap();
    let limit = libc::rlimit { rlim_cur: pages * 4096 + (1 << 20), rlim_max: libc::RLIM_INFINITY };
    // SAFETY: `limit` is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}
