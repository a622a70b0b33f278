//! What a native operation is made of.
//!
//! # Protocol
//!
//! - An [`Action`](sealed::Action) owns all that its operation reads and writes, and keeps the
//!   descriptor: a socket's through its [`Leftovers`], a file's through an `Arc`.
//! - [`call`](sealed::Action::call) says what is to be done, once, with pointers into the action.
//!   Between that and the operation's end the action is neither moved nor touched.
//! - A [`Request`](super::Request) carries it out on whatever lane there is, and asks
//!   [`again`](sealed::Action::again) whether that was all.
//! - An action that `LENDS` its buffer has its output made by [`lent`](sealed::Action::lent) if the kernel still reads
//!   it by then.
//! - [`complete`](sealed::Action::complete) makes the output of it, or, if the request was dropped,
//!   [`orphan`](sealed::Action::orphan) sees to what the operation got.
//! - [`perform`](sealed::Action::perform) is the same with a system call.
//! - An action that takes something out of its descriptor (`TAKES`) asks for leftovers before each
//!   attempt, and settles with them when it is an orphan, exactly once.
//!
//! # Safety
//!
//! [`sealed::Action`] is unsafe to implement; each implementation says how it keeps the promise.
#![allow(unsafe_code)]

mod accept;
mod connect;
mod file;
mod message;
mod path;
mod raw;
mod recv;
mod rw;
mod send;
mod splice;
mod vectored;
mod wait;
mod xattr;
mod zero_copy;

pub(crate) use accept::accepted;
pub(crate) use file::What;
pub(crate) use message::Of;
pub(in crate::native) use message::{is_truncated, truncation};
pub(crate) use path::{Change, Dir, Name};
pub(crate) use recv::Kind;
pub(crate) use rw::Extent;
pub(crate) use send::{Flags, How};
pub(crate) use splice::End;
pub(crate) use xattr::Of as XattrOf;

pub use accept::Accept;
pub use connect::{Connect, Shutdown};
pub use file::{Control, Fallocate};
pub use message::{RecvFrom, RecvMsg, SendMsg, SendTo, SendVectored};
pub use path::{Open, PathChange, Statx};
pub use raw::Raw;
pub use recv::{Recv, RecvExact};
pub use rw::{ReadAt, WriteAt};
pub use send::{Send, SendAll};
pub use splice::Splice;
pub use vectored::{Readv, RecvVectored, WriteVectored, Writev};
pub use wait::WaitId;
pub use xattr::{GetXattr, SetXattr};
pub use zero_copy::{SendMsgZc, SendZc};

use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::driver::{Found, Leftover, Leftovers};
use crate::native::buf::{self, BoundedBufMut};

/// The most one operation moves (`MAX_RW_COUNT` of Linux).
const MAX_LEN: usize = 0x7fff_f000;

/// A length as entries have it.
fn len32(len: usize) -> u32 {
    len.min(MAX_LEN) as u32
}

/// An operation of the native lane: what [`Request`](super::Request) carries out.
///
/// It is a bound only, and cannot be implemented outside of this crate.
pub trait Action: sealed::Action {}

impl<A: sealed::Action> Action for A {}

pub(crate) mod sealed {
    //! The half of [`Action`](super::Action) that users cannot name.

    use std::io;
    use std::time::Instant;

    use super::{Early, GivenBack};
    use crate::driver::FixedMemory;
    use crate::driver::op::Op;
    use crate::native::ring::Ringed;
    use crate::sys::call::Call;

    /// See the module docs.
    ///
    /// # Safety
    ///
    /// What `call` points to is owned by the action, and neither freed, moved nor written by moving
    /// the action itself, except in place; the descriptors it names stay open while the action
    /// lives.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    pub unsafe trait Action: Send + Unpin + 'static {
        type Output;

        /// Does it take something out of its descriptor, which must not be lost?
        const TAKES: bool = false;

        /// Does a paused clock stand still meanwhile, as for what Tokio does on its blocking pool?
        const HOLDS_CLOCK: bool = false;

        /// What is to be done (next).
        fn call(&mut self) -> Call;

        /// The memory in question, if rings may know it and the operation can use that.
        fn fixed(&self) -> Option<&FixedMemory> {
            None
        }

        /// Its opcode.
        fn opcode(&mut self) -> u8 {
            self.call().opcode()
        }

        /// What a ring's completion says besides the result (`IORING_CQE_F_*`).
        fn note(&mut self, flags: u32) {
            let _ = flags;
        }

