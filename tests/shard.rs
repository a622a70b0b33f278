//! Placement of tasks on shards: pinned, bound to a thread, near, dealt out, sticky.

use std::cell::Cell;
use std::collections::HashSet;
use std::future::pending;
use std::rc::Rc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Barrier, mpsc};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::shard::{self, Placement, Remote, Shard};
use tokio::sync::oneshot;
use tokio::task::{block_in_place, yield_now};
use tokio::time::{sleep, timeout};

const FOREVER: Duration = Duration::from_secs(30);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

fn remote(rt: &Runtime, shard: usize) -> Remote {
    rt.handle().remote(Shard::new(shard)).unwrap()
}

fn here() -> Option<usize> {
    shard::current().map(Shard::index)
}

fn thread_id() -> ThreadId {
    thread::current().id()
}

/// Runs `test` on a thread of its own; a hang is a failure.
fn within<T: Send + 'static>(limit: Duration, test: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = done.send(test());
    });
    match result.recv_timeout(limit) {
        Ok(value) => {
            thread.join().unwrap();
            value
        }
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not within {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("it sends before it ends"),
        },
    }
}

/// Notes on which thread it is dropped.
struct DroppedOn(mpsc::Sender<ThreadId>, #[allow(dead_code)] Rc<()>);

impl DroppedOn {
    fn new(tell: mpsc::Sender<ThreadId>) -> DroppedOn {
        DroppedOn(tell, Rc::new(()))
    }
}

impl Drop for DroppedOn {
    fn drop(&mut self) {
        let _ = self.0.send(thread_id());
    }
}

// ===== pinned =====

#[test]
fn shards_are_listed() {
    let rt = runtime(3);
    let handle = rt.handle();
    let listed: Vec<_> = handle.shards().map(Shard::index).collect();
    assert_eq!(listed, [0, 1, 2]);
    assert_eq!(handle.shards().len(), 3);
    assert_eq!(handle.shards().next_back(), Some(Shard::new(2)));
    assert!(handle.remote(Shard::new(3)).is_none());
    assert_eq!(remote(&rt, 1).shard(), Shard::new(1));
    assert_eq!(remote(&rt, 1).handle().id(), handle.id());
    assert_eq!(shard::current(), None);
    assert_eq!(rt.block_on(async { shard::current() }), None);
}

#[test]
#[should_panic = "there is no shard 2: the runtime has 2"]
fn a_shard_that_is_not_there() {
    runtime(2).block_on(async { drop(shard::remote(Shard::new(2))) });
}

#[test]
fn a_pinned_task_stays_although_others_are_idle() {
    let rt = runtime(4);
    rt.block_on(async {
        let tasks: Vec<_> = (0..400)
            .map(|i| {
                let home = i % 4;
                let task = shard::spawn_pinned(Shard::new(home), async move {
                    let mut elsewhere = 0;
                    for round in 0..50 {
                        elsewhere += usize::from(here() != Some(home));
                        if round % 10 == 0 {
                            sleep(Duration::from_micros(100)).await;
                        } else {
                            yield_now().await;
                        }
                    }
                    elsewhere
                });
                (home, task)
            })
            .collect();
        for (home, task) in tasks {
            assert_eq!(task.await.unwrap(), 0, "a task of shard {home} ran elsewhere");
        }
    });
}

#[test]
fn thieves_leave_pinned_tasks_of_a_stuck_shard() {
    within(FOREVER, || {
        let rt = runtime(2);
        rt.block_on(async {
            let (stuck, is_stuck) = oneshot::channel();
            let free = Arc::new(AtomicBool::new(false));
            let hog = shard::spawn_pinned(Shard::new(0), {
                let free = free.clone();
                async move {
                    // What is spawned here may be stolen, what is pinned here may not.
                    let pinned: Vec<_> = (0..100)
                        .map(|_| shard::spawn_pinned(Shard::new(0), async { (here(), Instant::now()) }))
                        .collect();
                    let stolen = tokio::spawn(async { here() });
                    stuck.send((pinned, stolen)).unwrap();
                    while !free.load(SeqCst) {
                        std::hint::spin_loop();
                    }
                    Instant::now()
                }
            });
            let (pinned, stolen) = is_stuck.await.unwrap();
            assert_eq!(stolen.await.unwrap(), Some(1));
            // Enough for a thief.
            thread::sleep(Duration::from_millis(50));
            free.store(true, SeqCst);
            let freed = hog.await.unwrap();
            for task in pinned {
                let (shard, at) = task.await.unwrap();
                assert_eq!(shard, Some(0));
                assert!(at >= freed);
            }
        });
    });
}

#[test]
fn pinned_and_ordinary_tasks_take_turns() {
    within(FOREVER, || {
        let rt = runtime(1);
        rt.block_on(async {
            let stop = Arc::new(AtomicBool::new(false));
            let count = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
            let begun = Arc::new(AtomicUsize::new(0));
            let spin = |i: usize| {
                let (stop, count, begun) = (stop.clone(), count[i].clone(), begun.clone());
                async move {
                    begun.fetch_add(1, Relaxed);
                    while !stop.load(Relaxed) {
                        // From when all four of them are there.
                        count.fetch_add(usize::from(begun.load(Relaxed) == 4), Relaxed);
                        // Straight to the queue: not deferred to the end of the turn.
                        let mut yielded = false;
                        std::future::poll_fn(|cx| {
                            if std::mem::replace(&mut yielded, true) {
                                return std::task::Poll::Ready(());
                            }
                            cx.waker().wake_by_ref();
                            std::task::Poll::Pending
                        })
                        .await;
                    }
                }
            };
            let tasks = [
                shard::spawn_pinned(Shard::new(0), spin(0)),
                shard::spawn_pinned(Shard::new(0), spin(0)),
                tokio::spawn(spin(1)),
                tokio::spawn(spin(1)),
            ];
            // A timer and a wake from here get through as well.
            shard::spawn_pinned(Shard::new(0), sleep(Duration::from_millis(20))).await.unwrap();
            while count.iter().any(|c| c.load(Relaxed) < 1000) {
                shard::spawn_pinned(Shard::new(0), async {}).await.unwrap();
                tokio::spawn(async {}).await.unwrap();
            }
            stop.store(true, Relaxed);
            for task in tasks {
                task.await.unwrap();
            }
            let [pinned, ordinary] = count.map(|c| c.load(Relaxed));
            assert!(pinned < 4 * ordinary && ordinary < 4 * pinned, "{pinned} and {ordinary}");
        });
    });
}

#[test]
fn wakes_across_shards_are_not_lost() {
    within(FOREVER, || {
        let rt = runtime(2);
        rt.block_on(async {
            let (there, mut inbox) = tokio::sync::mpsc::channel(1);
            let (back, mut answers) = tokio::sync::mpsc::channel(1);
            let ping = shard::spawn_pinned(Shard::new(0), async move {
                for i in 0..20_000u32 {
                    there.send(i).await.unwrap();
                    assert_eq!(answers.recv().await, Some(i));
                    assert_eq!(here(), Some(0));
                }
            });
            let pong = shard::spawn_pinned(Shard::new(1), async move {
                while let Some(i) = inbox.recv().await {
                    back.send(i).await.unwrap();
                    assert_eq!(here(), Some(1));
                }
            });
            ping.await.unwrap();
            pong.await.unwrap();
        });
    });
}

#[test]
fn a_pinned_task_panics_and_is_aborted_like_any_other() {
    let rt = runtime(2);
    let panics = remote(&rt, 1).spawn_pinned(async { panic!("so it is") });
    let panics_at_birth =
        remote(&rt, 1).spawn_pinned_with(|| -> std::future::Ready<()> { panic!("not born") });
    let waits = remote(&rt, 1).spawn_pinned(pending::<()>());
    let abort = waits.abort_handle();
    let id = waits.id();
    thread::spawn(move || abort.abort()).join().unwrap();
    rt.block_on(async {
        let error = panics.await.unwrap_err();
        assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"so it is"));
        let error = panics_at_birth.await.unwrap_err();
        assert_eq!(error.into_panic().downcast_ref::<&str>(), Some(&"not born"));
        let error = waits.await.unwrap_err();
        assert!(error.is_cancelled());
        assert_eq!(error.id(), id);
        // The shard lives.
        assert_eq!(shard::spawn_pinned(Shard::new(1), async { here() }).await.unwrap(), Some(1));
    });
}

