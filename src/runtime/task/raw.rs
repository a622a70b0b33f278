//! The thin pointer to a task, and the functions behind it that know the future's type.
//!
//! # Safety
//!
//! A [`RawTask`] is `Copy` and counts nothing. Whoever keeps one holds a reference to the
//! task, or borrows it from somebody who does: that is what makes the safe functions here
//! safe, and what the few places that make a `RawTask` vouch for. Functions that spend a
//! reference or touch the stage are `unsafe`.
#![allow(unsafe_code)]

use super::core::{Cell, Header, Prefix, Stage, Trailer};
use super::harness::swallow;
use super::state::State;
use super::{Id, JoinError, Notified, Schedule, SpawnLocation, Task};
use crate::runtime::context;

use std::future::Future;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::ptr::NonNull;
use std::task::{Context, Poll};

/// A pointer to a task of any type.
#[derive(Clone, Copy)]
pub(crate) struct RawTask {
    ptr: NonNull<Header>,
}

/// What a poll has led to. In the last two cases the output is in its place.
pub(super) enum Polled {
    Pending,
    Ready,
    Panicked,
}

/// The functions that know the type of the future (and of the scheduler, for the layout).
pub(super) struct Vtable {
    /// Polls the future.
    poll: unsafe fn(NonNull<Header>, &mut Context<'_>) -> Polled,
    /// Drops the future and leaves the error of a cancelled task as its output.
    cancel: unsafe fn(NonNull<Header>),
    /// Drops the future or the output. Passes a panic on.
    clear: unsafe fn(NonNull<Header>),
    /// Moves the output to a `Poll<Result<F::Output>>`.
    read_output: unsafe fn(NonNull<Header>, *mut ()),
    /// Makes a `Notified` and gives it to the scheduler.
    schedule: unsafe fn(NonNull<Header>),
    /// Frees the memory.
    dealloc: unsafe fn(NonNull<Header>),
    /// Where the trailer lies, counted from the header.
    trailer_offset: usize,
}

/// Carries the type parameters of a vtable.
struct Typed<F, S>(F, S);

impl<F: Future, S: Schedule> Typed<F, S> {
    const VTABLE: &'static Vtable = &Vtable {
        poll: poll::<F, S>,
        cancel: cancel::<F, S>,
        clear: clear::<F, S>,
        read_output: read_output::<F, S>,
        schedule: schedule::<S>,
        dealloc: dealloc::<F, S>,
        trailer_offset: Cell::<F, S>::TRAILER_OFFSET,
    };
}

impl RawTask {
    /// A new task, with three references.
    pub(super) fn new<F, S>(future: F, scheduler: S, id: Id, spawned_at: SpawnLocation) -> RawTask
    where
        F: Future,
        S: Schedule,
    {
        let trailer = Trailer::new(
            spawned_at,
            #[cfg(tokio_unstable)]
            scheduler.hooks(),
        );
        let cell = Cell::new(future, scheduler, Typed::<F, S>::VTABLE, id, trailer);
        // `from(Box::leak(..))` keeps the permission to reach the whole cell.
        RawTask { ptr: NonNull::from(Box::leak(cell)).cast() }
    }

    /// # Safety
    ///
    /// `ptr` points to a task, and the caller holds (or borrows) a reference to it.
    pub(super) unsafe fn from_raw(ptr: NonNull<Header>) -> RawTask {
        RawTask { ptr }
    }

    pub(super) fn header_ptr(&self) -> NonNull<Header> {
        self.ptr
    }

    pub(super) fn header(&self) -> &Header {
        // SAFETY: there is a reference, so the task is alive.
        unsafe { self.ptr.as_ref() }
    }

    pub(super) fn state(&self) -> &State {
        &self.header().state
    }

    pub(super) fn id(&self) -> Id {
        self.header().id
    }

    pub(super) fn trailer(&self) -> &Trailer {
        let offset = self.header().vtable.trailer_offset;
        // SAFETY: the task is alive, and the pointer was made from one to the whole cell, in
        // which the trailer lies at this offset.
        unsafe { self.ptr.byte_add(offset).cast().as_ref() }
    }

