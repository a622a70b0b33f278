//! What an I/O resource is ready for.

use std::fmt;
use std::ops;

use crate::sys::poll;

const READABLE: u16 = 0b0_01;
const WRITABLE: u16 = 0b0_10;
const READ_CLOSED: u16 = 0b0_0100;
const WRITE_CLOSED: u16 = 0b0_1000;
const PRIORITY: u16 = 0b1_0000;
const ERROR: u16 = 0b10_0000;

/// The readiness state of an I/O resource: a set of the events below.
///
/// Returned by the `ready` functions of sockets and by
/// [`AsyncFdReadyGuard::ready`](crate::io::unix::AsyncFdReadyGuard::ready).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(docsrs, doc(cfg(feature = "net")))]
pub struct Ready(u16);

impl Ready {
    /// The empty set.
    pub const EMPTY: Ready = Ready(0);

    /// Reading will not block.
    pub const READABLE: Ready = Ready(READABLE);

    /// Writing will not block.
    pub const WRITABLE: Ready = Ready(WRITABLE);

    /// The read half was closed.
    pub const READ_CLOSED: Ready = Ready(READ_CLOSED);

    /// The write half was closed.
    pub const WRITE_CLOSED: Ready = Ready(WRITE_CLOSED);

    /// There is priority (out-of-band) data.
    pub const PRIORITY: Ready = Ready(PRIORITY);

    /// An error is pending on the resource.
    pub const ERROR: Ready = Ready(ERROR);

    /// All events.
    pub const ALL: Ready = Ready(READABLE | WRITABLE | READ_CLOSED | WRITE_CLOSED | ERROR | PRIORITY);

    /// Is this the empty set?
    pub fn is_empty(self) -> bool {
        self == Ready::EMPTY
    }

    /// Is it ready to be read? A closed read half is: the next read says so.
    pub fn is_readable(self) -> bool {
        self.contains(Ready::READABLE) || self.is_read_closed()
    }

    /// Is it ready to be written? A closed write half is: the next write says so.
    pub fn is_writable(self) -> bool {
        self.contains(Ready::WRITABLE) || self.is_write_closed()
    }

    /// Is the read half closed?
    pub fn is_read_closed(self) -> bool {
        self.contains(Ready::READ_CLOSED)
    }

    /// Is the write half closed?
    pub fn is_write_closed(self) -> bool {
        self.contains(Ready::WRITE_CLOSED)
    }

    /// Is there priority data?
    pub fn is_priority(self) -> bool {
        self.contains(Ready::PRIORITY)
    }

    /// Is an error pending?
    pub fn is_error(self) -> bool {
        self.contains(Ready::ERROR)
    }

    /// Does this include all of `other`?
    pub(crate) fn contains<T: Into<Ready>>(self, other: T) -> bool {
        let other = other.into();
        self & other == other
    }

    pub(crate) fn from_bits(bits: usize) -> Ready {
        Ready(bits as u16 & Ready::ALL.0)
    }

    pub(crate) fn bits(self) -> usize {
        usize::from(self.0)
    }

    /// Reads poll bits as mio reads epoll's, so that both backends report alike.
    pub(crate) fn from_poll(events: u32) -> Ready {
        let is = |bits: u32| events & bits != 0;
        let mut ready = Ready::EMPTY;
        if is(poll::IN | poll::PRI) {
            ready |= Ready::READABLE;
        }
        if is(poll::OUT) {
            ready |= Ready::WRITABLE;
        }
        // A half-close is only one if the data before it was reported too.
        if is(poll::HUP) || is(poll::IN) && is(poll::RDHUP) {
            ready |= Ready::READ_CLOSED;
        }
        if is(poll::HUP) || is(poll::OUT) && is(poll::ERR) || events == poll::ERR {
            ready |= Ready::WRITE_CLOSED;
        }
        if is(poll::PRI) {
            ready |= Ready::PRIORITY;
        }
        if is(poll::ERR) {
            ready |= Ready::ERROR;
        }
        ready
    }
}

impl ops::BitOr for Ready {
    type Output = Ready;

    fn bitor(self, other: Ready) -> Ready {
        Ready(self.0 | other.0)
    }
}

impl ops::BitOrAssign for Ready {
    fn bitor_assign(&mut self, other: Ready) {
        self.0 |= other.0;
    }
}

impl ops::BitAnd for Ready {
    type Output = Ready;

    fn bitand(self, other: Ready) -> Ready {
        Ready(self.0 & other.0)
    }
}

impl ops::Sub for Ready {
    type Output = Ready;

    fn sub(self, other: Ready) -> Ready {
        Ready(self.0 & !other.0)
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready")
            .field("is_readable", &self.is_readable())
            .field("is_writable", &self.is_writable())
            .field("is_read_closed", &self.is_read_closed())
            .field("is_write_closed", &self.is_write_closed())
            .field("is_error", &self.is_error())
            .field("is_priority", &self.is_priority())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::poll::{ERR, HUP, IN, OUT, RDHUP};

    #[test]
    fn poll_bits_map_as_mio_maps_them() {
        assert_eq!(Ready::from_poll(IN), Ready::READABLE);
        assert_eq!(Ready::from_poll(OUT), Ready::WRITABLE);
        assert_eq!(Ready::from_poll(RDHUP), Ready::EMPTY);
        assert_eq!(Ready::from_poll(IN | RDHUP), Ready::READABLE | Ready::READ_CLOSED);
        assert_eq!(Ready::from_poll(HUP), Ready::READ_CLOSED | Ready::WRITE_CLOSED);
        assert_eq!(Ready::from_poll(ERR), Ready::WRITE_CLOSED | Ready::ERROR);
        assert_eq!(Ready::from_poll(OUT | ERR), Ready::WRITABLE | Ready::WRITE_CLOSED | Ready::ERROR);
        assert_eq!(Ready::from_poll(IN | ERR), Ready::READABLE | Ready::ERROR);
    }
}
