//! How many operations the kernel has on its own threads for us.
//!
//! What can only be done by waiting it *punts* to threads of its own (`io-wq`): of those a thread with a
//! ring has four for each core, and no more than the ring has entries. When each of them is stuck, on a dead
//! server for one, whatever comes next waits behind.

use std::sync::OnceLock;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// One of the operations that may be on such a thread; until it is dropped.
#[derive(Debug)]
pub(crate) struct Punt(());

static COUNT: AtomicUsize = AtomicUsize::new(0);

impl Punt {
    /// `None` if there are so many that somebody else is to do it.
    pub(crate) fn take() -> Option<Punt> {
        if COUNT.fetch_add(1, Relaxed) < most() {
            return Some(Punt(()));
        }
        COUNT.fetch_sub(1, Relaxed);
        None
    }
}

impl Drop for Punt {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Relaxed);
    }
}

/// Half of what one ring has: the kernel punts more than it is asked to.
fn most() -> usize {
    static MOST: OnceLock<usize> = OnceLock::new();
    *MOST.get_or_init(|| 2 * std::thread::available_parallelism().map_or(1, usize::from))
}
