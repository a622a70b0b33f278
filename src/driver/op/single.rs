//! An operation with one result.
//!
//! # Safety
//!
//! The operation lies in an `UnsafeCell` beside its state. Who may touch it follows from the phase
//! (see the [module docs](super)): the future while it is fresh or landed, the owner of the ring that
//! takes it on while it is queued, nobody while it flies. The phase changes under the lock.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use super::{Boarded, Completion, Flight, Home, Landing, Operation, Phase, note_waker};
use crate::driver::{Handle, uring};
use crate::loom::sync::Mutex;
use crate::sys::uring::{Limit, Ring, Sqe, Token};
use crate::util::leaf;

/// The future of an operation; see the [module docs](super).
///
/// It is submitted by the first poll, on the shard whose thread polls. On a thread that drives no
/// shard of the runtime, or another one than it is to go to, that one or some shard is asked to.
///
/// Dropping it cancels the operation; see [`Operation::orphan`].
///
/// # Panics
///
/// If it is polled after it was ready.
#[must_use = "an operation does nothing unless polled"]
pub(crate) struct Op<T: Operation> {
    shared: Arc<Shared<T>>,
    /// What launches it, unless that has been done.
    driver: Option<Handle>,
    /// It was ready, and nothing is left to do.
    is_over: bool,
}

struct Shared<T> {
    state: Mutex<State>,
    /// Taken out when it is over.
    operation: UnsafeCell<Option<T>>,
    /// The time limit, where the kernel reads it when it takes the entry.
    limit: UnsafeCell<Limit>,
    shard: Option<usize>,
}

struct State {
    phase: Phase,
    waker: Option<Waker>,
    /// The future is gone.
    is_abandoned: bool,
    /// A cancel was asked for, by the future or its drop.
    is_cancelled: bool,
    /// It is a part of a [`Chain`](super::Chain).
    is_linked: bool,
    /// As such it was called back by its ring, and the future is to see to it.
    is_recalled: bool,
    /// The result, once it is known.
    completion: Option<Completion>,
    /// It was known before the kernel let go of the buffer.
    is_settled: bool,
    deadline: Option<Instant>,
}

// SAFETY: the phase, which is under a lock, says which one thread may touch the operation; it is sent
// from one to the next.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above. The limit is a number.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: Operation> Op<T> {
    /// `operation`, to be done by a ring of the runtime of `driver`.
    pub(crate) fn new(driver: &Handle, operation: T) -> Op<T> {
        Op::on(driver, None, operation)
    }

    /// The same on the ring of one shard, if one is given.
    pub(crate) fn on(driver: &Handle, shard: Option<usize>, operation: T) -> Op<T> {
        let shared = Shared::new(shard, operation, State::new(Phase::Fresh, None, None));
        Op { shared, driver: Some(driver.clone()), is_over: false }
    }

    /// The same, launched: a poll that finds it fresh would do just that, but has to look. With a
    /// limit as in [`with_limit`](Op::with_limit).
    pub(crate) fn launched(
        driver: &Handle,
        shard: Option<usize>,
        operation: T,
        limit: Option<Duration>,
        waker: &Waker,
    ) -> Op<T> {
        let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
        let state = State::new(Phase::Queued, Some(waker.clone()), deadline);
        let op = Op { shared: Shared::new(shard, operation, state), driver: None, is_over: false };
        driver.launch(op.shared.clone());
        op
    }

    /// Has the kernel cancel it (`LINK_TIMEOUT`) after `limit`, counted from now. It then completes
    /// with `ECANCELED`, or with what it had done by then.
    pub(crate) fn with_limit(self, limit: Duration) -> Op<T> {
        self.shared.state.lock().deadline = Instant::now().checked_add(limit);
        self
    }

    /// Asks for the end. The future still says how it ended, which may be with success.
    pub(crate) fn cancel(&self) {
        let home = {
            let mut state = self.shared.state.lock();
            state.is_cancelled = true;
            state.phase.home()
        };
        if let Some(Home { remote, token }) = home {
            uring::cancel(&remote, token);
        }
    }

    /// The result, if it is known before the operation has landed: what is left is to wait for the buffer,
    /// by further polls, whose output has another result.
    pub(crate) fn take_result(&mut self) -> Option<u32> {
        let mut state = self.shared.state.lock();
        match state.phase {
            Phase::Flying(_) if state.is_settled => state.completion.take()?.result.ok(),
            _ => None,
        }
    }

    /// The output, if it has landed and its ring has let go of it, as is usual by the time the task that
    /// was woken runs: then there is nobody to lock out.
    fn landed_alone(&mut self) -> Option<T::Output> {
        let shared = Arc::get_mut(&mut self.shared)?;
        let state = shared.state.get_mut();
        if !matches!(state.phase, Phase::Landed) {
            return None;
        }
        state.phase = Phase::Over;
        self.is_over = true;
        match (shared.operation.get_mut().take(), state.completion.take()) {
            (Some(operation), Some(completion)) => Some(operation.complete(completion)),
            _ => unreachable!("an operation lands with both, once"),
        }
    }
}

