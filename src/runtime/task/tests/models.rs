//! Loom models of the state word: every interleaving of who runs, wakes, aborts, joins and
//! drops. Loom also checks each access to the stage, the links and the join waker.
//!
//! `RUSTFLAGS="--cfg spargio_loom" cargo test --release --lib task::tests::models`

use super::*;

use loom::sync::atomic::AtomicBool;
use loom::thread;

/// Checks what must be true at the end of every execution.
fn finish(sched: Sched, counts: &Counts) {
    sched.shutdown();
    counts.forget_waker();
    assert_eq!(counts.future_drops(), 1);
    assert_eq!(counts.output_drops(), counts.outputs());
    drop(sched);
}

/// All executions with at most three preemptions, unless the environment says otherwise.
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(3));
    builder.check(f);
}

/// A flag set before a wake-up is seen by a later poll; no wake-up is lost.
#[test]
fn wake_vs_run() {
    for by_value in [false, true] {
        model(move || {
            let sched = Sched::new();
            let flag = Arc::new(AtomicBool::new(false));
            let slot: Arc<Mutex<Option<Waker>>> = Arc::new(Mutex::new(None));
            let (probe, counts) = probe(Script::default());
            let mut probe = probe;
            let (flag2, slot2) = (flag.clone(), slot.clone());
            let mut first = true;
            let mut join = sched.spawn(std::future::poll_fn(move |cx| {
                if std::mem::take(&mut first) {
                    *slot2.lock() = Some(cx.waker().clone());
                }
                match flag2.load(std::sync::atomic::Ordering::Relaxed) {
                    true => Pin::new(&mut probe).poll(cx),
                    false => Poll::Pending,
                }
            }));
            // Pending for the first time; from now on the waker exists. Queue it once more, so
            // that the other thread meets it in the queue, running or idle.
            sched.run_one();
            slot.lock().as_ref().unwrap().wake_by_ref();

            let waking = thread::spawn(move || {
                flag.store(true, std::sync::atomic::Ordering::Relaxed);
                let waker = slot.lock().take().unwrap();
                match by_value {
                    true => waker.wake(),
                    false => waker.wake_by_ref(),
                }
            });
            sched.run_all();
            waking.join().unwrap();
            sched.run_all();
            assert!(result_of(&mut join).is_ok());
            drop(join);
            finish(sched, &counts);
        });
    }
}

/// Two wake-ups while the task runs: it is queued once at a time, and polled after the last.
#[test]
fn two_wakes_vs_run() {
    model(|| {
        let sched = Sched::new();
        let (probe, counts) = probe(Script { pending: usize::MAX, ..Script::default() });
        let join = sched.spawn(probe);
        sched.run_one();
        let waker = counts.waker().unwrap();
        let other = waker.clone();
        waker.wake_by_ref();

        let waking = thread::spawn(move || other.wake());
        sched.run_one();
        assert!(sched.queued() <= 1);
        waker.wake();
        waking.join().unwrap();
        sched.run_all();
        assert!((3..=4).contains(&counts.polls()), "{}", counts.polls());
        drop(join);
        finish(sched, &counts);
    });
}

/// An abort from elsewhere while the task runs to its end, and then somebody awaits it.
#[test]
fn abort_vs_run_vs_join() {
    model(|| {
        let sched = Sched::new();
        let (probe, counts) = probe(Script { pending: 1, wake_self: true, ..Script::default() });
        let mut join = sched.spawn(probe);
        let (waker, rings) = bell();

        let aborting = thread::spawn(move || {
            join.abort();
            let early = poll_join(&mut join, &waker);
            (join, early)
        });
        sched.run_all();
        let (mut join, early) = aborting.join().unwrap();
        sched.run_all();
        let result = match early {
            Poll::Ready(result) => result,
            Poll::Pending => {
                assert_eq!(rings.0.load(SeqCst), 1);
                result_of(&mut join)
            }
        };
        match result {
            Ok(_output) => assert_eq!((counts.polls(), counts.outputs()), (2, 1)),
            Err(error) => assert!(error.is_cancelled() && counts.outputs() == 0),
        }
        drop(join);
        finish(sched, &counts);
    });
}