#[test]
fn pinned_tasks_are_counted() {
    let rt = runtime(2);
    let tasks: Vec<_> = (0..10).map(|i| remote(&rt, i % 2).spawn_pinned(pending::<()>())).collect();
    assert_eq!(rt.metrics().num_alive_tasks(), 10);
    tasks.iter().for_each(|task| task.abort());
    rt.block_on(async {
        for task in tasks {
            assert!(task.await.unwrap_err().is_cancelled());
        }
    });
    let start = Instant::now();
    while rt.metrics().num_alive_tasks() > 0 {
        assert!(start.elapsed() < FOREVER);
        thread::yield_now();
    }
}

#[test]
fn a_pinned_task_goes_with_its_shard_when_a_sibling_blocks_in_place() {
    within(FOREVER, || {
        let rt = runtime(1);
        rt.block_on(async {
            let (go_on, blocked) = mpsc::channel::<()>();
            let (started, is_blocked) = oneshot::channel();
            let blocks = shard::spawn_pinned(Shard::new(0), async move {
                let before = thread_id();
                block_in_place(|| {
                    started.send(before).unwrap();
                    blocked.recv().unwrap();
                });
            });
            let blocked_thread = is_blocked.await.unwrap();
            let (shard, thread) =
                shard::spawn_pinned(Shard::new(0), async { (here(), thread_id()) }).await.unwrap();
            assert_eq!(shard, Some(0));
            assert_ne!(thread, blocked_thread);
            go_on.send(()).unwrap();
            blocks.await.unwrap();
            // The thread that took over is the shard's now, and its ring serves it.
            sleep(Duration::from_millis(5)).await;
            shard::spawn_pinned(Shard::new(0), sleep(Duration::from_millis(5))).await.unwrap();
        });
    });
}

