//! Rings: operations with owned memory, for as long as they are in flight.
//!
//! A thread that drives a shard makes a ring when it has the first operation to submit, and not
//! before; a `SINGLE_ISSUER` ring is that thread's for good. What is watched for readiness has nothing to
//! do with rings, so a shard without one lacks nothing but operations, and a thread that leaves its
//! shard only has to see to those in flight.

mod engine;
mod left_behind;
mod ops;
mod outgoing;
mod remote;
mod stats;

pub(super) use engine::{Aftermath, Ending, Engine, FORBIDDEN};
pub(super) use outgoing::{Outgoing, is_many, new_turn};
pub(crate) use remote::Remote;
pub(crate) use stats::RingStats;
pub(super) use stats::Stats;

use crate::sys::uring::Token;

use super::seat;
use remote::Message;

/// Cancels the operation `token` of the ring behind `remote`, without waiting for anything.
pub(crate) fn cancel(remote: &Remote, token: Token) {
    if seat::is_inherited() {
        // In the child of a fork: the operation is the parent's, and so is its buffer over there.
        return;
    }
    if seat::with_engine_of(remote, |engine| engine.cancel(token)).is_none() {
        // A ring that is being given up has cancelled it already.
        remote.send(Message::Cancel(token));
    }
}

/// Has the ring behind `remote` forget memory that nobody uses any more.
#[cfg(feature = "uring-native")]
pub(crate) fn forget_unused(remote: &Remote) {
    remote.send(Message::ForgetUnused);
}
