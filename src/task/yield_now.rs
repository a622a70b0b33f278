//! Giving way to other tasks.

use crate::runtime::context;
use crate::util::leaf;

use std::future::poll_fn;
use std::task::{Poll, ready};

/// Lets other tasks run before the current one goes on.
///
/// The task is queued again behind those that are ready, and the runtime looks after its I/O
/// and timers in between.
///
/// Two things are not promised. Combinators between this and the task may keep it from
/// yielding: a branch of `select!` that is ready ends the `select!` at once. And the order in
/// which the runtime polls tasks is its own affair: it may come back to this task first.
///
/// ```
/// use tokio::task;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let task = task::spawn(async { println!("first") });
/// task::yield_now().await;
/// println!("second");
/// # task.await.unwrap();
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        ready!(leaf::trace_leaf(cx));
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        // Not woken right here: the task would go to the end of the queue, and if that is
        // short it would run again before the driver was looked at. The scheduler wakes it
        // when it has done so.
        context::defer(cx.waker());
        Poll::Pending
    })
    .await;
}