/// As a part of a [`Chain`](super::Chain), which is launched as a whole.
impl<T: Operation> Op<T> {
    /// What the chain is made of. From here on the operation is polled like any other.
    pub(crate) fn link(&self, waker: &Waker) -> Arc<dyn Flight> {
        let mut state = self.shared.state.lock();
        debug_assert!(matches!(state.phase, Phase::Fresh));
        state.phase = Phase::Queued;
        state.is_linked = true;
        state.waker = Some(waker.clone());
        self.shared.clone()
    }

    /// Would a poll be ready? If not, `waker` is woken when it will be.
    pub(crate) fn has_landed(&self, waker: &Waker) -> bool {
        let mut state = self.shared.state.lock();
        if matches!(state.phase, Phase::Landed) {
            return true;
        }
        note_waker(&mut state.waker, waker);
        false
    }

    /// Had it no effect, since its ring had to let go of it? Then it is to be done again.
    pub(crate) fn was_recalled(&self) -> bool {
        self.shared.state.lock().is_recalled
    }
}

impl State {
    fn new(phase: Phase, waker: Option<Waker>, deadline: Option<Instant>) -> State {
        State {
            phase,
            waker,
            is_abandoned: false,
            is_cancelled: false,
            is_linked: false,
            is_recalled: false,
            completion: None,
            is_settled: false,
            deadline,
        }
    }
}

impl<T> Shared<T> {
    fn new(shard: Option<usize>, operation: T, state: State) -> Arc<Shared<T>> {
        Arc::new(Shared {
            state: Mutex::new(state),
            operation: UnsafeCell::new(Some(operation)),
            limit: UnsafeCell::new(Limit::default()),
            shard,
        })
    }

    /// # Safety
    ///
    /// The phase says that the operation is the caller's.
    unsafe fn take(&self) -> Option<T> {
        // SAFETY: the caller's.
        unsafe { (*self.operation.get()).take() }
    }
}

impl<T: Operation> Future for Op<T> {
    type Output = T::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T::Output> {
        ready!(leaf::trace_leaf(cx));
        let this = self.get_mut();
        if let Some(landed) = this.landed_alone() {
            return Poll::Ready(landed);
        }
        let mut state = this.shared.state.lock();
        if let (Phase::Fresh, Some(driver)) = (&state.phase, &this.driver) {
            state.phase = Phase::Queued;
            state.waker = Some(cx.waker().clone());
            drop(state);
            driver.launch(this.shared.clone());
            // If it has landed by now, elsewhere or nowhere, the waker was there.
            return Poll::Pending;
        }
        match state.phase {
            Phase::Landed => {
                state.phase = Phase::Over;
                this.is_over = true;
                let completion = state.completion.take();
                drop(state);
                // SAFETY: it has landed, and this is its future.
                let operation = unsafe { this.shared.take() };
                match (operation, completion) {
                    (Some(operation), Some(completion)) => Poll::Ready(operation.complete(completion)),
                    _ => unreachable!("an operation lands with both, once"),
                }
            }
            Phase::Over => panic!("`Op` polled after completion"),
            Phase::Fresh | Phase::Queued | Phase::Flying(_) => {
                note_waker(&mut state.waker, cx.waker());
                Poll::Pending
            }
        }
    }
}

