//! All short sequences of the things that can happen to a task, each compared, after every
//! step, with a model of what should have become of it.

use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    /// Runs the first in the queue.
    Run,
    WakeByRef,
    WakeByValue,
    Abort,
    PollJoin,
    DropJoin,
    Shutdown,
}

const OPS: [Op; 7] =
    [Op::Run, Op::WakeByRef, Op::WakeByValue, Op::Abort, Op::PollJoin, Op::DropJoin, Op::Shutdown];

/// What should be so.
#[derive(Clone, Debug, PartialEq)]
struct Model {
    queued: usize,
    polls: usize,
    /// `RUNNING` never outlasts an operation here, so: complete or idle.
    complete: bool,
    cancelled: bool,
    /// Whether the output is a value (not an error), once complete.
    has_value: bool,
    value_dropped: bool,
    joined: bool,
    /// The join waker is waiting.
    awaited: bool,
    wakes: usize,
}

/// A task and all that refers to it.
struct World {
    sched: Sched,
    join: Option<JoinHandle<Output>>,
    abort: super::super::AbortHandle,
    counts: std::sync::Arc<Counts>,
    waker: Waker,
    bell: std::sync::Arc<Bell>,
    consumed: bool,
    script: Script,
    model: Model,
}

impl World {
    fn new(script: Script) -> World {
        let sched = Sched::new();
        let (probe, counts) = probe(script);
        let join = sched.spawn(probe);
        let (waker, bell) = bell();
        World {
            abort: join.abort_handle(),
            join: Some(join),
            sched,
            counts,
            waker,
            bell,
            consumed: false,
            script,
            model: Model {
                queued: 1,
                polls: 0,
                complete: false,
                cancelled: false,
                has_value: false,
                value_dropped: false,
                joined: true,
                awaited: false,
                wakes: 0,
            },
        }
    }

    /// Applies `op`; `false` if it makes no sense now.
    fn apply(&mut self, op: Op) -> bool {
        match op {
            Op::Run => {
                if !self.sched.run_one() {
                    return false;
                }
                self.model_run();
            }
            Op::WakeByRef | Op::WakeByValue => {
                let Some(waker) = self.counts.waker() else {
                    return false;
                };
                match op {
                    Op::WakeByRef => waker.wake_by_ref(),
                    _ => waker.wake(),
                }
                self.model_wake();
            }
            Op::Abort => {
                self.abort.abort();
                if !self.model.complete && !self.model.cancelled {
                    self.model.cancelled = true;
                    self.model_wake();
                }
            }
            Op::PollJoin => {
                let Some(join) = self.join.as_mut().filter(|_| !self.consumed) else {
                    return false;
                };
                match poll_join(join, &self.waker) {
                    Poll::Pending => assert!(!self.model.complete),
                    Poll::Ready(Ok(_value)) => {
                        assert!(self.model.complete && self.model.has_value);
                        self.consumed = true;
                        self.model.value_dropped = true;
                    }
                    Poll::Ready(Err(error)) => {
                        assert!(self.model.complete && !self.model.has_value);
                        assert!(error.is_cancelled());
                        self.consumed = true;
                    }
                }
                self.model.awaited = !self.model.complete;
            }
            Op::DropJoin => {
                let Some(join) = self.join.take() else {
                    return false;
                };
                drop(join);
                self.model.joined = false;
                self.model.awaited = false;
                self.model.value_dropped |= self.model.has_value;
            }
            Op::Shutdown => {
                self.sched.0.owned.close_and_shutdown_all(0);
                if !self.model.complete {
                    self.model_complete(false);
                }
            }
        }
        true
    }

    fn model_run(&mut self) {
        self.model.queued -= 1;
        if self.model.complete {
            return;
        }
        if self.model.cancelled {
            self.model_complete(false);
            return;
        }
        self.model.polls += 1;
        if self.model.polls > self.script.pending {
            self.model_complete(true);
        } else if self.script.wake_self {
            self.model.queued += 1;
        }
    }

    fn model_wake(&mut self) {
        if !self.model.complete && self.model.queued == 0 {
            self.model.queued = 1;
        }
    }

    fn model_complete(&mut self, value: bool) {
        self.model.complete = true;
        self.model.has_value = value;
        self.model.value_dropped = value && !self.model.joined;
        if std::mem::take(&mut self.model.awaited) {
            self.model.wakes += 1;
        }
    }

    fn check(&self) {
        let m = &self.model;
        assert_eq!(self.sched.queued(), m.queued);
        assert_eq!(self.counts.polls(), m.polls);
        assert_eq!(self.counts.future_drops(), usize::from(m.complete));
        assert_eq!(self.counts.outputs(), usize::from(m.has_value));
        assert_eq!(self.counts.output_drops(), usize::from(m.value_dropped));
        assert_eq!(self.bell.0.load(SeqCst), m.wakes);
        assert_eq!(self.abort.is_finished(), m.complete);
        assert_eq!(self.sched.0.owned.num_alive_tasks(), usize::from(!m.complete));
        // Who awaits is referred to by the test and by the waker, and by the task as long as it
        // may have to be woken or the handle keeps it.
        if !m.joined {
            assert_eq!(std::sync::Arc::strong_count(&self.bell), 2);
        }
    }

    /// Drops all that is left and checks that nothing was leaked or dropped twice.
    fn finish(self) {
        let World { sched, join, abort, counts, waker, bell, .. } = self;
        drop(join);
        sched.shutdown();
        counts.forget_waker();
        drop(abort);
        assert_eq!(counts.future_drops(), 1);
        assert_eq!(counts.output_drops(), counts.outputs());
        // The task's memory is gone: it held the scheduler.
        assert_eq!(Arc::strong_count(&sched.0), 1);
        drop(waker);
        assert_eq!(std::sync::Arc::strong_count(&bell), 1);
    }
}

