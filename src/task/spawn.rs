//! Starting a task on the current runtime.

use crate::runtime::task::Id;
use crate::runtime::{AutoBox, context};
use crate::task::JoinHandle;
use crate::util::leaf;
use crate::util::trace::{self, SpawnMeta};

use std::future::Future;

/// Starts a future as a task of the current runtime.
///
/// The task runs on its own: the returned [`JoinHandle`] need not be awaited, and dropping it
/// leaves the task running. It is never polled within this call, so a lock may be held here
/// that the task takes.
///
/// There is no promise that it runs to its end: when the runtime goes, its tasks are dropped
/// wherever they are. On a runtime that is already shut down the task is cancelled without
/// being polled.
///
/// What the future holds across an `.await` must be `Send`. Values that are not can be used in
/// between:
///
/// ```
/// use std::rc::Rc;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let task = tokio::spawn(async {
///     let six = {
///         let rc = Rc::new(6);
///         *rc
///     };
///     tokio::task::yield_now().await;
///     six * 7
/// });
/// assert_eq!(task.await.unwrap(), 42);
/// # }
/// ```
///
/// # Panics
///
/// Outside of a runtime. [`Handle::spawn`](crate::runtime::Handle::spawn) and
/// [`Runtime::enter`](crate::runtime::Runtime::enter) work anywhere.
#[track_caller]
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let meta = SpawnMeta::new_unnamed(size_of::<F>());
    if AutoBox::<F>::SHOULD_BOX {
        spawn_inner(Box::pin(future), meta)
    } else {
        spawn_inner(future, meta)
    }
}

#[track_caller]
pub(super) fn spawn_inner<F>(future: F, meta: SpawnMeta<'_>) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let id = Id::next();
    let (future, spawned_at) = trace::task(leaf::root(future), "task", meta, id.as_u64());
    match context::with_current(|handle| handle.spawn(future, id, spawned_at)) {
        Ok(join) => join,
        Err(error) => panic!("{error}"),
    }
}
