#[cfg(tokio_unstable)]
use crate::runtime::context;
#[cfg(tokio_unstable)]
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

    /// Tasks to run between two turns of the driver.
    pub(crate) event_interval: u32,

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
    #[cfg(tokio_unstable)]
    pub(crate) host: Option<context::Host>,

    /// What to count the times of polls in.
    #[cfg(tokio_unstable)]
    pub(crate) poll_times: Option<HistogramBuilder>,

    /// Whether to measure how long tasks wait for a poll.
    #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
    pub(crate) track_latency: bool,

    /// What to count that in.
    #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
    pub(crate) schedule_latencies: Option<HistogramBuilder>,
}

impl Config {
    /// Whether to measure how long tasks wait for a poll.
    pub(crate) fn track_latency(&self) -> bool {
        #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
        return self.track_latency;
        #[cfg(not(all(tokio_unstable, feature = "schedule-latency")))]
        false
    }
}
