//! Where in the source a task was spawned. Nothing, unless hooks may ask for it.

use std::panic::Location;

/// The place a task was spawned at, and the id of the span that `tracing` knows it by. Empty
/// without `tokio_unstable`.
#[derive(Clone, Copy)]
pub(crate) struct SpawnLocation(
    #[cfg(tokio_unstable)] pub(crate) &'static Location<'static>,
    #[cfg(all(tokio_unstable, feature = "tracing"))] pub(crate) Option<std::num::NonZeroU64>,
);

impl SpawnLocation {
    /// The place of the caller.
    #[track_caller]
    #[inline]
    pub(crate) fn capture() -> SpawnLocation {
        SpawnLocation::from(Location::caller())
    }
}

#[cfg(tokio_unstable)]
impl From<&'static Location<'static>> for SpawnLocation {
    fn from(location: &'static Location<'static>) -> SpawnLocation {
        SpawnLocation(
            location,
            #[cfg(feature = "tracing")]
            None,
        )
    }
}

#[cfg(not(tokio_unstable))]
impl From<&'static Location<'static>> for SpawnLocation {
    fn from(_: &'static Location<'static>) -> SpawnLocation {
        SpawnLocation()
    }
}
