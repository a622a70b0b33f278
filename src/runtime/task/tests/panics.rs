//! H33: whatever of the user's code panics, the thread that runs the task lives, and the
//! `JoinHandle` hears of it if anybody does.

use super::*;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{RawWaker, RawWakerVTable};

/// When the `JoinHandle` goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Join {
    DroppedBefore,
    DroppedAfter,
    Awaited,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Run,
    AbortedBeforeRun,
    AbortedWhilePending,
    ShutDownBeforeRun,
    ShutDownWhilePending,
}

fn scripts() -> impl Iterator<Item = Script> {
    (0..8).map(|bits| Script {
        panic_in_poll: bits & 1 != 0,
        panic_in_drop: bits & 2 != 0,
        panic_in_output_drop: bits & 4 != 0,
        ..Script::default()
    })
}

/// Every combination of panics in the poll and in the destructors, with every end.
#[test]
fn poll_and_destructors() {
    for script in scripts() {
        for join in [Join::DroppedBefore, Join::DroppedAfter, Join::Awaited] {
            for end in [
                End::Run,
                End::AbortedBeforeRun,
                End::AbortedWhilePending,
                End::ShutDownBeforeRun,
                End::ShutDownWhilePending,
            ] {
                one(script, join, end);
            }
        }
    }
}

fn one(mut script: Script, join: Join, end: End) {
    let context = format!("{script:?} {join:?} {end:?}");
    let waits = matches!(end, End::AbortedWhilePending | End::ShutDownWhilePending);
    script.pending = usize::from(waits);

    let sched = Sched::new();
    let (probe, counts) = probe(script);
    let mut handle = Some(sched.spawn(probe));
    let abort = handle.as_ref().unwrap().abort_handle();
    if join == Join::DroppedBefore {
        handle = None;
    }

    // None of this may unwind.
    if waits {
        sched.run_one();
    }
    match end {
        End::Run => {}
        End::AbortedBeforeRun | End::AbortedWhilePending => abort.abort(),
        End::ShutDownBeforeRun | End::ShutDownWhilePending => sched.shutdown(),
    }
    sched.run_all();

    assert!(abort.is_finished(), "{context}");
    assert_eq!(counts.future_drops(), 1, "{context}");
    let polled_to_the_end = end == End::Run;
    assert_eq!(counts.outputs(), usize::from(polled_to_the_end && !script.panic_in_poll), "{context}");
    // As in Tokio, the panic of a poll, or of dropping what it finished, is reported before
    // anybody looks at the result. That of a cancelled future is not.
    let unhandled = polled_to_the_end && (script.panic_in_poll || script.panic_in_drop);
    assert_eq!(sched.0.unhandled.load(SeqCst), usize::from(unhandled), "{context}");

    if join == Join::Awaited {
        let text = match result_of(handle.as_mut().unwrap()) {
            Ok(output) => {
                swallow_drop(output);
                "value".to_owned()
            }
            Err(error) if error.is_cancelled() => "cancelled".to_owned(),
            Err(error) => (*error.into_panic().downcast::<&str>().unwrap()).to_owned(),
        };
        let expected = match (polled_to_the_end, script.panic_in_poll, script.panic_in_drop) {
            (true, true, _) => "in poll",
            (_, _, true) => "in the future's drop",
            (true, false, false) => "value",
            (false, _, false) => "cancelled",
        };
        assert_eq!(text, expected, "{context}");
    }
    drop(handle);
    assert_eq!(counts.output_drops(), counts.outputs(), "{context}");

    drop(abort);
    counts.forget_waker();
    assert_eq!(sched.0.owned.num_alive_tasks(), 0, "{context}");
    assert_eq!(Arc::strong_count(&sched.0), 1, "{context}");
}

/// Drops a value whose destructor may panic, which is the user's own business.
fn swallow_drop(output: Output) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(output)));
}

/// A payload whose destructor panics, too.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("in the payload's drop");
    }
}

#[test]
fn a_payload_that_panics_when_dropped() {
    let sched = Sched::new();
    // Nobody wants the error: it is dropped by the thread that completes the task.
    drop(sched.spawn(async { std::panic::panic_any(Bomb) }));
    // The same, by the handle.
    let kept = sched.spawn(async { std::panic::panic_any(Bomb) });

    // And the payload of a panic that is swallowed.
    struct PanicsWithBomb;
    impl Drop for PanicsWithBomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }
    drop(sched.spawn(async { PanicsWithBomb }));

    sched.run_all();
    drop(kept);
    assert_eq!(Arc::strong_count(&sched.0), 1);
}

/// Destructors see that a poll is unwinding, like in any other function.
#[test]
fn the_future_is_dropped_during_the_unwinding_of_its_poll() {
    struct Witness(std::sync::Arc<AtomicUsize>);
    impl Future for Witness {
        type Output = ();
        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
            panic!("in poll");
        }
    }
    impl Drop for Witness {
        fn drop(&mut self) {
            self.0.store(1 + usize::from(std::thread::panicking()), SeqCst);
        }
    }

    let sched = Sched::new();
    let seen = std::sync::Arc::new(AtomicUsize::new(0));
    drop(sched.spawn(Witness(seen.clone())));
    sched.run_all();
    assert_eq!(seen.load(SeqCst), 2);
}

/// A waker that panics in one of its functions.
#[derive(Clone, Copy, Default)]
struct Trap {
    clone: bool,
    wake: bool,
    drop: bool,
}

