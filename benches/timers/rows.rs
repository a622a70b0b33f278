// What is measured. `timers.rs` compiles this file twice: once where `tokio` is the published Tokio,
// once where it is spargio.

use std::pin::Pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use self::tokio::runtime::{Builder, Runtime};
use self::tokio::task::unconstrained;
use self::tokio::time::{Sleep, sleep};

pub struct Subject(Runtime);

impl Subject {
    pub fn new() -> Subject {
        Subject(
            Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("no runtime"),
        )
    }

    /// Starts `timers` timers and stops them again, `n` times. None fires.
    pub fn insert_and_cancel(&self, n: u64, timers: u64) {
        self.0.block_on(unconstrained(async {
            let mut sleeps = Vec::with_capacity(timers as usize);
            for _ in 0..n {
                // From a second to a minute ahead, in no order.
                start(
                    &mut sleeps,
                    (0..timers).map(|i| Duration::from_millis(1_000 + i * 7_919 % 59_000)),
                );
                sleeps.clear();
            }
        }));
    }

    /// Starts `timers` timers and waits for them, `n` times. They fire within `spread`.
    pub fn insert_and_fire(&self, n: u64, timers: u64, spread: Duration) {
        self.0.block_on(unconstrained(async {
            let mut sleeps = Vec::with_capacity(timers as usize);
            for _ in 0..n {
                let spread = spread.as_nanos() as u64;
                start(
                    &mut sleeps,
                    (0..timers).map(|i| Duration::from_nanos(i * 7_919 % timers * spread / timers)),
                );
                for sleep in sleeps.drain(..) {
                    sleep.await;
                }
            }
        }));
    }

    /// How late `sleep(duration)` is, each of `n` times.
    pub fn lateness(&self, n: u64, duration: Duration) -> Vec<Duration> {
        self.0.block_on(async {
            let mut late = Vec::new();
            for _ in 0..n {
                let start = Instant::now();
                sleep(duration).await;
                late.push(start.elapsed() - duration);
            }
            late
        })
    }
}

/// Adds timers that have been polled once, and so run.
fn start(sleeps: &mut Vec<Pin<Box<Sleep>>>, durations: impl Iterator<Item = Duration>) {
    let mut cx = Context::from_waker(Waker::noop());
    for duration in durations {
        let mut sleep = Box::pin(sleep(duration));
        let _ = sleep.as_mut().poll(&mut cx);
        sleeps.push(sleep);
    }
}