/// Red without the look whether the ring still serves the shard: who took the core back slept in a
/// ring that nobody rang any more.
#[test]
fn a_core_taken_back_from_a_thread_that_blocks_too() {
    within(FOREVER, || {
        // Two threads in all: while both are blocked, nobody can take the core.
        let rt = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(1)
            .enable_all()
            .build()
            .unwrap();
        rt.block_on(async {
            let (go_on, blocked) = mpsc::channel::<()>();
            let (started, is_blocked) = oneshot::channel();
            let outer = tokio::spawn(async move {
                block_in_place(|| {
                    started.send(()).unwrap();
                    blocked.recv().unwrap();
                });
            });
            is_blocked.await.unwrap();
            let (inner_go_on, inner_blocked) = mpsc::channel::<()>();
            let (started, is_blocked) = oneshot::channel();
            let inner = tokio::spawn(async move {
                block_in_place(|| {
                    started.send(()).unwrap();
                    inner_blocked.recv().unwrap();
                });
            });
            is_blocked.await.unwrap();
            go_on.send(()).unwrap();
            outer.await.unwrap();
            for _ in 0..20 {
                sleep(Duration::from_millis(2)).await;
                tokio::spawn(async {}).await.unwrap();
            }
            inner_go_on.send(()).unwrap();
            inner.await.unwrap();
            for _ in 0..20 {
                sleep(Duration::from_millis(2)).await;
                tokio::spawn(sleep(Duration::from_millis(1))).await.unwrap();
            }
        });
    });
}

// ===== placement =====

#[test]
fn a_task_near_a_shard_begins_there() {
    within(FOREVER, || {
        let rt = runtime(4);
        rt.block_on(async {
            const TASKS: usize = 200;
            let mut there = 0;
            for i in 0..TASKS {
                // All workers sleep, so nobody looks for work.
                sleep(Duration::from_micros(300)).await;
                let task = shard::spawn(Placement::Near(Shard::new(i % 4)), async { here() });
                there += usize::from(task.await.unwrap() == Some(i % 4));
            }
            assert!(there > 0);
            // Who had no processor for a while was robbed: that is counted, somewhat later.
            let stolen = || (0..4).map(|i| shard::remote(Shard::new(i)).stats().steals).sum::<u64>();
            let start = Instant::now();
            while there + (stolen() as usize) < TASKS {
                assert!(start.elapsed() < FOREVER / 2, "{there} there and {} stolen of {TASKS}", stolen());
                sleep(Duration::from_millis(1)).await;
            }
        });
    });
}

