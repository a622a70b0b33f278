//! A thread's seat at the shard that it drives: the owner's half.
//!
//! # Protocol
//!
//! - A thread has one seat at a time (at the innermost runtime it drives), in a thread-local; [`take`]
//!   sits down and [`leave`] gets up again.
//! - No user code runs while the seat is borrowed: a turn collects wakers and operations, gives the seat
//!   back, and only then wakes and drops. So `wake` and `drop` may come back here. If they ever find the
//!   seat borrowed they go by mail.
//! - The ring is made for the first operation. A thread that gets none drives its shard without, and asks
//!   again later.
//!
//! # A turn
//!
//! 1. Take the mail; send what was kept to be sent together.
//! 2. If asked to wait, fall asleep where there is something to wait for ([`Place`]):
//!    in the watch set if no other thread holds it, else in the ring if it has operations in flight,
//!    else in bed. A thread that has both to wait for sleeps in the ring, which waits in the set
//!    (`EPOLL_WAIT`, Linux 6.15), or in the set, whose bell the ring rings.
//! 3. Take what there is: events of the set, completions of the ring.
//! 4. Give the seat back, then wake and drop.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::driver::hold::Hold;
use crate::driver::op::Flight;
use crate::driver::outbox::Outbox;
use crate::driver::parking::Place;
use crate::driver::set::WatchSet;
use crate::driver::shards::{Message, Shard, Shards};
use crate::driver::uring::{self, Aftermath, Ending, Engine, Remote};
use crate::sys::epoll::Events;
use crate::sys::uring::{Rung, Wait};

/// For so long a thread with tasks to run need not look into the set again: a system call for each poll of a
/// task that yields would cost several times the poll.
const PAUSE: Duration = Duration::from_micros(10);

thread_local! {
    /// Never dropped: a thread leaves its seat. One that ends the process in the middle of a task
    /// (`process::exit` runs the destructors of its thread-locals) has operations in flight, whose memory
    /// is the kernel's.
    static SEAT: RefCell<ManuallyDrop<Option<Box<Seat>>>> = const { RefCell::new(ManuallyDrop::new(None)) };
    /// Whose seat it is, for a look without a borrow.
    static CURRENT: Cell<Current> = const { Cell::new(Current::NONE) };
}

/// See the module docs.
pub(super) struct Seat {
    shards: Arc<Shards>,
    shard: Arc<Shard>,
    engine: Option<Box<Engine>>,
    events: Events,
    /// When the set was looked into last, without sleeping.
    last_look: Option<Instant>,
    /// The thread went to block and will not turn: see [`lend`].
    is_lent: bool,
    /// Scratch space of a turn.
    messages: Vec<Message>,
}

#[derive(Clone, Copy)]
struct Current {
    /// 0 without a seat.
    runtime: u64,
    shard: usize,
    is_lent: bool,
}

impl Current {
    const NONE: Current = Current { runtime: 0, shard: 0, is_lent: false };

    fn of(seat: Option<&Seat>) -> Current {
        seat.map_or(Current::NONE, |seat| Current {
            runtime: seat.shards.runtime,
            shard: seat.shard.index,
            is_lent: seat.is_lent,
        })
    }

    fn get() -> Current {
        CURRENT.try_with(Cell::get).unwrap_or(Current::NONE)
    }

    /// Does this thread drive a shard of `runtime`? Not while it is inside of `block_in_place`, when
    /// another thread may.
    fn drives(self, runtime: u64) -> bool {
        self.runtime == runtime && !self.is_lent
    }
}

/// Makes `seat` this thread's; returns the one it had.
pub(super) fn take(seat: Box<Seat>) -> Option<Box<Seat>> {
    CURRENT.set(Current::of(Some(&seat)));
    SEAT.with(|cell| cell.borrow_mut().replace(seat))
}

/// Takes this thread's seat from it and puts `outer` back.
pub(super) fn leave(outer: Option<Box<Seat>>) -> Option<Box<Seat>> {
    CURRENT.set(Current::of(outer.as_deref()));
    SEAT.with(|cell| std::mem::replace(&mut **cell.borrow_mut(), outer))
}

