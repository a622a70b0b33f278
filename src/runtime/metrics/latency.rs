//! How long a task waits between being scheduled and being polled.
//!
//! Whoever queues a task stamps it; whoever polls it looks at the stamp. Both hold the task's
//! only `Notified`, so no two of them meet. There are two versions of this file: in builds that
//! cannot be asked for latencies, `latency_off.rs` takes its place and nothing is left of it.

use super::MetricsBatch;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The clock of one scheduler, if its builder wants latencies tracked.
pub(crate) struct LatencyClock {
    start: Option<Instant>,
}

/// When a task was scheduled: nanoseconds by the clock of its scheduler, 0 for never. A place in
/// every task, so no larger than needed.
pub(crate) struct ScheduledAt(AtomicU64);

impl ScheduledAt {
    pub(crate) fn never() -> ScheduledAt {
        ScheduledAt(AtomicU64::new(0))
    }
}

impl LatencyClock {
    pub(crate) fn new(enabled: bool) -> LatencyClock {
        LatencyClock { start: enabled.then(Instant::now) }
    }

    /// Notes that a task is being scheduled.
    pub(crate) fn stamp<'a>(&self, scheduled_at: impl FnOnce() -> &'a ScheduledAt) {
        if let Some(start) = self.start {
            scheduled_at().0.store(nanoseconds(start).max(1), Relaxed);
        }
    }

    /// How long the task that is about to be polled has waited; counted in `stats`.
    pub(crate) fn record(&self, scheduled_at: &ScheduledAt, stats: &mut MetricsBatch) -> Option<Duration> {
        let start = self.start?;
        let since = match scheduled_at.0.load(Relaxed) {
            0 => return None,
            since => since,
        };
        let latency = Duration::from_nanos(nanoseconds(start).saturating_sub(since));
        stats.record_latency(latency);
        Some(latency)
    }
}

fn nanoseconds(start: Instant) -> u64 {
    super::batch::duration_as_u64(start.elapsed())
}
