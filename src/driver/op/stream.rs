//! An operation with many results (multishot).
//!
//! # Safety
//!
//! As for [`single`](super::single), except that the operation is looked at, through `&`, while it
//! flies: the kernel only reads what it points to (its results are in the completions and in buffers
//! that these name). Both that and the entry's making happen under the lock.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use super::{Boarded, Completion, Flight, Home, Landing, Phase, note_waker};
use crate::driver::{Handle, uring};
use crate::loom::sync::Mutex;
use crate::sys::uring::{Ring, Sqe, Token};
use crate::util::leaf;

/// Something for a ring to do again and again, until it is cancelled or fails.
///
/// # Safety
///
/// As for [`Operation`](super::Operation); and the kernel must not write to what `self` owns.
pub(crate) unsafe trait StreamOperation: Send + 'static {
    /// What the stream yields.
    type Item;

    /// So many results may wait for somebody to poll. With them the operation is cancelled, which ends
    /// the stream; a few more may have come by then. For what nothing else bounds.
    const ENOUGH: usize = usize::MAX;

    /// See [`Operation::entry`](super::Operation::entry).
    fn entry(&mut self) -> Sqe;

    /// A completion came. Called under a lock: it must not call back.
    fn item(&self, completion: Completion) -> Self::Item;

    /// One came that nobody waits for any more: closes what was accepted, gives buffers back.
    fn orphan(&self, completion: Completion) {
        drop(self.item(completion));
    }
}

/// The results of a multishot operation, in order.
///
/// How many results wait here is up to who polls and to what bounds the operation (buffers, or
/// [`StreamOperation::ENOUGH`]): nothing is dropped.
///
/// It ends with the operation; whoever wants more starts a new one. Dropping it cancels.
#[must_use = "an operation does nothing unless polled"]
pub(crate) struct OpStream<T: StreamOperation> {
    shared: Arc<Shared<T>>,
    driver: Handle,
}

struct Shared<T> {
    state: Mutex<State>,
    operation: UnsafeCell<T>,
}

struct State {
    phase: Phase,
    waker: Option<Waker>,
    is_abandoned: bool,
    is_cancelled: bool,
    queue: Queue,
}

/// Results nobody has taken yet. There is one as a rule, which needs no other memory than this.
#[derive(Default)]
struct Queue {
    first: Option<Completion>,
    /// Empty if there is no first.
    rest: VecDeque<Completion>,
}

impl Queue {
    fn push(&mut self, completion: Completion) {
        if self.first.is_none() {
            self.first = Some(completion);
        } else {
            self.rest.push_back(completion);
        }
    }

    fn pop(&mut self) -> Option<Completion> {
        let completion = self.first.take()?;
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        Some(completion)
    }

    fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.rest.len()
    }
}

// SAFETY: the operation is only looked at or changed under the lock.
unsafe impl<T: Send> Sync for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<T> {}

impl<T: StreamOperation> OpStream<T> {
    pub(crate) fn new(driver: &Handle, operation: T) -> OpStream<T> {
        let state = State {
            phase: Phase::Fresh,
            waker: None,
            is_abandoned: false,
            is_cancelled: false,
            queue: Queue::default(),
        };
        let shared = Shared { state: Mutex::new(state), operation: UnsafeCell::new(operation) };
        OpStream { shared: Arc::new(shared), driver: driver.clone() }
    }

    /// The next result; `None` when there will be none any more.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        ready!(leaf::trace_leaf(cx));
        let mut state = self.shared.state.lock();
        if matches!(state.phase, Phase::Fresh) {
            state.phase = Phase::Queued;
            state.waker = Some(cx.waker().clone());
            drop(state);
            self.driver.launch(self.shared.clone());
            state = self.shared.state.lock();
        }
        if let Some(completion) = state.queue.pop() {
            // SAFETY: under the lock.
            let operation = unsafe { &*self.shared.operation.get() };
            return Poll::Ready(Some(operation.item(completion)));
        }
        match state.phase {
            Phase::Landed | Phase::Over => {
                state.phase = Phase::Over;
                Poll::Ready(None)
            }
            Phase::Fresh | Phase::Queued | Phase::Flying(_) => {
                note_waker(&mut state.waker, cx.waker());
                Poll::Pending
            }
        }
    }

    /// How many results wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shared.state.lock().queue.len()
    }

    /// Asks for the end. What has come, and what comes before the end, is still yielded.
    #[cfg(test)]
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
}

impl<T: StreamOperation> Drop for OpStream<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        let waker = state.waker.take();
        let mut queue = mem::take(&mut state.queue);
        state.is_abandoned = true;
        state.is_cancelled = true;
        let home = state.phase.home();
        while let Some(completion) = queue.pop() {
            // SAFETY: under the lock.
            unsafe { &*self.shared.operation.get() }.orphan(completion);
        }
        drop(state);
        if let Some(Home { remote, token }) = home {
            uring::cancel(&remote, token);
        }
        drop(waker);
    }
}

impl<T: StreamOperation> Shared<T> {
    /// Files a result. `Err` if nobody wants it.
    fn file(&self, state: &mut State, completion: Completion) -> Result<(), Completion> {
        if state.is_abandoned {
            return Err(completion);
        }
        // A cancel that was asked for is no news.
        let is_news = !(state.is_cancelled && is_cancelled(&completion));
        if is_news {
            state.queue.push(completion);
        }
        Ok(())
    }
}

fn is_cancelled(completion: &Completion) -> bool {
    matches!(&completion.result, Err(e) if e.raw_os_error() == Some(libc::ECANCELED))
}

impl<T: StreamOperation> Flight for Shared<T> {
    fn board(&self, home: &Arc<uring::Remote>, _: &mut Ring, token: Token) -> Option<Boarded> {
        let mut state = self.state.lock();
        if state.is_abandoned {
            state.phase = Phase::Over;
            return None;
        }
        state.phase = Phase::Flying(Home { remote: home.clone(), token });
        // SAFETY: under the lock, and the kernel does not know it yet.
        let operation = unsafe { &mut *self.operation.get() };
        let entry = operation.entry().with_token(token);
        Some(Boarded { entry, limit: None, is_cancelled: state.is_cancelled })
    }

    fn progress(&self, completion: Completion) -> Landing {
        let mut state = self.state.lock();
        match self.file(&mut state, completion) {
            Ok(()) if state.queue.len() >= T::ENOUGH && !state.is_cancelled => {
                state.is_cancelled = true;
                Landing::Enough(state.waker.take())
            }
            Ok(()) => Landing::Awaited(state.waker.take()),
            Err(completion) => Landing::Orphaned(completion),
        }
    }

    fn land(&self, completion: Completion) -> Landing {
        let mut state = self.state.lock();
        state.phase = Phase::Landed;
        match self.file(&mut state, completion) {
            Ok(()) => Landing::Awaited(state.waker.take()),
            Err(completion) => Landing::Orphaned(completion),
        }
    }

    fn recall(&self) -> bool {
        let mut state = self.state.lock();
        if state.is_cancelled {
            return false;
        }
        state.phase = Phase::Queued;
        true
    }

    fn orphan(&self, completion: Completion) {
        let _state = self.state.lock();
        // SAFETY: under the lock.
        unsafe { &*self.operation.get() }.orphan(completion);
    }

    fn is_awaited(&self) -> bool {
        !self.state.lock().is_abandoned
    }

    fn holds_clock(&self) -> bool {
        false
    }

    fn is_multishot(&self) -> bool {
        true
    }
}

impl<T: StreamOperation> fmt::Debug for OpStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpStream").field("phase", &self.shared.state.lock().phase).finish_non_exhaustive()
    }
}
