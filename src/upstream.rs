//! Everything that is re-exported from the published Tokio, in one list.
//!
//! Only its runtime-agnostic half: a name in this file never reaches Tokio's own
//! scheduler or drivers.
