use std::fmt;
use std::num::NonZeroU64;

/// Tells runtimes that exist at the same time apart.
///
/// Obtained from [`Handle::id`]. Two runtimes alive at once never share an id; the id of a
/// runtime that was dropped may come up again. The number says nothing about the order in
/// which runtimes were made.
///
/// ```
/// use tokio::runtime::Builder;
///
/// let a = Builder::new_current_thread().build().unwrap();
/// let b = Builder::new_current_thread().build().unwrap();
/// assert_eq!(a.handle().id(), a.handle().clone().id());
/// assert_ne!(a.handle().id(), b.handle().id());
/// ```
///
/// [`Handle::id`]: crate::runtime::Handle::id
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Id(NonZeroU64);

impl Id {
    /// Wraps the number of a scheduler's task collection.
    pub(crate) fn new(owned_id: impl Into<NonZeroU64>) -> Id {
        Id(owned_id.into())
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
