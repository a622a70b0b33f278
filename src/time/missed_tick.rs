use crate::time::{Duration, Instant};

/// When an [`Interval`](crate::time::Interval) ticks after it has missed a tick.
///
/// A tick is missed if it is asked for more than 5 ms after it was due, say because the
/// work between two ticks took longer than the period.
///
/// # Examples
///
/// ```
/// use tokio::time::{interval, Duration, MissedTickBehavior};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let mut interval = interval(Duration::from_millis(50));
/// interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
/// # interval.tick().await;
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MissedTickBehavior {
    /// Tick as fast as possible until it is where it would have been without the delay. No tick
    /// is left out and each reports the instant at which it was due. The default.
    ///
    /// ```text
    /// due:     | 1         | 2         | 3         | 4         | 5         | 6         |
    /// ticks:   | work      | a long delay                | work | work | w | work      |
    /// ```
    #[default]
    Burst,

    /// Forget the old schedule: the next tick comes one period after the late one, and the ones
    /// after it follow from there.
    ///
    /// ```text
    /// due:     | 1         | 2         | 3         | 4         | 5         | 6         |
    /// ticks:   | work      | a long delay                | work      | work      | work
    /// ```
    Delay,

    /// Leave the missed ticks out: the next tick comes at the next instant that is a multiple of
    /// the period away from the first one.
    ///
    /// ```text
    /// due:     | 1         | 2         | 3         | 4         | 5         | 6         |
    /// ticks:   | work      | a long delay                | work  | work      | work      |
    /// ```
    Skip,
}

impl MissedTickBehavior {
    /// The tick due at `due` came at `now`, too late: when is the next one due?
    pub(super) fn next_tick(self, due: Instant, now: Instant, period: Duration) -> Instant {
        match self {
            Self::Burst => due + period,
            Self::Delay => now + period,
            Self::Skip => {
                let late = (now - due).as_nanos() % period.as_nanos();
                // Only a period of more than 584 years could leave such a remainder.
                let late = u64::try_from(late)
                    .expect("too much time has elapsed since the interval was supposed to tick");
                now + (period - Duration::from_nanos(late))
            }
        }
    }
}
