//! Handle, entries, clock and park plan, without a runtime.

use super::*;

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

const MS: Duration = Duration::from_millis(1);
/// Where the clock runs, what comes first must do so however long this thread is without a processor.
const S: Duration = Duration::from_secs(1);

impl Handle {
    /// When [`process`](Handle::process) may next have something to do for `shard`; never later than its
    /// earliest timer.
    fn next_expiration(&self, shard: usize) -> Option<Instant> {
        let next = self.shards[shard].next();
        (next != NEVER).then(|| self.start + Duration::from_nanos(next))
    }
}

/// Counts its wake-ups.
#[derive(Default)]
struct Task(AtomicUsize);

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Task {
    fn woken(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

struct Rig {
    time: Handle,
    rung: Arc<Mutex<Vec<usize>>>,
    task: Arc<Task>,
    waker: Waker,
}

impl Rig {
    fn new(shards: usize, paused: bool) -> Rig {
        let rung = Arc::new(Mutex::new(Vec::new()));
        let task = Arc::new(Task::default());
        let bell = rung.clone();
        let time = Handle::new(
            Clock::new(true, paused),
            shards,
            Box::new(move |shard| bell.lock().unwrap().push(shard)),
        );
        Rig { time, rung, waker: task.clone().into(), task }
    }

    fn now(&self) -> Instant {
        self.time.clock().now()
    }

    /// Polls on the thread of `home`.
    fn poll(
        &self,
        entry: &mut TimerEntry,
        deadline: Instant,
        home: Option<usize>,
    ) -> Poll<Result<(), Shutdown>> {
        entry.poll_elapsed(&self.time, deadline, || home, &mut Context::from_waker(&self.waker))
    }

    fn pending(&self, after: Duration, home: Option<usize>) -> TimerEntry {
        let mut entry = TimerEntry::new();
        let deadline = self.now() + after;
        assert!(self.poll(&mut entry, deadline, home).is_pending());
        entry
    }

    fn ready(&self, entry: &mut TimerEntry) -> bool {
        let unused = self.now() + 1000 * MS;
        self.poll(entry, unused, Some(0)).is_ready()
    }

    fn rung(&self) -> Vec<usize> {
        std::mem::take(&mut self.rung.lock().unwrap())
    }

    /// A round of an idle scheduler.
    fn park(&self) -> ParkPlan {
        let plan = self.time.park_timeout(0, None);
        self.time.after_park(0, plan);
        plan
    }
}

#[test]
fn fires_at_the_deadline_not_before() {
    let rig = Rig::new(1, false);
    let deadline = rig.now() + 3 * MS;
    let mut entry = TimerEntry::new();
    assert!(rig.poll(&mut entry, deadline, Some(0)).is_pending());
    assert_eq!(rig.time.next_expiration(0), Some(deadline));

    assert!(!rig.time.process_at(0, deadline - Duration::from_nanos(1)));
    assert!(!entry.is_elapsed(&rig.time));
    assert!(rig.time.process_at(0, deadline));
    assert_eq!(rig.task.woken(), 1);
    assert!(entry.is_elapsed(&rig.time));
    assert_eq!(rig.poll(&mut entry, deadline, Some(0)), Poll::Ready(Ok(())));
    assert_eq!(rig.time.next_expiration(0), None);
}

#[test]
fn cancelled_timers_do_not_fire() {
    let rig = Rig::new(1, true);
    let mut entry = rig.pending(MS, Some(0));
    entry.cancel(&rig.time);
    assert!(!entry.is_elapsed(&rig.time));
    assert_eq!(rig.park(), ParkPlan::Forever);
    assert_eq!(rig.task.woken(), 0);
}

#[test]
fn the_latest_waker_is_woken() {
    let rig = Rig::new(1, true);
    let mut entry = rig.pending(MS, Some(0));
    let other = Arc::new(Task::default());
    let waker = other.clone().into();
    assert!(entry.poll_elapsed(&rig.time, rig.now(), || None, &mut Context::from_waker(&waker)).is_pending());
    rig.park();
    assert_eq!((rig.task.woken(), other.woken()), (0, 1));
}

// H44
#[test]
fn far_deadlines_are_clamped() {
    let rig = Rig::new(1, true);
    let far = rig.now().checked_add(Duration::from_secs(1 << 40)).unwrap();
    let mut entry = TimerEntry::new();
    assert!(rig.poll(&mut entry, far, Some(0)).is_pending());
    assert_eq!(rig.time.park_timeout(0, Some(MS)), ParkPlan::PollThenAdvance(MS));

    // And a paused clock gets there.
    let plan = rig.park();
    assert_eq!(plan, ParkPlan::PollThenAdvance(Duration::from_nanos(MAX)));
    assert_eq!(rig.task.woken(), 1);
    assert!(rig.ready(&mut entry));
}

#[test]
fn deadlines_in_the_past_are_over_at_once() {
    let rig = Rig::new(1, true);
    let start = rig.now();
    let mut entry = TimerEntry::new();
    assert!(rig.poll(&mut entry, start, Some(0)).is_ready());

    rig.time.clock().advance(10 * MS).unwrap();
    rig.time.process(0);
    let mut entry = TimerEntry::new();
    assert!(rig.poll(&mut entry, start + 10 * MS, Some(0)).is_ready());
    assert_eq!(rig.task.woken(), 0, "a task that is told `Ready` needs no wake-up");
}

#[test]
fn a_reset_to_a_passed_deadline_wakes() {
    let rig = Rig::new(1, true);
    let start = rig.now();
    let mut entry = rig.pending(100 * MS, Some(0));
    rig.time.clock().advance(50 * MS).unwrap();
    rig.time.process(0);
    entry.reset(&rig.time, start + 40 * MS, || Some(0));
    assert_eq!(rig.task.woken(), 1);
    assert!(rig.ready(&mut entry));
}

#[test]
fn resets_move_the_timer_both_ways() {
    let rig = Rig::new(1, true);
    let start = rig.now();
    let mut entry = rig.pending(100 * MS, Some(0));

    entry.reset(&rig.time, start + 200 * MS, || Some(0));
    // Put off lazily: the wheel finds out when it gets there, and nobody is woken.
    assert_eq!(rig.park(), ParkPlan::PollThenAdvance(100 * MS));
    assert_eq!(rig.task.woken(), 0);
    assert_eq!(rig.time.park_timeout(0, None), ParkPlan::PollThenAdvance(100 * MS));

    entry.reset(&rig.time, start + 150 * MS, || Some(0));
    assert_eq!(rig.park(), ParkPlan::PollThenAdvance(50 * MS));
    assert_eq!(rig.task.woken(), 1);
    assert!(rig.ready(&mut entry));

    entry.reset(&rig.time, start + 151 * MS, || Some(0));
    assert!(!rig.ready(&mut entry));
    rig.park();
    assert_eq!(rig.task.woken(), 2);
}

#[test]
fn a_foreign_thread_rings_a_sleeping_shard_only() {
    let rig = Rig::new(1, false);
    rig.pending(1000 * S, None);
    assert_eq!(rig.rung(), [] as [usize; 0], "the shard is awake");

    let ParkPlan::For(_) = rig.time.park_timeout(0, None) else { panic!() };
    rig.pending(2000 * S, None);
    assert_eq!(rig.rung(), [] as [usize; 0], "the shard wakes up before");
    rig.pending(500 * S, Some(0));
    assert_eq!(rig.rung(), [] as [usize; 0], "that was the shard itself");
    let mut late = rig.pending(5000 * S, None);
    rig.pending(200 * S, None);
    assert_eq!(rig.rung(), [0]);
    late.reset(&rig.time, rig.now() + 100 * S, || None);
    assert_eq!(rig.rung(), [0]);

    rig.time.process(0);
    rig.pending(S, None);
    assert_eq!(rig.rung(), [] as [usize; 0], "awake again");
}

#[test]
fn a_sleep_without_timers_is_rung_too() {
    let rig = Rig::new(2, false);
    assert_eq!(rig.time.park_timeout(0, None), ParkPlan::Forever);
    assert_eq!(rig.time.park_timeout(1, Some(300 * S)), ParkPlan::For(300 * S));
    // Foreign timers go round.
    let _a = rig.pending(1000 * S, None);
    let _b = rig.pending(1000 * S, None);
    assert_eq!(rig.rung(), [0], "shard 1 looks in 300 s anyway");
    let _c = rig.pending(10 * S, None);
    let _d = rig.pending(10 * S, None);
    assert_eq!(rig.rung(), [0, 1]);
}

// H22
#[test]
fn a_sibling_fires_the_timers_of_a_stuck_shard() {
    let rig = Rig::new(2, false);
    let mut entry = rig.pending(MS, Some(1));
    std::thread::sleep(2 * MS);
    assert!(rig.time.next_expiration(1).unwrap() < rig.now());
    assert!(!rig.time.process_for(0));
    assert!(rig.time.process_for(1));
    assert_eq!(rig.task.woken(), 1);
    assert!(rig.ready(&mut entry));

    // A shard that is asleep remains so.
    rig.time.park_timeout(1, None);
    rig.time.process_all();
    let _a = rig.pending(MS, None);
    let _b = rig.pending(MS, None);
    assert_eq!(rig.rung(), [1]);
}

#[test]
fn a_timer_moves_to_the_shard_that_resets_it_to_an_earlier_deadline() {
    let rig = Rig::new(2, false);
    let mut entry = rig.pending(100 * MS, Some(0));
    let soon = rig.now() + MS;
    entry.reset(&rig.time, soon, || Some(1));
    assert_eq!(rig.time.next_expiration(1), Some(soon));
    rig.time.process_at(0, rig.now() + 500 * MS);
    assert_eq!(rig.task.woken(), 0);
    rig.time.process_at(1, soon);
    assert_eq!(rig.task.woken(), 1, "the waker has moved along");
}

#[test]
fn shutdown_wakes_everybody_and_polling_panics() {
    let rig = Rig::new(2, false);
    let mut a = rig.pending(MS, Some(0));
    let b = rig.pending(MS, Some(1));
    rig.time.shutdown();
    rig.time.shutdown();
    assert_eq!(rig.task.woken(), 2);
    assert!(a.is_elapsed(&rig.time) && b.is_elapsed(&rig.time));
    assert_eq!(rig.time.next_expiration(0), None);

    a.reset(&rig.time, rig.now() + MS, || None);
    assert_eq!(rig.time.next_expiration(0), None);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| rig.ready(&mut a))).unwrap_err();
    let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    assert_eq!(text, Some("A Tokio 1.x context was found, but it is being shutdown."));
    a.cancel(&rig.time);
}

