//! Why a task has no output.
//!
//! # Safety
//!
//! A panic's payload is `Send` but not `Sync`. [`Payload`] makes it shareable by giving
//! nothing away through a shared reference, except strings, which are `Sync` themselves.
#![allow(unsafe_code)]

use super::Id;

use std::any::Any;
use std::{fmt, io};

/// A task ended without an output: it panicked or was cancelled.
///
/// Comes from awaiting a [`JoinHandle`](crate::task::JoinHandle) or from a
/// [`JoinSet`](crate::task::JoinSet).
pub struct JoinError {
    reason: Reason,
    id: Id,
}

enum Reason {
    Cancelled,
    Panic(Payload),
}

/// What a panic carries, see the module documentation.
struct Payload(Box<dyn Any + Send + 'static>);

// SAFETY: the only access through `&Payload` is `as_str`, which looks at the type's id
// and yields types that are `Sync`.
unsafe impl Sync for Payload {}

impl Payload {
    /// The message, if the payload is what `panic!` makes.
    fn as_str(&self) -> Option<&str> {
        match self.0.downcast_ref::<String>() {
            Some(string) => Some(string),
            None => self.0.downcast_ref::<&'static str>().copied(),
        }
    }
}

impl JoinError {
    pub(crate) fn cancelled(id: Id) -> JoinError {
        JoinError { reason: Reason::Cancelled, id }
    }

    pub(crate) fn panic(id: Id, payload: Box<dyn Any + Send + 'static>) -> JoinError {
        JoinError { reason: Reason::Panic(Payload(payload)), id }
    }

    /// Was the task cancelled, by an abort or by the end of its runtime?
    pub fn is_cancelled(&self) -> bool {
        matches!(self.reason, Reason::Cancelled)
    }

    /// Did the task panic?
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = tokio::spawn(async { panic!("oh") }).await.unwrap_err();
    /// assert!(error.is_panic());
    /// # }
    /// ```
    pub fn is_panic(&self) -> bool {
        matches!(self.reason, Reason::Panic(_))
    }

    /// Returns what the task panicked with, for
    /// [`resume_unwind`](std::panic::resume_unwind) for example.
    ///
    /// # Panics
    ///
    /// If the task did not panic; see [`is_panic`](JoinError::is_panic) and
    /// [`try_into_panic`](JoinError::try_into_panic).
    #[track_caller]
    pub fn into_panic(self) -> Box<dyn Any + Send + 'static> {
        self.try_into_panic().expect("`JoinError` reason is not a panic.")
    }

    /// Returns what the task panicked with, or the error itself if it did not panic.
    ///
    /// # Errors
    ///
    /// If the task was cancelled.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let error = tokio::spawn(async { panic!("oh") }).await.unwrap_err();
    /// let payload = error.try_into_panic().unwrap();
    /// assert_eq!(payload.downcast_ref(), Some(&"oh"));
    /// # }
    /// ```
    pub fn try_into_panic(self) -> Result<Box<dyn Any + Send + 'static>, JoinError> {
        match self.reason {
            Reason::Panic(payload) => Ok(payload.0),
            Reason::Cancelled => Err(self),
        }
    }

    /// The id of the task.
    pub fn id(&self) -> Id {
        self.id
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match &self.reason {
            Reason::Cancelled => write!(f, "task {id} was cancelled"),
            Reason::Panic(payload) => match payload.as_str() {
                Some(message) => write!(f, "task {id} panicked with message {message:?}"),
                None => write!(f, "task {id} panicked"),
            },
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.id;
        match &self.reason {
            Reason::Cancelled => write!(f, "JoinError::Cancelled({id:?})"),
            Reason::Panic(payload) => match payload.as_str() {
                Some(message) => write!(f, "JoinError::Panic({id:?}, {message:?}, ...)"),
                None => write!(f, "JoinError::Panic({id:?}, ...)"),
            },
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    fn from(error: JoinError) -> io::Error {
        io::Error::other(match error.reason {
            Reason::Cancelled => "task was cancelled",
            Reason::Panic(_) => "task panicked",
        })
    }
}

#[cfg(all(test, not(spargio_loom)))]
mod tests {
    use super::*;

    fn errors() -> (Id, [JoinError; 4]) {
        let id = Id::next();
        let errors = [
            JoinError::cancelled(id),
            JoinError::panic(id, Box::new("a \"b\"")),
            JoinError::panic(id, Box::new(String::from("c"))),
            JoinError::panic(id, Box::new(7_u8)),
        ];
        (id, errors)
    }

    #[test]
    fn texts() {
        let (id, errors) = errors();
        let display: Vec<_> = errors.iter().map(|e| e.to_string()).collect();
        assert_eq!(
            display,
            [
                format!("task {id} was cancelled"),
                format!("task {id} panicked with message \"a \\\"b\\\"\""),
                format!("task {id} panicked with message \"c\""),
                format!("task {id} panicked"),
            ]
        );
        let debug: Vec<_> = errors.iter().map(|e| format!("{e:?}")).collect();
        assert_eq!(
            debug,
            [
                format!("JoinError::Cancelled(Id({id}))"),
                format!("JoinError::Panic(Id({id}), \"a \\\"b\\\"\", ...)"),
                format!("JoinError::Panic(Id({id}), \"c\", ...)"),
                format!("JoinError::Panic(Id({id}), ...)"),
            ]
        );
        let io: Vec<_> = errors.into_iter().map(|e| io::Error::from(e).to_string()).collect();
        assert_eq!(io, ["task was cancelled", "task panicked", "task panicked", "task panicked"]);
    }

    #[test]
    fn reasons() {
        let (id, [cancelled, literal, _, number]) = errors();
        assert!(cancelled.is_cancelled() && !cancelled.is_panic() && cancelled.id() == id);
        assert!(!literal.is_cancelled() && literal.is_panic());
        assert!(cancelled.try_into_panic().unwrap_err().is_cancelled());
        assert_eq!(*number.into_panic().downcast::<u8>().unwrap(), 7);
    }

    #[test]
    #[should_panic(expected = "`JoinError` reason is not a panic.")]
    fn into_panic_of_a_cancelled_task() {
        let _ = JoinError::cancelled(Id::next()).into_panic();
    }

    #[test]
    fn is_send_and_sync_and_small() {
        fn check<T: Send + Sync + std::error::Error + 'static>() {}
        check::<JoinError>();
        assert_eq!(size_of::<JoinError>(), 3 * size_of::<usize>());
    }
}
