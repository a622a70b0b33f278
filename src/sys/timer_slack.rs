//! How late the kernel may let this thread's timed waits end (`PR_SET_TIMERSLACK`).
//!
//! The default of 50 µs lets it gather wake-ups; a thread that fires timers for others does its
//! own gathering, and sleeps exactly.
//!
//! # Safety
//!
//! Two `prctl` calls with numbers only.
#![allow(unsafe_code)]

/// The slack a thread had before, to be restored. For the same thread only.
#[derive(Debug)]
pub(crate) struct Previous(libc::c_ulong);

/// Asks for exact waits on this thread.
pub(crate) fn minimize() -> Previous {
    // SAFETY: see the module docs. The call answers with the slack in nanoseconds.
    let before = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) };
    // A negative answer is an old kernel's overflow: its default is the best guess.
    let before = libc::c_ulong::try_from(before).unwrap_or(50_000);
    set(1);
    Previous(before)
}

/// Gives the thread back the slack it had.
pub(crate) fn restore(previous: Previous) {
    set(previous.0);
}

fn set(nanos: libc::c_ulong) {
    // SAFETY: see the module docs. It cannot fail for a thread's own slack.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, nanos) };
}
