//! The epoll backend, by way of mio: for systems that give no rings.
//!
//! Each shard has an epoll instance, where its thread waits. Unlike a ring an instance is bound to
//! no thread, which makes most of what the [`uring`](super::uring) backend must take care of
//! simple:
//!
//! - **Registering** and removing a descriptor works at once, from any thread. A resource is
//!   registered when somebody has to wait for it, in the instance of the shard that does; it is
//!   removed before its descriptor is closed or handed out.
//! - **Any thread** may drive a shard: one that takes it over from a thread that went to block goes
//!   on with the same instance, and so does the next `block_on` of a `current_thread` runtime.
//! - **A stalled sibling's** events are taken out of its instance by whoever looks after it.
//!
//! # Protocol
//!
//! - Whoever waits in an instance holds [`Shard::waiting`] from before it says `PARKED` until after.
//!   So nobody else takes the event that would wake it.
//! - An event names its resource by a token that is never used again. One whose resource has left
//!   meanwhile is ignored.
//! - Locks are taken in this order: a resource's watch, [`Shard::members`], a resource's waiters. No
//!   user code runs under any of them.
//!
//! # Shutdown
//!
//! 1. The runtime is marked shut down: nothing new is registered.
//! 2. The shard's members are removed and told; their waiters wake up to an error.
//! 3. The instance, its registry and its waker are closed.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::task::Waker;
use std::time::Duration;

use slab::Slab;

use crate::driver::parking::Parking;
use crate::driver::scheduled_io::{ScheduledIo, Watch, Watched};
use crate::driver::uring::{SETTLED, end_wait};
use crate::driver::{Progress, Ready, RingStats};
use crate::loom::sync::Mutex;
use crate::sys::epoll::{self, Epoll, Event, Registry};
use crate::sys::poll::{self, PollFd};
use crate::sys::timer_slack;
use crate::sys::uring::Wait;
use crate::util::unwind;

/// The bits of a token that say where its member is; the rest make it unique.
const INDEX_BITS: u32 = if usize::BITS == 64 { 32 } else { 20 };
const INDEX_MASK: usize = (1 << INDEX_BITS) - 1;

/// The shards of a runtime, as everyone sees them.
#[derive(Debug)]
pub(crate) struct Shards {
    runtime: u64,
    shards: Box<[Arc<Shard>]>,
    /// Where the next resource from a foreign thread goes.
    next: AtomicUsize,
}

/// One shard.
pub(crate) struct Shard {
    index: usize,
    parking: Parking,
    /// Counts turns: a sibling that sees no progress for a while takes the shard for stalled.
    turns: AtomicU64,
    /// The instance's number, for those who look at it from outside.
    fd: RawFd,
    waiting: Mutex<Option<Epoll>>,
    members: Mutex<Members>,
    /// `None` once the shard is shut down, as in `waiting` and `members`.
    waker: Mutex<Option<epoll::Waker>>,
}

/// What is registered in an instance.
#[derive(Debug)]
struct Members {
    registry: Option<Registry>,
    /// Each with its token.
    slab: Slab<(usize, Arc<ScheduledIo>)>,
    /// Goes into the next token.
    generation: usize,
}

/// The owner's side of one shard: the right to turn it.
pub(crate) struct Driver {
    runtime: u64,
    shard: Arc<Shard>,
    /// What this thread drove before, while attached.
    outer: Option<Current>,
    /// The thread's own timer slack, once this shard needed exact waits on it.
    slack: Option<timer_slack::Previous>,
}

/// Which shard a thread drives: the innermost runtime's.
#[derive(Clone, Copy)]
struct Current {
    /// 0: none.
    runtime: u64,
    shard: usize,
    /// Another thread may be driving it: this one is inside of `block_in_place`.
    is_lent: bool,
}

thread_local! {
    static CURRENT: Cell<Current> = const { Cell::new(Current { runtime: 0, shard: 0, is_lent: false }) };
}

impl Shards {
    /// `n` shards with an instance each.
    pub(crate) fn new(runtime: u64, n: usize) -> io::Result<(Shards, Vec<Driver>)> {
        let shards: Vec<_> =
            (0..n).map(|index| Shard::new(index).map(Arc::new)).collect::<io::Result<_>>()?;
        let drivers = shards.iter().map(|shard| Driver::new(runtime, shard)).collect();
        Ok((Shards { runtime, shards: shards.into(), next: AtomicUsize::new(0) }, drivers))
    }

