//! The published Tokio as a host of this crate's threads.
//!
//! The re-exported half of Tokio (`sync`, `io`, `task::coop`) looks at *its* thread
//! context in three places: the cooperative budget, the "cannot block the current thread
//! from within a runtime" panics, and `Handle::current()` for crates that are bound to it.
//! So each of our worker loops and `block_on` calls runs inside **one poll** of
//! `host.block_on(..)`, where the host is a Tokio runtime with one parked thread and,
//! unless the feature `interop` asks for more, no drivers. It makes no system call while
//! our threads work.
//!
//! The budget: Tokio sets it once at the start of that one poll. A token taken with
//! `poll_proceed` remembers the budget as it was and puts it back when dropped; [`budget`]
//! takes one around each task poll, so each starts with a full budget.

use std::future::poll_fn;
use std::sync::OnceLock;
use std::task::{Context, Poll, Waker};

use upstream::runtime::{Builder, Runtime};
use upstream::task::coop;

fn host() -> &'static Runtime {
    static HOST: OnceLock<Runtime> = OnceLock::new();
    HOST.get_or_init(|| {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).thread_name("spargio-host");
        #[cfg(feature = "interop")]
        builder.enable_all();
        builder.build().expect("spargio: cannot start the host thread of the re-exported Tokio half")
    })
}

/// Runs `f` inside one poll of the host.
#[track_caller]
pub(super) fn run_inside<R>(f: impl FnOnce() -> R) -> R {
    let mut f = Some(f);
    host().block_on(poll_fn(|_| match f.take() {
        Some(f) => Poll::Ready(f()),
        None => unreachable!("a poll that returned Ready is not repeated"),
    }))
}

/// Runs `f` as the host's `block_in_place`: inside it Tokio's blocking calls are allowed.
pub(super) fn blocking<R>(f: impl FnOnce() -> R) -> R {
    upstream::task::block_in_place(f)
}

/// Runs `f` (one poll of one task) with a fresh cooperative budget.
#[inline]
pub(crate) fn budget<R>(f: impl FnOnce() -> R) -> R {
    let mut cx = Context::from_waker(Waker::noop());
    let _token = match coop::poll_proceed(&mut cx) {
        Poll::Ready(token) => Some(token),
        // Only in a nested scheduler (a `LocalSet`) whose task has used its budget up: what
        // it polls gives way at once, and it is polled again with a new budget.
        Poll::Pending => None,
    };
    f()
}