#[test]
fn a_woken_task_may_use_the_timers() {
    /// Drops and makes timers when it is woken, and when it is dropped.
    struct Meddler(Arc<Rig>, Mutex<Vec<TimerEntry>>);
    impl Meddler {
        fn meddle(&self) {
            self.1.lock().unwrap().drain(..).for_each(|mut entry| entry.cancel(&self.0.time));
            self.0.pending(MS, None).cancel(&self.0.time);
        }
    }
    impl Wake for Meddler {
        fn wake(self: Arc<Self>) {
            self.meddle();
        }
    }
    impl Drop for Meddler {
        fn drop(&mut self) {
            self.meddle();
        }
    }

    let rig = Arc::new(Rig::new(1, true));
    let meddler = Arc::new(Meddler(rig.clone(), Mutex::default()));
    let waker = Waker::from(meddler.clone());
    for _ in 0..100 {
        let mut entry = TimerEntry::new();
        let deadline = rig.now() + MS;
        assert!(
            entry
                .poll_elapsed(&rig.time, deadline, || Some(0), &mut Context::from_waker(&waker))
                .is_pending()
        );
        meddler.1.lock().unwrap().push(entry);
    }
    rig.park();
    assert_eq!(meddler.1.lock().unwrap().len(), 0);

    let mut last = TimerEntry::new();
    let deadline = rig.now() + MS;
    assert!(
        last.poll_elapsed(&rig.time, deadline, || Some(0), &mut Context::from_waker(&waker)).is_pending()
    );
    drop((waker, meddler));
    last.cancel(&rig.time);
}

