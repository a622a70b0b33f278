//! `io_uring`: one ring and what is sent through it.

#[cfg(feature = "uring-native")]
pub(crate) mod buf_ring;
mod cache;
mod doorbell;
mod entry;
#[cfg(feature = "uring-native")]
pub(crate) mod fixed;
mod probe;
#[cfg(feature = "uring-native")]
mod punt;
mod release;
mod ring;
mod token;

pub(crate) use doorbell::{Doorbell, Rung};
#[allow(unused_imports)]
pub(crate) use entry::Limit;
pub(crate) use probe::supports;
#[cfg(feature = "uring-native")]
pub(crate) use punt::Punt;
pub(crate) use release::Release;
#[cfg(feature = "uring-native")]
pub(crate) use ring::MOST_LINKED;
pub(crate) use ring::{EnterError, Refused, Ring, Wait, try_one};
pub(crate) use token::{Kind, Token};

use std::os::fd::RawFd;
use std::time::Duration;

use io_uring::squeue::{Entry, Flags};
use io_uring::{opcode, types};

/// A time limit as the kernel reads it, of rings and of others.
pub(crate) fn timespec(limit: Duration) -> types::Timespec {
    // The kernel counts seconds with a sign.
    types::Timespec::new().sec(limit.as_secs().min(i64::MAX as u64)).nsec(limit.subsec_nanos())
}

/// One completion, copied out of the ring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cqe {
    pub(crate) token: Token,
    /// The result: a negated errno or the operation's value.
    pub(crate) result: i32,
    /// `IORING_CQE_F_MORE`: a multishot operation goes on.
    pub(crate) more: bool,
    /// All of `IORING_CQE_F_*`.
    pub(crate) flags: u32,
}

/// One submission.
#[derive(Debug, Clone)]
pub(crate) struct Sqe(Entry);

impl Sqe {
    /// Watches `fd` for `events` (poll bits) until cancelled: multishot `POLL_ADD`, which
    /// reports each wake-up of the file once, as edge-triggered epoll does (Linux 5.13).
    pub(crate) fn poll_multishot(fd: RawFd, events: u32, token: Token) -> Sqe {
        let entry = opcode::PollAdd::new(types::Fd(fd), events).multi(true).build();
        Sqe(entry.user_data(token.into_raw()))
    }

    /// Cancels the operation submitted with `target` (`ASYNC_CANCEL` by user data). Only a failure posts
    /// a completion.
    pub(crate) fn cancel(target: Token) -> Sqe {
        let entry = opcode::AsyncCancel::new(target.into_raw()).build();
        let kind = if target.kind() == Some(Kind::Op) { Kind::OpCancel } else { Kind::Cancel };
        let token = Token::new(kind, target.generation(), target.index());
        Sqe(entry.user_data(token.into_raw()).flags(Flags::SKIP_SUCCESS))
    }

    /// Posts a completion with `token` to the ring `target` (`MSG_RING`, Linux 5.18). Only a
    /// failure posts one here.
    pub(crate) fn message(target: RawFd, token: Token) -> Sqe {
        let entry = opcode::MsgRingData::new(types::Fd(target), 0, token.into_raw(), None).build();
        let own = Token::new(Kind::DoorbellSent, 0, 0);
        Sqe(entry.user_data(own.into_raw()).flags(Flags::SKIP_SUCCESS))
    }

    /// Posts any completion (without `F_MORE`) to the ring `target`.
    #[cfg(test)]
    pub(crate) fn forge(target: RawFd, cqe: Cqe) -> Sqe {
        let entry =
            opcode::MsgRingData::new(types::Fd(target), cqe.result, cqe.token.into_raw(), None).build();
        let own = Token::new(Kind::DoorbellSent, 0, 0);
        Sqe(entry.user_data(own.into_raw()).flags(Flags::SKIP_SUCCESS))
    }
}