/// What a trap's wakers have done. One clone is one reference.
#[derive(Default)]
struct TrapCounts {
    alive: AtomicUsize,
    wakes: AtomicUsize,
    clone: std::sync::atomic::AtomicBool,
    wake: std::sync::atomic::AtomicBool,
    drop: std::sync::atomic::AtomicBool,
}

fn trap(what: Trap) -> (Waker, &'static TrapCounts) {
    static VTABLE: RawWakerVTable = RawWakerVTable::new(
        |data| {
            let counts = counts(data);
            if counts.clone.load(SeqCst) {
                panic!("in the waker's clone");
            }
            counts.alive.fetch_add(1, SeqCst);
            RawWaker::new(data, &VTABLE)
        },
        |_| unreachable!("a join waker is woken by reference"),
        |data| {
            counts(data).wakes.fetch_add(1, SeqCst);
            if counts(data).wake.load(SeqCst) {
                panic!("in the waker's wake");
            }
        },
        |data| {
            counts(data).alive.fetch_sub(1, SeqCst);
            if counts(data).drop.load(SeqCst) {
                panic!("in the waker's drop");
            }
        },
    );
    fn counts(data: *const ()) -> &'static TrapCounts {
        // SAFETY: made below, and never freed.
        unsafe { &*data.cast() }
    }

    // Where leak checkers find it.
    static TRAPS: std::sync::Mutex<Vec<&TrapCounts>> = std::sync::Mutex::new(Vec::new());
    let counts: &'static TrapCounts = Box::leak(Box::default());
    TRAPS.lock().unwrap().push(counts);
    counts.alive.store(1, SeqCst);
    counts.clone.store(what.clone, SeqCst);
    counts.wake.store(what.wake, SeqCst);
    counts.drop.store(what.drop, SeqCst);
    // SAFETY: the functions work on a static.
    let waker = unsafe { Waker::from_raw(RawWaker::new((&raw const *counts).cast(), &VTABLE)) };
    (waker, counts)
}

fn defuse(waker: Waker, counts: &TrapCounts) {
    counts.drop.store(false, SeqCst);
    drop(waker);
}

#[test]
fn a_join_waker_that_panics_when_woken_or_dropped() {
    for (wake, drop_) in [(true, false), (false, true), (true, true)] {
        for handle_dropped_by_wake in [false, true] {
            let sched = Sched::new();
            let (probe, counts) = probe(Script::default());
            let mut join = sched.spawn(probe);
            let (waker, trap) = trap(Trap { wake, drop: drop_, ..Trap::default() });
            assert!(poll_join(&mut join, &waker).is_pending());
            sched.run_all();
            assert_eq!(trap.wakes.load(SeqCst), 1);

            let taken = catch_unwind(AssertUnwindSafe(|| match handle_dropped_by_wake {
                true => drop(join),
                false => {
                    assert!(result_of(&mut join).is_ok());
                    drop(join);
                }
            }));
            // Only who drops the handle hears of the destructor.
            assert_eq!(taken.is_err(), drop_);
            assert_eq!(trap.alive.load(SeqCst), 1);
            assert_eq!(counts.output_drops(), 1);
            counts.forget_waker();
            assert_eq!(Arc::strong_count(&sched.0), 1);
            defuse(waker, trap);
        }
    }
}

#[test]
fn a_join_waker_that_panics_when_cloned() {
    let sched = Sched::new();
    let (probe, counts) = probe(Script::default());
    let mut join = sched.spawn(probe);
    let (bad, trap) = trap(Trap { clone: true, ..Trap::default() });

    // Nothing stored yet, then with one that was stored.
    assert!(catch_unwind(AssertUnwindSafe(|| poll_join(&mut join, &bad))).is_err());
    let (good, bell) = bell();
    assert!(poll_join(&mut join, &good).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| poll_join(&mut join, &bad))).is_err());

    sched.run_all();
    assert_eq!(bell.0.load(SeqCst), 1);
    assert!(result_of(&mut join).is_ok());
    drop(join);
    counts.forget_waker();
    assert_eq!(trap.alive.load(SeqCst), 1);
    assert_eq!(Arc::strong_count(&sched.0), 1);
}

#[test]
fn a_join_waker_that_panics_when_replaced() {
    let sched = Sched::new();
    let (probe, counts) = probe(Script::default());
    let mut join = sched.spawn(probe);
    let (bad, trap) = trap(Trap { drop: true, ..Trap::default() });
    let (good, bell) = bell();

    assert!(poll_join(&mut join, &bad).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| poll_join(&mut join, &good))).is_err());
    assert_eq!(trap.alive.load(SeqCst), 1);

    // The new one is in its place nevertheless.
    sched.run_all();
    assert_eq!(bell.0.load(SeqCst), 1);
    assert_eq!(trap.wakes.load(SeqCst), 0);
    assert!(result_of(&mut join).is_ok());
    drop(join);
    counts.forget_waker();
    assert_eq!(Arc::strong_count(&sched.0), 1);
    defuse(bad, trap);
}

#[test]
#[should_panic(expected = "JoinHandle polled after completion")]
fn polled_after_completion() {
    let sched = Sched::new();
    let mut join = sched.spawn(async {});
    sched.run_all();
    result_of(&mut join).unwrap();
    let _ = result_of(&mut join);
}
