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

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Did anybody ever pause a clock?
static PAUSED_ONCE: AtomicBool = AtomicBool::new(false);

static LOOKUP: OnceLock<Lookup> = OnceLock::new();

/// Calls its argument with the clock of the current runtime, if there is one.
pub(crate) type Lookup = fn(&mut dyn FnMut(&Clock));

/// In [`Shared::frozen`]: it runs.
const RUNNING: u64 = u64::MAX;

/// In [`Shared::frozen`]: it shows an instant that is too far away for that word.
const FAR: u64 = u64::MAX - 1;

/// A runtime's clock. Clones show the same time.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    enable_pausing: bool,
    /// What the clock showed when it was made.
    origin: std::time::Instant,
    /// What it shows while it is paused, in nanoseconds since `origin`: what is under the lock, to be read without it.
    /// Simulations read it several times for each tick of thousands of clocks.
    frozen: AtomicU64,
    /// How many blocking tasks want the time to stand still.
    auto_advance_inhibited: AtomicUsize,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// What the clock showed when it was last resumed, or shows while it is paused.
    base: std::time::Instant,
    /// When it was last resumed; `None` while it is paused.
    unfrozen: Option<std::time::Instant>,
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
            shared: Arc::new(Shared {
                enable_pausing,
                origin: now,
                frozen: AtomicU64::new(RUNNING),
                auto_advance_inhibited: AtomicUsize::new(0),
                inner: Mutex::new(Inner { base: now, unfrozen: Some(now) }),
            }),
        };
        if start_paused {
            // With no time gone by.
            if let Err(message) = clock.pause_at(|| now) {
                panic!("{message}");
            }
        }
        clock
    }

    /// What it showed when it was made.
    pub(super) fn origin(&self) -> Instant {
        Instant::from_std(self.shared.origin)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.shared.frozen.load(Ordering::Acquire) != RUNNING
    }

    /// What it shows while it is paused, in nanoseconds since its [`origin`](Clock::origin), or as many as there is
    /// room for.
    pub(super) fn frozen(&self) -> Option<u64> {
        Some(self.shared.frozen.load(Ordering::Acquire)).filter(|&frozen| frozen != RUNNING)
    }

    /// The time.
    pub(crate) fn now(&self) -> Instant {
        if !ever_paused() {
            return Instant::from_std(std::time::Instant::now());
        }
        if let Some(nanos @ ..FAR) = self.frozen() {
            return Instant::from_std(self.shared.origin + Duration::from_nanos(nanos));
        }
        let inner = self.shared.inner.lock();
        let since = inner.unfrozen.map_or(Duration::ZERO, |since| since.elapsed());
        Instant::from_std(inner.base + since)
    }

    /// Stops the clock. An error is the text to panic with.
    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn pause(&self) -> Result<(), &'static str> {
        self.pause_at(std::time::Instant::now)
    }

    fn pause_at(&self, now: impl FnOnce() -> std::time::Instant) -> Result<(), &'static str> {
        let mut inner = self.shared.inner.lock();
        if !self.shared.enable_pausing {
            return Err("`time::pause()` requires the `current_thread` Tokio runtime. \
                        This is the default Runtime used by `#[tokio::test].");
        }

        // Before this clock stops, so nobody who learns of it reads the system's time.
        PAUSED_ONCE.store(true, Ordering::Release);

        let Some(since) = inner.unfrozen.take() else {
            return Err("time is already frozen");
        };
        inner.base += now().saturating_duration_since(since);
        self.shared.freeze(&inner);
        Ok(())
    }

    /// Lets the clock run again. An error is the text to panic with.
    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn resume(&self) -> Result<(), &'static str> {
        let mut inner = self.shared.inner.lock();
        if inner.unfrozen.is_some() {
            return Err("time is not frozen");
        }
        inner.unfrozen = Some(std::time::Instant::now());
        self.shared.frozen.store(RUNNING, Ordering::Release);
        Ok(())
    }

    /// Moves the paused clock ahead. An error is the text to panic with.
    ///
    /// # Panics
    ///
    /// If the new time cannot be represented.
    pub(crate) fn advance(&self, duration: Duration) -> Result<(), &'static str> {
        let mut inner = self.shared.inner.lock();
        if inner.unfrozen.is_some() {
            return Err("time is not frozen");
        }
        inner.base += duration;
        self.shared.freeze(&inner);
        Ok(())
    }

    /// Keeps the runtime from advancing the paused clock by itself, until
    /// [`allow_auto_advance`](Clock::allow_auto_advance) was called as often as this.
    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn inhibit_auto_advance(&self) {
        self.shared.auto_advance_inhibited.fetch_add(1, Ordering::SeqCst);
    }

    #[cfg_attr(not(feature = "test-util"), allow(dead_code))]
    pub(crate) fn allow_auto_advance(&self) {
        self.shared.auto_advance_inhibited.fetch_sub(1, Ordering::SeqCst);
    }

    /// May an idle runtime advance the clock to its next timer?
    pub(crate) fn can_auto_advance(&self) -> bool {
        self.is_paused() && self.shared.auto_advance_inhibited.load(Ordering::SeqCst) == 0
    }
}

impl Shared {
    /// Shows what `inner` does, which stands still. With the lock held.
    fn freeze(&self, inner: &Inner) {
        let nanos = inner.base.saturating_duration_since(self.origin).as_nanos();
        self.frozen.store(u64::try_from(nanos).map_or(FAR, |nanos| nanos.min(FAR)), Ordering::Release);
    }
}
