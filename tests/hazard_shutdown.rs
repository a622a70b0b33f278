//! Hazards of ending and nesting runtimes (H37, H38 of docs/HAZARDS.md).
//!
//! A plain Tokio program: every expectation here was first checked against tokio 1.54.1.

mod hazard;
#[path = "common/threads.rs"]
mod threads;

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use hazard::*;
use threads::*;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet, LocalSet};
use tokio::time::sleep;

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
    fn nothing_of_the_runtime_is_left() {
        within_limit(|| {
            for workers in [0, 1, 2] {
                let dropped = Arc::new(AtomicUsize::new(0));
                let counted = Counted(dropped.clone());
                let mut builder = match workers {
                    0 => Builder::new_current_thread(),
                    _ => Builder::new_multi_thread(),
                };
                let rt = builder
                    .worker_threads(workers.max(1))
                    .enable_all()
                    .on_thread_stop(move || {
                        let _ = &counted;
                    })
                    .build()
                    .unwrap();
                drop(builder);
                // Tasks in every queue: the workers have no time for them.
                for _ in 0..workers {
                    let (tx, rx) = mpsc::channel();
                    drop(rt.spawn(async move {
                        for _ in 0..300 {
                            drop(tokio::spawn(async {}));
                        }
                        tx.send(()).unwrap();
                        thread::sleep(Duration::from_millis(100));
                    }));
                    rx.recv().unwrap();
                }
                for _ in 0..300 {
                    drop(rt.spawn(async {}));
                }
                drop(rt);
                // All that has the hook: no task has survived in a queue.
                assert_eq!(dropped.load(SeqCst), 1, "{workers} workers");
            }
        });
    }

    #[test]
    fn no_thread_is_left() {
        if is_child() {
            let uses_threads = |rt: Runtime| {
                assert_alive(&rt);
                rt.block_on(rt.spawn_blocking(|| ())).unwrap();
                drop(rt);
            };
            // The first one makes what stays: the host's thread.
            uses_threads(multi_thread(2));
            let before = thread_count();
            for rt in flavours() {
                uses_threads(rt);
            }
            // A thread that was joined may take a moment to leave /proc.
            let deadline = Instant::now() + LIMIT;
            while thread_count() > before {
                assert!(Instant::now() < deadline, "{} threads, {before} before", thread_count());
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
                // Kept, and where the leak sanitizer sees it.
                static KEPT: Mutex<Vec<&Runtime>> = Mutex::new(Vec::new());
                let rt = Box::leak(Box::new(current_thread()));
                KEPT.lock().unwrap().push(rt);
                LocalSet::new().block_on(rt, async {});
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
        assert_eq!(
            message,
            "there is no reactor running, must be called from the context of a Tokio 1.x runtime"
        );
    }
}
