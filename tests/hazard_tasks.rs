//! Hazards of tasks and threads: panics of user code, life after shutdown, threads that end (H31,
//! H33–H35 of docs/HAZARDS.md).
//!
//! A plain Tokio program: every expectation here was first checked against tokio 1.54.1.

mod hazard;

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::os::unix::process::ExitStatusExt;
use std::pin::{Pin, pin};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;
use std::time::Duration;

use hazard::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, LocalSet};
use tokio::time::{Sleep, sleep, timeout};

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

    /// A waker that panics once, and how to arm it. Its state is never freed.
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
        static STATES: Mutex<Vec<&State>> = Mutex::new(Vec::new());
        let state: &'static State = Box::leak(Box::new(State { trap, armed: AtomicBool::new(false) }));
        STATES.lock().unwrap().push(state);
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
                let good: Vec<_> =
                    (0..10).map(|_| rt.spawn(async { sleep(Duration::from_millis(5)).await })).collect();
                for task in good {
                    rt.block_on(async { timeout(LIMIT, task).await.unwrap().unwrap() });
                }

                let (stream, mut peer) = rt.block_on(pair());
                let _ = stream.try_read(&mut [0]);
                let mut readable = Box::pin(stream.readable());
                assert!(poll_once(readable.as_mut(), &waker).is_pending());
                rt.block_on(peer.write_all(b"x")).unwrap();
                // The event has been seen by then.
                rt.block_on(async { timeout(LIMIT, stream.readable()).await }).unwrap().unwrap();
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
        let rt =
            Builder::new_multi_thread().worker_threads(1).on_thread_park(|| panic!("hook")).build().unwrap();
        thread::sleep(LIMIT);
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
                    let clone = other.clone();
                    clone.wake();
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
                let mut idle = {
                    let _guard = rt.enter();
                    Box::pin(sleep(LIMIT))
                };
                assert!(poll_once(idle.as_mut(), Waker::noop()).is_pending());
                drop(rt);

                let other = current_thread();
                let error = other.block_on(stream.read(&mut [0])).unwrap_err();
                assert!(tokio::runtime::is_rt_shutdown_err(&error), "{error:?}");
                let message = panic_of(|| poll_once(idle.as_mut(), Waker::noop()));
                assert!(
                    message.contains("A Tokio 1.x context was found, but it is being shutdown."),
                    "{message}"
                );
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
        /// Dropping it wakes a task.
        sender: oneshot::Sender<()>,
    }

    /// What stays behind.
    struct Left {
        peer: TcpStream,
        woken: JoinHandle<()>,
    }

    thread_local! {
        static HELD: RefCell<Option<Held>> = const { RefCell::new(None) };
        /// The tasks go with the set, the runtime last.
        static RUNTIME: RefCell<Option<(LocalSet, Runtime)>> = const { RefCell::new(None) };
    }

    /// Everything in use: the socket and the timer watched, the task waiting.
    async fn held() -> (Held, Left) {
        let (stream, peer) = pair().await;
        let _ = stream.try_read(&mut [0]);
        assert!(poll_once(pin!(stream.readable()), Waker::noop()).is_pending());
        let mut sleep = Box::pin(sleep(LIMIT));
        assert!(poll_once(sleep.as_mut(), Waker::noop()).is_pending());
        let mut join = tokio::spawn(pending());
        assert!(poll_once(Pin::new(&mut join), Waker::noop()).is_pending());
        let (sender, receiver) = oneshot::channel();
        let woken = tokio::spawn(async {
            let _ = receiver.await;
        });
        (Held { stream, join, sleep, sender }, Left { peer, woken })
    }

    /// Uses the variable, so that it is destroyed after what is first used later.
    fn touch() {
        HELD.with(|held| assert!(held.borrow().is_none()));
        RUNTIME.with(|runtime| assert!(runtime.borrow().is_none()));
    }

    fn hold(held: Held) {
        HELD.with(|slot| *slot.borrow_mut() = Some(held));
    }

    /// The socket was closed, the task woken.
    fn assert_gone(rt: &Runtime, mut left: Left) {
        rt.block_on(async {
            let eof = timeout(LIMIT, left.peer.read(&mut [0])).await;
            assert!(matches!(eof.expect("no end of the stream"), Ok(0) | Err(_)));
            timeout(LIMIT, left.woken).await.expect("not woken").unwrap();
        });
    }

    fn assert_eof_without_runtime(peer: std::net::TcpStream) {
        peer.set_nonblocking(false).unwrap();
        peer.set_read_timeout(Some(LIMIT)).unwrap();
        let n = std::io::Read::read(&mut &peer, &mut [0]);
        assert!(matches!(n, Ok(0)), "{n:?}");
    }

    #[test]
    fn of_a_foreign_thread() {
        within_limit(|| {
            for first in [true, false] {
                for rt in flavours() {
                    let handle = rt.handle().clone();
                    let (held, left) = rt.block_on(held());
                    thread::spawn(move || {
                        if first {
                            touch();
                        }
                        let _guard = handle.enter();
                        hold(held);
                    })
                    .join()
                    .unwrap();
                    assert_gone(&rt, left);
                    assert_alive(&rt);
                }
            }
        });
    }

    /// All that a driving thread keeps for the runtime it drives is gone by then, too.
    #[test]
    fn of_a_foreign_thread_that_drove_another_runtime() {
        within_limit(|| {
            for rt in flavours() {
                let (held, left) = rt.block_on(held());
                // Let the workers fall asleep: the destructors have to wake them.
                thread::sleep(Duration::from_millis(20));
                thread::spawn(move || {
                    touch();
                    let own = current_thread();
                    nap(&own, 1);
                    hold(held);
                })
                .join()
                .unwrap();
                assert_gone(&rt, left);
                assert_alive(&rt);
            }
        });
    }

    #[test]
    fn of_a_foreign_thread_after_the_runtime() {
        within_limit(|| {
            for rt in flavours() {
                let (held, left) = rt.block_on(held());
                let (tx, rx) = mpsc::channel::<()>();
                let thread = thread::spawn(move || {
                    touch();
                    hold(held);
                    let _ = rx.recv();
                });
                let peer = rt.block_on(async { left.peer.into_std() }).unwrap();
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
                    let (held, left) = rt.block_on(held());
                    let set = LocalSet::new();
                    set.spawn_local(pending::<()>());
                    RUNTIME.with(|slot| *slot.borrow_mut() = Some((set, rt)));
                    hold(held);
                    left.peer
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
                        let (held, left) = held().await;
                        // The worker's own variable goes when its thread ends, with the runtime.
                        hold(held);
                        left.peer
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
}

/// Runs `test` of this file as a child with 64 descriptors: few enough to use up, plenty to begin
/// with.
fn with_few_descriptors(test: &str) {
    let run = format!("ulimit -n 64; exec \"$0\" --exact {test} --nocapture");
    let program = std::env::current_exe().unwrap();
    let status =
        Command::new("sh").args(["-c", &run]).arg(program).env("HAZARD_CHILD", "1").status().unwrap();
    assert!(status.success());
}

/// H31: a thread that is to stand in for a blocked worker comes as soon as there is a ring for it.
#[test]
fn block_in_place_until_there_is_a_descriptor() {
    if !is_child() {
        return with_few_descriptors("block_in_place_until_there_is_a_descriptor");
    }
    within_limit(|| {
        let rt = multi_thread(1);
        assert_alive(&rt);
        let task = rt.spawn(async {
            let mut files = Vec::new();
            while let Ok(file) = std::fs::File::open("/dev/null") {
                files.push(file);
            }
            let (tx, rx) = std::sync::mpsc::channel();
            // Runs on this worker, or nowhere.
            tokio::spawn(async move { tx.send(1).unwrap() });
            let freed = thread::spawn(move || {
                thread::sleep(Duration::from_millis(50));
                drop(files);
            });
            tokio::task::block_in_place(|| {
                let received = rx.recv().unwrap();
                freed.join().unwrap();
                received
            })
        });
        assert_eq!(rt.block_on(async { timeout(LIMIT, task).await }).unwrap().unwrap(), 1);
        assert_alive(&rt);
    });
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
    with_few_descriptors("block_in_place_without_descriptors");
}
