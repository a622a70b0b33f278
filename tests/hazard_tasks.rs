//! Hazards of tasks and threads: panics of user code, life after shutdown, threads that end,
//! nesting (H33–H35, H37, H38 of docs/HAZARDS.md).
//!
//! A plain Tokio program: every expectation here was first checked against tokio 1.54.1.

use std::cell::RefCell;
use std::future::{Future, pending, poll_fn};
use std::panic::{self, AssertUnwindSafe};
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet, LocalSet};
use tokio::time::{Sleep, sleep, timeout};

/// Far above what anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .enable_all()
        .build()
        .unwrap()
}

fn flavours() -> [Runtime; 3] {
    [current_thread(), multi_thread(1), multi_thread(2)]
}

/// Runs `f` on a thread of its own. One that hangs ends the process: nothing else would.
#[track_caller]
fn within_limit<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
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
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// Panics when dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        if !thread::panicking() {
            panic!("dropped");
        }
    }
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (client.unwrap(), server.unwrap().0)
}

fn nap(rt: &Runtime, ms: u64) {
    rt.block_on(async { sleep(Duration::from_millis(ms)).await });
}

/// Shows that timers, sockets and tasks of `rt` still work.
fn assert_alive(rt: &Runtime) {
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

fn poll_once<F: Future>(f: Pin<&mut F>, waker: &Waker) -> Poll<F::Output> {
    f.poll(&mut Context::from_waker(waker))
}

/// The text of the panic `f` ends with.
#[track_caller]
fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    match panic::catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => panic!("it should have panicked"),
        Err(payload) => text(payload),
    }
}

fn text(payload: Box<dyn std::any::Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast::<&str>().map_or("?".into(), |text| text.to_string()),
    }
}

/// Runs a test of this file, one that must be in a process of its own.
fn child(test: &str) -> ExitStatus {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env("HAZARD_CHILD", "1")
        .status()
        .unwrap()
}

fn is_child() -> bool {
    std::env::var_os("HAZARD_CHILD").is_some()
}

/// H33: a panic of the user's code ends the task it belongs to, never the worker.
mod panics {
    use super::*;

    /// What is asked of a waker made by [`trap`].
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    enum Trap {
        Clone,
        Wake,
        Drop,
    }

    struct State {
        trap: Trap,
        armed: AtomicBool,
    }

    impl State {
        fn spring(&self, what: Trap) {
            if what == self.trap && self.armed.swap(false, SeqCst) {
                panic!("the waker's {what:?}");
            }
        }
    }

