//! The permission to await a task.
//!
//! # Safety
//!
//! A [`JoinHandle`] holds one reference to its task and stands for `JOIN_INTEREST`; there is
//! only one per task. It owns the output once the task is complete, which is why it is
//! `Send` only if the output is.
#![allow(unsafe_code)]

use super::{AbortHandle, Id, RawTask};
use crate::util::leaf;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

/// Awaits the end of a task and gives its output.
///
/// Comes from [`spawn`](crate::task::spawn), [`spawn_blocking`](crate::task::spawn_blocking)
/// and their relatives. The task runs whether or not the handle is awaited. Dropping the
/// handle *detaches* the task: it goes on, and its output is dropped.
///
/// Awaiting yields `Err` with a [`JoinError`](crate::task::JoinError) if the task panicked or
/// was cancelled. When that or the output is seen (or
/// [`is_finished`](JoinHandle::is_finished) says `true`), the task's future has been dropped.
///
/// # Cancel safety
///
/// Awaiting `&mut handle` is cancel safe: the output stays until it has been returned.
///
/// # Panics
///
/// If it is polled again after it has returned the output.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let sum = tokio::spawn(async { 1 + 2 });
/// let oops = tokio::spawn(async { panic!("oops") });
///
/// assert_eq!(sum.await.unwrap(), 3);
/// assert!(oops.await.unwrap_err().is_panic());
/// # }
/// ```
#[cfg_attr(docsrs, doc(cfg(feature = "rt")))]
pub struct JoinHandle<T> {
    raw: RawTask,
    _output: PhantomData<T>,
}

// SAFETY: the handle takes the output out, on whichever thread it is then.
unsafe impl<T: Send> Send for JoinHandle<T> {}
// SAFETY: a shared handle gives no access to the output.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> UnwindSafe for JoinHandle<T> {}
impl<T> RefUnwindSafe for JoinHandle<T> {}

impl<T> Unpin for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Takes one reference over. `T` must be the output of the task's future.
    pub(super) fn new(raw: RawTask) -> JoinHandle<T> {
        JoinHandle { raw, _output: PhantomData }
    }

    /// Asks for the task to be cancelled.
    ///
    /// Its future is dropped the next time its scheduler gets to it, and awaiting the handle
    /// gives an error that [`is_cancelled`](crate::task::JoinError::is_cancelled). A task that
    /// completes before that keeps its output, and for a task that is complete this does
    /// nothing.
    ///
    /// A task of [`spawn_blocking`](crate::task::spawn_blocking) is cancelled only if it has
    /// not begun to run; once running it can't be stopped.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let forever = tokio::spawn(std::future::pending::<()>());
    /// forever.abort();
    /// assert!(forever.await.unwrap_err().is_cancelled());
    /// # }
    /// ```
    pub fn abort(&self) {
        self.raw.remote_abort();
    }

    /// Is the task complete?
    ///
    /// Cancelling takes time: this may be `false` for a while after
    /// [`abort`](JoinHandle::abort). Once it is `true`, the future has been dropped.
    pub fn is_finished(&self) -> bool {
        self.raw.state().load().is_complete()
    }

    /// Returns a handle that can abort the task but not await it.
    #[must_use = "abort handles do nothing unless `.abort` is called"]
    pub fn abort_handle(&self) -> AbortHandle {
        self.raw.state().ref_inc();
        AbortHandle::new(self.raw)
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.raw.id()
    }

    /// Sets who is woken at completion; wakes it at once if the task is complete already.
    pub(crate) fn set_join_waker(&mut self, waker: &Waker) {
        // SAFETY: this is the task's `JoinHandle`.
        if unsafe { self.raw.poll_join(waker) } {
            waker.wake_by_ref();
        }
    }
}

impl<T> Future for JoinHandle<T> {
    type Output = super::Result<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        ready!(leaf::trace_leaf(cx));
        let budget = ready!(upstream::task::coop::poll_proceed(cx));

        let mut output = Poll::Pending;
        // SAFETY: this is the task's `JoinHandle`, and `T` the type of its output.
        unsafe {
            if self.raw.poll_join(cx.waker()) {
                self.raw.read_output(&mut output);
            }
        }
        if output.is_ready() {
            budget.made_progress();
        }
        output
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        // SAFETY: this is the task's `JoinHandle`.
        unsafe { self.raw.drop_join_handle() }
    }
}

impl<T: fmt::Debug> fmt::Debug for JoinHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinHandle").field("id", &self.id()).finish()
    }
}
