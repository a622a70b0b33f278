//! The timers of one shard: a wheel under its lock, and what can be read without it.
//!
//! # Protocol
//!
//! Any thread may add, move and remove timers. The shard's own thread (or a sibling, while
//! that thread is stuck in a task) fires them. Three words spare the lock:
//!
//! - `next`: nothing in the wheel fires before. Written under the lock only.
//! - `seen`: the last time at which the timers were processed. A deadline not after it has
//!   passed, so such a timer never enters the wheel.
//! - `asleep_until`: how long the shard's thread sleeps if nobody wakes it; 0 while it is
//!   awake. Set under the lock together with a look at the wheel, so whoever adds a timer
//!   later, under the same lock, sees it and knows whether to ring.
//! - `watched_until`: the same of a sibling that sleeps on behalf of that thread, which is stuck.
//!
//! Wakers are collected under the lock, at most [`BATCH`] at a time, and woken after it has
//! been released: a woken task may drop, reset or create timers of this very shard.

use super::slab::Key;
use super::wheel::Wheel;
use crate::loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use crate::loom::sync::{Mutex, MutexGuard};
use crate::util::unwind;

use std::task::Waker;

/// "No timer": later than every deadline.
pub(super) const NEVER: u64 = u64::MAX;

const AWAKE: u64 = 0;

/// Wakers collected before the lock is released to wake them.
const BATCH: usize = 32;

/// Timers this close behind one that fired share a wake-up with those in between, in nanoseconds.
/// A lone timer is not delayed.
const GATHER: u64 = 48_000;

/// The same behind a [`CROWD`]. With 100,000 timers spread over 300 ms a wake-up for each 48 µs would
/// cost more than all the rest.
const GATHER_CROWD: u64 = 100_000;

/// So many timers of one wake-up are a crowd.
const CROWD: usize = 8;

/// The same behind a crowd that goes on: one after the other, each twice as long as the one before, up to this. Then its
/// timers are 0.7 ms late on the average; on Tokio, whose wheel has them wait for the next millisecond and one more, 1.1.
const GATHER_DENSE: u64 = 1_400_000;

/// A crowd goes on while no more than this lies between its timers, on the average, and the next one is at hand. Each
/// wake-up costs more than several timers, and Tokio has one for a millisecond.
const DENSE: u64 = 400_000;

/// The average is over about so many timers.
const MEMORY: u64 = 8;

/// The same when timers in a hurry follow each other for a long time, each of them set for less than [`GATHER`] after the
/// last wake-up: somebody sleeps for next to nothing again and again, and each wake-up costs many times what comes of it.
const GATHER_STREAK: u64 = 400_000;

/// So many wake-ups in a row are a long time.
const STREAK: u32 = 64;

/// Why a timer was not filed. The waker it came with goes back.
#[derive(Debug)]
pub(super) enum Refused {
    Elapsed(Option<Waker>),
    Shutdown(Option<Waker>),
}

/// A timer is filed.
#[derive(Debug)]
pub(super) struct Filed {
    pub(super) key: Key,
    /// The shard's thread sleeps past the deadline: wake it.
    pub(super) ring: bool,
}

// Its own pair of cache lines: shards do not slow each other down.
#[repr(align(128))]
#[derive(Debug)]
pub(super) struct Shard {
    next: AtomicU64,
    seen: AtomicU64,
    asleep_until: AtomicU64,
    watched_until: AtomicU64,
    /// Since timers have just fired, those until then wait for each other. A hint: others than the owner
    /// may write it.
    gathers_until: AtomicU64,
    /// When that was. A hint as well.
    fired_at: AtomicU64,
    /// How much time lies between two timers that fire, on the average. A hint as well.
    pace: AtomicU64,
    /// How many wake-ups in a row were for timers in a hurry. A hint as well.
    streak: AtomicU32,
    wheel: Mutex<Wheel>,
}