#[test]
fn a_task_near_a_stuck_shard_is_taken_over() {
    within(FOREVER, || {
        let rt = runtime(2);
        let (stuck, is_stuck) = mpsc::channel();
        let (go_on, blocked) = mpsc::channel::<()>();
        let hog = remote(&rt, 0).spawn_pinned(async move {
            stuck.send(()).unwrap();
            blocked.recv().unwrap();
        });
        is_stuck.recv().unwrap();
        let tasks: Vec<_> = (0..10).map(|_| remote(&rt, 0).spawn_stealable(async { here() })).collect();
        rt.block_on(async {
            for task in tasks {
                assert_eq!(task.await.unwrap(), Some(1));
            }
            go_on.send(()).unwrap();
            hog.await.unwrap();
        });
    });
}

#[test]
fn round_robin_deals_out() {
    let rt = runtime(3);
    rt.block_on(async {
        let mut count = [0; 3];
        for _ in 0..30 {
            let shard = shard::spawn(Placement::RoundRobin, async {
                let first = here().unwrap();
                yield_now().await;
                assert_eq!(here(), Some(first));
                first
            });
            count[shard.await.unwrap()] += 1;
        }
        assert_eq!(count, [10; 3]);
    });
}

#[test]
fn sticky_keys_stick() {
    let rt = runtime(3);
    rt.block_on(async {
        let mut used = HashSet::new();
        for key in 0..30u64 {
            let first = shard::spawn(Placement::Sticky(key), async { here() }).await.unwrap();
            used.insert(first);
            for _ in 0..5 {
                let again = shard::spawn(Placement::Sticky(key), async {
                    yield_now().await;
                    here()
                });
                assert_eq!(again.await.unwrap(), first);
            }
        }
        assert_eq!(used.len(), 3);
    });
}

#[test]
fn stealable_is_an_ordinary_task() {
    let rt = runtime(2);
    rt.block_on(async {
        assert_eq!(shard::spawn_stealable(async { 1 }).await.unwrap(), 1);
        assert_eq!(shard::spawn(Placement::Stealable, async { 2 }).await.unwrap(), 2);
        assert_eq!(shard::spawn(Placement::Pinned(Shard::new(1)), async { here() }).await.unwrap(), Some(1));
    });
}

// ===== futures that are not `Send` =====

#[test]
fn a_bound_future_stays_on_its_thread() {
    let rt = runtime(2);
    rt.block_on(async {
        for shard in [0, 1] {
            let task = shard::spawn_pinned_with(Shard::new(shard), move || {
                let built = thread_id();
                let count = Rc::new(Cell::new(0));
                async move {
                    for _ in 0..100 {
                        assert_eq!((here(), thread_id()), (Some(shard), built));
                        count.set(count.get() + 1);
                        sleep(Duration::from_micros(50)).await;
                    }
                    count.get()
                }
            });
            assert_eq!(task.await.unwrap(), 100);
        }
    });
}