    /// A waker that panics once, and how to arm it. Leaks a few bytes.
    fn trap(trap: Trap) -> (Waker, &'static AtomicBool) {
        fn state(data: *const ()) -> &'static State {
            // SAFETY: made below, of a leaked box.
            unsafe { &*data.cast() }
        }
        static VTABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                state(data).spring(Trap::Clone);
                RawWaker::new(data, &VTABLE)
            },
            |data| state(data).spring(Trap::Wake),
            |data| state(data).spring(Trap::Wake),
            |data| state(data).spring(Trap::Drop),
        );
        let state: &'static State = Box::leak(Box::new(State { trap, armed: AtomicBool::new(false) }));
        // SAFETY: the functions of the table own nothing.
        let waker = unsafe { Waker::from_raw(RawWaker::new(std::ptr::from_ref(state).cast(), &VTABLE)) };
        (waker, &state.armed)
    }

    #[test]
    fn in_a_poll_is_the_tasks_output() {
        within_limit(|| {
            for rt in flavours() {
                let error = rt.block_on(rt.spawn(async { panic!("poll") })).unwrap_err();
                assert_eq!(text(error.into_panic()), "poll");
                let later = async {
                    tokio::task::yield_now().await;
                    panic!("later")
                };
                let error = rt.block_on(rt.spawn(later)).unwrap_err();
                assert_eq!(text(error.into_panic()), "later");
                assert_alive(&rt);
            }
        });
    }

    #[test]
    fn in_a_futures_destructor_is_the_tasks_output() {
        within_limit(|| {
            for rt in flavours() {
                // At the end of the future, when it is aborted, and with the runtime.
                let error = rt
                    .block_on(rt.spawn(async {
                        let _bomb = Bomb;
                    }))
                    .unwrap_err();
                assert_eq!(text(error.into_panic()), "dropped");

                let task = rt.spawn(async {
                    let _bomb = Bomb;
                    pending::<()>().await;
                });
                rt.block_on(async { tokio::task::yield_now().await });
                task.abort();
                let error = rt.block_on(task).unwrap_err();
                // The abort may have come before the first poll, when there was no bomb yet.
                assert!(error.is_cancelled() || text(error.into_panic()) == "dropped");

                let bomb = Bomb;
                let task = rt.spawn(async move {
                    let _bomb = bomb;
                    pending::<()>().await;
                });
                assert_alive(&rt);
                drop(rt);
                assert!(current_thread().block_on(task).unwrap_err().is_panic());
            }
        });
    }

    #[test]
    fn in_an_outputs_destructor_is_swallowed() {
        within_limit(|| {
            for rt in flavours() {
                // Nobody wants the output: dropped by the worker, and by who drops the handle.
                drop(rt.spawn(async { Bomb }));
                assert_alive(&rt);
                let task = rt.spawn(async { Bomb });
                while !task.is_finished() {
                    rt.block_on(tokio::task::yield_now());
                }
                drop(task);
                assert_alive(&rt);
            }
        });
    }

    #[test]
    fn in_the_waker_of_a_join_handle_is_swallowed() {
        within_limit(|| {
            for rt in flavours() {
                for what in [Trap::Wake, Trap::Drop] {
                    let go = Arc::new(Notify::new());
                    let gone = go.clone();
                    let mut task = rt.spawn(async move { gone.notified().await });
                    let (waker, armed) = trap(what);
                    assert!(poll_once(pin!(&mut task), &waker).is_pending());
                    std::mem::forget(waker);
                    armed.store(true, SeqCst);
                    go.notify_one();
                    assert_alive(&rt);
                    while !task.is_finished() {
                        rt.block_on(tokio::task::yield_now());
                    }
                    armed.store(false, SeqCst);
                    assert!(rt.block_on(task).is_ok());
                }
            }
        });
    }

    #[test]
    fn in_cloning_a_waker_is_the_pollers() {
        within_limit(|| {
            for rt in flavours() {
                // Where a waker is cloned: by a join handle, a timer, a socket.
                let (waker, armed) = trap(Trap::Clone);
                let mut task = rt.spawn(pending::<()>());
                armed.store(true, SeqCst);
                let message = panic_of(|| poll_once(pin!(&mut task), &waker));
                assert_eq!(message, "the waker's Clone");
                task.abort();

                let _guard = rt.enter();
                let mut sleep = Box::pin(sleep(Duration::from_millis(5)));
                armed.store(true, SeqCst);
                assert_eq!(panic_of(|| poll_once(sleep.as_mut(), &waker)), "the waker's Clone");

                let (stream, _peer) = rt.block_on(pair());
                let mut readable = Box::pin(stream.readable());
                let _ = stream.try_read(&mut [0]);
                armed.store(true, SeqCst);
                assert_eq!(panic_of(|| poll_once(readable.as_mut(), &waker)), "the waker's Clone");

                assert_alive(&rt);
                rt.block_on(sleep);
            }
        });
    }
}

