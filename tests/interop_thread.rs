//! The thread of a host with drivers (`interop`): on a runtime of one thread it is there from the moment on that
//! something needs it, and not before.
//!
//! Without `interop` see `tests/host_thread.rs`.
#![cfg(feature = "interop")]

#[path = "common/mod.rs"]
mod common;
#[path = "common/fork.rs"]
mod fork;
#[path = "common/threads.rs"]
mod threads;

use std::fs;
use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use futures::executor;
use tokio::interop;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalRuntime, Runtime};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};

use common::*;
use threads::*;

const SHORT: Duration = Duration::from_millis(5);

/// How many threads of hosts there are.
fn hosts() -> usize {
    thread_names().iter().filter(|name| *name == "spargio-host").count()
}

/// The tasks are the kernel's: one that has been joined may be there for another moment.
fn no_host_is_left() {
    eventually("a thread of a host is left", || hosts() == 0);
}

/// As a third-party crate would await it.
async fn foreign_sleep() {
    upstream::time::sleep(SHORT).await;
}

/// What is ours: none of it needs the host.
async fn ours() {
    sleep(SHORT).await;
    tokio::task::yield_now().await;
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move { tell.send(7).unwrap() }).await.unwrap();
    assert_eq!(told.await.unwrap(), 7);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stream, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let (mut stream, mut accepted) = (stream.unwrap(), accepted.unwrap().0);
    let read = tokio::spawn(async move { stream.read_u8().await.unwrap() });
    sleep(SHORT).await;
    accepted.write_all(b"x").await.unwrap();
    assert_eq!(read.await.unwrap(), b'x');
    assert!(upstream::runtime::Handle::try_current().is_ok());
}

/// `unshare(CLONE_NEWUSER)` and the like are for programs of one thread.
#[test]
fn a_runtime_of_one_thread_starts_none() {
    on_each_backend("a_runtime_of_one_thread_starts_none", || {
        let before = thread_count();
        let rt = current_thread();
        assert_eq!(thread_count(), before);
        for _ in 0..3 {
            rt.block_on(ours());
            assert_eq!(thread_count(), before);
        }
        LocalSet::new().block_on(&rt, ours());
        assert_eq!(thread_count(), before);
        let local = LocalRuntime::new().unwrap();
        local.block_on(ours());
        drop((rt, local));
        assert_eq!(thread_count(), before);
    });
}

async fn timer() {
    foreign_sleep().await;
}

async fn echo() {
    let listener = upstream::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let byte = stream.read_u8().await.unwrap();
        stream.write_u8(byte).await.unwrap();
    };
    let ask = async {
        let mut stream = upstream::net::TcpStream::connect(address).await.unwrap();
        stream.write_u8(b'x').await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'x');
    };
    tokio::join!(serve, ask);
}

/// Nothing is ready when our thread goes to sleep.
async fn listener() {
    let listener = upstream::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let peer = thread::spawn(move || {
        thread::sleep(4 * SHORT);
        std::net::TcpStream::connect(address).unwrap()
    });
    listener.accept().await.unwrap();
    peer.join().unwrap();
}

async fn spawned() {
    let task = upstream::spawn(async {
        upstream::task::yield_now().await;
        sleep(SHORT).await;
        thread::current().name().map(str::to_owned)
    });
    assert_eq!(task.await.unwrap().as_deref(), Some("spargio-host"));
}

async fn signal() {
    let kind = upstream::signal::unix::SignalKind::user_defined1();
    let mut signal = upstream::signal::unix::signal(kind).unwrap();
    let sender = thread::spawn(|| {
        thread::sleep(4 * SHORT);
        // SAFETY: touches no memory; there is a handler.
        assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) }, 0);
    });
    signal.recv().await.unwrap();
    sender.join().unwrap();
}

async fn child() {
    assert!(upstream::process::Command::new("true").status().await.unwrap().success());
}

/// From a thread that our runtime does not know, while its own one sleeps.
async fn outside() {
    let handle = upstream::runtime::Handle::current();
    let (tell, told) = oneshot::channel();
    let thread = thread::spawn(move || {
        thread::sleep(4 * SHORT);
        let _guard = handle.enter();
        executor::block_on(foreign_sleep());
        tell.send(()).unwrap();
    });
    told.await.unwrap();
    thread.join().unwrap();
}

/// Our thread does not sleep meanwhile.
async fn busy() {
    let handle = upstream::runtime::Handle::current();
    let thread = thread::spawn(move || {
        let _guard = handle.enter();
        executor::block_on(foreign_sleep());
    });
    while !thread.is_finished() {
        tokio::task::yield_now().await;
    }
}

type Scene = fn() -> Pin<Box<dyn Future<Output = ()> + Send>>;

