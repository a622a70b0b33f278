use super::WorkerMetrics;
#[cfg(any(tokio_unstable, feature = "metrics"))]
use super::{Histogram, HistogramBatch};

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A worker's own tally between two publications.
///
/// The numbers are running totals, not differences: [`submit`](Self::submit) stores them, so
/// a worker needs no read-modify-write. A new batch continues the totals already published.
pub(crate) struct MetricsBatch {
    /// When the worker last started to work, i.e. came back from sleeping.
    busy_since: Instant,
    busy_duration_total: u64,
    park_count: u64,
    park_unpark_count: u64,
    noop_count: u64,
    steal_count: u64,
    steal_operations: u64,
    poll_count: u64,
    /// `poll_count` when the worker last went to sleep; unchanged means it woke for nothing.
    poll_count_on_last_park: u64,
    local_schedule_count: u64,
    overflow_count: u64,
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    poll_timer: Option<Box<PollTimer>>,
    #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
    schedule_latencies: Option<HistogramBatch>,
}

/// How long polls take.
#[cfg(any(tokio_unstable, feature = "metrics"))]
struct PollTimer {
    poll_times: HistogramBatch,
    started: Instant,
}

#[cfg(any(tokio_unstable, feature = "metrics"))]
impl PollTimer {
    fn new(histogram: &Histogram) -> Box<PollTimer> {
        Box::new(PollTimer { poll_times: HistogramBatch::from_histogram(histogram), started: Instant::now() })
    }
}

impl MetricsBatch {
    pub(crate) fn new(worker: &WorkerMetrics) -> MetricsBatch {
        let published = |counter: &AtomicU64| counter.load(Relaxed);
        let poll_count = published(&worker.poll_count);

        MetricsBatch {
            busy_since: Instant::now(),
            busy_duration_total: published(&worker.busy_duration_total),
            park_count: published(&worker.park_count),
            park_unpark_count: published(&worker.park_unpark_count),
            noop_count: published(&worker.noop_count),
            steal_count: published(&worker.steal_count),
            steal_operations: published(&worker.steal_operations),
            poll_count,
            poll_count_on_last_park: poll_count,
            local_schedule_count: published(&worker.local_schedule_count),
            overflow_count: published(&worker.overflow_count),
            #[cfg(any(tokio_unstable, feature = "metrics"))]
            poll_timer: worker.poll_times.as_ref().map(PollTimer::new),
            #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
            schedule_latencies: worker.schedule_latencies.as_ref().map(HistogramBatch::from_histogram),
        }
    }

    /// Publishes the totals.
    pub(crate) fn submit(&mut self, worker: &WorkerMetrics, mean_poll_time: u64) {
        let publish = |counter: &AtomicU64, total| counter.store(total, Relaxed);

        publish(&worker.busy_duration_total, self.busy_duration_total);
        publish(&worker.park_count, self.park_count);
        publish(&worker.park_unpark_count, self.park_unpark_count);
        publish(&worker.noop_count, self.noop_count);
        publish(&worker.steal_count, self.steal_count);
        publish(&worker.steal_operations, self.steal_operations);
        publish(&worker.poll_count, self.poll_count);
        publish(&worker.mean_poll_time, mean_poll_time);
        publish(&worker.local_schedule_count, self.local_schedule_count);
        publish(&worker.overflow_count, self.overflow_count);

        #[cfg(any(tokio_unstable, feature = "metrics"))]
        if let (Some(timer), Some(histogram)) = (&self.poll_timer, &worker.poll_times) {
            timer.poll_times.submit(histogram);
        }
        #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
        if let (Some(batch), Some(histogram)) = (&self.schedule_latencies, &worker.schedule_latencies) {
            batch.submit(histogram);
        }
    }

    /// The worker is about to sleep.
    pub(crate) fn about_to_park(&mut self) {
        self.park_count += 1;
        self.park_unpark_count += 1;

        if self.poll_count_on_last_park == self.poll_count {
            self.noop_count += 1;
        } else {
            self.poll_count_on_last_park = self.poll_count;
        }
    }

