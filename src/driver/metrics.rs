//! Counts of a runtime's I/O resources: only with the feature `metrics` (or `--cfg tokio_unstable`).

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Raised by any thread, read by [`RuntimeMetrics`](crate::runtime::RuntimeMetrics).
#[derive(Debug, Default)]
pub(crate) struct IoMetrics {
    fd_registered_count: AtomicU64,
    fd_deregistered_count: AtomicU64,
    ready_count: AtomicU64,
}

impl IoMetrics {
    pub(super) fn registered(&self) {
        self.fd_registered_count.fetch_add(1, Relaxed);
    }

    pub(super) fn deregistered(&self) {
        self.fd_deregistered_count.fetch_add(1, Relaxed);
    }

    pub(super) fn ready(&self) {
        self.ready_count.fetch_add(1, Relaxed);
    }

    #[allow(dead_code)] // for the feature `net`
    pub(crate) fn fd_registered_count(&self) -> u64 {
        self.fd_registered_count.load(Relaxed)
    }

    #[allow(dead_code)]
    pub(crate) fn fd_deregistered_count(&self) -> u64 {
        self.fd_deregistered_count.load(Relaxed)
    }

    #[allow(dead_code)]
    pub(crate) fn ready_count(&self) -> u64 {
        self.ready_count.load(Relaxed)
    }
}