    pub(crate) fn shard(&self, index: usize) -> &Shard {
        &self.shards[index]
    }

    /// What tells whether the owner of `shard` makes progress.
    pub(crate) fn progress(&self, shard: usize) -> Progress {
        let shard = &self.shards[shard];
        Progress { turns: shard.turns.load(Relaxed), is_parked: shard.parking.is_parked() }
    }

    /// What there is to count: turns, each with one system call, and members.
    pub(crate) fn stats(&self, shard: usize) -> RingStats {
        let shard = &self.shards[shard];
        let watched = shard.members.lock().slab.len();
        RingStats { enters: shard.turns.load(Relaxed), watched, ..RingStats::default() }
    }

    /// Makes the owner of `shard` look around.
    pub(crate) fn unpark(&self, shard: usize) {
        self.shards[shard].unpark();
    }

    /// The shard that this thread drives.
    pub(crate) fn current(&self) -> Option<usize> {
        let current = CURRENT.try_with(Cell::get).ok()?;
        (current.runtime == self.runtime && !current.is_lent).then_some(current.shard)
    }

    /// This thread's shard goes to another thread while this one blocks; or it goes on with it.
    pub(crate) fn set_lent(&self, is_lent: bool) {
        // Without the variable the thread is ending, and drives nothing.
        let _ = CURRENT.try_with(|current| current.set(Current { is_lent, ..current.get() }));
    }

    /// A driver for a thread that takes `shard` over from one that went to block.
    pub(crate) fn replace(&self, shard: usize) -> Driver {
        Driver::new(self.runtime, &self.shards[shard])
    }

    /// Has `io` watched: by this thread's shard, or by any if it has none.
    ///
    /// # Errors
    ///
    /// If the kernel refuses: it is out of memory, or the user's watches are at their limit.
    pub(crate) fn watch(&self, io: &Arc<ScheduledIo>) -> io::Result<()> {
        let here = self.current();
        if io.is_watched() {
            if let Some(here) = here {
                self.watch_strayed(io, here);
            }
            return Ok(());
        }
        let shard = here.unwrap_or_else(|| self.next.fetch_add(1, Relaxed) % self.shards.len());
        let is_there = io.with_watch(|watch| match watch.current {
            Watch::Idle => self.register(io, shard, watch),
            _ => Ok(true),
        })?;
        if !is_there {
            end_wait(io);
        }
        Ok(())
    }

    /// `false`: the shard is shut down.
    fn register(&self, io: &Arc<ScheduledIo>, shard: usize, watch: &mut Watched) -> io::Result<bool> {
        let shard = &self.shards[shard];
        let Some(token) = shard.register(io)? else { return Ok(false) };
        watch.current = Watch::Member { shard: shard.clone(), token };
        io.set_home(shard.index);
        Ok(true)
    }

    /// A task on shard `here` waits for `io`, which is watched. If that is elsewhere time and
    /// again, the task has settled here, and the watch follows it: it saves the wake-up across.
    fn watch_strayed(&self, io: &Arc<ScheduledIo>, here: usize) {
        if io.strayed(here) < SETTLED {
            return;
        }
        io.with_watch(|watch| {
            let Watch::Member { shard, token } = &watch.current else { return };
            let (old, token) = (shard.clone(), *token);
            // Registered here first: what happened meanwhile is reported as an event. If the
            // kernel refuses, all stays as it is.
            match self.register(io, here, watch) {
                Ok(true) => drop(old.deregister(io.fd(), token)),
                Ok(false) | Err(_) => io.set_home(old.index),
            }
        });
    }

    /// Removes `io`, then closes `fd` if one is given.
    pub(crate) fn unwatch(&self, io: &Arc<ScheduledIo>, fd: Option<OwnedFd>) {
        let watch = io.with_watch(|watch| std::mem::replace(&mut watch.current, Watch::Closed));
        if let Watch::Member { shard, token } = watch {
            drop(shard.deregister(io.fd(), token));
        }
        drop(fd);
    }
}

