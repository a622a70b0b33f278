#[cfg(any(tokio_unstable, feature = "metrics"))]
use super::Histogram;
use crate::runtime::Handle;

#[cfg(any(tokio_unstable, feature = "metrics"))]
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A live view of a runtime's counters.
///
/// Obtained with [`Runtime::metrics`] or [`Handle::metrics`]; cheap to clone. The view stays
/// usable after the runtime was dropped and then shows the last published numbers.
///
/// Workers publish their counters when they park and each time they turn their driver, so a
/// number may be a moment old.
///
/// ```
/// use tokio::runtime::Builder;
///
/// let rt = Builder::new_current_thread().build().unwrap();
/// let metrics = rt.metrics();
/// assert_eq!(metrics.num_workers(), 1);
/// assert_eq!(metrics.num_alive_tasks(), 0);
/// ```
///
/// [`Runtime::metrics`]: crate::runtime::Runtime::metrics
#[derive(Clone, Debug)]
pub struct RuntimeMetrics {
    handle: Handle,
}

impl RuntimeMetrics {
    pub(crate) fn new(handle: Handle) -> RuntimeMetrics {
        RuntimeMetrics { handle }
    }

    /// The number of worker threads; 1 on a `current_thread` runtime.
    pub fn num_workers(&self) -> usize {
        self.handle.inner.num_workers()
    }

    /// The number of spawned tasks that have not ended yet.
    ///
    /// On a multi-thread runtime a task may be counted for a moment after its `JoinHandle` has
    /// completed.
    pub fn num_alive_tasks(&self) -> usize {
        self.handle.inner.num_alive_tasks()
    }

    /// The number of tasks waiting in the global queue: those spawned or woken from outside
    /// the workers, and those a worker had no room for.
    pub fn global_queue_depth(&self) -> usize {
        self.handle.inner.injection_queue_depth()
    }

    /// The time worker `worker` has spent working, as opposed to sleeping, since the runtime
    /// was built. Never decreases.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_total_busy_duration(&self, worker: usize) -> Duration {
        let metrics = self.handle.inner.worker_metrics(worker);
        Duration::from_nanos(metrics.busy_duration_total.load(Relaxed))
    }

    /// How often worker `worker` went to sleep because it had nothing to do.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_park_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.park_count.load(Relaxed)
    }

    /// How often worker `worker` went to sleep plus how often it woke up again.
    ///
    /// Odd while the worker sleeps, even while it works, so it serves as a watchdog: an even
    /// number that does not change means a worker that is stuck in one poll.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_park_unpark_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.park_unpark_count.load(Relaxed)
    }
}

/// Unstable in Tokio: only with `--cfg tokio_unstable` there; here with the feature `metrics`, too.
#[cfg(any(tokio_unstable, feature = "metrics"))]
#[cfg_attr(docsrs, doc(cfg(any(tokio_unstable, feature = "metrics"))))]
impl RuntimeMetrics {
    /// The number of threads for blocking work, without the workers.
    pub fn num_blocking_threads(&self) -> usize {
        self.handle.inner.num_blocking_threads()
    }

    /// The number of threads for blocking work that have none at the moment.
    pub fn num_idle_blocking_threads(&self) -> usize {
        self.handle.inner.num_idle_blocking_threads()
    }

    /// The number of pieces of blocking work that no thread has begun yet.
    pub fn blocking_queue_depth(&self) -> usize {
        self.handle.inner.blocking_queue_depth()
    }

    /// Now called [`num_alive_tasks`](Self::num_alive_tasks).
    #[deprecated = "Renamed to num_alive_tasks"]
    pub fn active_tasks_count(&self) -> usize {
        self.num_alive_tasks()
    }

    /// Now called [`global_queue_depth`](Self::global_queue_depth).
    #[deprecated = "Renamed to global_queue_depth"]
    #[doc(hidden)]
    pub fn injection_queue_depth(&self) -> usize {
        self.global_queue_depth()
    }

    /// The number of tasks spawned since the runtime was built.
    pub fn spawned_tasks_count(&self) -> u64 {
        self.handle.inner.spawned_tasks_count()
    }

