//! The shards of a runtime, as everyone sees them.
//!
//! # Protocol
//!
//! - A shard is for the runtime's life. Who drives it may change; that thread has its
//!   [`seat`](super::seat), and nothing of what the shard is watched or asked for goes with it.
//! - To **unpark** a shard is to make its owner look around. What it is to find is left before. Where the
//!   owner sleeps is in its [`Parking`], and so is how it is woken: by its word in memory, by the bell of
//!   the watch set, or by a `MSG_RING` to its ring.
//! - While a shard's owner is stuck in a task, a sibling may sleep on its behalf: the shard's **rescuer**. It says so
//!   before it looks for what there is, and is unparked as well until it says that it is awake.
//! - The **mail** of a shard are operations to submit. It outlasts every owner; a sibling may take what
//!   any ring can do. A closed mailbox refuses: the runtime is gone.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::driver::last_words;
use crate::driver::mailbox::Mailbox;
use crate::driver::op::{Chain, Completion, Flight, refuse};
use crate::driver::parking::{Parking, Place};
use crate::driver::scheduled_io::{ScheduledIo, Watch};
use crate::driver::seat;
use crate::driver::set::WatchSet;
use crate::driver::uring::{FORBIDDEN, Outgoing, Remote, RingStats, Stats};
use crate::loom::sync::Mutex;
use crate::loom::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use crate::loom::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use crate::sys::uring::Rung;
use crate::util::unwind;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Shards {
    pub(super) runtime: u64,
    shards: Box<[Arc<Shard>]>,
    /// What is watched; none without an I/O driver.
    pub(super) set: Option<Arc<WatchSet>>,
    pub(super) rings: Rings,
    /// Where the next operation from a foreign thread goes.
    next: AtomicUsize,
    /// The shards that have not been shut down.
    alive: AtomicUsize,
    /// Does the end of the process send what is kept?
    is_remembered: AtomicBool,
}

/// May threads of the runtime have rings?
#[derive(Debug)]
pub(super) struct Rings {
    is_allowed: bool,
    /// The last thread that asked for one did not get it: not before then.
    not_before: Mutex<Option<Instant>>,
}

#[derive(Debug)]
pub(crate) struct Shard {
    pub(super) index: usize,
    set: Option<Arc<WatchSet>>,
    pub(super) parking: Parking,
    mail: Mailbox<Message>,
    /// What goes with the next turn.
    pub(super) outgoing: Outgoing,
    /// The ring its owner may sleep in.
    ring: Mutex<Option<Arc<Remote>>>,
    /// Has it a rescuer? For a look without the lock.
    is_rescued: AtomicBool,
    rescuer: Mutex<Option<Arc<Shard>>>,
    /// Counts turns: a sibling that sees no progress for a while takes the shard for stalled.
    turns: AtomicU64,
    /// How often the owner was woken.
    doorbells: AtomicU64,
    past: Mutex<Past>,
}

/// The numbers of rings that served a shard before.
#[derive(Debug, Default)]
struct Past {
    /// What those have counted that are gone.
    sum: RingStats,
    /// Those of threads that are not back yet.
    rings: Vec<Arc<Stats>>,
}

/// What a shard is asked to submit.
#[derive(Debug)]
pub(super) enum Message {
    /// This operation.
    Launch(Arc<dyn Flight>),
    /// These operations, together.
    LaunchChain(Arc<Chain>),
}

/// A look at a shard's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) turns: u64,
    pub(crate) is_parked: bool,
}

impl Shards {
    pub(super) fn new(runtime: u64, n: usize, set: Option<WatchSet>, has_rings: bool) -> Shards {
        let set = set.map(Arc::new);
        Shards {
            runtime,
            shards: (0..n).map(|index| Arc::new(Shard::new(index, set.clone()))).collect(),
            set,
            rings: Rings { is_allowed: has_rings, not_before: Mutex::new(None) },
            next: AtomicUsize::new(0),
            alive: AtomicUsize::new(n),
            is_remembered: AtomicBool::new(false),
        }
    }

    pub(super) fn shard(&self, index: usize) -> &Arc<Shard> {
        &self.shards[index]
    }

