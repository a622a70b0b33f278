//! L1: turns completions into wake-ups. Knows `Waker` and `Interest`, not tasks.
//!
//! One [`Driver`] per shard belongs to the thread that drives it; one [`Handle`] per runtime is
//! shared by all. A runtime stands on rings, or on epoll where there are none; the choice is made
//! in [`choice`], once for each runtime.

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
mod interest;
mod lane;
mod leftovers;
#[cfg(tokio_unstable)]
mod metrics;
mod mio;
pub(crate) mod op;
mod outbox;
mod parking;
mod ready;
mod registration;
mod scheduled_io;
pub(crate) mod time;
mod uring;

pub(crate) use error::{CONTEXT_MISSING_ERROR, RUNTIME_SHUTTING_DOWN_ERROR, THREAD_LOCAL_DESTROYED_ERROR};
#[cfg(feature = "uring-native")]
pub(crate) use fixed::FixedMemory;
pub use interest::Interest;
#[cfg(not(feature = "uring-native"))]
#[cfg_attr(not(feature = "net"), allow(unused_imports))]
pub(crate) use lane::Lane;
#[cfg(feature = "uring-native")]
pub use lane::Lane;
#[cfg_attr(not(feature = "uring-native"), allow(unused_imports))]
pub(crate) use leftovers::{Found, Leftover, Leftovers};
#[cfg(tokio_unstable)]
pub(crate) use metrics::IoMetrics;
#[cfg_attr(not(feature = "net"), allow(unused_imports))]
pub(crate) use outbox::{Offer, Outbox};
pub use ready::Ready;
pub(crate) use registration::{Drained, Registration};
pub(crate) use scheduled_io::{Direction, ReadyEvent};
#[cfg(feature = "uring-native")]
pub(crate) use uring::Remote;
pub(crate) use uring::{Progress, RingStats};

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crate::driver::scheduled_io::ScheduledIo;
use crate::sys::foreign::ForeignFds;
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
    backend: Backend,
    choice: choice::Backend,
    is_shutdown: AtomicBool,
    /// Until when the last bytes of closed connections are waited for, once it is shut down.
    lingers_until: OnceLock<Instant>,
    lane: Lane,
    #[cfg(tokio_unstable)]
    io_metrics: Arc<IoMetrics>,
    /// Descriptors registered by users (`AsyncFd`), of which the kernel would not tell twins.
    foreign_fds: Arc<ForeignFds>,
    /// Is the runtime one that delivers signals?
    #[cfg(any(feature = "process", feature = "signal"))]
    serves_signals: AtomicBool,
}

#[derive(Debug, Clone)]
enum Backend {
    Uring(Arc<uring::Shards>),
    Mio(Arc<mio::Shards>),
}

/// The owner's side of one shard.
pub(crate) struct Driver {
    backend: DriverBackend,
}

enum DriverBackend {
    Uring(uring::Driver),
    Mio(mio::Driver),
}

/// The driver of a `current_thread` runtime: one shard, a ring of this thread.
pub(crate) fn new_single(cfg: &Cfg) -> io::Result<(Driver, Handle)> {
    let (mut drivers, handle) = create(cfg, 1, true)?;
    match drivers.pop() {
        Some(driver) => Ok((driver, handle)),
        None => unreachable!("one shard was asked for"),
    }
}

/// The drivers of a runtime of `shards` workers; each is attached by its worker.
pub(crate) fn new_sharded(cfg: &Cfg, shards: usize) -> io::Result<(Vec<Driver>, Handle)> {
    create(cfg, shards, false)
}

fn create(cfg: &Cfg, shards: usize, reuse: bool) -> io::Result<(Vec<Driver>, Handle)> {
    static NEXT_RUNTIME: AtomicU64 = AtomicU64::new(1);

    let runtime = NEXT_RUNTIME.fetch_add(1, Relaxed);
    let on_rings = || {
        let (shards, drivers) = uring::Shards::new(runtime, shards, reuse)?;
        let drivers = drivers.into_iter().map(|d| Driver { backend: DriverBackend::Uring(d) }).collect();
        Ok((drivers, Backend::Uring(Arc::new(shards))))
    };
    let on_epoll = || {
        let (shards, drivers) = mio::Shards::new(runtime, shards)?;
        let drivers = drivers.into_iter().map(|d| Driver { backend: DriverBackend::Mio(d) }).collect();
        Ok((drivers, Backend::Mio(Arc::new(shards))))
    };
    let (choice, (drivers, backend)) = Choice::of_process()?.make(on_rings, on_epoll)?;
    let lane = cfg.lane.map_or_else(Lane::of_process, Ok)?;
    let clock = Clock::new(cfg.enable_pause_time, cfg.start_paused);
    let origin = Origin::here();
    let unpark = {
        let backend = backend.clone();
        move |shard: usize| {
            if origin.is_here() {
                backend.unpark(shard);
            }
        }
    };
    let inner = Inner {
        origin,
        io_enabled: cfg.enable_io,
        time_enabled: cfg.enable_time,
        time: time::Handle::new(clock, shards, Box::new(unpark)).fire_at_shutdown(cfg.fire_at_shutdown),
        backend,
        choice,
        is_shutdown: AtomicBool::new(false),
        lingers_until: OnceLock::new(),
        lane,
        #[cfg(tokio_unstable)]
        io_metrics: Arc::default(),
        foreign_fds: Arc::default(),
        #[cfg(any(feature = "process", feature = "signal"))]
        serves_signals: AtomicBool::new(false),
    };
    Ok((drivers, Handle(Arc::new(inner))))
}

