//! A worker's run queue: a bounded ring that one thread pushes to and any thread pops from,
//! and a slot for the task woken last.
//!
//! # Protocol
//!
//! - Only the owner writes `tail` and the slots between `tail` and `head + CAPACITY`; a task is
//!   published by the release store of `tail`.
//! - Whoever takes tasks first copies their pointers out, then moves `head` over them with one
//!   compare-exchange. If that fails another thread was faster, and the copies mean nothing. The
//!   owner does not overwrite a slot before it has seen `head` move past it, so copies that count
//!   were not overwritten. `head` and `tail` are 64 bits wide and never come round again.
//! - The **LIFO slot** is a single pointer that owner and thieves swap: a task that was stuck in
//!   the slot of a blocked worker is stolen like any other.
//!
//! # Safety
//!
//! Slots hold what `Notified::into_ptr` returned. Each pointer is turned back exactly once: by
//! the thread whose compare-exchange (or swap) took it.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ptr::{self, NonNull};

use crate::loom::sync::Arc;
use crate::loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::loom::sync::atomic::{AtomicPtr, AtomicU64};
use crate::runtime::task::Notified;

/// How many tasks a local queue holds.
pub(crate) const CAPACITY: usize = if cfg!(spargio_loom) { 4 } else { 256 };
const MASK: u64 = CAPACITY as u64 - 1;

/// The shared part.
struct Inner {
    head: AtomicU64,
    tail: AtomicU64,
    lifo: AtomicPtr<()>,
    slots: [AtomicPtr<()>; CAPACITY],
}

/// The owner's end.
pub(crate) struct Local<S: 'static> {
    inner: Arc<Inner>,
    _tasks: PhantomData<Notified<S>>,
}

/// Everybody else's end.
pub(crate) struct Steal<S: 'static> {
    inner: Arc<Inner>,
    _tasks: PhantomData<Notified<S>>,
}

// SAFETY: a queue is a container of `Notified`s, which are `Send`; the protocol above makes
// sharing it sound.
unsafe impl<S: 'static> Send for Local<S> {}
// SAFETY: as above.
unsafe impl<S: 'static> Send for Steal<S> {}
// SAFETY: as above.
unsafe impl<S: 'static> Sync for Steal<S> {}

/// A queue's two ends.
pub(crate) fn local<S: 'static>() -> (Steal<S>, Local<S>) {
    let inner = Arc::new(Inner {
        head: AtomicU64::new(0),
        tail: AtomicU64::new(0),
        lifo: AtomicPtr::new(ptr::null_mut()),
        slots: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
    });
    (Steal { inner: inner.clone(), _tasks: PhantomData }, Local { inner, _tasks: PhantomData })
}

impl Inner {
    fn slot(&self, position: u64) -> &AtomicPtr<()> {
        &self.slots[(position & MASK) as usize]
    }

    fn len(&self) -> usize {
        let head = self.head.load(Acquire);
        let tail = self.tail.load(Acquire);
        // `head` was read first: it can't be ahead, but others may have moved it since.
        tail.saturating_sub(head) as usize
    }

    /// Takes the oldest task.
    fn pop(&self) -> Option<NonNull<()>> {
        let mut head = self.head.load(Acquire);
        loop {
            if head >= self.tail.load(Acquire) {
                return None;
            }
            let task = self.slot(head).load(Relaxed);
            match self.head.compare_exchange_weak(head, head + 1, AcqRel, Acquire) {
                Ok(_) => return NonNull::new(task),
                Err(actual) => head = actual,
            }
        }
    }

    fn swap_lifo(&self, task: *mut ()) -> Option<NonNull<()>> {
        NonNull::new(self.lifo.swap(task, AcqRel))
    }

    fn take_lifo(&self) -> Option<NonNull<()>> {
        // A look first: the slot is empty most of the time, and a swap takes the cache line.
        if self.lifo.load(Relaxed).is_null() { None } else { self.swap_lifo(ptr::null_mut()) }
    }
}

/// # Safety
///
/// The caller took `ptr` out of a queue of `Notified<S>`.
unsafe fn task<S: 'static>(ptr: NonNull<()>) -> Notified<S> {
    // SAFETY: it was put in with `into_ptr`, and taken out once.
    unsafe { Notified::from_ptr(ptr) }
}

