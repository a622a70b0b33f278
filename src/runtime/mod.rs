//! The runtime: a scheduler for tasks, drivers for I/O and time, threads for blocking work.
//!
//! Most programs never name a type of this module: `#[tokio::main]` builds a [`Runtime`] and
//! runs `main` in it. Build one by hand with a [`Builder`] for other settings, or to run
//! asynchronous code inside a synchronous program:
//!
//! ```
//! use tokio::runtime::Builder;
//!
//! let rt = Builder::new_current_thread().enable_all().build().unwrap();
//! let sum = rt.block_on(async {
//!     let a = tokio::spawn(async { 1 });
//!     let b = tokio::spawn(async { 2 });
//!     a.await.unwrap() + b.await.unwrap()
//! });
//! assert_eq!(sum, 3);
//! ```
//!
//! # Which runtime
//!
//! - **Multi-thread** ([`Builder::new_multi_thread`], feature `rt-multi-thread`): a fixed
//!   number of workers that steal tasks from each other. It always runs.
//! - **Current-thread** ([`Builder::new_current_thread`]): tasks run on the thread that is in
//!   [`Runtime::block_on`], and pause between two such calls. [`Handle::block_on`] does not
//!   drive it.
//! - **Local** ([`LocalRuntime`]): a current-thread runtime that never leaves its thread, so
//!   its tasks need not be `Send`.
//!
//! A runtime built by hand has no driver unless told to: see [`Builder::enable_all`].
//!
//! # How tasks are scheduled
//!
//! A worker is a thread with a queue of ready tasks, a ring and a timer wheel: a shard. It
//! runs its tasks first in, first out, except that a task woken by the running one may run
//! next, at most three times in a row. Every [`event_interval`](Builder::event_interval)
//! tasks, and when it has none, it turns its driver once: one system call submits what has
//! gathered and takes what has completed. With nothing left to do it looks into the global
//! queue, then steals half the queue of a sibling, then sleeps in that same call until the
//! next timer. A wake-up from elsewhere puts the task into a queue first and then rings the
//! worker's bell, if it sleeps.
//!
//! As on Tokio, a set of tasks that does not grow without bound, none of which blocks its
//! thread, is scheduled fairly: whatever is woken runs in bounded time. A worker whose task
//! does block is served by its siblings, so sockets and timers of other tasks go on.
//!
//! # Processes that fork
//!
//! After `fork` without `exec` the child must not use a runtime of its parent: the ring is
//! shared with it. Starting processes through [`std::process::Command`] is fine.

pub(crate) mod context;

pub(crate) mod park;

pub(crate) mod scheduler;

pub(crate) mod task;

mod blocking;
#[cfg(all(tokio_unstable, feature = "tracing"))]
pub(crate) use blocking::Mandatory;
pub(crate) use blocking::spawn_blocking;
#[cfg(any(feature = "fs", feature = "io-std"))]
pub(crate) use blocking::spawn_mandatory_blocking;

mod builder;
pub use builder::Builder;
#[cfg(tokio_unstable)]
pub use builder::UnhandledPanic;

pub use crate::driver::choice::{Backend, BackendKind};

mod config;
pub(crate) use config::Config;

#[cfg(all(tokio_unstable, feature = "taskdump"))]
#[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "taskdump"))))]
pub mod dump;
#[cfg(all(tokio_unstable, feature = "taskdump"))]
pub use dump::Dump;

mod handle;
pub use handle::{EnterGuard, Handle, TryCurrentError};

mod home;
pub(crate) use home::{Home, ThreadBound};

mod id;
pub use id::Id;

mod local_runtime;
pub use local_runtime::{LocalOptions, LocalRuntime};

pub(crate) mod mailroom;

pub(crate) mod metrics;
pub use metrics::RuntimeMetrics;
cfg_metrics! {
    pub use metrics::{
        HistogramConfiguration, HistogramScale, InvalidHistogramConfiguration, LogHistogram, LogHistogramBuilder,
    };
}
pub(crate) use metrics::{LatencyClock, MetricsBatch, ScheduledAt, SchedulerMetrics, WorkerMetrics};

#[allow(clippy::module_inception)] // the public type is `runtime::Runtime`
mod runtime;
pub use runtime::{Runtime, RuntimeFlavor, is_rt_shutdown_err};

mod task_hooks;
#[cfg(tokio_unstable)]
pub use task_hooks::TaskMeta;
#[cfg(not(tokio_unstable))]
pub(crate) use task_hooks::TaskMeta;
pub(crate) use task_hooks::{TaskCallback, TaskHooks};

#[cfg(tokio_unstable)]
pub use crate::upstream::runtime::RngSeed;

mod thread_id;
pub(crate) use thread_id::ThreadId;

use std::marker::PhantomData;
use std::sync::Arc;

/// A callback around the life of a thread.
pub(crate) type Callback = Arc<dyn Fn() + Send + Sync>;

/// Futures and closures above this size are moved to the heap before they become a task, so
/// that they are not copied from stack frame to stack frame. Unoptimized code copies more.
pub(crate) const BOX_FUTURE_THRESHOLD: usize = if cfg!(debug_assertions) { 2048 } else { 16384 };

/// Decides at compile time whether a `T` is boxed before it becomes a task, so that only the
/// branch that is taken is compiled for each `T`.
pub(crate) struct AutoBox<T>(PhantomData<T>);

impl<T> AutoBox<T> {
    pub(crate) const SHOULD_BOX: bool = size_of::<T>() > BOX_FUTURE_THRESHOLD;
}

/// The index of the worker this code runs on, as [`RuntimeMetrics`] counts them.
///
/// `None` on a thread that is no worker: outside of a runtime, on a thread for blocking work,
/// and inside `block_on` of a multi-thread runtime. On a current-thread runtime it is
/// `Some(0)` on the thread that drives the runtime, `None` on others in `block_on`.
///
/// A task may be on another worker after each `.await`.
///
/// ```
/// use tokio::runtime::{Runtime, worker_index};
///
/// let rt = Runtime::new().unwrap();
/// let index = rt.block_on(async { tokio::spawn(async { worker_index() }).await.unwrap() });
/// assert!(index.unwrap() < rt.metrics().num_workers());
/// assert_eq!(worker_index(), None);
/// ```
pub fn worker_index() -> Option<usize> {
    context::worker_index()
}
