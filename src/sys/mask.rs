//! The signals that a thread blocks.
//!
//! # Safety
//!
//! `pthread_sigmask(3)` and `sigfillset(3)` read and write signal sets on the stack.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

/// Calls `f`; threads that it starts have all signals blocked, for good: signals are for the threads of the
/// program, some of which block those that they wait for in other ways.
pub(crate) fn with_all_blocked<R>(f: impl FnOnce() -> R) -> R {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: see the module docs; `before` is written if the call says 0.
    let restore = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = f();
    if restore {
        // SAFETY: as above.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    }
    result
}