impl<S: 'static> Local<S> {
    /// Tasks in the ring and in the LIFO slot.
    pub(crate) fn len(&self) -> usize {
        self.inner.len() + usize::from(self.has_lifo())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn has_lifo(&self) -> bool {
        !self.inner.lifo.load(Relaxed).is_null()
    }

    /// How many more tasks the ring takes.
    pub(crate) fn room(&self) -> usize {
        CAPACITY - self.inner.len()
    }

    /// Puts `new` into the LIFO slot and returns what was there.
    pub(crate) fn swap_lifo(&mut self, new: Notified<S>) -> Option<Notified<S>> {
        let old = self.inner.swap_lifo(new.into_ptr().as_ptr());
        // SAFETY: the swap took it.
        old.map(|ptr| unsafe { task(ptr) })
    }

    /// Takes the task in the LIFO slot.
    pub(crate) fn take_lifo(&mut self) -> Option<Notified<S>> {
        // SAFETY: the swap took it.
        self.inner.take_lifo().map(|ptr| unsafe { task(ptr) })
    }

    /// Appends a task. If the ring is full, the older half of it goes to `overflow`, then the
    /// task itself.
    pub(crate) fn push(&mut self, new: Notified<S>, overflow: impl FnOnce(Batch<'_, S>)) {
        let inner = &*self.inner;
        // Only this thread writes `tail`.
        let tail = inner.tail.load(Relaxed);
        loop {
            let head = inner.head.load(Acquire);
            if tail - head < CAPACITY as u64 {
                inner.slot(tail).store(new.into_ptr().as_ptr(), Relaxed);
                inner.tail.store(tail + 1, Release);
                return;
            }
            let half = CAPACITY as u64 / 2;
            let mut taken = [ptr::null_mut(); CAPACITY / 2];
            for (position, copy) in (head..).zip(&mut taken) {
                *copy = inner.slot(position).load(Relaxed);
            }
            if inner.head.compare_exchange(head, head + half, AcqRel, Relaxed).is_ok() {
                overflow(Batch { taken: taken.iter(), last: Some(new), _tasks: PhantomData });
                return;
            }
            // A thief made room.
        }
    }

    /// Takes the oldest task of the ring.
    pub(crate) fn pop(&mut self) -> Option<Notified<S>> {
        // SAFETY: `pop` took it.
        self.inner.pop().map(|ptr| unsafe { task(ptr) })
    }
}

/// Tasks that left a full queue.
pub(crate) struct Batch<'a, S: 'static> {
    taken: std::slice::Iter<'a, *mut ()>,
    last: Option<Notified<S>>,
    _tasks: PhantomData<Notified<S>>,
}

impl<S: 'static> Iterator for Batch<'_, S> {
    type Item = Notified<S>;

    fn next(&mut self) -> Option<Notified<S>> {
        match self.taken.next().and_then(|ptr| NonNull::new(*ptr)) {
            // SAFETY: the compare-exchange in `push` took it, and the iterator yields it once.
            Some(ptr) => Some(unsafe { task(ptr) }),
            None => self.last.take(),
        }
    }
}

impl<S: 'static> Drop for Batch<'_, S> {
    fn drop(&mut self) {
        // A closed injector takes none.
        self.for_each(drop);
    }
}

impl<S: 'static> Steal<S> {
    /// Tasks in the ring.
    pub(crate) fn depth(&self) -> usize {
        self.inner.len()
    }

    /// Tasks in the ring and in the LIFO slot.
    pub(crate) fn len(&self) -> usize {
        self.inner.len() + usize::from(!self.inner.lifo.load(Relaxed).is_null())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Moves half of the tasks (rounded up) to `into`, which must be empty, and returns one of
    /// them to be run at once. The LIFO slot is robbed only if there is nothing else: its task
    /// is likely to be run by its owner next.
    pub(crate) fn steal_into(&self, into: &mut Local<S>) -> Option<(Notified<S>, usize)> {
        let from = &*self.inner;
        let to = &*into.inner;
        let tail = to.tail.load(Relaxed);
        let mut head = from.head.load(Acquire);
        loop {
            let available = from.tail.load(Acquire).saturating_sub(head);
            if available == 0 {
                // SAFETY: the swap took it.
                return from.take_lifo().map(|ptr| (unsafe { task(ptr) }, 1));
            }
            // `into` is empty, but others may still be copying out of it what they will not get.
            let n = (available - available / 2).min(CAPACITY as u64 / 2).min(into.room() as u64);
            if n == 0 {
                return None;
            }
            for i in 0..n {
                to.slot(tail + i).store(from.slot(head + i).load(Relaxed), Relaxed);
            }
            match from.head.compare_exchange(head, head + n, AcqRel, Acquire) {
                Ok(_) => {
                    // The last one is run now; the others become visible in `into`.
                    let last = to.slot(tail + n - 1).load(Relaxed);
                    to.tail.store(tail + n - 1, Release);
                    // SAFETY: the compare-exchange took it, and it was not published.
                    return NonNull::new(last).map(|ptr| (unsafe { task(ptr) }, n as usize));
                }
                Err(actual) => head = actual,
            }
        }
    }
}

impl<S: 'static> Drop for Local<S> {
    fn drop(&mut self) {
        while let Some(task) = self.take_lifo().or_else(|| self.pop()) {
            drop(task);
        }
    }
}
