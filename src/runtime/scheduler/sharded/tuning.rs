//! How often a worker looks into the injection queue first.
//!
//! Tasks from outside should not wait long behind a full local queue: about [`TARGET_TIME`].
//! How many tasks that is depends on how long they take, so a moving average of the time per
//! poll sets the interval.

use std::time::{Duration, Instant};

/// How long a task may wait in the injection queue while the local one is full.
const TARGET_TIME: f64 = Duration::from_micros(200).as_nanos() as f64;
/// The interval to begin with.
pub(super) const TARGET_TASKS: u32 = 61;
/// With 1 the local queue would never come first.
const MIN_TASKS: u32 = 2;
const MAX_TASKS: u32 = 127;
/// The weight of one poll in the average.
const ALPHA: f64 = 0.1;

/// See the module docs.
pub(super) struct Tuning {
    since: Instant,
    polls: u32,
    /// Nanoseconds a poll takes.
    mean: f64,
}

impl Tuning {
    pub(super) fn new() -> Tuning {
        Tuning { since: Instant::now(), polls: 0, mean: TARGET_TIME / f64::from(TARGET_TASKS) }
    }

    /// A batch of tasks begins.
    pub(super) fn start(&mut self) {
        self.since = Instant::now();
        self.polls = 0;
    }

    pub(super) fn count_poll(&mut self) {
        self.polls += 1;
    }

    /// The batch is through; returns the interval from now on.
    pub(super) fn stop(&mut self) -> u32 {
        if self.polls > 0 {
            self.record(self.since.elapsed());
        }
        self.interval()
    }

    fn record(&mut self, elapsed: Duration) {
        let polls = f64::from(self.polls);
        let mean = elapsed.as_nanos() as f64 / polls;
        // A batch weighs as much as its polls would have one by one.
        let weight = 1.0 - (1.0 - ALPHA).powf(polls);
        self.mean = weight * mean + (1.0 - weight) * self.mean;
        self.polls = 0;
    }

    fn interval(&self) -> u32 {
        // The cast saturates.
        ((TARGET_TIME / self.mean) as u32).clamp(MIN_TASKS, MAX_TASKS)
    }

    /// Nanoseconds.
    pub(super) fn mean_poll_time(&self) -> u64 {
        self.mean as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(poll: Duration) -> u32 {
        let mut tuning = Tuning::new();
        for _ in 0..20 {
            tuning.polls = 10;
            tuning.record(poll * 10);
        }
        tuning.interval()
    }

    #[test]
    fn slow_polls_shorten_the_interval_and_fast_ones_lengthen_it() {
        assert_eq!(Tuning::new().interval(), TARGET_TASKS);
        assert_eq!(after(Duration::from_micros(20)), 10);
        assert_eq!(after(Duration::from_millis(10)), MIN_TASKS);
        assert_eq!(after(Duration::from_nanos(100)), MAX_TASKS);
    }
}