impl<T: Operation> Drop for Op<T> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.shared.state.lock();
        let waker = state.waker.take();
        state.is_abandoned = true;
        state.is_cancelled = true;
        match mem::replace(&mut state.phase, Phase::Over) {
            Phase::Fresh => {
                drop(state);
                // SAFETY: nobody but this future knew of it.
                drop(unsafe { self.shared.take() });
            }
            Phase::Queued => state.phase = Phase::Queued,
            Phase::Flying(home) => {
                state.phase = Phase::Flying(home.clone());
                let is_settled = state.is_settled;
                drop(state);
                // Nothing is left to cancel otherwise.
                if !is_settled {
                    uring::cancel(&home.remote, home.token);
                }
            }
            Phase::Landed => {
                let completion = state.completion.take();
                drop(state);
                // SAFETY: it has landed, and this is its future.
                if let (Some(operation), Some(completion)) = (unsafe { self.shared.take() }, completion) {
                    operation.orphan(completion);
                }
            }
            Phase::Over => {}
        }
        // With nothing locked: it may be anything.
        drop(waker);
    }
}

impl<T: Operation> Flight for Shared<T> {
    fn board(&self, home: &Arc<uring::Remote>, ring: &mut Ring, token: Token) -> Option<Boarded> {
        let mut state = self.state.lock();
        if state.is_abandoned {
            // It never reached the kernel: it goes with the last reference.
            state.phase = Phase::Over;
            return None;
        }
        state.phase = Phase::Flying(Home { remote: home.clone(), token });
        // SAFETY: it was queued and is this ring's from here on; `entry` is asked before the kernel
        // learns of it.
        let operation = unsafe { &mut *self.operation.get() };
        let operation = operation.as_mut()?;
        let is_punted = operation.is_punted();
        let entry = operation.entry_on(home, ring).with_token(token);
        let limit = state.deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // SAFETY: the kernel reads it while it takes the entry. An earlier one has been taken:
            // its operation was over.
            unsafe {
                if state.is_linked {
                    // It counts while others are done before.
                    *self.limit.get() = Limit::ending_in(left);
                    return Sqe::link_timeout_at(self.limit.get(), token);
                }
                *self.limit.get() = Limit::new(left);
                Sqe::link_timeout(self.limit.get(), token)
            }
        });
        Some(Boarded { entry, limit, is_cancelled: state.is_cancelled, is_punted })
    }

    fn progress(&self, completion: Completion) -> Landing {
        // With an error nothing was taken from the buffer, so the last one is on its way.
        let is_settled = completion.result.is_ok();
        // SAFETY: it flies, and only the owner of its ring comes here. The kernel still reads the buffer, which
        // `settle` leaves alone.
        if let (true, Some(operation)) = (is_settled, unsafe { &mut *self.operation.get() }) {
            operation.settle();
        }
        let mut state = self.state.lock();
        state.completion.get_or_insert(completion);
        state.is_settled = is_settled;
        Landing::Awaited(if is_settled { state.waker.take() } else { None })
    }

    fn land(&self, completion: Completion) -> Landing {
        let mut state = self.state.lock();
        // If there was one before, this one only said that it is over.
        let completion = state.completion.take().unwrap_or(completion);
        if state.is_abandoned {
            state.phase = Phase::Over;
            return Landing::Orphaned(completion);
        }
        state.completion = Some(completion);
        state.phase = Phase::Landed;
        Landing::Awaited(state.waker.take())
    }

    fn recall(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_cancelled || state.is_settled || state.completion.is_some() {
            return false;
        }
        if state.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return false;
        }
        // SAFETY: it is over on the ring of the caller, and not yet known to be.
        let operation = unsafe { &*self.operation.get() };
        let is_repeatable = operation.as_ref().is_some_and(Operation::is_repeatable);
        if state.is_linked {
            // Not by itself.
            state.is_recalled = is_repeatable;
            return false;
        }
        if is_repeatable {
            state.phase = Phase::Queued;
        }
        is_repeatable
    }

    fn orphan(&self, completion: Completion) {
        // SAFETY: it is over, the future is gone, and its ring calls this once.
        if let Some(operation) = unsafe { self.take() } {
            operation.orphan(completion);
        }
    }

    fn is_awaited(&self) -> bool {
        !self.state.lock().is_abandoned
    }

    fn is_settled(&self) -> bool {
        self.state.lock().is_settled
    }

    fn holds_clock(&self) -> bool {
        T::HOLDS_CLOCK
    }

    fn is_multishot(&self) -> bool {
        false
    }

    fn shard(&self) -> Option<usize> {
        self.shard
    }
}

impl<T: Operation> fmt::Debug for Op<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Op").field("phase", &self.shared.state.lock().phase).finish_non_exhaustive()
    }
}
