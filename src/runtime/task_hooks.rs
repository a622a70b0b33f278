//! Functions of the user that are called at certain points in a task's life.
//!
//! The `Builder` methods that set them exist under `tokio_unstable` only; without it all of
//! them are `None`, and tasks have no room for theirs.

use super::Config;
use super::task::{Id, SpawnLocation};

use std::marker::PhantomData;
use std::sync::Arc;

/// What hooks are told about a task.
///
/// This is an unstable API: only with `--cfg tokio_unstable`, and it may change.
#[allow(missing_debug_implementations)]
#[cfg_attr(not(tokio_unstable), allow(unreachable_pub))]
pub struct TaskMeta<'a> {
    pub(crate) id: Id,
    #[cfg_attr(not(tokio_unstable), allow(dead_code))]
    pub(crate) spawned_at: SpawnLocation,
    #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
    pub(crate) schedule_latency: Option<std::time::Duration>,
    /// Room for things that borrow from the task.
    pub(crate) _phantom: PhantomData<&'a ()>,
}

impl TaskMeta<'_> {
    /// The id of the task.
    #[cfg_attr(not(tokio_unstable), allow(unreachable_pub, dead_code))]
    pub fn id(&self) -> Id {
        self.id
    }

    /// Where the task was spawned.
    #[cfg(tokio_unstable)]
    pub fn spawned_at(&self) -> &'static std::panic::Location<'static> {
        self.spawned_at.0
    }

    /// How long the task waited from being scheduled to this poll, if that is measured;
    /// `None` in the hooks for spawning and termination.
    #[cfg(all(tokio_unstable, feature = "schedule-latency"))]
    #[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "schedule-latency"))))]
    pub fn schedule_latency(&self) -> Option<std::time::Duration> {
        self.schedule_latency
    }
}

/// A hook.
pub(crate) type TaskCallback = Arc<dyn Fn(&TaskMeta<'_>) + Send + Sync>;

/// All hooks of a runtime.
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

    /// Called by the thread that spawns, before the task can run.
    pub(crate) fn spawn(&self, meta: &TaskMeta<'_>) {
        if let Some(hook) = &self.task_spawn_callback {
            hook(meta);
        }
    }

    #[cfg(tokio_unstable)]
    #[inline]
    pub(crate) fn poll_start_callback(&self, meta: &TaskMeta<'_>) {
        if let Some(hook) = &self.before_poll_callback {
            hook(meta);
        }
    }

    #[cfg(tokio_unstable)]
    #[inline]
    pub(crate) fn poll_stop_callback(&self, meta: &TaskMeta<'_>) {
        if let Some(hook) = &self.after_poll_callback {
            hook(meta);
        }
    }
}
