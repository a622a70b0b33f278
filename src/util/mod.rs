//! Small things that no layer owns.

pub(crate) mod error;
pub(crate) mod trace;
