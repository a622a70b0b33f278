//! The `io_uring` backend: one ring a shard.
//!
//! A [`Driver`] is the owner's side of a shard. It moves between threads while *detached*; on
//! the thread that drives the shard it is *attached*: its ring is bound to that thread and sits
//! in the thread-local [`lane`]. `SINGLE_ISSUER` rings cannot follow to another thread, so on
//! detaching every poll and operation is cancelled, and attaching elsewhere takes a ring of that
//! thread, arms anew what somebody waits for and submits again what had no effect yet. No user ever
//! sees `EEXIST`.
//!
//! # Shutdown
//!
//! 1. The runtime is marked shut down: nothing new is registered.
//! 2. The doorbell is taken off; what is in the mailbox is served.
//! 3. Every poll and operation is cancelled and its terminal completion awaited. A close that races
//!    this goes by the mailbox still, and is done right after. After a deadline what the kernel has
//!    not let go of is leaked and counted; it is never freed.
//! 4. The ring is given back or closed, then the mailbox.
//! 5. Every resource is told; its waiters wake up to an error.

mod lane;
mod ops;
mod outgoing;
mod remote;
mod slots;
mod stats;

pub(crate) use remote::Remote;
pub(crate) use stats::RingStats;

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use crate::driver::op::{Chain, Completion, Flight, refuse};
use crate::driver::outbox::Outbox;
use crate::driver::scheduled_io::{ScheduledIo, Watch};
use crate::loom::sync::Mutex;
use crate::sys;
use crate::sys::timer_slack;
use crate::sys::uring::{Ring, Token, Wait};

use lane::{Ending, Lane};
use remote::{Due, Message};
use stats::Stats;

/// So many waits in a row from another shard than the one that watches a resource mean that its
/// task has settled there: more than a task that was stolen once and comes back.
pub(super) const SETTLED: u32 = 16;

/// The shards of a runtime, as everyone sees them.
#[derive(Debug)]
pub(crate) struct Shards {
    runtime: u64,
    /// The ring that serves each shard now; `block_in_place` may replace it.
    remotes: Box<[Mutex<Arc<Remote>>]>,
    /// The numbers of the rings that served each before.
    past: Box<[Mutex<Past>]>,
    /// Where the next resource from a foreign thread goes.
    next: AtomicUsize,
}

/// Rings that were replaced.
#[derive(Debug, Default)]
struct Past {
    /// What they counted that are gone.
    sum: RingStats,
    /// Those of threads that are not back yet.
    rings: Vec<Arc<Stats>>,
}

/// A look at a shard's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) turns: u64,
    pub(crate) is_parked: bool,
}

/// The owner's side of one shard; see the module docs.
pub(crate) struct Driver {
    remote: Arc<Remote>,
    /// The ring and its lane, while detached.
    lane: Option<Box<Lane>>,
    /// Resources that were watched when the shard was detached.
    unwatched: Vec<Arc<ScheduledIo>>,
    /// Operations that were in flight then, and are to be submitted again.
    recalled: Vec<Arc<dyn Flight>>,
    attached: bool,
    /// The thread's own timer slack, once this shard needed exact waits on it.
    slack: Option<timer_slack::Previous>,
    /// The lane of an outer runtime on the same thread (inside its `block_in_place`).
    outer: Option<Box<Lane>>,
}

impl Shards {
    /// `n` shards with a ring each, bound to no thread yet; or one with a ring of this thread.
    pub(crate) fn new(runtime: u64, n: usize, reuse: bool) -> io::Result<(Shards, Vec<Driver>)> {
        let mut drivers = Vec::with_capacity(n);
        let rings = if reuse { Ring::for_this_thread().map(|ring| vec![ring]) } else { Ring::unbound(n) };
        for (shard, ring) in rings?.into_iter().enumerate() {
            let remote = Arc::new(Remote::new(runtime, shard)?);
            let lane = Lane::new(ring, remote.clone());
            drivers.push(Driver::new(remote, Some(lane)));
        }
        let remotes = drivers.iter().map(|d| Mutex::new(d.remote.clone())).collect();
        let past = (0..n).map(|_| Mutex::default()).collect();
        Ok((Shards { runtime, remotes, past, next: AtomicUsize::new(0) }, drivers))
    }

