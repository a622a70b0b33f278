//! L1: turns completions into wake-ups. Knows `Waker` and `Interest`, not tasks.
//!
//! One [`Driver`] per shard belongs to the thread that drives it; one [`Handle`] per runtime is
//! shared by all.
//!
//! - What is **watched** for readiness is in the runtime's [`set`]: any thread puts it there, takes it out
//!   and serves it.
//! - What is **submitted** goes to the [ring](uring) of the thread that drives a shard. A runtime whose
//!   backend is epoll (see [`choice`]) has no rings, and so do threads that get none.
//! - A thread **sleeps** as its [`seat`] at the shard says.
//!
//! # Driving a shard
//!
//! A [`Driver`] moves between threads while *detached*; on the thread that drives the shard it is
//! *attached*. Detaching and attaching on the same thread cost nothing. A ring cannot follow to another
//! thread (`SINGLE_ISSUER`), so if operations are in flight when a driver is detached they are ended, and
//! those that had no effect are submitted again by the next thread. What cannot be ended stays with the ring: if
//! the next thread is the same one, it goes on with that; else the ring is closed, and the operation left behind.
//!
//! # Shutdown
//!
//! 1. Each shard's thread cancels its operations and awaits their terminal completions, for a moment. What the kernel
//!    has not let go of by then is left behind with the ring, and freed when the kernel is done.
//! 2. Its ring is given back or closed, then its mailbox.
//! 3. The last shard marks the runtime shut down: nothing new is registered. Its timers end.
//! 4. The watch set is closed. Every resource is told; its waiters wake up to an error.

cfg_signal_driver! {
    mod attend;
    pub(crate) mod signal;
}
cfg_process! {
    pub(crate) mod process;
}
pub(crate) mod choice;
mod error;
#[cfg(feature = "uring-native")]
mod fixed;
mod hold;
mod interest;
mod lane;
mod last_words;
mod leftovers;
mod mailbox;
cfg_metrics! {
    mod metrics;
    pub(crate) use metrics::IoMetrics;
}
pub(crate) mod op;
mod outbox;
mod parking;
mod ready;
mod registration;
mod scheduled_io;
mod seat;
mod set;
mod shards;
pub(crate) mod time;
mod uring;

pub(crate) use error::{CONTEXT_MISSING_ERROR, RUNTIME_SHUTTING_DOWN_ERROR, THREAD_LOCAL_DESTROYED_ERROR};
#[cfg(feature = "uring-native")]
pub(crate) use fixed::{FixedMemory, Notice};
pub use interest::Interest;
#[cfg(not(feature = "uring-native"))]
#[cfg_attr(not(feature = "net"), allow(unused_imports))]
pub(crate) use lane::Lane;
#[cfg(feature = "uring-native")]
pub use lane::Lane;
#[cfg_attr(not(feature = "uring-native"), allow(unused_imports))]
pub(crate) use leftovers::{Extra, Found, Leftover, Leftovers};
#[cfg_attr(not(feature = "net"), allow(unused_imports))]
pub(crate) use outbox::{Offer, Outbox};
pub use ready::Ready;
pub(crate) use registration::{Drained, Registration};
pub(crate) use scheduled_io::{Direction, ReadyEvent};
pub(crate) use shards::Progress;
#[cfg(feature = "uring-native")]
pub(crate) use uring::Remote;
pub(crate) use uring::RingStats;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::driver::op::Flight;
use crate::driver::scheduled_io::ScheduledIo;
use crate::driver::seat::Seat;
use crate::driver::set::WatchSet;
use crate::driver::shards::Shards;
use crate::driver::uring::Ending;
use crate::sys::fork::Origin;
use crate::sys::uring::Wait;

use choice::Choice;
use time::{Clock, ParkPlan};

