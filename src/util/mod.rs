//! Small things that no layer owns.

pub(crate) mod trace;