    /// # Safety
    ///
    /// `S` is the type of the task's scheduler.
    pub(super) unsafe fn scheduler<S>(&self) -> &S {
        // SAFETY: the task is alive and begins with this prefix.
        unsafe { &self.ptr.cast::<Prefix<S>>().as_ref().scheduler }
    }

    /// Polls the future.
    ///
    /// # Safety
    ///
    /// The caller has set `RUNNING`, and the future is in its place.
    pub(super) unsafe fn poll_future(self, cx: &mut Context<'_>) -> Polled {
        // SAFETY: by contract.
        unsafe { (self.header().vtable.poll)(self.ptr, cx) }
    }

    /// Drops the future and leaves the error of a cancelled task as its output.
    ///
    /// # Safety
    ///
    /// The caller has set `RUNNING`, and the future is in its place.
    pub(super) unsafe fn cancel_future(self) {
        // SAFETY: by contract.
        unsafe { (self.header().vtable.cancel)(self.ptr) }
    }

    /// Drops the output, and swallows its panics.
    ///
    /// # Safety
    ///
    /// The task is complete and the output is the caller's.
    pub(super) unsafe fn drop_output(self) {
        // SAFETY: by contract.
        swallow(|| unsafe { (self.header().vtable.clear)(self.ptr) });
    }

    /// Moves the output to `dst`.
    ///
    /// # Safety
    ///
    /// The task is complete, the output is the caller's, and `T` is its type.
    pub(super) unsafe fn read_output<T>(self, dst: &mut Poll<super::Result<T>>) {
        let dst: *mut Poll<super::Result<T>> = dst;
        // SAFETY: by contract.
        unsafe { (self.header().vtable.read_output)(self.ptr, dst.cast()) }
    }

    /// Gives the scheduler a `Notified`.
    ///
    /// # Safety
    ///
    /// `NOTIFIED` was set for it, and a reference for it was counted. The caller holds
    /// another one, as the scheduler may drop the `Notified` at once.
    pub(super) unsafe fn schedule(self) {
        // SAFETY: by contract.
        unsafe { (self.header().vtable.schedule)(self.ptr) }
    }

    /// Gives a reference back.
    ///
    /// # Safety
    ///
    /// The reference is the caller's, who does not use it any more.
    pub(super) unsafe fn drop_reference(self) {
        if self.state().ref_dec(1) {
            // SAFETY: it was the last one.
            unsafe { self.dealloc() }
        }
    }

    /// Frees the memory.
    ///
    /// # Safety
    ///
    /// There is no reference left.
    pub(super) unsafe fn dealloc(self) {
        // SAFETY: by contract.
        unsafe { (self.header().vtable.dealloc)(self.ptr) }
    }
}

/// Tells user code which task it belongs to.
struct CurrentId(Option<Id>);

impl CurrentId {
    fn enter(id: Id) -> CurrentId {
        CurrentId(context::set_current_task_id(Some(id)))
    }
}

impl Drop for CurrentId {
    fn drop(&mut self) {
        context::set_current_task_id(self.0);
    }
}

// ===== what the vtable points to; the contracts are those of `RawTask`'s functions =====

unsafe fn poll<F: Future, S>(ptr: NonNull<Header>, cx: &mut Context<'_>) -> Polled {
    // SAFETY: the vtable belongs to a cell of this type.
    let cell = unsafe { ptr.cast::<Cell<F, S>>().as_ref() };
    let id = cell.header().id;

    let result = catch_unwind(AssertUnwindSafe(|| {
        let _id = CurrentId::enter(id);
        let drop_future = DropFutureOnUnwind(cell);
        // SAFETY: `RUNNING` is ours by contract, and so the stage.
        let polled = unsafe { poll_stage(cell, cx) };
        mem::forget(drop_future);
        match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(output) => Poll::Ready(finish(cell, output)),
        }
    }));

    let (polled, output) = match result {
        Ok(Poll::Pending) => return Polled::Pending,
        Ok(Poll::Ready(Ok(output))) => (Polled::Ready, Ok(output)),
        Ok(Poll::Ready(Err(panic))) | Err(panic) => (Polled::Panicked, Err(JoinError::panic(id, panic))),
    };
    // SAFETY: `RUNNING` is ours, and both ways to get here have dropped the future.
    unsafe { cell.store_output(output) };
    polled
}

