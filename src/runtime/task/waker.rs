//! Wakers of tasks: a `Waker` is a reference to the task, nothing else.
//!
//! # Safety
//!
//! The data pointer of every waker made here is a task's header, and every waker except the
//! borrowed one of [`waker_ref`] holds a reference, counted by `clone`.
#![allow(unsafe_code)]

#[cfg(feature = "fs")]
use super::Id;
use super::core::Header;
use super::raw::RawTask;
use crate::util::trace;

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::task::{RawWaker, RawWakerVTable, Waker};

/// A waker that borrows its reference, for the duration of a poll.
pub(super) struct WakerRef<'a> {
    waker: ManuallyDrop<Waker>,
    _borrow: PhantomData<&'a RawTask>,
}

/// Lends the reference that `task` stands for to a waker. Polls that do not clone it save
/// two atomic operations, and clones compare equal to it: there is one vtable only.
pub(super) fn waker_ref(task: &RawTask) -> WakerRef<'_> {
    // SAFETY: the vtable keeps the contract of `RawWaker`, and as the waker is never dropped,
    // the reference it lacks is never given back.
    let waker = unsafe { Waker::from_raw(raw_waker(task.header_ptr())) };
    WakerRef { waker: ManuallyDrop::new(waker), _borrow: PhantomData }
}

impl Deref for WakerRef<'_> {
    type Target = Waker;

    fn deref(&self) -> &Waker {
        &self.waker
    }
}

/// Is `waker` that of the task `id`?
#[cfg(feature = "fs")]
pub(crate) fn is_waker_of(waker: &Waker, id: Id) -> bool {
    // SAFETY: a waker with this vtable is one of this module, so its data is the header of a task, to
    // which it holds or borrows a reference.
    std::ptr::eq(waker.vtable(), &raw const VTABLE) && unsafe { task(waker.data()) }.id() == id
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake_by_ref, drop);

fn raw_waker(header: NonNull<Header>) -> RawWaker {
    RawWaker::new(header.as_ptr().cast(), &VTABLE)
}

/// # Safety
///
/// `data` belongs to a waker of this module.
unsafe fn task(data: *const ()) -> RawTask {
    // SAFETY: such a pointer is never null, and the waker holds or borrows a reference.
    unsafe { RawTask::from_raw(NonNull::new_unchecked(data.cast_mut().cast())) }
}

unsafe fn clone(data: *const ()) -> RawWaker {
    // SAFETY: called by a waker of this module.
    let task = unsafe { task(data) };
    trace::waker_op(task.trailer().spawned_at, "waker.clone");
    task.state().ref_inc();
    raw_waker(task.header_ptr())
}

unsafe fn wake(data: *const ()) {
    // SAFETY: called by a waker of this module, which gives its reference up.
    unsafe {
        let task = task(data);
        trace::waker_op(task.trailer().spawned_at, "waker.wake");
        task.wake();
    }
}

unsafe fn wake_by_ref(data: *const ()) {
    // SAFETY: called by a waker of this module.
    let task = unsafe { task(data) };
    trace::waker_op(task.trailer().spawned_at, "waker.wake_by_ref");
    task.wake_by_ref();
}

unsafe fn drop(data: *const ()) {
    // SAFETY: called by a waker of this module, which gives its reference up.
    unsafe {
        let task = task(data);
        trace::waker_op(task.trailer().spawned_at, "waker.drop");
        task.drop_reference();
    }
}