/// H33, where Tokio gives up: a waker that panics under its driver ends the process, or in release
/// builds the worker. Here it is its owner's affair.
mod wakers_under_the_driver {
    use super::*;
    use std::task::Wake;

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("woken");
        }
    }

    #[test]
    fn do_not_stop_timers_and_sockets() {
        within_limit(|| {
            for rt in flavours() {
                let waker = Waker::from(Arc::new(Panics));
                let guard = rt.enter();
                // Several at once: those behind the one that panics are woken all the same.
                let mut bad = Box::pin(sleep(Duration::from_millis(5)));
                assert!(poll_once(bad.as_mut(), &waker).is_pending());
                drop(guard);
                let good: Vec<_> = (0..10).map(|_| rt.spawn(async { sleep(Duration::from_millis(5)).await })).collect();
                for task in good {
                    rt.block_on(async { timeout(LIMIT, task).await.unwrap().unwrap() });
                }

                let (stream, mut peer) = rt.block_on(pair());
                let _ = stream.try_read(&mut [0]);
                let mut readable = Box::pin(stream.readable());
                assert!(poll_once(readable.as_mut(), &waker).is_pending());
                rt.block_on(peer.write_all(b"x")).unwrap();
                nap(&rt, 5);
                assert!(poll_once(readable.as_mut(), Waker::noop()).is_ready());
                drop(readable);

                // A task that yields with somebody else's waker.
                let waker = waker.clone();
                let yields = rt.spawn(async move {
                    let mut yields = Box::pin(tokio::task::yield_now());
                    let _ = poll_once(yields.as_mut(), &waker);
                });
                rt.block_on(yields).unwrap();
                assert_alive(&rt);
                assert_alive(&rt);

                // And those that the shutdown wakes.
                let guard = rt.enter();
                let waker = Waker::from(Arc::new(Panics));
                let mut last = Box::pin(sleep(LIMIT));
                assert!(poll_once(last.as_mut(), &waker).is_pending());
                drop(guard);
                drop(rt);
            }
        });
    }
}

/// H33: a hook that panics on a worker leaves nobody to run its tasks, so it ends the process. Tokio
/// does that in debug builds.
#[test]
fn a_worker_that_unwinds_ends_the_process() {
    if is_child() {
        let rt = Builder::new_multi_thread()
            .worker_threads(1)
            .on_thread_park(|| panic!("hook"))
            .build()
            .unwrap();
        thread::sleep(Duration::from_secs(5));
        drop(rt);
        return;
    }
    const SIGABRT: i32 = 6;
    let status = child("a_worker_that_unwinds_ends_the_process");
    assert_eq!(status.signal(), Some(SIGABRT));
}

/// H34: wakers, handles and resources that outlive their runtime do nothing, on any thread.
mod after_shutdown {
    use super::*;

    /// A task of `rt` that waits, and its waker.
    fn waiting(rt: &Runtime, alive: &Arc<AtomicUsize>) -> (JoinHandle<()>, Waker) {
        let (tx, rx) = mpsc::channel();
        let counted = Counted(alive.clone());
        let task = rt.spawn(async move {
            let _counted = counted;
            poll_fn(move |cx| {
                let _ = tx.send(cx.waker().clone());
                Poll::<()>::Pending
            })
            .await
        });
        rt.block_on(tokio::task::yield_now());
        (task, rx.recv_timeout(LIMIT).unwrap())
    }

    #[test]
    fn wake_abort_and_join_do_nothing() {
        within_limit(|| {
            for rt in flavours() {
                let dropped = Arc::new(AtomicUsize::new(0));
                let (task, waker) = waiting(&rt, &dropped);
                let abort = task.abort_handle();
                drop(rt);
                assert_eq!(dropped.load(SeqCst), 1);
                let other = waker.clone();
                thread::spawn(move || {
                    other.wake_by_ref();
                    other.clone().wake();
                    abort.abort();
                    assert!(abort.is_finished());
                    drop(abort);
                    assert!(current_thread().block_on(task).unwrap_err().is_cancelled());
                    other.wake();
                })
                .join()
                .unwrap();
                waker.wake();
                assert_eq!(dropped.load(SeqCst), 1);
            }
        });
    }

    #[test]
    fn spawning_cancels() {
        within_limit(|| {
            for rt in flavours() {
                let handle = rt.handle().clone();
                drop(rt);
                let dropped = Arc::new(AtomicUsize::new(0));
                let counted = Counted(dropped.clone());
                let task = handle.spawn(async move {
                    let _counted = counted;
                });
                assert_eq!(dropped.load(SeqCst), 1);
                assert!(current_thread().block_on(task).unwrap_err().is_cancelled());
                let counted = Counted(dropped.clone());
                let task = handle.spawn_blocking(move || drop(counted));
                assert_eq!(dropped.load(SeqCst), 2);
                assert!(current_thread().block_on(task).unwrap_err().is_cancelled());
            }
        });
    }

