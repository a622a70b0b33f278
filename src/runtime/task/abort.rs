//! The permission to abort a task.
//!
//! # Safety
//!
//! An [`AbortHandle`] holds one reference to its task. It gives no access to the future or
//! the output, so it may be sent and shared whatever those are.
#![allow(unsafe_code)]

use super::{Id, RawTask};

use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};

/// Aborts a task from anywhere, without the right to await it.
///
/// Comes from [`JoinHandle::abort_handle`](crate::task::JoinHandle::abort_handle) and from
/// the methods of [`JoinSet`](crate::task::JoinSet) that spawn. Dropping it does *not* abort
/// the task.
#[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
pub struct AbortHandle {
    raw: RawTask,
}

// SAFETY: see the module documentation; the state word is atomic.
unsafe impl Send for AbortHandle {}
// SAFETY: as above.
unsafe impl Sync for AbortHandle {}

impl UnwindSafe for AbortHandle {}
impl RefUnwindSafe for AbortHandle {}

impl AbortHandle {
    /// Takes one reference over.
    pub(super) fn new(raw: RawTask) -> AbortHandle {
        AbortHandle { raw }
    }

    /// Asks for the task to be cancelled.
    ///
    /// Its future is dropped the next time its scheduler gets to it, and whoever awaits the
    /// task gets a [`JoinError`](crate::task::JoinError) that
    /// [`is_cancelled`](crate::task::JoinError::is_cancelled). A task that completes before
    /// that keeps its output, and for a task that is complete this does nothing.
    ///
    /// A task of [`spawn_blocking`](crate::task::spawn_blocking) is cancelled only if it has
    /// not begun to run; once running it can't be stopped.
    pub fn abort(&self) {
        self.raw.remote_abort();
    }

    /// Is the task complete?
    ///
    /// Cancelling takes time: this may be `false` for a while after
    /// [`abort`](AbortHandle::abort). Once it is `true`, the future has been dropped.
    pub fn is_finished(&self) -> bool {
        self.raw.state().load().is_complete()
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.raw.id()
    }
}

impl Clone for AbortHandle {
    fn clone(&self) -> AbortHandle {
        self.raw.state().ref_inc();
        AbortHandle::new(self.raw)
    }
}

impl Drop for AbortHandle {
    fn drop(&mut self) {
        // SAFETY: the reference is ours.
        unsafe { self.raw.drop_reference() }
    }
}

impl fmt::Debug for AbortHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AbortHandle").field("id", &self.id()).finish()
    }
}