/// # Safety
///
/// The caller has exclusive access to the stage.
unsafe fn poll_stage<F: Future, S>(cell: &Cell<F, S>, cx: &mut Context<'_>) -> Poll<F::Output> {
    // SAFETY: exclusive access by contract.
    cell.stage.with_mut(|stage| match unsafe { &mut *stage } {
        // SAFETY: the future is pinned: its cell stays where it is on the heap, and the future
        // is dropped in place.
        Stage::Future(future) => unsafe { Pin::new_unchecked(future) }.poll(cx),
        _ => unreachable!("polled a task without a future"),
    })
}

/// Drops a future that is done. If its destructor panics, the output goes with it.
fn finish<F: Future, S, T>(cell: &Cell<F, S>, output: T) -> std::thread::Result<T> {
    // SAFETY: called from `poll`, with the stage in its hands.
    match catch_unwind(AssertUnwindSafe(|| unsafe { cell.clear() })) {
        Ok(()) => Ok(output),
        Err(panic) => {
            swallow(|| drop(output));
            Err(panic)
        }
    }
}

/// Drops the future of a poll that panics, while it still unwinds: destructors shall see
/// `std::thread::panicking()`. A second panic is swallowed; unwinding out of a destructor
/// would abort the process.
struct DropFutureOnUnwind<'a, F: Future, S>(&'a Cell<F, S>);

impl<F: Future, S> Drop for DropFutureOnUnwind<'_, F, S> {
    fn drop(&mut self) {
        // SAFETY: made in `poll`, with the stage in its hands.
        swallow(|| unsafe { self.0.clear() });
    }
}

unsafe fn cancel<F: Future, S>(ptr: NonNull<Header>) {
    // SAFETY: the vtable belongs to a cell of this type.
    let cell = unsafe { ptr.cast::<Cell<F, S>>().as_ref() };
    let id = cell.header().id;
    // SAFETY: `RUNNING` is ours by contract, and so the stage.
    let error = match catch_unwind(AssertUnwindSafe(|| unsafe { clear::<F, S>(ptr) })) {
        Ok(()) => JoinError::cancelled(id),
        Err(panic) => JoinError::panic(id, panic),
    };
    // SAFETY: as above; the future is gone.
    unsafe { cell.store_output(Err(error)) };
}

unsafe fn clear<F: Future, S>(ptr: NonNull<Header>) {
    // SAFETY: the vtable belongs to a cell of this type; exclusive access by contract.
    unsafe {
        let cell = ptr.cast::<Cell<F, S>>().as_ref();
        let _id = CurrentId::enter(cell.header().id);
        cell.clear();
    }
}

unsafe fn read_output<F: Future, S>(ptr: NonNull<Header>, dst: *mut ()) {
    // SAFETY: the vtable belongs to a cell of this type, and `dst` to its output, by contract.
    unsafe {
        let output = ptr.cast::<Cell<F, S>>().as_ref().take_output();
        *dst.cast::<Poll<super::Result<F::Output>>>() = Poll::Ready(output);
    }
}

unsafe fn schedule<S: Schedule>(ptr: NonNull<Header>) {
    // SAFETY: the vtable belongs to a task of this scheduler; the reference was counted, by
    // contract, and the caller's own keeps the scheduler alive during the call.
    unsafe {
        let raw = RawTask::from_raw(ptr);
        raw.scheduler::<S>().schedule(Notified(Task::new(raw)));
    }
}

unsafe fn dealloc<F: Future, S>(ptr: NonNull<Header>) {
    let cell = ptr.cast::<Cell<F, S>>();

    #[cfg(spargio_loom)]
    // SAFETY: not freed yet. Tells loom that from here on access is exclusive.
    unsafe {
        cell.as_ref().stage.with_mut(|_| ());
        cell.as_ref().trailer.replace_join_waker(None);
    }

    // SAFETY: it was made by `Box::new`, and there is no reference left, by contract. Another
    // thread may still be inside the atomic operation with which it gave its reference up,
    // which is fine: it does not look at the memory again.
    drop(unsafe { Box::from_raw(cell.as_ptr()) });
}