/// What a runtime asks of its drivers.
#[derive(Debug, Clone)]
pub(crate) struct Cfg {
    pub(crate) enable_io: bool,
    pub(crate) enable_time: bool,
    pub(crate) enable_pause_time: bool,
    pub(crate) start_paused: bool,
    /// What timers do that are left when the runtime shuts down: fire, or fail.
    pub(crate) fire_at_shutdown: bool,
    /// What streams take; the environment says so otherwise.
    pub(crate) lane: Option<Lane>,
}

/// A runtime's drivers, as everyone sees them. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Handle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The process that the runtime was built in.
    origin: Origin,
    io_enabled: bool,
    time_enabled: bool,
    time: time::Handle,
    shards: Arc<Shards>,
    choice: choice::Backend,
    is_shutdown: AtomicBool,
    /// Until when the last bytes of closed connections are waited for, once it is shut down.
    lingers_until: OnceLock<Instant>,
    lane: Lane,
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    io_metrics: Arc<IoMetrics>,
    /// Is the runtime one that delivers signals?
    #[cfg(any(feature = "process", feature = "signal"))]
    serves_signals: AtomicBool,
}

/// The owner's side of one shard; see the module docs.
pub(crate) struct Driver {
    shards: Arc<Shards>,
    shard: usize,
    /// While detached, unless a new one will do.
    seat: Option<Box<Seat>>,
    is_attached: bool,
    /// Operations to be submitted by the next thread.
    recalled: Vec<Arc<dyn Flight>>,
    /// The seat of an outer runtime on the same thread (inside its `block_in_place`).
    outer: Option<Box<Seat>>,
}

/// How much a turn may leave to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    Briefly,
    Closely,
}

/// The driver of a `current_thread` runtime: one shard.
pub(crate) fn new_single(cfg: &Cfg) -> io::Result<(Driver, Handle)> {
    let (mut drivers, handle) = new_sharded(cfg, 1)?;
    match drivers.pop() {
        Some(driver) => Ok((driver, handle)),
        None => unreachable!("one shard was asked for"),
    }
}

/// The drivers of a runtime of `n` workers; each is attached by its worker. None has a descriptor: the
/// runtime has the two of its watch set, if it does I/O.
pub(crate) fn new_sharded(cfg: &Cfg, n: usize) -> io::Result<(Vec<Driver>, Handle)> {
    static NEXT_RUNTIME: AtomicU64 = AtomicU64::new(1);

    let runtime = NEXT_RUNTIME.fetch_add(1, Relaxed);
    let choice = Choice::of_process()?.make()?;
    let has_rings = choice.kind() == choice::BackendKind::IoUring;
    let set = if cfg.enable_io { Some(WatchSet::new()?) } else { None };
    let shards = Arc::new(Shards::new(runtime, n, set, has_rings));
    let drivers = (0..n).map(|shard| Driver::new(&shards, shard)).collect();
    let lane = cfg.lane.map_or_else(Lane::of_process, Ok)?;
    let clock = Clock::new(cfg.enable_pause_time, cfg.start_paused);
    let origin = Origin::here();
    let unpark = {
        let shards = shards.clone();
        move |shard: usize| {
            if origin.is_here() {
                shards.shard(shard).unpark();
            }
        }
    };
    let inner = Inner {
        origin,
        io_enabled: cfg.enable_io,
        time_enabled: cfg.enable_time,
        time: time::Handle::new(clock, n, Box::new(unpark)).fire_at_shutdown(cfg.fire_at_shutdown),
        shards,
        choice,
        is_shutdown: AtomicBool::new(false),
        lingers_until: OnceLock::new(),
        lane,
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        io_metrics: Arc::default(),
        #[cfg(any(feature = "process", feature = "signal"))]
        serves_signals: AtomicBool::new(false),
    };
    Ok((drivers, Handle(Arc::new(inner))))
}

/// The shard of `handle`'s runtime that this thread drives.
pub(crate) fn current_shard(handle: &Handle) -> Option<usize> {
    seat::current_shard(handle.0.shards.runtime)
}

