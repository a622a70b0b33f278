//! How a task lies in memory: one allocation, seen through a thin pointer.
//!
//! ```text
//! Cell<F, S>   header      state word, vtable, id: all that wakers and queues look at
//!              scheduler   S, at an offset that does not depend on the future
//!              stage       the future, then its output, then nothing
//!              trailer     what is needed at birth and at the end only
//! ```
//!
//! Everything but the stage is reached without knowing the future's type: the scheduler
//! through [`Prefix`], the trailer through the offset in the vtable. Only the functions in
//! the vtable (`raw`) know `F`.
//!
//! # Safety
//!
//! Who may touch a field, and when, is written in the documentation of [`super`]. The
//! functions here that access one are `unsafe` and leave it to the caller.
#![allow(unsafe_code)]

use super::raw::Vtable;
use super::state::State;
use super::{Id, SpawnLocation};
use crate::loom::cell::UnsafeCell;
use crate::runtime::ScheduledAt;

use std::future::Future;
use std::num::NonZeroU64;
use std::ptr::{self, NonNull};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Waker;

#[cfg(tokio_unstable)]
use super::TaskHarnessScheduleHooks;

/// The part of a task that is the same for all futures and schedulers.
#[repr(C)]
pub(crate) struct Header {
    pub(super) state: State,

    /// The functions that know the future's type.
    pub(super) vtable: &'static Vtable,

    /// The list the task was bound to, 0 for none. Written once, before the task is shared,
    /// and not reset when it leaves the list. So `Relaxed` will do.
    owner_id: AtomicU64,

    pub(super) id: Id,
}

/// The part of a task that is the same for all futures.
#[repr(C)]
pub(super) struct Prefix<S> {
    header: Header,
    pub(super) scheduler: S,
}

/// A whole task.
///
/// Not aligned to cache lines: allocators serve small alignments from their fast path, and
/// with 64 or 128 a spawn cost about twice as much (glibc, 2 cores), while tasks that lie side
/// by side and are polled by two threads gained nothing. What a task's end shares a line
/// with is its neighbour's header, and its end is the cold trailer.
#[repr(C)]
pub(super) struct Cell<F: Future, S> {
    prefix: Prefix<S>,
    pub(super) stage: UnsafeCell<Stage<F>>,
    pub(super) trailer: Trailer,
}

/// What has become of the future.
///
/// `repr(C)` keeps the discriminant out of the future's niches: reading it must not touch
/// bytes that something else, pinned in a self-referential future, may be writing.
#[repr(C)]
pub(super) enum Stage<F: Future> {
    Future(F),
    Output(super::Result<F::Output>),
    Empty,
}

/// What is needed at birth and at the end only.
pub(super) struct Trailer {
    /// The neighbours in the list of owned tasks. Belongs to the list.
    pub(super) links: UnsafeCell<Links>,

    /// Who awaits the `JoinHandle`.
    join_waker: UnsafeCell<Option<Waker>>,

    #[cfg_attr(not(tokio_unstable), allow(dead_code))]
    pub(super) spawned_at: SpawnLocation,

    /// Belongs to the holder of the `Notified`.
    pub(super) scheduled_at: ScheduledAt,

    #[cfg(tokio_unstable)]
    pub(super) hooks: TaskHarnessScheduleHooks,
}

/// The neighbours of a task in a list.
#[derive(Default)]
pub(super) struct Links {
    pub(super) prev: Option<NonNull<Header>>,
    pub(super) next: Option<NonNull<Header>>,
}

impl<F: Future, S> Cell<F, S> {
    /// Where the trailer lies, counted from the header.
    pub(super) const TRAILER_OFFSET: usize = std::mem::offset_of!(Self, trailer);

    /// Puts a new task together.
    pub(super) fn new(
        future: F,
        scheduler: S,
        vtable: &'static Vtable,
        id: Id,
        trailer: Trailer,
    ) -> Box<Cell<F, S>> {
        Box::new(Cell {
            prefix: Prefix { header: Header::new(vtable, id), scheduler },
            stage: UnsafeCell::new(Stage::Future(future)),
            trailer,
        })
    }

