//! CPU time and other clocks.

use std::time::Duration;

pub use rustix::time::ClockId;

/// How far `clock` goes on during `f`.
pub fn time_of(clock: ClockId, f: impl FnOnce()) -> Duration {
    let now = || {
        let time = rustix::time::clock_gettime(clock);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    let start = now();
    f();
    now() - start
}
