//! Blocking a thread on a future, where that is allowed.

use super::{CONTEXT, Entered};
use crate::runtime::context::budget;
use crate::runtime::park::CachedParkThread;

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::task::{Context, Poll};

/// Shows that the caller may block this thread.
#[must_use]
pub(crate) struct BlockingRegionGuard {
    _not_send: PhantomData<*mut ()>,
}

/// `None` if this thread drives a runtime. Permissive while its locals are being destroyed,
/// when nobody can tell.
pub(crate) fn try_enter_blocking_region() -> Option<BlockingRegionGuard> {
    match CONTEXT.try_with(|cx| cx.entered.get()) {
        Ok(Entered::Yes { .. }) => None,
        Ok(Entered::Not) | Err(_) => Some(BlockingRegionGuard::new()),
    }
}

/// Takes the permission for `block_in_place` away until it is dropped.
pub(crate) struct DisallowBlockInPlaceGuard(bool);

/// Makes `block_in_place` panic until the guard is dropped.
pub(crate) fn disallow_block_in_place() -> DisallowBlockInPlaceGuard {
    DisallowBlockInPlaceGuard(flip(true))
}

impl Drop for DisallowBlockInPlaceGuard {
    fn drop(&mut self) {
        if self.0 {
            flip(false);
        }
    }
}

/// Turns `allow_block_in_place: from` into its opposite; tells whether it did.
fn flip(from: bool) -> bool {
    CONTEXT
        .try_with(|cx| match cx.entered.get() {
            Entered::Yes { allow_block_in_place } if allow_block_in_place == from => {
                cx.entered.set(Entered::Yes { allow_block_in_place: !from });
                true
            }
            _ => false,
        })
        .unwrap_or(false)
}

impl BlockingRegionGuard {
    pub(super) fn new() -> BlockingRegionGuard {
        BlockingRegionGuard { _not_send: PhantomData }
    }

    /// Blocks the thread until `future` is done.
    pub(crate) fn block_on<F: Future>(&mut self, future: F) -> F::Output {
        let mut future = pin!(future);
        CachedParkThread::with(|park| {
            let mut cx = Context::from_waker(park.waker());
            loop {
                if let Poll::Ready(output) = budget(|| future.as_mut().poll(&mut cx)) {
                    return output;
                }
                super::see_to_host_of_sleeper();
                park.park();
            }
        })
    }
}