    #[test]
    fn races_with_wakes_aborts_and_joins() {
        within_limit(|| {
            for round in 0..60 {
                let rt = match round % 3 {
                    0 => current_thread(),
                    n => multi_thread(n),
                };
                let dropped = Arc::new(AtomicUsize::new(0));
                let handle = rt.handle().clone();
                let tasks: Vec<_> = (0..6).map(|_| waiting(&rt, &dropped)).collect();
                let stop = Arc::new(AtomicBool::new(false));
                let threads: Vec<_> = tasks
                    .into_iter()
                    .enumerate()
                    .map(|(i, (task, waker))| {
                        let (stop, dropped, handle) = (stop.clone(), dropped.clone(), handle.clone());
                        thread::spawn(move || {
                            let mut spawned = 0;
                            while !stop.load(SeqCst) {
                                match i % 3 {
                                    0 => waker.wake_by_ref(),
                                    1 => task.abort(),
                                    _ => {
                                        let counted = Counted(dropped.clone());
                                        drop(handle.spawn(async move {
                                            let _counted = counted;
                                        }));
                                        spawned += 1;
                                    }
                                }
                            }
                            assert!(current_thread().block_on(task).is_err());
                            waker.wake();
                            spawned
                        })
                    })
                    .collect();
                thread::sleep(Duration::from_micros(200 * round as u64));
                drop(rt);
                stop.store(true, SeqCst);
                let spawned: usize = threads.into_iter().map(|t| t.join().unwrap()).sum();
                assert_eq!(dropped.load(SeqCst), 6 + spawned);
            }
        });
    }

    #[test]
    fn sockets_fail_and_timers_panic() {
        within_limit(|| {
            for rt in flavours() {
                let (mut stream, _peer) = rt.block_on(pair());
                let mut idle = rt.block_on(async { Box::pin(sleep(LIMIT)) });
                assert!(poll_once(idle.as_mut(), Waker::noop()).is_pending());
                drop(rt);

                let other = current_thread();
                let error = other.block_on(stream.read(&mut [0])).unwrap_err();
                assert!(tokio::runtime::is_rt_shutdown_err(&error), "{error:?}");
                let message = panic_of(|| poll_once(idle.as_mut(), Waker::noop()));
                assert!(message.contains("A Tokio 1.x context was found, but it is being shutdown."), "{message}");
            }
        });
    }
}

/// H35: destructors of thread-local variables run when the runtime's own ones may be gone.
mod thread_locals {
    use super::*;

    /// What a thread may hold. Dropped in this order.
    #[allow(dead_code)]
    struct Held {
        stream: TcpStream,
        join: JoinHandle<()>,
        sleep: Pin<Box<Sleep>>,
    }

    thread_local! {
        static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
        /// The tasks go with the set, the runtime last.
        static RUNTIME: RefCell<Option<(LocalSet, Runtime)>> = const { RefCell::new(None) };
    }

    /// Everything in use: the socket and the timer watched, the task waiting.
    async fn held() -> (Held, TcpStream) {
        let (stream, peer) = pair().await;
        let _ = stream.try_read(&mut [0]);
        assert!(poll_once(pin!(stream.readable()), Waker::noop()).is_pending());
        let mut sleep = Box::pin(sleep(LIMIT));
        assert!(poll_once(sleep.as_mut(), Waker::noop()).is_pending());
        let mut join = tokio::spawn(pending());
        assert!(poll_once(Pin::new(&mut join), Waker::noop()).is_pending());
        (Held { stream, join, sleep }, peer)
    }

    /// Uses the variable, so that it is destroyed after what is first used later.
    fn touch() {
        HELD.with(|held| assert!(held.borrow().is_none()));
        RUNTIME.with(|runtime| assert!(runtime.borrow().is_none()));
    }

    fn hold(held: Held) {
        HELD.with(|slot| *slot.borrow_mut() = Some(held));
    }

