//! Counters of a runtime, and the public view of them.
//!
//! A worker counts in a [`MetricsBatch`] of its own, plain integers without any atomic, and
//! publishes the totals to its [`WorkerMetrics`] when it parks or turns its driver. So the
//! counters lag by at most one batch, and reading them never disturbs a worker.
//! [`SchedulerMetrics`] holds what any thread may count. [`RuntimeMetrics`] reads all of them.

mod runtime;
pub use runtime::RuntimeMetrics;

mod batch;
pub(crate) use batch::MetricsBatch;

mod scheduler;
pub(crate) use scheduler::SchedulerMetrics;

mod worker;
pub(crate) use worker::WorkerMetrics;
