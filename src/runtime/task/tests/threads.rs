//! H34: wakers and handles used from other threads, before, during and after shutdown.

use super::super::AbortHandle;
use super::*;

use std::sync::Barrier;
use std::thread;

#[test]
fn everything_is_a_no_op_after_shutdown() {
    let sched = Sched::new();
    let mut held: Vec<(Waker, AbortHandle, JoinHandle<Output>, std::sync::Arc<Counts>)> = Vec::new();
    for _ in 0..10 {
        let (probe, counts) = probe(Script { pending: usize::MAX, ..Script::default() });
        let join = sched.spawn(probe);
        sched.run_all();
        held.push((counts.waker().unwrap(), join.abort_handle(), join, counts));
    }
    sched.shutdown();

    let here = sched.clone();
    thread::spawn(move || {
        for (waker, abort, mut join, counts) in held {
            waker.wake_by_ref();
            let clone = waker.clone();
            clone.wake();
            abort.abort();
            join.abort();
            assert!(abort.is_finished() && join.is_finished());
            assert!(result_of(&mut join).unwrap_err().is_cancelled());
            assert_eq!(counts.polls(), 1);
            assert_eq!(counts.future_drops(), 1);
            drop(join);
            counts.forget_waker();
            drop(abort);
            // The waker may be the last reference, and it is not used for anything.
            drop(waker);
        }
    })
    .join()
    .unwrap();
    assert_eq!(here.queued(), 0);
    assert_eq!(Arc::strong_count(&sched.0), 2);
}

/// Several threads wake, abort, join and drop while one runs. Counts must add up.
#[test]
fn a_storm_on_many_tasks() {
    const TASKS: usize = 300;
    for round in 0..20 {
        let sched = Sched::new();
        let start = Barrier::new(4);
        let probes: Vec<_> = (0..TASKS)
            .map(|i| probe(Script { pending: i % 4, wake_self: i % 3 == 0, ..Script::default() }))
            .collect();
        let counts: Vec<_> = probes.iter().map(|(_, counts)| counts.clone()).collect();
        let joins: Vec<_> = probes.into_iter().map(|(probe, _)| sched.spawn(probe)).collect();
        let aborts: Vec<_> = joins.iter().map(|join| join.abort_handle()).collect();

        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for _ in 0..TASKS * 4 {
                    sched.run_one();
                }
            });
            scope.spawn(|| {
                start.wait();
                for _ in 0..4 {
                    for waker in counts.iter().filter_map(|counts| counts.waker()) {
                        waker.wake();
                    }
                }
            });
            scope.spawn(|| {
                start.wait();
                for abort in aborts.iter().skip(round).step_by(7) {
                    abort.abort();
                }
            });
            start.wait();
            for (i, mut join) in joins.into_iter().enumerate() {
                let (waker, _bell) = bell();
                if i % 2 == 0 && poll_join(&mut join, &waker).is_pending() {
                    let _ = poll_join(&mut join, Waker::noop());
                }
            }
        });
        if round % 2 == 0 {
            sched.run_all();
        }
        sched.shutdown();

        drop(aborts);
        for counts in &counts {
            assert_eq!(counts.future_drops(), 1);
            assert_eq!(counts.output_drops(), counts.outputs());
            counts.forget_waker();
        }
        assert_eq!(Arc::strong_count(&sched.0), 1);
    }
}