/// Red without the recall: the future is polled by nobody, or (home not compared) by the wrong
/// thread.
#[test]
fn a_bound_future_waits_for_its_thread_that_blocks_in_place() {
    within(FOREVER, || {
        let rt = runtime(1);
        rt.block_on(async {
            let (go_on, blocked) = mpsc::channel::<()>();
            let (started, is_blocked) = oneshot::channel();
            let ticks = Arc::new(AtomicUsize::new(0));
            let bound = shard::spawn_pinned_with(Shard::new(0), {
                let ticks = ticks.clone();
                move || async move {
                    let _not_send = Rc::new(());
                    let home = thread_id();
                    while ticks.fetch_add(1, SeqCst) < 1000 {
                        assert_eq!(thread_id(), home);
                        sleep(Duration::from_micros(100)).await;
                    }
                    home
                }
            });
            while ticks.load(SeqCst) < 10 {
                sleep(Duration::from_millis(1)).await;
            }
            let blocks = shard::spawn_pinned(Shard::new(0), async move {
                let before = thread_id();
                block_in_place(|| {
                    started.send(()).unwrap();
                    blocked.recv().unwrap();
                });
                // The thread has its shard back.
                assert_eq!((thread_id(), here()), (before, Some(0)));
                before
            });
            is_blocked.await.unwrap();
            let before = ticks.load(SeqCst);
            // The shard goes on, without the future; what is to be built waits.
            let mut late = shard::spawn_pinned_with(Shard::new(0), || async {
                let _not_send = Rc::new(());
                thread_id()
            });
            for _ in 0..20 {
                let other = shard::spawn_pinned(Shard::new(0), async {
                    sleep(Duration::from_millis(1)).await;
                    thread_id()
                });
                other.await.unwrap();
            }
            assert!(ticks.load(SeqCst) <= before + 1);
            assert!(timeout(Duration::from_millis(20), &mut late).await.is_err());
            go_on.send(()).unwrap();
            let thread = blocks.await.unwrap();
            assert_eq!(late.await.unwrap(), thread);
            assert_eq!(bound.await.unwrap(), thread);
        });
    });
}

#[test]
fn block_in_place_in_a_bound_future_itself() {
    within(FOREVER, || {
        let rt = runtime(2);
        rt.block_on(async {
            let tasks: Vec<_> = (0..20)
                .map(|i| {
                    shard::spawn_pinned_with(Shard::new(i % 2), || async {
                        let home = thread_id();
                        let rc = Rc::new(Cell::new(0));
                        for _ in 0..10 {
                            let lent = rc.clone();
                            block_in_place(|| {
                                lent.set(lent.get() + 1);
                                thread::sleep(Duration::from_micros(500));
                            });
                            assert_eq!(thread_id(), home);
                            sleep(Duration::from_micros(200)).await;
                            assert_eq!(thread_id(), home);
                        }
                        rc.get()
                    })
                })
                .collect();
            for task in tasks {
                assert_eq!(task.await.unwrap(), 10);
            }
        });
    });
}

#[test]
fn aborted_bound_futures_are_dropped_at_home() {
    within(FOREVER, || {
        let rt = runtime(2);
        for shard in [0, 1] {
            let (tell, told) = mpsc::channel();
            let (say, said) = mpsc::channel();
            let task = remote(&rt, shard).spawn_pinned_with(move || {
                say.send(thread_id()).unwrap();
                let guard = DroppedOn::new(tell);
                async move {
                    let _guard = guard;
                    pending::<()>().await;
                }
            });
            let home = said.recv().unwrap();
            task.abort();
            assert!(rt.block_on(task).unwrap_err().is_cancelled());
            assert_eq!(told.recv().unwrap(), home);
        }
    });
}

/// Red without burial at home: the workers cancel tasks together, and any of them dropped any.
#[test]
fn a_shutdown_drops_bound_futures_at_home() {
    within(FOREVER, || {
        for _ in 0..20 {
            let rt = runtime(2);
            let (tell, told) = mpsc::channel();
            let (say, said) = mpsc::channel();
            for i in 0..20 {
                let (tell, say) = (tell.clone(), say.clone());
                remote(&rt, i % 2).spawn_pinned_with(move || {
                    say.send((i % 2, thread_id())).unwrap();
                    let guard = DroppedOn::new(tell);
                    async move {
                        let _guard = guard;
                        pending::<()>().await;
                    }
                });
            }
            let mut homes = [Vec::new(), Vec::new()];
            for _ in 0..20 {
                let (shard, home) = said.recv().unwrap();
                homes[shard].push(home);
            }
            drop(rt);
            drop(tell);
            let mut dropped: Vec<_> = told.into_iter().map(|id| format!("{id:?}")).collect();
            let mut built: Vec<_> = homes.concat().iter().map(|id| format!("{id:?}")).collect();
            dropped.sort();
            built.sort();
            assert_eq!(dropped, built);
        }
    });
}

