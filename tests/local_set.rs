//! `LocalSet` and `LocalRuntime`: tasks that stay on their thread.

use std::cell::Cell;
use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, LocalRuntime, Runtime};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{self, LocalSet, spawn_local, yield_now};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Counts how often it is dropped, and is not `Send`.
struct Count(Rc<Cell<usize>>);

impl Drop for Count {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn panic_text(f: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn other_threads_wake_local_tasks() {
    const MESSAGES: u64 = 20_000;

    let rt = current_thread();
    let local = LocalSet::new();
    let (tx, mut rx) = mpsc::unbounded_channel();
    let sender = thread::spawn(move || {
        for message in 0..MESSAGES {
            tx.send(message).unwrap();
            if message % 500 == 0 {
                thread::sleep(Duration::from_micros(100));
            }
        }
    });
    let task = local.spawn_local(async move {
        let mut sum = Rc::new(0);
        while let Some(message) = rx.recv().await {
            *Rc::get_mut(&mut sum).unwrap() += message;
        }
        sum
    });
    rt.block_on(local);
    assert_eq!(*rt.block_on(task).unwrap(), MESSAGES * (MESSAGES - 1) / 2);
    sender.join().unwrap();
}

#[test]
fn a_set_within_a_set() {
    let rt = current_thread();
    let outer = LocalSet::new();
    let inner = LocalSet::new();
    rt.block_on(outer.run_until(async {
        let one = spawn_local(async { Rc::new(1) });
        let two = inner.run_until(async { spawn_local(async { Rc::new(2) }).await.unwrap() }).await;
        // The inner set is not current any more.
        let three = spawn_local(async { Rc::new(3) });
        assert_eq!(*one.await.unwrap() + *two + *three.await.unwrap(), 6);
    }));
}

#[test]
fn a_task_spawned_through_the_guard_wakes_the_set() {
    let rt = current_thread();
    let local = LocalSet::new();
    let ran = Rc::new(Cell::new(false));
    // Keeps the set from being done.
    let stop = Rc::new(Notify::new());
    local.spawn_local({
        let stop = stop.clone();
        async move { stop.notified().await }
    });

    rt.block_on(async {
        let mut set = pin!(local);
        let pended = poll_fn(|cx| Poll::Ready(set.as_mut().poll(cx).is_pending())).await;
        assert!(pended);
        {
            let _guard = set.enter();
            let ran = ran.clone();
            spawn_local(async move {
                ran.set(true);
                stop.notify_one();
            });
        }
        set.await;
    });
    assert!(ran.get());
}

/// H37: tasks are dropped with their set, each once, polled or not.
#[test]
fn dropping_the_set_drops_its_tasks() {
    let drops = Rc::new(Cell::new(0));
    let rt = current_thread();
    let local = LocalSet::new();
    let spawn = || {
        let count = Count(drops.clone());
        local.spawn_local(async move {
            let _count = count;
            pending::<()>().await;
        })
    };
    let polled = spawn();
    rt.block_on(local.run_until(yield_now()));
    let unpolled = spawn();
    assert_eq!(drops.get(), 0);
    drop(local);
    assert_eq!(drops.get(), 2);
    for task in [polled, unpolled] {
        assert!(rt.block_on(task).unwrap_err().is_cancelled());
    }
}

/// H37: a destructor that spawns on the set being dropped.
#[test]
fn a_destructor_may_spawn_in_vain() {
    struct Spawner(Rc<Cell<usize>>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let count = Count(self.0.clone());
            spawn_local(async move { drop(count) });
        }
    }

    let drops = Rc::new(Cell::new(0));
    let rt = current_thread();
    let local = LocalSet::new();
    let spawner = Spawner(drops.clone());
    local.spawn_local(async move {
        let _spawner = spawner;
        pending::<()>().await;
    });
    rt.block_on(local.run_until(yield_now()));
    drop(local);
    assert_eq!(drops.get(), 1);
}

/// H34: a waker that outlives the set, used on this thread and on another.
#[test]
fn wakers_after_the_set() {
    let rt = current_thread();
    let local = LocalSet::new();
    let (tx, rx) = std::sync::mpsc::channel();
    local.spawn_local(poll_fn::<(), _>(move |cx| {
        tx.send(cx.waker().clone()).unwrap();
        Poll::Pending
    }));
    rt.block_on(local.run_until(yield_now()));
    let waker = rx.recv().unwrap();
    drop(local);
    waker.wake_by_ref();
    thread::spawn(move || waker.wake()).join().unwrap();
}

/// H35: a set in a thread-local, dropped while the thread's locals are destroyed.
#[test]
fn a_set_in_a_thread_local() {
    thread_local! {
        static SET: LocalSet = LocalSet::new();
    }

    thread::spawn(|| {
        let (_tx, rx) = oneshot::channel::<()>();
        SET.with(|set| {
            set.spawn_local(async move { drop(rx.await) });
            let mut run_until = pin!(set.run_until(pending::<()>()));
            let mut cx = Context::from_waker(Waker::noop());
            assert!(run_until.as_mut().poll(&mut cx).is_pending());
        });
    })
    .join()
    .unwrap();
}

/// H40: a future that spends its whole budget does not starve the tasks of its set.
#[test]
fn local_tasks_have_budgets_of_their_own() {
    const MESSAGES: usize = 20_000;

    let rt = current_thread();
    let local = LocalSet::new();
    let (tx, mut rx) = mpsc::unbounded_channel();
    (0..MESSAGES).for_each(|_| tx.send(()).unwrap());
    let (other_tx, mut other_rx) = mpsc::unbounded_channel();
    other_tx.send(()).unwrap();

    let ran = Rc::new(Cell::new(false));
    local.spawn_local({
        let ran = ran.clone();
        async move {
            other_rx.recv().await.unwrap();
            ran.set(true);
        }
    });
    rt.block_on(local.run_until(async {
        for received in 0..MESSAGES {
            rx.recv().await.unwrap();
            assert!(received < 1_000 || ran.get(), "starved");
        }
    }));
}

#[test]
fn blocking_in_place_is_refused() {
    let rt = Runtime::new().unwrap();
    let local = LocalSet::new();
    let text = local.block_on(&rt, async {
        spawn_local(async { panic_text(|| task::block_in_place(|| ())) }).await.unwrap()
    });
    assert!(text.contains("can call blocking only when running on the multi-threaded runtime"), "{text}");
}

#[test]
fn texts() {
    let rt = current_thread();
    let outside = "`spawn_local` called from outside of a `task::LocalSet` or `runtime::LocalRuntime`";
    let spawn = || drop(spawn_local(async {}));
    assert_eq!(panic_text(spawn), outside);
    assert_eq!(rt.block_on(async { panic_text(spawn) }), outside);

    let rt = LocalRuntime::new().unwrap();
    let handle = rt.handle().clone();
    let text = thread::spawn(move || {
        let _guard = handle.enter();
        panic_text(spawn)
    });
    assert_eq!(
        text.join().unwrap(),
        "Local tasks can only be spawned on a LocalRuntime from the thread the runtime was created on"
    );

    let local = LocalSet::new();
    assert_eq!(format!("{local:?} {:?}", local.enter()), "LocalSet LocalEnterGuard");
}

#[test]
fn a_local_runtime_runs_what_is_not_send() {
    let rt = LocalRuntime::new().unwrap();
    let drops = Rc::new(Cell::new(0));
    let before = rt.spawn_local({
        let count = Count(drops.clone());
        async move { count }
    });
    let within = rt.block_on(async {
        let count = before.await.unwrap();
        spawn_local(async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            count
        })
        .await
        .unwrap()
    });
    drop(within);
    assert_eq!(drops.get(), 1);

    // From another thread: only what is `Send`.
    let handle = rt.handle().clone();
    let sent = thread::spawn(move || handle.spawn(async { 9 })).join().unwrap();
    assert_eq!(rt.block_on(sent).unwrap(), 9);

    let count = Count(drops.clone());
    rt.spawn_local(async move {
        let _count = count;
        pending::<()>().await;
    });
    rt.block_on(yield_now());
    drop(rt);
    assert_eq!(drops.get(), 2);
}
