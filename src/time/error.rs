//! What can go wrong with timers.

use std::fmt;

/// A timer could not be used.
///
/// * *shutdown*: the runtime of the timer is gone; it will never fire.
/// * *at capacity*: there are too many timers right now; a later attempt may succeed.
/// * *invalid*: the timer's duration cannot be represented.
#[derive(Debug, Copy, Clone)]
pub struct Error(Kind);

#[derive(Debug, Clone, Copy, Eq, PartialEq)]
enum Kind {
    Shutdown,
    AtCapacity,
    Invalid,
}

/// The limit of a [`timeout`](super::timeout) has passed before its future was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Elapsed(());

impl Error {
    /// An error for a runtime that is gone.
    pub fn shutdown() -> Error {
        Error(Kind::Shutdown)
    }

    /// Is the runtime of the timer gone?
    pub fn is_shutdown(&self) -> bool {
        matches!(self.0, Kind::Shutdown)
    }

    /// An error for too many timers.
    pub fn at_capacity() -> Error {
        Error(Kind::AtCapacity)
    }

    /// Are there too many timers?
    pub fn is_at_capacity(&self) -> bool {
        matches!(self.0, Kind::AtCapacity)
    }

    /// An error for a duration that cannot be represented.
    pub fn invalid() -> Error {
        Error(Kind::Invalid)
    }

    /// Can the duration not be represented?
    pub fn is_invalid(&self) -> bool {
        matches!(self.0, Kind::Invalid)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Shutdown => {
                "the timer is shutdown, must be called from the context of Tokio runtime"
            }
            Kind::AtCapacity => "timer is at capacity and cannot create a new entry",
            Kind::Invalid => "timer duration exceeds maximum duration",
        })
    }
}

impl std::error::Error for Error {}

impl Elapsed {
    pub(crate) fn new() -> Self {
        Elapsed(())
    }
}

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        "deadline has elapsed".fmt(f)
    }
}

impl std::error::Error for Elapsed {}

impl From<Elapsed> for std::io::Error {
    fn from(_: Elapsed) -> std::io::Error {
        std::io::ErrorKind::TimedOut.into()
    }
}
