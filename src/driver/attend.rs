//! What the driver does by itself when a descriptor becomes readable.
//!
//! # Protocol
//!
//! No task waits for such a descriptor: an [`Attendant`] leaves *itself* as the waker. Whoever
//! serves the shard wakes it like any other, after its turn, with no lock held and no ring
//! borrowed. It works until that would block, and waits again. It ends when its work says so, or
//! with the runtime; until then only its own waker keeps it alive.

use std::io;
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
///
/// # Errors
///
/// If the driver cannot watch the descriptor. Then the runtime is as good as gone for `work`.
pub(super) fn attend(work: impl Work, driver: &Handle) -> io::Result<()> {
    let io = Arc::new(ScheduledIo::new(work.fd(), Interest::READABLE));
    Arc::new(Attendant { io, driver: Arc::downgrade(&driver.0), work }).go_on()
}

impl<W: Work> Wake for Attendant<W> {
    fn wake(self: Arc<Self>) {
        // Only its first wait can be refused: from then on the descriptor is watched.
        let _ = self.go_on();
    }
}

impl<W: Work> Attendant<W> {
    /// Works until that would block, and waits.
    fn go_on(self: Arc<Self>) -> io::Result<()> {
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        loop {
            let driver = self.driver.upgrade().map(Handle).filter(|driver| !driver.is_shutdown());
            let Some(driver) = driver else {
                self.leave();
                return Ok(());
            };
            match self.io.poll_readiness(&mut cx, Direction::Read) {
                Poll::Pending => return driver.watch(&self.io).inspect_err(|_| self.leave()),
                Poll::Ready(event) if event.is_shutdown => {
                    self.leave();
                    return Ok(());
                }
                Poll::Ready(event) => {
                    // Wakers of tasks run in there: one that panics must not end the service.
                    match catch_unwind(AssertUnwindSafe(|| self.work.readable())) {
                        Ok(Next::Wait) | Err(_) => self.io.clear_readiness(&event),
                        Ok(Next::End) => {
                            self.io.clear_wakers();
                            driver.unwatch(&self.io, None);
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    fn leave(&self) {
        // The waker in there is this very object.
        self.io.clear_wakers();
        self.work.runtime_gone();
    }
}