    pub(crate) fn len(&self) -> usize {
        self.remotes.len()
    }

    /// The ring that serves `shard`.
    pub(crate) fn remote(&self, shard: usize) -> Arc<Remote> {
        self.remotes[shard].lock().clone()
    }

    /// What tells whether the owner of `shard` makes progress.
    pub(crate) fn progress(&self, shard: usize) -> Progress {
        let remote = self.remotes[shard].lock();
        Progress { turns: remote.turns(), is_parked: remote.is_parked() }
    }

    /// What the rings of `shard` have done.
    pub(crate) fn stats(&self, shard: usize) -> RingStats {
        let remote = self.remote(shard);
        let past = self.past[shard].lock();
        let mut sum = past.sum.clone();
        past.rings.iter().chain([&remote.stats]).for_each(|ring| ring.add_to(&mut sum));
        sum.watched = remote.slots.lock().in_flight();
        sum
    }

    /// Makes the owner of `shard` look around.
    pub(crate) fn unpark(&self, shard: usize) {
        self.remote(shard).unpark();
    }

    /// The shard that this thread drives.
    pub(crate) fn current(&self) -> Option<usize> {
        lane::current_shard(self.runtime)
    }

    /// The shard for something that no shard is closer to.
    pub(crate) fn any(&self) -> usize {
        self.next.fetch_add(1, Relaxed) % self.len()
    }

    /// A driver for this thread, which takes `shard` over from one that went to block, with what
    /// that one watched. Its ring cannot be reached until it is back.
    pub(crate) fn replace(&self, shard: usize) -> io::Result<Driver> {
        let remote = Arc::new(Remote::new(self.runtime, shard)?);
        // First what may fail: without a ring nothing is taken over.
        let ring = Ring::for_this_thread()?;
        let old = std::mem::replace(&mut *self.remotes[shard].lock(), remote.clone());
        self.past[shard].lock().take_in(old.stats.clone());
        // Who unparked the old one may have meant more than its thread, a shutdown for one.
        remote.notify();
        let mut driver = Driver::new(remote.clone(), Some(Lane::new(ring, remote)));
        driver.take_over(&old);
        Ok(driver)
    }

    /// Has `io` watched: here if this thread has a ring of the runtime, else by message.
    pub(crate) fn watch(&self, io: &Arc<ScheduledIo>) {
        let here = self.current();
        if io.is_watched() {
            if let Some(here) = here {
                self.watch_strayed(io, here);
            }
            return;
        }
        let ask = io.with_watch(|watch| {
            if !matches!(watch.current, Watch::Idle) {
                return false;
            }
            let armed = here.and_then(|here| self.arm_here(io, here));
            watch.current = armed.unwrap_or(Watch::Requested);
            matches!(watch.current, Watch::Requested)
        });
        if ask {
            self.deliver(here, Message::Watch(io.clone()));
        }
    }

    /// Arms a poll on this thread's ring, unless it has been replaced as that of shard `here`: this
    /// thread is inside of `block_in_place` then, and nobody turns it.
    fn arm_here(&self, io: &Arc<ScheduledIo>, here: usize) -> Option<Watch> {
        // Held meanwhile: whoever replaces the ring later takes over what is armed now.
        let remote = self.remotes[here].lock();
        if !lane::is_current(&remote) {
            return None;
        }
        lane::with(|lane| lane.arm(io))
    }

