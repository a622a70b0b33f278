use crate::runtime::context;
#[cfg(any(tokio_unstable, feature = "metrics"))]
use crate::runtime::metrics::HistogramBuilder;
use crate::runtime::{Callback, TaskCallback};

/// What [`Builder`](crate::runtime::Builder) decided for a scheduler.
///
/// Both flavours receive one; it does not change after the runtime was built.
pub(crate) struct Config {
    /// Name of the runtime, for [`Handle::name`](crate::runtime::Handle::name).
    pub(crate) name: Option<String>,

    /// The processors that the workers are tied to, in turn; none: they run where they like.
    pub(crate) worker_cpus: Vec<usize>,

    /// Tasks to run between two looks into the global queue; `None` leaves it to the scheduler.
    pub(crate) global_queue_interval: Option<u32>,

    /// Tasks to run between two turns of the driver; `None`: see
    /// [`tasks_until_turn`](Config::tasks_until_turn).
    pub(crate) event_interval: Option<u32>,

    /// Runs on a worker that is about to sleep.
    pub(crate) before_park: Option<Callback>,

    /// Runs on a worker that woke up.
    pub(crate) after_unpark: Option<Callback>,

    /// Runs before a task is handed to the scheduler.
    pub(crate) before_spawn: Option<TaskCallback>,

    /// Runs after a task has ended, however it ended.
    pub(crate) after_termination: Option<TaskCallback>,

    /// Runs before each poll of a task.
    #[cfg(tokio_unstable)]
    pub(crate) before_poll: Option<TaskCallback>,

    /// Runs after each poll of a task.
    #[cfg(tokio_unstable)]
    pub(crate) after_poll: Option<TaskCallback>,

    /// Whether a task woken by the running task goes to the queue instead of the LIFO slot.
    pub(crate) disable_lifo_slot: bool,

    /// What a panic in a spawned task does to the runtime.
    #[cfg(tokio_unstable)]
    pub(crate) unhandled_panic: crate::runtime::UnhandledPanic,

    /// What hosts this runtime's threads, if it needs one of its own.
    pub(crate) host: Option<context::Host>,

    /// What to count the times of polls in.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(crate) poll_times: Option<HistogramBuilder>,

    /// Whether to measure how long tasks wait for a poll.
    #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
    pub(crate) track_latency: bool,

    /// What to count that in.
    #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
    pub(crate) schedule_latencies: Option<HistogramBuilder>,
}

/// Tasks to run between two turns of the driver, unless the builder says otherwise. Prime, so that it
/// does not beat in time with a program's own rhythm.
const EVENT_INTERVAL: u32 = 61;

impl Config {
    /// Tasks to run before the next turn of the driver, with so many `ready` after the last.
    ///
    /// They all run first, within bounds. A turn of a ring brings the results of what its tasks have
    /// asked for on top of up to 40 other events (Linux 6.14 and later): turns in between would bring more
    /// than runs, and what is received would pile up until all buffers are away.
    pub(crate) fn tasks_until_turn(&self, ready: usize) -> u32 {
        self.event_interval.unwrap_or_else(|| stretched(ready))
    }

    /// Whether to measure how long tasks wait for a poll.
    pub(crate) fn track_latency(&self) -> bool {
        #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
        return self.track_latency;
        #[cfg(not(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency")))]
        false
    }
}

/// The default interval, stretched for so many tasks.
fn stretched(ready: usize) -> u32 {
    u32::try_from(ready).unwrap_or(u32::MAX).clamp(EVENT_INTERVAL, 2 * EVENT_INTERVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_turn_has_woken_runs_before_the_next_within_bounds() {
        assert_eq!(stretched(0), 61);
        assert_eq!(stretched(80), 80);
        assert_eq!(stretched(usize::MAX), 122);
    }
}
