use crate::driver;
use crate::driver::time::TimerEntry;
use crate::runtime::context;
use crate::time::error::Error;
use crate::time::{Duration, Instant, safe_delay};
use crate::util::leaf;
use crate::util::trace::{self, SleepSpans};
use upstream::task::coop;

use pin_project_lite::pin_project;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Waits until `deadline`.
///
/// The future completes when `deadline` has passed, at once if it lies in the past. See
/// [the module](crate::time#resolution) for how precisely. For something regular, see
/// [`interval`](crate::time::interval()).
///
/// # Cancel safety
///
/// Dropping the future cancels the timer; nothing is lost.
///
/// # Panics
///
/// If there is no current runtime, or if its timers are not enabled
/// ([`Builder::enable_time`](crate::runtime::Builder::enable_time)). Note that the call must happen
/// inside the runtime, not only the await: `rt.block_on(sleep_until(t))` panics,
/// `rt.block_on(async { sleep_until(t).await })` does not.
///
/// # Examples
///
/// ```
/// use tokio::time::{sleep_until, Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let deadline = Instant::now() + Duration::from_millis(2);
/// sleep_until(deadline).await;
/// assert!(Instant::now() >= deadline);
/// # }
/// ```
#[cfg_attr(docsrs, doc(alias = "delay_until"))]
#[track_caller]
pub fn sleep_until(deadline: Instant) -> Sleep {
    Sleep::new_timeout(deadline)
}

/// Waits until `duration` has passed since the call.
///
/// The same as `sleep_until(Instant::now() + duration)`, except that no `duration` is too long:
/// one of more than 30 years counts as 30 years.
///
/// # Cancel safety
///
/// Dropping the future cancels the timer; nothing is lost.
///
/// # Panics
///
/// As [`sleep_until`].
///
/// # Examples
///
/// ```
/// use tokio::time::{sleep, Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// sleep(Duration::from_millis(2)).await;
/// # }
/// ```
#[cfg_attr(docsrs, doc(alias = "delay_for"))]
#[cfg_attr(docsrs, doc(alias = "wait"))]
#[track_caller]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep::new_timeout(Instant::now() + safe_delay(duration))
}

pin_project! {
    /// The future of [`sleep`](sleep()) and [`sleep_until`].
    ///
    /// It is not `Unpin`: to poll it by hand, or in several `select!`s, pin it first
    /// ([`pin!`](crate::pin), [`Box::pin`]).
    ///
    /// The timer starts at the first poll (or [`reset`](Sleep::reset)), in the runtime in
    /// which the `Sleep` was created; the deadline was fixed at creation.
    ///
    /// # Panics
    ///
    /// Polling it panics when its runtime is shutting down.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{self, Duration, Instant};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sleep = time::sleep(Duration::from_millis(1));
    /// tokio::pin!(sleep);
    ///
    /// for _ in 0..3 {
    ///     tokio::select! {
    ///         () = &mut sleep => {
    ///             sleep.as_mut().reset(Instant::now() + Duration::from_millis(1));
    ///         }
    ///     }
    /// }
    /// # }
    /// ```
    #[project(!Unpin)]
    #[cfg_attr(docsrs, doc(alias = "Delay"))]
    #[derive(Debug)]
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    pub struct Sleep {
        deadline: Instant,
        timer: Timer,
        spans: SleepSpans,
    }
}

/// The timer of a `Sleep` and the drivers it is filed with.
#[derive(Debug)]
struct Timer {
    driver: driver::Handle,
    entry: TimerEntry,
}

impl Timer {
    fn cancel(&mut self) {
        self.entry.cancel(self.driver.time());
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl Sleep {
    #[track_caller]
    pub(crate) fn new_timeout(deadline: Instant) -> Sleep {
        match context::with_current(|handle| handle.driver().clone()) {
            Ok(driver) => Sleep::on(driver, deadline),
            Err(e) => panic!("{e}"),
        }
    }

    /// With timers of a runtime that need not be the current one.
    #[track_caller]
    pub(crate) fn on(driver: driver::Handle, deadline: Instant) -> Sleep {
        // Panics if timers are not enabled.
        driver.time();
        Sleep {
            deadline,
            timer: Timer { driver, entry: TimerEntry::new() },
            spans: SleepSpans::new(),
        }
    }

    /// The instant at which the future completes.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Has the timer fired?
    ///
    /// `false` before the first poll or reset, whatever the deadline: the timer has not
    /// started then.
    pub fn is_elapsed(&self) -> bool {
        self.timer.entry.is_elapsed(self.timer.driver.time())
    }

    /// Changes the deadline, before or after the future has completed, and starts the timer.
    ///
    /// A task that waits for the future goes on waiting. A later deadline than before is
    /// only noted, which makes this cheap for timeouts that are put off again and again.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::time::{sleep, Duration, Instant};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let sleep = sleep(Duration::from_millis(1));
    /// tokio::pin!(sleep);
    ///
    /// let deadline = Instant::now() + Duration::from_millis(2);
    /// sleep.as_mut().reset(deadline);
    /// sleep.await;
    /// assert!(Instant::now() >= deadline);
    /// # }
    /// ```
    pub fn reset(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.project();
        *this.deadline = deadline;
        this.spans.reset(|| left(deadline));
        let driver = &this.timer.driver;
        this.timer.entry.reset(driver.time(), deadline, || driver::current_shard(driver));
    }

    /// Changes the deadline and stops the timer; the next poll starts it.
    pub(super) fn reset_without_timer(self: Pin<&mut Self>, deadline: Instant) {
        let this = self.project();
        this.timer.cancel();
        *this.deadline = deadline;
    }

    fn poll_elapsed(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        ready!(leaf::trace_leaf(cx));
        let this = self.project();
        let _entered = this.spans.enter();
        let coop = ready!(trace::poll_op("poll_elapsed", coop::poll_proceed(cx)));

        let Timer { driver, entry } = this.timer;
        let driver = &*driver;
        let home = || driver::current_shard(driver);
        if entry.is_idle() {
            trace::timer_set(|| left(*this.deadline));
        }
        let result = entry.poll_elapsed(driver.time(), *this.deadline, home, cx);
        let result = ready!(trace::poll_op("poll_elapsed", result));
        coop.made_progress();
        Poll::Ready(result.map_err(|_| Error::shutdown()))
    }
}

/// The milliseconds until `deadline`.
fn left(deadline: Instant) -> u64 {
    let left = deadline.saturating_duration_since(Instant::now()).as_millis();
    left.try_into().unwrap_or(u64::MAX)
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.poll_elapsed(cx)) {
            Ok(()) => Poll::Ready(()),
            // Only if the runtime went away this very moment: its user's mistake.
            Err(e) => panic!("timer error: {e}"),
        }
    }
}
