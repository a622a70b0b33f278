//! Waiting for time to pass.
//!
//! * [`sleep`] and [`sleep_until`] complete at an instant.
//! * [`interval`] and [`interval_at`] tick at a fixed period.
//! * [`timeout`] and [`timeout_at`] put a limit on another future.
//!
//! All of them must be created inside a runtime that was built with timers
//! ([`Builder::enable_time`](crate::runtime::Builder::enable_time) or `enable_all`).
//!
//! # Resolution
//!
//! A timer never fires before its deadline. On a running clock it fires as soon after as the
//! kernel wakes the thread and the thread gets to it, typically within a tenth of a
//! millisecond; deadlines are *not* rounded up to whole milliseconds, as they are in the
//! published Tokio. Under a paused clock (`test-util`) time moves in Tokio's
//! milliseconds, counted from the start of the clock.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use tokio::time::{sleep, timeout};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! sleep(Duration::from_millis(1)).await;
//!
//! let answer = timeout(Duration::from_millis(1), std::future::pending::<()>()).await;
//! assert!(answer.is_err());
//! # }
//! ```
//!
//! An [`interval`] counts the time its user needs between two ticks, a [`sleep`] in a loop
//! does not:
//!
//! ```
//! use std::time::Duration;
//! use tokio::time::{interval, sleep, Instant};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let start = Instant::now();
//! let mut every = interval(Duration::from_millis(4));
//! for _ in 0..3 {
//!     every.tick().await;
//!     sleep(Duration::from_millis(2)).await;
//! }
//! // Ticks at 0, 4 and 8 ms, however long the work between them took.
//! assert!(start.elapsed() >= Duration::from_millis(10));
//! # }
//! ```

#[cfg(feature = "test-util")]
mod clock;
pub mod error;
mod interval;
mod missed_tick;
mod sleep;
mod timeout;

#[cfg(feature = "test-util")]
#[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
pub use clock::{advance, pause, resume};

pub use crate::driver::time::Instant;
pub use interval::{Interval, interval, interval_at};
pub use missed_tick::MissedTickBehavior;
pub use sleep::{Sleep, sleep, sleep_until};
#[doc(inline)]
pub use timeout::{Timeout, timeout, timeout_at};

#[doc(no_inline)]
pub use std::time::Duration;

/// A duration that can be added to the present: at most 30 years, as in Tokio.
fn safe_delay(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(30 * 365 * 24 * 60 * 60))
}
