//! A ring at work: the owner's half, kept in a thread-local while its thread drives it.
//!
//! # Protocol
//!
//! - A thread has one lane at a time (the innermost runtime it drives); [`enter`] puts one in
//!   and [`leave`] takes it out again.
//! - No user code runs while the lane is borrowed: a turn collects wakers, resources and
//!   descriptors, gives the lane back, and only then wakes, drops and closes. So `wake` and
//!   `drop` may come back here. If they ever find the lane borrowed they go by mailbox.
//! - A descriptor is closed only after an `enter` that carried its poll's cancel.

use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::driver::Ready;
use crate::driver::op::{Completion, Flight};
use crate::driver::outbox::Outbox;
use crate::driver::scheduled_io::{ScheduledIo, Watch};
use crate::sys::fault::{self, Call};
use crate::sys::poll::{self, PollFd};
use crate::sys::uring::{Cqe, EnterError, Kind, Ring, Rung, Sqe, Token, Wait};
use crate::util::unwind;

use super::ops::Ops;
use super::outgoing;
use super::remote::{Due, Message, Remote};

mod drain;
pub(super) use drain::Ending;

mod ops;

/// What is the matter if a ring does not work any more.
const FORBIDDEN: &str = "Was io_uring forbidden (seccomp, kernel.io_uring_disabled) or a descriptor closed \
                         while the runtime ran? Forbid it before the runtime is built, which then stands on epoll.";

/// How often the kernel is asked to take what was pushed.
const FLUSH_ATTEMPTS: usize = 16;

/// So many of the polls that reported something are remembered.
const RECENT: usize = 8;

/// The poll of the doorbell's eventfd.
const DOORBELL_WATCH: Token = Token::new(Kind::DoorbellWatch, 0, 0);

thread_local! {
    static LANE: RefCell<Option<Box<Lane>>> = const { RefCell::new(None) };
    /// Whose lane it is, for a look without a borrow.
    static CURRENT: Cell<Current> = const { Cell::new(Current::NONE) };
}

/// See the module docs.
pub(crate) struct Lane {
    ring: Ring,
    remote: Arc<Remote>,
    ops: Ops,
    /// Operations that were cancelled since the ring must go, for another ring.
    recalled: Vec<Arc<dyn Flight>>,
    /// The kernel did not let go of everything in time.
    is_unclean: bool,
    /// The thread went to block and will not turn: see [`lend`].
    is_lent: bool,
    /// Reaped, but not looked at yet.
    completions: Vec<Cqe>,
    /// Scratch space of a turn.
    messages: Vec<Message>,
    outgoing: Vec<Arc<Outbox>>,
    /// Cancelled polls whose files the kernel may still hold.
    settling: Vec<Token>,
    /// Resources that are given up: watched until their polls have settled.
    given_up: Vec<(Arc<ScheduledIo>, Token)>,
    /// The first polls that reported something in the last turn.
    recent: Vec<Token>,
    /// Completions nobody knows, counted and ignored.
    stale: u64,
    /// Times the completion queue was full or the kernel short of memory.
    backpressure: u64,
    /// Has the poll of the doorbell's eventfd no terminal completion yet?
    watches_doorbell: bool,
    /// The kernel refuses the ring for good.
    is_broken: bool,
}

/// What a turn leaves to do once the lane is free again.
#[derive(Default)]
struct Aftermath {
    wakers: Vec<Waker>,
    released: Vec<Arc<ScheduledIo>>,
    due: Vec<(Arc<Remote>, Due)>,
    /// Operations that are over.
    flights: Vec<Arc<dyn Flight>>,
    /// The same, with what nobody waits for.
    orphans: Vec<(Arc<dyn Flight>, Completion)>,
}

impl Aftermath {
    /// Wakes, drops and closes; user code runs here.
    fn finish(&mut self) {
        wake_all(self.wakers.drain(..));
        self.released.clear();
        for flight in self.flights.drain(..) {
            // One that never took off may be dropped here, with what it owns.
            unwind::swallow(|| drop(flight));
        }
        for (flight, completion) in self.orphans.drain(..) {
            // Destructors of users' buffers run here.
            unwind::swallow(|| flight.orphan(completion));
        }
        for (remote, Due { fd, told }) in self.due.drain(..) {
            remote.close(fd);
            drop(told);
        }
    }
}

