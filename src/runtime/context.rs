//! What the current thread knows about the runtime.
//!
//! Four things are kept per thread: the *current handle* (which runtime `spawn`,
//! sockets and timers mean; nests through [`SetCurrentGuard`]), the *scheduler
//! context* (present only while this thread drives a scheduler), the id of the task
//! being polled, and whether the thread is *entered*, that is, blocked inside a
//! `block_on` or a worker loop.
//!
//! Entering also enters the published Tokio's own context, see [`host`]: its `sync`
//! and `io` halves, which this crate re-exports, look there for the cooperative budget
//! and for "may this thread block?".
//!
//! # Safety
//!
//! `Scoped` stores a pointer to a value on the stack of the function that set it; it
//! is only dereferenced between `set` and the end of that call, on the same thread.
#![allow(unsafe_code)]

mod blocking;
mod host;
#[cfg(all(tokio_unstable, feature = "taskdump"))]
mod traced;

pub(crate) use blocking::{BlockingRegionGuard, disallow_block_in_place, try_enter_blocking_region};
#[cfg(tokio_unstable)]
pub(crate) use host::HostBuilder;
pub(crate) use host::{Host, HostOwner, block_outside, budget, nested_budget};
#[cfg(feature = "interop")]
pub(crate) use host::{handle as host_handle, has_drivers as host_has_drivers};
#[cfg(all(tokio_unstable, feature = "taskdump"))]
pub(crate) use traced::traced;

use crate::driver::THREAD_LOCAL_DESTROYED_ERROR;
#[cfg(feature = "fs")]
use crate::runtime::task;
use crate::runtime::task::Id;
use crate::runtime::{Home, TryCurrentError, scheduler};

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::ptr;
use std::sync::Arc;
use std::task::Waker;

#[derive(Clone, Copy, Debug)]
enum Entered {
    Not,
    Yes { allow_block_in_place: bool },
}

struct Context {
    current: RefCell<Option<scheduler::Handle>>,
    /// How many `SetCurrentGuard`s are alive; they must be dropped in reverse order.
    depth: Cell<usize>,
    scheduler: Scoped<scheduler::Context>,
    current_task_id: Cell<Option<Id>>,
    entered: Cell<Entered>,
    /// A `LocalSet` runs tasks here for somebody who is not the scheduler.
    foreign_set: Cell<bool>,
    rng: Cell<u64>,
}

thread_local! {
    static CONTEXT: Context = const {
        Context {
            current: RefCell::new(None),
            depth: Cell::new(0),
            scheduler: Scoped { inner: Cell::new(ptr::null()) },
            current_task_id: Cell::new(None),
            entered: Cell::new(Entered::Not),
            foreign_set: Cell::new(false),
            rng: Cell::new(0),
        }
    };
}

/// Restores the previous current handle when dropped.
#[derive(Debug)]
#[must_use]
pub(crate) struct SetCurrentGuard {
    /// `None` if it was the same, which an outer guard has set.
    previous: Option<Option<scheduler::Handle>>,
    depth: usize,
    /// `Sync` but not `Send`: the guard belongs to this thread.
    _not_send: PhantomData<NotSend>,
}