    /// The number of tasks scheduled by threads other than the runtime's workers.
    pub fn remote_schedule_count(&self) -> u64 {
        self.handle.inner.scheduler_metrics().remote_schedule_count.load(Relaxed)
    }

    /// How often a task was made to yield because it had used its budget up; see
    /// [`task::coop`](crate::task::coop).
    pub fn budget_forced_yield_count(&self) -> u64 {
        self.handle.inner.scheduler_metrics().budget_forced_yield_count.load(Relaxed)
    }

    /// The number of tasks in the queue of worker `worker`, without the one that runs next because
    /// the running task woke it.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_local_queue_depth(&self, worker: usize) -> usize {
        self.handle.inner.worker_local_queue_depth(worker)
    }

    /// The thread that runs worker `worker`; `None` before it has started.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_thread_id(&self, worker: usize) -> Option<std::thread::ThreadId> {
        self.handle.inner.worker_metrics(worker).thread_id()
    }

    /// How often worker `worker` woke up and found nothing to do.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_noop_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.noop_count.load(Relaxed)
    }

    /// The number of tasks worker `worker` stole; 0 on a `current_thread` runtime.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_steal_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.steal_count.load(Relaxed)
    }

    /// How often worker `worker` stole, however many tasks that brought.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_steal_operations(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.steal_operations.load(Relaxed)
    }

    /// The number of polls worker `worker` made; those of tasks that were woken by a running task
    /// and ran right after it count as one with it.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_poll_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.poll_count.load(Relaxed)
    }

    /// The number of tasks worker `worker` scheduled on its own queue.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_local_schedule_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.local_schedule_count.load(Relaxed)
    }

    /// How often worker `worker` found its queue full; 0 on a `current_thread` runtime.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    pub fn worker_overflow_count(&self, worker: usize) -> u64 {
        let metrics = self.handle.inner.worker_metrics(worker);
        metrics.overflow_count.load(Relaxed)
    }

    /// Moving average of the time one poll takes on worker `worker`; kept by the
    /// multi-thread scheduler only.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers).
    #[track_caller]
    pub fn worker_mean_poll_time(&self, worker: usize) -> Duration {
        let metrics = self.handle.inner.worker_metrics(worker);
        Duration::from_nanos(metrics.mean_poll_time.load(Relaxed))
    }
}

/// How long polls take; see [`Builder::enable_metrics_poll_time_histogram`].
///
/// [`Builder::enable_metrics_poll_time_histogram`]:
///     crate::runtime::Builder::enable_metrics_poll_time_histogram
#[cfg(any(tokio_unstable, feature = "metrics"))]
#[cfg_attr(docsrs, doc(cfg(any(tokio_unstable, feature = "metrics"))))]
impl RuntimeMetrics {
    /// Whether the times of polls are counted.
    pub fn poll_time_histogram_enabled(&self) -> bool {
        self.poll_times(0).is_some()
    }

    /// The number of buckets the times of polls are counted in; 0 if they are not.
    pub fn poll_time_histogram_num_buckets(&self) -> usize {
        self.poll_times(0).map_or(0, Histogram::num_buckets)
    }

    /// The times that are counted in `bucket`; an empty range if they are not counted.
    #[track_caller]
    pub fn poll_time_histogram_bucket_range(&self, bucket: usize) -> Range<Duration> {
        self.poll_times(0).map_or_else(Range::default, |times| times.bucket_range(bucket))
    }

    /// How many polls of worker `worker` took as long as `bucket` says; 0 if they are not counted.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers) and, if they are
    /// counted, `bucket` is less than
    /// [`poll_time_histogram_num_buckets`](Self::poll_time_histogram_num_buckets).
    #[track_caller]
    pub fn poll_time_histogram_bucket_count(&self, worker: usize, bucket: usize) -> u64 {
        self.poll_times(worker).map_or(0, |times| times.get(bucket))
    }

    fn poll_times(&self, worker: usize) -> Option<&Histogram> {
        self.handle.inner.worker_metrics(worker).poll_times.as_ref()
    }