/// The shard of `runtime` that this thread drives.
pub(super) fn current_shard(runtime: u64) -> Option<usize> {
    let current = Current::get();
    current.drives(runtime).then_some(current.shard)
}

/// Calls `f` with this thread's seat; `None` if it has none or is in the middle of a turn.
fn with<R>(f: impl FnOnce(&mut Seat) -> R) -> Option<R> {
    SEAT.try_with(|cell| match cell.try_borrow_mut() {
        Ok(mut seat) => seat.as_deref_mut().map(f),
        Err(_) => None,
    })
    .ok()
    .flatten()
}

/// Calls `f` with the ring of this thread, if it drives a shard of `runtime` (that one, if one is
/// given) and has a ring or gets one.
pub(super) fn with_engine<R>(
    runtime: u64,
    shard: Option<usize>,
    f: impl FnOnce(&mut Engine) -> R,
) -> Option<R> {
    let current = Current::get();
    if !current.drives(runtime) || shard.is_some_and(|shard| shard != current.shard) {
        return None;
    }
    with(|seat| seat.engine().map(f)).flatten()
}

/// The same if the ring is that behind `remote`.
pub(super) fn with_engine_of<R>(remote: &Remote, f: impl FnOnce(&mut Engine) -> R) -> Option<R> {
    with(|seat| {
        let engine = seat.engine.as_deref_mut()?;
        std::ptr::eq(&**engine.remote(), remote).then(|| f(engine))
    })
    .flatten()
}

/// Does this thread drive a shard of `runtime`, and has it a ring, or gets one?
pub(super) fn takes_ops(runtime: u64) -> bool {
    with_engine(runtime, None, |_| ()).is_some()
}

/// Has `outbox` sent with the next turn of this thread's shard, if it is one of `runtime` and has a ring.
pub(super) fn send_later(runtime: u64, outbox: &Arc<Outbox>) -> bool {
    takes_ops(runtime) && with(|seat| seat.shard.outgoing.push(outbox.clone())).is_some()
}

/// Does this thread's ring, if it has one, belong to the parent process?
pub(super) fn is_inherited() -> bool {
    with(|seat| seat.is_inherited()).unwrap_or(false)
}

/// Does an operation in flight on this thread keep a paused clock from advancing?
pub(super) fn holds_clock() -> bool {
    with(|seat| seat.engine.as_ref().is_some_and(|engine| engine.holds_clock())).unwrap_or(false)
}

/// This thread goes to block: nothing takes off here until [`reclaim`], and what flies is called
/// back. What cannot be flies on, and lands when the thread is back. Returns what is to be submitted elsewhere.
pub(super) fn lend() -> Vec<Arc<dyn Flight>> {
    let mut aftermath = Aftermath::default();
    let recalled = with(|seat| {
        seat.is_lent = true;
        CURRENT.set(Current::of(Some(seat)));
        seat.send_outgoing(&mut aftermath);
        let set = seat.shards.set.as_deref();
        seat.engine.as_mut().map(|engine| engine.land_all(set, &mut aftermath))
    });
    aftermath.finish();
    recalled.flatten().unwrap_or_default()
}

/// The thread is back, and turns.
pub(super) fn reclaim() {
    with(|seat| {
        seat.is_lent = false;
        CURRENT.set(Current::of(Some(seat)));
        if let Some(engine) = &seat.engine {
            // Another thread may have driven the shard meanwhile, with a ring of its own.
            seat.shard.install(engine.remote());
        }
    });
}

/// One turn of this thread's shard; see the module docs.
pub(super) fn turn(wait: Wait) {
    turn_with(|seat, aftermath| seat.turn(wait, aftermath));
}