#[derive(Debug)]
struct NotSend(#[allow(dead_code)] *mut ());
// SAFETY: the marker has no contents; it only takes `Send` away from its holder.
unsafe impl Sync for NotSend {}

/// Makes `handle` the current one; `None` while the thread's locals are being destroyed.
pub(crate) fn try_set_current(handle: &scheduler::Handle) -> Option<SetCurrentGuard> {
    CONTEXT.try_with(|cx| cx.set_current(handle)).ok()
}

/// Calls `f` with the current handle.
pub(crate) fn with_current<R>(f: impl FnOnce(&scheduler::Handle) -> R) -> Result<R, TryCurrentError> {
    let mut f = Some(f);
    let call = |handle: &scheduler::Handle| f.take().map(|f| f(handle));
    match CONTEXT.try_with(|cx| cx.current.borrow().as_ref().and_then(call)) {
        Ok(Some(result)) => Ok(result),
        Ok(None) => match f {
            Some(f) => on_hosts_thread(f),
            None => unreachable!("a call has a result"),
        },
        Err(_destroyed) => Err(TryCurrentError::new_thread_local_destroyed()),
    }
}

/// Calls `f` with the runtime that this thread's host serves, for a thread that has entered none.
#[cold]
fn on_hosts_thread<R>(f: impl FnOnce(&scheduler::Handle) -> R) -> Result<R, TryCurrentError> {
    match host::served() {
        Some(handle) => Ok(f(&handle)),
        None if host::is_hosts_own() => Err(TryCurrentError::new_foreign_task()),
        None => Err(TryCurrentError::new_no_context()),
    }
}

/// Runs `f` with this thread entered into the runtime of `handle`.
///
/// # Panics
///
/// If the thread is already driving a runtime (ours or the published Tokio's).
#[track_caller]
pub(crate) fn enter_runtime<F, R>(handle: &scheduler::Handle, allow_block_in_place: bool, f: F) -> R
where
    F: FnOnce(&mut BlockingRegionGuard) -> R,
{
    let _current = set_current(handle);
    enter_current(handle, allow_block_in_place, f)
}

/// The same for an `f` that gets `future`. That is dropped when the thread has left the runtime, which is its current one
/// even then.
#[track_caller]
pub(crate) fn enter_runtime_with<F, R>(
    handle: &scheduler::Handle,
    allow_block_in_place: bool,
    future: F,
    f: impl FnOnce(&mut BlockingRegionGuard, Pin<&mut F>) -> R,
) -> R {
    let _current = set_current(handle);
    let future = pin!(future);
    enter_current(handle, allow_block_in_place, |blocking| f(blocking, future))
}

#[track_caller]
fn set_current(handle: &scheduler::Handle) -> SetCurrentGuard {
    match try_set_current(handle) {
        Some(guard) => guard,
        None => panic!("{THREAD_LOCAL_DESTROYED_ERROR}"),
    }
}

/// The thread's current runtime is that of `handle`.
#[track_caller]
fn enter_current<R>(
    handle: &scheduler::Handle,
    allow_block_in_place: bool,
    f: impl FnOnce(&mut BlockingRegionGuard) -> R,
) -> R {
    handle.driver().assert_own();
    let guard = CONTEXT.with(|cx| match cx.entered.get() {
        Entered::Yes { .. } => None,
        Entered::Not => {
            cx.entered.set(Entered::Yes { allow_block_in_place });
            Some(EnterGuard)
        }
    });

    let Some(_guard) = guard else {
        panic!(
            "Cannot start a runtime from within a runtime. This happens because a function (like \
             `block_on`) attempted to block the current thread while the thread is being used to \
             drive asynchronous tasks. If you are in an async function, use `.await` on the \
             future instead of blocking on it."
        );
    };

    host::of(handle).run_inside(|| f(&mut BlockingRegionGuard::new()))
}

/// To be called by a thread of a runtime every now and then, and when it is about to sleep: see [`host`].
#[inline]
pub(crate) fn see_to_host() {
    // Without a context there is no host.
    let _ = with_current(host::see_to_tasks);
}

/// The same for a thread that sleeps outside of the drivers.
#[inline]
pub(crate) fn see_to_host_of_sleeper() {
    let _ = with_current(host::see_to_sleeper);
}

/// Leaves the runtime for the duration of `f` (`block_in_place`), here and in the host.
pub(crate) fn exit_runtime<R>(f: impl FnOnce() -> R) -> R {
    struct Restore(Entered);
    impl Drop for Restore {
        fn drop(&mut self) {
            CONTEXT.with(|cx| cx.entered.set(self.0));
        }
    }

    let was = CONTEXT.with(|cx| cx.entered.replace(Entered::Not));
    debug_assert!(matches!(was, Entered::Yes { .. }));
    let _restore = Restore(was);
    // A task that blocks in tracing mode does it under a scheduler that has no other task.
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    if traced::is_traced() {
        return f();
    }
    host::blocking(f)
}

/// Counts a poll that used its budget up.
#[cfg(any(tokio_unstable, feature = "metrics"))]
fn used_up_budget() {
    // Without a context nobody can ask for the count.
    let _ = with_current(|handle| handle.scheduler_metrics().inc_budget_forced_yield_count());
}

/// Is this thread inside a runtime, and if so may it call `block_in_place`?
pub(crate) fn block_in_place_allowed() -> Option<bool> {
    CONTEXT
        .try_with(|cx| match cx.entered.get() {
            Entered::Not => None,
            Entered::Yes { allow_block_in_place } => Some(allow_block_in_place),
        })
        .unwrap_or_default()
}

/// Wakes `waker` once the scheduler has run what else is ready; at once outside of one.
#[track_caller]
pub(crate) fn defer(waker: &Waker) {
    with_scheduler(|scheduler| match scheduler {
        Some(scheduler) => scheduler.defer(waker),
        None => waker.wake_by_ref(),
    });
}

/// The index of the worker that this thread is.
#[allow(dead_code)]
pub(crate) fn worker_index() -> Option<usize> {
    // The thread may be another runtime's worker that has entered this one.
    let is_own =
        |scheduler: &scheduler::Context| with_current(|current| scheduler.is_of(current)).unwrap_or(false);
    with_scheduler(|scheduler| scheduler.filter(|s| is_own(s)).and_then(|s| s.worker_index()))
}

/// Whom futures to be bound to the current shard's thread have to wait for: that thread is not the
/// current one.
pub(super) fn absent_home() -> Option<Arc<Home>> {
    with_scheduler(|scheduler| scheduler.and_then(|s| s.absent_home()))
}

/// Makes `v` the scheduler context while `f` runs.
pub(crate) fn set_scheduler<R>(v: &scheduler::Context, f: impl FnOnce() -> R) -> R {
    CONTEXT.with(|cx| cx.scheduler.set(v, f))
}

/// Calls `f` with the scheduler this thread drives, if it drives one *right now*
/// (inside `block_in_place` it does not).
#[track_caller]
pub(crate) fn with_scheduler<R>(f: impl FnOnce(Option<&scheduler::Context>) -> R) -> R {
    let mut f = Some(f);
    CONTEXT
        .try_with(|cx| {
            let f = f.take().expect("called once");
            match cx.entered.get() {
                Entered::Yes { .. } => cx.scheduler.with(f),
                Entered::Not => f(None),
            }
        })
        .unwrap_or_else(|_| (f.take().expect("not called yet"))(None))
}

/// Does a poll with `waker` come from this thread's scheduler, through nobody who could keep the thread?
/// Then the driver of this thread will be turned after it. In doubt the answer is no: wakers of other
/// executors (`futures::executor::block_on`) and of collections that have wakers of their own
/// (`FuturesUnordered`) are not known here.
#[cfg(feature = "fs")]
pub(crate) fn is_driven(waker: &Waker) -> bool {
    if CONTEXT.try_with(|cx| cx.foreign_set.get()).unwrap_or(true) {
        return false;
    }
    with_scheduler(|scheduler| match scheduler {
        None => false,
        Some(scheduler) => {
            current_task_id().is_some_and(|id| task::is_waker_of(waker, id)) || scheduler.is_waker_of(waker)
        }
    })
}

/// Runs `f`, which polls the tasks of a `LocalSet` that was polled with `waker`.
#[cfg(feature = "fs")]
pub(crate) fn nested_set<R>(waker: &Waker, f: impl FnOnce() -> R) -> R {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            let _ = CONTEXT.try_with(|cx| cx.foreign_set.set(self.0));
        }
    }

    let is_foreign = !is_driven(waker);
    let _restore = Restore(CONTEXT.try_with(|cx| cx.foreign_set.replace(is_foreign)).unwrap_or(true));
    f()
}

