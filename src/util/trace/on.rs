//! Everything is told to the subscriber, if there is one.

use super::{Func, SpawnMeta};
use crate::runtime::task::{Id, SpawnLocation};

use pin_project_lite::pin_project;
use std::future::Future;
use std::num::NonZeroU64;
use std::panic::Location;
use std::pin::Pin;
use std::task::{Context, Poll};
use tracing::instrument::{Instrument, Instrumented};
use tracing::subscriber::{DefaultGuard, NoSubscriber};
use tracing::{Span, trace, trace_span};

/// A future as a task has it.
pub(crate) type Traced<F> = Instrumented<F>;

/// Puts the future of a task into a span.
#[inline]
pub(crate) fn task<F>(
    future: F,
    kind: &'static str,
    meta: SpawnMeta<'_>,
    id: u64,
) -> (Traced<F>, SpawnLocation) {
    /// Not generic: its code is there once.
    fn span(kind: &'static str, meta: SpawnMeta<'_>, id: u64, size: usize) -> Span {
        let place = meta.spawned_at.0;
        trace_span!(
            target: "tokio::task",
            parent: None,
            "runtime.spawn",
            %kind,
            task.name = %meta.name.unwrap_or_default(),
            task.id = id,
            original_size.bytes = original_size(meta, size),
            size.bytes = size,
            loc.file = place.file(),
            loc.line = place.line(),
            loc.col = place.column(),
        )
    }
    within(span(kind, meta, id, size_of::<F>()), future, meta)
}

/// Puts the future of a `block_on` into a span, as if it were a task.
#[inline]
pub(crate) fn block_on<F>(future: F, meta: SpawnMeta<'_>, id: fn() -> Id) -> (Traced<F>, SpawnLocation) {
    task(future, "block_on", meta, id().as_u64())
}

/// Puts a function that may block, which `future` calls, into a span.
#[inline]
pub(crate) fn blocking_task<F>(
    future: F,
    func: Func,
    meta: SpawnMeta<'_>,
    id: u64,
) -> (Traced<F>, SpawnLocation) {
    let place = meta.spawned_at.0;
    let Func { size, name } = func;
    let span = trace_span!(
        target: "tokio::task::blocking",
        "runtime.spawn",
        kind = %"blocking",
        task.name = %meta.name.unwrap_or_default(),
        task.id = id,
        "fn" = %name(),
        original_size.bytes = original_size(meta, size),
        size.bytes = size,
        loc.file = place.file(),
        loc.line = place.line(),
        loc.col = place.column(),
    );
    within(span, future, meta)
}

/// The size before boxing, if it was another.
fn original_size(meta: SpawnMeta<'_>, size: usize) -> Option<usize> {
    (meta.original_size != size).then_some(meta.original_size)
}

fn within<F>(span: Span, future: F, meta: SpawnMeta<'_>) -> (Traced<F>, SpawnLocation) {
    let id = span.id().and_then(|id| NonZeroU64::new(id.into_u64()));
    (future.instrument(span), SpawnLocation(meta.spawned_at.0, id))
}

/// Tells what is done with a task's waker.
#[inline]
pub(crate) fn waker_op(task: SpawnLocation, op: &'static str) {
    if let Some(span) = task.1 {
        trace!(target: "tokio::task::waker", op, task.id = span.get());
    }
}

/// Runs `f`, which enters a runtime that is not to be told of: the host of the re-exported half
/// would show up as a task. `f` ends that once it is inside.
pub(crate) fn enter_untold<R>(f: impl FnOnce(Untold) -> R) -> R {
    f(Untold(tracing::subscriber::set_default(NoSubscriber::new())))
}

/// Until this ends nothing is told.
pub(crate) struct Untold(DefaultGuard);

impl Untold {
    pub(crate) fn end(self) {
        drop(self.0);
    }
}

/// The spans of a timer: the resource, the operation on it, the polls of that. They are dropped in
/// Tokio's order.
#[derive(Debug)]
pub(crate) struct SleepSpans {
    op: Span,
    poll: Span,
    resource: Span,
}

/// While this lives, the spans are entered. They are left from the innermost outwards.
pub(crate) struct Entered<'a> {
    _poll: tracing::span::Entered<'a>,
    _op: tracing::span::Entered<'a>,
    _resource: tracing::span::Entered<'a>,
}

impl SleepSpans {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let place = Location::caller();
        let resource = trace_span!(
            target: "tokio::time::sleep",
            parent: None,
            "runtime.resource",
            concrete_type = "Sleep",
            kind = "timer",
            loc.file = place.file(),
            loc.line = place.line(),
            loc.col = place.column(),
        );
        let op = trace_span!(
            target: "tokio::time::sleep",
            parent: &resource,
            "runtime.resource.async_op",
            source = "Sleep::new_timeout",
        );
        let poll = trace_span!(target: "tokio::time::sleep", parent: &op, "runtime.resource.async_op.poll");
        SleepSpans { op, poll, resource }
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        let _resource = self.resource.enter();
        let _op = self.op.enter();
        let _poll = self.poll.enter();
        Entered { _poll, _op, _resource }
    }

    /// A new operation begins, with `left` milliseconds to go.
    pub(crate) fn reset(&mut self, left: impl FnOnce() -> u64) {
        let _resource = self.resource.enter();
        self.op = trace_span!(
            target: "tokio::time::sleep",
            "runtime.resource.async_op",
            source = "Sleep::reset",
        );
        let _op = self.op.enter();
        self.poll = trace_span!(target: "tokio::time::sleep", "runtime.resource.async_op.poll");
        timer_set(left);
    }
}

/// Tells how many milliseconds a timer was set to.
pub(crate) fn timer_set(left: impl FnOnce() -> u64) {
    trace!(
        target: "runtime::resource::state_update",
        duration = left(),
        duration.unit = "ms",
        duration.op = "override",
    );
}

/// Tells what came of a poll.
pub(crate) fn poll_op<T>(op: &'static str, poll: Poll<T>) -> Poll<T> {
    trace!(target: "runtime::resource::poll_op", op_name = op, is_ready = poll.is_ready());
    poll
}

/// The span of an `Interval`.
#[derive(Clone, Debug)]
pub(crate) struct IntervalSpan(Span);

impl IntervalSpan {
    #[track_caller]
    pub(crate) fn new() -> Self {
        let place = Location::caller();
        IntervalSpan(trace_span!(
            target: "tokio::time::interval",
            parent: None,
            "runtime.resource",
            concrete_type = "Interval",
            kind = "timer",
            loc.file = place.file(),
            loc.line = place.line(),
            loc.col = place.column(),
        ))
    }

    /// Puts the future of one tick into spans of its own.
    pub(crate) fn tick<F: Future>(&self, future: F) -> Tick<F> {
        let resource = self.0.clone();
        let (op, poll) = resource.in_scope(|| {
            let op = trace_span!(
                target: "tokio::time::interval",
                "runtime.resource.async_op",
                source = "Interval::tick",
                inherits_child_attrs = false,
            );
            let poll = op
                .in_scope(|| trace_span!(target: "tokio::time::interval", "runtime.resource.async_op.poll"));
            (op, poll)
        });
        Tick { future, spans: SleepSpans { op, poll, resource } }
    }
}

pin_project! {
    /// The future of one tick.
    pub(crate) struct Tick<F> {
        #[pin]
        future: F,
        spans: SleepSpans,
    }
}

impl<F: Future> Future for Tick<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = this.spans.enter();
        poll_op("poll_tick", this.future.poll(cx))
    }
}
