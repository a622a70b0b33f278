//! Nothing in place of `latency.rs`, for builds that cannot be asked for latencies.

use super::MetricsBatch;

use std::time::Duration;

pub(crate) struct LatencyClock;

pub(crate) struct ScheduledAt;

impl ScheduledAt {
    pub(crate) fn never() -> ScheduledAt {
        ScheduledAt
    }
}

impl LatencyClock {
    pub(crate) fn new(_enabled: bool) -> LatencyClock {
        LatencyClock
    }

    #[inline(always)]
    pub(crate) fn stamp<'a>(&self, _scheduled_at: impl FnOnce() -> &'a ScheduledAt) {}

    #[inline(always)]
    #[cfg_attr(not(any(tokio_unstable, feature = "metrics")), allow(dead_code))]
    pub(crate) fn record(&self, _scheduled_at: &ScheduledAt, _stats: &mut MetricsBatch) -> Option<Duration> {
        None
    }
}
