//! What Tokio tells `tracing`, and tokio-console shows: spans of tasks and timers.
//!
//! As in Tokio that takes the feature `tracing` and `--cfg tokio_unstable`, and has Tokio's
//! names, targets and fields: a task is a span `runtime.spawn` that is entered for each poll, its
//! wakers' doings are events that name the span, a timer is a span `runtime.resource` with an
//! operation and its polls below it. Otherwise everything here comes to nothing.

use crate::runtime::task::SpawnLocation;

use std::marker::PhantomData;

#[cfg(all(tokio_unstable, feature = "tracing"))]
mod on;
#[cfg(all(tokio_unstable, feature = "tracing"))]
pub(crate) use on::*;

#[cfg(not(all(tokio_unstable, feature = "tracing")))]
mod off;
#[cfg(not(all(tokio_unstable, feature = "tracing")))]
pub(crate) use off::*;

/// The type of a function that may block.
#[derive(Clone, Copy)]
#[allow(dead_code)] // nobody is told without `tracing`
pub(crate) struct Func {
    size: usize,
    name: fn() -> &'static str,
}

impl Func {
    pub(crate) fn of<F>() -> Func {
        Func { size: size_of::<F>(), name: std::any::type_name::<F> }
    }
}

/// Who spawns a task.
#[derive(Clone, Copy)]
pub(crate) struct SpawnMeta<'a> {
    /// The line of code that spawns the task.
    pub(crate) spawned_at: SpawnLocation,
    /// Size of the future or closure before it may have been boxed.
    #[allow(dead_code)]
    pub(crate) original_size: usize,
    #[cfg(all(tokio_unstable, feature = "tracing"))]
    pub(crate) name: Option<&'a str>,
    /// A task's name is only lent for the call.
    lent: PhantomData<&'a str>,
}

impl<'a> SpawnMeta<'a> {
    /// Describes a task that may have a name.
    #[cfg(all(tokio_unstable, feature = "tracing"))]
    #[track_caller]
    pub(crate) fn new(name: Option<&'a str>, original_size: usize) -> Self {
        SpawnMeta { name, ..SpawnMeta::new_unnamed(original_size) }
    }

    /// Describes a task without a name, spawned by the caller.
    #[track_caller]
    pub(crate) fn new_unnamed(original_size: usize) -> Self {
        SpawnMeta {
            spawned_at: SpawnLocation::capture(),
            original_size,
            #[cfg(all(tokio_unstable, feature = "tracing"))]
            name: None,
            lent: PhantomData,
        }
    }
}