#[test]
fn a_shutdown_while_the_home_is_blocked_in_place() {
    within(FOREVER, || {
        let rt = runtime(1);
        let (tell, told) = mpsc::channel();
        let (say, said) = mpsc::channel();
        remote(&rt, 0).spawn_pinned_with(move || {
            say.send(thread_id()).unwrap();
            let guard = DroppedOn::new(tell);
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        });
        let home = said.recv().unwrap();
        let (say, said) = mpsc::channel();
        let (go_on, blocked) = mpsc::channel::<()>();
        remote(&rt, 0).spawn_pinned(async move {
            block_in_place(|| {
                say.send(()).unwrap();
                blocked.recv().unwrap();
            });
        });
        said.recv().unwrap();
        let shutdown = thread::spawn(move || drop(rt));
        // The thread that took over has shut down by then; the home has not.
        thread::sleep(Duration::from_millis(50));
        assert!(told.try_recv().is_err());
        go_on.send(()).unwrap();
        shutdown.join().unwrap();
        assert_eq!(told.recv().unwrap(), home);
    });
}

#[test]
fn spawning_races_the_shutdown() {
    within(FOREVER, || {
        for round in 0..100 {
            let rt = runtime(2);
            let handle = rt.handle().clone();
            let start = Arc::new(Barrier::new(3));
            let spawners: Vec<_> = (0..2)
                .map(|i| {
                    let (handle, start) = (handle.clone(), start.clone());
                    thread::spawn(move || {
                        let remote = handle.remote(Shard::new(i)).unwrap();
                        start.wait();
                        let mut tasks = Vec::new();
                        for n in 0..50 {
                            tasks.push(remote.spawn_pinned(async move {
                                yield_now().await;
                                n
                            }));
                            tasks.push(remote.spawn_pinned_with(move || async move {
                                let rc = Rc::new(n);
                                yield_now().await;
                                *rc
                            }));
                            tasks.push(remote.spawn_stealable(async move { n }));
                        }
                        tasks
                    })
                })
                .collect();
            start.wait();
            if round % 2 == 0 {
                thread::sleep(Duration::from_micros(round * 5));
            }
            drop(rt);
            let waiting = Builder::new_current_thread().enable_all().build().unwrap();
            for spawner in spawners {
                for (n, task) in spawner.join().unwrap().into_iter().enumerate() {
                    match waiting.block_on(task) {
                        Ok(out) => assert_eq!(out, n / 3),
                        Err(error) => assert!(error.is_cancelled()),
                    }
                }
            }
            assert_eq!(handle.metrics().num_alive_tasks(), 0);
        }
    });
}

// ===== one shard =====

#[test]
fn a_current_thread_runtime_is_one_shard() {
    let rt = Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(rt.handle().shards().len(), 1);
    rt.block_on(async {
        assert_eq!(here(), Some(0));
        let only = Shard::new(0);
        assert_eq!(shard::spawn_pinned(only, async { here() }).await.unwrap(), Some(0));
        assert_eq!(shard::spawn(Placement::RoundRobin, async { 1 }).await.unwrap(), 1);
        assert_eq!(shard::spawn(Placement::Sticky(77), async { 2 }).await.unwrap(), 2);
        assert_eq!(shard::spawn(Placement::Near(only), async { 3 }).await.unwrap(), 3);
        let rc = shard::spawn_pinned_with(only, || async {
            let rc = Rc::new(4);
            yield_now().await;
            *rc
        });
        assert_eq!(rc.await.unwrap(), 4);
        assert!(Handle::current().remote(Shard::new(1)).is_none());
    });
}

