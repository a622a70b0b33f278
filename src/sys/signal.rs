//! Handlers of signals.
//!
//! # Safety
//!
//! A handler may do only what is async-signal-safe. The one installed here loads and stores atomics
//! and makes one `write`, and what it uses lives for ever: a [`Wire`] is never freed.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, SeqCst};
use std::sync::atomic::AtomicPtr;

use super::fork::Origin;

/// A socket pair by which handlers wake those who wait for signals.
pub(crate) struct Wire {
    /// The handlers' end.
    wake: UnixStream,
    /// The runtimes' end.
    woken: UnixStream,
    origin: Origin,
}

/// The one of this process, or, in a child that has not asked for it yet, of its parent.
static WIRE: AtomicPtr<Wire> = AtomicPtr::new(ptr::null_mut());

impl Wire {
    fn new() -> io::Result<Wire> {
        let (woken, wake) = UnixStream::pair()?;
        for end in [&woken, &wake] {
            end.set_nonblocking(true)?;
        }
        Ok(Wire { wake, woken, origin: Origin::here() })
    }

    fn current() -> Option<&'static Wire> {
        // SAFETY: null, or one that is never freed.
        unsafe { WIRE.load(Acquire).as_ref() }
    }

    /// The pair of this process, which is made when it is asked for first. A lock would not do: the parent of
    /// this process may have held it.
    ///
    /// # Errors
    ///
    /// Those of `socketpair(2)`.
    pub(crate) fn of_this_process() -> io::Result<&'static Wire> {
        loop {
            let known = WIRE.load(Acquire);
            if let Some(wire) = Wire::current().filter(|wire| wire.origin.is_here()) {
                return Ok(wire);
            }
            let new = Box::into_raw(Box::new(Wire::new()?));
            if WIRE.compare_exchange(known, new, AcqRel, Acquire).is_err() {
                // Another thread was as quick.
                // SAFETY: nobody else has seen it.
                drop(unsafe { Box::from_raw(new) });
            }
        }
    }

    /// What becomes readable when a handler has run.
    pub(crate) fn woken_fd(&self) -> RawFd {
        self.woken.as_raw_fd()
    }

    /// Takes what handlers have written.
    ///
    /// # Panics
    ///
    /// If somebody has closed an end of it.
    pub(crate) fn drain(&self) {
        let mut buf = [0; 128];
        loop {
            match (&self.woken).read(&mut buf) {
                Ok(0) => panic!("EOF on self-pipe"),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                Err(e) => panic!("Bad read on self-pipe: {e}"),
            }
        }
    }
}

/// That a handler has run, and to which pair it has written next.
pub(crate) struct Mark(AtomicPtr<Wire>);

impl Mark {
    pub(crate) fn new() -> Mark {
        Mark(AtomicPtr::new(ptr::null_mut()))
    }

    /// Has the handler run for those who wait at `wire`? Clears the mark. One that was made in the parent,
    /// before the fork, does not count.
    pub(crate) fn take(&self, wire: &'static Wire) -> bool {
        ptr::eq(self.0.swap(ptr::null_mut(), SeqCst), wire)
    }
}

/// May no handler be installed for `signum`?
pub(crate) fn is_forbidden(signum: c_int) -> bool {
    signal_hook_registry::FORBIDDEN.contains(&signum)
}

/// The highest signal number there is.
pub(crate) fn max() -> c_int {
    libc::SIGRTMAX()
}

/// From now on `signum` sets `mark` and then writes a byte to the [`Wire`].
///
/// Handlers that were there before go on being called. There is no way back.
///
/// # Panics
///
/// If `signum` is [forbidden](is_forbidden).
pub(crate) fn install(signum: c_int, mark: &'static Mark) -> io::Result<()> {
    let note = move || {
        if let Some(wire) = Wire::current() {
            mark.0.store(ptr::from_ref(wire).cast_mut(), SeqCst);
            // Full: then whoever reads has been woken already.
            let _ = (&wire.wake).write(&[1]);
        }
    };
    // SAFETY: see the module docs; the registry preserves `errno`.
    unsafe { signal_hook_registry::register(signum, note) }.map(drop)
}
