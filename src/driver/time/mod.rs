//! Timers: the clock, one timing wheel per shard, and the entries that wait in them.
//!
//! # Protocol
//!
//! 1. A [`TimerEntry`] is idle until it is first polled or reset. Then it is filed in the
//!    wheel of the shard that polls it; from a foreign thread, in one of the shards' by turns.
//! 2. The wheel owns the timer, and the waker, until it fires or the entry cancels it. The
//!    entry holds a key; a key the wheel no longer knows means that the timer has fired.
//! 3. The shard's thread fires what is due each time it turns ([`Handle::process`]) and
//!    sleeps until the next deadline ([`Handle::park_timeout`], [`Handle::after_park`]). If it
//!    is stuck in a task, a sibling fires its timers ([`Handle::process_for`]).
//! 4. [`Handle::shutdown`] wakes everybody; from then on polling an entry panics.
//!
//! # Resolution
//!
//! Running clock: nanoseconds. A timer never fires before its deadline, and the thread sleeps
//! exactly until the earliest one (what the kernel adds to that is the driver's affair).
//!
//! Paused clock: Tokio's milliseconds, counted from the start of the clock. Deadlines count as
//! the next millisecond, the time as the last one, and the clock jumps by whole
//! milliseconds, so a test observes the same instants as on Tokio.

mod clock;
mod entry;
mod instant;
mod level;
mod park;
mod shard;
mod slab;
mod wheel;

pub(crate) use clock::{Clock, set_lookup};
pub(crate) use entry::TimerEntry;
pub use instant::Instant;
pub(crate) use park::ParkPlan;

use crate::loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use shard::{NEVER, Shard};

use std::fmt;
use std::time::Duration;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The latest instant that timers know, 584 years after the start: a whole millisecond,
/// so that a paused clock can reach it.
const MAX: u64 = (NEVER / NANOS_PER_MILLI - 1) * NANOS_PER_MILLI;

/// The runtime is shutting down; its timers do not fire any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shutdown;

/// The timers of one runtime.
pub(crate) struct Handle {
    clock: Clock,
    /// Instants are counted from here.
    start: Instant,
    shards: Box<[Shard]>,
    /// Wakes the thread of a shard. Sticky: it works between `park_timeout` and the sleep.
    ring: Box<dyn Fn(usize) + Send + Sync>,
    /// The next shard for a timer of a foreign thread.
    next_shard: AtomicUsize,
    is_shutdown: AtomicBool,
    /// Has [`Handle::unpark`] been called since a paused clock was last about to advance?
    did_wake: AtomicBool,
    /// Do timers fire when the runtime shuts down? Else they fail.
    fire_at_shutdown: bool,
}

impl Handle {
    /// Timers for `shards` shards. `unpark` must wake the thread of a shard, or keep it from
    /// falling asleep if it is about to.
    pub(crate) fn new(clock: Clock, shards: usize, unpark: Box<dyn Fn(usize) + Send + Sync>) -> Handle {
        Handle {
            start: clock.origin(),
            clock,
            shards: (0..shards).map(|_| Shard::new()).collect(),
            ring: unpark,
            next_shard: AtomicUsize::new(0),
            is_shutdown: AtomicBool::new(false),
            did_wake: AtomicBool::new(false),
            fire_at_shutdown: false,
        }
    }

    /// Sets what timers do that are left when the runtime shuts down.
    pub(crate) fn fire_at_shutdown(self, fire_at_shutdown: bool) -> Handle {
        Handle { fire_at_shutdown, ..self }
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn is_shutdown(&self) -> bool {
        self.is_shutdown.load(Ordering::SeqCst)
    }

    /// Notes that the runtime was woken, so that a paused clock does not advance.
    pub(crate) fn unpark(&self) {
        self.did_wake.store(true, Ordering::SeqCst);
    }

    /// The same on the thread that would advance the clock, where most wake-ups happen: no
    /// other thread takes the note away, so one is enough.
    #[cfg(feature = "test-util")]
    pub(crate) fn unpark_self(&self) {
        if !self.did_wake.load(Ordering::Relaxed) {
            self.did_wake.store(true, Ordering::Relaxed);
        }
    }

    /// Fires what is due in `shard`; for its own thread, which counts as awake from here on. `true`
    /// if anything fired. Cheap when nothing is due: one look at the clock, none without timers.
    pub(crate) fn process(&self, shard: usize) -> bool {
        self.shards[shard].awake();
        self.process_for(shard)
    }

    /// Fires what is due in `shard`, on behalf of its thread, which is stuck.
    pub(crate) fn process_for(&self, shard: usize) -> bool {
        let shard = &self.shards[shard];
        // A paused clock is cheap to read, and what counts as past then follows its every step.
        if shard.next() == NEVER && !self.clock.is_paused() {
            return false;
        }
        shard.process(self.now())
    }

    /// The thread of a sibling is about to sleep for `limit` on behalf of the thread of `shard`, which is stuck.
    /// Returns for how long it may: from here until [`unwatch`](Handle::unwatch) a timer that other threads add
    /// for an earlier instant rings the shard.
    pub(crate) fn watch(&self, shard: usize, limit: Duration) -> Duration {
        Duration::from_nanos(self.shards[shard].watch(nanos(limit), || self.now()))
    }

    /// Ends what [`watch`](Handle::watch) began.
    pub(crate) fn unwatch(&self, shard: usize) {
        self.shards[shard].unwatch();
    }

    /// Fires what is due in `shard` by `now`.
    #[cfg(test)]
    pub(crate) fn process_at(&self, shard: usize, now: Instant) -> bool {
        self.shards[shard].process(self.nanos_at(now))
    }

    /// Fires what is due in all shards.
    #[cfg(test)]
    pub(crate) fn process_all(&self) -> bool {
        (0..self.shards.len()).fold(false, |fired, shard| self.process_for(shard) | fired)
    }

    /// Wakes all that wait for a timer: their entries panic when polled, as Tokio's do,
    /// unless they were told to [fire](Self::fire_at_shutdown).
    pub(crate) fn shutdown(&self) {
        if !self.is_shutdown.swap(true, Ordering::SeqCst) {
            self.shards.iter().for_each(Shard::shutdown);
        }
    }

    /// The time in nanoseconds since the start; with a paused clock, of its last millisecond.
    fn now(&self) -> u64 {
        match self.clock.frozen() {
            Some(now) => {
                let now = now.min(MAX);
                now - now % NANOS_PER_MILLI
            }
            None => self.nanos_at(self.clock.now()),
        }
    }

    /// When a timer for `deadline` fires, in nanoseconds since the start.
    fn deadline(&self, deadline: Instant) -> u64 {
        let when = self.nanos_at(deadline);
        if self.clock.is_paused() { ceil_to_ms(when) } else { when }
    }

    /// Nanoseconds since the start, at most [`MAX`].
    fn nanos_at(&self, instant: Instant) -> u64 {
        nanos(instant.saturating_duration_since(self.start)).min(MAX)
    }

    /// The shard for a timer of a thread that is no shard's own.
    fn foreign_shard(&self) -> usize {
        match self.shards.len() {
            1 => 0,
            n => self.next_shard.fetch_add(1, Ordering::Relaxed) % n,
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// For times up to [`MAX`].
fn ceil_to_ms(nanos: u64) -> u64 {
    nanos.next_multiple_of(NANOS_PER_MILLI)
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("shards", &self.shards.len())
            .field("is_shutdown", &self.is_shutdown())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
