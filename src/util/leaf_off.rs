//! Nothing in place of `leaf.rs`, for builds without task dumps.

use std::task::{Context, Poll};

#[inline(always)]
pub(crate) fn trace_leaf(_cx: &mut Context<'_>) -> Poll<()> {
    Poll::Ready(())
}

#[inline(always)]
pub(crate) fn root<F>(future: F) -> F {
    future
}
