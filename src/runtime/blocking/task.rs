//! A closure in the shape of a future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that runs a closure to its end when it is first polled.
///
/// It is polled on a thread of the pool, outside of any scheduler, where no cooperative budget is
/// in force: the closure may itself run a worker or a `block_on`.
pub(crate) struct BlockingTask<T> {
    func: Option<T>,
}

impl<T> BlockingTask<T> {
    pub(crate) fn new(func: T) -> BlockingTask<T> {
        BlockingTask { func: Some(func) }
    }
}

// The closure is moved out before it is called and never pinned.
impl<T> Unpin for BlockingTask<T> {}

impl<T, R> Future for BlockingTask<T>
where
    T: FnOnce() -> R + Send + 'static,
    R: Send + 'static,
{
    type Output = R;

    fn poll(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<R> {
        let func = self.func.take().expect("[internal exception] blocking task ran twice.");
        Poll::Ready(func())
    }
}
