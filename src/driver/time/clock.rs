//! The source of time, which tests may stop.
//!
//! A clock shows `CLOCK_MONOTONIC` (through `std::time::Instant`) until it is paused; then it
//! shows the same instant until it is advanced or resumed. Only a runtime with a single shard
//! may pause its clock. A program in which nobody ever did pays one load for the possibility.
//!
//! [`Instant::now`](super::Instant::now) shows the clock of the *current* runtime. Which one
//! that is, only the layer above knows: it installs a [`Lookup`].

use super::Instant;
use crate::loom::sync::Mutex;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Did anybody ever pause a clock?
static PAUSED_ONCE: AtomicBool = AtomicBool::new(false);

static LOOKUP: OnceLock<Lookup> = OnceLock::new();

/// Calls its argument with the clock of the current runtime, if there is one.
pub(crate) type Lookup = fn(&mut dyn FnMut(&Clock));

/// A runtime's clock. Clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    enable_pausing: bool,
    /// What the clock showed when it was last resumed, or shows while it is paused.
    base: std::time::Instant,
    /// When it was last resumed; `None` while it is paused.
    unfrozen: Option<std::time::Instant>,
    /// How many blocking tasks want the time to stand still.
    auto_advance_inhibited: usize,
}

/// Tells [`Instant::now`](super::Instant::now) how to find the current runtime's clock. The first call counts.
pub(crate) fn set_lookup(lookup: Lookup) {
    let _ = LOOKUP.set(lookup);
}

/// The current runtime's time; outside of one, the system's.
pub(super) fn now() -> Instant {
    if !ever_paused() {
        return Instant::from_std(std::time::Instant::now());
    }
    let mut now = None;
    if let Some(lookup) = LOOKUP.get() {
        lookup(&mut |clock| now = Some(clock.now()));
    }
    now.unwrap_or_else(|| Instant::from_std(std::time::Instant::now()))
}

fn ever_paused() -> bool {
    PAUSED_ONCE.load(Ordering::Acquire)
}

impl Clock {
    /// # Panics
    ///
    /// If it is to start paused but may not be paused.
    pub(crate) fn new(enable_pausing: bool, start_paused: bool) -> Clock {
        let now = std::time::Instant::now();
        let clock = Clock {
            inner: Arc::new(Mutex::new(Inner {
                enable_pausing,
                base: now,
                unfrozen: Some(now),
                auto_advance_inhibited: 0,
            })),
        };
        if start_paused {
            if let Err(message) = clock.pause() {
                panic!("{message}");
            }
        }
        clock
    }

    pub(crate) fn now(&self) -> Instant {
        self.read().0
    }

    pub(crate) fn is_paused(&self) -> bool {
        ever_paused() && self.inner.lock().unfrozen.is_none()
    }

    /// The time, and whether it stands still.
    pub(super) fn read(&self) -> (Instant, bool) {
        if !ever_paused() {
            return (Instant::from_std(std::time::Instant::now()), false);
        }
        let inner = self.inner.lock();
        let since = inner.unfrozen.map_or(Duration::ZERO, |since| since.elapsed());
        (Instant::from_std(inner.base + since), inner.unfrozen.is_none())
    }

    /// Stops the clock. An error is the text to panic with.
    pub(crate) fn pause(&self) -> Result<(), &'static str> {
        let mut inner = self.inner.lock();
        if !inner.enable_pausing {
            return Err("`time::pause()` requires the `current_thread` Tokio runtime. \
                        This is the default Runtime used by `#[tokio::test].");
        }

        // Before this clock stops, so nobody who learns of it reads the system's time.
        PAUSED_ONCE.store(true, Ordering::Release);

        let Some(since) = inner.unfrozen.take() else {
            return Err("time is already frozen");
        };
        inner.base += since.elapsed();
        Ok(())
    }

    /// Lets the clock run again. An error is the text to panic with.
    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn resume(&self) -> Result<(), &'static str> {
        let mut inner = self.inner.lock();
        if inner.unfrozen.is_some() {
            return Err("time is not frozen");
        }
        inner.unfrozen = Some(std::time::Instant::now());
        Ok(())
    }

    /// Moves the paused clock ahead. An error is the text to panic with.
    ///
    /// # Panics
    ///
    /// If the new time cannot be represented.
    pub(crate) fn advance(&self, duration: Duration) -> Result<(), &'static str> {
        let mut inner = self.inner.lock();
        if inner.unfrozen.is_some() {
            return Err("time is not frozen");
        }
        inner.base += duration;
        Ok(())
    }

    /// Keeps the runtime from advancing the paused clock by itself, until
    /// [`allow_auto_advance`](Clock::allow_auto_advance) was called as often as this.
    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn inhibit_auto_advance(&self) {
        self.inner.lock().auto_advance_inhibited += 1;
    }

    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn allow_auto_advance(&self) {
        self.inner.lock().auto_advance_inhibited -= 1;
    }

    /// May an idle runtime advance the clock to its next timer?
    pub(crate) fn can_auto_advance(&self) -> bool {
        if !ever_paused() {
            return false;
        }
        let inner = self.inner.lock();
        inner.unfrozen.is_none() && inner.auto_advance_inhibited == 0
    }
}
