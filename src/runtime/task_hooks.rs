//! User callbacks around the life of a task.
//!
//! The builder stores them, the scheduler's handle owns one [`TaskHooks`], and the task core
//! calls them. All of them are unstable in Tokio, so on a stable build every slot is empty.

use crate::runtime::Config;
use crate::runtime::task::{Id, SpawnLocation};

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// A callback that is told which task it runs for.
pub(crate) type TaskCallback = Arc<dyn Fn(&TaskMeta<'_>) + Send + Sync>;

/// What a task callback learns about its task.
#[allow(missing_debug_implementations)] // Tokio's has none either
#[cfg_attr(not(tokio_unstable), allow(unreachable_pub))]
pub struct TaskMeta<'a> {
    /// The task's id.
    pub(crate) id: Id,
    /// Where the task was spawned.
    #[cfg_attr(not(tokio_unstable), allow(dead_code))]
    pub(crate) spawned_at: SpawnLocation,
    /// How long it waited for the poll.
    #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
    latency: Option<Duration>,
    /// The metadata is only lent to the callback.
    _phantom: PhantomData<&'a ()>,
}

// Named as Tokio names it: the interfaces are compared.
#[allow(clippy::needless_lifetimes)]
#[cfg_attr(not(tokio_unstable), allow(dead_code, unreachable_pub))]
impl<'a> TaskMeta<'a> {
    /// `latency` is for the hooks around a poll.
    #[allow(unused_variables)]
    pub(crate) fn new(id: Id, spawned_at: SpawnLocation, latency: Option<Duration>) -> Self {
        TaskMeta {
            id,
            spawned_at,
            #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
            latency,
            _phantom: PhantomData,
        }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.id
    }

    /// The line of code that spawned the task.
    #[cfg(tokio_unstable)]
    pub fn spawned_at(&self) -> &'static std::panic::Location<'static> {
        self.spawned_at.0
    }

    /// How long the task waited between being scheduled and the current poll; being woken again
    /// in between does not matter.
    ///
    /// Only in [`on_before_task_poll`] and [`on_after_task_poll`], which are told the same, and
    /// only if the runtime [tracks latencies]; else `None`.
    ///
    /// [`on_before_task_poll`]: crate::runtime::Builder::on_before_task_poll
    /// [`on_after_task_poll`]: crate::runtime::Builder::on_after_task_poll
    /// [tracks latencies]: crate::runtime::Builder::track_task_schedule_latency
    #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
    #[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "schedule-latency"))))]
    pub fn schedule_latency(&self) -> Option<Duration> {
        self.latency
    }
}

/// The callbacks of one runtime.
#[derive(Clone)]
pub(crate) struct TaskHooks {
    pub(crate) task_spawn_callback: Option<TaskCallback>,
    pub(crate) task_terminate_callback: Option<TaskCallback>,
    #[cfg(tokio_unstable)]
    pub(crate) before_poll_callback: Option<TaskCallback>,
    #[cfg(tokio_unstable)]
    pub(crate) after_poll_callback: Option<TaskCallback>,
}

impl TaskHooks {
    /// Takes the callbacks out of the builder's decisions.
    pub(crate) fn from_config(config: &Config) -> TaskHooks {
        TaskHooks {
            task_spawn_callback: config.before_spawn.clone(),
            task_terminate_callback: config.after_termination.clone(),
            #[cfg(tokio_unstable)]
            before_poll_callback: config.before_poll.clone(),
            #[cfg(tokio_unstable)]
            after_poll_callback: config.after_poll.clone(),
        }
    }

    /// A task is about to be handed to the scheduler.
    pub(crate) fn spawn(&self, meta: &TaskMeta<'_>) {
        call(&self.task_spawn_callback, meta);
    }

    /// A task is about to be polled.
    #[cfg(tokio_unstable)]
    pub(crate) fn poll_start_callback(&self, meta: &TaskMeta<'_>) {
        call(&self.before_poll_callback, meta);
    }

    /// A task was polled.
    #[cfg(tokio_unstable)]
    pub(crate) fn poll_stop_callback(&self, meta: &TaskMeta<'_>) {
        call(&self.after_poll_callback, meta);
    }
}

fn call(callback: &Option<TaskCallback>, meta: &TaskMeta<'_>) {
    if let Some(callback) = callback {
        callback(meta);
    }
}
