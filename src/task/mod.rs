//! Tasks: futures that the runtime drives on its own.
//!
//! A task costs one allocation and no thread; a program may have millions. The runtime polls
//! it when something it waits for has happened, and then until its next `.await` that has to
//! wait. Nothing takes a thread away from a task: one that computes for long or blocks keeps
//! the others of its thread waiting.
//!
//! # Spawning and awaiting
//!
//! [`spawn`] starts a future and returns a [`JoinHandle`], with which to await its output.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let sum = tokio::task::spawn(async { (1..=10).sum::<u32>() });
//! assert_eq!(sum.await.unwrap(), 55);
//! # }
//! ```
//!
//! The future may move to another thread between two polls, so it must be `Send`; futures
//! that are not run in a [`LocalSet`] or a [`LocalRuntime`](crate::runtime::LocalRuntime). A
//! [`JoinSet`] awaits many tasks in the order they end.
//!
//! A panic ends the task, not the runtime; whoever awaits the task gets a [`JoinError`].
//!
//! # Cancellation
//!
//! [`JoinHandle::abort`], [`AbortHandle::abort`] and [`JoinSet::abort_all`] ask for a task to
//! be cancelled: its future is dropped at its next `.await`, destructors run, and awaiting it
//! gives a `JoinError` that [`is_cancelled`](JoinError::is_cancelled). A task that ends before
//! that ends as usual. Dropping a `JoinHandle` cancels nothing, dropping a `JoinSet` cancels
//! all its tasks, and so does dropping the runtime.
//!
//! # Code that blocks
//!
//! [`spawn_blocking`] moves a closure to a pool of threads for that purpose.
//! [`block_in_place`] blocks the current thread, once its other tasks have been handed over.
//!
//! # Giving way
//!
//! [`yield_now`] lets other tasks run. A task that always finds its resources ready gives way
//! by itself from time to time: see [`coop`].
#![cfg_attr(not(feature = "rt-multi-thread"), allow(rustdoc::broken_intra_doc_links))]

cfg_rt! {
    #[doc(inline)]
    pub use crate::runtime::task::{AbortHandle, Id, JoinError, JoinHandle, id, try_id};

    mod blocking;
    pub use blocking::spawn_blocking;

    mod spawn;
    pub use spawn::spawn;

    mod yield_now;
    pub use yield_now::yield_now;

    #[doc(inline)]
    pub use crate::upstream::task::coop;

    mod local;
    pub use local::{LocalEnterGuard, LocalSet, spawn_local};

    #[doc(inline)]
    pub use crate::upstream::task::{LocalKey, futures};

    #[doc(inline)]
    pub use join_set::JoinSet;

    // Where these were before `coop` became a module of its own.
    #[doc(hidden)]
    #[allow(deprecated)]
    pub use crate::upstream::task::{Unconstrained, consume_budget, unconstrained};
}

cfg_rt_multi_thread! {
    pub use blocking::block_in_place;
}

#[cfg(all(feature = "rt", not(tokio_unstable)))]
mod join_set;
#[cfg(all(feature = "rt", tokio_unstable))]
pub mod join_set;

#[cfg(all(feature = "rt", feature = "tracing", tokio_unstable))]
mod builder;
#[cfg(all(feature = "rt", feature = "tracing", tokio_unstable))]
#[cfg_attr(docsrs, doc(cfg(all(tokio_unstable, feature = "tracing"))))]
pub use builder::Builder;
