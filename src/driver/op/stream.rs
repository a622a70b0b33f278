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
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

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
    /// the stream; a few more may have come by then.
    fn enough(&self) -> usize;

    /// See [`Operation::entry`](super::Operation::entry).
    fn entry(&mut self) -> Sqe;

    /// A completion came. Called under a lock, as all of these are: it must not call back.
    fn item(&self, completion: Completion) -> Self::Item;

    /// One came that nobody waits for any more. What is returned is dropped with nothing locked: that
    /// closes what was accepted, gives buffers back.
    fn orphan(&self, completion: Completion) -> Option<Self::Item> {
        Some(self.item(completion))
    }

    /// A result that nobody has asked for yet has something that others need: its bytes are to be kept
    /// elsewhere. The item is dropped with nothing locked.
    fn copy(&self, completion: Completion) -> Result<(Box<[u8]>, Self::Item), Completion> {
        Err(completion)
    }

    /// What [`copy`](Self::copy) has made is asked for.
    fn item_of_copy(&self, _: Box<[u8]>) -> Self::Item {
        unreachable!("nothing was copied")
    }

    /// The same as [`orphan`](Self::orphan) for what `copy` has made of a completion that came `at` some time.
    fn orphan_of_copy(&self, bytes: Box<[u8]>, _at: Option<Instant>) -> Option<Self::Item> {
        Some(self.item_of_copy(bytes))
    }
}

/// The results of an operation that nobody has asked for yet.
pub(crate) trait Results: Send + Sync {
    /// Has up to `most` of them copied, so that what they were in is free for others; returns how many
    /// were.
    fn copy_out(&self, most: usize) -> usize;
}

/// A result, as it waits to be asked for.
enum Arrived {
    Completion(Completion),
    Copy(Box<[u8]>, Option<Instant>),
}

impl Arrived {
    fn item<T: StreamOperation>(self, operation: &T) -> T::Item {
        match self {
            Arrived::Completion(completion) => operation.item(completion),
            Arrived::Copy(bytes, _) => operation.item_of_copy(bytes),
        }
    }

    fn orphan<T: StreamOperation>(self, operation: &T) -> Option<T::Item> {
        match self {
            Arrived::Completion(completion) => operation.orphan(completion),
            Arrived::Copy(bytes, at) => operation.orphan_of_copy(bytes, at),
        }
    }
}

/// The results of a multishot operation, in order.
///
/// How many results wait here is up to who polls and to what bounds the operation (buffers, and
/// [`StreamOperation::enough`]): nothing is dropped.
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
    first: Option<Arrived>,
    /// Empty if there is no first.
    rest: VecDeque<Arrived>,
}

impl Queue {
    fn push(&mut self, completion: Completion) {
        let arrived = Arrived::Completion(completion);
        if self.first.is_none() {
            self.first = Some(arrived);
        } else {
            self.rest.push_back(arrived);
        }
    }

    fn pop(&mut self) -> Option<Arrived> {
        let arrived = self.first.take()?;
        if !self.rest.is_empty() {
            self.first = self.rest.pop_front();
        }
        Some(arrived)
    }

    fn iter_mut(&mut self) -> impl Iterator<Item = &mut Arrived> {
        self.first.iter_mut().chain(&mut self.rest)
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
        if let Some(arrived) = state.queue.pop() {
            // SAFETY: under the lock.
            let operation = unsafe { &*self.shared.operation.get() };
            return Poll::Ready(Some(arrived.item(operation)));
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

    /// Has it ended, and has it nothing to yield any more?
    pub(crate) fn is_over(&self) -> bool {
        let state = self.shared.state.lock();
        matches!(state.phase, Phase::Landed | Phase::Over) && state.queue.first.is_none()
    }

    /// Its results, for whoever needs what they are in. They go with the stream.
    pub(crate) fn results(&self) -> Weak<dyn Results> {
        let results: Weak<Shared<T>> = Arc::downgrade(&self.shared);
        results
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
        let mut litter = Vec::new();
        while let Some(arrived) = queue.pop() {
            // SAFETY: under the lock.
            litter.extend(arrived.orphan(unsafe { &*self.shared.operation.get() }));
        }
        drop(state);
        drop(litter);
        if let Some(Home { remote, token }) = home {
            uring::cancel(&remote, token);
        }
        drop(waker);
    }
}

impl<T: StreamOperation> Results for Shared<T> {
    fn copy_out(&self, most: usize) -> usize {
        let mut litter = Vec::new();
        let mut state = self.state.lock();
        // SAFETY: under the lock.
        let operation = unsafe { &*self.operation.get() };
        for arrived in state.queue.iter_mut() {
            if litter.len() == most {
                break;
            }
            // Nothing stands for it meanwhile but an empty copy, which needs no memory.
            match mem::replace(arrived, Arrived::Copy(Box::default(), None)) {
                Arrived::Completion(completion) => {
                    let at = completion.at;
                    match operation.copy(completion) {
                        Ok((bytes, item)) => {
                            *arrived = Arrived::Copy(bytes, at);
                            litter.push(item);
                        }
                        Err(completion) => *arrived = Arrived::Completion(completion),
                    }
                }
                copy @ Arrived::Copy(..) => *arrived = copy,
            }
        }
        drop(state);
        litter.len()
    }
}

impl<T: StreamOperation> Shared<T> {
    /// See [`StreamOperation::enough`].
    fn enough(&self, _: &State) -> usize {
        // SAFETY: the state is borrowed, so this is under the lock.
        unsafe { &*self.operation.get() }.enough()
    }

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
        Some(Boarded { entry, limit: None, is_cancelled: state.is_cancelled, is_punted: false })
    }

    fn progress(&self, completion: Completion) -> Landing {
        let mut state = self.state.lock();
        match self.file(&mut state, completion) {
            Ok(()) if !state.is_cancelled && state.queue.len() >= self.enough(&state) => {
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
        let state = self.state.lock();
        // SAFETY: under the lock.
        let litter = unsafe { &*self.operation.get() }.orphan(completion);
        drop(state);
        drop(litter);
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
