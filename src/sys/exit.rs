//! What is called when the process ends.
//!
//! # Safety
//!
//! `atexit(3)` keeps a pointer to a function of this crate, which takes nothing and does not unwind.
#![allow(unsafe_code)]

/// Has `exit(3)` call `f`, which must not unwind: at the end of `main` and in `std::process::exit`, not in `_exit`,
/// `abort`, `exec`, or by a signal. Other threads run on meanwhile.
///
/// Without memory for that nothing is called.
pub(crate) fn at_exit(f: extern "C" fn()) {
    // SAFETY: see the module docs.
    let _ = unsafe { libc::atexit(f) };
}
