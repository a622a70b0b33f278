//! Operations that are still in the kernel's hands when their ring is closed.
//!
//! Nobody waits for what cannot be cancelled: a file system that does not answer, a peer that does not take what was
//! sent without a copy. A thread of its own does. It frees the memory and tells whoever still asks when the kernel is
//! done ([`Release`]), not earlier. Such rings are rare, so there is a thread for each of them, and none otherwise.

use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::thread;

use crate::driver::op::{Completion, Flight, refuse};
use crate::sys::mask;
use crate::sys::uring::Release;
use crate::util::unwind;

/// Sees to `flights` once the ring behind `release` is gone; `false` if that cannot be known, so that they are kept for
/// ever.
pub(super) fn see_to(release: Option<Release>, flights: ManuallyDrop<Vec<Arc<dyn Flight>>>) -> bool {
    if flights.is_empty() {
        return true;
    }
    let Some(release) = release else { return false };
    let wait = move || {
        // An error, which nobody has seen: they are kept.
        if release.wait().is_ok() {
            for flight in ManuallyDrop::into_inner(flights) {
                unwind::swallow(|| refuse(&*flight, Completion::left_behind()));
            }
        }
    };
    let start = || thread::Builder::new().name("spargio-release".to_owned()).spawn(wait);
    mask::with_all_blocked(start).is_ok()
}
