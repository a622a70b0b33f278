//! Operations that are submitted together, each linked to the next.
//!
//! # Protocol
//!
//! - The parts are operations like any others, which a ring takes on all at once, or none of them: it
//!   holds the gate while it does.
//! - Whoever drops the parts' futures closes the gate before. So no ring finds one of them gone and the
//!   next still there, which would be linked to nothing.
//! - What a ring must let go of before the kernel has it, or after, lands with `ECANCELED`, for the
//!   future to repeat what is left of the chain; the order would be lost otherwise.

use std::fmt;
use std::sync::Arc;

use super::{Completion, Flight, refuse};
use crate::loom::sync::Mutex;

/// See the module docs.
pub(crate) struct Chain {
    parts: Box<[Arc<dyn Flight>]>,
    /// Each is done whatever has become of the one before.
    pub(crate) is_hard: bool,
    is_abandoned: Mutex<bool>,
}

impl Chain {
    /// The parts, in order.
    pub(crate) fn new(parts: Vec<Arc<dyn Flight>>, is_hard: bool) -> Chain {
        Chain { parts: parts.into(), is_hard, is_abandoned: Mutex::new(false) }
    }

    /// The only shard whose ring may take it on, if it matters.
    pub(crate) fn shard(&self) -> Option<usize> {
        self.parts.first().and_then(|flight| flight.shard())
    }

    /// The futures are about to be dropped.
    pub(crate) fn abandon(&self) {
        *self.is_abandoned.lock() = true;
    }

    /// Has a ring take on the parts, unless they are abandoned.
    pub(crate) fn board(&self, take_on: impl FnOnce(&[Arc<dyn Flight>])) {
        let is_abandoned = self.is_abandoned.lock();
        if !*is_abandoned {
            take_on(&self.parts);
        }
    }

    /// The parts themselves, for whoever must not drop the last reference to one here.
    pub(crate) fn into_flights(self: Arc<Self>) -> impl Iterator<Item = Arc<dyn Flight>> {
        (0..self.parts.len()).map(move |i| self.parts[i].clone())
    }

    /// No ring will take it.
    pub(crate) fn refuse(&self, why: impl Fn() -> Completion) {
        for flight in &self.parts {
            refuse(&**flight, why());
        }
    }
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("parts", &self.parts.len()).finish_non_exhaustive()
    }
}
