//! Signals: from the handler to whoever listens.
//!
//! # Protocol
//!
//! 1. The handler marks its signal pending, then writes to the socket pair of the process. A child of `fork`
//!    makes a pair of its own before it listens: of the parent's, each would drain what is the other's.
//! 2. Every runtime that somebody listens in watches the other end. A shard of it that sees it
//!    readable drains it, and only then looks for pending signals.
//! 3. A pending signal is told to all its listeners, in whichever runtime they are.
//!
//! So whoever drains what a handler wrote also sees what it marked. Several runtimes may be
//! woken by one signal: one of them finds it pending, which is enough.
//!
//! A handler, once installed, stays for the life of the process.

use std::ffi::c_int;
use std::fmt;
use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::task::{Context, Poll};

use upstream::sync::watch;

use crate::driver::Handle;
use crate::driver::attend::{Next, Work, attend};
use crate::sys;
use crate::sys::signal::{Mark, Wire};

/// The signals of the process.
struct Signals {
    /// By number, from 1.
    kinds: Box<[Kind]>,
}

/// One kind of signal.
struct Kind {
    pending: Mark,
    listeners: watch::Sender<()>,
    /// Is the handler installed, or which error was that?
    installed: OnceLock<Result<(), Option<i32>>>,
}

/// Receives one kind of signal.
pub(crate) struct Listener {
    next: Pin<Box<dyn Future<Output = watch::Receiver<()>> + Send + Sync>>,
}

/// A runtime's part in it: step 2 of the module docs.
struct Receiver(&'static Wire);

fn signals() -> &'static Signals {
    static SIGNALS: OnceLock<Signals> = OnceLock::new();

    SIGNALS.get_or_init(|| Signals { kinds: (0..sys::signal::max()).map(|_| Kind::new()).collect() })
}

/// Starts to listen for `signum`; the runtime of `driver` will see to the delivery.
///
/// # Errors
///
/// If the signal does not exist or cannot be handled, now or at an earlier call, if the runtime is gone, and
/// if the process has no descriptors left for the socket pair.
pub(crate) fn listen(signum: c_int, driver: &Handle) -> io::Result<Listener> {
    if signum <= 0 || sys::signal::is_forbidden(signum) {
        return Err(io::Error::other(format!("Refusing to register signal {signum}")));
    }
    if driver.is_shutdown() {
        return Err(io::Error::other("signal driver gone"));
    }
    // Before there is a handler that writes to it.
    Wire::of_this_process()?;
    let signals = signals();
    let kind = usize::try_from(signum - 1).ok().and_then(|index| signals.kinds.get(index));
    let Some(kind) = kind else {
        return Err(io::Error::other("signal too large"));
    };
    let installed = kind.installed.get_or_init(|| {
        sys::signal::install(signum, &kind.pending).map_err(|error| error.raw_os_error())
    });
    match installed {
        Ok(()) => {}
        Err(Some(errno)) => return Err(io::Error::from_raw_os_error(*errno)),
        Err(None) => return Err(io::Error::other("registering signal handler failed")),
    }
    serve(driver)?;
    Ok(Listener::new(kind.listeners.subscribe()))
}

/// Makes the runtime of `driver` deliver signals, if it does not yet and can.
///
/// # Errors
///
/// If the driver cannot watch for them.
pub(crate) fn serve(driver: &Handle) -> io::Result<()> {
    let inner = &driver.0;
    if !inner.serves_signals.load(Acquire) && inner.io_enabled && !inner.serves_signals.swap(true, AcqRel) {
        Wire::of_this_process()
            .and_then(|wire| attend(Receiver(wire), driver))
            .inspect_err(|_| inner.serves_signals.store(false, Release))?;
    }
    Ok(())
}

impl Work for Receiver {
    fn fd(&self) -> RawFd {
        self.0.woken_fd()
    }

    fn readable(&self) -> Next {
        self.0.drain();
        signals().broadcast(self.0);
        Next::Wait
    }

    fn runtime_gone(&self) {
        #[cfg(feature = "process")]
        super::process::lose_signals();
    }
}

impl Signals {
    fn broadcast(&self, wire: &'static Wire) {
        for kind in self.kinds.iter().filter(|kind| kind.pending.take(wire)) {
            // An error: nobody listens.
            let _ = kind.listeners.send(());
        }
        // Whatever the signal was: hardly ever is there anybody to look at.
        #[cfg(feature = "process")]
        super::process::reap();
    }
}

impl Kind {
    fn new() -> Kind {
        Kind { pending: Mark::new(), listeners: watch::Sender::new(()), installed: OnceLock::new() }
    }
}

impl Listener {
    fn new(receiver: watch::Receiver<()>) -> Listener {
        Listener { next: Box::pin(next(receiver)) }
    }

    /// Waits for a signal that came since the last one was returned.
    pub(crate) fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.next.as_mut().poll(cx).map(|receiver| *self = Listener::new(receiver))
    }
}

async fn next(mut receiver: watch::Receiver<()>) -> watch::Receiver<()> {
    receiver.changed().await.expect("signal sender went away");
    receiver
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}