    fn assert_eof(rt: &Runtime, mut peer: TcpStream) {
        let eof = async { timeout(Duration::from_secs(5), peer.read(&mut [0])).await };
        assert!(matches!(rt.block_on(eof).expect("no end of the stream"), Ok(0) | Err(_)));
    }

    fn assert_eof_without_runtime(peer: std::net::TcpStream) {
        peer.set_nonblocking(false).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let n = std::io::Read::read(&mut &peer, &mut [0]);
        assert!(matches!(n, Ok(0)), "{n:?}");
    }

    #[test]
    fn of_a_foreign_thread() {
        within_limit(|| {
            for first in [true, false] {
                for rt in flavours() {
                    let handle = rt.handle().clone();
                    let (held, peer) = rt.block_on(held());
                    thread::spawn(move || {
                        if first {
                            touch();
                        }
                        let _guard = handle.enter();
                        hold(held);
                    })
                    .join()
                    .unwrap();
                    assert_eof(&rt, peer);
                    assert_alive(&rt);
                }
            }
        });
    }

    #[test]
    fn of_a_foreign_thread_after_the_runtime() {
        within_limit(|| {
            for rt in flavours() {
                let (held, peer) = rt.block_on(held());
                let (tx, rx) = mpsc::channel::<()>();
                let thread = thread::spawn(move || {
                    touch();
                    hold(held);
                    let _ = rx.recv();
                });
                let peer = rt.block_on(async { peer.into_std() }).unwrap();
                drop(rt);
                drop(tx);
                thread.join().unwrap();
                assert_eof_without_runtime(peer);
            }
        });
    }

    #[test]
    fn of_the_driving_thread() {
        within_limit(|| {
            for first in [true, false] {
                let peer = thread::spawn(move || {
                    if first {
                        touch();
                    }
                    let rt = current_thread();
                    let (held, peer) = rt.block_on(held());
                    let set = LocalSet::new();
                    set.spawn_local(pending::<()>());
                    RUNTIME.with(|slot| *slot.borrow_mut() = Some((set, rt)));
                    hold(held);
                    peer
                })
                .join()
                .unwrap();
                drop(peer);
            }
        });
    }

    #[test]
    fn of_a_worker() {
        within_limit(|| {
            for workers in [1, 2] {
                let rt = multi_thread(workers);
                let peer = rt.block_on(async {
                    tokio::spawn(async {
                        let (held, peer) = held().await;
                        // The worker's own variable goes when its thread ends, with the runtime.
                        hold(held);
                        peer
                    })
                    .await
                    .unwrap()
                });
                assert_alive(&rt);
                let peer = rt.block_on(async move { peer.into_std() }).unwrap();
                drop(rt);
                assert_eof_without_runtime(peer);
            }
        });
    }

    /// A runtime that a destructor uses, while the context is there and later variables are gone.
    #[test]
    fn that_block_on_a_runtime() {
        struct Farewell(Runtime, TcpStream);

        impl Drop for Farewell {
            fn drop(&mut self) {
                let Farewell(rt, stream) = self;
                let said = rt.block_on(async {
                    sleep(Duration::from_millis(1)).await;
                    stream.write_all(b"bye").await
                });
                said.unwrap();
            }
        }

        thread_local! {
            static FAREWELL: RefCell<Option<Farewell>> = const { RefCell::new(None) };
        }

        within_limit(|| {
            let peer = thread::spawn(|| {
                // The context before, all else of the runtime after the destructor's variable.
                assert!(Handle::try_current().is_err());
                FAREWELL.with(|slot| assert!(slot.borrow().is_none()));
                let rt = current_thread();
                let (stream, peer) = rt.block_on(async {
                    sleep(Duration::from_millis(1)).await;
                    pair().await
                });
                let peer = rt.block_on(async { peer.into_std() }).unwrap();
                FAREWELL.with(|slot| *slot.borrow_mut() = Some(Farewell(rt, stream)));
                peer
            })
            .join()
            .unwrap();
            peer.set_nonblocking(false).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut text = String::new();
            std::io::Read::read_to_string(&mut &peer, &mut text).unwrap();
            assert_eq!(text, "bye");
        });
    }
}

/// H37: what is spawned during a shutdown is dropped with the rest; any order of drops ends.
mod shutdown {
    use super::*;

