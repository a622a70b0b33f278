use crate::runtime::Handle;

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

/// Unstable in Tokio: only with `--cfg tokio_unstable`.
#[cfg(tokio_unstable)]
impl RuntimeMetrics {
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

    /// The number of polls worker `worker` made.
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
