//! Nothing is told.

use super::{Func, SpawnMeta};
use crate::runtime::task::{Id, SpawnLocation};

use std::task::Poll;

/// A future as a task has it.
pub(crate) type Traced<F> = F;

#[inline(always)]
pub(crate) fn task<F>(future: F, _: &'static str, meta: SpawnMeta<'_>, _: u64) -> (Traced<F>, SpawnLocation) {
    (future, meta.spawned_at)
}

#[inline(always)]
pub(crate) fn block_on<F>(future: F, meta: SpawnMeta<'_>, _: fn() -> Id) -> (Traced<F>, SpawnLocation) {
    (future, meta.spawned_at)
}

#[inline(always)]
pub(crate) fn blocking_task<F>(
    future: F,
    _: Func,
    meta: SpawnMeta<'_>,
    _: u64,
) -> (Traced<F>, SpawnLocation) {
    (future, meta.spawned_at)
}

#[inline(always)]
pub(crate) fn waker_op(_: SpawnLocation, _: &'static str) {}

/// Runs `f`, which enters a runtime that is not to be told of.
#[inline(always)]
pub(crate) fn enter_untold<R>(f: impl FnOnce(Untold) -> R) -> R {
    f(Untold)
}

/// Until this ends nothing is told.
pub(crate) struct Untold;

impl Untold {
    #[inline(always)]
    pub(crate) fn end(self) {}
}

/// The spans of a timer.
#[derive(Debug)]
pub(crate) struct SleepSpans;

/// While this lives, the spans are entered.
pub(crate) struct Entered;

impl SleepSpans {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        SleepSpans
    }

    #[inline(always)]
    pub(crate) fn enter(&self) -> Entered {
        Entered
    }

    #[inline(always)]
    pub(crate) fn reset(&mut self, _: impl FnOnce() -> u64) {}
}

#[inline(always)]
pub(crate) fn timer_set(_: impl FnOnce() -> u64) {}

#[inline(always)]
pub(crate) fn poll_op<T>(_: &'static str, poll: Poll<T>) -> Poll<T> {
    poll
}

/// The span of an `Interval`.
#[derive(Clone, Debug)]
pub(crate) struct IntervalSpan;

impl IntervalSpan {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        IntervalSpan
    }

    #[inline(always)]
    pub(crate) fn tick<F>(&self, future: F) -> F {
        future
    }
}