    /// A future whose destructor spawns the next one.
    struct Chain {
        left: usize,
        dropped: Arc<AtomicUsize>,
    }

    impl Future for Chain {
        type Output = ();

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }
    }

    impl Drop for Chain {
        fn drop(&mut self) {
            self.dropped.fetch_add(1, SeqCst);
            if self.left > 0 {
                let next = Chain { left: self.left - 1, dropped: self.dropped.clone() };
                // There is a context: destructors find their runtime.
                drop(tokio::spawn(next));
            }
        }
    }

    #[test]
    fn destructors_may_spawn() {
        within_limit(|| {
            for rt in flavours() {
                let dropped = Arc::new(AtomicUsize::new(0));
                for _ in 0..20 {
                    drop(rt.spawn(Chain { left: 5, dropped: dropped.clone() }));
                }
                rt.block_on(tokio::task::yield_now());
                drop(rt);
                assert_eq!(dropped.load(SeqCst), 20 * 6);
            }
        });
    }

    #[test]
    fn tasks_may_spawn_while_it_goes_on() {
        within_limit(|| {
            for round in 0..60 {
                let rt = multi_thread(1 + round % 3);
                let alive = Arc::new(AtomicUsize::new(0));
                let made = Arc::new(AtomicUsize::new(0));
                for _ in 0..4 {
                    let (dropped, made) = (alive.clone(), made.clone());
                    drop(rt.spawn(async move {
                        loop {
                            made.fetch_add(1, SeqCst);
                            let counted = Counted(dropped.clone());
                            drop(tokio::spawn(async move {
                                let _counted = counted;
                                tokio::task::yield_now().await;
                            }));
                            tokio::task::yield_now().await;
                        }
                    }));
                }
                thread::sleep(Duration::from_micros(100 * round as u64));
                drop(rt);
                assert_eq!(alive.load(SeqCst), made.load(SeqCst));
            }
        });
    }

    #[test]
    fn tasks_may_hold_what_belongs_to_the_runtime() {
        within_limit(|| {
            for rt in flavours() {
                let dropped = Arc::new(AtomicUsize::new(0));
                let (tx, rx) = oneshot::channel::<JoinHandle<()>>();
                let handle = rt.handle().clone();
                let counted = Counted(dropped.clone());
                // A task that holds its own handle, its runtime's handle, a set of tasks, a socket
                // and a timer in use.
                let task = rt.spawn(async move {
                    let _counted = counted;
                    let (own, _handle) = (rx.await.unwrap(), handle);
                    let mut set = JoinSet::new();
                    for _ in 0..10 {
                        set.spawn(pending::<()>());
                    }
                    let (mut stream, _peer) = pair().await;
                    let mut byte = [0];
                    tokio::select! {
                        _ = set.join_next() => {}
                        _ = stream.read(&mut byte) => {}
                        _ = sleep(LIMIT) => {}
                    }
                    drop(own);
                });
                tx.send(task).unwrap();
                nap(&rt, 5);
                drop(rt);
                assert_eq!(dropped.load(SeqCst), 1);
            }
        });
    }

    #[test]
    fn runtimes_that_hold_each_others_things_go_in_any_order() {
        within_limit(|| {
            for first in 0..2 {
                for b in flavours() {
                    let a = multi_thread(1);
                    let dropped = Arc::new(AtomicUsize::new(0));
                    let link = |from: &Runtime, to: &Runtime| {
                        let (counted, inner) = (Counted(dropped.clone()), Counted(dropped.clone()));
                        let far = to.spawn(async move {
                            let _counted = inner;
                            pending::<()>().await;
                        });
                        let (stream, peer) = to.block_on(pair());
                        drop(from.spawn(async move {
                            let _counted = counted;
                            let (mut stream, _peer) = (stream, peer);
                            let mut byte = [0];
                            tokio::select! {
                                _ = far => {}
                                _ = stream.read(&mut byte) => {}
                            }
                            // The other runtime went first.
                            pending::<()>().await;
                        }));
                    };
                    link(&a, &b);
                    link(&b, &a);
                    nap(&a, 2);
                    nap(&b, 2);
                    if first == 0 {
                        drop(a);
                        drop(b);
                    } else {
                        drop(b);
                        drop(a);
                    }
                    assert_eq!(dropped.load(SeqCst), 4);
                }
            }
        });
    }

    #[test]
    fn a_worker_that_blocks_is_waited_for() {
        within_limit(|| {
            for workers in [1, 2] {
                let rt = multi_thread(workers);
                let (tx, rx) = mpsc::channel();
                let done = Arc::new(AtomicBool::new(false));
                let finished = done.clone();
                drop(rt.spawn(async move {
                    tokio::task::block_in_place(|| {
                        tx.send(()).unwrap();
                        thread::sleep(Duration::from_millis(50));
                        // Its shard has been taken over, and may be shut down by now.
                        drop(tokio::spawn(async {}));
                    });
                    finished.store(true, SeqCst);
                    pending::<()>().await;
                }));
                rx.recv().unwrap();
                drop(rt);
                assert!(done.load(SeqCst));
            }
        });
    }

    #[test]
    fn the_last_reference_may_be_a_tasks() {
        within_limit(|| {
            // In the background: allowed anywhere.
            let rt = multi_thread(2);
            let (tx, rx) = oneshot::channel::<Runtime>();
            let (told, heard) = mpsc::channel();
            drop(rt.spawn(async move {
                rx.await.unwrap().shutdown_background();
                told.send(()).unwrap();
            }));
            tx.send(rt).unwrap();
            heard.recv_timeout(LIMIT).unwrap();
        });
    }

    #[test]
    fn no_thread_is_left() {
        if is_child() {
            let count = || std::fs::read_dir("/proc/self/task").unwrap().count();
            let threads = |rt: Runtime| {
                assert_alive(&rt);
                rt.block_on(rt.spawn_blocking(|| ())).unwrap();
                drop(rt);
            };
            // The first one makes what stays: the host's thread.
            threads(multi_thread(2));
            let before = count();
            for rt in flavours() {
                threads(rt);
            }
            // A thread that was joined may take a moment to leave /proc.
            let deadline = Instant::now() + LIMIT;
            while count() > before {
                assert!(Instant::now() < deadline, "{} threads, {before} before", count());
                thread::yield_now();
            }
            return;
        }
        assert!(child("shutdown::no_thread_is_left").success());
    }
}

