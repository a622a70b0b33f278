//! What a waiter waits for.

use std::fmt;
use std::ops;

use crate::driver::Ready;
use crate::sys::poll;

// Combinable, so not the bits of `Ready`.
const READABLE: u8 = 0b0001;
const WRITABLE: u8 = 0b0010;
const PRIORITY: u8 = 0b0100;
const ERROR: u8 = 0b1000;

/// Readiness interest: which events of an I/O resource to wait for.
///
/// Interests are combined with `|` or [`add`](Interest::add). An interest is never empty.
#[derive(Clone, Copy, Eq, PartialEq)]
#[cfg_attr(docsrs, doc(cfg(feature = "net")))]
pub struct Interest(u8);

impl Interest {
    /// Interest in readable events, which include the read half being closed.
    pub const READABLE: Interest = Interest(READABLE);

    /// Interest in writable events, which include the write half being closed.
    pub const WRITABLE: Interest = Interest(WRITABLE);

    /// Interest in error events.
    pub const ERROR: Interest = Interest(ERROR);

    /// Interest in priority events, such as out-of-band data of a TCP socket.
    pub const PRIORITY: Interest = Interest(PRIORITY);

    /// Does this include readable events?
    ///
    /// ```
    /// use tokio::io::Interest;
    /// assert!((Interest::READABLE | Interest::WRITABLE).is_readable());
    /// assert!(!Interest::WRITABLE.is_readable());
    /// ```
    pub const fn is_readable(self) -> bool {
        self.0 & READABLE != 0
    }

    /// Does this include writable events?
    pub const fn is_writable(self) -> bool {
        self.0 & WRITABLE != 0
    }

    /// Does this include error events?
    pub const fn is_error(self) -> bool {
        self.0 & ERROR != 0
    }

    /// Does this include priority events?
    pub const fn is_priority(self) -> bool {
        self.0 & PRIORITY != 0
    }

    /// Both interests together.
    #[must_use = "this returns the result of the operation, without modifying the original"]
    pub const fn add(self, other: Interest) -> Interest {
        Interest(self.0 | other.0)
    }

    /// This interest without `other`; `None` if nothing is left.
    ///
    /// ```
    /// use tokio::io::Interest;
    /// let both = Interest::READABLE | Interest::WRITABLE;
    /// assert_eq!(both.remove(Interest::READABLE), Some(Interest::WRITABLE));
    /// assert_eq!(both.remove(both), None);
    /// ```
    #[must_use = "this returns the result of the operation, without modifying the original"]
    pub fn remove(self, other: Interest) -> Option<Interest> {
        match self.0 & !other.0 {
            0 => None,
            rest => Some(Interest(rest)),
        }
    }

    /// The readiness that satisfies this interest.
    pub(crate) fn mask(self) -> Ready {
        let mut mask = Ready::EMPTY;
        if self.is_readable() {
            mask |= Ready::READABLE | Ready::READ_CLOSED;
        }
        if self.is_writable() {
            mask |= Ready::WRITABLE | Ready::WRITE_CLOSED;
        }
        if self.is_priority() {
            mask |= Ready::PRIORITY | Ready::READ_CLOSED;
        }
        if self.is_error() {
            mask |= Ready::ERROR;
        }
        mask
    }

    /// The poll bits to watch for; errors and hang-ups are always reported. Tokio watches for readable
    /// events along with errors, and reports them.
    pub(crate) fn poll_events(self) -> u32 {
        let mut events = 0;
        if self.is_readable() || self.is_error() {
            events |= poll::IN | poll::RDHUP;
        }
        if self.is_writable() {
            events |= poll::OUT;
        }
        if self.is_priority() {
            events |= poll::PRI;
        }
        events
    }
}

impl ops::BitOr for Interest {
    type Output = Interest;

    fn bitor(self, other: Interest) -> Interest {
        self.add(other)
    }
}

impl ops::BitOrAssign for Interest {
    fn bitor_assign(&mut self, other: Interest) {
        *self = *self | other;
    }
}

impl fmt::Debug for Interest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (self.is_readable(), "READABLE"),
            (self.is_writable(), "WRITABLE"),
            (self.is_priority(), "PRIORITY"),
            (self.is_error(), "ERROR"),
        ];
        let mut separator = "";
        for (set, name) in names {
            if set {
                write!(f, "{separator}{name}")?;
                separator = " | ";
            }
        }
        Ok(())
    }
}
