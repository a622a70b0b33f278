//! Where nobody can be told of a panic.

use std::any::Any;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Calls `f`, which runs code of the user, where nobody can be told of its panic.
///
/// The payload may be a type of the user, too, whose destructor panics again; such a one is
/// leaked.
pub(crate) fn swallow(f: impl FnOnce()) {
    if let Err(payload) = catch_unwind(AssertUnwindSafe(f)) {
        drop_payload(payload);
    }
}

#[cold]
fn drop_payload(payload: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        mem::forget(again);
    }
}

/// Wakes a task from a driver or a scheduler. A waker that panics is its owner's affair: the
/// thread goes on, and so do the wake-ups behind it.
pub(crate) fn wake(waker: Waker) {
    swallow(|| waker.wake());
}
