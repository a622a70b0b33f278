//! Sleeping on a word in memory, without a descriptor.
//!
//! # Safety
//!
//! `futex(2)` reads an aligned word behind a reference, and a timespec on the stack.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

/// Sleeps while `word` is `expected`: until [`wake`] is called, `limit` is over, or for no reason.
pub(crate) fn wait(word: &AtomicU32, expected: u32, limit: Option<Duration>) {
    let limit = limit.and_then(|limit| {
        Some(libc::timespec {
            // One that does not fit is as good as none.
            tv_sec: limit.as_secs().try_into().ok()?,
            tv_nsec: limit.subsec_nanos().into(),
        })
    });
    let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: see the module docs. Its errors (the word has changed, a signal, the time is over) are
    // what the caller looks at the word for.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
            expected,
            limit,
        );
    }
}

/// Wakes one thread that sleeps on `word`.
pub(crate) fn wake(word: &AtomicU32) {
    // SAFETY: see the module docs.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1);
    }
}