const SCENES: [(&str, Scene); 8] = [
    ("timer", || Box::pin(timer())),
    ("echo", || Box::pin(echo())),
    ("listener", || Box::pin(listener())),
    ("spawned", || Box::pin(spawned())),
    ("signal", || Box::pin(signal())),
    ("child", || Box::pin(child())),
    ("outside", || Box::pin(outside())),
    ("busy", || Box::pin(busy())),
];

/// Runs each scene on a runtime of its own, in this way.
fn each(place: &str, run: impl Fn(Scene)) {
    for (name, scene) in SCENES {
        println!("{name} in {place}");
        run(scene);
        no_host_is_left();
    }
}

/// `scene`, and then the thread is there.
async fn needs_it(scene: Scene) {
    timeout(LONG, scene()).await.expect("it hangs");
    assert_eq!(hosts(), 1);
}

#[test]
fn what_needs_it_finds_it() {
    on_each_backend("what_needs_it_finds_it", || {
        each("block_on", |scene| current_thread().block_on(needs_it(scene)));
        each("a task", |scene| {
            current_thread().block_on(async { tokio::spawn(needs_it(scene)).await.unwrap() })
        });
        each("a LocalSet", |scene| {
            let set = LocalSet::new();
            let task = set.spawn_local(needs_it(scene));
            set.block_on(&current_thread(), task).unwrap();
        });
        each("a LocalRuntime", |scene| LocalRuntime::new().unwrap().block_on(needs_it(scene)));
        each("a runtime without I/O", |scene| {
            Builder::new_current_thread().enable_time().build().unwrap().block_on(needs_it(scene))
        });
    });
}

/// How often this thread went to sleep.
fn sleeps() -> usize {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    line.unwrap().trim().parse().unwrap()
}

/// Once the thread is there, what it does is not our thread's business any more.
#[test]
fn a_host_at_work_wakes_nobody_of_ours() {
    on_each_backend("a_host_at_work_wakes_nobody_of_ours", || {
        const ROUNDS: usize = 200;

        current_thread().block_on(async {
            let (mut stream, peer) = std::os::unix::net::UnixStream::pair().unwrap();
            peer.set_nonblocking(true).unwrap();
            let echo = thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    stream.write_all(&byte).unwrap();
                }
            });
            timer().await;
            let before = sleeps();
            let work = upstream::spawn(async move {
                let mut peer = upstream::net::UnixStream::from_std(peer).unwrap();
                for _ in 0..ROUNDS {
                    AsyncWriteExt::write_u8(&mut peer, 7).await.unwrap();
                    assert_eq!(AsyncReadExt::read_u8(&mut peer).await.unwrap(), 7);
                }
            });
            work.await.unwrap();
            let sleeps = sleeps() - before;
            assert!(sleeps < ROUNDS / 4, "{sleeps} times");
            echo.join().unwrap();
        });
    });
}

/// Each runtime sees to its own.
#[test]
fn several_runtimes_on_several_threads() {
    on_each_backend("several_runtimes_on_several_threads", || {
        let run = |_| thread::spawn(|| (0..20).for_each(|_| current_thread().block_on(needs_some())));
        let threads: Vec<_> = (0..4).map(run).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        no_host_is_left();
    });
}

async fn needs_some() {
    timeout(LONG, async {
        timer().await;
        echo().await;
        spawned().await;
    })
    .await
    .expect("it hangs");
}

/// Ends the process with a failure if `f` does not return.
fn in_time<R>(f: impl FnOnce() -> R) -> R {
    let (done, is_done) = mpsc::channel::<()>();
    thread::spawn(move || {
        if is_done.recv_timeout(LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("it hangs");
            std::process::exit(1);
        }
    });
    let result = f();
    drop(done);
    result
}

/// Nobody drives our runtime while somebody waits.
#[test]
fn a_runtime_that_nobody_drives() {
    on_each_backend("a_runtime_that_nobody_drives", || {
        // Registered in one `block_on`, which never turns; heard in the next.
        let rt = current_thread();
        let mut left = Box::pin(foreign_sleep());
        let is_pending = poll_fn(|cx| Poll::Ready(left.as_mut().poll(cx).is_pending()));
        assert!(rt.block_on(is_pending));
        let waits = thread::spawn(|| executor::block_on(left));
        in_time(|| {
            rt.block_on(async {
                while !waits.is_finished() {
                    sleep(SHORT).await;
                }
            });
        });
        drop(rt);

        // By a handle of ours.
        let rt = current_thread();
        in_time(|| rt.handle().block_on(foreign_sleep()));
        drop(rt);

        // By the host's.
        let rt = current_thread();
        let handle = {
            let _guard = rt.enter();
            interop::handle()
        };
        in_time(|| handle.block_on(foreign_sleep()));
        drop(rt);

        // Between two calls.
        let rt = current_thread();
        rt.block_on(ours());
        let task = rt.spawn(foreign_sleep());
        in_time(|| rt.block_on(task).unwrap());
        drop(rt);
        no_host_is_left();
    });
}

