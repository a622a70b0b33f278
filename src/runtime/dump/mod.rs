//! Task dumps: what every task of a runtime waits for, as backtraces.
//!
//! Unstable in Tokio: only with `--cfg tokio_unstable` and the feature `taskdump`, on Linux. See
//! [`Handle::dump`].
//!
//! A backtrace begins where the task waits, in a *leaf future* of this crate or of Tokio's half of
//! it, and ends where the task does. It takes optimized code with frame information, and debug
//! information for readable names. The first frame of a leaf future of this crate is
//! `tokio::task::yield_now`, which reports for it.
//!
//! [`Handle::dump`]: crate::runtime::Handle::dump

use crate::runtime::context;
use crate::runtime::task::Id;
use crate::upstream::dump::{Trace as Inner, trace_with as trace_leaves_with};

use std::fmt;
use std::future::Future;

pub use crate::upstream::dump::{Backtrace, BacktraceFrame, BacktraceSymbol, Root, TraceMeta};

/// What the tasks of a runtime waited for at some moment; see [`Handle::dump`].
///
/// [`Handle::dump`]: crate::runtime::Handle::dump
#[derive(Debug)]
pub struct Dump {
    tasks: Tasks,
}

/// The tasks of a [`Dump`].
#[derive(Debug)]
pub struct Tasks {
    tasks: Vec<Task>,
}

/// One task of a [`Dump`].
#[derive(Debug)]
pub struct Task {
    id: Id,
    trace: Trace,
}

/// Where a future waits: one backtrace for each of its leaf futures that was polled.
///
/// Displayed as a tree, with the leaves at the end.
#[derive(Debug)]
pub struct Trace {
    inner: Inner,
}

impl Dump {
    pub(crate) fn new(tasks: Vec<Task>) -> Dump {
        Dump { tasks: Tasks { tasks } }
    }

    /// The tasks.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }
}

impl Tasks {
    /// One after the other, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter()
    }
}

impl Task {
    pub(crate) fn new(id: Id, trace: Trace) -> Task {
        Task { id, trace }
    }

    /// Which task it is.
    pub fn id(&self) -> Id {
        self.id
    }

    /// What it waits for.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }
}

impl Trace {
    /// Runs `f` in tracing mode; returns its result and the trace of what it polled.
    ///
    /// `f` is a poll of a future, as a rule. Leaf futures report where they were polled from and
    /// give up, pending, without doing their work. They are woken at the end, to be polled again
    /// outside of tracing mode: a future that is only ever polled in it does not get anywhere.
    ///
    /// Calls may be nested: the inner one gets the trace.
    ///
    /// ```
    /// use std::future::{Future, poll_fn};
    /// use std::pin::pin;
    /// use std::task::Poll;
    /// use tokio::runtime::dump::Trace;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut future = pin!(tokio::task::yield_now());
    /// let traced = poll_fn(|cx| Poll::Ready(Trace::capture(|| future.as_mut().poll(cx))));
    /// let (polled, trace) = Trace::root(traced).await;
    /// assert!(polled.is_pending());
    /// assert_eq!(trace.resolve_backtraces().len(), 1);
    /// future.await;
    /// # }
    /// ```
    pub fn capture<F, R>(f: F) -> (R, Trace)
    where
        F: FnOnce() -> R,
    {
        let (result, inner) = context::traced(|| Inner::capture(f));
        (result, Trace { inner })
    }

    /// Marks where traces of `f` end: what polls the result is not part of them.
    pub fn root<F>(f: F) -> Root<F>
    where
        F: Future,
    {
        Inner::root(f)
    }

    /// The backtraces, with names and places as far as debug information tells them.
    ///
    /// Reading that may take a long time, so better do it where blocking is allowed.
    pub fn resolve_backtraces(&self) -> Vec<Backtrace> {
        self.inner.resolve_backtraces()
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Runs `f` in tracing mode, like [`Trace::capture`], but has `trace_leaf` called by each leaf
/// future instead of taking backtraces.
///
/// ```
/// use std::future::{Future, poll_fn};
/// use std::pin::pin;
/// use std::task::Poll;
/// use tokio::runtime::dump::trace_with;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut future = pin!(tokio::task::yield_now());
/// let mut leaves = 0;
/// poll_fn(|cx| {
///     let polled = trace_with(|| future.as_mut().poll(cx), |_| leaves += 1);
///     assert!(polled.is_pending());
///     Poll::Ready(())
/// })
/// .await;
/// assert_eq!(leaves, 1);
/// # }
/// ```
pub fn trace_with<FN, FT, R>(f: FN, trace_leaf: FT) -> R
where
    FN: FnOnce() -> R,
    FT: FnMut(&TraceMeta),
{
    context::traced(|| trace_leaves_with(f, trace_leaf))
}
