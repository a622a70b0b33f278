//! Birth, handles, lists and shutdown, one thing at a time.

use super::super::{AbortHandle, LocalNotified, LocalOwnedTasks, UnownedTask, try_id, unowned};
use super::*;

use std::cell::RefCell;
use std::rc::Rc;

/// A scheduler for tasks without a list, that never get woken.
struct Nowhere;

impl Schedule for Nowhere {
    fn release(&self, _: &Task<Self>) -> Option<Task<Self>> {
        None
    }

    fn schedule(&self, _: Notified<Self>) {
        unreachable!("nobody wakes this task")
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        TaskHarnessScheduleHooks { task_terminate_callback: None }
    }
}

fn unowned_probe() -> (UnownedTask<Nowhere>, JoinHandle<Output>, std::sync::Arc<Counts>) {
    let (probe, counts) = probe(Script::default());
    let (task, join) = unowned(probe, Nowhere, Id::next(), SpawnLocation::capture());
    (task, join, counts)
}

#[test]
fn an_unowned_task_dropped_without_running() {
    let (task, join, counts) = unowned_probe();
    let abort = join.abort_handle();
    let abort2 = abort.clone();
    drop(task);
    drop(join);
    drop(abort);
    assert_eq!(counts.future_drops(), 0);
    drop(abort2);
    assert_eq!(counts.future_drops(), 1);
    assert_eq!(counts.polls(), 0);
}

#[test]
fn an_unowned_task_run() {
    let (task, mut join, counts) = unowned_probe();
    task.run();
    assert_eq!(counts.future_drops(), 1);
    assert!(result_of(&mut join).is_ok());
    drop(join);
    counts.forget_waker();
    assert_eq!(std::sync::Arc::strong_count(&counts), 1);
}

#[test]
fn an_unowned_task_shut_down() {
    let (task, mut join, counts) = unowned_probe();
    task.shutdown();
    assert_eq!(counts.future_drops(), 1);
    assert!(result_of(&mut join).unwrap_err().is_cancelled());
    drop(join);
    assert_eq!(std::sync::Arc::strong_count(&counts), 1);
}

#[test]
fn an_unowned_task_aborted_before_it_runs() {
    let (task, mut join, counts) = unowned_probe();
    join.abort();
    assert!(!join.is_finished());
    task.run();
    assert_eq!(counts.polls(), 0);
    assert!(result_of(&mut join).unwrap_err().is_cancelled());
}

#[test]
fn notified_survives_the_trip_through_a_thin_pointer() {
    let (task, mut join, _counts) = unowned_probe();
    let (task2, join2, _counts2) = unowned_probe();
    let first = task.into_notified().into_ptr();
    let second = task2.into_notified().into_ptr();
    // SAFETY: both come from `into_ptr`.
    let (first, second) =
        unsafe { (Notified::<Nowhere>::from_ptr(first), Notified::<Nowhere>::from_ptr(second)) };
    drop(second);
    let first = LocalNotified { task: first.0, _not_send: std::marker::PhantomData };
    first.run();
    assert!(result_of(&mut join).is_ok());
    drop(join2);
}

#[test]
fn handles_agree_about_the_id() {
    let sched = Sched::new();
    let mut join = sched.spawn(async { try_id() });
    let abort: AbortHandle = join.abort_handle();
    assert_eq!(format!("{join:?}"), format!("JoinHandle {{ id: {:?} }}", join.id()));
    assert_eq!(format!("{abort:?}"), format!("AbortHandle {{ id: {:?} }}", join.id()));
    sched.run_all();
    assert_eq!(try_id(), None);
    assert_eq!(result_of(&mut join).unwrap(), Some(join.id()));
    assert_eq!(abort.id(), join.id());
}