/// Wakes tasks.
pub(super) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(unwind::wake);
}

#[derive(Clone, Copy)]
struct Current {
    /// The address of the lane's `Remote`; 0 without a lane.
    address: usize,
    runtime: u64,
    shard: usize,
    is_lent: bool,
}

impl Current {
    const NONE: Current = Current { address: 0, runtime: 0, shard: 0, is_lent: false };

    fn of(lane: Option<&Lane>) -> Current {
        let Some(Lane { remote, is_lent, .. }) = lane else {
            return Current::NONE;
        };
        Current { address: address(remote), runtime: remote.runtime, shard: remote.shard, is_lent: *is_lent }
    }
}

fn address(remote: &Remote) -> usize {
    std::ptr::from_ref(remote).addr()
}

/// Makes `lane` this thread's; returns the one it had.
pub(super) fn enter(lane: Box<Lane>) -> Option<Box<Lane>> {
    CURRENT.set(Current::of(Some(&lane)));
    LANE.with(|cell| cell.borrow_mut().replace(lane))
}

/// Takes this thread's lane out and puts `outer` back.
pub(super) fn leave(outer: Option<Box<Lane>>) -> Option<Box<Lane>> {
    CURRENT.set(Current::of(outer.as_deref()));
    LANE.with(|cell| std::mem::replace(&mut *cell.borrow_mut(), outer))
}

/// Is the ring behind `remote` this thread's lane?
pub(crate) fn is_current(remote: &Remote) -> bool {
    CURRENT.try_with(|current| current.get().address == address(remote)).unwrap_or(false)
}

/// The shard of `runtime` that this thread drives; none while it is inside of `block_in_place`, when
/// another thread may: that one has to be told of what is new.
pub(super) fn current_shard(runtime: u64) -> Option<usize> {
    let current = CURRENT.try_with(Cell::get).ok()?;
    (current.address != 0 && current.runtime == runtime && !current.is_lent).then_some(current.shard)
}

/// Has this thread a lane of `runtime` that takes operations?
pub(super) fn takes_ops(runtime: u64) -> bool {
    let current = CURRENT.try_with(Cell::get).unwrap_or(Current::NONE);
    current.address != 0 && current.runtime == runtime && !current.is_lent
}

/// This thread goes to block: nothing takes off here until [`reclaim`], and what flies is called
/// back, which is waited for. Returns what is to be submitted elsewhere.
pub(super) fn lend() -> Vec<Arc<dyn Flight>> {
    let mut aftermath = Aftermath::default();
    let recalled = with(|lane| {
        lane.is_lent = true;
        CURRENT.set(Current::of(Some(lane)));
        lane.send_outgoing(&mut aftermath);
        lane.land_all(&mut aftermath);
        std::mem::take(&mut lane.recalled)
    });
    aftermath.finish();
    recalled.unwrap_or_default()
}

/// The thread is back, and turns.
pub(super) fn reclaim() {
    with(|lane| {
        lane.is_lent = false;
        CURRENT.set(Current::of(Some(lane)));
    });
}

/// Does this thread's lane, if it has one, belong to the parent process?
pub(super) fn is_inherited() -> bool {
    with(|lane| lane.ring.is_inherited()).unwrap_or(false)
}

/// Calls `f` with this thread's lane; `None` if it has none or is in the middle of a turn.
pub(super) fn with<R>(f: impl FnOnce(&mut Lane) -> R) -> Option<R> {
    LANE.try_with(|cell| match cell.try_borrow_mut() {
        Ok(mut lane) => lane.as_deref_mut().map(f),
        Err(_) => None,
    })
    .ok()
    .flatten()
}

