//! Blocking on a worker thread without holding its tasks up.

use super::worker::Worker;
use crate::runtime::{context, scheduler};

/// Runs `f`, which may block. The worker's core goes to another thread meanwhile.
///
/// # Panics
///
/// On a `current_thread` runtime, and inside of a `LocalSet` on a multi-thread one's `block_on`.
#[track_caller]
pub(crate) fn block_in_place<F, R>(f: F) -> R
where
    F: FnOnce() -> R,
{
    let Some(allowed) = context::block_in_place_allowed() else {
        // No runtime, or already inside of a `block_in_place`.
        return f();
    };
    let lent = context::with_scheduler(|cx| match cx {
        Some(scheduler::Context::MultiThread(cx)) => Ok(lend_core(cx)),
        // In `block_on` on a thread that is no worker there is nothing to hand over.
        Some(scheduler::Context::CurrentThread(_)) | None if allowed => Ok(None),
        Some(scheduler::Context::CurrentThread(_)) | None => Err(()),
    });
    let Ok(lent) = lent else {
        panic!("can call blocking only when running on the multi-threaded runtime");
    };
    let _reclaim = lent;
    context::exit_runtime(f)
}

/// Puts the core into its slot and has another thread run it.
fn lend_core(cx: &super::Context) -> Option<Reclaim> {
    // `None`: lent already, earlier in this very poll.
    let core = cx.core.borrow_mut().take()?;
    // What was deferred until this worker's next turn would wait for `f`.
    cx.defer.wake();
    let reclaim = Reclaim(cx.worker().clone());
    reclaim.0.put_core(core);
    // If no thread can be had this panics, and the core comes back on the way out.
    reclaim.0.clone().launch();
    // The ring stays with this thread, which will not turn it.
    reclaim.0.handle.driver.lend();
    Some(reclaim)
}

/// Takes the core back, if the other thread has not come to it yet.
struct Reclaim(Worker);

impl Drop for Reclaim {
    fn drop(&mut self) {
        context::with_scheduler(|cx| {
            if let Some(scheduler::Context::MultiThread(cx)) = cx {
                let core = self.0.take_core();
                if core.is_some() {
                    self.0.handle.driver.reclaim();
                }
                cx.lost_core.set(core.is_none());
                *cx.core.borrow_mut() = core;
            }
        });
    }
}