/// H38: blocking where tasks run is refused, in Tokio's words.
mod nesting {
    use super::*;

    const NESTED: &str = "Cannot start a runtime from within a runtime. This happens because a function (like \
        `block_on`) attempted to block the current thread while the thread is being used to drive asynchronous tasks. \
        If you are in an async function, use `.await` on the future instead of blocking on it.";
    const DROPPED: &str = "Cannot drop a runtime in a context where blocking is not allowed. This happens when a \
        runtime is dropped from within an asynchronous context.";
    const BLOCKED: &str = "Cannot block the current thread from within a runtime. This happens because a function \
        attempted to block the current thread while the thread is being used to drive asynchronous tasks.";

    /// What `f` says in a task, and in `block_on`.
    fn said_by(f: impl Fn() + Clone + Send + 'static) -> Vec<String> {
        let mut said = Vec::new();
        for rt in flavours() {
            let g = f.clone();
            said.push(rt.block_on(async { panic_of(&g) }));
            let g = f.clone();
            said.push(text(rt.block_on(rt.spawn(async move { g() })).unwrap_err().into_panic()));
            assert_alive(&rt);
        }
        said
    }

    #[test]
    fn block_on_in_async_code() {
        within_limit(|| {
            let said = [
                said_by(|| current_thread().block_on(async {})),
                said_by(|| Handle::current().block_on(async {})),
            ];
            // The runtime made inside is dropped by the unwinding, which must not panic again.
            assert_eq!(said.concat(), [NESTED; 12]);
            let said = said_by(|| {
                let rt = std::mem::ManuallyDrop::new(current_thread());
                LocalSet::new().block_on(&rt, async {});
            });
            assert_eq!(said, [NESTED; 6]);
        });
    }

