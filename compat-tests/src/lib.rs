//! Runs the *published* test suites of tokio, tokio-util and tokio-stream against spargio.
//!
//! The sources are taken from where cargo unpacked them; nothing of them is copied here, but for the half of
//! Tokio that a patched program needs ([`patch`]).
//! One run goes through these steps:
//!
//! 1. [`metadata`] finds the published sources and the workspace.
//! 2. [`materialize`] writes a cargo workspace of their own under `target/compat`, in which every
//!    dependency called `tokio` is spargio (or, to record a baseline, tokio itself).
//! 3. [`graph`] proves that from cargo's own resolution.
//! 4. [`build`] compiles every test target, keeps going over errors and keeps the first error of
//!    each file.
//! 5. [`run`] gives each test a process of its own, a time limit and no second chance.
//! 6. [`report`] compares with what real tokio passed ([`baseline`]), names what differs on
//!    purpose ([`deviation`]), and, where one is given, compares with a list of failures we know
//!    about ([`known`]).
//!
//! [`api`] compares the public interfaces of the two crates instead; [`docs`] runs the examples in
//! the documentation; [`ecosystem`] runs the tests of crates that stand on Tokio, with the `tokio`
//! of `patch/`, which [`patch`] keeps true.
#![deny(unsafe_code)]

pub mod api;
pub mod area;
pub mod baseline;
pub mod build;
pub mod cli;
pub mod deviation;
pub mod docs;
pub mod ecosystem;
pub mod graph;
pub mod known;
pub mod lock;
pub mod materialize;
pub mod metadata;
pub mod patch;
pub mod report;
pub mod run;
pub mod session;
pub mod suite;

pub use cli::Options;
pub use session::{Outcome, run_suites};
