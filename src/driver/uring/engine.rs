//! A ring and the operations it carries out: the half of its owner.
//!
//! # Protocol
//!
//! - Only the thread that the ring is bound to comes here. The engine is part of that thread's
//!   [`seat`](crate::driver::seat).
//! - No user code runs while it is borrowed: what a turn leaves to do is collected in an
//!   [`Aftermath`], and done once the seat is free again.
//! - A thread that also holds the watch set has the ring wait in it (`EPOLL_WAIT`), with one entry that
//!   is taken back before another thread is to sleep in the set.

use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::driver::op::{Completion, Flight, refuse};
use crate::driver::outbox::Outbox;
use crate::driver::set::WatchSet;
use crate::driver::shards::Shard;
use crate::sys::fault::{self, Call};
use crate::sys::poll;
use crate::sys::uring::{Cqe, Doorbell, EnterError, Kind, Release, Ring, Rung, Sqe, Token, Wait};
use crate::util::unwind;

use super::ops::Ops;
use super::remote::{Message, Remote};

mod drain;
pub(in crate::driver) use drain::Ending;

mod flights;
mod set_wait;
use set_wait::SetWait;

/// What is the matter if a ring does not work any more.
pub(in crate::driver) const FORBIDDEN: &str = "Was io_uring forbidden (seccomp, kernel.io_uring_disabled) or a descriptor closed while the runtime ran? \
     Forbid it before the runtime is built, which then stands on epoll.";

/// How often the kernel is asked to take what was pushed.
const FLUSH_ATTEMPTS: usize = 16;

/// The poll of the doorbell's eventfd.
const DOORBELL_WATCH: Token = Token::new(Kind::DoorbellWatch, 0, 0);

/// See the module docs.
pub(in crate::driver) struct Engine {
    ring: Ring,
    remote: Arc<Remote>,
    ops: Ops,
    /// Operations that were cancelled since the ring must go, for another ring.
    recalled: Vec<Arc<dyn Flight>>,
    set_wait: SetWait,
    /// By which one learns that the kernel has let go of what is in flight, should the ring be closed.
    release: Option<Release>,
    /// Reaped, but not looked at yet.
    completions: Vec<Cqe>,
    /// When what is looked at was reaped.
    reaped: Reaped,
    /// Scratch space of a turn.
    messages: Vec<Message>,
    outgoing: Vec<Arc<Outbox>>,
    /// Completions nobody knows, counted and ignored.
    stale: u64,
    /// Times the completion queue was full or the kernel short of memory.
    backpressure: u64,
    /// Has the poll of the doorbell's eventfd no terminal completion yet?
    watches_doorbell: bool,
    /// The kernel refuses the ring for good.
    is_broken: bool,
    /// Operations that it has not taken, by then.
    untaken: Vec<Arc<dyn Flight>>,
}

/// What a turn leaves to do once the seat is free again.
#[derive(Default)]
pub(in crate::driver) struct Aftermath {
    pub(in crate::driver) wakers: Vec<Waker>,
    /// Operations that are over.
    pub(in crate::driver) flights: Vec<Arc<dyn Flight>>,
    /// The same, with what nobody waits for.
    orphans: Vec<(Arc<dyn Flight>, Completion)>,
    /// Operations for which no ring was to be had.
    pub(in crate::driver) refused: Vec<Arc<dyn Flight>>,
}

impl Aftermath {
    /// Is there anything to do that may lead to more?
    pub(in crate::driver) fn is_empty(&self) -> bool {
        self.wakers.is_empty() && self.orphans.is_empty()
    }

    /// Wakes and drops; user code runs here.
    pub(in crate::driver) fn finish(&mut self) {
        if !self.wakers.is_empty() {
            self.wakers.drain(..).for_each(unwind::wake);
        }
        // The rest comes of operations: none, as a rule.
        if self.flights.is_empty() && self.orphans.is_empty() && self.refused.is_empty() {
            return;
        }
        for flight in self.flights.drain(..) {
            // One that never took off may be dropped here, with what it owns.
            unwind::swallow(|| drop(flight));
        }
        for (flight, completion) in self.orphans.drain(..) {
            // Destructors of users' buffers run here.
            unwind::swallow(|| flight.orphan(completion));
        }
        for flight in self.refused.drain(..) {
            unwind::swallow(|| refuse(&*flight, Completion::no_ring()));
        }
    }
}

/// The order of completions. It is that of time, since operations on one file may be on several rings.
struct Reaped {
    last: Instant,
    /// Was the clock read for this reap?
    is_known: bool,
}

