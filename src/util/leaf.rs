//! Where a task waits, as a task dump shows it: the leaf futures of this crate.
//!
//! In tracing mode a leaf future reports where it was polled from and gives up, `Pending`, with
//! its waker left to be woken. The mode is Tokio's own, so that the leaf futures re-exported from
//! there know it; and as Tokio does not let others report, one of its leaf futures does it for
//! ours. There are two versions of this file: in builds without task dumps, `leaf_off.rs` takes
//! its place and nothing is left of it.

use crate::upstream::dump::{Root, Trace, is_tracing};
use crate::upstream::task::yield_now;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll};

/// Ready, unless in tracing mode.
#[inline]
pub(crate) fn trace_leaf(cx: &mut Context<'_>) -> Poll<()> {
    if is_tracing() { report(cx) } else { Poll::Ready(()) }
}

#[cold]
fn report(cx: &mut Context<'_>) -> Poll<()> {
    // In tracing mode this is all it does. The waker is woken as `context::traced` says.
    pin!(yield_now()).poll(cx)
}

/// A task, as far as its dump is concerned.
pub(crate) type Rooted<F> = Root<F>;

/// Marks where the trace of a task ends.
pub(crate) fn root<F: Future>(future: F) -> Rooted<F> {
    Trace::root(future)
}
