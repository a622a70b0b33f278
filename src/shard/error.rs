use std::error::Error;
use std::fmt;

/// Why a message was not sent; the message comes back with it.
#[derive(Clone, PartialEq, Eq)]
pub struct SendError<T> {
    reason: SendErrorReason,
    message: T,
}

/// What kept a message from being sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SendErrorReason {
    /// The inbox is full; only the methods that do not wait say so.
    Full,
    /// There is no inbox for messages of this type on the shard. The type is that of the expression:
    /// `send(7)` looks for an `Inbox<i32>`.
    NoInbox,
    /// The inbox was dropped or closed, or the shard is gone: its runtime was shut down.
    Gone,
}

impl<T> SendError<T> {
    pub(super) fn new(reason: SendErrorReason, message: T) -> SendError<T> {
        SendError { reason, message }
    }

    pub(super) fn map<U>(self, f: impl FnOnce(T) -> U) -> SendError<U> {
        SendError { reason: self.reason, message: f(self.message) }
    }

    /// What went wrong.
    pub fn reason(&self) -> SendErrorReason {
        self.reason
    }

    /// The message (of a batch, those that were not sent).
    pub fn into_inner(self) -> T {
        self.message
    }
}

impl fmt::Display for SendErrorReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendErrorReason::Full => "the shard's inbox is full",
            SendErrorReason::NoInbox => "the shard has no inbox for messages of this type",
            SendErrorReason::Gone => "the shard's inbox is gone",
        })
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the message, which need not be `Debug`; its type is what one has to see if there is
        // no inbox for it.
        f.debug_struct("SendError")
            .field("reason", &self.reason)
            .field("type", &format_args!("{}", std::any::type_name::<T>()))
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            SendErrorReason::NoInbox => {
                write!(f, "the shard has no inbox for messages of type {}", std::any::type_name::<T>())
            }
            reason => reason.fmt(f),
        }
    }
}

impl<T> Error for SendError<T> {}

/// The inbox was dropped before it took everything: see [`Flush`](super::Flush).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushError(pub(super) ());

impl fmt::Display for FlushError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the shard's inbox was dropped with messages in it")
    }
}

impl Error for FlushError {}
