//! Futures that stay on the thread that built them, in tasks that may be run anywhere.
//!
//! # Protocol
//!
//! - A [`ThreadBound`] begins as a closure, which is `Send`. Its first poll calls the closure; from
//!   then on the thread of that poll is its **home**, and only that thread touches the future.
//! - Polled elsewhere it leaves its waker at home, once between two times that the home thread wakes
//!   what waits there ([`Home::open`]), and stays pending.
//! - Dropped elsewhere, the future (which is in a box, so that it can move) is left at home.
//!   `open` drops it there. A thread that ends drops what it finds, and closes its home.
//! - What comes to a closed home is leaked: its destructor may run on no other thread. To be polled
//!   without a home is a panic, which becomes the task's output.
//! - A home counts the futures that live there: a worker thread with any does not give its shard
//!   away for good (see `scheduler::sharded::block_in_place`).
//!
//! # Safety
//!
//! `ThreadBound` and `Remains` are `Send` although what is in them is not. Both touch it only after
//! a check that the current thread is the home, which is never another thread's: it is kept in a
//! thread-local variable and compared by address, while an `Arc` keeps the address from being used
//! again.
#![allow(unsafe_code)]

use crate::loom::sync::Mutex;
use crate::util::unwind;

use std::cell::OnceCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

thread_local! {
    static HERE: Resident = const { Resident(OnceCell::new()) };
}

/// The place that the bound futures of one thread belong to.
#[derive(Default)]
pub(crate) struct Home {
    /// How many futures live here. Changed by the home thread only.
    alive: AtomicUsize,
    left: Mutex<Left>,
}

/// What other threads have left.
#[derive(Default)]
struct Left {
    wakers: Vec<Waker>,
    remains: Vec<Remains>,
    /// Counts how often the wakers were taken out.
    round: u64,
    is_closed: bool,
}

/// A note of having left a waker.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Since {
    home: usize,
    round: u64,
}

/// A future that was dropped elsewhere.
struct Remains(Option<Pin<Box<dyn Erased>>>);

trait Erased {}
impl<T: ?Sized> Erased for T {}

// SAFETY: made by `Home::bury`; the home thread takes the future out, nobody else looks at it.
unsafe impl Send for Remains {}

impl Drop for Remains {
    fn drop(&mut self) {
        // Not taken out by the home thread: it has none any more.
        mem::forget(self.0.take());
    }
}

/// A thread's own hold on its home, once it has one.
struct Resident(OnceCell<Arc<Home>>);

impl Drop for Resident {
    fn drop(&mut self) {
        if let Some(home) = self.0.get() {
            home.left.lock().is_closed = true;
            home.serve();
        }
    }
}

impl Home {
    /// This thread's, unless the thread is ending.
    fn here() -> Option<Arc<Home>> {
        HERE.try_with(|here| here.0.get_or_init(Arc::default).clone()).ok()
    }

    fn is_here(&self) -> bool {
        HERE.try_with(|here| here.0.get().is_some_and(|home| std::ptr::eq(&**home, self))).unwrap_or(false)
    }

    /// This thread's, if any future lives there.
    pub(crate) fn occupied() -> Option<Arc<Home>> {
        let here = HERE.try_with(|here| here.0.get().cloned()).ok().flatten();
        here.filter(|home| home.alive.load(Relaxed) > 0)
    }

    /// Drops and wakes what others have left on this thread.
    pub(crate) fn open() {
        let here = HERE.try_with(|here| here.0.get().cloned());
        if let Ok(Some(home)) = here {
            home.serve();
        }
    }

    fn serve(&self) {
        loop {
            let (wakers, remains) = {
                let mut left = self.left.lock();
                left.round += 1;
                (mem::take(&mut left.wakers), mem::take(&mut left.remains))
            };
            if wakers.is_empty() && remains.is_empty() {
                return;
            }
            for mut remains in remains {
                let future = remains.0.take();
                unwind::swallow(|| drop(future));
                self.alive.fetch_sub(1, Relaxed);
            }
            wakers.into_iter().for_each(unwind::wake);
        }
    }

    /// Wakes `waker` when the thread is home again; `false` if it never will be. `since` is the
    /// caller's note of whether it waits already.
    fn wait(&self, waker: &Waker, since: &mut Option<Since>) -> bool {
        let waker = waker.clone();
        let mut left = self.left.lock();
        if left.is_closed {
            return false;
        }
        let now = Since { home: std::ptr::from_ref(self).addr(), round: left.round };
        if since.replace(now) != Some(now) {
            left.wakers.push(waker);
        }
        true
    }

    fn bury(&self, future: Pin<Box<dyn Erased>>) {
        let remains = Remains(Some(future));
        let mut left = self.left.lock();
        if !left.is_closed {
            left.remains.push(remains);
        }
    }
}

/// See the module docs.
pub(crate) struct ThreadBound<B, F: 'static>(State<B, F>);

enum State<B, F: 'static> {
    Unbuilt(B, Option<Since>),
    Bound(Bound<F>),
    Done,
}

struct Bound<F: 'static> {
    home: Arc<Home>,
    /// `None` once it is dropped.
    future: Option<Pin<Box<F>>>,
    /// When it last left its waker at home.
    waits: Option<Since>,
}

// SAFETY: the closure is `Send`; the future is touched at home only.
unsafe impl<B: Send, F: 'static> Send for ThreadBound<B, F> {}
// Neither the closure nor the box is ever pinned.
impl<B, F: 'static> Unpin for ThreadBound<B, F> {}

impl<B, F> ThreadBound<B, F>
where
    B: FnOnce() -> F,
    F: Future + 'static,
{
    pub(crate) fn new(build: B) -> ThreadBound<B, F> {
        ThreadBound(State::Unbuilt(build, None))
    }
}

impl<B, F> Future for ThreadBound<B, F>
where
    B: FnOnce() -> F,
    F: Future + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let state = &mut self.0;
        if let State::Unbuilt(_, waits) = state {
            if let Some(absent) = super::context::absent_home() {
                // The thread that this shard's bound futures live on will be back: this one joins
                // them.
                if absent.wait(cx.waker(), waits) {
                    return Poll::Pending;
                }
            }
            let home = Home::here().expect("a thread that is ending polls no tasks");
            let State::Unbuilt(build, _) = mem::replace(state, State::Done) else {
                unreachable!("just seen")
            };
            let future = Box::pin(build());
            home.alive.fetch_add(1, Relaxed);
            *state = State::Bound(Bound { home, future: Some(future), waits: None });
        }
        match state {
            State::Bound(bound) => bound.poll(cx),
            State::Unbuilt(..) | State::Done => panic!("a future was polled after it had ended"),
        }
    }
}

impl<F: Future + 'static> Bound<F> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.home.is_here() {
            if !self.home.wait(cx.waker(), &mut self.waits) {
                panic!("the thread that a pinned future belongs to has ended");
            }
            return Poll::Pending;
        }
        match &mut self.future {
            Some(future) => future.as_mut().poll(cx),
            None => panic!("a future was polled after it had ended"),
        }
    }
}

impl<F: 'static> Drop for Bound<F> {
    fn drop(&mut self) {
        let Some(future) = self.future.take() else { return };
        if self.home.is_here() {
            // First: the destructor may panic.
            self.home.alive.fetch_sub(1, Relaxed);
            drop(future);
        } else {
            self.home.bury(future);
        }
    }
}