/// Nobody asks.
#[cfg(not(feature = "fs"))]
pub(crate) fn nested_set<R>(_: &Waker, f: impl FnOnce() -> R) -> R {
    f()
}

pub(crate) fn set_current_task_id(id: Option<Id>) -> Option<Id> {
    CONTEXT.try_with(|cx| cx.current_task_id.replace(id)).unwrap_or_default()
}

pub(crate) fn current_task_id() -> Option<Id> {
    CONTEXT.try_with(|cx| cx.current_task_id.get()).unwrap_or_default()
}

/// A number below `n` from a small per-thread generator (xorshift64*); not for secrets.
pub(crate) fn thread_rng_n(n: u32) -> u32 {
    CONTEXT
        .try_with(|cx| {
            let mut x = cx.rng.get();
            if x == 0 {
                x = seed();
            }
            x ^= x >> 12;
            x ^= x << 25;
            x ^= x >> 27;
            cx.rng.set(x);
            let high = (x.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32;
            ((u64::from(high) * u64::from(n)) >> 32) as u32
        })
        .unwrap_or(0)
}

fn seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::thread::current().id()) | 1
}

impl Context {
    fn set_current(&self, handle: &scheduler::Handle) -> SetCurrentGuard {
        let previous = {
            let mut current = self.current.borrow_mut();
            let is_same = current.as_ref().is_some_and(|current| current.is_same(handle));
            (!is_same).then(|| current.replace(handle.clone()))
        };
        let depth = self.depth.get().checked_add(1).expect("reached max `enter` depth");
        self.depth.set(depth);
        SetCurrentGuard { previous, depth, _not_send: PhantomData }
    }
}

impl Drop for SetCurrentGuard {
    fn drop(&mut self) {
        let mine = CONTEXT.with(|cx| {
            if cx.depth.get() != self.depth {
                if std::thread::panicking() {
                    // The context stays odd, but a second panic would abort.
                    return None;
                }
                panic!(
                    "`EnterGuard` values dropped out of order. Guards returned by \
                     `tokio::runtime::Handle::enter()` must be dropped in the reverse order as \
                     they were acquired."
                );
            }
            cx.depth.set(self.depth - 1);
            self.previous.take().and_then(|previous| cx.current.replace(previous))
        });
        // Outside the borrow: this may be the last reference to a runtime's handle.
        drop(mine);
    }
}

struct EnterGuard;

impl Drop for EnterGuard {
    fn drop(&mut self) {
        CONTEXT.with(|cx| {
            debug_assert!(matches!(cx.entered.get(), Entered::Yes { .. }));
            cx.entered.set(Entered::Not);
        });
    }
}

/// A thread-local reference that is valid for the duration of one call.
struct Scoped<T> {
    inner: Cell<*const T>,
}

impl<T> Scoped<T> {
    fn set<R>(&self, value: &T, f: impl FnOnce() -> R) -> R {
        struct Reset<'a, T> {
            cell: &'a Cell<*const T>,
            previous: *const T,
        }
        impl<T> Drop for Reset<'_, T> {
            fn drop(&mut self) {
                self.cell.set(self.previous);
            }
        }

        let _reset = Reset { cell: &self.inner, previous: self.inner.replace(value) };
        f()
    }

    fn with<R>(&self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // SAFETY: the pointer is null or was set by a `set` that has not returned yet, on
        // this thread, so the value it borrows is alive for the whole of this call.
        f(unsafe { self.inner.get().as_ref() })
    }
}
