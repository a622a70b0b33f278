use crate::time::{Duration, Instant, MissedTickBehavior, Sleep, safe_delay, sleep_until};

use crate::util::trace::IntervalSpan;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A tick that comes no later than this was not missed.
const TOLERANCE: Duration = Duration::from_millis(5);

/// Ticks every `period`, for the first time now.
///
/// The same as [`interval_at`]`(Instant::now(), period)`.
///
/// The period is measured from tick to tick, not from the end of one [`tick`](Interval::tick) to
/// the start of the next: the time between the calls counts. What happens to ticks that come too
/// late is the choice of [`MissedTickBehavior`], by default
/// [`Burst`](MissedTickBehavior::Burst).
///
/// # Panics
///
/// If `period` is zero, if there is no current runtime, or if its timers are not enabled.
///
/// # Examples
///
/// ```
/// use tokio::time::{self, Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let start = Instant::now();
/// let mut interval = time::interval(Duration::from_millis(2));
///
/// interval.tick().await; // at once
/// interval.tick().await; // 2 ms
/// interval.tick().await; // 4 ms
/// assert!(start.elapsed() >= Duration::from_millis(4));
/// # }
/// ```
#[track_caller]
pub fn interval(period: Duration) -> Interval {
    assert_period(period);
    Interval::new(Instant::now(), period)
}

/// Ticks every `period`, for the first time at `start`.
///
/// See [`interval`].
///
/// # Panics
///
/// If `period` is zero, if there is no current runtime, or if its timers are not enabled.
///
/// # Examples
///
/// ```
/// use tokio::time::{interval_at, Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let start = Instant::now() + Duration::from_millis(5);
/// let mut interval = interval_at(start, Duration::from_millis(1));
///
/// assert_eq!(interval.tick().await, start);
/// assert_eq!(interval.tick().await, start + Duration::from_millis(1));
/// # }
/// ```
#[track_caller]
pub fn interval_at(start: Instant, period: Duration) -> Interval {
    assert_period(period);
    Interval::new(start, period)
}

#[track_caller]
fn assert_period(period: Duration) {
    assert!(!period.is_zero(), "`period` must be non-zero.");
}

/// What [`interval`] and [`interval_at`] return: ticks, as many as are asked for.
///
/// Dropping it stops it.
#[derive(Debug)]
pub struct Interval {
    /// Until the next tick. Its deadline is when that tick is due.
    delay: Pin<Box<Sleep>>,
    period: Duration,
    missed_tick_behavior: MissedTickBehavior,
    span: IntervalSpan,
}

impl Interval {
    #[track_caller]
    fn new(start: Instant, period: Duration) -> Interval {
        Interval {
            delay: Box::pin(sleep_until(start)),
            period: safe_delay(period),
            missed_tick_behavior: MissedTickBehavior::default(),
            span: IntervalSpan::new(),
        }
    }

    /// Waits for the next tick. Returns the instant at which it was due.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a future that is dropped before it completed has not used up a tick.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{self, Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut interval = time::interval(Duration::from_millis(1));
    /// let first = interval.tick().await;
    /// let second = interval.tick().await;
    /// assert_eq!(second - first, Duration::from_millis(1));
    /// # }
    /// ```
    pub async fn tick(&mut self) -> Instant {
        let span = self.span.clone();
        span.tick(poll_fn(|cx| self.poll_tick(cx))).await
    }

    /// Polls for the next tick.
    ///
    /// `Pending` means that the task is woken when the tick is due; only the task of the last call
    /// is. `Ready` carries the instant at which the tick was due, and does not arrange for any
    /// wake-up: poll again to wait for the next one.
    pub fn poll_tick(&mut self, cx: &mut Context<'_>) -> Poll<Instant> {
        ready!(self.delay.as_mut().poll(cx));

        let due = self.delay.deadline();
        let now = Instant::now();
        let next = if now > due + TOLERANCE {
            self.missed_tick_behavior.next_tick(due, now, self.period)
        } else {
            due + self.period
        };
        // The timer starts with the next poll.
        self.delay.as_mut().reset_without_timer(next);
        Poll::Ready(due)
    }

    /// Makes the next tick come one period from now, whatever the [`MissedTickBehavior`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{self, Duration, Instant};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut interval = time::interval(Duration::from_millis(2));
    /// interval.tick().await;
    ///
    /// let now = Instant::now();
    /// interval.reset();
    /// assert!(interval.tick().await >= now + Duration::from_millis(2));
    /// # }
    /// ```
    pub fn reset(&mut self) {
        self.reset_at(Instant::now() + self.period);
    }

    /// Makes the next tick come now, whatever the [`MissedTickBehavior`].
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{self, Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut interval = time::interval(Duration::from_secs(60));
    /// interval.tick().await;
    ///
    /// interval.reset_immediately();
    /// interval.tick().await; // does not take a minute
    /// # }
    /// ```
    pub fn reset_immediately(&mut self) {
        self.reset_at(Instant::now());
    }

    /// Makes the next tick come `after` from now, whatever the [`MissedTickBehavior`]. The period
    /// stays the same.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{self, Duration};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut interval = time::interval(Duration::from_secs(60));
    /// interval.tick().await;
    ///
    /// interval.reset_after(Duration::from_millis(1));
    /// interval.tick().await; // does not take a minute
    /// # }
    /// ```
    pub fn reset_after(&mut self, after: Duration) {
        self.reset_at(Instant::now() + safe_delay(after));
    }

    /// Makes the next tick come at `deadline`.
    ///
    /// If that has passed, the [`MissedTickBehavior`] decides how to catch up. If it lies
    /// ahead, the next tick comes then, be it more than a period away. Ticks missed before
    /// are forgotten.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{self, Duration, Instant};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let mut interval = time::interval(Duration::from_secs(60));
    /// interval.tick().await;
    ///
    /// let deadline = Instant::now() + Duration::from_millis(1);
    /// interval.reset_at(deadline);
    /// assert_eq!(interval.tick().await, deadline);
    /// # }
    /// ```
    pub fn reset_at(&mut self, deadline: Instant) {
        self.delay.as_mut().reset(deadline);
    }

    /// What happens to ticks that come too late.
    pub fn missed_tick_behavior(&self) -> MissedTickBehavior {
        self.missed_tick_behavior
    }

    /// Chooses what happens to ticks that come too late.
    pub fn set_missed_tick_behavior(&mut self, behavior: MissedTickBehavior) {
        self.missed_tick_behavior = behavior;
    }

    /// The time between two ticks.
    pub fn period(&self) -> Duration {
        self.period
    }
}