/// A turn of a thread that has tasks to run, and does not wait: the set is asked only every now and then.
pub(super) fn glance() {
    turn_with(|seat, aftermath| {
        let now = Instant::now();
        let is_due = seat.last_look.is_none_or(|last| now.saturating_duration_since(last) >= PAUSE);
        if is_due {
            seat.last_look = Some(now);
            return seat.turn(Wait::No, aftermath);
        }
        seat.shard.count_turn();
        seat.take_mail(aftermath);
        seat.turn_outgoing(Wait::No, aftermath);
        if let Some(engine) = &mut seat.engine {
            engine.look(seat.shards.set.as_deref(), aftermath);
        }
    });
}

/// A turn for which the mail of `others`, which are stalled, is taken over as well, as far as any ring can
/// serve it, and what their owners have kept to be sent.
pub(super) fn turn_for<'a>(others: impl Iterator<Item = &'a Arc<Shard>> + Clone, wait: Wait) {
    others.clone().for_each(|other| other.outgoing.send_here());
    turn_with(|seat, aftermath| {
        let mut messages = std::mem::take(&mut seat.messages);
        others.for_each(|other| other.hand_out(&mut messages));
        seat.serve(messages, aftermath);
        seat.turn(wait, aftermath);
    });
}

fn turn_with(f: impl FnOnce(&mut Seat, &mut Aftermath)) {
    thread_local! {
        static SPARE: Cell<Option<Box<Aftermath>>> = const { Cell::new(None) };
    }
    // Reused, since a turn happens for every few events; a nested turn takes a new one.
    uring::new_turn();
    let mut aftermath = SPARE.try_with(Cell::take).ok().flatten().unwrap_or_default();
    with(|seat| f(seat, &mut aftermath));
    aftermath.finish();
    // An error: the thread ends.
    let _ = SPARE.try_with(|spare| spare.set(Some(aftermath)));
}

/// Wakes who sleeps in the ring behind `target`, by way of this thread's own ring where that is better.
pub(super) fn ring_doorbell(target: &Remote) -> Rung {
    let with_ring = |seat: &mut Seat| seat.engine.as_mut().map(|engine| engine.send_message(target));
    let sent = if target.doorbell.needs_ring() { with(with_ring).flatten() } else { None };
    sent.unwrap_or_else(|| target.doorbell.ring())
}

impl Seat {
    pub(super) fn new(shards: &Arc<Shards>, shard: usize) -> Box<Seat> {
        Box::new(Seat {
            shards: shards.clone(),
            shard: shards.shard(shard).clone(),
            engine: None,
            events: Events::new(),
            last_look: None,
            is_lent: false,
            messages: Vec::new(),
        })
    }