/// The shard of `handle`'s runtime that this thread drives.
pub(crate) fn current_shard(handle: &Handle) -> Option<usize> {
    match &handle.0.backend {
        Backend::Uring(shards) => shards.current(),
        Backend::Mio(shards) => shards.current(),
    }
}

impl Backend {
    /// Makes the owner of `shard` look around.
    fn unpark(&self, shard: usize) {
        match self {
            Backend::Uring(shards) => shards.unpark(shard),
            Backend::Mio(shards) => shards.unpark(shard),
        }
    }
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
            self.0.backend.unpark(shard);
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

    pub(crate) fn is_shutdown(&self) -> bool {
        self.0.is_shutdown.load(Acquire)
    }

    /// Step 1 of every shutdown: nothing new is registered from here on.
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
        match self.0.backend {
            Backend::Uring(_) => lane,
            Backend::Mio(_) => Lane::Readiness,
        }
    }

    /// Counts a write on this thread; is it one of many in this turn of a shard of the runtime?
    #[cfg_attr(not(feature = "net"), allow(dead_code))]
    pub(crate) fn is_busy(&self) -> bool {
        match &self.0.backend {
            Backend::Uring(shards) => shards.is_busy(),
            Backend::Mio(_) => false,
        }
    }

    /// Has `outbox` sent with the next turn of this thread's shard, if it has one that turns.
    fn send_later(&self, outbox: &Arc<Outbox>) -> bool {
        match &self.0.backend {
            Backend::Uring(shards) => shards.send_later(outbox),
            Backend::Mio(_) => false,
        }
    }

    /// Counts what happens to I/O resources.
    #[cfg(tokio_unstable)]
    pub(crate) fn io_metrics(&self) -> &Arc<IoMetrics> {
        &self.0.io_metrics
    }

    /// Has `io` watched. An error is one of epoll's: a ring reports none.
    fn watch(&self, io: &Arc<ScheduledIo>) -> io::Result<()> {
        self.assert_own();
        match &self.0.backend {
            Backend::Uring(shards) => {
                shards.watch(io);
                Ok(())
            }
            Backend::Mio(shards) => shards.watch(io),
        }
    }

    fn unwatch(&self, io: &Arc<ScheduledIo>, fd: Option<OwnedFd>) {
        if self.is_inherited() {
            // The parent watches its own descriptor of the file; the child's is just closed.
            return;
        }
        match &self.0.backend {
            Backend::Uring(shards) => shards.unwatch(io, fd),
            Backend::Mio(shards) => shards.unwatch(io, fd),
        }
    }

    /// What the runtime stands on.
    pub(crate) fn choice(&self) -> &choice::Backend {
        &self.0.choice
    }

    /// Has an operation submitted, by this thread's shard if it has one, else by some other. Where there
    /// is no ring it fails.
    pub(crate) fn launch(&self, flight: Arc<dyn op::Flight>) {
        // For the paused clock of a runtime that another thread drives.
        self.0.time.unpark();
        // Entries and the buffers they name would go to the parent's kernel queue.
        self.assert_own();
        match &self.0.backend {
            Backend::Uring(shards) => shards.launch(flight),
            Backend::Mio(_) => op::refuse(&*flight, op::Completion::no_ring()),
        }
    }

    /// The same for the parts of a chain, which go in together.
    pub(crate) fn launch_chain(&self, chain: Arc<op::Chain>) {
        self.0.time.unpark();
        self.assert_own();
        match &self.0.backend {
            Backend::Uring(shards) => shards.launch_chain(chain),
            Backend::Mio(_) => chain.refuse(op::Completion::no_ring),
        }
    }

    /// A group of buffers for the ring of this thread's shard; `None` if there is none that takes
    /// operations.
    #[cfg(feature = "uring-native")]
    pub(crate) fn buf_ring(
        &self,
        group: u16,
        count: u16,
        size: usize,
    ) -> Option<io::Result<Arc<crate::sys::uring::buf_ring::BufRing>>> {
        match &self.0.backend {
            Backend::Uring(shards) => shards.buf_ring(group, count, size),
            Backend::Mio(_) => None,
        }
    }

    /// Has this thread's ring serve what there is until `done`, and waits a little for others if
    /// `patient`.
    pub(crate) fn settle(&self, patient: bool, done: impl FnMut() -> bool) {
        match &self.0.backend {
            Backend::Uring(_) => uring::settle(patient, done),
            Backend::Mio(_) => {}
        }
    }

    /// Does a ring of this runtime know the operation `opcode` (`IORING_OP_*`)?
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn supports(&self, opcode: u8) -> bool {
        match &self.0.backend {
            Backend::Uring(_) => crate::sys::uring::supports(opcode),
            Backend::Mio(_) => false,
        }
    }

    /// Does this thread drive a shard of this runtime that takes operations? Not while it blocks in
    /// `block_in_place`.
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn takes_ops_here(&self) -> bool {
        match &self.0.backend {
            Backend::Uring(shards) => shards.takes_ops_here(),
            Backend::Mio(_) => false,
        }
    }

    /// Turns the shard that this thread drives, if any, from inside of a task.
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn turn_here(&self, limit: Duration) -> bool {
        match &self.0.backend {
            Backend::Uring(shards) if shards.takes_ops_here() => shards.turn_here(limit),
            Backend::Uring(_) | Backend::Mio(_) => return false,
        }
        true
    }

    /// This thread, which drives a shard, goes to block: what its ring does is called back and done
    /// by others. That is waited for.
    pub(crate) fn lend(&self) {
        match &self.0.backend {
            Backend::Uring(shards) => shards.lend(),
            Backend::Mio(shards) => shards.set_lent(true),
        }
    }

    /// This thread is back and drives its shard as before.
    pub(crate) fn reclaim(&self) {
        match &self.0.backend {
            Backend::Uring(shards) => shards.reclaim(),
            Backend::Mio(shards) => shards.set_lent(false),
        }
    }

    /// Where a descriptor that a user registers is claimed first.
    pub(crate) fn foreign_fds(&self) -> &Arc<ForeignFds> {
        &self.0.foreign_fds
    }

    /// What the driver of `shard` has done.
    pub(crate) fn stats(&self, shard: usize) -> RingStats {
        match &self.0.backend {
            Backend::Uring(shards) => shards.stats(shard),
            Backend::Mio(shards) => shards.stats(shard),
        }
    }

    /// What tells whether the owner of `shard` makes progress.
    pub(crate) fn progress(&self, shard: usize) -> Progress {
        match &self.0.backend {
            Backend::Uring(shards) => shards.progress(shard),
            Backend::Mio(shards) => shards.progress(shard),
        }
    }

    /// A driver for a thread that takes `shard` over from one that went to block.
    pub(crate) fn replace_driver(&self, shard: usize) -> io::Result<Driver> {
        let backend = match &self.0.backend {
            Backend::Uring(shards) => DriverBackend::Uring(shards.replace(shard)?),
            Backend::Mio(shards) => DriverBackend::Mio(shards.replace(shard)),
        };
        Ok(Driver { backend })
    }
}

