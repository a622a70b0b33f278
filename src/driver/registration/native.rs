//! What native operations and everybody who reads have of a registration.

use std::io;
#[cfg(feature = "uring-native")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::Registration;
#[cfg(feature = "uring-native")]
use super::gone;
use crate::driver::Interest;
use crate::driver::error::LEFTOVERS_ERROR;
use crate::driver::leftovers::{Found, Leftovers};
use crate::driver::scheduled_io::ReadyEvent;
use crate::sys;

impl Registration {
    /// Waits until no operation is on its way, if that can be had at once; a little longer for what
    /// holds an address.
    pub(super) fn settle(&self, leftovers: &Arc<Leftovers>, fd: Option<&OwnedFd>) -> bool {
        if Leftovers::is_shared(leftovers) {
            let patient = fd.is_none_or(|fd| sys::io::holds_address(fd.as_raw_fd()));
            self.handle.settle(patient, || !Leftovers::is_shared(leftovers));
        }
        !Leftovers::is_shared(leftovers)
    }

    /// Waits for operations that were dropped and are still on their way, if that can be had at once.
    pub(crate) fn settle_operations(&self) {
        if let Some(leftovers) = self.leftovers.get() {
            self.settle(leftovers, None);
        }
    }

    /// May somebody read past all that is here, with a system call of his own? While an operation is on
    /// its way that would block.
    fn check_own_call(&self, interest: Interest) -> io::Result<()> {
        match self.leftovers.get() {
            Some(leftovers) if interest.is_readable() && leftovers.is_pending() => leftovers.check_own_call(),
            _ => Ok(()),
        }
    }

    /// [`try_io`](Self::try_io) for a system call of the user's own, which finds no leftovers: while there
    /// are any it must not read.
    pub(crate) fn try_call<R>(&self, interest: Interest, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        self.try_io(interest, || {
            self.check_own_call(interest)?;
            f()
        })
    }

    /// [`async_io`](Self::async_io) for such a call.
    pub(crate) async fn async_call<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        let f = || {
            self.check_own_call(interest)?;
            f()
        };
        self.async_io(interest, f).await
    }

    /// [`readiness`](Self::readiness) for such a call.
    pub(crate) async fn readiness_for_call(&self, interest: Interest) -> io::Result<ReadyEvent> {
        loop {
            let event = self.readiness(interest).await?;
            match self.check_own_call(interest) {
                Ok(()) => return Ok(event),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.clear_readiness(event),
                Err(e) => return Err(e),
            }
        }
    }

    /// [`poll_read_ready`](Self::poll_read_ready) for such a call.
    pub(crate) fn poll_read_ready_for_call(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        loop {
            let event = ready!(self.poll_read_ready(cx))?;
            match self.check_own_call(Interest::READABLE) {
                Ok(()) => return Poll::Ready(Ok(event)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.clear_readiness(event),
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    /// Refuses to part with a descriptor some of whose bytes have been received already.
    ///
    /// # Errors
    ///
    /// What the user is to do about it.
    pub(crate) fn check_leftovers(&self) -> io::Result<()> {
        match self.leftovers.get() {
            Some(leftovers) if !self.settle(leftovers, None) || leftovers.is_pending() => {
                Err(io::Error::other(LEFTOVERS_ERROR))
            }
            _ => Ok(()),
        }
    }

    /// Asks `find` for what native operations have left, unless there is nothing anyway. What it
    /// finds comes before whatever the resource itself has.
    #[inline]
    pub(crate) fn leftover<R>(
        &self,
        find: impl FnOnce(&Leftovers) -> Found<io::Result<R>>,
    ) -> Option<io::Result<R>> {
        match self.leftovers.get() {
            Some(leftovers) if leftovers.is_pending() => find(leftovers).attempt(),
            _ => None,
        }
    }
}

#[cfg(feature = "uring-native")]
impl Registration {
    /// The error of whoever comes after the end of the runtime.
    pub(crate) fn gone(&self) -> Option<io::Error> {
        self.handle.is_shutdown().then(gone)
    }

    /// Waits until something is kept, or no dropped operation is on its way any more.
    pub(crate) async fn settled(&self) -> io::Result<ReadyEvent> {
        loop {
            let event = self.readiness(Interest::READABLE).await?;
            if !self.leftovers().is_unsettled() {
                return Ok(event);
            }
            self.clear_readiness(event);
        }
    }

    /// What native operations share with everybody who reads.
    pub(crate) fn leftovers(&self) -> &Arc<Leftovers> {
        self.leftovers.get_or_init(|| Arc::new(Leftovers::new(self.shared.clone())))
    }

    /// The same for a descriptor whose owner is somebody else, which is duplicated once.
    pub(crate) fn leftovers_of(&self, fd: BorrowedFd<'_>) -> io::Result<&Arc<Leftovers>> {
        if let Some(leftovers) = self.leftovers.get() {
            return Ok(leftovers);
        }
        let own = fd.try_clone_to_owned()?;
        Ok(self.leftovers.get_or_init(|| Arc::new(Leftovers::with_own(self.shared.clone(), own))))
    }
}
