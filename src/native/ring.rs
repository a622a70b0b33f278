//! An action as an operation of a ring.
//!
//! # Safety
//!
//! What an [`Action`] promises is what an [`Operation`] asks for.
#![allow(unsafe_code)]

use std::io;
use std::sync::Arc;

use super::action::Action;
use crate::driver::{Handle, Remote};
use crate::driver::op::{Completion, Operation};
use crate::sys::uring::{Punt, Ring, Sqe};
use crate::util::variables;

/// Does a ring of that runtime do this operation?
pub(crate) fn supports(driver: &Handle, opcode: u8) -> bool {
    driver.supports(opcode) && !is_emulated()
}

/// Does the user want to do without?
fn is_emulated() -> bool {
    // Whoever built a runtime knows that the value is a good one.
    matches!(variables::NATIVE.read(), Ok(Some("emulated")))
}

/// See the module docs. One that takes something out of its descriptor is an orphan unless it
/// completes: its request has said so by then.
pub(in crate::native) struct Ringed<A: Action>(Option<A>, Option<Punt>);

impl<A: Action> Ringed<A> {
    /// The permit is kept until the kernel is done.
    pub(super) fn new(action: A, punt: Option<Punt>) -> Ringed<A> {
        Ringed(Some(action), punt)
    }

    fn take(&mut self) -> A {
        match self.0.take() {
            Some(action) => action,
            None => unreachable!("taken out once, at the end"),
        }
    }
}

// SAFETY: the action owns what its entry points to, wherever it is moved before and after, and keeps
// its descriptors open.
unsafe impl<A: Action> Operation for Ringed<A> {
    type Output = (A, io::Result<u32>);

    const HOLDS_CLOCK: bool = A::HOLDS_CLOCK;

    fn entry(&mut self) -> Sqe {
        match &mut self.0 {
            // SAFETY: as above.
            Some(action) => unsafe { Sqe::operation(action.call().entry()) },
            None => unreachable!("it is not over yet"),
        }
    }

    fn entry_on(&mut self, home: &Arc<Remote>, ring: &mut Ring) -> Sqe {
        let Some(action) = &mut self.0 else { unreachable!("it is not over yet") };
        let index = action.fixed().and_then(|memory| memory.index_on(home, ring));
        let Some(index) = index else { return self.entry() };
        // SAFETY: as above.
        unsafe { Sqe::operation(action.call().on_fixed(index).entry()) }
    }

    fn settle(&mut self) {
        if let Some(action) = &mut self.0 {
            action.settle();
        }
        // Threads of the kernel have nothing to do with it any more.
        self.1 = None;
    }

    fn complete(mut self, completion: Completion) -> (A, io::Result<u32>) {
        let mut action = self.take();
        action.note(completion.flags);
        (action, completion.result)
    }

    fn orphan(mut self, completion: Completion) {
        self.take().orphan(completion.result, completion.at);
    }

    fn is_punted(&self) -> bool {
        self.1.is_some()
    }

    fn is_repeatable(&self) -> bool {
        self.0.as_ref().is_some_and(A::is_repeatable)
    }
}

impl<A: Action> Drop for Ringed<A> {
    fn drop(&mut self) {
        if let Some(action) = self.0.take() {
            if A::TAKES {
                // It never got to the kernel.
                action.orphan(Err(io::Error::from_raw_os_error(libc::ECANCELED)), None);
            }
        }
    }
}
