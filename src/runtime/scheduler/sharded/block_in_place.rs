//! Blocking on a worker thread without holding its tasks up.
//!
//! # Protocol
//!
//! - The thread that blocks puts its core into the worker's slot and has another thread run it. Back
//!   from the call, it takes the core if that thread has not come to it; otherwise it has lost it,
//!   and leaves when its task's poll is over.
//! - A thread on which futures live that are bound to it ([`Home`]) cannot leave. It registers as
//!   **absent** before it lends the core; back from the call, it **recalls** the core: whoever runs
//!   it puts it into the slot at the next maintenance, and calls the absent thread. Meanwhile nobody
//!   builds new bound futures on that shard: their threads would never get the core again.
//! - What the shard watches is nobody's in particular, so nothing of it moves with the core. A ring stays
//!   with its thread: what it has in flight is called back before `f` runs, and submitted again by whoever
//!   drives the shard.

use super::handle::Absent;
use super::worker::{Core, Worker};
use crate::runtime::{Home, context, scheduler};

use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread;

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
        return context::block_outside(f);
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
    let mut core = cx.core.borrow_mut().take()?;
    // What was deferred until this worker's next turn would wait for `f`.
    cx.defer.wake();
    cx.resume_yielded(&mut core);
    let worker = cx.worker().clone();
    let must_return = register_absence(&worker);
    let reclaim = Reclaim { worker, must_return };
    reclaim.worker.put_core(core);
    if !must_return {
        // Another thread may be waiting for this core.
        reclaim.worker.shared().call_absent();
    }
    // If no thread can be had this panics, and the core comes back on the way out.
    reclaim.worker.clone().launch();
    // A ring stays with this thread, which will not turn it.
    reclaim.worker.handle.driver.lend();
    Some(reclaim)
}

/// Says that this thread will want the core back, if futures live on it. Those cannot be of this
/// shard if another thread is absent already.
fn register_absence(worker: &Worker) -> bool {
    let Some(home) = Home::occupied() else { return false };
    let mut absent = worker.shared().absent.lock();
    let is_free = absent.is_none();
    if is_free {
        *absent = Some(Absent { home, thread: thread::current() });
    }
    is_free
}

/// Takes the core back, if the other thread has not come to it yet or this one must have it.
struct Reclaim {
    worker: Worker,
    must_return: bool,
}

impl Reclaim {
    /// Waits until whoever runs the core returns it; `None` after a shutdown.
    fn recall(&self) -> Option<Box<Core>> {
        let worker = self.worker.shared();
        let mut core = self.worker.take_core();
        if core.is_none() {
            worker.is_recalled.store(true, Release);
            self.worker.handle.driver.unpark_shard(self.worker.index);
            loop {
                core = self.worker.take_core();
                if core.is_some() || worker.is_finished.load(Acquire) {
                    break;
                }
                thread::park();
            }
            worker.is_recalled.store(false, Release);
        }
        *worker.absent.lock() = None;
        core
    }
}

impl Drop for Reclaim {
    fn drop(&mut self) {
        context::with_scheduler(|cx| {
            if let Some(scheduler::Context::MultiThread(cx)) = cx {
                let core = if self.must_return { self.recall() } else { self.worker.take_core() };
                if core.is_some() {
                    cx.resume();
                }
                cx.lost_core.set(core.is_none());
                *cx.core.borrow_mut() = core;
                if self.must_return {
                    // What others did not run in this thread's stead.
                    Home::open();
                }
            }
        });
    }
}