    pub(super) fn is_inherited(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.is_inherited())
    }

    /// Is its ring, if there is one, that of another thread?
    pub(super) fn is_foreign(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.is_foreign())
    }

    /// What its ring was asked for while nobody drove the shard.
    pub(super) fn read_ring_mail(&mut self) {
        if let Some(engine) = &mut self.engine {
            engine.take_mail();
        }
    }

    /// The thread leaves it as it is, and may come back; returns the operations that are to be submitted again.
    pub(super) fn come_to_rest(&mut self) -> Vec<Arc<dyn Flight>> {
        if self.engine.is_none() && !self.shard.outgoing.is_some() {
            return Vec::new();
        }
        let mut aftermath = Aftermath::default();
        self.send_outgoing(&mut aftermath);
        let set = self.shards.set.as_deref();
        let engine = self.engine.as_mut();
        let mut recalled = engine.map(|engine| engine.come_to_rest(set, &mut aftermath)).unwrap_or_default();
        // The caller is at the end of a seat: no borrow is held, user code may run.
        aftermath.finish();
        if self.engine.as_ref().is_some_and(|engine| engine.is_broken()) {
            recalled.append(&mut self.give_ring_up(Ending::HandOver));
        }
        recalled
    }

    /// The ring, which is made now if there is none; `None` if none is to be had.
    pub(super) fn engine(&mut self) -> Option<&mut Engine> {
        self.drop_broken_ring();
        if self.engine.is_none() && self.shards.rings.may_be_had() {
            match Engine::new(&self.shard) {
                Ok(engine) => {
                    self.shard.install(engine.remote());
                    self.engine = Some(Box::new(engine));
                }
                Err(_) => self.shards.rings.are_refused(),
            }
        }
        self.engine.as_deref_mut()
    }

    /// Goes on without a ring that the kernel refuses.
    fn drop_broken_ring(&mut self) {
        if let Some(broken) = self.engine.take_if(|engine| engine.is_of_no_use()) {
            self.shard.uninstall(broken.remote());
            self.shards.rings.are_refused();
        }
    }

    /// Ends what is in flight; returns the operations that are to be submitted again.
    pub(super) fn give_ring_up(&mut self, ending: Ending) -> Vec<Arc<dyn Flight>> {
        let mut aftermath = Aftermath::default();
        self.send_outgoing(&mut aftermath);
        aftermath.finish();
        let Some(engine) = self.engine.take() else { return Vec::new() };
        let remote = engine.remote().clone();
        let (recalled, mut aftermath) = engine.end(ending, self.shards.set.as_deref());
        self.shard.uninstall(&remote);
        // The caller is at the end of a seat: no borrow is held, user code may run.
        aftermath.finish();
        recalled
    }

    fn turn(&mut self, wait: Wait, aftermath: &mut Aftermath) {
        if self.is_lent {
            // The shard is another thread's meanwhile, its mail and its state included; the ring is this one's.
            self.read_ring_mail();
            if let Some(engine) = &mut self.engine {
                engine.look(self.shards.set.as_deref(), aftermath);
            }
            return;
        }
        self.shard.count_turn();
        self.drop_broken_ring();
        self.take_mail(aftermath);
        let wait = self.turn_outgoing(wait, aftermath);
        if wait == Wait::No || !self.sleep(wait, aftermath) {
            self.take_mail(aftermath);
            self.look(aftermath);
        }
    }

    /// Takes what is there.
    fn look(&mut self, aftermath: &mut Aftermath) {
        let set = self.shards.set.as_deref();
        if let Some(set) = set {
            if let Some(_hold) = set.try_hold() {
                set.wait(&mut self.events, Wait::No);
                set.serve(&self.events, &mut aftermath.wakers);
            }
        }
        if let Some(engine) = &mut self.engine {
            engine.look(set, aftermath);
        }
    }

    /// Sleeps until something comes, and takes it; `false` if there is something to do already.
    fn sleep(&mut self, wait: Wait, aftermath: &mut Aftermath) -> bool {
        let Seat { shards, shard, engine, events, .. } = self;
        let mut engine = engine.as_deref_mut();
        let set = shards.set.as_deref();
        let held = set.and_then(|set| Some((set, set.try_hold()?)));
        let Some(bed) = Bed::make(engine.as_deref_mut(), held) else { return false };
        let place = bed.place;
        if let (Place::Set, Some((_, hold))) = (place, &bed.held) {
            hold.listen();
        }
        let has_slept = shard.parking.start(place);
        if has_slept {
            match (place, &bed.held, engine.as_deref_mut()) {
                (Place::Set, Some((set, _)), _) => set.wait(events, exactly(wait)),
                (Place::Ring, held, Some(engine)) => engine.sleep(held.as_ref().map(|(set, _)| *set), wait),
                _ => shard.parking.sleep(match exactly(wait) {
                    Wait::For(limit) => Some(limit),
                    Wait::No | Wait::Forever => None,
                }),
            }
            shard.parking.stop();
            if let (Place::Set, Some((set, _))) = (place, &bed.held) {
                set.serve(events, &mut aftermath.wakers);
            }
        }
        bed.leave(engine.as_deref());
        if has_slept {
            match (place, engine) {
                (_, None) => {}
                (Place::Ring, Some(engine)) => engine.reap(set, aftermath),
                (Place::Bed | Place::Set, Some(engine)) => engine.look(set, aftermath),
            }
            // What woke it may be mail.
            self.take_mail(aftermath);
        }
        has_slept
    }

    fn take_mail(&mut self, aftermath: &mut Aftermath) {
        self.read_ring_mail();
        if let Some(engine) = &mut self.engine {
            engine.launch_recalled(aftermath);
        }
        self.shard.receive(&mut self.messages);
        if self.messages.is_empty() {
            return;
        }
        let messages = std::mem::take(&mut self.messages);
        self.serve(messages, aftermath);
    }

    fn serve(&mut self, mut messages: Vec<Message>, aftermath: &mut Aftermath) {
        for message in messages.drain(..) {
            match (self.engine(), message) {
                (Some(engine), Message::Launch(flight)) => aftermath.flights.extend(engine.launch(flight)),
                (Some(engine), Message::LaunchChain(chain)) => {
                    engine.launch_chain(&chain);
                    // What is not wanted any more is dropped with the seat free.
                    aftermath.flights.extend(chain.into_flights());
                }
                (None, Message::Launch(flight)) => aftermath.refused.push(flight),
                (None, Message::LaunchChain(chain)) => aftermath.refused.extend(chain.into_flights()),
            }
        }
        self.messages = messages;
    }

    /// The sends of a turn. A wait in the same `enter` would be over at once, with their completions:
    /// there is one of its own before, in which something to do may turn up.
    fn turn_outgoing(&mut self, wait: Wait, aftermath: &mut Aftermath) -> Wait {
        if !self.shard.outgoing.is_some() {
            return wait;
        }
        self.send_outgoing(aftermath);
        if aftermath.is_empty() { wait } else { Wait::No }
    }

    fn send_outgoing(&mut self, aftermath: &mut Aftermath) {
        if !self.shard.outgoing.is_some() {
            return;
        }
        match &mut self.engine {
            Some(engine) => engine.send_outgoing(&self.shard.outgoing, self.shards.set.as_deref(), aftermath),
            // The ring that was there when they were kept is gone.
            None => self.shard.outgoing.send_here(),
        }
    }
}

