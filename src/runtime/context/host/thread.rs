//! The thread of a host that was built without one.
//!
//! # Protocol
//!
//! - The host's runtime lies in a [`Slot`]. Its thread takes it out, and drives it until it is told to end; then it shuts
//!   it down, in the time that it is given, so that what was spawned there is also dropped there.
//! - Whoever ends the host looks into the slot as well: if the runtime is there, the thread has not come to it, and
//!   finds nothing to do.
//! - Where no thread is to be had the runtime stays in its slot.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Serves;
use crate::sys::mask;
use crate::util::trace::enter_untold;
use upstream::runtime::Runtime;
use upstream::sync::oneshot;

/// Of the threads of hosts.
pub(super) const THREAD_NAME: &str = "spargio-host";

thread_local! {
    /// Of a thread of a host: whom the host serves.
    pub(super) static SERVES: RefCell<Option<Arc<Serves>>> = const { RefCell::new(None) };
}

/// How long an end may take; `None`: as long as it takes.
pub(super) type Limit = Option<Duration>;

/// A host's runtime, until its thread has it, or it is shut down.
#[derive(Debug, Clone)]
pub(super) struct Slot(Arc<Mutex<Option<Runtime>>>);

impl Slot {
    pub(super) fn new(runtime: Runtime) -> Slot {
        Slot(Arc::new(Mutex::new(Some(runtime))))
    }

    pub(super) fn take(&self) -> Option<Runtime> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The same where another thread, which is not there any more, may have had the lock.
    pub(super) fn try_take(&self) -> Option<Runtime> {
        self.0.try_lock().ok()?.take()
    }
}

/// See the module docs.
#[derive(Debug)]
pub(super) struct Thread {
    stop: oneshot::Sender<Limit>,
    /// Says nothing but that the thread is at its end.
    ended: mpsc::Receiver<()>,
    thread: JoinHandle<()>,
}

impl Thread {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If there is no thread to be had.
    pub(super) fn start(slot: &Slot, serves: &Arc<Serves>) -> io::Result<Thread> {
        let (stop, stopped) = oneshot::channel();
        let (ends, ended) = mpsc::channel::<()>();
        let (slot, serves) = (slot.clone(), serves.clone());
        let run = move || {
            // The last thing to be dropped.
            let _ends = ends;
            SERVES.with(|of_thread| of_thread.replace(Some(serves)));
            if let Some(runtime) = slot.take() {
                let limit = drive(&runtime, stopped);
                shut_down(runtime, limit);
            }
        };
        let builder = thread::Builder::new().name(THREAD_NAME.into());
        let thread = mask::with_all_blocked(|| builder.spawn(run))?;
        Ok(Thread { stop, ended, thread })
    }

    /// Has it end, and waits for that no longer than the `limit`.
    pub(super) fn end(self, limit: Limit) {
        // An error: it has found nothing to do.
        let _ = self.stop.send(limit);
        let has_ended = match limit {
            None => true,
            Some(Duration::ZERO) => false,
            Some(limit) => self.ended.recv_timeout(limit) != Err(mpsc::RecvTimeoutError::Timeout),
        };
        if has_ended {
            // An error: a destructor panicked there, which is told.
            let _ = self.thread.join();
        }
    }
}

/// Drives `runtime` until the thread is `stopped`.
fn drive(runtime: &Runtime, stopped: oneshot::Receiver<Limit>) -> Limit {
    let mut stopped = pin!(stopped);
    let limit = enter_untold(|untold| {
        let mut untold = Some(untold);
        runtime.block_on(poll_fn(|cx| {
            if let Some(untold) = untold.take() {
                untold.end();
            }
            stopped.as_mut().poll(cx)
        }))
    });
    // An error: nobody waits.
    limit.unwrap_or(Some(Duration::ZERO))
}

/// Shuts a host's runtime down; waits for its threads no longer than the `limit`.
pub(super) fn shut_down(runtime: Runtime, limit: Limit) {
    match limit {
        None => drop(runtime),
        Some(Duration::ZERO) => runtime.shutdown_background(),
        Some(limit) => runtime.shutdown_timeout(limit),
    }
}
