//! The future of a native operation, whatever lane it takes.
//!
//! # Protocol
//!
//! A request holds its [`Action`], or knows who does:
//!
//! - **Idle**: the request has it. Leftovers are asked first; then, where a ring of the runtime knows
//!   the opcode and may do it, the action goes to the ring. Otherwise it is performed right here if its
//!   descriptor can be waited for, or on the blocking pool if not.
//! - **Waiting**: the request has it, and waits for its descriptor to become ready. So it is after
//!   an attempt that would have blocked, and while leftovers are on their way.
//! - **Ring**: the ring's operation has it. Dropped now, the request says so to the leftovers and
//!   lets the operation's own completion decide.
//! - **Pool**: a thread of the blocking pool has it, or will have. What has begun there is
//!   finished; an orphan is seen to by that thread.
//!
//! After each step the action is asked whether that was all; if not, it is idle again.
//!
//! # Safety
//!
//! An action is performed in place, behind a mutable reference.
#![allow(unsafe_code)]

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use upstream::task::coop;

use super::action::{Action, Early};
use super::shard_lane::ShardLane;
use super::target::{Target, Wait};
use super::ring::{self, Ringed};
use crate::driver::op::Op;
use crate::driver::{Handle, ReadyEvent};
use crate::runtime::spawn_blocking;
use crate::runtime::task::JoinHandle;
use crate::sys::uring::Punt;
use crate::time::{Instant, Sleep};
use crate::util::leaf;

/// A native operation: a future that does it.
///
/// Nothing happens before it is polled. It resolves to the operation's result, with the buffers it
/// was given where there are any. With [`timeout`](Self::timeout) it has a time limit.
///
/// # Cancel safety
///
/// Dropping it cancels the operation. Nothing is lost: what the operation had received anyway is
/// handed to the next read, on whatever lane, a descriptor that was opened is closed, and buffers
/// are freed when the kernel has let go of them. Bytes that a send had taken are sent.
///
/// # Panics
///
/// If it is polled after it was ready; outside of a runtime, where it needs one: for files, names
/// and processes.
#[must_use = "an operation does nothing unless awaited"]
pub struct Request<'a, A: Action> {
    pub(super) state: State<'a, A>,
    pub(super) target: Target<'a>,
    pub(super) limit: Option<Duration>,
    /// When the limit ends, once the operation has begun.
    pub(super) deadline: Option<Instant>,
    /// What made the last wait end.
    event: Option<ReadyEvent>,
    /// The limit, where no ring keeps it.
    sleep: Option<Pin<Box<Sleep>>>,
    /// The ring that is to do it, if it matters.
    pub(super) lane: Option<ShardLane>,
    /// A ring was asked for, and none was to be had: it goes without.
    pub(super) is_refused: bool,
}

pub(super) enum State<'a, A: Action> {
    Idle(A),
    Ring(Op<Ringed<A>>),
    Waiting(A, Wait<'a>),
    Pool(JoinHandle<Outcome<A>>, Arc<Slot<A>>),
    /// A part of a chain that need not be attempted.
    Decided(A, io::Result<u32>),
    /// A part of a chain that is over, while others are not.
    Ended(A, io::Result<u32>),
    Over,
}

/// `EINTR`, as opening says it on such a thread.
const ERESTARTSYS: i32 = 512;

/// What was to be done, and what came of it.
type Ended<A> = (A, io::Result<u32>);

/// Where the blocking pool finds the action, unless it was taken back before.
pub(super) type Slot<A> = Mutex<Option<A>>;

/// What the blocking pool has done; an orphan if nobody takes it.
pub(super) struct Outcome<A: Action>(Option<(A, io::Result<u32>)>);

impl<A: Action> Drop for Outcome<A> {
    fn drop(&mut self) {
        if let Some((action, result)) = self.0.take() {
            action.orphan(result, None);
        }
    }
}

impl<'a, A: Action> Request<'a, A> {
    pub(crate) fn new(action: A, target: Target<'a>) -> Request<'a, A> {
        let state = State::Idle(action);
        Request { state, target, limit: None, deadline: None, event: None, sleep: None, lane: None, is_refused: false }
    }

    /// No ring is to do it.
    pub(super) fn without_ring(mut self) -> Request<'a, A> {
        self.is_refused = true;
        self
    }

