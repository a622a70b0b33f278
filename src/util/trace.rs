//! What is known about a task when it is spawned.

use crate::runtime::task::SpawnLocation;

use std::marker::PhantomData;

/// Who spawns a task.
#[derive(Clone, Copy)]
pub(crate) struct SpawnMeta<'a> {
    /// The line of code that spawns the task.
    pub(crate) spawned_at: SpawnLocation,
    /// Size of the future or closure before it may have been boxed; for diagnostics.
    #[allow(dead_code)]
    pub(crate) original_size: usize,
    /// A task's name is only lent for the call.
    name: PhantomData<&'a str>,
}

impl<'a> SpawnMeta<'a> {
    /// Describes a task that may have a name. Nothing reports names yet.
    #[cfg(all(tokio_unstable, feature = "tracing"))]
    #[track_caller]
    pub(crate) fn new(_: Option<&'a str>, original_size: usize) -> Self {
        SpawnMeta::new_unnamed(original_size)
    }

    /// Describes a task without a name, spawned by the caller.
    #[track_caller]
    pub(crate) fn new_unnamed(original_size: usize) -> Self {
        SpawnMeta { spawned_at: SpawnLocation::capture(), original_size, name: PhantomData }
    }
}
