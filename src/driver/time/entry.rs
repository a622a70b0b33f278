//! A timer as its owner knows it.
//!
//! # Protocol
//!
//! `Idle` → (first poll or reset) → `Filed` → (the wheel forgets the key) → `Elapsed`. A reset
//! leads back to `Filed` from anywhere; [`TimerEntry::cancel`] to `Idle`. An entry does not know
//! its runtime: its owner passes the [`Handle`], always the same one, and cancels it before it
//! is dropped (an entry that is forgotten instead keeps its place in the wheel until it fires).
//!
//! Wakers are cloned before the wheel is locked and dropped after, since both are user code.

use super::shard::{Filed, Refused};
use super::slab::Key;
use super::{Handle, Instant, Shutdown};
use crate::driver::RUNTIME_SHUTTING_DOWN_ERROR;

use std::task::{Context, Poll, Waker};

/// Where the timer of an entry is.
#[derive(Debug)]
enum State {
    Idle,
    Filed {
        shard: usize,
        key: Key,
    },
    Elapsed,
    /// The runtime shut down while it was being filed.
    Failed,
}

/// One timer. See the module's docs.
#[derive(Debug)]
pub(crate) struct TimerEntry {
    state: State,
}

impl TimerEntry {
    pub(crate) const fn new() -> Self {
        TimerEntry { state: State::Idle }
    }

    /// Has it yet to be filed?
    pub(crate) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Was it filed, and has it fired? An entry that is idle has not.
    pub(crate) fn is_elapsed(&self, time: &Handle) -> bool {
        match self.state {
            State::Idle => false,
            State::Filed { shard, key } => !time.shards[shard].lock().contains(key),
            State::Elapsed | State::Failed => true,
        }
    }

    /// Waits for the timer. An idle entry is filed for `deadline`, in the wheel of the shard that
    /// `home` names (the one whose thread this is).
    ///
    /// # Panics
    ///
    /// If the runtime is shutting down.
    pub(crate) fn poll_elapsed(
        &mut self,
        time: &Handle,
        deadline: Instant,
        home: impl FnOnce() -> Option<usize>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Shutdown>> {
        if time.is_shutdown() {
            let fires = time.fire_at_shutdown && !matches!(self.state, State::Idle);
            assert!(fires, "{}", RUNTIME_SHUTTING_DOWN_ERROR);
        }

        match self.state {
            State::Idle => {
                // The waker that may come back is the one just cloned; no need to wake it.
                self.file(time, deadline, home(), Some(cx.waker().clone()));
            }
            State::Filed { shard, key } => {
                if wait(time, shard, key, cx.waker()) {
                    return Poll::Pending;
                }
                self.state = State::Elapsed;
            }
            State::Elapsed | State::Failed => {}
        }

        match self.state {
            State::Elapsed => Poll::Ready(Ok(())),
            State::Failed => Poll::Ready(Err(Shutdown)),
            State::Idle | State::Filed { .. } => Poll::Pending,
        }
    }

    /// Changes the deadline and files the timer, if it is not filed. The task that waits for it
    /// goes on waiting; it is woken if the new deadline has passed.
    pub(crate) fn reset(&mut self, time: &Handle, deadline: Instant, home: impl FnOnce() -> Option<usize>) {
        let (home, waker) = match self.state {
            State::Filed { shard, key } => match move_timer(time, shard, key, deadline, home) {
                Moved::InPlace => return,
                Moved::Out { home, waker } => (home, waker),
            },
            State::Idle | State::Elapsed | State::Failed => (home(), None),
        };
        if let Some(waker) = self.file(time, deadline, home, waker) {
            waker.wake();
        }
    }

    /// Makes the entry idle: its timer does not fire.
    pub(crate) fn cancel(&mut self, time: &Handle) {
        if let State::Filed { shard, key } = std::mem::replace(&mut self.state, State::Idle) {
            // The lock is gone at the end of the statement, before the waker is dropped.
            let waker = time.shards[shard].lock().remove(key);
            drop(waker);
        }
    }

    /// Files the timer. A waker that is handed back was not needed: the timer is over already.
    fn file(
        &mut self,
        time: &Handle,
        deadline: Instant,
        home: Option<usize>,
        waker: Option<Waker>,
    ) -> Option<Waker> {
        let shard = home.unwrap_or_else(|| time.foreign_shard());
        match time.shards[shard].insert(time.deadline(deadline), waker, &time.is_shutdown) {
            Ok(Filed { key, ring }) => {
                self.state = State::Filed { shard, key };
                if ring && home.is_none() {
                    (time.ring)(shard);
                }
                None
            }
            Err(Refused::Elapsed(waker)) => {
                self.state = State::Elapsed;
                waker
            }
            Err(Refused::Shutdown(waker)) => {
                self.state = State::Failed;
                waker
            }
        }
    }
}

/// Leaves `waker` with the timer. `false` if it has fired.
fn wait(time: &Handle, shard: usize, key: Key, waker: &Waker) -> bool {
    let shard = &time.shards[shard];
    match shard.lock().waker_mut(key) {
        None => return false,
        Some(Some(old)) if old.will_wake(waker) => return true,
        Some(_) => {}
    }

    let mut waker = Some(waker.clone());
    let filed = match shard.lock().waker_mut(key) {
        Some(place) => {
            std::mem::swap(place, &mut waker);
            true
        }
        // It has fired in between.
        None => false,
    };
    drop(waker);
    filed
}

enum Moved {
    /// Put off, or filed again in the same wheel.
    InPlace,
    /// Not in the wheel any more: to be filed elsewhere, or it is over.
    Out { home: Option<usize>, waker: Option<Waker> },
}

/// Gives a filed timer a new deadline: best by noting it, else by moving it within its wheel. It
/// leaves the wheel for the shard that resets it, or because its new deadline has passed.
fn move_timer(
    time: &Handle,
    index: usize,
    key: Key,
    deadline: Instant,
    home: impl FnOnce() -> Option<usize>,
) -> Moved {
    let shard = &time.shards[index];
    let when = time.deadline(deadline);
    let mut wheel = shard.lock();
    if wheel.extend(key, when) {
        return Moved::InPlace;
    }

    let home = home();
    let stays = home.is_none_or(|home| home == index) && !shard.has_seen(when);
    if stays && wheel.reset(key, when) {
        let ring = shard.note(when);
        drop(wheel);
        if ring && home.is_none() {
            (time.ring)(index);
        }
        return Moved::InPlace;
    }
    let waker = wheel.remove(key).flatten();
    Moved::Out { home, waker }
}