#[test]
fn a_bound_future_of_a_current_thread_runtime_waits_for_its_thread() {
    within(FOREVER, || {
        let rt = Builder::new_current_thread().enable_all().build().unwrap();
        let ticks = Arc::new(AtomicUsize::new(0));
        let home = thread_id();
        let task = remote(&rt, 0).spawn_pinned_with({
            let ticks = ticks.clone();
            move || async move {
                let _not_send = Rc::new(());
                loop {
                    assert_eq!(thread_id(), home);
                    if ticks.fetch_add(1, SeqCst) == 5 {
                        return;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            }
        });
        rt.block_on(async {
            while ticks.load(SeqCst) < 2 {
                yield_now().await;
            }
        });
        let before = ticks.load(SeqCst);
        thread::scope(|scope| {
            scope.spawn(|| rt.block_on(async { sleep(Duration::from_millis(20)).await }));
        });
        assert_eq!(ticks.load(SeqCst), before);
        rt.block_on(task).unwrap();
    });
}

#[test]
fn bound_futures_of_a_runtime_dropped_elsewhere() {
    within(FOREVER, || {
        let rt = Builder::new_current_thread().enable_all().build().unwrap();
        let (tell, told) = mpsc::channel();
        let task = remote(&rt, 0).spawn_pinned_with(move || {
            let guard = DroppedOn::new(tell);
            async move {
                let _guard = guard;
                pending::<()>().await;
            }
        });
        let (home, go_home, rt) = {
            let (say, said) = mpsc::channel();
            let (go_home, stay) = mpsc::channel::<()>();
            let thread = thread::spawn(move || {
                rt.block_on(yield_now());
                say.send((thread_id(), rt)).unwrap();
                stay.recv().unwrap();
            });
            let (id, rt) = said.recv().unwrap();
            assert_eq!(id, thread.thread().id());
            (thread, go_home, rt)
        };
        drop(rt);
        let waiting = Builder::new_current_thread().build().unwrap();
        assert!(waiting.block_on(task).unwrap_err().is_cancelled());
        assert!(told.try_recv().is_err());
        let id = home.thread().id();
        go_home.send(()).unwrap();
        home.join().unwrap();
        assert_eq!(told.recv().unwrap(), id);
    });
}

#[test]
fn a_bound_future_whose_thread_has_ended() {
    within(FOREVER, || {
        let rt = Builder::new_current_thread().enable_all().build().unwrap();
        let (wake, woken) = oneshot::channel::<()>();
        let task = remote(&rt, 0).spawn_pinned_with(move || async move {
            let _not_send = Rc::new(());
            woken.await.unwrap();
        });
        let rt = thread::spawn(move || {
            rt.block_on(yield_now());
            rt
        })
        .join()
        .unwrap();
        wake.send(()).unwrap();
        let error = rt.block_on(task).unwrap_err();
        let panic = error.into_panic();
        assert_eq!(
            panic.downcast_ref::<&str>(),
            Some(&"the thread that a pinned future belongs to has ended")
        );
    });
}

// ===== processors =====

fn allowed() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
}

fn cpus() -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        first.parse().unwrap()..=last.parse().unwrap()
    };
    allowed().split(',').flat_map(range).collect()
}

#[test]
fn workers_are_tied_to_processors() {
    within(FOREVER, || {
        let cpus = cpus();
        let here = allowed();
        let rt = Builder::new_multi_thread()
            .worker_threads(3)
            .worker_affinity(cpus.iter().rev().copied())
            .build()
            .unwrap();
        rt.block_on(async {
            for worker in 0..3 {
                let expected = cpus[cpus.len() - 1 - worker % cpus.len()].to_string();
                let tied = shard::spawn_pinned(Shard::new(worker), async { allowed() });
                assert_eq!(tied.await.unwrap(), expected);
                // Who takes the shard over is tied, who does blocking work is not.
                let (go_on, blocked) = mpsc::channel::<()>();
                let blocks = shard::spawn_pinned(Shard::new(worker), async move {
                    block_in_place(|| blocked.recv().unwrap());
                });
                let tied = shard::spawn_pinned(Shard::new(worker), async { allowed() });
                assert_eq!(tied.await.unwrap(), expected);
                go_on.send(()).unwrap();
                blocks.await.unwrap();
                assert_eq!(tokio::task::spawn_blocking(allowed).await.unwrap(), here);
            }
        });
        assert_eq!(allowed(), here);
    });
}

#[test]
fn a_processor_that_is_not_there() {
    for cpu in [1023, 1024, usize::MAX] {
        let error = Builder::new_multi_thread().worker_threads(1).worker_affinity([cpu]).build().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.starts_with(&format!("no worker can be tied to processor {cpu}: ")), "{text}");
    }
    // Nobody is to be tied.
    drop(Builder::new_current_thread().worker_affinity([1023]).build().unwrap());
}

#[test]
#[should_panic = "worker_affinity needs at least one processor"]
fn no_processor_at_all() {
    Builder::new_multi_thread().worker_affinity([]);
}