/// What is pending on the host when our runtime is dropped.
async fn leave_things_pending() {
    tokio::spawn(upstream::time::sleep(LONG * 100));
    let listener = upstream::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::spawn(async move { listener.accept().await.map(drop) });
    upstream::spawn(std::future::pending::<()>());
    tokio::task::yield_now().await;
}

#[test]
fn a_drop_with_things_pending_is_prompt() {
    on_each_backend("a_drop_with_things_pending_is_prompt", || {
        let ends: [fn(Runtime); 3] =
            [drop, |rt| rt.shutdown_timeout(100 * LONG), |rt| rt.shutdown_background()];
        for end in ends {
            // With a thread, with one that is just being started, and without.
            for wait in [Some(SHORT), Some(Duration::ZERO), None] {
                let rt = current_thread();
                rt.block_on(async {
                    match wait {
                        Some(wait) => {
                            leave_things_pending().await;
                            sleep(wait).await;
                        }
                        None => ours().await,
                    }
                });
                if wait.is_none() {
                    let handle = rt.block_on(async { upstream::runtime::Handle::current() });
                    handle.spawn(std::future::pending::<()>());
                }
                let start = Instant::now();
                end(rt);
                assert!(start.elapsed() < LONG);
                no_host_is_left();
            }
        }
    });
}

/// A function on our blocking pool that is waited for may wait for the host itself.
#[test]
fn a_shutdown_waits_for_who_waits_for_the_host() {
    on_each_backend("a_shutdown_waits_for_who_waits_for_the_host", || {
        let ends: [fn(Runtime); 2] = [drop, |rt| rt.shutdown_timeout(100 * LONG)];
        for end in ends {
            let rt = current_thread();
            let handle = rt.block_on(async { upstream::runtime::Handle::current() });
            let (begin, begun) = mpsc::channel();
            let task = rt.spawn_blocking(move || {
                begin.send(()).unwrap();
                thread::sleep(4 * SHORT);
                handle.block_on(foreign_sleep());
            });
            begun.recv().unwrap();
            in_time(|| end(rt));
            assert!(task.is_finished());
            no_host_is_left();
        }
    });
}

/// A foreign task that blocks holds a shutdown up no longer than it may.
#[test]
fn a_shutdown_does_not_wait_for_a_foreign_task_that_blocks() {
    on_each_backend("a_shutdown_does_not_wait_for_a_foreign_task_that_blocks", || {
        let (end, ended) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel();
        let rt = current_thread();
        rt.block_on(async {
            upstream::spawn(async move {
                begin.send(()).unwrap();
                let _ = ended.recv();
            });
        });
        in_time(|| {
            begun.recv().unwrap();
            rt.shutdown_timeout(4 * SHORT);
        });
        assert_eq!(hosts(), 1);
        drop(end);
        no_host_is_left();
    });
}

/// As on a `current_thread` runtime of the published Tokio: there is one thread for such tasks.
#[test]
fn block_in_place_is_refused_in_a_foreign_task() {
    on_each_backend("block_in_place_is_refused_in_a_foreign_task", || {
        current_thread().block_on(async {
            let ours = upstream::spawn(async { tokio::task::block_in_place(|| ()) });
            let theirs = upstream::spawn(async { upstream::task::block_in_place(|| ()) });
            for refused in [ours.await, theirs.await] {
                let payload = refused.unwrap_err().into_panic();
                let text = payload.downcast_ref::<String>().unwrap();
                assert_eq!(*text, "can call blocking only when running on the multi-threaded runtime");
            }
            // Where threads are for blocking they are allowed to.
            let pool = upstream::task::spawn_blocking(|| tokio::task::block_in_place(|| 7));
            assert_eq!(pool.await.unwrap(), 7);
        });
    });
}

/// The child of a fork that drops its parent's runtime leaves the parent's drivers alone.
#[test]
fn a_forked_child_does_not_end_the_parents_watch() {
    on_each_backend("a_forked_child_does_not_end_the_parents_watch", || {
        for is_started in [false, true] {
            let rt = current_thread();
            rt.block_on(ours());
            if is_started {
                rt.block_on(timer());
            }
            let mut rt = Some(rt);
            let code = fork::fork(|| {
                drop(rt.take());
                assert!(hosts() == 0);
                // One of its own works.
                current_thread().block_on(needs_it(|| Box::pin(timer())));
                0
            });
            assert_eq!(code, 0);
            rt.unwrap().block_on(needs_it(|| Box::pin(outside())));
        }
        no_host_is_left();
    });
}