impl Driver {
    fn shard(&self) -> usize {
        match &self.backend {
            DriverBackend::Uring(driver) => driver.shard(),
            DriverBackend::Mio(driver) => driver.shard(),
        }
    }

    /// Binds the shard to this thread.
    ///
    /// # Panics
    ///
    /// If a new thread drives the shard and no ring can be had for it.
    pub(crate) fn attach(&mut self) {
        match &mut self.backend {
            DriverBackend::Uring(driver) => {
                if let Err(error) = driver.attach() {
                    panic!("spargio: the runtime cannot be driven by this thread: {error}");
                }
            }
            DriverBackend::Mio(driver) => driver.attach(),
        }
    }

    /// Unbinds the shard from this thread; no poll stays armed, no file pinned.
    pub(crate) fn detach(&mut self) {
        match &mut self.backend {
            DriverBackend::Uring(driver) => driver.detach(),
            DriverBackend::Mio(driver) => driver.detach(),
        }
    }

    /// How many resources this shard watches that could as well be watched elsewhere. Those of an
    /// epoll instance stay.
    pub(crate) fn movable(&self) -> usize {
        match &self.backend {
            DriverBackend::Uring(driver) => driver.watched(),
            DriverBackend::Mio(_) => 0,
        }
    }

    /// Stops watching what reported something in the last turn: whoever waits for it tries for
    /// himself, and has it watched where he is.
    pub(crate) fn give_up_recent(&mut self) {
        match &mut self.backend {
            DriverBackend::Uring(driver) => driver.give_up_recent(),
            DriverBackend::Mio(_) => {}
        }
    }

    /// Waits for the next event or timer, and serves both.
    pub(crate) fn park(&mut self, handle: &Handle) {
        self.park_internal(handle, None);
    }