impl Shard {
    pub(super) fn new() -> Self {
        Shard {
            next: AtomicU64::new(NEVER),
            seen: AtomicU64::new(0),
            asleep_until: AtomicU64::new(AWAKE),
            watched_until: AtomicU64::new(AWAKE),
            gathers_until: AtomicU64::new(0),
            fired_at: AtomicU64::new(0),
            pace: AtomicU64::new(NEVER),
            streak: AtomicU32::new(0),
            wheel: Mutex::new(Wheel::new()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wheel> {
        self.wheel.lock()
    }

    /// Nothing fires before; [`NEVER`] if there is no timer. Without the lock.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Files a timer, unless it is due or the runtime is shutting down.
    pub(super) fn insert(
        &self,
        when: u64,
        waker: Option<Waker>,
        shutdown: &AtomicBool,
    ) -> Result<Filed, Refused> {
        if self.has_seen(when) {
            return Err(Refused::Elapsed(waker));
        }
        let mut wheel = self.lock();
        if shutdown.load(Ordering::SeqCst) {
            return Err(Refused::Shutdown(waker));
        }
        let key = wheel.insert(when, waker);
        Ok(Filed { key, ring: self.note(when) })
    }

    /// Had this instant passed when the timers were last processed?
    pub(super) fn has_seen(&self, when: u64) -> bool {
        when <= self.seen.load(Ordering::Relaxed)
    }

    /// A timer for `when` is in the wheel now; the caller still holds the lock. Must the
    /// shard's thread be woken for it?
    pub(super) fn note(&self, when: u64) -> bool {
        if when < self.next.load(Ordering::Relaxed) {
            self.next.store(when, Ordering::Release);
        }
        when < self.asleep_until.load(Ordering::Relaxed).max(self.watched_until.load(Ordering::Relaxed))
    }

    /// Fires what is due at `now`. `true` if that was anything.
    pub(super) fn process(&self, now: u64) -> bool {
        self.seen.store(now, Ordering::Relaxed);
        let due = self.next();
        if now < due {
            return false;
        }

        let mut fired = 0;
        let mut batch = Batch::new();
        let mut wheel = self.lock();
        wheel.expire(now);
        while let Some(waker) = wheel.pop_due() {
            fired += 1;
            batch.push(waker);
            if batch.is_full() {
                self.publish(&wheel);
                drop(wheel);
                batch.wake_all();
                wheel = self.lock();
            }
        }
        self.publish(&wheel);
        drop(wheel);
        if fired > 0 {
            let rest = self.rest_after(now, due, fired);
            self.gathers_until.store(now.saturating_add(rest), Ordering::Relaxed);
        }
        batch.wake_all();
        fired > 0
    }

    /// For how long timers wait for each other, now that `fired` of them have, the first of which was due at `due`.
    fn rest_after(&self, now: u64, due: u64, fired: usize) -> u64 {
        let before = self.fired_at.swap(now, Ordering::Relaxed);
        let rested = self.gathers_until.load(Ordering::Relaxed).saturating_sub(before);
        let is_hasty = due < before.saturating_add(GATHER);
        let streak = if is_hasty { self.streak.load(Ordering::Relaxed).saturating_add(1) } else { 0 };
        self.streak.store(streak, Ordering::Relaxed);

        // Many at once count as so many steps of the average.
        let weight = (fired as u64).min(MEMORY);
        let apart = now.saturating_sub(before) / fired as u64;
        // A long silence is forgotten soon.
        let pace = self.pace.load(Ordering::Relaxed).min(MEMORY * DENSE);
        let pace = (pace * (MEMORY - weight) + apart.min(MEMORY * DENSE) * weight) / MEMORY;
        self.pace.store(pace, Ordering::Relaxed);

        // Whoever sleeps for a short time again and again leaves none behind, and is no crowd.
        let is_followed = self.next() < now.saturating_add(GATHER_DENSE);
        match fired {
            _ if streak >= STREAK => GATHER_STREAK,
            _ if is_followed && pace < DENSE => (2 * rested).clamp(GATHER_CROWD, GATHER_DENSE),
            ..CROWD => GATHER,
            _ => GATHER_CROWD,
        }
    }

    /// Before this the thread need not wake up for a timer.
    pub(super) fn gathers_until(&self) -> u64 {
        self.gathers_until.load(Ordering::Relaxed)
    }

    /// The shard's thread is about to sleep until its next timer, `limit` at the longest. If
    /// that is no time at all, it does not count as asleep.
    ///
    /// Returns when the next timer fires, and the time, which is only read if it matters.
    pub(super) fn fall_asleep(&self, limit: Option<u64>, now: impl FnOnce() -> u64) -> (Option<u64>, u64) {
        self.publish_sleep(&self.asleep_until, limit, now)
    }

    /// The same for the sleep that `word` tells of.
    fn publish_sleep(
        &self,
        word: &AtomicU64,
        limit: Option<u64>,
        now: impl FnOnce() -> u64,
    ) -> (Option<u64>, u64) {
        let wheel = self.lock();
        let earliest = wheel.earliest();
        self.publish(&wheel);

        let (now, until) = if earliest.is_none() && limit.is_none() {
            (0, NEVER)
        } else {
            let now = now();
            let limit = limit.map_or(NEVER, |limit| now.saturating_add(limit));
            (now, limit.min(earliest.unwrap_or(NEVER)))
        };
        let until = if until <= now { AWAKE } else { until };
        word.store(until, Ordering::Relaxed);
        (earliest, now)
    }

    /// The shard's thread is awake and will look at its timers before it sleeps again.
    pub(super) fn awake(&self) {
        self.asleep_until.store(AWAKE, Ordering::Relaxed);
    }

    /// A sibling is about to sleep, until the next timer here and `limit` at the longest. Returns for how long
    /// that is.
    pub(super) fn watch(&self, limit: u64, now: impl FnOnce() -> u64) -> u64 {
        let (earliest, now) = self.publish_sleep(&self.watched_until, Some(limit), now);
        earliest.map_or(limit, |earliest| earliest.saturating_sub(now).min(limit))
    }

    /// The sibling is awake.
    pub(super) fn unwatch(&self) {
        self.watched_until.store(AWAKE, Ordering::Relaxed);
    }

    /// Removes all timers and wakes their owners. The caller has set the shutdown flag.
    pub(super) fn shutdown(&self) {
        let wakers = {
            let mut wheel = self.lock();
            let wakers = wheel.clear();
            self.publish(&wheel);
            wakers
        };
        wakers.for_each(unwind::wake);
    }

    fn publish(&self, wheel: &Wheel) {
        self.next.store(wheel.earliest().unwrap_or(NEVER), Ordering::Release);
    }
}

/// Wakers to wake once the lock is released.
struct Batch {
    wakers: [Option<Waker>; BATCH],
    len: usize,
}

impl Batch {
    fn new() -> Self {
        Batch { wakers: [const { None }; BATCH], len: 0 }
    }

    fn is_full(&self) -> bool {
        self.len == BATCH
    }

    fn push(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.wakers[self.len] = waker;
            self.len += 1;
        }
    }

    fn wake_all(&mut self) {
        for waker in &mut self.wakers[..std::mem::take(&mut self.len)] {
            if let Some(waker) = waker.take() {
                unwind::wake(waker);
            }
        }
    }
}
