use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters that any thread may raise.
#[derive(Debug, Default)]
pub(crate) struct SchedulerMetrics {
    /// Tasks scheduled from outside the runtime's workers.
    pub(super) remote_schedule_count: AtomicU64,
    /// Polls that used up the budget.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(super) budget_forced_yield_count: AtomicU64,
}

impl SchedulerMetrics {
    pub(crate) fn new() -> SchedulerMetrics {
        SchedulerMetrics::default()
    }

    /// A poll used up the budget.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(crate) fn inc_budget_forced_yield_count(&self) {
        self.budget_forced_yield_count.fetch_add(1, Relaxed);
    }

    /// A task was put on the global queue by a thread that is no worker.
    pub(crate) fn inc_remote_schedule_count(&self) {
        self.remote_schedule_count.fetch_add(1, Relaxed);
    }
}