#[test]
fn plans_of_a_running_clock() {
    let rig = Rig::new(1, false);
    assert_eq!(rig.time.park_timeout(0, None), ParkPlan::Forever);
    assert_eq!(rig.time.park_timeout(0, Some(MS)), ParkPlan::For(MS));

    let deadline = rig.now() + 1000 * S;
    let mut entry = TimerEntry::new();
    assert!(rig.poll(&mut entry, deadline, Some(0)).is_pending());
    let ParkPlan::For(duration) = rig.time.park_timeout(0, None) else { panic!() };
    assert!(duration <= 1000 * S && rig.now() + duration >= deadline);
    assert_eq!(rig.time.park_timeout(0, Some(MS)), ParkPlan::For(MS));
    assert_eq!(rig.time.park_timeout(0, Some(Duration::ZERO)), ParkPlan::For(Duration::ZERO));

    entry.reset(&rig.time, rig.now() + MS, || Some(0));
    std::thread::sleep(2 * MS);
    assert_eq!(rig.time.park_timeout(0, None), ParkPlan::For(Duration::ZERO));
    assert!(rig.time.after_park(0, ParkPlan::For(Duration::ZERO)));
}

// H46
#[test]
fn a_paused_clock_jumps_when_idle() {
    let rig = Rig::new(1, true);
    let start = rig.now();
    let mut entry = rig.pending(Duration::from_micros(1500), Some(0));
    // Deadlines count as the next whole millisecond.
    assert_eq!(rig.park(), ParkPlan::PollThenAdvance(2 * MS));
    assert_eq!(rig.now(), start + 2 * MS);
    assert!(rig.ready(&mut entry));
    assert_eq!(rig.park(), ParkPlan::Forever);
    assert_eq!(rig.now(), start + 2 * MS);

    // A limit counts as a timer.
    let plan = rig.time.park_timeout(0, Some(MS));
    assert_eq!(plan, ParkPlan::PollThenAdvance(MS));
    rig.time.after_park(0, plan);
    assert_eq!(rig.now(), start + 3 * MS);
}

