//! What is said when an object cannot be taken off its runtime.

use std::error::Error;
use std::fmt;
use std::io;

/// An object that could not be taken off the runtime, and why. The object is as it was: nothing is closed,
/// and nothing is lost.
///
/// That is so while something is left that a native operation had received and nobody has read, or while a
/// dropped operation is still on its way on a ring whose thread is busy for long; and if bytes that the stream
/// had accepted could not be sent. Read, or take the `leftovers()`, and try again.
///
/// `try_into_std` and its like return it. `into_std` and its like return it inside of an
/// [`io::Error`], for as long as which it lives the object does: [`find`](Self::find) gets it out.
///
/// ```
/// use tokio::native::IntoInnerError;
/// use tokio::net::TcpStream;
///
/// # async fn example(stream: TcpStream) -> std::io::Result<()> {
/// let std = match stream.into_std() {
///     Ok(std) => std,
///     Err(error) => {
///         // Whatever is left belongs before what the socket has.
///         let stream = IntoInnerError::<TcpStream>::find(error)?.into_parts().0;
///         let first = stream.native().leftovers().await?;
///         println!("{} bytes", first.len());
///         stream.into_std()?
///     }
/// };
/// # drop(std);
/// # Ok(())
/// # }
/// ```
pub struct IntoInnerError<T> {
    object: T,
    cause: io::Error,
}

impl<T> IntoInnerError<T> {
    pub(crate) fn new(object: T, cause: io::Error) -> IntoInnerError<T> {
        IntoInnerError { object, cause }
    }

    /// Why.
    pub fn cause(&self) -> &io::Error {
        &self.cause
    }

    /// The object, and why it is still one of the runtime.
    pub fn into_parts(self) -> (T, io::Error) {
        (self.object, self.cause)
    }

    /// The same with what the object is a part of.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> IntoInnerError<U> {
        IntoInnerError { object: f(self.object), cause: self.cause }
    }
}

impl<T: Send + Sync + 'static> IntoInnerError<T> {
    /// What `into_std` and its like have put into an error.
    ///
    /// # Errors
    ///
    /// `error` itself, if it is another one.
    #[cfg_attr(not(feature = "uring-native"), allow(dead_code))]
    pub fn find(error: io::Error) -> io::Result<IntoInnerError<T>> {
        error.downcast()
    }
}

impl<T> fmt::Display for IntoInnerError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.cause, f)
    }
}

impl<T> fmt::Debug for IntoInnerError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.cause, f)
    }
}

impl<T> Error for IntoInnerError<T> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.cause)
    }
}

impl<T: Send + Sync + 'static> From<IntoInnerError<T>> for io::Error {
    fn from(error: IntoInnerError<T>) -> io::Error {
        io::Error::new(error.cause.kind(), error)
    }
}
