//! Compares the public interface of spargio with that of the published tokio.
//!
//! Both come from rustdoc's JSON, which knows what no source says in one place: signatures with
//! their bounds, and the traits each type implements, the automatic ones too.
//!
//! 1. [`rustdoc`] writes the JSON of both crates, with the same features on.
//! 2. [`surface`] turns each into a set of lines in one spelling, the path each is about beside it.
//!    What spargio re-exports from tokio must be the same item at the same path; then it has no
//!    lines of its own to compare.
//! 3. [`mod@compare`] finds what is missing and what is too much, and takes off what the two committed
//!    lists allow: `exceptions.txt` (differences from tokio, each with its reason, and each told
//!    in MIGRATION.md) and `additions.txt` (names of ours). An exception that nothing needs
//!    is itself a finding.

pub mod compare;
pub mod lists;
pub mod rustdoc;
pub mod spelling;
pub mod surface;

pub use compare::{Comparison, compare};