    /// A task on shard `here` waits for `io`, which is watched. If that is elsewhere time and
    /// again, the task has settled here, and the watch follows it: it saves the wake-up across.
    fn watch_strayed(&self, io: &Arc<ScheduledIo>, here: usize) {
        if io.strayed(here) >= SETTLED {
            let armed = io.with_watch(|watch| match &watch.current {
                Watch::Armed { remote, .. } => Some(remote.clone()),
                _ => None,
            });
            if let Some(remote) = armed {
                // A closed mailbox has given everything up anyway.
                io.set_home(remote.shard);
                drop(remote.send(Message::GiveUp(io.clone())));
            }
        }
    }

    /// Has the poll of `io` taken away, then closes `fd` if one is given.
    pub(crate) fn unwatch(&self, io: &Arc<ScheduledIo>, fd: Option<OwnedFd>) {
        let (watch, abandoned) =
            io.with_watch(|watch| (std::mem::replace(&mut watch.current, Watch::Closed), watch.abandoned));
        if abandoned > 0 {
            // A poll that cannot be cancelled now pins the file: `close` alone would tell the
            // peer nothing.
            hang_up(fd.as_ref());
        }
        let Watch::Armed { remote, token } = watch else {
            // No poll pins the file; a request that is still on its way finds it closed.
            return;
        };
        if lane::is_current(&remote) {
            if let Some(io) = lane::with(|lane| lane.cancel_now(token)) {
                // The user's wakers are in there, and the lane is free again.
                drop(io);
                remote.close(fd);
                return;
            }
        }
        // A stream's peer may learn of its end a moment later. But an address is free, and a
        // descriptor handed out is the caller's alone, when the call returns.
        let (told, done) = match &fd {
            Some(fd) if !sys::io::holds_address(fd.as_raw_fd()) => (None, None),
            _ => Some(mpsc::channel()).unzip(),
        };
        let patience = if remote.is_parked() { PATIENCE_WITH_SLEEPER } else { PATIENCE };
        match remote.send(Message::Unwatch(token, Due { fd, told })) {
            Err(Message::Unwatch(_, due)) => {
                // A drained ring has no polls left; that of a blocked thread has.
                if remote.slots.lock().in_flight() > 0 {
                    hang_up(due.fd.as_ref());
                }
            }
            Err(_) => unreachable!("not what was sent"),
            Ok(()) => {
                if let Some(done) = done {
                    wait_for_owner(&done, patience);
                }
            }
        }
    }
}

impl Shards {
    /// Has an operation submitted: here if this thread drives a shard of the runtime, the right one if
    /// it matters, else by message.
    pub(crate) fn launch(&self, flight: Arc<dyn Flight>) {
        let mut flight = Some(flight);
        let shard = flight.as_ref().and_then(|flight| flight.shard());
        let unwanted = self.on_lane(shard, |lane| flight.take().and_then(|flight| lane.launch(flight)));
        // With the lane free: it may be the last reference.
        drop(unwanted);
        if let Some(flight) = flight {
            self.send(flight);
        }
    }

    /// Has the parts of a chain submitted together: see [`launch`](Shards::launch).
    pub(crate) fn launch_chain(&self, chain: Arc<Chain>) {
        let shard = chain.shard();
        if self.on_lane(shard, |lane| lane.launch_chain(&chain)).is_none() {
            self.deliver(shard, Message::LaunchChain(chain));
        }
    }

    /// Calls `f` with this thread's lane if it takes operations for `shard`, or for any shard of the
    /// runtime.
    fn on_lane<R>(&self, shard: Option<usize>, f: impl FnOnce(&mut Lane) -> R) -> Option<R> {
        let is_right =
            lane::takes_ops(self.runtime) && shard.is_none_or(|shard| self.current() == Some(shard));
        is_right.then(|| lane::with(f)).flatten()
    }

    /// Asks its shard, or some shard, to submit an operation.
    fn send(&self, flight: Arc<dyn Flight>) {
        self.deliver(flight.shard(), Message::Launch(flight));
    }