/// The handle is dropped while the task completes: with a waker published, or without.
#[test]
fn join_drop_vs_complete() {
    for awaited in [false, true] {
        model(move || {
            let sched = Sched::new();
            let (probe, counts) = probe(Script::default());
            let mut join = sched.spawn(probe);
            let (waker, bell) = bell();
            if awaited {
                assert!(poll_join(&mut join, &waker).is_pending());
            }
            let dropping = thread::spawn(move || drop(join));
            sched.run_all();
            dropping.join().unwrap();
            assert_eq!(counts.outputs(), 1);
            assert_eq!(counts.output_drops(), 1);
            // The task has let go of the join waker in any case.
            assert_eq!(std::sync::Arc::strong_count(&bell), 2);
            assert!(bell.0.load(SeqCst) <= usize::from(awaited));
            drop(waker);
            finish(sched, &counts);
        });
    }
}

/// The handle changes its waker while the task completes: the latest one is woken.
#[test]
fn join_waker_change_vs_complete() {
    model(|| {
        let sched = Sched::new();
        let (probe, counts) = probe(Script::default());
        let mut join = sched.spawn(probe);
        let (first, _) = bell();
        let (second, rings) = bell();
        assert!(poll_join(&mut join, &first).is_pending());

        let joining = thread::spawn(move || {
            let pending = poll_join(&mut join, &second).is_pending();
            (join, pending)
        });
        sched.run_all();
        let (mut join, pending) = joining.join().unwrap();
        if pending {
            assert_eq!(rings.0.load(SeqCst), 1);
            assert!(result_of(&mut join).is_ok());
        } else {
            // It came too late, and was not kept.
            assert_eq!(std::sync::Arc::strong_count(&rings), 1);
        }
        drop(join);
        finish(sched, &counts);
    });
}

/// The handle is polled for the first time while the task completes.
#[test]
fn first_join_poll_vs_complete() {
    model(|| {
        let sched = Sched::new();
        let (probe, counts) = probe(Script::default());
        let join = sched.spawn(probe);
        let joining = thread::spawn(move || loom::future::block_on(join).is_ok());
        sched.run_all();
        assert!(joining.join().unwrap());
        finish(sched, &counts);
    });
}

/// Shutdown on one thread, a poll on another, a wake-up on a third.
#[test]
fn shutdown_vs_run_vs_wake() {
    model(|| {
        let sched = Sched::new();
        let (probe, counts) = probe(Script { pending: 2, ..Script::default() });
        let mut join = sched.spawn(probe);
        sched.run_one();
        let waker = counts.waker().unwrap();
        waker.wake_by_ref();

        let sched2 = sched.clone();
        let running = thread::spawn(move || sched2.run_all());
        let waking = thread::spawn(move || waker.wake());
        sched.0.owned.close_and_shutdown_all(0);
        running.join().unwrap();
        waking.join().unwrap();
        sched.run_all();
        assert!(join.is_finished());
        let _ = result_of(&mut join);
        drop(join);
        finish(sched, &counts);
    });
}

/// A task spawned while another thread closes the list is run or cancelled, never forgotten.
#[test]
fn spawn_vs_close() {
    model(|| {
        let sched = Sched::new();
        let sched2 = sched.clone();
        let spawning = thread::spawn(move || {
            let (probe, counts) = probe(Script { pending: usize::MAX, ..Script::default() });
            (sched2.spawn(probe), counts)
        });
        sched.0.owned.close_and_shutdown_all(0);
        let (mut join, counts) = spawning.join().unwrap();
        assert!(sched.0.owned.is_empty());
        assert!(result_of(&mut join).unwrap_err().is_cancelled());
        drop(join);
        finish(sched, &counts);
    });
}

/// The last references go on different threads at once: the memory is freed once. (Loom
/// reports leaks and accesses after the end.)
#[test]
fn last_references() {
    model(|| {
        let sched = Sched::new();
        let (probe, counts) = probe(Script { pending: 1, ..Script::default() });
        let join = sched.spawn(probe);
        sched.run_one();
        let waker = counts.waker().unwrap();
        counts.forget_waker();
        let abort = join.abort_handle();
        sched.shutdown();

        let one = thread::spawn(move || drop(waker));
        let two = thread::spawn(move || drop(abort));
        drop(join);
        one.join().unwrap();
        two.join().unwrap();
        finish(sched, &counts);
    });
}