/// The future's destructor and the output's run as the task, wherever they run.
#[test]
fn destructors_see_the_id() {
    struct Seen(std::sync::Arc<std::sync::Mutex<Vec<Option<Id>>>>);
    impl Drop for Seen {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(try_id());
        }
    }
    let seen = std::sync::Arc::default();
    let sched = Sched::new();

    // Cancelled; output dropped by the runtime; output dropped with the handle.
    let guard = Seen(std::sync::Arc::clone(&seen));
    let cancelled = sched.spawn(async move {
        let _guard = guard;
        std::future::pending::<()>().await
    });
    sched.run_all();
    cancelled.abort();
    sched.run_all();

    let output = Seen(std::sync::Arc::clone(&seen));
    let detached = sched.spawn(async { output });
    let detached_id = detached.id();
    drop(detached);
    sched.run_all();

    let output = Seen(std::sync::Arc::clone(&seen));
    let kept = sched.spawn(async { output });
    let kept_id = kept.id();
    sched.run_all();
    drop(kept);

    assert_eq!(*seen.lock().unwrap(), [Some(cancelled.id()), Some(detached_id), Some(kept_id)]);
    assert_eq!(try_id(), None);
}

#[test]
fn shutdown_cancels_the_oldest_first_and_refuses_new_tasks() {
    let sched = Sched::new();
    let order: std::sync::Arc<std::sync::Mutex<Vec<usize>>> = Default::default();
    struct Push(std::sync::Arc<std::sync::Mutex<Vec<usize>>>, usize, Sched);
    impl Drop for Push {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(self.1);
            // H37: spawning in a destructor, during the shutdown.
            let mut late = self.2.spawn(async { unreachable!() });
            assert!(result_of(&mut late).unwrap_err().is_cancelled());
        }
    }

    let joins: Vec<_> = (0..20)
        .map(|i| {
            let push = Push(order.clone(), i, sched.clone());
            sched.spawn(async move {
                let _push = push;
                std::future::pending::<()>().await
            })
        })
        .collect();
    assert_eq!(sched.0.owned.num_alive_tasks(), 20);
    // The odd ones have run, the others are cancelled before their first poll.
    sched.run_one();
    sched.shutdown();

    let order = std::mem::take(&mut *order.lock().unwrap());
    let parts = sched.0.owned.get_shard_size();
    for part in 0..parts {
        let mine: Vec<_> =
            order.iter().filter(|i| joins[**i].id().as_u64() as usize % parts == part).collect();
        assert!(mine.is_sorted(), "{order:?}");
    }
    assert_eq!(order.len(), 20);
    assert_eq!(sched.0.owned.spawned_tasks_count(), 20);
    for mut join in joins {
        assert!(result_of(&mut join).unwrap_err().is_cancelled());
    }
    assert_eq!(Arc::strong_count(&sched.0), 1);
}

#[test]
fn tasks_leave_the_list_in_any_order() {
    for removal in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let sched = Sched::new();
        // The same part for all.
        let parts = sched.0.owned.get_shard_size();
        let mut tasks = Vec::new();
        while tasks.len() < 3 {
            let (probe, counts) = probe(Script { pending: 1, ..Script::default() });
            let join = sched.spawn(probe);
            sched.run_all();
            if join.id().as_u64() as usize % parts == 0 {
                tasks.push((join, counts));
            } else {
                counts.waker().unwrap().wake();
                sched.run_all();
            }
        }
        for (left, i) in removal.into_iter().enumerate() {
            assert_eq!(sched.0.owned.num_alive_tasks(), 3 - left);
            tasks[i].1.waker().unwrap().wake();
            sched.run_all();
            assert!(tasks[i].0.is_finished());
        }
        assert!(sched.0.owned.is_empty());
    }
}

/// A scheduler whose tasks need not be `Send`.
#[derive(Clone)]
struct Local(Rc<LocalInner>);

struct LocalInner {
    owned: LocalOwnedTasks<Local>,
    queue: RefCell<VecDeque<Notified<Local>>>,
}

// SAFETY: a lie, as the test stays on one thread.
unsafe impl Sync for Local {}

impl Schedule for Local {
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>> {
        self.0.owned.remove(task)
    }

