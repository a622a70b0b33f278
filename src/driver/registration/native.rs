//! What native operations and everybody who reads have of a registration.

use std::io;
#[cfg(feature = "uring-native")]
use std::os::fd::BorrowedFd;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use super::Registration;
#[cfg(feature = "uring-native")]
use super::gone;
use crate::driver::error::LEFTOVERS_ERROR;
use crate::driver::leftovers::{Found, Leftovers};
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

    /// Refuses to part with a descriptor some of whose bytes have been received already.
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
