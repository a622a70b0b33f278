//! Signals: from the handler to whoever listens.
//!
//! # Protocol
//!
//! 1. The handler marks its signal pending, then writes to a socket pair of the process.
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
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release, SeqCst};
use std::task::{Context, Poll};

use upstream::sync::watch;

use crate::driver::Handle;
use crate::driver::attend::{Next, Work, attend};
use crate::sys;

/// The signals of the process.
struct Signals {
    /// By number, from 1.
    kinds: Box<[Kind]>,
    /// The handlers' end.
    wake: UnixStream,
    /// The runtimes' end.
    woken: UnixStream,
}

/// One kind of signal.
struct Kind {
    pending: AtomicBool,
    listeners: watch::Sender<()>,
    /// Is the handler installed, or which error was that?
    installed: OnceLock<Result<(), Option<i32>>>,
}

/// Receives one kind of signal.
pub(crate) struct Listener {
    next: Pin<Box<dyn Future<Output = watch::Receiver<()>> + Send + Sync>>,
}

/// A runtime's part in it: step 2 of the module docs.
struct Receiver;

fn signals() -> &'static Signals {
    static SIGNALS: OnceLock<Signals> = OnceLock::new();

    SIGNALS.get_or_init(|| {
        let (woken, wake) = UnixStream::pair().expect("failed to create UnixStream");
        for end in [&woken, &wake] {
            end.set_nonblocking(true).expect("failed to create UnixStream");
        }
        Signals { kinds: (0..sys::signal::max()).map(|_| Kind::new()).collect(), wake, woken }
    })
}

/// Starts to listen for `signum`; the runtime of `driver` will see to the delivery.
///
/// # Errors
///
/// If the signal does not exist or cannot be handled, now or at an earlier call, and if the
/// runtime is gone.
pub(crate) fn listen(signum: c_int, driver: &Handle) -> io::Result<Listener> {
    if signum <= 0 || sys::signal::is_forbidden(signum) {
        return Err(io::Error::other(format!("Refusing to register signal {signum}")));
    }
    if driver.is_shutdown() {
        return Err(io::Error::other("signal driver gone"));
    }
    let signals = signals();
    let kind = usize::try_from(signum - 1).ok().and_then(|index| signals.kinds.get(index));
    let Some(kind) = kind else {
        return Err(io::Error::other("signal too large"));
    };
    let installed = kind.installed.get_or_init(|| {
        sys::signal::install(signum, &kind.pending, &signals.wake).map_err(|error| error.raw_os_error())
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
        attend(Receiver, driver).inspect_err(|_| inner.serves_signals.store(false, Release))?;
    }
    Ok(())
}

impl Work for Receiver {
    fn fd(&self) -> RawFd {
        signals().woken.as_raw_fd()
    }

    fn readable(&self) -> Next {
        let signals = signals();
        let mut buf = [0; 128];
        loop {
            match (&signals.woken).read(&mut buf) {
                Ok(0) => panic!("EOF on self-pipe"),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => break,
                Err(e) => panic!("Bad read on self-pipe: {e}"),
            }
        }
        signals.broadcast();
        Next::Wait
    }

    fn runtime_gone(&self) {
        #[cfg(feature = "process")]
        super::process::lose_signals();
    }
}

impl Signals {
    fn broadcast(&self) {
        for kind in self.kinds.iter().filter(|kind| kind.pending.swap(false, SeqCst)) {
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
        Kind { pending: AtomicBool::new(false), listeners: watch::Sender::new(()), installed: OnceLock::new() }
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
