//! Stopping the clock in tests.

use crate::driver::time::Clock;
use crate::runtime::context;
use crate::time::Duration;

/// Stops the clock of the current runtime.
///
/// [`Instant::now`](crate::time::Instant::now) shows the same time from now on, until the clock
/// is moved: by [`advance`], or by the runtime when it is idle. `std`'s clocks go on as ever.
///
/// Only a `current_thread` runtime (the default of `#[tokio::test]`) can do that. To start with a
/// stopped clock, use `#[tokio::test(start_paused = true)]` or `Builder::start_paused`.
///
/// # Auto-advance
///
/// A runtime with a stopped clock and nothing to do moves the clock to its next timer: a test
/// that sleeps for an hour takes no time. A task on the blocking pool
/// ([`spawn_blocking`](crate::task::spawn_blocking)) keeps the clock where it is while it runs.
///
/// # Panics
///
/// If the clock is stopped already, outside of a runtime, or in a multi-thread runtime.
///
/// # Examples
///
/// ```
/// use tokio::time::{self, Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// time::pause();
/// let start = Instant::now();
/// time::sleep(Duration::from_secs(3600)).await;
/// assert!(start.elapsed() >= Duration::from_secs(3600));
/// # }
/// ```
#[track_caller]
pub fn pause() {
    with_clock(Clock::pause);
}

/// Lets the clock of the current runtime run again, from the time it shows.
///
/// # Panics
///
/// If the clock is not stopped, or outside of a runtime.
#[track_caller]
pub fn resume() {
    with_clock(Clock::resume);
}

/// Moves the stopped clock ahead by `duration`, at once.
///
/// Timers with a deadline before the new time fire together, in no particular order, and
/// `advance` does not wait for them: their tasks run afterwards. To let everything up to some
/// instant happen in order, [`sleep`](crate::time::sleep()) until then instead and leave the clock
/// to the auto-advance (see [`pause`](pause#auto-advance)).
///
/// A timer that is polled right after may still be pending: it fires when the runtime next
/// looks at its timers, which is soon.
///
/// # Panics
///
/// If the clock is not stopped, outside of a runtime, or if `duration` is too large to be added
/// to the present time.
///
/// # Cancel safety
///
/// The clock moves when the future is first polled; it then yields once. Dropping it after
/// that loses nothing.
///
/// # Examples
///
/// ```
/// use tokio::time::{self, Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let start = Instant::now();
/// time::advance(Duration::from_secs(10)).await;
/// assert_eq!(start.elapsed(), Duration::from_secs(10));
/// # }
/// ```
pub async fn advance(duration: Duration) {
    with_clock(|clock| clock.advance(duration));
    crate::task::yield_now().await;
}

#[track_caller]
fn with_clock(f: impl FnOnce(&Clock) -> Result<(), &'static str>) {
    let result = match context::with_current(|handle| handle.driver().clock().clone()) {
        Ok(clock) => f(&clock),
        Err(e) if e.is_missing_context() => {
            Err("time cannot be frozen from outside the Tokio runtime")
        }
        Err(e) => panic!("{e}"),
    };
    if let Err(message) = result {
        panic!("{message}");
    }
}