    /// Limits the time that the operation may take, from the first poll on. After that it fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut), unless it succeeds all the same.
    ///
    /// On the ring the kernel keeps the limit (`IORING_OP_LINK_TIMEOUT`, Linux 5.5). On the other
    /// lanes a timer does. What runs on the blocking pool by then is finished first.
    ///
    /// # Panics
    ///
    /// The future panics where a timer is needed and the runtime was built without
    /// [`enable_time`](crate::runtime::Builder::enable_time).
    pub fn timeout(mut self, limit: Duration) -> Request<'a, A> {
        self.limit = Some(limit);
        self
    }

    /// What becomes of the action after `result`; `None` if there is more to do.
    fn after(&mut self, mut action: A, result: io::Result<u32>) -> Option<Ended<A>> {
        if action.again(&result) {
            self.state = State::Idle(action);
            return None;
        }
        self.state = State::Over;
        Some((action, result))
    }

    /// On a ring: the kernel keeps the limit, but knows nothing of a clock that is paused.
    pub(super) fn keep_limit(&mut self, cx: &mut Context<'_>) {
        if self.target.driver().clock().is_paused() && self.expired(cx) {
            if let State::Ring(op) = &self.state {
                op.cancel();
            }
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    fn expired(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(deadline) = self.deadline else { return false };
        let target = &self.target;
        // Of the runtime that does it: there may be no other here.
        let timer = || Box::pin(Sleep::on(target.driver().into_owned(), deadline));
        let sleep = self.sleep.get_or_insert_with(timer);
        sleep.as_mut().poll(cx).is_ready()
    }

    /// Idle: finds a lane.
    fn start(&mut self, mut action: A, cx: &mut Context<'_>) -> Poll<Option<Ended<A>>> {
        let coop = match coop::poll_proceed(cx) {
            Poll::Ready(coop) => coop,
            Poll::Pending => {
                self.state = State::Idle(action);
                return Poll::Pending;
            }
        };
        let unsent = self.target.send_first();
        if matches!(&unsent, Err(e) if e.kind() == io::ErrorKind::WouldBlock) {
            return self.wait(action);
        }
        let result = match unsent.map_or_else(|e| Early::Done(Err(e)), |()| action.early()) {
            Early::Done(result) => result,
            Early::Wait => {
                self.event = None;
                let wait = self.target.wait_for_orphans();
                return self.waiting(action, wait);
            }
            Early::Attempt => {
                let driver = match &self.lane {
                    Some(lane) => Cow::Owned(lane.driver.clone()),
                    None => self.target.driver(),
                };
                let driver = &*driver;
                if let Some(gone) = self.target.runtime_gone() {
                    Err(gone)
                } else if let Some(punt) = self.admit(&mut action, driver) {
                    if leaf::trace_leaf(cx).is_pending() {
                        self.state = State::Idle(action);
                        return Poll::Pending;
                    }
                    self.state = State::Ring(self.launch(action, punt, driver, cx));
                    // Time goes by, and may have been advanced.
                    return if self.deadline.is_some() { Poll::Ready(None) } else { Poll::Pending };
                } else if self.target.is_blocking() {
                    self.state = self.send_off(action);
                    return Poll::Ready(None);
                } else {
                    // SAFETY: it is behind a reference until this returns.
                    let result = unsafe { action.perform() };
                    if result == -libc::EAGAIN {
                        return self.wait(action);
                    }
                    u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
                }
            }
        };
        coop.made_progress();
        Poll::Ready(self.after(action, result))
    }

    /// The attempt would have blocked.
    fn wait(&mut self, action: A) -> Poll<Option<Ended<A>>> {
        self.target.not_ready(self.event.take());
        let wait = self.target.wait();
        self.waiting(action, wait)
    }

    fn waiting(&mut self, action: A, wait: io::Result<Wait<'a>>) -> Poll<Option<Ended<A>>> {
        match wait {
            Ok(wait) => self.state = State::Waiting(action, wait),
            Err(e) => return Poll::Ready(self.after(action, Err(e))),
        }
        Poll::Ready(None)
    }

    /// Is it a ring that does it? Then with what it takes.
    fn admit(&self, action: &mut A, driver: &Handle) -> Option<Option<Punt>> {
        if !self.is_refused && ring::supports(driver, action.opcode()) { self.target.admit() } else { None }
    }

    /// Hands the action to a ring.
    fn launch(&self, action: A, punt: Option<Punt>, driver: &Handle, cx: &Context<'_>) -> Op<Ringed<A>> {
        let shard = self.lane.as_ref().map(|lane| lane.shard.index());
        // The kernel knows nothing of a clock that is paused.
        let deadline = self.deadline.filter(|_| !driver.clock().is_paused());
        let limit = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        Op::launched(driver, shard, Ringed::new(action, punt), limit, cx.waker())
    }

    /// The action as an operation of a ring.
    pub(super) fn operation(&self, action: A, punt: Option<Punt>, driver: &Handle) -> Op<Ringed<A>> {
        let shard = self.lane.as_ref().map(|lane| lane.shard.index());
        let op = Op::on(driver, shard, Ringed::new(action, punt));
        match self.deadline {
            // The kernel knows nothing of a clock that is paused.
            Some(deadline) if !driver.clock().is_paused() => {
                op.with_limit(deadline.saturating_duration_since(Instant::now()))
            }
            _ => op,
        }
    }

    /// Is the result known, of what the ring is not done with yet?
    fn poll_lent(&mut self) -> Poll<A::Output> {
        let State::Ring(op) = &mut self.state else { return Poll::Pending };
        let Some(done) = op.take_result() else { return Poll::Pending };
        match mem::replace(&mut self.state, State::Over) {
            State::Ring(op) => Poll::Ready(A::lent(op, done)),
            _ => unreachable!("that was seen"),
        }
    }

    /// The ring is done with it.
    pub(super) fn landed(&mut self, action: A, result: io::Result<u32>) -> Poll<Option<Ended<A>>> {
        if matches!(&result, Err(e) if e.kind() == io::ErrorKind::Unsupported && e.raw_os_error().is_none()) {
            // The thread that was to submit it has no ring (any more).
            self.is_refused = true;
            self.state = State::Idle(action);
            return Poll::Ready(None);
        }
        let errno = result.as_ref().err().and_then(io::Error::raw_os_error);
        match errno {
            // Nothing else cancels what somebody waits for, but the end of the runtime.
            Some(libc::ECANCELED) if self.deadline.is_some() => {
                Poll::Ready(self.after(action, Err(timed_out())))
            }
            // A thread of the kernel was called off, in the middle of it.
            Some(libc::EINTR | ERESTARTSYS) if self.is_late() => {
                Poll::Ready(self.after(action, Err(timed_out())))
            }
            Some(libc::EINTR | ERESTARTSYS) if action.is_repeatable() => {
                self.state = State::Idle(action);
                Poll::Ready(None)
            }
            // What is in non-blocking mode is not waited for by every operation.
            Some(libc::EAGAIN) if self.target.can_wait() => self.wait(action),
            _ => Poll::Ready(self.after(action, result)),
        }
    }

    /// As a part of a chain that is over.
    pub(super) fn ended(&mut self) -> A::Output {
        match mem::replace(&mut self.state, State::Over) {
            State::Ended(action, result) => action.complete(result),
            _ => unreachable!("all parts are over"),
        }
    }

    /// Hands the action to the blocking pool.
    fn send_off(&self, action: A) -> State<'a, A> {
        let slot = Arc::new(Mutex::new(Some(action)));
        let theirs = slot.clone();
        let handle = spawn_blocking(move || {
            let Some(mut action) = take(&theirs) else { return Outcome(None) };
            // SAFETY: it is behind a reference until this returns.
            let result = unsafe { action.perform() };
            let result = u32::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result));
            Outcome(Some((action, result)))
        });
        State::Pool(handle, slot)
    }

    /// One step; `None` if another is due.
    pub(super) fn step(&mut self, cx: &mut Context<'_>) -> Poll<Option<Ended<A>>> {
        // In place: most polls find it there.
        if let State::Ring(op) = &mut self.state {
            return match Pin::new(op).poll(cx) {
                Poll::Ready((action, result)) => self.landed(action, result),
                Poll::Pending => {
                    if self.deadline.is_some() {
                        self.keep_limit(cx);
                    }
                    Poll::Pending
                }
            };
        }
        match mem::replace(&mut self.state, State::Over) {
            State::Idle(action) => self.start(action, cx),
            State::Ring(_) => unreachable!("that was seen to"),
            State::Waiting(action, mut wait) => match wait.as_mut().poll(cx) {
                Poll::Ready(Ok(event)) => {
                    self.event = Some(event);
                    self.state = State::Idle(action);
                    Poll::Ready(None)
                }
                Poll::Ready(Err(e)) => Poll::Ready(self.after(action, Err(e))),
                Poll::Pending if self.expired(cx) => Poll::Ready(self.after(action, Err(timed_out()))),
                Poll::Pending => {
                    self.state = State::Waiting(action, wait);
                    Poll::Pending
                }
            },
            State::Pool(mut handle, slot) => match Pin::new(&mut handle).poll(cx) {
                Poll::Ready(Ok(mut outcome)) => match outcome.0.take() {
                    Some((action, result)) => Poll::Ready(self.after(action, result)),
                    None => unreachable!("whoever takes the action back does not wait"),
                },
                // It never ran, since the runtime is gone, or the action has panicked.
                Poll::Ready(Err(e)) => match take(&slot) {
                    Some(action) => Poll::Ready(self.after(action, Err(e.into()))),
                    None => std::panic::resume_unwind(e.into_panic()),
                },
                Poll::Pending => {
                    if self.expired(cx) {
                        if let Some(action) = take(&slot) {
                            return Poll::Ready(self.after(action, Err(timed_out())));
                        }
                    }
                    self.state = State::Pool(handle, slot);
                    Poll::Pending
                }
            },
            State::Decided(action, result) => Poll::Ready(self.after(action, result)),
            State::Ended(..) | State::Over => panic!("`Request` polled after completion"),
        }
    }
}