        /// Does it with a system call, for lanes without a ring; `-EAGAIN` if that would block.
        ///
        /// # Safety
        ///
        /// The action stays where it is meanwhile.
        unsafe fn perform(&mut self) -> i32 {
            // SAFETY: what it points to is there.
            unsafe { self.call().perform() }
        }

        /// Is there anything to know before an attempt?
        fn early(&mut self) -> Early {
            Early::Attempt
        }

        /// Is it over before it begins, since there is no room for what it would take?
        fn wants_nothing(&self) -> bool {
            false
        }

        /// That happened; is there more to do?
        fn again(&mut self, result: &io::Result<u32>) -> bool {
            let _ = result;
            false
        }

        /// Has it done less than it was to, so that a chain ends here? After its last step.
        fn falls_short(&self, moved: u32) -> bool {
            let _ = moved;
            false
        }

        /// May it end short of what it is to do, and the kernel not know that? Then nothing is linked behind it.
        const TAKES_STEPS: bool = false;

        /// The output.
        fn complete(self, result: io::Result<u32>) -> Self::Output;

        /// Is its output made with the result, while the kernel still reads the buffer?
        const LENDS: bool = false;

        /// The result is known: lets go of all that it holds but the buffer.
        fn settle(&mut self) {}

        /// That output, if it has done something; the action comes back with `op`.
        fn lent(op: Op<Ringed<Self>>, done: u32) -> Self::Output
        where
            Self: Sized,
        {
            let _ = (op, done);
            unreachable!("it lends nothing");
        }

        /// The operation has ended, `at` that time if a ring has said so, but its request is gone.
        fn orphan(self, result: io::Result<u32>, at: Option<Instant>)
        where
            Self: Sized,
        {
            if Self::TAKES {
                self.give_back(result).settle(at);
            } else {
                drop(self.complete(result));
            }
        }

        /// What it has taken out of its descriptor, if it does so, for the next read.
        fn give_back(self, result: io::Result<u32>) -> GivenBack
        where
            Self: Sized,
        {
            drop(self.complete(result));
            unreachable!("it takes nothing");
        }

        /// Does it hold something that was received by an earlier part of it?
        fn has_partial(&self) -> bool {
            false
        }

        /// May it be submitted a second time, if its ring had to let go of it before it began?
        fn is_repeatable(&self) -> bool {
            true
        }
    }
}

/// What nobody has read of what an action took.
#[derive(Debug)]
pub(crate) struct GivenBack {
    io: Arc<Leftovers>,
    got: Option<Leftover>,
    error: Option<Leftover>,
}

impl GivenBack {
    fn new(io: Arc<Leftovers>, got: Option<Leftover>) -> GivenBack {
        GivenBack { io, got, error: None }
    }

    /// Its request was dropped before it ended, which it did `at` that time, and has said so.
    fn settle(mut self, at: Option<Instant>) {
        if self.error.is_some() {
            self.got.take().into_iter().for_each(|got| self.io.keep_quietly(got, at));
        }
        self.io.settled(self.got.or(self.error), at);
    }

    /// It had ended before: it comes first.
    pub(crate) fn put_back(self) {
        [self.error, self.got].into_iter().flatten().for_each(|left| self.io.put_back(left));
    }
}

/// See [`sealed::Action::early`].
#[derive(Debug)]
pub(crate) enum Early {
    /// No.
    Attempt,
    /// It is done already.
    Done(io::Result<u32>),
    /// Something must be waited for first.
    Wait,
}

impl Early {
    /// What to do about leftovers.
    fn of(found: Found<io::Result<usize>>) -> Early {
        match found {
            Found::Kept(result) => Early::Done(result.map(|n| n as u32)),
            Found::Unsettled => Early::Wait,
            Found::Nothing => Early::Attempt,
        }
    }

    /// The same, for actions that receive bytes into `buf`.
    fn bytes<B: BoundedBufMut>(io: &Leftovers, into: &mut B) -> Early {
        if !io.is_pending() {
            return Early::Attempt;
        }
        Early::of(io.read(|bytes| buf::fill(into, bytes)))
    }
}

/// An error that came with a dropped operation, if the next one must hear of it: the kernel reports
/// an error of a socket once.
fn lasting(error: &io::Error) -> Option<i32> {
    error.raw_os_error().filter(|errno| !matches!(*errno, libc::ECANCELED | libc::EINTR | libc::EAGAIN))
}
