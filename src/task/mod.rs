//! TEMP
mod blocking;
mod local;
pub use crate::runtime::task::{AbortHandle, Id, JoinError, JoinHandle, id, try_id};
pub use blocking::{block_in_place, spawn_blocking};
pub use local::{LocalEnterGuard, LocalSet, spawn_local};
pub use crate::upstream::task::*;
use std::future::Future;
#[track_caller]
/// t
pub fn spawn<F>(future: F) -> JoinHandle<F::Output> where F: Future + Send + 'static, F::Output: Send + 'static {
    let id = Id::next();
    let at = crate::runtime::task::SpawnLocation::capture();
    match crate::runtime::context::with_current(|h| h.spawn(future, id, at)) { Ok(j) => j, Err(e) => panic!("{e}") }
}
/// y
pub async fn yield_now() {
    let mut done = false;
    std::future::poll_fn(|cx| { if done { return std::task::Poll::Ready(()) } done = true; crate::runtime::context::defer(cx.waker()); std::task::Poll::Pending }).await
}