impl Shard {
    fn new(index: usize) -> io::Result<Shard> {
        let (epoll, registry, waker) = Epoll::new()?;
        Ok(Shard {
            index,
            parking: Parking::new(),
            turns: AtomicU64::new(0),
            fd: epoll.as_raw_fd(),
            waiting: Mutex::new(Some(epoll)),
            // Generations start at 1: no token is 0, which is what others like for theirs.
            members: Mutex::new(Members { registry: Some(registry), slab: Slab::new(), generation: 1 }),
            waker: Mutex::new(Some(waker)),
        })
    }

    fn unpark(&self) {
        if self.parking.notify() {
            if let Some(waker) = &*self.waker.lock() {
                let woken = waker.wake();
                debug_assert!(woken.is_ok(), "waker: {woken:?}");
            }
        }
    }

    fn count_turn(&self) {
        // One writer: no read-modify-write needed.
        self.turns.store(self.turns.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Registers `io`; `None` if the shard is shut down.
    fn register(&self, io: &Arc<ScheduledIo>) -> io::Result<Option<usize>> {
        // Under the lock: whoever collects its first event finds it.
        self.members.lock().register(io)
    }

    /// Removes the member `token`, if it is there; returns it, to be dropped with no lock held.
    fn deregister(&self, fd: RawFd, token: usize) -> Option<Arc<ScheduledIo>> {
        self.members.lock().deregister(fd, token)
    }

    /// Waits for events and collects the wakers of those who wait for them.
    fn turn(&self, wait: Wait, wakers: &mut Vec<Waker>) {
        self.count_turn();
        let mut waiting = self.waiting.lock();
        let Some(epoll) = &mut *waiting else { return };
        let parked = wait != Wait::No && self.parking.start();
        let waited = epoll.wait(if parked { wait } else { Wait::No });
        if parked {
            self.parking.stop();
        }
        waited.unwrap_or_else(|error| refused(&error));
        self.collect(epoll, wakers);
    }

    /// The same, but waits for the stalled `other` shard's events, too.
    fn turn_for(&self, other: &Shard, limit: Duration, wakers: &mut Vec<Waker>) {
        self.count_turn();
        let mut waiting = self.waiting.lock();
        let Some(epoll) = &mut *waiting else { return };
        let parked = !limit.is_zero() && self.parking.start();
        let mut fds = [PollFd::new(self.fd, poll::IN), PollFd::new(other.fd, poll::IN)];
        // An error here is EINTR or a lack of memory: nothing is ready, the next turn repeats.
        drop(poll::wait(&mut fds, Some(if parked { limit } else { Duration::ZERO })));
        if parked {
            self.parking.stop();
        }
        if fds[0].ready() != 0 {
            epoll.wait(Wait::No).unwrap_or_else(|error| refused(&error));
            self.collect(epoll, wakers);
        }
        drop(waiting);
        if fds[1].ready() == 0 {
            return;
        }
        // Held by somebody else: its own thread is back.
        let Some(mut theirs) = other.waiting.try_lock() else { return };
        if let Some(epoll) = &mut *theirs {
            epoll.wait(Wait::No).unwrap_or_else(|error| refused(&error));
            other.collect(epoll, wakers);
        }
    }

    /// Notes what `epoll` reported, and moves the wakers of those who wait for it to `wakers`.
    fn collect(&self, epoll: &Epoll, wakers: &mut Vec<Waker>) {
        let members = self.members.lock();
        for (token, event) in epoll.events() {
            // The waker's only purpose was to end the wait.
            if let Some(io) = members.get(token) {
                let ready = ready(event);
                io.set_readiness(ready);
                io.take_wakers(ready, wakers);
            }
        }
    }

    /// See the module docs; step 1 is the caller's.
    fn shutdown(&self) {
        let (members, registry) = {
            let mut members = self.members.lock();
            (std::mem::take(&mut members.slab), members.registry.take())
        };
        for (_, (_, io)) in members {
            end_wait(&io);
        }
        // The end of an instance is that of all its registrations.
        drop(registry);
        drop(self.waker.lock().take());
        drop(self.waiting.lock().take());
    }
}

impl Members {
    fn register(&mut self, io: &Arc<ScheduledIo>) -> io::Result<Option<usize>> {
        let Some(registry) = &self.registry else { return Ok(None) };
        let entry = self.slab.vacant_entry();
        let token = self.generation << INDEX_BITS | entry.key() & INDEX_MASK;
        registry.register(io.fd(), io.interest().poll_events(), token)?;
        entry.insert((token, io.clone()));
        self.generation = self.generation.wrapping_add(1);
        Ok(Some(token))
    }

    fn deregister(&mut self, fd: RawFd, token: usize) -> Option<Arc<ScheduledIo>> {
        self.get(token)?;
        if let Some(registry) = &self.registry {
            // An error: the descriptor was closed under us, which removed it as well.
            let _ = registry.deregister(fd);
        }
        Some(self.slab.remove(token & INDEX_MASK).1)
    }

    fn get(&self, token: usize) -> Option<&Arc<ScheduledIo>> {
        let (current, io) = self.slab.get(token & INDEX_MASK)?;
        (*current == token).then_some(io)
    }
}

fn ready(event: &Event) -> Ready {
    let bits = [
        (event.is_readable(), Ready::READABLE),
        (event.is_writable(), Ready::WRITABLE),
        (event.is_read_closed(), Ready::READ_CLOSED),
        (event.is_write_closed(), Ready::WRITE_CLOSED),
        (event.is_priority(), Ready::PRIORITY),
        (event.is_error(), Ready::ERROR),
    ];
    bits.into_iter().filter(|(set, _)| *set).fold(Ready::EMPTY, |all, (_, bit)| all | bit)
}

#[cold]
fn refused(error: &io::Error) -> ! {
    panic!(
        "spargio: the kernel refuses an epoll instance that worked before: {error}. Was its descriptor closed \
         while the runtime ran?"
    )
}

impl Driver {
    fn new(runtime: u64, shard: &Arc<Shard>) -> Driver {
        Driver { runtime, shard: shard.clone(), outer: None, slack: None }
    }

    pub(crate) fn shard(&self) -> usize {
        self.shard.index
    }

    /// Makes this thread the shard's.
    pub(crate) fn attach(&mut self) {
        debug_assert!(self.outer.is_none());
        let current = Current { runtime: self.runtime, shard: self.shard.index, is_lent: false };
        self.outer = Some(CURRENT.replace(current));
    }

    /// Takes the shard from this thread; what it watches stays watched.
    pub(crate) fn detach(&mut self) {
        if let Some(outer) = self.outer.take() {
            CURRENT.set(outer);
        }
        if let Some(previous) = self.slack.take() {
            timer_slack::restore(previous);
        }
    }

    /// Serves what is there; waits for more as told.
    pub(crate) fn turn(&mut self, wait: Wait) {
        if matches!(wait, Wait::For(_)) && self.slack.is_none() {
            self.slack = Some(timer_slack::minimize());
        }
        with_spare(|wakers| self.shard.turn(wait, wakers));
    }

    /// The same, also for the stalled `other` shard.
    pub(crate) fn turn_for(&mut self, other: &Shard, limit: Duration) {
        with_spare(|wakers| self.shard.turn_for(other, limit, wakers));
    }

    /// See the module docs; step 1 is the caller's.
    pub(crate) fn shutdown(&mut self) {
        self.detach();
        self.shard.shutdown();
    }
}

/// Has `f` collect wakers, and wakes them. The space for them is kept, since a turn happens for
/// every few events; a turn within a wake-up takes new space.
fn with_spare(f: impl FnOnce(&mut Vec<Waker>)) {
    thread_local! {
        static SPARE: Cell<Vec<Waker>> = const { Cell::new(Vec::new()) };
    }
    let mut wakers = SPARE.try_with(Cell::take).unwrap_or_default();
    f(&mut wakers);
    wakers.drain(..).for_each(unwind::wake);
    // An error: the thread ends.
    let _ = SPARE.try_with(|spare| spare.set(wakers));
}

impl std::fmt::Debug for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shard")
            .field("index", &self.index)
            .field("fd", &self.fd)
            .field("turns", &self.turns)
            .field("parking", &self.parking)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
