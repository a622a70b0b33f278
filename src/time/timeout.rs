use crate::time::error::Elapsed;
use crate::time::{Duration, Instant, Sleep};
use upstream::task::coop;

use pin_project_lite::pin_project;
use std::future::{Future, IntoFuture};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// Gives `future` at most `duration` to complete.
///
/// The answer is the future's output, or [`Elapsed`] if `duration` passed first; then the future is
/// dropped with the `Timeout`. A `duration` that leads beyond what an [`Instant`] can represent
/// is no limit.
///
/// The future is polled before the time is checked. So one that is ready at once succeeds even
/// with a `duration` of zero, and one that does not yield can exceed its time unnoticed.
///
/// # Cancel safety
///
/// Dropping the `Timeout` drops the future and cancels the timer; it is as cancel safe as the
/// future. [`Timeout::into_inner`] gives the future back.
///
/// # Panics
///
/// If there is no current runtime, or if its timers are not enabled
/// ([`Builder::enable_time`](crate::runtime::Builder::enable_time)). The call must happen inside the
/// runtime, not only the await: `rt.block_on(timeout(..))` panics.
///
/// # Examples
///
/// ```
/// use tokio::time::{timeout, Duration};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// assert_eq!(timeout(Duration::from_secs(1), async { 1 }).await, Ok(1));
///
/// let never = std::future::pending::<()>();
/// assert!(timeout(Duration::from_millis(1), never).await.is_err());
/// # }
/// ```
#[track_caller]
pub fn timeout<F>(duration: Duration, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture,
{
    let value = future.into_future();
    // A closure would hide the caller from `new_timeout`.
    #[allow(clippy::manual_map)]
    let delay = match Instant::now().checked_add(duration) {
        Some(deadline) => Some(Sleep::new_timeout(deadline)),
        None => None,
    };
    Timeout { value, delay }
}

/// Gives `future` until `deadline` to complete.
///
/// As [`timeout`], with an instant in place of a duration.
///
/// # Cancel safety
///
/// As [`timeout`].
///
/// # Panics
///
/// As [`timeout`].
///
/// # Examples
///
/// ```
/// use tokio::time::{timeout_at, Duration, Instant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let deadline = Instant::now() + Duration::from_millis(1);
/// assert!(timeout_at(deadline, std::future::pending::<()>()).await.is_err());
/// # }
/// ```
#[track_caller]
pub fn timeout_at<F>(deadline: Instant, future: F) -> Timeout<F::IntoFuture>
where
    F: IntoFuture,
{
    Timeout {
        value: future.into_future(),
        delay: Some(Sleep::new_timeout(deadline)),
    }
}

pin_project! {
    /// The future of [`timeout`](timeout()) and [`timeout_at`].
    #[must_use = "futures do nothing unless you `.await` or poll them"]
    #[derive(Debug)]
    pub struct Timeout<T> {
        #[pin]
        value: T,
        // None: no limit.
        #[pin]
        delay: Option<Sleep>,
    }
}

impl<T> Timeout<T> {
    /// The future inside.
    pub fn get_ref(&self) -> &T {
        &self.value
    }

    /// The future inside.
    pub fn get_mut(&mut self) -> &mut T {
        &mut self.value
    }

    /// Gives the future inside back, and the timer up.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Future for Timeout<T>
where
    T: Future,
{
    type Output = Result<T::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let had_budget = coop::has_budget_remaining();

        if let Poll::Ready(value) = this.value.poll(cx) {
            return Poll::Ready(Ok(value));
        }
        match this.delay.as_pin_mut() {
            Some(delay) => poll_delay(had_budget, delay, cx).map(Err),
            None => Poll::Pending,
        }
    }
}

/// A future that uses up the whole budget in every poll must not keep its own limit from being
/// noticed: the timer is polled without a budget then.
fn poll_delay(had_budget: bool, delay: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<Elapsed> {
    let elapsed = if had_budget && !coop::has_budget_remaining() {
        pin!(coop::unconstrained(delay)).poll(cx)
    } else {
        delay.poll(cx)
    };
    elapsed.map(|()| Elapsed::new())
}
