//! Timers on the real runtime: what Tokio's own suite does not look at.

// A `Sleep` is to be made inside a runtime and awaited elsewhere.
#![allow(clippy::async_yields_async)]

use tokio::runtime::{Builder, Runtime};
use tokio::time::{self, Duration, Instant, Sleep};

use std::cell::RefCell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::task::{Context, Waker};

const MS: Duration = Duration::from_millis(1);
/// Longer than anything here takes, even on a busy machine.
const LONG: Duration = Duration::from_secs(20);

fn runtimes() -> [Runtime; 2] {
    [
        Builder::new_current_thread().enable_all().build().unwrap(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
    ]
}

fn poll(sleep: Pin<&mut Sleep>) -> bool {
    sleep.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

/// Rounded up, five in a row would take four whole milliseconds at the very least, each time. How long
/// they take otherwise is up to the machine: once will do.
#[test]
fn short_sleeps_are_not_rounded_up_to_milliseconds() {
    for rt in runtimes() {
        rt.block_on(async {
            let sleeper = tokio::spawn(async {
                let begun = Instant::now();
                loop {
                    let start = Instant::now();
                    for i in 0..5 {
                        let deadline = Instant::now() + Duration::from_micros(100 + i);
                        time::sleep_until(deadline).await;
                        assert!(Instant::now() >= deadline);
                    }
                    if start.elapsed() < 4 * MS {
                        return;
                    }
                    assert!(begun.elapsed() < LONG, "each time: {:?} the last one", start.elapsed());
                }
            });
            sleeper.await.unwrap()
        });
    }
}

// H22
#[test]
fn a_busy_worker_does_not_hold_up_the_timers_of_its_shard() {
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fired = rt.block_on(async {
        let stuck = tokio::spawn(async {
            let (fires, fired) = std::sync::mpsc::channel();
            // Registered on this worker's shard, then the worker is gone until it has fired.
            tokio::spawn(async move {
                time::sleep(50 * MS).await;
                let _ = fires.send(());
            });
            tokio::task::yield_now().await;
            fired.recv_timeout(LONG)
        });
        stuck.await.unwrap()
    });
    assert_eq!(fired, Ok(()));
}

#[test]
fn a_timer_stays_with_its_runtime() {
    let [a, b] = runtimes();
    let mut sleep = Box::pin(a.block_on(async { time::sleep(Duration::from_secs(3600)) }));
    assert!(!poll(sleep.as_mut()));
    let sleep = b.block_on(async {
        sleep.as_mut().reset(Instant::now() + 5 * MS);
        sleep
    });
    drop(b);
    a.block_on(sleep);
}

#[test]
fn a_foreign_thread_may_wait_for_a_timer() {
    for rt in runtimes() {
        let sleep = rt.block_on(async { time::sleep(20 * MS) });
        let deadline = sleep.deadline();
        let (woken, is_woken) = tokio::sync::oneshot::channel();
        let waiter = std::thread::spawn(move || {
            futures::executor::block_on(sleep);
            woken.send(Instant::now()).unwrap();
        });
        // However late the thread begins, there is a driver.
        let woken = rt.block_on(async { time::timeout(LONG, is_woken).await });
        assert!(woken.expect("it sleeps for ever").unwrap() >= deadline);
        waiter.join().unwrap();
    }
}

#[test]
fn a_timer_outlives_its_runtime_only_to_be_dropped() {
    thread_local!(static KEPT: RefCell<Option<Pin<Box<Sleep>>>> = const { RefCell::new(None) });

    for rt in runtimes() {
        // H35: dropped by the destruction of the thread's locals.
        std::thread::spawn(move || {
            let mut sleep = Box::pin(rt.block_on(async { time::sleep(Duration::from_secs(3600)) }));
            assert!(!poll(sleep.as_mut()));
            KEPT.set(Some(sleep));
        })
        .join()
        .unwrap();
    }
    for rt in runtimes() {
        let mut sleep = Box::pin(rt.block_on(async { time::sleep(Duration::from_secs(3600)) }));
        assert!(!poll(sleep.as_mut()));
        drop(rt);
        assert!(sleep.is_elapsed());
        sleep.as_mut().reset(Instant::now() + MS);
        assert!(catch_unwind(AssertUnwindSafe(|| poll(sleep.as_mut()))).is_err());
    }
}

// H44
#[test]
fn the_longest_waits_are_no_trouble() {
    for rt in runtimes() {
        rt.block_on(async {
            let mut long = pin!(time::sleep(Duration::MAX));
            assert!(!poll(long.as_mut()));
            let limit = time::timeout(Duration::MAX, time::sleep(2 * MS)).await;
            assert_eq!(limit, Ok(()));
            let past = Instant::now() - Duration::from_secs(1);
            time::sleep_until(past).await;
            let far = Instant::now() + Duration::from_secs(1 << 40);
            long.as_mut().reset(far);
            assert!(!poll(long.as_mut()));
            time::sleep(MS).await;
            assert!(!long.is_elapsed());
        });
    }
}

#[test]
fn a_hundred_thousand_timers() {
    for rt in runtimes() {
        rt.block_on(async {
            let start = cpu_time();
            let tasks: Vec<_> = (0..100_000u64)
                .map(|i| {
                    tokio::spawn(async move {
                        let wait = Duration::from_micros(i * 7919 % 200_000);
                        let deadline = Instant::now() + wait;
                        let pending = time::timeout_at(deadline, std::future::pending::<()>()).await;
                        assert!(pending.is_err() && Instant::now() >= deadline);
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            let spent = cpu_time() - start;
            assert!(spent < LONG, "{spent:?} of CPU time");
        });
    }
}

/// The CPU time of this process: unlike the time that goes by, what other processes do is no part of it.
fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn timers_need_a_runtime_that_has_them() {
    let text = |f: &dyn Fn()| {
        let panic = catch_unwind(AssertUnwindSafe(f)).unwrap_err();
        panic
            .downcast_ref::<String>()
            .cloned()
            .unwrap_or_else(|| panic.downcast_ref::<&str>().unwrap().to_string())
    };
    assert_eq!(
        text(&|| drop(time::sleep(MS))),
        "there is no reactor running, must be called from the context of a Tokio 1.x runtime"
    );
    let rt = Builder::new_current_thread().build().unwrap();
    let _guard = rt.enter();
    assert_eq!(
        text(&|| drop(time::interval(MS))),
        "A Tokio 1.x context was found, but timers are disabled. Call `enable_time` on the runtime builder to enable timers."
    );
}