    #[test]
    fn dropping_a_runtime_in_async_code() {
        within_limit(|| {
            for make in [current_thread as fn() -> Runtime, || multi_thread(1)] {
                assert_eq!(said_by(move || drop(make())), [DROPPED; 6]);
                let timeout = said_by(move || make().shutdown_timeout(Duration::from_secs(1)));
                assert_eq!(timeout, [DROPPED; 6]);
                // The last reference to one, in a task of another.
                let rt = Mutex::new(Some(make()));
                let outer = multi_thread(1);
                let dropper = outer.spawn(async move { drop(rt.lock().unwrap().take()) });
                assert_eq!(text(outer.block_on(dropper).unwrap_err().into_panic()), DROPPED);
            }
        });
    }

    #[test]
    fn blocking_calls_of_the_channels() {
        within_limit(|| {
            let said = said_by(|| {
                let (_tx, rx) = oneshot::channel::<()>();
                let _ = rx.blocking_recv();
            });
            assert_eq!(said, [BLOCKED; 6]);
            let said = said_by(|| drop(tokio::sync::Mutex::new(()).blocking_lock()));
            assert_eq!(said, [BLOCKED; 6]);
        });
    }

    #[test]
    fn all_of_it_where_blocking_is_allowed() {
        fn everything() -> usize {
            drop(tokio::sync::Mutex::new(()).blocking_lock());
            let rt = current_thread();
            let one = rt.block_on(async { 1 });
            drop(rt);
            one + Handle::current().block_on(async { 1 })
        }

        within_limit(|| {
            for rt in flavours() {
                assert_eq!(rt.block_on(rt.spawn_blocking(everything)).unwrap(), 2);
            }
            for workers in [1, 2] {
                let rt = multi_thread(workers);
                let task = rt.spawn(async {
                    let first = tokio::task::block_in_place(everything);
                    tokio::task::yield_now().await;
                    first + tokio::task::block_in_place(everything)
                });
                assert_eq!(rt.block_on(task).unwrap(), 4);
                assert_eq!(rt.block_on(async { tokio::task::block_in_place(everything) }), 2);
                assert_alive(&rt);
            }
        });
    }

    #[test]
    fn block_in_place_where_there_is_one_thread() {
        const ONLY_MULTI: &str = "can call blocking only when running on the multi-threaded runtime";
        within_limit(|| {
            let rt = current_thread();
            assert_eq!(rt.block_on(async { panic_of(|| tokio::task::block_in_place(|| ())) }), ONLY_MULTI);
            let task = rt.spawn(async { tokio::task::block_in_place(|| ()) });
            assert_eq!(text(rt.block_on(task).unwrap_err().into_panic()), ONLY_MULTI);
            assert_alive(&rt);
        });
    }

    #[test]
    fn spawning_outside_of_a_runtime() {
        let message = panic_of(|| tokio::spawn(async {}));
        assert_eq!(message, "there is no reactor running, must be called from the context of a Tokio 1.x runtime");
    }
}

/// H31, H33: a worker in `block_in_place` whose stand-in gets no ring goes on by itself.
#[test]
fn block_in_place_without_descriptors() {
    if is_child() {
        within_limit(|| {
            let rt = multi_thread(1);
            assert_alive(&rt);
            let task = rt.spawn(async {
                let mut files = Vec::new();
                while let Ok(file) = std::fs::File::open("/dev/null") {
                    files.push(file);
                }
                let other = tokio::spawn(async { 1 });
                tokio::task::block_in_place(|| thread::sleep(Duration::from_millis(50)));
                drop(files);
                other.await.unwrap()
            });
            assert_eq!(rt.block_on(async { timeout(LIMIT, task).await }).unwrap().unwrap(), 1);
            assert_alive(&rt);
        });
        return;
    }
    // 64 descriptors: few enough to use up, plenty to begin with.
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 64; exec \"$0\" --exact block_in_place_without_descriptors --nocapture"])
        .arg(std::env::current_exe().unwrap())
        .env("HAZARD_CHILD", "1")
        .status()
        .unwrap();
    assert!(status.success());
}
