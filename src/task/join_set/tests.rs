//! The set's own bookkeeping, with wakers driven by hand.

use super::*;
use crate::runtime::{Builder, Runtime};

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

fn rt() -> Runtime {
    Builder::new_current_thread().build().unwrap()
}

#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A future that completes when told to, and counts how many of its kind are alive.
struct Gate(Arc<AtomicUsize>, bool);

impl Drop for Gate {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Future for Gate {
    type Output = usize;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<usize> {
        if self.1 {
            return Poll::Ready(7);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn gate(alive: &Arc<AtomicUsize>, open: bool) -> Gate {
    alive.fetch_add(1, SeqCst);
    Gate(alive.clone(), open)
}

fn settle(rt: &Runtime) {
    rt.block_on(async {
        for _ in 0..5 {
            crate::task::yield_now().await;
        }
    });
}

#[test]
fn only_the_latest_waker_is_woken_and_once() {
    let rt = rt();
    let alive = Arc::default();
    let mut set = JoinSet::new();
    for _ in 0..3 {
        set.spawn_on(gate(&alive, true), rt.handle());
    }
    let (one, two) = (Arc::<Bell>::default(), Arc::<Bell>::default());
    for bell in [&one, &two] {
        let waker = Waker::from(bell.clone());
        assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
        assert!(set.poll_join_next(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&one), 1);
    assert_eq!(Arc::strong_count(&two), 2);

    settle(&rt);
    assert_eq!((one.0.load(SeqCst), two.0.load(SeqCst)), (0, 1));
    assert_eq!(Arc::strong_count(&two), 1);
    assert_eq!(set.len(), 3);
    for left in (0..3).rev() {
        assert_eq!(set.try_join_next().unwrap().unwrap(), 7);
        assert_eq!(set.len(), left);
    }
    assert!(set.try_join_next().is_none());
    assert!(set.poll_join_next(&mut Context::from_waker(Waker::noop())).is_ready());
}

#[test]
fn results_come_in_the_order_of_completion() {
    let rt = rt();
    let mut set = JoinSet::new();
    let ids: Vec<Id> = (0..4usize)
        .map(|i| {
            set.spawn_on(
                async move {
                    for _ in i..4 {
                        crate::task::yield_now().await;
                    }
                    i
                },
                rt.handle(),
            )
            .id()
        })
        .collect();
    for expected in (0..4).rev() {
        let (id, i) = rt.block_on(set.join_next_with_id()).unwrap().unwrap();
        assert_eq!((id, i), (ids[expected], expected));
    }
    assert!(rt.block_on(set.join_next()).is_none());
}

/// A waker that outlives its task's membership must not touch the next owner of its key.
#[test]
fn a_late_waker_is_ignored() {
    let rt = rt();
    let alive = Arc::default();
    let mut set = JoinSet::new();
    set.spawn_on(gate(&alive, true), rt.handle());
    let late = Waker::from(set.tasks[0].member.clone());
    settle(&rt);
    assert!(set.try_join_next().is_some());

    set.spawn_on(gate(&alive, false), rt.handle());
    assert!(set.tasks.contains(0));
    late.wake_by_ref();
    assert!(set.shared.0.lock().queue.is_empty());
    assert!(set.try_join_next().is_none());

    // One of a task that is in the set: looked at, and found not to be ready.
    let early = Waker::from(set.tasks[0].member.clone());
    early.wake_by_ref();
    early.wake_by_ref();
    assert_eq!(set.shared.0.lock().queue.len(), 1);
    assert!(set.try_join_next().is_none());
    assert!(set.shared.0.lock().queue.is_empty());

    // Also after the set is gone.
    drop(set);
    late.wake();
    early.wake();
    settle(&rt);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn dropping_aborts_and_detaching_does_not() {
    let rt = rt();
    let alive: Arc<AtomicUsize> = Arc::default();
    let mut set = JoinSet::new();
    for _ in 0..4 {
        set.spawn_on(gate(&alive, false), rt.handle());
    }
    settle(&rt);
    set.detach_all();
    assert!(set.is_empty());
    settle(&rt);
    assert_eq!(alive.load(SeqCst), 4);

    for _ in 0..4 {
        set.spawn_on(gate(&alive, false), rt.handle());
    }
    drop(set);
    settle(&rt);
    assert_eq!(alive.load(SeqCst), 4);
    drop(rt);
    assert_eq!(alive.load(SeqCst), 0);
}

/// Tasks that have ended but were never taken out leave no cycle of references behind.
#[test]
fn a_set_with_ready_tasks_is_freed() {
    let rt = rt();
    let alive: Arc<AtomicUsize> = Arc::default();
    let mut set = JoinSet::new();
    for _ in 0..4 {
        set.spawn_on(gate(&alive, true), rt.handle());
    }
    settle(&rt);
    let shared = Arc::downgrade(&set.shared);
    assert_eq!(set.shared.0.lock().queue.len(), 4);
    drop(set);
    assert!(shared.upgrade().is_none());
}

#[test]
fn the_budget_makes_the_set_give_way() {
    let rt = rt();
    let mut set = JoinSet::new();
    for i in 0..500 {
        set.spawn_on(async move { i }, rt.handle());
    }
    settle(&rt);
    rt.block_on(async {
        let mut polls = 0;
        let mut seen = Vec::new();
        poll_fn(|cx| {
            polls += 1;
            loop {
                match set.poll_join_next(cx) {
                    Poll::Ready(Some(result)) => seen.push(result.unwrap()),
                    Poll::Ready(None) => return Poll::Ready(()),
                    Poll::Pending => return Poll::Pending,
                }
            }
        })
        .await;
        assert!(polls >= 4, "{polls}");
        seen.sort_unstable();
        assert!(seen.into_iter().eq(0..500));
    });
}

#[test]
fn shutdown_and_join_all() {
    let rt = rt();
    let alive: Arc<AtomicUsize> = Arc::default();
    rt.block_on(async {
        let mut set: JoinSet<usize> = (0..3).map(|_| gate(&alive, false)).collect();
        set.extend((0..3).map(|_| gate(&alive, true)));
        set.shutdown().await;
        assert!(set.is_empty());
        assert_eq!(alive.load(SeqCst), 0);

        let set: JoinSet<usize> = (0..3).map(|_| gate(&alive, true)).collect();
        assert_eq!(format!("{set:?}"), "JoinSet { len: 3 }");
        assert_eq!(set.join_all().await, [7, 7, 7]);
    });
}