    /// Sends `message` to `shard`, or to some shard; what cannot be sent any more is turned down.
    fn deliver(&self, shard: Option<usize>, message: Message) {
        let shard = shard.unwrap_or_else(|| self.any());
        if let Err(message) = self.try_deliver(self.remote(shard), message) {
            turn_down(message);
        }
    }

    /// Sends `message` to a ring, or to the one that has taken its shard over; gives it back if the
    /// runtime is gone.
    fn try_deliver(&self, mut remote: Arc<Remote>, mut message: Message) -> Result<(), Message> {
        while let Err(returned) = remote.send(message) {
            let now = self.remote(remote.shard);
            if Arc::ptr_eq(&remote, &now) {
                return Err(returned);
            }
            (remote, message) = (now, returned);
        }
        Ok(())
    }

    /// Does this thread drive a shard of the runtime that takes operations?
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn takes_ops_here(&self) -> bool {
        lane::takes_ops(self.runtime)
    }

    /// Counts a write on this thread; is it one of many in this turn of a shard of the runtime?
    pub(crate) fn is_busy(&self) -> bool {
        outgoing::is_busy(self.runtime)
    }

    /// Has `outbox` sent with the next turn of this thread's shard, if it has one that turns.
    pub(crate) fn send_later(&self, outbox: &Arc<Outbox>) -> bool {
        lane::takes_ops(self.runtime) && lane::with(|lane| lane.send_later(outbox.clone())).is_some()
    }

    /// Turns this thread's lane, from inside of a task.
    #[cfg_attr(not(feature = "fs"), allow(dead_code))]
    pub(crate) fn turn_here(&self, limit: Duration) {
        lane::turn(Wait::For(limit));
    }

    /// A group of buffers for the ring of this thread's shard; `None` if it has none that takes
    /// operations.
    #[cfg(feature = "uring-native")]
    pub(crate) fn buf_ring(
        &self,
        group: u16,
        count: u16,
        size: usize,
    ) -> Option<io::Result<Arc<sys::uring::buf_ring::BufRing>>> {
        let here = lane::takes_ops(self.runtime);
        here.then(|| lane::with(|lane| lane.buf_ring(group, count, size))).flatten()
    }

    /// This thread's shard goes to another thread while this one blocks.
    pub(crate) fn lend(&self) {
        lane::lend().into_iter().for_each(|flight| self.send(flight));
    }

    /// The same thread goes on with its shard.
    pub(crate) fn reclaim(&self) {
        lane::reclaim();
    }
}

/// Cancels the operation `token` of the ring behind `remote`, without waiting for anything.
pub(crate) fn cancel(remote: &Remote, token: Token) {
    if lane::is_inherited() {
        // In the child of a fork: the operation is the parent's, and so is its buffer over there.
        return;
    }
    if lane::is_current(remote) && lane::with(|lane| lane.cancel_op(token)).is_some() {
        return;
    }
    // A ring that is being given up has cancelled it already.
    drop(remote.send(Message::Cancel(token)));
}

/// Has the ring behind `remote` forget memory that is retired.
#[cfg(feature = "uring-native")]
pub(crate) fn forget_fixed(remote: &Remote) {
    // One without an owner looks when it has one again.
    drop(remote.send(Message::ForgetFixed));
}

impl Past {
    fn take_in(&mut self, ring: Arc<Stats>) {
        self.rings.push(ring);
        let Past { sum, rings } = self;
        rings.retain(|ring| {
            let is_alive = Arc::strong_count(ring) > 1;
            if !is_alive {
                ring.add_to(sum);
            }
            is_alive
        });
    }
}

/// How long a drop waits for the owner of a poll that is in the middle of a task: it may be stuck
/// there, or just not have a processor.
const PATIENCE: Duration = Duration::from_millis(100);

/// How long it waits for one that sleeps: that can only be short of a processor.
const PATIENCE_WITH_SLEEPER: Duration = Duration::from_secs(1);