impl Reaped {
    fn new() -> Reaped {
        Reaped { last: Instant::now(), is_known: false }
    }

    /// For the next completion.
    fn next(&mut self) -> Instant {
        if !std::mem::replace(&mut self.is_known, true) {
            self.last = self.last.max(Instant::now());
        }
        self.last += Duration::from_nanos(1);
        self.last
    }
}

impl Engine {
    /// A ring of this thread, for `shard`.
    pub(in crate::driver) fn new(shard: &Arc<Shard>) -> io::Result<Engine> {
        let ring = Ring::for_this_thread()?;
        let doorbell = Doorbell::new()?;
        let mut engine = Engine {
            ring,
            remote: Arc::new(Remote::new(shard, doorbell)),
            ops: Ops::default(),
            recalled: Vec::new(),
            set_wait: SetWait::new(),
            release: None,
            completions: Vec::new(),
            reaped: Reaped::new(),
            messages: Vec::new(),
            outgoing: Vec::new(),
            stale: 0,
            backpressure: 0,
            watches_doorbell: false,
            is_broken: false,
            untaken: Vec::new(),
        };
        engine.open();
        Ok(engine)
    }

    /// Lets others ring this ring.
    fn open(&mut self) {
        self.remote.doorbell.install(self.ring.as_raw_fd());
        self.watch_doorbell();
    }

    fn watch_doorbell(&mut self) {
        if let Some(event) = self.remote.doorbell.watched() {
            self.ring.push(Sqe::poll_multishot(event, poll::IN, DOORBELL_WATCH));
            self.watches_doorbell = true;
        }
    }

    /// Does the kernel refuse it?
    pub(in crate::driver) fn is_broken(&self) -> bool {
        self.is_broken
    }

    pub(in crate::driver) fn remote(&self) -> &Arc<Remote> {
        &self.remote
    }

    /// Does the kernel refuse it, with nothing in its hands?
    pub(in crate::driver) fn is_of_no_use(&self) -> bool {
        self.is_broken && self.ops.len() == 0 && self.untaken.is_empty()
    }

    /// Does the ring belong to the parent process?
    pub(in crate::driver) fn is_inherited(&self) -> bool {
        self.ring.is_inherited()
    }

    /// Is it of another thread than this?
    pub(in crate::driver) fn is_foreign(&self) -> bool {
        self.ring.is_foreign()
    }

    /// Has the ring anything to wait for, but its doorbell?
    pub(in crate::driver) fn is_busy(&self) -> bool {
        self.ops.len() > 0 || self.set_wait.is_armed()
    }

    /// Does what there is, without waiting.
    pub(in crate::driver) fn look(&mut self, set: Option<&WatchSet>, aftermath: &mut Aftermath) {
        if self.ring.has_work() {
            self.enter(Wait::No);
        }
        self.reap(set, aftermath);
    }

    /// Hands over what was pushed, before a sleep elsewhere; `false` if that has led to something to do.
    pub(in crate::driver) fn is_calm(&mut self) -> bool {
        if self.ring.has_work() {
            self.flush();
        }
        self.is_broken || self.completions.is_empty() && !self.ring.has_news()
    }

    /// Is nothing at hand that makes a sleep pointless?
    pub(in crate::driver) fn may_sleep(&self) -> bool {
        self.completions.is_empty() && self.untaken.is_empty()
    }

    /// Sleeps in the ring; in `set` as well, if it is given.
    pub(in crate::driver) fn sleep(&mut self, set: Option<&WatchSet>, wait: Wait) {
        self.see_to_set_wait(set);
        self.enter(wait);
    }

    /// Has the bell of `set` rung by what comes to the ring, as long as the thread sleeps there; `false` if
    /// it must not.
    pub(in crate::driver) fn call(&mut self, set: &WatchSet) -> bool {
        // What came before is not told.
        self.ring.call(set.bell()).is_ok() && !self.ring.has_news()
    }

    /// Ends what [`call`](Engine::call) began.
    pub(in crate::driver) fn hush(&self) {
        self.ring.hush();
    }

    /// Takes the ring's mail.
    pub(in crate::driver) fn take_mail(&mut self) {
        self.remote.receive(&mut self.messages);
        if self.messages.is_empty() {
            return;
        }
        let mut messages = std::mem::take(&mut self.messages);
        for message in messages.drain(..) {
            match message {
                Message::Cancel(token) => self.cancel(token),
                Message::ForgetUnused => self.ring.forget_unused(),
            }
        }
        self.messages = messages;
    }

