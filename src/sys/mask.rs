//! The signals that a thread blocks.
//!
//! # Safety
//!
//! `pthread_sigmask(3)`, `sigfillset(3)` and their like read and write signal sets on the stack.
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

/// Calls `f`, whose system call may say `SIGPIPE` to this thread, and has the signal not happen: it is blocked
/// meanwhile, and taken back. One that was pending before stays so.
#[cfg(feature = "uring-native")]
pub(crate) fn without_sigpipe<R>(f: impl FnOnce() -> R) -> R {
    let mut pipe = MaybeUninit::<libc::sigset_t>::uninit();
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: see the module docs; none of these calls fails with valid sets.
    let was_pending = unsafe {
        libc::sigemptyset(pipe.as_mut_ptr());
        libc::sigaddset(pipe.as_mut_ptr(), libc::SIGPIPE);
        libc::sigemptyset(pending.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_BLOCK, pipe.as_ptr(), before.as_mut_ptr());
        libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
    };
    let result = f();
    // SAFETY: as above; the time is read, and there is no room asked for about the signal.
    unsafe {
        if !was_pending {
            let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            libc::sigtimedwait(pipe.as_ptr(), ptr::null_mut(), &raw const now);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut());
    }
    result
}
