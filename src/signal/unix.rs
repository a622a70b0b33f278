//! Listening for any signal of a Unix system.

mod kind;
pub use kind::SignalKind;

use crate::driver::signal::{self, Listener};
use crate::runtime::{context, scheduler};

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// A listener for one kind of signal.
///
/// It does not count: signals that arrive before the listener is polled again are reported as
/// one. What is promised is that after a poll, a signal that arrives later is reported; so what
/// a signal stands for is best looked up after it was received.
///
/// Any number of listeners may listen for a kind, also in several runtimes; each signal is
/// reported to all.
///
/// The handler of a kind is installed with its first listener and stays for ever, see [the
/// module](crate::signal).
///
/// tokio-stream's `SignalStream` makes a stream of it.
///
/// # Examples
///
/// ```no_run
/// use tokio::signal::unix::{SignalKind, signal};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let mut terminations = signal(SignalKind::terminate())?;
/// terminations.recv().await;
/// println!("somebody wants us to stop");
/// # Ok(())
/// # }
/// ```
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct Signal {
    inner: Listener,
}

/// Starts to listen for signals of `kind`: those that arrive from now on are reported.
///
/// # Errors
///
/// If the kind does not exist, cannot be handled (`SIGKILL`, `SIGSTOP`) or must not be
/// (`SIGILL`, `SIGFPE`, `SIGSEGV`); if installing the handler fails, or did before; if the
/// current runtime is shut down.
///
/// # Panics
///
/// Panics outside the context of a runtime with I/O enabled.
#[track_caller]
pub fn signal(kind: SignalKind) -> io::Result<Signal> {
    let handle = scheduler::Handle::current();
    let inner = signal::listen(kind.as_raw_value(), handle.driver().signal())?;
    Ok(Signal { inner })
}

impl Signal {
    /// Waits for a signal. The result is always `Some(())`; that it is an `Option` is for
    /// compatibility only.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a signal is either returned or kept for the next call.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use tokio::signal::unix::{SignalKind, signal};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let mut hangups = signal(SignalKind::hangup())?;
    /// while let Some(()) = hangups.recv().await {
    ///     println!("hangup");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv(&mut self) -> Option<()> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Is there a signal? If not, arranges for the task of `cx` to be woken by the next one. Only
    /// the task that called last is woken.
    ///
    /// For futures written by hand; others use [`recv`](Signal::recv). As there, `Ready` always
    /// contains `Some(())`.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<()>> {
        // The runtime it was made in may be gone, or stand still: this one moves.
        drop(context::with_current(|handle| signal::serve(handle.driver())));
        self.inner.poll_recv(cx).map(Some)
    }
}