/// Rings the doorbell of `target`.
pub(super) fn ring_doorbell(target: &Remote) {
    /// How long the kernel gets to find some memory.
    const PAUSE: Duration = Duration::from_micros(100);

    if is_current(target) {
        // The owner itself: it will look before it parks.
        return;
    }
    let ring = || {
        let sent = if target.doorbell.needs_ring() { with(|lane| lane.send_message(target)) } else { None };
        sent.unwrap_or_else(|| target.doorbell.ring())
    };
    // Nobody else will ring: who finds it notified leaves it at that. So this goes on until the
    // owner has looked around, whatever woke it.
    loop {
        match ring() {
            Rung::Again if target.is_notified() => std::thread::sleep(PAUSE),
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

/// One turn of this thread's lane: takes mail, submits, waits if asked to, reaps, wakes.
pub(super) fn turn(wait: Wait) {
    thread_local! {
        static SPARE: RefCell<Aftermath> = RefCell::default();
    }
    // Reused, since a turn happens for every few events; a nested turn takes a new one.
    outgoing::new_turn();
    let mut aftermath =
        SPARE.with(|spare| spare.try_borrow_mut().map(|mut s| std::mem::take(&mut *s)).unwrap_or_default());
    with(|lane| lane.turn(wait, &mut aftermath));
    aftermath.finish();
    SPARE.with(|spare| spare.replace(aftermath));
}

/// Stops watching what reported something in the last turn: its tasks go elsewhere.
pub(super) fn give_up_recent() {
    let mut aftermath = Aftermath::default();
    with(|lane| lane.give_up_recent(&mut aftermath));
    aftermath.finish();
}

/// Takes the mail of this thread's lane, if it has one, between two turns.
pub(super) fn serve_mail() {
    let mut aftermath = Aftermath::default();
    with(|lane| lane.take_mail(&mut aftermath));
    aftermath.finish();
}

/// A turn that, instead of waiting in its ring alone, waits with `poll(2)` for the ring and for
/// what the stalled ring behind `other` watches and somebody wants. What that one was asked for by
/// message, and any ring can do, is taken over.
///
/// No poll is armed for this: nothing pins the files longer than the call lasts.
pub(super) fn turn_for(other: &Remote, limit: Duration) {
    other.outgoing.send_here();
    let mut aftermath = Aftermath::default();
    with(|lane| lane.serve_for(other, &mut aftermath));
    aftermath.finish();
    let visit = with(|lane| lane.remote.clone()).and_then(|visitor| other.visit(&visitor));
    let wanted: Vec<_> = {
        let slots = other.slots.lock();
        let resources = visit.iter().flat_map(|_| slots.resources());
        resources.filter_map(|io| Some((io.clone(), io.wanted()?))).collect()
    };
    if !wanted.is_empty() {
        let mut fds: Vec<_> =
            wanted.iter().map(|(io, wanted)| PollFd::new(io.fd(), wanted.poll_events())).collect();
        let mut aftermath = Aftermath::default();
        with(|lane| lane.wait_for(&mut fds, limit, &mut aftermath));
        drop(visit);
        for ((io, _), fd) in wanted.iter().zip(&fds) {
            let ready = Ready::from_poll(fd.ready());
            if !ready.is_empty() {
                io.set_readiness(ready);
                io.take_wakers(ready, &mut aftermath.wakers);
            }
        }
        aftermath.released.extend(wanted.into_iter().map(|(io, _)| io));
        aftermath.finish();
        turn(Wait::No);
    } else {
        drop(visit);
        turn(if limit.is_zero() { Wait::No } else { Wait::For(limit) });
    }
}

impl Lane {
    pub(super) fn new(ring: Ring, remote: Arc<Remote>) -> Box<Lane> {
        Box::new(Lane {
            ring,
            remote,
            ops: Ops::default(),
            recalled: Vec::new(),
            is_unclean: false,
            is_lent: false,
            completions: Vec::new(),
            messages: Vec::new(),
            outgoing: Vec::new(),
            settling: Vec::new(),
            given_up: Vec::new(),
            recent: Vec::new(),
            stale: 0,
            backpressure: 0,
            watches_doorbell: false,
            is_broken: false,
        })
    }

    /// Makes the lane one of this thread, which may take another ring.
    pub(super) fn bind(mut self: Box<Self>) -> io::Result<Box<Lane>> {
        if self.ring.is_foreign() {
            self.ring = Ring::for_this_thread()?;
        } else if !self.ring.is_bound() {
            self.ring.enable()?;
        }
        Ok(self)
    }

    /// Does the ring belong to the parent process?
    pub(super) fn is_inherited(&self) -> bool {
        self.ring.is_inherited()
    }

    /// Lets others ring this lane.
    pub(super) fn open(&mut self) {
        self.remote.attach();
        // Nobody was told while there was no owner.
        self.ring.forget_fixed();
        self.remote.doorbell.install(self.ring.as_raw_fd());
        self.watch_doorbell();
    }

    fn watch_doorbell(&mut self) {
        if let Some(event) = self.remote.doorbell.watched() {
            self.ring.push(Sqe::poll_multishot(event, poll::IN, DOORBELL_WATCH));
            self.watches_doorbell = true;
        }
    }

    fn turn(&mut self, wait: Wait, aftermath: &mut Aftermath) {
        self.remote.count_turn();
        self.take_mail(aftermath);
        let wait = if self.remote.outgoing.is_some() { self.turn_outgoing(wait, aftermath) } else { wait };

        if wait == Wait::No {
            if self.ring.has_work() {
                self.enter(Wait::No);
            }
        } else if aftermath.due.is_empty() && self.start_parking() {
            self.enter(wait);
            self.remote.stop_parking();
            // What woke it may be mail, and somebody may wait for an answer.
            self.take_mail(aftermath);
        } else {
            self.take_mail(aftermath);
            self.enter(Wait::No);
        }
        self.reap(aftermath);
        if !aftermath.due.is_empty() {
            // The cancels of mail taken above went in with the enter.
            self.remote.count_turn();
        }
    }

    /// Waits until one of `fds` or the ring has something, without reaping.
    fn wait_for(&mut self, fds: &mut Vec<PollFd>, limit: Duration, aftermath: &mut Aftermath) {
        self.remote.count_turn();
        self.take_mail(aftermath);
        self.board_outgoing(aftermath);
        self.flush();
        let len = fds.len();
        let parked = !limit.is_zero() && self.start_parking();
        if parked {
            // The one says what is there already, the other one what comes. Without an alarm, for
            // lack of descriptors, that is found when the wait is over.
            fds.push(PollFd::new(self.ring.as_raw_fd(), poll::IN));
            fds.extend(self.ring.alarm().map(|fd| PollFd::new(fd, poll::IN)));
        }
        // An error here is EINTR or a lack of memory: nothing is ready, the next turn repeats.
        drop(poll::wait(fds, Some(if parked { limit } else { Duration::ZERO })));
        if parked {
            self.ring.alarm_off();
            self.remote.stop_parking();
        }
        fds.truncate(len);
    }

    fn send_message(&mut self, target: &Remote) -> Rung {
        let known = self.completions.len();
        let sent = target.doorbell.ring_with(|fd| {
            fault::check(Call::Message)?;
            self.ring.push(Sqe::message(fd, Token::new(Kind::Doorbell, 0, 0)));
            self.flush();
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

    /// Is there nothing to do but wait?
    fn start_parking(&self) -> bool {
        self.completions.is_empty() && self.remote.start_parking()
    }

    /// Submits what was pushed. A kernel that takes a part of it only, or nothing for now, is
    /// asked again.
    fn flush(&mut self) {
        for _ in 0..FLUSH_ATTEMPTS {
            self.enter(Wait::No);
            if !self.ring.has_unsubmitted() {
                return;
            }
            // It may want room for completions first.
            self.ring.reap(&mut self.completions);
        }
    }

    fn enter(&mut self, wait: Wait) {
        self.remote.stats.count_enter(self.ring.unsubmitted());
        if self.ring.is_overflown() {
            self.remote.stats.count_overflow();
        }
        match self.ring.enter(wait) {
            Ok(()) | Err(EnterError::Interrupted | EnterError::TimedOut) => {}
            // Everything stays queued; the reap that follows makes room, the next turn repeats.
            Err(EnterError::Backpressure) => self.backpressure += 1,
            // Said already: the thread unwinds.
            Err(EnterError::Broken(_)) if self.is_broken => {}
            Err(EnterError::Broken(error)) => {
                self.is_broken = true;
                panic!("spargio: the kernel refuses a ring that worked before: {error}. {FORBIDDEN}");
            }
        }
    }

    /// Waits until the kernel let go of the files whose polls are settling: until their terminal
    /// completions are there.
    ///
    /// One `enter` may not be enough: the kernel (since Linux 6.14) does 20 pieces of a ring's
    /// deferred work in one go, and the end of a poll comes after the events before it.
    fn settle(&mut self) {
        let mut attempts = 0;
        while !self.settling.is_empty() && attempts < FLUSH_ATTEMPTS {
            self.enter(Wait::No);
            let known = self.completions.len();
            self.ring.reap(&mut self.completions);
            for cqe in self.completions[known..].iter().filter(|cqe| !cqe.more) {
                self.settling.retain(|&token| token != cqe.token);
            }
            attempts = if self.completions.len() > known { 0 } else { attempts + 1 };
        }
        self.settling.clear();
    }

    fn take_mail(&mut self, aftermath: &mut Aftermath) {
        if !self.remote.has_mail() {
            return;
        }
        let mut messages = std::mem::take(&mut self.messages);
        self.remote.receive(&mut messages);
        self.serve_all(messages, aftermath);
        self.finish_giving_up(aftermath);
    }

    /// Serves what is in the scratch space, and puts it back.
    fn serve_all(&mut self, mut messages: Vec<Message>, aftermath: &mut Aftermath) {
        for message in messages.drain(..) {
            self.serve(message, aftermath);
        }
        self.messages = messages;
    }

    fn serve(&mut self, message: Message, aftermath: &mut Aftermath) {
        match message {
            Message::Watch(io) => {
                self.watch_requested(&io);
                aftermath.released.push(io);
            }
            Message::GiveUp(io) => self.give_up(io),
            Message::Unwatch(token, due) => {
                if let Some(io) = self.cancel(token) {
                    aftermath.released.push(io);
                    self.settling.push(token);
                }
                aftermath.due.push((self.remote.clone(), due));
            }
            Message::Launch(flight) => aftermath.flights.extend(self.launch(flight)),
            Message::LaunchChain(chain) => {
                self.launch_chain(&chain);
                aftermath.flights.extend(chain.into_flights());
            }
            Message::Cancel(token) => self.cancel_op(token),
            Message::ForgetFixed => self.ring.forget_fixed(),
        }
    }

    /// Serves what the stalled ring behind `other` was asked for, as far as any ring can.
    fn serve_for(&mut self, other: &Remote, aftermath: &mut Aftermath) {
        let mut messages = std::mem::take(&mut self.messages);
        other.hand_out(&mut messages);
        self.serve_all(messages, aftermath);
    }

    /// Arms a poll for `io`, whose watch the caller holds and sets.
    pub(super) fn arm(&mut self, io: &Arc<ScheduledIo>) -> Watch {
        let token = self.remote.slots.lock().insert(io.clone());
        self.ring.push(Sqe::poll_multishot(io.fd(), io.interest().poll_events(), token));
        io.set_home(self.remote.shard);
        Watch::Armed { remote: self.remote.clone(), token }
    }

    fn watch_requested(&mut self, io: &Arc<ScheduledIo>) {
        io.with_watch(|watch| {
            if matches!(watch.current, Watch::Requested) {
                watch.current = self.arm(io);
            }
        });
    }

    /// Stops watching `io`: whoever waits for it tries for himself, and has it watched where he is.
    ///
    /// It counts as watched until the poll is gone: a close in between goes by this thread.
    fn give_up(&mut self, io: Arc<ScheduledIo>) {
        let token = io.with_watch(|watch| match &watch.current {
            Watch::Armed { remote, token } if Arc::ptr_eq(remote, &self.remote) => Some(*token),
            _ => None,
        });
        if let Some(token) = token {
            if let Some(io) = self.cancel(token) {
                self.remote.stats.count_rehoming();
                self.settling.push(token);
                self.given_up.push((io, token));
            }
        }
    }

    /// Stops watching what reported something in the last turn.
    fn give_up_recent(&mut self, aftermath: &mut Aftermath) {
        while let Some(token) = self.recent.pop() {
            let io = self.remote.slots.lock().get(token).ok().flatten().cloned();
            if let Some(io) = io {
                self.give_up(io);
            }
        }
        self.finish_giving_up(aftermath);
    }

    /// Before any descriptor is closed.
    fn finish_giving_up(&mut self, aftermath: &mut Aftermath) {
        self.settle();
        for (io, token) in std::mem::take(&mut self.given_up) {
            if self.release(&io, token) {
                poll_ended(&io, &mut aftermath.wakers);
            }
            aftermath.released.push(io);
        }
    }

    /// Sends a cancel for the poll `token`, unless it is over or being cancelled already.
    fn cancel(&mut self, token: Token) -> Option<Arc<ScheduledIo>> {
        let io = self.remote.slots.lock().close(token)?;
        self.ring.push(Sqe::cancel(token));
        Some(io)
    }

    /// Cancels the poll `token` and waits until the kernel let go of the file.
    pub(super) fn cancel_now(&mut self, token: Token) -> Option<Arc<ScheduledIo>> {
        let io = self.cancel(token)?;
        self.settling.push(token);
        self.settle();
        Some(io)
    }

    fn reap(&mut self, aftermath: &mut Aftermath) {
        let mut completions = std::mem::take(&mut self.completions);
        self.ring.reap(&mut completions);
        if !completions.is_empty() {
            let remote = self.remote.clone();
            remote.stats.count_completions(completions.len());
            let mut slots = remote.slots.lock();
            self.recent.clear();
            let mut ended = Vec::new();
            let mut doorbell_watch_ended = false;
            for cqe in completions.drain(..) {
                match cqe.token.kind() {
                    Some(Kind::Poll) => match slots.get(cqe.token) {
                        Ok(io) => {
                            if let Some(io) = io {
                                poll_event(io, &cqe, &mut aftermath.wakers);
                                if self.recent.len() < RECENT {
                                    self.recent.push(cqe.token);
                                }
                            }
                            if !cqe.more {
                                ended.extend(slots.remove(cqe.token).map(|io| (io, cqe.token)));
                            }
                        }
                        Err(_) => self.stale += 1,
                    },
                    Some(Kind::Cancel) => {
                        // A failure: the poll was over (ENOENT), or just being finished
                        // (EALREADY), in which case it may have stayed armed.
                        let target = Token::new(Kind::Poll, cqe.token.generation(), cqe.token.index());
                        if cqe.result == -libc::EALREADY && slots.is_closing(target) {
                            self.ring.push(Sqe::cancel(target));
                        }
                    }
                    Some(Kind::Op) => self.op_event(&cqe, aftermath),
                    Some(Kind::OpCancel) => self.op_cancel_failed(&cqe),
                    // The operation's own completion says how it ended.
                    Some(Kind::OpLimit) => {}
                    // Its only purpose was to end the wait.
                    Some(Kind::Doorbell) => {}
                    Some(Kind::DoorbellWatch) => doorbell_watch_ended |= !cqe.more,
                    // The target is gone or busy with being closed: it needs no wake-up.
                    Some(Kind::DoorbellSent) => {}
                    None => self.stale += 1,
                }
            }
            drop(slots);
            if doorbell_watch_ended {
                self.watches_doorbell = false;
                self.watch_doorbell();
            }
            for (io, token) in ended {
                if self.release(&io, token) {
                    poll_ended(&io, &mut aftermath.wakers);
                }
                aftermath.released.push(io);
            }
        }
        self.completions = completions;
    }

    /// The poll `token` of this ring is being cancelled; `true` if it was what watched `io`.
    fn release(&self, io: &ScheduledIo, token: Token) -> bool {
        io.with_watch(|watch| match &watch.current {
            Watch::Armed { remote, token: current }
                if Arc::ptr_eq(remote, &self.remote) && *current == token =>
            {
                watch.current = Watch::Idle;
                true
            }
            _ => {
                watch.abandoned = watch.abandoned.saturating_sub(1);
                false
            }
        })
    }

    /// How much has no terminal completion yet.
    fn in_flight(&self) -> usize {
        self.remote.slots.lock().in_flight() + usize::from(self.watches_doorbell) + self.ops.len()
    }
}

/// A poll reported an event.
fn poll_event(io: &ScheduledIo, cqe: &Cqe, wakers: &mut Vec<Waker>) {
    let ready = match u32::try_from(cqe.result) {
        Ok(events) => Ready::from_poll(events),
        // The end of the poll is dealt with by `poll_ended`.
        Err(_) => return,
    };
    io.set_readiness(ready);
    io.take_wakers(ready, wakers);
}

/// A poll ended unasked (overflow, a cancel that was not ours, a bad descriptor): everyone who
/// waits looks again, and arms again if he has to go on waiting.
///
/// Only what the kernel says counts as ready: a connection that is not there yet must not look like
/// one, nor a FIFO that nobody writes to like one that has ended.
pub(super) fn poll_ended(io: &ScheduledIo, wakers: &mut Vec<Waker>) {
    io.look();
    io.take_wakers(Ready::ALL, wakers);
}

#[cfg(test)]
mod tests;
