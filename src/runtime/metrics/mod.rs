//! Counters of a runtime, and the public view of them.
//!
//! A worker counts in a [`MetricsBatch`] of its own, plain integers without any atomic, and
//! publishes the totals to its [`WorkerMetrics`] when it parks or turns its driver. So the
//! counters lag by at most one batch, and reading them never disturbs a worker.
//! [`SchedulerMetrics`] holds what any thread may count. [`RuntimeMetrics`] reads all of them.
//!
//! What Tokio has under `--cfg tokio_unstable` only is here with the feature `metrics`, too: one gate
//! for both, `any(tokio_unstable, feature = "metrics")`. What costs nothing to count is always
//! counted, for [`Handle::stats`](crate::runtime::Handle::stats).

mod runtime;
pub use runtime::RuntimeMetrics;

mod batch;
pub(crate) use batch::MetricsBatch;

#[cfg(any(tokio_unstable, feature = "metrics", test))]
#[cfg_attr(not(any(tokio_unstable, feature = "metrics")), allow(dead_code, unreachable_pub, unused_imports))]
mod histogram;
cfg_metrics! {
    pub(crate) use histogram::{Histogram, HistogramBatch, HistogramBuilder};
    pub use histogram::{
        HistogramConfiguration, HistogramScale, InvalidHistogramConfiguration, LogHistogram, LogHistogramBuilder,
    };
}

#[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
mod latency;
#[cfg(not(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency")))]
#[path = "latency_off.rs"]
mod latency;
pub(crate) use latency::{LatencyClock, ScheduledAt};

mod scheduler;
pub(crate) use scheduler::SchedulerMetrics;

mod worker;
pub(crate) use worker::WorkerMetrics;