    /// Now called [`poll_time_histogram_enabled`](Self::poll_time_histogram_enabled).
    #[deprecated(note = "Renamed to `poll_time_histogram_enabled`")]
    #[doc(hidden)]
    pub fn poll_count_histogram_enabled(&self) -> bool {
        self.poll_time_histogram_enabled()
    }

    /// Now called [`poll_time_histogram_num_buckets`](Self::poll_time_histogram_num_buckets).
    #[deprecated(note = "renamed to `poll_time_histogram_num_buckets`.")]
    #[doc(hidden)]
    pub fn poll_count_histogram_num_buckets(&self) -> usize {
        self.poll_time_histogram_num_buckets()
    }

    /// Now called [`poll_time_histogram_bucket_range`](Self::poll_time_histogram_bucket_range).
    #[deprecated(note = "renamed to `poll_time_histogram_bucket_range`")]
    #[doc(hidden)]
    #[track_caller]
    pub fn poll_count_histogram_bucket_range(&self, bucket: usize) -> Range<Duration> {
        self.poll_time_histogram_bucket_range(bucket)
    }

    /// Now called [`poll_time_histogram_bucket_count`](Self::poll_time_histogram_bucket_count).
    #[deprecated(note = "use `poll_time_histogram_bucket_count` instead")]
    #[doc(hidden)]
    pub fn poll_count_histogram_bucket_count(&self, worker: usize, bucket: usize) -> u64 {
        self.poll_time_histogram_bucket_count(worker, bucket)
    }
}

/// How long tasks wait for a poll; see [`Builder::enable_metrics_schedule_latency_histogram`].
///
/// [`Builder::enable_metrics_schedule_latency_histogram`]:
///     crate::runtime::Builder::enable_metrics_schedule_latency_histogram
#[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
#[cfg_attr(docsrs, doc(cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))))]
impl RuntimeMetrics {
    /// Whether it is counted how long tasks wait.
    pub fn schedule_latency_histogram_enabled(&self) -> bool {
        self.schedule_latencies(0).is_some()
    }

    /// The number of buckets the waits are counted in; 0 if they are not.
    pub fn schedule_latency_histogram_num_buckets(&self) -> usize {
        self.schedule_latencies(0).map_or(0, Histogram::num_buckets)
    }

    /// The waits that are counted in `bucket`; an empty range if they are not counted.
    #[track_caller]
    pub fn schedule_latency_histogram_bucket_range(&self, bucket: usize) -> Range<Duration> {
        self.schedule_latencies(0).map_or_else(Range::default, |waits| waits.bucket_range(bucket))
    }

    /// How many tasks had waited as long as `bucket` says when worker `worker` polled them; 0 if
    /// they are not counted.
    ///
    /// # Panics
    ///
    /// Panics unless `worker` is less than [`num_workers`](Self::num_workers) and, if they are
    /// counted, `bucket` is less than
    /// [`schedule_latency_histogram_num_buckets`](Self::schedule_latency_histogram_num_buckets).
    #[track_caller]
    pub fn schedule_latency_histogram_bucket_count(&self, worker: usize, bucket: usize) -> u64 {
        self.schedule_latencies(worker).map_or(0, |waits| waits.get(bucket))
    }

    fn schedule_latencies(&self, worker: usize) -> Option<&Histogram> {
        self.handle.inner.worker_metrics(worker).schedule_latencies.as_ref()
    }
}

/// What the I/O driver did.
#[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "net"))]
#[cfg_attr(docsrs, doc(cfg(all(any(tokio_unstable, feature = "metrics"), feature = "net"))))]
impl RuntimeMetrics {
    /// The number of sockets and the like that were registered since the runtime was built. The
    /// ring need not have heard of one that never had to wait.
    pub fn io_driver_fd_registered_count(&self) -> u64 {
        self.handle.inner.driver().io_metrics().fd_registered_count()
    }

    /// The number of those that were closed or taken out again.
    pub fn io_driver_fd_deregistered_count(&self) -> u64 {
        self.handle.inner.driver().io_metrics().fd_deregistered_count()
    }

    /// The number of events that made them ready.
    pub fn io_driver_ready_count(&self) -> u64 {
        self.handle.inner.driver().io_metrics().ready_count()
    }
}