    /// The worker woke up.
    pub(crate) fn unparked(&mut self) {
        self.park_unpark_count += 1;
    }

    /// The worker starts on a batch of tasks.
    pub(crate) fn start_processing_scheduled_tasks(&mut self) {
        self.busy_since = Instant::now();
    }

    /// The worker is through with its batch of tasks.
    pub(crate) fn end_processing_scheduled_tasks(&mut self) {
        self.busy_duration_total += duration_as_u64(self.busy_since.elapsed());
    }

    /// The worker is about to poll a task, and perhaps others that it wakes, one after the other.
    pub(crate) fn start_poll(&mut self) {
        self.poll_count += 1;
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        if let Some(timer) = &mut self.poll_timer {
            timer.started = Instant::now();
        }
    }

    /// The worker is through with what it [started](Self::start_poll).
    pub(crate) fn end_poll(&mut self) {
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        if let Some(timer) = &mut self.poll_timer {
            timer.poll_times.measure(duration_as_u64(timer.started.elapsed()));
        }
    }

    /// A task waited that long for its poll.
    #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
    pub(crate) fn record_latency(&mut self, latency: Duration) {
        if let Some(latencies) = &mut self.schedule_latencies {
            latencies.measure(duration_as_u64(latency));
        }
    }

    /// The worker put a task on its own queue.
    pub(crate) fn inc_local_schedule_count(&mut self) {
        self.local_schedule_count += 1;
    }

    /// The worker took `by` tasks from another one.
    pub(crate) fn incr_steal_count(&mut self, by: u16) {
        self.steal_count += u64::from(by);
    }

    /// The worker robbed another one.
    pub(crate) fn incr_steal_operations(&mut self) {
        self.steal_operations += 1;
    }

    /// The worker's queue was full.
    pub(crate) fn incr_overflow_count(&mut self) {
        self.overflow_count += 1;
    }
}

/// Nanoseconds, saturating after 584 years.
pub(crate) fn duration_as_u64(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_published_before_submit() {
        let worker = WorkerMetrics::new();
        let mut batch = MetricsBatch::new(&worker);

        batch.start_poll();
        batch.about_to_park();
        batch.unparked();
        assert_eq!(worker.park_count.load(Relaxed), 0);

        batch.submit(&worker, 7);
        assert_eq!(worker.poll_count.load(Relaxed), 1);
        assert_eq!(worker.park_count.load(Relaxed), 1);
        assert_eq!(worker.park_unpark_count.load(Relaxed), 2);
        assert_eq!(worker.mean_poll_time.load(Relaxed), 7);
    }

    #[test]
    fn a_park_without_a_poll_is_a_noop() {
        let worker = WorkerMetrics::new();
        let mut batch = MetricsBatch::new(&worker);

        batch.start_poll();
        batch.about_to_park();
        batch.unparked();
        batch.about_to_park();
        batch.submit(&worker, 0);
        assert_eq!(worker.noop_count.load(Relaxed), 1);
    }

    #[test]
    fn a_new_batch_continues_the_totals() {
        let worker = WorkerMetrics::new();
        let mut first = MetricsBatch::new(&worker);
        first.incr_steal_count(3);
        first.submit(&worker, 0);

        let mut second = MetricsBatch::new(&worker);
        second.incr_steal_count(2);
        second.submit(&worker, 0);
        assert_eq!(worker.steal_count.load(Relaxed), 5);
    }

    #[test]
    fn busy_time_adds_up() {
        let worker = WorkerMetrics::new();
        let mut batch = MetricsBatch::new(&worker);
        for _ in 0..2 {
            batch.start_processing_scheduled_tasks();
            std::thread::sleep(Duration::from_millis(2));
            batch.end_processing_scheduled_tasks();
        }
        batch.submit(&worker, 0);
        assert!(worker.busy_duration_total.load(Relaxed) >= 4_000_000);
    }

    #[test]
    fn long_durations_saturate() {
        assert_eq!(duration_as_u64(Duration::MAX), u64::MAX);
    }
}
