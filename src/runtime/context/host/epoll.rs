//! The epoll instance of a host: which descriptor is it?
//!
//! The published Tokio does not say. But a descriptor of ours can be registered with it, and the kernel says whether
//! some epoll instance has that member. The numbers asked about are those from the lowest on that was free when the
//! host was built: it is the first unless other threads were opening files just then.

use std::os::fd::{AsRawFd, RawFd};

use crate::sys::epoll::has_member;
use crate::sys::event_fd::EventFd;
use upstream::net::UnixDatagram;
use upstream::runtime::Handle;

/// The number that the next descriptor gets.
pub(super) fn next_number() -> Option<RawFd> {
    EventFd::new().ok().map(|free| free.as_raw_fd())
}

/// The number of the epoll instance of `host`, which was built when `next` was the next number; `None` if it is not
/// found.
pub(super) fn find(host: &Handle, next: RawFd) -> Option<RawFd> {
    /// What other threads may open meanwhile.
    const RANGE: RawFd = 64;

    if Handle::try_current().is_err_and(|error| error.is_thread_local_destroyed()) {
        // It cannot be entered.
        return None;
    }
    let _guard = host.enter();
    // The cheapest of what may be registered. What the kernel has to say about it goes with it: the host has no event
    // of it.
    let probe = UnixDatagram::unbound().ok()?;
    (next..next.saturating_add(RANGE)).find(|&number| has_member(number, probe.as_raw_fd()))
}