impl Handle {
    /// The I/O driver.
    ///
    /// # Panics
    ///
    /// If the runtime was built without it.
    #[track_caller]
    pub(crate) fn io(&self) -> &Handle {
        assert!(
            self.0.io_enabled,
            "A Tokio 1.x context was found, but IO is disabled. Call `enable_io` on the runtime builder to enable IO."
        );
        self
    }

    /// The time driver.
    ///
    /// # Panics
    ///
    /// If the runtime was built without it.
    #[track_caller]
    pub(crate) fn time(&self) -> &time::Handle {
        assert!(
            self.0.time_enabled,
            "A Tokio 1.x context was found, but timers are disabled. Call `enable_time` on the runtime builder to \
             enable timers."
        );
        &self.0.time
    }

    /// The I/O driver, for signals.
    ///
    /// # Panics
    ///
    /// If the runtime was built without it.
    #[cfg(any(feature = "process", feature = "signal"))]
    #[track_caller]
    pub(crate) fn signal(&self) -> &Handle {
        assert!(
            self.0.io_enabled,
            "there is no signal driver running, must be called from the context of Tokio runtime"
        );
        self
    }

    pub(crate) fn clock(&self) -> &Clock {
        self.0.time.clock()
    }

    /// Makes the only shard of a `current_thread` runtime look around.
    pub(crate) fn unpark(&self) {
        self.unpark_shard(0);
    }

    /// Notes that a task was woken on the shard's own thread: a paused clock must not advance now.
    #[cfg(feature = "test-util")]
    pub(crate) fn unpark_self(&self) {
        self.0.time.unpark_self();
    }

    pub(crate) fn unpark_shard(&self, shard: usize) {
        self.0.time.unpark();
        if !self.is_inherited() {
            self.0.shards.shard(shard).unpark();
        }
    }

    /// Is this the child of a fork, and the runtime its parent's? Then only the memory is there:
    /// nobody runs its tasks, and the kernel's side of its drivers is the parent's.
    pub(crate) fn is_inherited(&self) -> bool {
        !self.0.origin.is_here()
    }

    /// # Panics
    ///
    /// If the runtime [is inherited](Handle::is_inherited).
    #[track_caller]
    pub(crate) fn assert_own(&self) {
        self.0.origin.assert_here();
    }

    /// Has the process send what writes have left to be sent later, should it end before.
    pub(crate) fn remember_outgoing(&self) {
        self.0.shards.remember_outgoing();
    }

    pub(crate) fn is_shutdown(&self) -> bool {
        self.0.is_shutdown.load(Acquire)
    }

    /// Nothing new is registered from here on.
    pub(crate) fn mark_shutdown(&self) {
        self.0.lingers_until.get_or_init(|| Instant::now() + outbox::LINGER_AT_SHUTDOWN);
        self.0.is_shutdown.store(true, Release);
    }

    /// Until when the end of the runtime waits for the last bytes of closed connections.
    fn lingers_until(&self) -> Instant {
        *self.0.lingers_until.get_or_init(|| Instant::now() + outbox::LINGER_AT_SHUTDOWN)
    }

    /// What streams of this runtime take.
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    pub(crate) fn lane(&self) -> Lane {
        self.offers(self.0.lane)
    }

    /// `lane`, if the backend has lanes.
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    pub(crate) fn offers(&self, lane: Lane) -> Lane {
        if self.0.shards.rings.are_allowed() { lane } else { Lane::Readiness }
    }

    /// Counts a write on this thread; is it one of many in this turn of a shard of the runtime?
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    pub(crate) fn is_busy(&self) -> bool {
        current_shard(self).is_some() && uring::is_many()
    }

    /// Has `outbox` sent with the next turn of this thread's shard, if it has one that turns.
    fn send_later(&self, outbox: &Arc<Outbox>) -> bool {
        seat::send_later(self.0.shards.runtime, outbox)
    }

