//! Ways to run code that blocks its thread.

use crate::runtime::task::JoinHandle;

/// Runs a function that blocks on the current thread, after the worker has handed its other tasks
/// to another one.
///
/// Only the calling task stands still meanwhile, with everything that shares it (as in `join!`).
/// The function cannot be cancelled; a shutdown of the runtime waits for it. Inside it,
/// [`Handle::block_on`] may be used.
///
/// Outside of a runtime this just calls the function.
///
/// # Panics
///
/// On a `current_thread` runtime and in a [`LocalSet`](crate::task::LocalSet), where nobody could
/// take over the other tasks.
///
/// [`Handle::block_on`]: crate::runtime::Handle::block_on
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// let sum = tokio::task::block_in_place(|| (1..=100u32).sum::<u32>());
/// assert_eq!(sum, 5050);
/// # }
/// ```
#[cfg(feature = "rt-multi-thread")]
#[cfg_attr(docsrs, doc(cfg(feature = "rt-multi-thread")))]
#[track_caller]
pub fn block_in_place<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    crate::runtime::scheduler::block_in_place(f)
}

/// Runs a function that blocks, or computes for long, on a thread kept for that purpose.
///
/// The runtime starts such threads as they are needed, up to
/// [`max_blocking_threads`](crate::runtime::Builder::max_blocking_threads) (512 by default); at the
/// limit, functions wait in a queue. A function that never ends occupies its thread for good:
/// use [`std::thread::spawn`] for those.
///
/// Once it runs, the function cannot be cancelled: [`abort`](crate::task::JoinHandle::abort) has an
/// effect only before. A shutdown of the runtime waits for running functions, unless
/// [`shutdown_timeout`](crate::runtime::Runtime::shutdown_timeout) is used, and may cancel those
/// still in the queue.
///
/// # Panics
///
/// Outside of a runtime, and if there is no thread and the system refuses to start one.
///
/// ```
/// # #[tokio::main]
/// # async fn main() {
/// let text = tokio::task::spawn_blocking(|| std::fs::read_to_string("/proc/self/comm"))
///     .await
///     .unwrap()
///     .unwrap();
/// assert!(text.ends_with('\n'));
/// # }
/// ```
#[track_caller]
pub fn spawn_blocking<F, R>(f: F) -> JoinHandle<R>
where
    F: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    crate::runtime::spawn_blocking(f)
}
