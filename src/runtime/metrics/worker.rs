#[cfg(any(tokio_unstable, feature = "metrics"))]
use crate::loom::sync::Mutex;
use crate::runtime::Config;

#[cfg(any(tokio_unstable, feature = "metrics"))]
use super::{Histogram, HistogramBuilder};

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
#[cfg(any(tokio_unstable, feature = "metrics"))]
use std::thread::ThreadId;

/// The published counters of one worker.
///
/// Only the worker writes them (through [`MetricsBatch::submit`]); anybody reads them.
/// Aligned so that two workers never write the same cache line, nor the pair of lines the
/// prefetcher of x86-64 fetches together.
///
/// [`MetricsBatch::submit`]: super::MetricsBatch::submit
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerMetrics {
    /// Nanoseconds spent working rather than sleeping.
    pub(crate) busy_duration_total: AtomicU64,
    /// Tasks in the local queue; kept by the current-thread scheduler only.
    pub(crate) queue_depth: AtomicUsize,
    /// The thread that runs this worker.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    thread_id: Mutex<Option<ThreadId>>,
    /// Times the worker went to sleep.
    pub(crate) park_count: AtomicU64,
    /// Times the worker went to sleep plus times it woke up: odd while it sleeps.
    pub(crate) park_unpark_count: AtomicU64,
    /// Times the worker woke up and went back to sleep without having polled a task.
    pub(crate) noop_count: AtomicU64,
    /// Tasks stolen from other workers.
    pub(crate) steal_count: AtomicU64,
    /// Successful thefts; each may bring several tasks.
    pub(crate) steal_operations: AtomicU64,
    /// Polls of tasks.
    pub(crate) poll_count: AtomicU64,
    /// Moving average of the time a poll takes, in nanoseconds.
    pub(crate) mean_poll_time: AtomicU64,
    /// Tasks the worker put on its own queue.
    pub(crate) local_schedule_count: AtomicU64,
    /// Times the local queue was full and half of it went to the global one.
    pub(crate) overflow_count: AtomicU64,
    /// How long polls take, if the builder wants it counted.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(super) poll_times: Option<Histogram>,
    /// How long tasks wait for a poll, if the builder wants it counted.
    #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
    pub(super) schedule_latencies: Option<Histogram>,
}

impl WorkerMetrics {
    #[cfg(test)]
    pub(crate) fn new() -> WorkerMetrics {
        WorkerMetrics::default()
    }

    #[cfg_attr(not(any(tokio_unstable, feature = "metrics")), allow(unused_variables))]
    pub(crate) fn from_config(config: &Config) -> WorkerMetrics {
        WorkerMetrics {
            #[cfg(any(tokio_unstable, feature = "metrics"))]
            poll_times: config.poll_times.as_ref().map(HistogramBuilder::build),
            #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
            schedule_latencies: config.schedule_latencies.as_ref().map(HistogramBuilder::build),
            ..WorkerMetrics::default()
        }
    }

    /// Publishes the length of the local queue.
    pub(crate) fn set_queue_depth(&self, len: usize) {
        self.queue_depth.store(len, Relaxed);
    }

    /// The length of the local queue as last published.
    pub(crate) fn queue_depth(&self) -> usize {
        self.queue_depth.load(Relaxed)
    }

    /// Remembers that this thread runs the worker, where somebody may ask.
    pub(crate) fn set_thread(&self) {
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        {
            *self.thread_id.lock() = Some(std::thread::current().id());
        }
    }

    /// The thread that runs the worker, once it has started.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(crate) fn thread_id(&self) -> Option<ThreadId> {
        *self.thread_id.lock()
    }
}