    fn schedule(&self, task: Notified<Self>) {
        self.0.queue.borrow_mut().push_back(task);
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        TaskHarnessScheduleHooks { task_terminate_callback: None }
    }
}

#[test]
fn local_tasks() {
    let local = Local(Rc::new(LocalInner { owned: LocalOwnedTasks::new(), queue: RefCell::default() }));
    let spawn = |polls: usize| {
        let mut left = polls;
        let value = Rc::new(7);
        let future = std::future::poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(value.clone());
            }
            left -= 1;
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let (join, notified) =
            local.0.owned.bind(future, local.clone(), Id::next(), SpawnLocation::capture());
        local.0.queue.borrow_mut().extend(notified);
        join
    };
    let run_one = || {
        let task = local.0.queue.borrow_mut().pop_front()?;
        local.0.owned.assert_owner(task).run();
        Some(())
    };

    let mut one = spawn(2);
    while run_one().is_some() {}
    assert_eq!(*result_of(&mut one).unwrap(), 7);
    assert!(local.0.owned.is_empty());

    let mut pending = spawn(usize::MAX);
    run_one();
    assert!(!local.0.owned.is_empty());
    local.0.owned.close_and_shutdown_all();
    assert!(local.0.owned.is_closed() && local.0.owned.is_empty());
    assert!(result_of(&mut pending).unwrap_err().is_cancelled());

    let mut late = spawn(0);
    assert!(result_of(&mut late).unwrap_err().is_cancelled());
    local.0.queue.borrow_mut().clear();
    drop((one, pending, late));
    assert_eq!(Rc::strong_count(&local.0), 1);
}

/// H41: a chain of tasks that each await the next comes down without recursion.
#[test]
fn a_long_chain_completes_without_recursion() {
    let sched = Sched::new();
    let mut last: Option<JoinHandle<usize>> = None;
    for i in 0..100_000 {
        let next = last.take();
        last = Some(sched.spawn(async move {
            match next {
                Some(next) => next.await.unwrap() + 1,
                None => i,
            }
        }));
    }
    sched.run_all();
    assert_eq!(result_of(&mut last.unwrap()).unwrap(), 99_999);

    // And so does one that never completes.
    let mut last = sched.spawn(std::future::pending::<()>());
    for _ in 0..100_000 {
        let next = last;
        last = sched.spawn(async move { next.await.unwrap() });
    }
    sched.run_all();
    sched.shutdown();
    assert!(result_of(&mut last).is_err());
    drop(last);
    assert_eq!(Arc::strong_count(&sched.0), 1);
}

#[test]
fn auto_traits() {
    use std::panic::{RefUnwindSafe, UnwindSafe};
    fn all<T: Send + Sync + Unpin + UnwindSafe + RefUnwindSafe>() {}
    fn unwind<T: Unpin + UnwindSafe + RefUnwindSafe>() {}
    all::<JoinHandle<()>>();
    all::<JoinHandle<std::cell::Cell<u8>>>();
    unwind::<JoinHandle<Rc<()>>>();
    all::<AbortHandle>();
}

/// Bits of a budget: one unit for each output, none while there is nothing.
#[test]
fn awaiting_spends_the_budget() {
    use upstream::task::coop;
    let rt = upstream::runtime::Builder::new_current_thread().build().unwrap();
    rt.block_on(async {
        let sched = Sched::new();
        let mut pending = sched.spawn(std::future::pending::<()>());
        let mut joins: Vec<_> = (0..200).map(|_| sched.spawn(async {})).collect();
        sched.run_all();
        std::future::poll_fn(|cx| {
            for _ in 0..200 {
                assert!(Pin::new(&mut pending).poll(cx).is_pending());
            }
            assert!(coop::has_budget_remaining());
            let ready = joins.iter_mut().map_while(|join| Pin::new(join).poll(cx).is_ready().then_some(()));
            assert_eq!(ready.count(), 128);
            assert!(!coop::has_budget_remaining());
            Poll::Ready(())
        })
        .await;
        sched.shutdown();
    });
}