    /// The same, but waits no longer than `limit`; with zero it only looks.
    pub(crate) fn park_timeout(&mut self, handle: &Handle, limit: Duration) {
        self.park_internal(handle, Some(limit));
    }

    fn park_internal(&mut self, handle: &Handle, limit: Option<Duration>) {
        handle.assert_own();
        let inner = &handle.0;
        #[cfg(feature = "process")]
        if inner.io_enabled {
            process::adopt(handle);
        }
        if !inner.time_enabled {
            self.turn(match limit {
                None => Wait::Forever,
                Some(Duration::ZERO) => Wait::No,
                Some(limit) => Wait::For(limit),
            });
            return;
        }
        let shard = self.shard();
        let mut plan = inner.time.park_timeout(shard, limit);
        if let ParkPlan::PollThenAdvance(limit) = plan {
            if self.holds_clock() {
                // As on Tokio, whose blocking pool does such work.
                plan = ParkPlan::For(limit);
            }
        }
        self.turn(match plan {
            ParkPlan::Forever => Wait::Forever,
            ParkPlan::For(Duration::ZERO) | ParkPlan::PollThenAdvance(_) => Wait::No,
            ParkPlan::For(limit) => Wait::For(limit),
        });
        if let ParkPlan::PollThenAdvance(limit) = plan {
            if self.holds_clock() {
                // It came by mail just now.
                plan = ParkPlan::For(limit);
            }
        }
        inner.time.after_park(shard, plan);
    }

    fn holds_clock(&self) -> bool {
        match &self.backend {
            DriverBackend::Uring(driver) => driver.holds_clock(),
            DriverBackend::Mio(_) => false,
        }
    }

    /// Serves a stalled sibling's timers and sockets along with this shard's, waiting no longer
    /// than `limit`.
    pub(crate) fn park_for(&mut self, handle: &Handle, stalled: usize, limit: Duration) {
        handle.assert_own();
        let inner = &handle.0;
        let own = self.shard();
        let limit = if inner.time_enabled {
            inner.time.process_for(stalled);
            let theirs = inner.time.next_expiration(stalled);
            let left = theirs.map(|at| at.saturating_duration_since(inner.time.clock().now()));
            match inner.time.park_timeout(own, Some(left.map_or(limit, |left| left.min(limit)))) {
                ParkPlan::For(limit) | ParkPlan::PollThenAdvance(limit) => limit,
                ParkPlan::Forever => limit,
            }
        } else {
            limit
        };
        match (&mut self.backend, &inner.backend) {
            (DriverBackend::Uring(driver), Backend::Uring(shards)) => {
                driver.turn_for(&shards.remote(stalled), limit);
            }
            (DriverBackend::Mio(driver), Backend::Mio(shards)) => {
                driver.turn_for(shards.shard(stalled), limit);
            }
            (DriverBackend::Uring(_), Backend::Mio(_)) | (DriverBackend::Mio(_), Backend::Uring(_)) => {
                unreachable!("a runtime has one backend")
            }
        }
        if inner.time_enabled {
            inner.time.process_for(stalled);
            inner.time.process(own);
        }
    }

    fn turn(&mut self, wait: Wait) {
        match &mut self.backend {
            DriverBackend::Uring(driver) => driver.turn(wait),
            DriverBackend::Mio(driver) => driver.turn(wait),
        }
    }

    /// Cancels everything and gives the ring back. `handle` must be marked shut down.
    pub(crate) fn shutdown(&mut self, handle: &Handle) {
        if handle.is_inherited() {
            return;
        }
        handle.mark_shutdown();
        if handle.0.time_enabled {
            handle.0.time.shutdown();
        }
        match &mut self.backend {
            DriverBackend::Uring(driver) => driver.shutdown(),
            DriverBackend::Mio(driver) => driver.shutdown(),
        }
    }

    /// Does the shard's mail come here? Not if another thread has taken the shard over.
    pub(crate) fn is_in_charge(&self, handle: &Handle) -> bool {
        match (&self.backend, &handle.0.backend) {
            (DriverBackend::Uring(driver), Backend::Uring(shards)) => driver.is_in_charge(shards),
            // Any thread may drive the instance.
            (DriverBackend::Mio(_), _) => true,
            (DriverBackend::Uring(_), Backend::Mio(_)) => unreachable!("a runtime has one backend"),
        }
    }

    /// Gives up a shard that another thread has taken over.
    pub(crate) fn abandon(&mut self, handle: &Handle) {
        match (&mut self.backend, &handle.0.backend) {
            (DriverBackend::Uring(driver), Backend::Uring(shards)) => driver.abandon(shards),
            (DriverBackend::Mio(driver), _) => driver.detach(),
            (DriverBackend::Uring(_), Backend::Mio(_)) => unreachable!("a runtime has one backend"),
        }
    }
}
