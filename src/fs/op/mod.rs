//! What leaves the task: one function per call to the file system.
//!
//! The public layer decides what is called, in which order, and what becomes of the result; it does
//! not know where the call runs. That is decided here, for each call on its own:
//!
//! - [`path`]: calls that name files by their path. Each takes its paths by reference and copies
//!   them before it leaves.
//! - [`file`]: calls on an open file. Those that move the cursor carry the file's buffer along and
//!   are a [`Call`](file::Call), which can be polled from anywhere and outlives the future that
//!   began it; the others are plain futures.
//!
//! There are three places for a call: the task's own thread, if it cannot wait; the ring of that thread
//! ([`ring`]), for a read that no thread waits for, if the ring will certainly be turned; else the
//! blocking pool. Which call goes where, and what that costs, is in
//! `docs/adr/0012-what-a-ring-does-for-files.md`.
//!
//! A call on its way holds a reference to the file, so the descriptor stays open until it is back.

pub(super) mod file;
pub(super) mod path;
mod ring;

use crate::driver;
use crate::runtime::{context, scheduler, spawn_blocking};
use crate::util::unwind;

use std::future::{Future, poll_fn};
use std::io;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use io_uring::opcode;

/// What a call reports that never ran, or panicked.
const BACKGROUND_TASK_FAILED: &str = "background task failed";

/// Runs `call` on the blocking pool. It goes on if the future is dropped.
///
/// It happens between two polls: the first one is pending, however quick the pool is.
async fn asyncify<T, F>(call: F) -> io::Result<T>
where
    F: FnOnce() -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    let mut join = spawn_blocking(call);
    let mut is_first = true;
    let mut early = None;
    let joined = poll_fn(|cx| {
        if let Some(result) = early.take() {
            return Poll::Ready(Ok(result));
        }
        match (Pin::new(&mut join).poll(cx), mem::take(&mut is_first)) {
            (Poll::Ready(Ok(result)), true) => {
                early = Some(result);
                unwind::wake(cx.waker().clone());
                Poll::Pending
            }
            (polled, _) => polled,
        }
    });
    joined.await.unwrap_or_else(|_| Err(background_task_failed()))
}

fn background_task_failed() -> io::Error {
    io::Error::other(BACKGROUND_TASK_FAILED)
}

/// Is the kernel one that may be asked to open a file (`openat2`)? Where rings are forbidden other new calls
/// may be, too.
fn knows_opening() -> bool {
    context::with_current(|handle| handle.driver().supports(opcode::OpenAt2::CODE)).unwrap_or(false)
}

/// The driver, if a ring of this thread can do the operation `opcode`, and will.
fn ring_for(cx: &Context<'_>, opcode: u8) -> Option<driver::Handle> {
    if may_use_ring(cx) { ring_driver(opcode) } else { None }
}

/// Is the one who polls a task of ours or `block_on`, so that this thread turns its ring afterwards? Under
/// an executor of somebody else, which may keep the thread until the call is done, nobody would.
fn may_use_ring(cx: &Context<'_>) -> bool {
    context::is_driven(cx.waker())
}

fn ring_driver(opcode: u8) -> Option<driver::Handle> {
    let handle = context::with_current(scheduler::Handle::clone).ok()?;
    let driver = handle.driver();
    (driver.takes_ops_here() && driver.supports(opcode)).then(|| driver.clone())
}

/// What `polled` says. If a call that began as above is waited for by somebody else's executor after all,
/// on the thread that should turn the ring, the ring is turned here, and the call polled again.
fn keep_turning<T>(polled: Poll<T>, cx: &Context<'_>) -> Poll<T> {
    if polled.is_pending() && !context::is_driven(cx.waker()) {
        let handle = context::with_current(scheduler::Handle::clone).ok();
        if handle.is_some_and(|handle| handle.driver().turn_here(NUDGE)) {
            cx.waker().wake_by_ref();
        }
    }
    polled
}

/// How long such a turn waits.
const NUDGE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests;