#[test]
fn a_paused_clock_waits_for_work() {
    let rig = Rig::new(1, true);
    let start = rig.now();
    let _entry = rig.pending(MS, Some(0));

    rig.time.unpark();
    rig.park();
    assert_eq!(rig.now(), start, "woken in between");

    rig.time.clock().inhibit_auto_advance();
    assert_eq!(rig.park(), ParkPlan::For(MS));
    assert_eq!(rig.now(), start, "a blocking task runs");

    rig.time.clock().allow_auto_advance();
    rig.park();
    assert_eq!(rig.now(), start + MS);
    assert_eq!(rig.task.woken(), 1);
}

#[test]
fn a_paused_clock_fires_on_whole_milliseconds() {
    let rig = Rig::new(1, true);
    let mut entry = rig.pending(MS, Some(0));
    for step in 1..=4 {
        assert!(!rig.ready(&mut entry));
        rig.time.clock().advance(MS / 4).unwrap();
        rig.time.process(0);
        assert_eq!(rig.task.woken(), usize::from(step == 4));
    }
    assert!(rig.ready(&mut entry));
}

#[test]
fn clock_errors() {
    let clock = Clock::new(true, false);
    assert_eq!(clock.advance(MS), Err("time is not frozen"));
    assert_eq!(clock.resume(), Err("time is not frozen"));
    assert!(!clock.can_auto_advance());
    clock.pause().unwrap();
    assert_eq!(clock.pause(), Err("time is already frozen"));
    assert!(clock.is_paused() && clock.can_auto_advance());

    let now = clock.now();
    std::thread::sleep(MS);
    assert_eq!(clock.clone().now(), now);
    clock.advance(MS).unwrap();
    assert_eq!(clock.now(), now + MS);
    clock.resume().unwrap();
    std::thread::sleep(MS);
    assert!(clock.now() >= now + 2 * MS);

    let text = Clock::new(false, false).pause().unwrap_err();
    assert!(text.starts_with("`time::pause()` requires the `current_thread` Tokio runtime."));
}

