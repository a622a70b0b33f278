//! Handlers of signals.
//!
//! # Safety
//!
//! A handler may do only what is async-signal-safe. The one installed here stores to an atomic
//! and makes one `write`, and what it uses lives for ever.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;

/// May no handler be installed for `signum`?
pub(crate) fn is_forbidden(signum: c_int) -> bool {
    signal_hook_registry::FORBIDDEN.contains(&signum)
}

/// The highest signal number there is.
pub(crate) fn max() -> c_int {
    libc::SIGRTMAX()
}

/// From now on `signum` sets `pending` and then writes a byte to `wake`, which must not block.
///
/// Handlers that were there before go on being called. There is no way back.
///
/// # Panics
///
/// If `signum` is [forbidden](is_forbidden).
pub(crate) fn install(signum: c_int, pending: &'static AtomicBool, wake: &'static UnixStream) -> io::Result<()> {
    let note = move || {
        pending.store(true, SeqCst);
        // Full: then whoever reads has been woken already.
        let _ = (&*wake).write(&[1]);
    };
    // SAFETY: see the module docs; the registry preserves `errno`.
    unsafe { signal_hook_registry::register(signum, note) }.map(drop)
}
