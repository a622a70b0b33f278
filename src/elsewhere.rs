//! What this crate is on machines without `io_uring`: the published Tokio.

pub use ::upstream::*;
