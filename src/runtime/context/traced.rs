//! Polling in tracing mode.
//!
//! A leaf future that gives up in tracing mode leaves its waker to the scheduler, to be woken when
//! that is back in control: a waker of its own, perhaps of an executor within the task, that
//! nobody else would wake. Leaf futures that are Tokio's leave it to *Tokio's* scheduler. So what
//! is traced runs inside of one, made for the purpose, that is back in control when the tracing
//! ends. Hence wakers are woken then, a little earlier than on Tokio: still within the poll of
//! the task that traces.

use super::host;
use super::nested_budget;

use std::cell::Cell;
use std::future::poll_fn;
use std::task::Poll;

use upstream::runtime::{Builder, Handle, Runtime};

thread_local! {
    static TRACED: Cell<bool> = const { Cell::new(false) };
}

/// Is this thread inside of [`traced`]?
pub(super) fn is_traced() -> bool {
    TRACED.try_with(Cell::get).unwrap_or(false)
}

/// Runs `f`, which traces, and then wakes what leaf futures left to be woken.
pub(crate) fn traced<R>(f: impl FnOnce() -> R) -> R {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            TRACED.set(false);
        }
    }

    if is_traced() {
        // Whoever is outside sees to it.
        return f();
    }
    // What is polled must not take the scheduler for the one that third-party crates use.
    let outer = Handle::try_current().unwrap_or_else(|_| host::shared().handle());
    let scheduler = Scheduler::new();
    let mut f = Some(f);
    let mut result = None;
    let two_turns = poll_fn(|cx| match f.take() {
        Some(f) => {
            TRACED.set(true);
            let _reset = Reset;
            let _outer = outer.enter();
            result = Some(f());
            // The wakers come before the second turn.
            cx.waker().wake_by_ref();
            Poll::Pending
        }
        None => Poll::Ready(()),
    });
    nested_budget(|| upstream::task::block_in_place(|| scheduler.runtime().block_on(two_turns)));
    match result {
        Some(result) => result,
        None => unreachable!("the first turn sets it, or panics"),
    }
}

/// A scheduler of Tokio's that may be dropped anywhere.
struct Scheduler(Option<Runtime>);

impl Scheduler {
    fn new() -> Scheduler {
        // Without drivers it takes nothing from the system.
        let runtime = Builder::new_current_thread().build();
        Scheduler(Some(runtime.expect("spargio: cannot make a scheduler for tracing")))
    }

    fn runtime(&self) -> &Runtime {
        match &self.0 {
            Some(runtime) => runtime,
            None => unreachable!("only drop takes it"),
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::dump::trace_with;
    use crate::upstream::sync::oneshot;

    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::task::{Context, Wake, Waker};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// On a thread of a runtime, and on one of none; nested, it is woken at the end of it all.
    #[test]
    fn a_leaf_that_gave_up_is_woken_and_goes_on() {
        let scene = |nested: bool| {
            let wakes = Arc::new(Wakes::default());
            let waker = Waker::from(wakes.clone());
            let mut cx = Context::from_waker(&waker);
            let (tx, rx) = oneshot::channel();
            let mut rx = pin!(rx);
            tx.send(7).unwrap();

            let mut leaves = 0;
            let mut trace = || traced(|| trace_with(|| rx.as_mut().poll(&mut cx), |_| leaves += 1));
            let polled = if nested { traced(|| (trace(), wakes.0.load(SeqCst))) } else { (trace(), 0) };
            assert_eq!(polled, (Poll::Pending, 0));
            assert_eq!((leaves, wakes.0.load(SeqCst)), (1, 1));
            assert_eq!(rx.poll(&mut cx), Poll::Ready(Ok(7)));
        };
        for nested in [false, true] {
            scene(nested);
            host::shared().run_inside(|| scene(nested));
        }
    }

    #[test]
    fn a_panic_leaves_nothing_behind() {
        host::shared().run_inside(|| {
            let caught = std::panic::catch_unwind(|| traced(|| panic!("boom")));
            assert!(caught.is_err());
            assert!(!is_traced());
            assert_eq!(traced(|| 7), 7);
        });
    }
}