#[test]
fn many_threads_one_shard() {
    let rig = Rig::new(1, false);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                rig.time.process(0);
            }
        });
        let users: Vec<_> = (0..3)
            .map(|user| {
                let rig = &rig;
                scope.spawn(move || {
                    for round in 0..2000u32 {
                        let after = Duration::from_micros(u64::from(round * 7 % 50 + user));
                        let deadline = rig.now() + after;
                        let mut entry = TimerEntry::new();
                        while rig.poll(&mut entry, deadline, None).is_pending() {
                            if round % 3 == 0 {
                                entry.reset(&rig.time, deadline, || None);
                            }
                            if round % 5 == 0 {
                                entry.cancel(&rig.time);
                            }
                        }
                        assert!(rig.now() >= deadline);
                    }
                })
            })
            .collect();
        users.into_iter().for_each(|user| user.join().unwrap());
        stop.store(true, Ordering::SeqCst);
    });
    assert_eq!(rig.time.next_expiration(0), None);
}

/// The longer a crowd of timers goes on, the longer its timers wait for each other. A few are punctual again.
#[test]
fn timers_of_a_crowd_wait_for_each_other() {
    const US: u64 = 1_000;

    let shard = shard::Shard::new();
    let shutdown = AtomicBool::new(false);
    let mut now = US;
    let insert = |when| assert!(shard.insert(when, None, &shutdown).is_ok());
    // So many timers, `apart` from each other, fire at the next wake-up; maybe another one is to follow soon.
    let mut fire = |timers: u64, apart: u64, is_followed: bool| {
        let first = now + 60 * US;
        (0..timers).for_each(|i| insert(first + i * apart));
        now = (first + timers * apart).max(shard.gathers_until());
        if is_followed {
            insert(now + 300 * US);
        }
        assert!(shard.process(now));
        assert_eq!(shard.next() == shard::NEVER, !is_followed);
        shard.gathers_until() - now
    };
    for _ in 0..3 {
        assert!(fire(1, 0, false) < 50 * US);
        assert!((0..10).all(|_| fire(3, 40 * US, false) < 50 * US), "a few");
        let rests: Vec<_> = (0..6).map(|_| fire(80, 10 * US, true)).collect();
        assert_eq!(rests, [100, 200, 400, 800, 1400, 1400].map(|rest| rest * US));
        assert!(fire(1, 0, false) < 50 * US);
    }
    // Fewer, but with others behind them again and again.
    let rests: Vec<_> = (0..40).map(|_| fire(5, 40 * US, true)).collect();
    assert!(rests[20..].iter().all(|&rest| rest == 1400 * US), "{rests:?}");
    // As many as before, each set when the last one has fired, while many wait for something far away.
    (0..1000).for_each(|i| insert(u64::MAX / 2 + i));
    let mut sleep = || {
        let when = now + 100 * US;
        insert(when);
        now = when.max(shard.gathers_until());
        assert!(shard.process(now));
        shard.gathers_until() - now
    };
    sleep();
    assert!((0..100).all(|_| sleep() < 50 * US));
}

/// Whoever sleeps for next to nothing again and again gets a rest; whoever sleeps for longer does not, nor a timer now
/// and then.
#[test]
fn timers_in_a_hurry_wait_for_each_other() {
    const US: u64 = 1_000;

    let shard = shard::Shard::new();
    let shutdown = AtomicBool::new(false);
    let mut now = US;
    // A timer that is set right after the last one, and fires when the rest is over and the thread awake.
    let mut fire = |sleep: u64| {
        let when = now + 15 * US + sleep;
        assert!(shard.insert(when, None, &shutdown).is_ok());
        now = when.max(shard.gathers_until()) + 40 * US;
        assert!(shard.process(now));
        shard.gathers_until() - now
    };
    for _ in 0..3 {
        let rests: Vec<_> = (0..200).map(|_| fire(US)).collect();
        assert!(rests[..60].iter().all(|&rest| rest < 50 * US), "a few are punctual: {rests:?}");
        assert!(rests[100..].iter().all(|&rest| rest == 400 * US), "{rests:?}");
        assert!(fire(100 * US) < 50 * US);
    }
    assert!((0..200).all(|_| fire(100 * US) < 50 * US), "those have time");
}