    /// Sends a message to the ring behind `target`.
    pub(in crate::driver) fn send_message(&mut self, target: &Remote) -> Rung {
        let known = self.completions.len();
        let sent = target.doorbell.ring_with(|fd| {
            fault::check(Call::Message)?;
            self.ring.push(Sqe::message(fd, Token::new(Kind::Doorbell, 0, 0)));
            // Nothing else: a task may be the caller, and go on for long. What is completed now would wait for its end.
            self.flush_by(Ring::submit);
            Ok::<_, io::Error>(())
        });
        if let Some(Err(error)) = sent {
            return Rung::after(error.raw_os_error());
        }
        // Only a failure posts a completion here, and a lack of memory does so at once.
        self.ring.reap(&mut self.completions);
        let mut sent =
            self.completions[known..].iter().filter(|cqe| cqe.token.kind() == Some(Kind::DoorbellSent));
        let again = sent.any(|cqe| Rung::after(Some(-cqe.result)) == Rung::Again);
        if again { Rung::Again } else { Rung::Heard }
    }

    /// Submits what was pushed. A kernel that takes a part of it only, or nothing for now, is
    /// asked again.
    fn flush(&mut self) {
        self.flush_by(|ring| ring.enter(Wait::No));
    }

    fn flush_by(&mut self, enter: impl Fn(&mut Ring) -> Result<(), EnterError>) {
        for _ in 0..FLUSH_ATTEMPTS {
            self.enter_by(&enter);
            if !self.ring.has_unsubmitted() {
                return;
            }
            // It may want room for completions first.
            self.ring.reap(&mut self.completions);
        }
    }

    fn enter(&mut self, wait: Wait) {
        self.enter_by(|ring| ring.enter(wait));
    }

    fn enter_by(&mut self, enter: impl FnOnce(&mut Ring) -> Result<(), EnterError>) {
        self.remote.stats.count_enter(self.ring.unsubmitted());
        if self.ring.is_overflown() {
            self.remote.stats.count_overflow();
        }
        match enter(&mut self.ring) {
            Ok(()) | Err(EnterError::Interrupted | EnterError::TimedOut) => {}
            // Everything stays queued; the reap that follows makes room, the next turn repeats.
            Err(EnterError::Backpressure) => self.backpressure += 1,
            // Said already: the thread unwinds.
            Err(EnterError::Broken(_)) if self.is_broken => {}
            Err(EnterError::Broken(error)) => {
                self.is_broken = true;
                if let Some(untaken) = self.ops.untaken(self.ring.taken()) {
                    // Nothing of ours is in the kernel's hands: the thread goes on without a ring.
                    self.untaken.extend(untaken);
                    return;
                }
                panic!("spargio: the kernel refuses a ring that worked before: {error}. {FORBIDDEN}");
            }
        }
    }

    /// Takes what has come, without asking for more: after a sleep in the ring that is all.
    pub(in crate::driver) fn reap(&mut self, set: Option<&WatchSet>, aftermath: &mut Aftermath) {
        aftermath.refused.append(&mut self.untaken);
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        if !completions.is_empty() {
            self.remote.stats.count_completions(completions.len());
        }
        self.reaped.is_known = false;
        for cqe in completions.drain(..) {
            match cqe.token.kind() {
                Some(Kind::Op) => self.op_event(&cqe, aftermath),
                Some(Kind::OpCancel) => self.op_cancel_failed(&cqe),
                // The operation's own completion says how it ended.
                Some(Kind::OpLimit) => {}
                Some(Kind::SetWait) => self.set_wait_ended(&cqe, set, aftermath),
                // Its only purpose was to end the wait.
                Some(Kind::Doorbell) => {}
                Some(Kind::DoorbellWatch) => {
                    if !cqe.more {
                        self.watches_doorbell = false;
                        self.watch_doorbell();
                    }
                }
                // The target is gone or busy with being closed: it needs no wake-up.
                Some(Kind::DoorbellSent) => {}
                // What was to be cancelled is over.
                Some(Kind::Cancel) => {}
                None => self.stale += 1,
            }
        }
        self.completions = completions;
    }

    /// How much has no terminal completion yet.
    fn in_flight(&self) -> usize {
        usize::from(self.watches_doorbell) + usize::from(self.set_wait.is_armed()) + self.ops.len()
    }

    /// Waits for a moment.
    fn pause(&mut self) {
        self.enter(Wait::For(Duration::from_millis(1)));
    }
}

#[cfg(test)]
mod tests;
