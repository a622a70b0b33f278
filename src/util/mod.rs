//! Small things that no layer owns.

pub(crate) mod trace;
pub(crate) mod unwind;
