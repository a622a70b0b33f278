//! What the driver does by itself when a descriptor becomes readable.
//!
//! # Protocol
//!
//! No task waits for such a descriptor: an [`Attendant`] leaves *itself* as the waker. Whoever
//! serves the shard wakes it like any other, after its turn, with no lock held and no ring
//! borrowed. It works until that would block, and waits again. It ends when its work says so, or
//! with the runtime; until then only its own waker keeps it alive.

use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use crate::driver::scheduled_io::{Direction, ScheduledIo};
use crate::driver::{Handle, Inner, Interest};

/// The work; it keeps the descriptor open.
pub(super) trait Work: Send + Sync + 'static {
    /// The descriptor, which stays the same.
    fn fd(&self) -> RawFd;

    /// The descriptor may be readable.
    fn readable(&self) -> Next;

    /// The runtime is gone, `readable` will not be called any more.
    fn runtime_gone(&self);
}

/// What comes after a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// More of it, once the descriptor is readable again: it was not, at the end.
    Wait,
    /// Nothing.
    #[cfg_attr(not(feature = "process"), allow(dead_code))]
    End,
}

/// See the module docs.
struct Attendant<W> {
    io: Arc<ScheduledIo>,
    driver: Weak<Inner>,
    work: W,
}

/// Has `work` done whenever its descriptor is readable, by the runtime of `driver`.
pub(super) fn attend(work: impl Work, driver: &Handle) {
    let io = Arc::new(ScheduledIo::new(work.fd(), Interest::READABLE));
    Arc::new(Attendant { io, driver: Arc::downgrade(&driver.0), work }).wake();
}

impl<W: Work> Wake for Attendant<W> {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            let driver = self.driver.upgrade().map(Handle).filter(|driver| !driver.is_shutdown());
            let Some(driver) = driver else {
                return self.leave();
            };
            match self.io.poll_readiness(&mut cx, Direction::Read) {
                Poll::Pending => return driver.watch(&self.io),
                Poll::Ready(event) if event.is_shutdown => return self.leave(),
                Poll::Ready(event) => {
                    // Wakers of tasks run in there: one that panics must not end the service.
                    match catch_unwind(AssertUnwindSafe(|| self.work.readable())) {
                        Ok(Next::Wait) | Err(_) => self.io.clear_readiness(&event),
                        Ok(Next::End) => {
                            self.io.clear_wakers();
                            return driver.unwatch(&self.io, None);
                        }
                    }
                }
            }
        }
    }
}

impl<W: Work> Attendant<W> {
    fn leave(&self) {
        // The waker in there is this very object.
        self.io.clear_wakers();
        self.work.runtime_gone();
    }
}
