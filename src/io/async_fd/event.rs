//! The readiness a guard stands for.

use crate::driver::{ReadyEvent, Registration};
use crate::io::Ready;

/// A readiness event until it has been cleared; what both guards have in common.
pub(super) struct Event(Option<ReadyEvent>);

impl Event {
    pub(super) fn new(event: ReadyEvent) -> Event {
        Event(Some(event))
    }

    /// Clears the whole event.
    pub(super) fn clear(&mut self, registration: &Registration) {
        if let Some(event) = self.0.take() {
            registration.clear_readiness(event);
        }
    }

    /// Clears the part of the event that is in `ready`; the rest stays.
    pub(super) fn clear_matching(&mut self, registration: &Registration, ready: Ready) {
        let Some(mut event) = self.0.take() else {
            return;
        };
        registration.clear_readiness(event.with_ready(ready));
        event.ready = event.ready - ready;
        if !event.ready.is_empty() {
            self.0 = Some(event);
        }
    }

    /// What has not been cleared yet.
    pub(super) fn ready(&self) -> Ready {
        self.0.as_ref().map_or(Ready::EMPTY, |event| event.ready)
    }
}
