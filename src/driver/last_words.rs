//! What a process that ends has still to send.
//!
//! A write on the readiness lane is with the kernel when it is over, and so it arrives whatever becomes of the
//! process. What a write on the native lane has accepted waits in an [outbox](super::outbox) for the end of the
//! turn, or for room in the socket. `exit(3)` sends it.
//!
//! # Protocol
//!
//! - A runtime is remembered from its first outbox on. A child of `fork` leaves its parent's alone.
//! - Whatever sends is what sends otherwise, from the thread that ends the process; the others run on. It
//!   waits for room no longer than the end of a runtime does.

use std::mem;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::driver::outbox::LINGER_AT_SHUTDOWN;
use crate::driver::shards::Shards;
use crate::sys::exit::at_exit;
use crate::sys::fork::Origin;

static RUNTIMES: Mutex<Vec<(Origin, Weak<Shards>)>> = Mutex::new(Vec::new());

/// Has the end of the process send what the runtime of `shards` has kept by then.
pub(super) fn remember(shards: &Arc<Shards>) {
    static REGISTER: Once = Once::new();

    REGISTER.call_once(|| at_exit(send_all));
    let mut runtimes = RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner);
    runtimes.retain(|(_, shards)| shards.strong_count() > 0);
    runtimes.push((Origin::here(), Arc::downgrade(shards)));
}

extern "C" fn send_all() {
    // Nobody is left to be told of a panic, which must not leave this function.
    let _ = catch_unwind(|| {
        let runtimes = mem::take(&mut *RUNTIMES.lock().unwrap_or_else(PoisonError::into_inner));
        let own = runtimes.iter().filter(|(origin, _)| origin.is_here());
        let own: Vec<_> = own.filter_map(|(_, shards)| shards.upgrade()).collect();
        let deadline = Instant::now() + LINGER_AT_SHUTDOWN;
        // All of them each time: what one of them is waiting for must not hold up the others.
        while own.iter().filter(|shards| shards.send_outgoing()).count() > 0 && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
    });
}
