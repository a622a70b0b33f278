//! Where in the source a task was spawned. Nothing, unless hooks may ask for it.

use std::panic::Location;

/// The place a task was spawned at. Empty without `tokio_unstable`.
#[derive(Clone, Copy)]
pub(crate) struct SpawnLocation(#[cfg(tokio_unstable)] pub(crate) &'static Location<'static>);

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
        SpawnLocation(location)
    }
}

#[cfg(not(tokio_unstable))]
impl From<&'static Location<'static>> for SpawnLocation {
    fn from(_: &'static Location<'static>) -> SpawnLocation {
        SpawnLocation()
    }
}