/// Runs all sequences of `depth` operations; those with an impossible step are cut short.
fn all_sequences(script: Script, depth: u32) -> usize {
    let mut checked = 0;
    for number in 0..OPS.len().pow(depth) {
        let sequence: Vec<Op> = (0..depth).map(|i| OPS[number / OPS.len().pow(i) % OPS.len()]).collect();
        let mut world = World::new(script);
        let mut done = Vec::new();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.check();
            for op in &sequence {
                done.push(*op);
                if !world.apply(*op) {
                    return false;
                }
                world.check();
            }
            true
        }));
        match outcome {
            Ok(complete) => checked += usize::from(complete),
            Err(_) => panic!("{script:?}, at the end of {done:?}: {:?}", world.model),
        }
        world.finish();
    }
    checked
}

#[test]
fn ready_at_once() {
    assert!(all_sequences(Script::default(), 5) > 1000);
}

#[test]
fn ready_at_once_and_woken_by_itself() {
    assert!(all_sequences(Script { wake_self: true, ..Script::default() }, 5) > 1000);
}

#[test]
fn pending_once() {
    assert!(all_sequences(Script { pending: 1, ..Script::default() }, 5) > 1000);
}

#[test]
fn pending_twice_and_woken_by_itself() {
    assert!(all_sequences(Script { pending: 2, wake_self: true, ..Script::default() }, 5) > 1000);
}

#[test]
fn never_ready() {
    assert!(all_sequences(Script { pending: usize::MAX, ..Script::default() }, 5) > 1000);
}

/// What a task does to itself while it runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Inner {
    Nothing,
    Wake,
    WakeByValue,
    Abort,
    Shutdown,
    DropJoin,
    PollJoin,
}

const INNER: [Inner; 7] = [
    Inner::Nothing,
    Inner::Wake,
    Inner::WakeByValue,
    Inner::Abort,
    Inner::Shutdown,
    Inner::DropJoin,
    Inner::PollJoin,
];

/// All pairs of things that happen during the first poll, with both results of it.
#[test]
fn while_running() {
    for first in INNER {
        for second in INNER {
            for ready in [false, true] {
                while_running_one([first, second], ready);
            }
        }
    }
}

fn while_running_one(inner: [Inner; 2], ready: bool) {
    let sched = Sched::new();
    let (mut probe, counts) = probe(Script { pending: 2, ..Script::default() });
    let slot = std::sync::Arc::new(std::sync::Mutex::new(None::<JoinHandle<Output>>));
    let (waker, bell) = bell();
    let wakes_itself = inner.contains(&Inner::Wake) || inner.contains(&Inner::WakeByValue);

    let (sched2, slot2) = (sched.clone(), slot.clone());
    let mut first = true;
    let join = sched.spawn(std::future::poll_fn(move |cx| {
        if std::mem::take(&mut first) {
            for what in inner {
                let mut join = slot2.lock().unwrap();
                match what {
                    Inner::Nothing => {}
                    Inner::Wake => cx.waker().wake_by_ref(),
                    Inner::WakeByValue => {
                        let waker = cx.waker().clone();
                        waker.wake();
                    }
                    Inner::Abort => {
                        if let Some(join) = &*join {
                            join.abort();
                        }
                    }
                    Inner::Shutdown => sched2.0.owned.close_and_shutdown_all(0),
                    Inner::DropJoin => drop(join.take()),
                    Inner::PollJoin => {
                        if let Some(join) = &mut *join {
                            assert!(poll_join(join, &waker).is_pending());
                        }
                    }
                }
            }
        }
        if ready {
            probe.script.pending = 0;
        }
        Pin::new(&mut probe).poll(cx)
    }));
    let aborted_by = join.abort_handle();
    *slot.lock().unwrap() = Some(join);

    assert!(sched.run_one());

    let dropped = inner.contains(&Inner::DropJoin);
    let cancelled = inner.contains(&Inner::Shutdown)
        || (inner.contains(&Inner::Abort) && inner != [Inner::DropJoin, Inner::Abort]);
    let complete = ready || cancelled;
    let context = format!("{inner:?}, ready: {ready}");
    assert_eq!(counts.polls(), 1, "{context}");
    assert_eq!(aborted_by.is_finished(), complete, "{context}");
    assert_eq!(counts.future_drops(), usize::from(complete), "{context}");
    assert_eq!(counts.outputs(), usize::from(ready), "{context}");
    assert_eq!(counts.output_drops(), usize::from(ready && dropped), "{context}");
    assert_eq!(sched.queued(), usize::from(wakes_itself && !complete), "{context}");
    let awaited = inner.contains(&Inner::PollJoin) && !dropped;
    assert_eq!(bell.0.load(SeqCst), usize::from(awaited && complete), "{context}");

    let join = slot.lock().unwrap().take();
    if let (Some(mut join), true) = (join, complete) {
        assert_eq!(result_of(&mut join).is_ok(), ready, "{context}");
    }
    sched.shutdown();
    counts.forget_waker();
    drop(aborted_by);
    assert_eq!(counts.future_drops(), 1, "{context}");
    assert_eq!(counts.output_drops(), counts.outputs(), "{context}");
    assert_eq!(Arc::strong_count(&sched.0), 1, "{context}");
    assert_eq!(std::sync::Arc::strong_count(&bell), 1, "{context}");
}
