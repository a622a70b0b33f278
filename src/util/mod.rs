//! Small things that no layer owns.

#[cfg(all(tokio_unstable, feature = "taskdump"))]
pub(crate) mod leaf;
#[cfg(not(all(tokio_unstable, feature = "taskdump")))]
#[path = "leaf_off.rs"]
pub(crate) mod leaf;
pub(crate) mod trace;
pub(crate) mod unwind;
pub(crate) mod variables;