    /// Counts what happens to I/O resources.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(crate) fn io_metrics(&self) -> &Arc<IoMetrics> {
        &self.0.io_metrics
    }

    /// Has `io` watched.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    fn watch(&self, io: &Arc<ScheduledIo>) -> io::Result<()> {
        self.assert_own();
        self.0.shards.watch(io)
    }

    /// Ends the watch of `io`, then closes `fd` if one is given.
    fn unwatch(&self, io: &ScheduledIo, fd: Option<OwnedFd>) {
        // In the child of a fork: the parent watches its own descriptor of the file; the child's is just
        // closed.
        if !self.is_inherited() {
            self.0.shards.unwatch(io, fd);
        }
    }

    /// Has `waker` woken, by whoever drives the runtime, at the first event of `fd`, which is no resource of the runtime.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`; without the I/O driver nobody would notice.
    pub(crate) fn set_alarm(&self, fd: RawFd, waker: Waker) -> io::Result<()> {
        match &self.0.shards.set {
            Some(set) => set.set_alarm(fd, waker),
            None => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Ends that, before `fd` is closed.
    pub(crate) fn end_alarm(&self, fd: RawFd) {
        if let Some(set) = &self.0.shards.set {
            set.end_alarm(fd);
        }
    }

    /// What the runtime stands on.
    pub(crate) fn choice(&self) -> &choice::Backend {
        &self.0.choice
    }

    /// Has an operation submitted, by this thread's shard if it has one, else by some other. Where there
    /// is no ring it fails.
    pub(crate) fn launch(&self, flight: Arc<dyn Flight>) {
        // For the paused clock of a runtime that another thread drives.
        self.0.time.unpark();
        // Entries and the buffers they name would go to the parent's kernel queue.
        self.assert_own();
        self.0.shards.launch(flight);
    }

    /// The same for the parts of a chain, which go in together.
    pub(crate) fn launch_chain(&self, chain: Arc<op::Chain>) {
        self.0.time.unpark();
        self.assert_own();
        self.0.shards.launch_chain(chain);
    }

    /// A group of buffers for the ring of this thread's shard, and that ring; `None` if there is none
    /// that takes operations.
    #[cfg(feature = "uring-native")]
    pub(crate) fn buf_ring(
        &self,
        group: u16,
        count: u16,
        size: usize,
    ) -> Option<io::Result<(Arc<crate::sys::uring::buf_ring::BufRing>, Arc<Remote>)>> {
        seat::with_engine(self.0.shards.runtime, None, |engine| engine.buf_ring(group, count, size))
    }

    /// Has this thread's ring serve what there is until `done`, and waits a little for others if
    /// `patient`.
    pub(crate) fn settle(&self, patient: bool, mut done: impl FnMut() -> bool) {
        const TURNS: usize = 16;
        const STEP: Duration = Duration::from_micros(100);
        /// The owner of another ring may be stuck in a task, or just not have a processor.
        const PATIENCE: Duration = Duration::from_millis(100);

        for _ in 0..TURNS {
            if done() {
                return;
            }
            seat::turn(Wait::No);
        }
        let deadline = Instant::now() + PATIENCE;
        while patient && !done() && Instant::now() < deadline {
            std::thread::sleep(STEP);
            seat::turn(Wait::No);
        }
    }

    /// Do rings of this runtime know the operation `opcode` (`IORING_OP_*`)?
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn supports(&self, opcode: u8) -> bool {
        self.0.shards.rings.are_allowed() && crate::sys::uring::supports(opcode)
    }

    /// Does this thread drive a shard of this runtime, with a ring that takes operations? Not while it
    /// blocks in `block_in_place`.
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn takes_ops_here(&self) -> bool {
        seat::takes_ops(self.0.shards.runtime)
    }

    /// Turns the shard that this thread drives, if any, from inside of a task.
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn turn_here(&self, limit: Duration) -> bool {
        let drives = current_shard(self).is_some();
        if drives {
            seat::turn(Wait::For(limit));
        }
        drives
    }

    /// This thread, which drives a shard, goes to block: what its ring does is called back and done
    /// by others. That is waited for.
    pub(crate) fn lend(&self) {
        seat::lend().into_iter().for_each(|flight| self.0.shards.launch(flight));
    }

    /// This thread is back and drives its shard as before.
    pub(crate) fn reclaim(&self) {
        seat::reclaim();
    }

    /// What the driver of `shard` has done.
    pub(crate) fn stats(&self, shard: usize) -> RingStats {
        self.0.shards.stats(shard)
    }

    /// What tells whether the owner of `shard` makes progress.
    pub(crate) fn progress(&self, shard: usize) -> Progress {
        self.0.shards.shard(shard).progress()
    }

    /// Does a sibling sleep on behalf of the thread of `shard`?
    pub(crate) fn is_rescued(&self, shard: usize) -> bool {
        self.0.shards.shard(shard).is_rescued()
    }

    /// Makes that sibling look around, if there is one.
    pub(crate) fn unpark_rescuer(&self, shard: usize) {
        self.0.shards.shard(shard).unpark_rescuer();
    }

    /// A driver for a thread that takes `shard` over from one that went to block.
    pub(crate) fn stand_in(&self, shard: usize) -> Driver {
        Driver::new(&self.0.shards, shard)
    }
}

impl Driver {
    fn new(shards: &Arc<Shards>, shard: usize) -> Driver {
        Driver {
            shards: shards.clone(),
            shard,
            seat: None,
            is_attached: false,
            recalled: Vec::new(),
            outer: None,
        }
    }

    /// Binds the shard to this thread.
    pub(crate) fn attach(&mut self) {
        debug_assert!(!self.is_attached);
        let seat = self.seat.take().filter(|seat| !seat.is_foreign());
        let mut seat = seat.unwrap_or_else(|| Seat::new(&self.shards, self.shard));
        seat.read_ring_mail();
        self.outer = seat::take(seat);
        self.is_attached = true;
        if !self.recalled.is_empty() {
            self.recalled.drain(..).for_each(|flight| self.shards.launch(flight));
        }
    }

    /// Unbinds the shard from this thread. Operations that are in flight are ended, or kept for the
    /// next thread; what is watched stays watched.
    pub(crate) fn detach(&mut self) {
        let Some(mut seat) = self.get_up() else { return };
        self.recalled.append(&mut seat.come_to_rest());
        self.seat = Some(seat);
    }

    fn get_up(&mut self) -> Option<Box<Seat>> {
        if !std::mem::take(&mut self.is_attached) {
            return None;
        }
        let seat = seat::leave(self.outer.take());
        debug_assert!(seat.is_some());
        // In the child of a fork: what is in flight is the parent's.
        seat.filter(|seat| !seat.is_inherited())
    }

    /// Waits for the next event or timer, and serves both.
    pub(crate) fn park(&mut self, handle: &Handle) {
        self.park_internal(handle, None, Look::Closely);
    }

    /// The same, but waits no longer than `limit`; with zero it only looks.
    pub(crate) fn park_timeout(&mut self, handle: &Handle, limit: Duration) {
        self.park_internal(handle, Some(limit), Look::Closely);
    }

    /// Looks for what is there, for a thread that has tasks to run. The set is not asked again if it was
    /// asked a moment ago.
    pub(crate) fn glance(&mut self, handle: &Handle) {
        self.park_internal(handle, Some(Duration::ZERO), Look::Briefly);
    }

    fn park_internal(&mut self, handle: &Handle, limit: Option<Duration>, look: Look) {
        handle.assert_own();
        let inner = &handle.0;
        #[cfg(feature = "process")]
        if inner.io_enabled {
            process::adopt(handle);
        }
        if !inner.time_enabled {
            self.turn(
                match limit {
                    None => Wait::Forever,
                    Some(Duration::ZERO) => Wait::No,
                    Some(limit) => Wait::For(limit),
                },
                look,
            );
            return;
        }
        let shard = self.shard;
        let mut plan = inner.time.park_timeout(shard, limit);
        if let ParkPlan::PollThenAdvance(limit) = plan {
            if seat::holds_clock() {
                // As on Tokio, whose blocking pool does such work.
                plan = ParkPlan::For(limit);
            }
        }
        let (wait, look) = match plan {
            ParkPlan::Forever => (Wait::Forever, look),
            ParkPlan::For(Duration::ZERO) => (Wait::No, look),
            // Time stands still until nothing is left to do.
            ParkPlan::PollThenAdvance(_) => (Wait::No, Look::Closely),
            ParkPlan::For(limit) => (Wait::For(limit), look),
        };
        self.turn(wait, look);
        if let ParkPlan::PollThenAdvance(limit) = plan {
            if seat::holds_clock() {
                // It came by mail just now.
                plan = ParkPlan::For(limit);
            }
        }
        inner.time.after_park(shard, plan);
    }

    /// Serves a stalled sibling's timers and mail along with this shard's, without waiting.
    pub(crate) fn look_for(&mut self, handle: &Handle, stalled: usize) {
        handle.assert_own();
        self.serve_for(handle, &[stalled], Wait::No);
    }

    /// The same for several of them, waiting no longer than `limit`: until something comes, for this shard or for them.
    /// Another sibling may do so for some of them already. `look` is for what the driver knows nothing of.
    pub(crate) fn park_for(
        &mut self,
        handle: &Handle,
        stalled: &mut Vec<usize>,
        limit: Duration,
        look: impl FnOnce(&[usize]),
    ) {
        handle.assert_own();
        let inner = &handle.0;
        let own = self.shards.shard(self.shard).clone();
        // First of all: from here on this thread is woken for what comes to them.
        stalled.retain(|&shard| self.shards.shard(shard).begin_rescue(&own));
        look(stalled);
        let mut limit = limit;
        if inner.time_enabled {
            for &shard in &*stalled {
                inner.time.process_for(shard);
                limit = limit.min(inner.time.watch(shard, limit));
            }
            limit = match inner.time.park_timeout(self.shard, Some(limit)) {
                ParkPlan::For(limit) | ParkPlan::PollThenAdvance(limit) => limit,
                ParkPlan::Forever => limit,
            };
        }
        self.serve_for(handle, stalled, if limit.is_zero() { Wait::No } else { Wait::For(limit) });
        for &shard in &*stalled {
            if inner.time_enabled {
                inner.time.unwatch(shard);
            }
            self.shards.shard(shard).end_rescue();
        }
    }

    fn serve_for(&mut self, handle: &Handle, stalled: &[usize], wait: Wait) {
        seat::turn_for(stalled.iter().map(|&shard| self.shards.shard(shard)), wait);
        if handle.0.time_enabled {
            for &shard in stalled {
                handle.0.time.process_for(shard);
            }
            handle.0.time.process(self.shard);
        }
    }

    fn turn(&mut self, wait: Wait, look: Look) {
        debug_assert!(self.is_attached);
        match look {
            Look::Briefly if wait == Wait::No => seat::glance(),
            Look::Briefly | Look::Closely => seat::turn(wait),
        }
    }

    /// See the module docs. `handle` must be marked shut down.
    pub(crate) fn shutdown(&mut self, handle: &Handle) {
        if handle.is_inherited() {
            return;
        }
        let seat = self.get_up().or_else(|| self.seat.take());
        let recalled = seat.map(|mut seat| seat.give_ring_up(Ending::Shutdown)).unwrap_or_default();
        let recalled = recalled.into_iter().chain(self.recalled.drain(..));
        recalled.for_each(|flight| op::refuse(&*flight, op::Completion::runtime_gone()));
        self.shards.shard(self.shard).close();
        if self.shards.end_of_shard() {
            handle.mark_shutdown();
            if handle.0.time_enabled {
                handle.0.time.shutdown();
            }
            self.shards.close_set();
        }
    }

    /// Gives up a shard that another thread has taken over.
    pub(crate) fn abandon(&mut self) {
        if let Some(mut seat) = self.get_up() {
            let recalled = seat.give_ring_up(Ending::HandOver);
            recalled.into_iter().for_each(|flight| self.shards.launch(flight));
        }
    }
}
