//! A number of our own for each thread.
//!
//! `std::thread::ThreadId` is opaque; owner checks on hot paths want a plain integer that
//! is cheap to compare and never reused.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Identifies a thread for the lifetime of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ThreadId(NonZeroU64);

impl ThreadId {
    /// Hands out the next number.
    ///
    /// # Panics
    ///
    /// Panics when all 2^64 - 1 numbers are gone.
    pub(crate) fn next() -> ThreadId {
        static LAST: AtomicU64 = AtomicU64::new(0);

        LAST.fetch_update(Relaxed, Relaxed, |last| last.checked_add(1))
            .ok()
            .and_then(|last| NonZeroU64::new(last + 1))
            .map(ThreadId)
            .expect("failed to generate unique thread ID: bitspace exhausted")
    }
}

#[cfg(test)]
mod tests {
    use super::ThreadId;

    #[test]
    fn ids_differ_across_threads() {
        let here = ThreadId::next();
        let there = std::thread::spawn(ThreadId::next).join().unwrap();
        assert_ne!(here, there);
    }
}