/// Turns this thread's ring until `done`, a few times. If `patient`, what other rings have to do is
/// waited for as well, as long as for the owner of a poll.
pub(crate) fn settle(patient: bool, mut done: impl FnMut() -> bool) {
    const TURNS: usize = 16;
    const STEP: Duration = Duration::from_micros(100);

    for _ in 0..TURNS {
        if done() {
            return;
        }
        lane::turn(Wait::No);
    }
    let deadline = Instant::now() + PATIENCE;
    while patient && !done() && Instant::now() < deadline {
        std::thread::sleep(STEP);
        lane::turn(Wait::No);
    }
}

/// Waits until the owner of a poll let go of it, and serves this thread's own mail meanwhile:
/// two owners may wait for each other. One that is stuck in a task is not waited for.
fn wait_for_owner(done: &mpsc::Receiver<()>, patience: Duration) {
    const STEP: Duration = Duration::from_micros(100);

    let deadline = Instant::now() + patience;
    // The owner sends nothing, it hangs up.
    while done.recv_timeout(STEP) == Err(RecvTimeoutError::Timeout) && Instant::now() < deadline {
        lane::serve_mail();
    }
}

/// Ends a socket's connection (or listening) although its file is still referenced.
fn hang_up(fd: Option<&OwnedFd>) {
    if let Some(fd) = fd {
        sys::io::shutdown(fd.as_raw_fd());
    }
}

/// Nobody does what was asked any more: the runtime is gone.
fn turn_down(message: Message) {
    match message {
        Message::Watch(io) => end_wait(&io),
        Message::Launch(flight) => refuse(&*flight, Completion::runtime_gone()),
        Message::LaunchChain(chain) => chain.refuse(Completion::runtime_gone),
        // A drained ring gets no mail about its polls, and operations were all cancelled.
        Message::GiveUp(_) | Message::Unwatch(..) | Message::Cancel(_) | Message::ForgetFixed => {}
    }
}

/// Tells a resource that its runtime is gone.
pub(super) fn end_wait(io: &ScheduledIo) {
    io.with_watch(|watch| watch.current = Watch::Closed);
    let mut wakers = Vec::new();
    io.shutdown(&mut wakers);
    lane::wake_all(wakers);
}

impl Driver {
    fn new(remote: Arc<Remote>, lane: Option<Box<Lane>>) -> Driver {
        Driver {
            remote,
            lane,
            unwatched: Vec::new(),
            recalled: Vec::new(),
            attached: false,
            slack: None,
            outer: None,
        }
    }

    pub(crate) fn shard(&self) -> usize {
        self.remote.shard
    }

    /// Binds the shard to this thread.
    pub(crate) fn attach(&mut self) -> io::Result<()> {
        debug_assert!(!self.attached);
        let lane = match self.lane.take() {
            Some(lane) => lane.bind(),
            None => Ring::for_this_thread().map(|ring| Lane::new(ring, self.remote.clone())),
        };
        let mut lane = lane?;
        lane.open();
        for io in self.unwatched.drain(..) {
            io.with_watch(|watch| {
                if matches!(watch.current, Watch::Idle) && io.wanted().is_some() {
                    watch.current = lane.arm(&io);
                }
            });
        }
        let unwanted: Vec<_> = self.recalled.drain(..).filter_map(|flight| lane.launch(flight)).collect();
        self.outer = lane::enter(lane);
        self.attached = true;
        drop(unwanted);
        Ok(())
    }

    /// Unbinds the shard from this thread; no poll stays armed.
    pub(crate) fn detach(&mut self) {
        if let Some(lane) = self.take_lane() {
            self.lane = self.drain(lane, Ending::HandOver);
        }
    }

    /// Does an operation in flight keep a paused clock from advancing?
    pub(crate) fn holds_clock(&self) -> bool {
        lane::with(|lane| lane.holds_clock()).unwrap_or(false)
    }