/// One that is not on its way is not wanted any more: it took what it has before anything that is
/// kept by now.
pub(super) fn give_back<A: Action>(action: A, result: io::Result<u32>) {
    if !A::TAKES {
        return action.orphan(result, None);
    }
    // What came in parts is counted already.
    let is_counted = result.is_ok() && action.has_partial();
    let result = if is_counted { Err(io::Error::from_raw_os_error(libc::ECANCELED)) } else { result };
    action.give_back(result).put_back();
}

fn take<A>(slot: &Slot<A>) -> Option<A> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).take()
}

pub(super) fn timed_out() -> io::Error {
    io::ErrorKind::TimedOut.into()
}

impl<A: Action> Future for Request<'_, A> {
    type Output = A::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Output> {
        let this = &mut *self;
        this.target.assert_own();
        if let (Some(limit), None) = (this.limit, this.deadline) {
            this.deadline = Instant::now().checked_add(limit);
        }
        loop {
            match this.step(cx) {
                Poll::Ready(Some((action, result))) => return Poll::Ready(action.complete(result)),
                Poll::Ready(None) => {}
                Poll::Pending if A::LENDS => return this.poll_lent(),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<A: Action> Unpin for Request<'_, A> {}

impl<A: Action> Drop for Request<'_, A> {
    fn drop(&mut self) {
        match mem::replace(&mut self.state, State::Over) {
            State::Idle(action) | State::Waiting(action, _) => {
                if A::TAKES && action.has_partial() {
                    give_back(action, Err(io::Error::from_raw_os_error(libc::ECANCELED)));
                }
            }
            State::Ring(op) => {
                if A::TAKES {
                    // From here on nobody reads past it.
                    self.target.orphaned();
                }
                drop(op);
            }
            State::Pool(handle, slot) => {
                // What has not begun does not begin any more.
                drop(take(&slot));
                drop(handle);
            }
            State::Ended(action, result) => give_back(action, result),
            State::Decided(..) | State::Over => {}
        }
    }
}

impl<A: Action> fmt::Debug for Request<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = match self.state {
            State::Idle(_) => "idle",
            State::Ring(_) => "on a ring",
            State::Waiting(..) => "waiting",
            State::Pool(..) => "on the blocking pool",
            State::Decided(..) => "decided",
            State::Ended(..) | State::Over => "over",
        };
        f.debug_struct("Request").field("state", &lane).field("timeout", &self.limit).finish_non_exhaustive()
    }
}