    pub(super) fn header(&self) -> &Header {
        &self.prefix.header
    }

    /// Drops, in place, the future or the output.
    ///
    /// If the destructor panics, the panic is passed on; the stage is empty in any case.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access to the stage.
    pub(super) unsafe fn clear(&self) {
        struct SetEmpty<F: Future>(*mut Stage<F>);

        impl<F: Future> Drop for SetEmpty<F> {
            fn drop(&mut self) {
                // SAFETY: the caller of `clear` has exclusive access, and what was there is
                // dropped, as far as it can be.
                unsafe { ptr::write(self.0, Stage::Empty) }
            }
        }

        self.stage.with_mut(|stage| {
            let _empty = SetEmpty(stage);
            // SAFETY: exclusive access, by contract; `_empty` sees to it that nobody finds
            // the remains.
            unsafe { ptr::drop_in_place(stage) }
        });
    }

    /// Puts the output in its place.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access to the stage, and it is empty.
    pub(super) unsafe fn store_output(&self, output: super::Result<F::Output>) {
        self.stage.with_mut(|stage| {
            // SAFETY: exclusive access by contract. Nothing is lost by not dropping `Empty`.
            unsafe {
                debug_assert!(matches!(*stage, Stage::Empty));
                ptr::write(stage, Stage::Output(output));
            }
        });
    }

    /// Takes the output out.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access to the stage, and the future is no longer in it.
    pub(super) unsafe fn take_output(&self) -> super::Result<F::Output> {
        self.stage.with_mut(|stage| {
            // SAFETY: exclusive access by contract; the future, which is pinned, is gone.
            match std::mem::replace(unsafe { &mut *stage }, Stage::Empty) {
                Stage::Output(output) => output,
                _ => panic!("JoinHandle polled after completion"),
            }
        })
    }
}

impl Header {
    fn new(vtable: &'static Vtable, id: Id) -> Header {
        Header { state: State::new(), vtable, owner_id: AtomicU64::new(0), id }
    }

    /// Binds the task to a list. To be called before it is shared.
    pub(super) fn set_owner_id(&self, owner: NonZeroU64) {
        self.owner_id.store(owner.get(), Relaxed);
    }

    pub(super) fn owner_id(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.owner_id.load(Relaxed))
    }
}

impl Trailer {
    pub(super) fn new(
        spawned_at: SpawnLocation,
        #[cfg(tokio_unstable)] hooks: TaskHarnessScheduleHooks,
    ) -> Trailer {
        Trailer {
            links: UnsafeCell::new(Links::default()),
            join_waker: UnsafeCell::new(None),
            spawned_at,
            scheduled_at: ScheduledAt::never(),
            #[cfg(tokio_unstable)]
            hooks,
        }
    }

    /// Exchanges the join waker. The old one is for the caller to drop, when that is harmless.
    ///
    /// # Safety
    ///
    /// The caller has exclusive access to the join waker.
    pub(super) unsafe fn replace_join_waker(&self, waker: Option<Waker>) -> Option<Waker> {
        // SAFETY: exclusive access by contract.
        self.join_waker.with_mut(|slot| unsafe { std::mem::replace(&mut *slot, waker) })
    }

    /// Calls `f` with the join waker.
    ///
    /// # Safety
    ///
    /// The join waker is published, and the caller may read it.
    pub(super) unsafe fn with_join_waker<R>(&self, f: impl FnOnce(&Waker) -> R) -> R {
        // SAFETY: nobody writes by contract.
        self.join_waker.with(|slot| match unsafe { &*slot } {
            Some(waker) => f(waker),
            None => unreachable!("published without a waker"),
        })
    }
}

#[cfg(all(test, not(spargio_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_header_fits_a_cache_line() {
        assert!(size_of::<Header>() <= 64);
        assert_eq!(std::mem::offset_of!(Prefix<usize>, header), 0);
        assert_eq!(std::mem::offset_of!(Cell<std::future::Ready<()>, usize>, prefix), 0);
    }
}