    /// Has `io` watched.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub(super) fn watch(&self, io: &Arc<ScheduledIo>) -> io::Result<()> {
        if io.is_watched() {
            return Ok(());
        }
        let Some(set) = &self.set else { return Ok(()) };
        let is_there = io.with_watch(|watch| {
            if *watch != Watch::Idle {
                return Ok(true);
            }
            let token = set.add(io)?;
            *watch = token.map_or(Watch::Closed, Watch::Member);
            io::Result::Ok(token.is_some())
        })?;
        if !is_there {
            end_wait(io);
        }
        Ok(())
    }

    /// Ends the watch of `io`, then closes `fd` if one is given.
    pub(super) fn unwatch(&self, io: &ScheduledIo, fd: Option<OwnedFd>) {
        let watch = io.with_watch(|watch| std::mem::replace(watch, Watch::Closed));
        if let (Watch::Member(token), Some(set)) = (watch, &self.set) {
            drop(set.remove(io.fd(), token));
        }
        drop(fd);
    }

    /// Has an operation submitted: here if this thread drives a shard of the runtime, the right one if
    /// it matters, else by mail.
    pub(super) fn launch(&self, flight: Arc<dyn Flight>) {
        let shard = flight.shard();
        let mut flight = Some(flight);
        let unwanted = seat::with_engine(self.runtime, shard, |engine| {
            flight.take().and_then(|flight| engine.launch(flight))
        });
        // With the seat free: it may be the last reference.
        drop(unwanted);
        if let Some(flight) = flight {
            self.deliver(shard, Message::Launch(flight));
        }
    }

    /// The same for the parts of a chain, which go in together.
    pub(super) fn launch_chain(&self, chain: Arc<Chain>) {
        let shard = chain.shard();
        if seat::with_engine(self.runtime, shard, |engine| engine.launch_chain(&chain)).is_none() {
            self.deliver(shard, Message::LaunchChain(chain));
        }
    }

    /// Sends `message` to `shard`, or to some shard.
    fn deliver(&self, shard: Option<usize>, message: Message) {
        let shard = shard.unwrap_or_else(|| self.next.fetch_add(1, Relaxed) % self.shards.len());
        match self.shards[shard].mail.deliver(message) {
            Ok(()) => self.shards[shard].unpark(),
            Err(message) => message.turn_down(Completion::runtime_gone),
        }
    }

    /// Sends what writes have left to be sent later, from this thread; `false` if nothing is left.
    pub(super) fn send_outgoing(&self) -> bool {
        self.shards.iter().for_each(|shard| shard.outgoing.send_here());
        self.set.as_ref().is_some_and(|set| set.wake_senders())
    }

    /// Has the process send that when it ends.
    pub(super) fn remember_outgoing(self: &Arc<Self>) {
        if !self.is_remembered.load(Relaxed) && !self.is_remembered.swap(true, Relaxed) {
            last_words::remember(self);
        }
    }

    /// What the driver of `shard` has done.
    pub(super) fn stats(&self, shard: usize) -> RingStats {
        let shard = &self.shards[shard];
        let past = shard.past.lock();
        let mut sum = past.sum.clone();
        let ring = shard.ring.lock().clone();
        past.rings.iter().chain(ring.as_ref().map(|ring| &ring.stats)).for_each(|ring| ring.add_to(&mut sum));
        sum.turns = shard.turns.load(Relaxed);
        sum.doorbells = shard.doorbells.load(Relaxed);
        // They are the runtime's.
        sum.watched = self.set.as_ref().filter(|_| shard.index == 0).map_or(0, |set| set.len());
        sum
    }

    /// A shard is shut down; `true` if it was the last one.
    pub(super) fn end_of_shard(&self) -> bool {
        self.alive.fetch_sub(1, AcqRel) == 1
    }

    /// The runtime is gone for all that is watched.
    pub(super) fn close_set(&self) {
        let members = self.set.as_ref().map(|set| set.close());
        members.into_iter().flatten().for_each(|io| end_wait(&io));
    }
}

/// Tells a resource that its runtime is gone.
fn end_wait(io: &ScheduledIo) {
    io.with_watch(|watch| *watch = Watch::Closed);
    let mut wakers = Vec::new();
    io.shutdown(&mut wakers);
    wakers.into_iter().for_each(unwind::wake);
}

impl Rings {
    /// Is it worth asking for a ring?
    pub(super) fn may_be_had(&self) -> bool {
        self.is_allowed && self.not_before.lock().is_none_or(|not_before| not_before <= Instant::now())
    }

    pub(super) fn are_allowed(&self) -> bool {
        self.is_allowed
    }

    /// None was to be had: others do without for a while, and do not ask each time.
    pub(super) fn are_refused(&self) {
        const PAUSE: Duration = Duration::from_millis(100);

        *self.not_before.lock() = Instant::now().checked_add(PAUSE);
    }
}

impl Shard {
    fn new(index: usize, set: Option<Arc<WatchSet>>) -> Shard {
        Shard {
            index,
            set,
            parking: Parking::new(),
            mail: Mailbox::new(),
            outgoing: Outgoing::default(),
            ring: Mutex::new(None),
            is_rescued: AtomicBool::new(false),
            rescuer: Mutex::new(None),
            turns: AtomicU64::new(0),
            doorbells: AtomicU64::new(0),
            past: Mutex::default(),
        }
    }