/// A wait that ends when `wait` should, not later: the kernel ends one up to 50 µs late, or a thousandth of its time
/// (`PR_SET_TIMERSLACK`, which threads and children would inherit), to gather wake-ups. What ends too soon is
/// followed by another one.
fn exactly(wait: Wait) -> Wait {
    const SLACK: Duration = Duration::from_micros(50);
    const AT_ONCE: Duration = Duration::from_nanos(1);

    match wait {
        Wait::For(limit) => Wait::For(limit.saturating_sub(SLACK.max(limit / 1000)).max(AT_ONCE)),
        Wait::No | Wait::Forever => wait,
    }
}

/// Where a thread sleeps, and what it holds meanwhile.
struct Bed<'a> {
    place: Place,
    held: Option<(&'a WatchSet, Hold<'a>)>,
    /// The ring rings the set's bell.
    is_called: bool,
}

impl<'a> Bed<'a> {
    /// For a thread with that ring, and the set if that is its to sleep in; `None` if there is something to
    /// do.
    fn make(engine: Option<&mut Engine>, held: Option<(&'a WatchSet, Hold<'a>)>) -> Option<Bed<'a>> {
        let place = if held.is_some() { Place::Set } else { Place::Bed };
        let bed = Bed { place, held, is_called: false };
        let Some(engine) = engine else { return Some(bed) };
        if !engine.may_sleep() || !engine.is_busy() && !engine.is_calm() {
            return None;
        }
        match &bed.held {
            _ if !engine.is_busy() => Some(bed),
            Some((set, _)) if !engine.can_wait_in_set() => {
                let may_sleep = engine.is_calm() && engine.call(set);
                let bed = Bed { is_called: true, ..bed };
                if may_sleep {
                    return Some(bed);
                }
                bed.leave(Some(engine));
                None
            }
            _ => Some(Bed { place: Place::Ring, ..bed }),
        }
    }

    fn leave(self, engine: Option<&Engine>) {
        if let Some(engine) = engine.filter(|_| self.is_called) {
            engine.hush();
        }
    }
}
