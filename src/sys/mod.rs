//! L0: all talk with the kernel. No `Waker`, no task.
//!
//! # The backend contract
//!
//! What the driver asks of a ring:
//!
//! - [`uring::Ring::new`] makes a ring that belongs to no thread yet; `enable` binds it to the
//!   calling thread, and from then on only that thread may call `push`, `enter` and `reap`.
//! - `push` never loses an entry: what does not fit is kept and goes in with a later `enter`.
//! - `enter` submits everything pushed and, if asked, waits. Every errno has an arm in
//!   [`uring::EnterError`].
//! - `reap` hands out completions in order; their tokens may be stale, and the caller must
//!   check them.

pub(crate) mod affinity;
#[cfg(feature = "uring-native")]
pub(crate) mod call;
#[cfg(feature = "uring-native")]
pub(crate) mod control;
pub(crate) mod epoll;
pub(crate) mod event_fd;
pub(crate) mod exit;
pub(crate) mod fault;
#[cfg(feature = "fs")]
pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod io;
pub(crate) mod mask;
#[cfg(feature = "net")]
pub(crate) mod peer_cred;
#[cfg(any(feature = "process", feature = "uring-native"))]
pub(crate) mod pidfd;
#[cfg(any(feature = "net", feature = "process"))]
#[cfg_attr(not(feature = "net"), allow(dead_code))]
pub(crate) mod pipe;
pub(crate) mod poll;
cfg_signal_driver! {
    pub(crate) mod signal;
}
#[cfg(feature = "net")]
pub(crate) mod socket;
pub(crate) mod uring;
#[cfg(feature = "uring-native")]
pub(crate) mod wait;