    /// Moves all mail to `into`.
    #[inline]
    pub(super) fn receive(&self, into: &mut Vec<Message>) {
        self.mail.receive(into);
    }

    /// Moves what any ring may serve to `into`, for a sibling: the owner does not come to it.
    pub(super) fn hand_out(&self, into: &mut Vec<Message>) {
        self.mail.hand_out(Message::is_for_any_ring, into);
    }

    /// Takes no more mail, and turns down what there is: the runtime is gone.
    pub(super) fn close(&self) {
        self.mail.close().into_iter().for_each(|message| message.turn_down(Completion::runtime_gone));
    }

    /// From here on the owner may sleep in the ring behind `remote`.
    pub(super) fn install(&self, remote: &Arc<Remote>) {
        let before = self.ring.lock().replace(remote.clone());
        if let Some(before) = before.filter(|before| !Arc::ptr_eq(before, remote)) {
            self.past.lock().take_in(before.stats.clone());
        }
    }

    /// Nobody sleeps in the ring behind `remote` any more.
    pub(super) fn uninstall(&self, remote: &Arc<Remote>) {
        let mut ring = self.ring.lock();
        if ring.as_ref().is_some_and(|ring| Arc::ptr_eq(ring, remote)) {
            *ring = None;
            drop(ring);
            self.past.lock().take_in(remote.stats.clone());
        }
    }

    /// Makes the owner look around, and who stands in for it.
    pub(super) fn unpark(&self) {
        if !self.unpark_owner() {
            self.unpark_rescuer();
        }
    }

    /// Makes the rescuer look around, if there is one.
    pub(super) fn unpark_rescuer(&self) {
        if self.is_rescued() {
            let rescuer = self.rescuer.lock().clone();
            if let Some(rescuer) = rescuer {
                rescuer.unpark_owner();
            }
        }
    }

    /// Does a sibling sleep on behalf of the owner?
    pub(super) fn is_rescued(&self) -> bool {
        self.is_rescued.load(SeqCst)
    }

    /// `rescuer` is about to look around here, and then to sleep; `false` if another one does.
    pub(super) fn begin_rescue(&self, rescuer: &Arc<Shard>) -> bool {
        let begins = !self.is_rescued.swap(true, SeqCst);
        if begins {
            *self.rescuer.lock() = Some(rescuer.clone());
        }
        begins
    }

    /// The rescuer is awake.
    pub(super) fn end_rescue(&self) {
        *self.rescuer.lock() = None;
        self.is_rescued.store(false, SeqCst);
    }

    /// `false` if the owner did not sleep.
    fn unpark_owner(&self) -> bool {
        let Some(place) = self.parking.notify() else { return false };
        self.doorbells.fetch_add(1, Relaxed);
        match place {
            Place::Bed => self.parking.wake(),
            Place::Set => {
                if let Some(set) = &self.set {
                    // An error: the kernel is short of memory.
                    self.insist(|| if set.ring().is_ok() { Rung::Heard } else { Rung::Again });
                }
            }
            Place::Ring => {
                let ring = self.ring.lock().clone();
                if let Some(remote) = ring {
                    self.insist(|| seat::ring_doorbell(&remote));
                }
            }
        }
        true
    }

    /// Rings until the owner was told, or has looked around, whatever woke it. Nobody else will ring: who
    /// finds the shard notified leaves it at that.
    fn insist(&self, ring: impl Fn() -> Rung) {
        /// How long the kernel gets to find some memory.
        const MOMENT: Duration = Duration::from_micros(100);

        loop {
            match ring() {
                Rung::Again if self.parking.is_notified() => std::thread::sleep(MOMENT),
                Rung::Again | Rung::Heard => return,
                Rung::Forbidden => {
                    // The owner sleeps for ever, and whoever shuts the runtime down would wait for it:
                    // not a panic, which would go on to do just that.
                    eprintln!("spargio: a sleeping worker cannot be woken: {FORBIDDEN} Aborting.");
                    std::process::abort();
                }
            }
        }
    }

    pub(super) fn count_turn(&self) {
        // One writer: no read-modify-write needed.
        self.turns.store(self.turns.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// What tells whether the owner makes progress.
    pub(super) fn progress(&self) -> Progress {
        Progress { turns: self.turns.load(Relaxed), is_parked: self.parking.is_parked() }
    }
}

impl Message {
    fn is_for_any_ring(&self) -> bool {
        let shard = match self {
            Message::Launch(flight) => flight.shard(),
            Message::LaunchChain(chain) => chain.shard(),
        };
        shard.is_none()
    }

    /// No ring will do it.
    pub(super) fn turn_down(self, why: impl Fn() -> Completion) {
        match self {
            Message::Launch(flight) => refuse(&*flight, why()),
            Message::LaunchChain(chain) => chain.refuse(why),
        }
    }
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