    fn take_lane(&mut self) -> Option<Box<Lane>> {
        if !std::mem::take(&mut self.attached) {
            return None;
        }
        if let Some(previous) = self.slack.take() {
            timer_slack::restore(previous);
        }
        let outer = self.outer.take();
        let lane = lane::leave(outer);
        debug_assert!(lane.is_some());
        // In the child of a fork: what is in flight is the parent's.
        lane.filter(|lane| !lane.is_inherited())
    }

    /// Ends everything in flight; gives the lane back if it can be used again.
    fn drain(&mut self, mut lane: Box<Lane>, ending: Ending) -> Option<Box<Lane>> {
        self.unwatched.append(&mut lane.drain(ending));
        self.recalled.append(&mut lane.take_recalled());
        lane.is_clean().then_some(lane)
    }

    /// Serves what is there; waits for more as told.
    pub(crate) fn turn(&mut self, wait: Wait) {
        debug_assert!(self.attached);
        if matches!(wait, Wait::For(_)) && self.slack.is_none() {
            self.slack = Some(timer_slack::minimize());
        }
        lane::turn(wait);
    }

    /// The same, also for what the stalled `other` ring watches.
    pub(crate) fn turn_for(&mut self, other: &Remote, limit: Duration) {
        debug_assert!(self.attached);
        lane::turn_for(other, limit);
    }

    /// See the module docs; step 1 is the caller's.
    pub(crate) fn shutdown(&mut self) {
        if let Some(lane) = self.take_lane() {
            drop(self.drain(lane, Ending::Shutdown));
        }
        self.lane = None;
        self.remote.close_mailbox().into_iter().for_each(turn_down);
        self.recalled.drain(..).for_each(|flight| refuse(&*flight, Completion::runtime_gone()));
        for io in self.unwatched.drain(..) {
            end_wait(&io);
        }
    }

    /// Takes over what the blocked ring behind `old` watches and was asked to do.
    fn take_over(&mut self, old: &Arc<Remote>) {
        for message in old.close_mailbox() {
            match message {
                Message::Watch(io) => {
                    io.with_watch(|watch| {
                        if matches!(watch.current, Watch::Requested) {
                            watch.current = Watch::Idle;
                        }
                    });
                    self.unwatched.push(io);
                }
                // Its resource is among those taken over below.
                Message::GiveUp(_) => {}
                Message::Unwatch(_, due) => hang_up(due.fd.as_ref()),
                Message::Launch(flight) => self.recalled.push(flight),
                Message::LaunchChain(chain) => chain.recall(),
                // That thread called everything back when it went to block.
                Message::Cancel(_) => {}
                // Its ring goes when that thread is back.
                Message::ForgetFixed => {}
            }
        }
        let watched: Vec<_> = old.slots.lock().resources().cloned().collect();
        for io in watched {
            io.with_watch(|watch| {
                if matches!(&watch.current, Watch::Armed { remote, .. } if Arc::ptr_eq(remote, old)) {
                    watch.current = Watch::Idle;
                    watch.abandoned += 1;
                }
            });
            self.unwatched.push(io);
        }
    }

    /// Is this the ring that serves the shard now?
    pub(crate) fn is_in_charge(&self, shards: &Shards) -> bool {
        Arc::ptr_eq(&self.remote, &shards.remotes[self.remote.shard].lock())
    }

    /// Ends a driver whose shard another thread has taken over.
    pub(crate) fn abandon(&mut self, shards: &Shards) {
        if let Some(lane) = self.take_lane() {
            drop(self.drain(lane, Ending::HandOver));
        }
        self.recalled.drain(..).for_each(|flight| shards.send(flight));
        // What this thread armed after the other one took over: whoever waits arms it again.
        let mut wakers = Vec::new();
        for io in self.unwatched.drain(..) {
            lane::poll_ended(&io, &mut wakers);
        }
        lane::wake_all(wakers);
    }
}
