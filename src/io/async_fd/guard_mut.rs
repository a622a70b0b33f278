//! The guard that gives mutable access to an `AsyncFd` seen ready.

use crate::driver::ReadyEvent;
use crate::io::Ready;
use crate::io::async_fd::event::Event;
use crate::io::async_fd::{AsyncFd, TryIoError};

use std::fmt;
use std::io;
use std::os::fd::AsRawFd;

/// An [`AsyncFd`] that was seen ready, with mutable access to it.
///
/// Whoever holds the guard decides what becomes of the readiness: clear it after
/// an operation failed with [`WouldBlock`](io::ErrorKind::WouldBlock), leave it
/// otherwise. Dropping the guard leaves it.
#[must_use = "You must explicitly choose whether to clear the readiness state by calling a method on ReadyGuard"]
pub struct AsyncFdReadyMutGuard<'a, T: AsRawFd> {
    async_fd: &'a mut AsyncFd<T>,
    event: Event,
}

impl<'a, Inner: AsRawFd> AsyncFdReadyMutGuard<'a, Inner> {
    pub(super) fn new(async_fd: &'a mut AsyncFd<Inner>, event: ReadyEvent) -> Self {
        AsyncFdReadyMutGuard {
            async_fd,
            event: Event::new(event),
        }
    }

    /// Says that the descriptor is no longer ready: the next wait waits for the
    /// kernel to report it ready again.
    ///
    /// Call it only after an operation of the kind waited for failed with
    /// [`WouldBlock`](io::ErrorKind::WouldBlock); after a read or write that
    /// merely was shorter than asked for, do not.
    ///
    /// Readiness reported since the guard was made is not affected.
    pub fn clear_ready(&mut self) {
        self.event.clear(&self.async_fd.registration);
    }

    /// Says that the descriptor is no longer ready in the ways that are in
    /// `ready`. For guards that stand for several kinds of readiness of which
    /// only one has been used up; apart from that, see
    /// [`clear_ready`](AsyncFdReadyMutGuard::clear_ready).
    pub fn clear_ready_matching(&mut self, ready: Ready) {
        self.event
            .clear_matching(&self.async_fd.registration, ready);
    }

    /// Says that the descriptor is still ready. Does nothing, visibly.
    pub fn retain_ready(&mut self) {}

    /// What the descriptor was seen ready for, less what has been cleared.
    pub fn ready(&self) -> Ready {
        self.event.ready()
    }

    /// Runs `f`, and clears the readiness if it returns
    /// [`WouldBlock`](io::ErrorKind::WouldBlock).
    ///
    /// `f` must return `WouldBlock` only if a system call on this very
    /// descriptor, of the kind that was waited for, said so.
    ///
    /// # Errors
    ///
    /// [`TryIoError`] if `f` returned `WouldBlock`; every other result of `f`
    /// is inside the `Ok`.
    pub fn try_io<R>(
        &mut self,
        f: impl FnOnce(&mut AsyncFd<Inner>) -> io::Result<R>,
    ) -> Result<io::Result<R>, TryIoError> {
        match f(self.async_fd) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.clear_ready();
                Err(TryIoError(()))
            }
            result => Ok(result),
        }
    }

    /// The `AsyncFd`.
    pub fn get_ref(&self) -> &AsyncFd<Inner> {
        self.async_fd
    }

    /// The `AsyncFd`, mutably.
    pub fn get_mut(&mut self) -> &mut AsyncFd<Inner> {
        self.async_fd
    }

    /// The object in the `AsyncFd`.
    pub fn get_inner(&self) -> &Inner {
        self.get_ref().get_ref()
    }

    /// The object in the `AsyncFd`, mutably.
    pub fn get_inner_mut(&mut self) -> &mut Inner {
        self.get_mut().get_mut()
    }
}

impl<T: AsRawFd + fmt::Debug> fmt::Debug for AsyncFdReadyMutGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MutReadyGuard")
            .field("async_fd", &self.async_fd)
            .finish()
    }
}
