//! What the wakers of a set's tasks reach.
//!
//! # Safety
//!
//! [`OwnerOnly`] lets `Shared` be shared between threads although it holds values that are not
//! thread-safe. It hands them out after comparing the thread's number with the owner's; numbers
//! are never used twice. It is sound to drop it elsewhere because steps 1 and 2 of the
//! [shutdown](super) leave it empty
//! (a set that is leaked instead of dropped keeps its `Shared` alive).

#![allow(unsafe_code)]

use super::current::Current;
use crate::loom::sync::Mutex;
use crate::runtime::ThreadId;
#[cfg(tokio_unstable)]
use crate::runtime::UnhandledPanic;
use crate::runtime::scheduler::Inject;
use crate::runtime::task::{
    self, JoinHandle, LocalOwnedTasks, Schedule, Task, TaskHarnessScheduleHooks,
};
use crate::util::trace::{self, SpawnMeta};

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::task::Waker;

/// The run queue's initial capacity.
const INITIAL_CAPACITY: usize = 64;

/// What [`CURRENT`](super::current::CURRENT) refers to.
pub(super) struct Context {
    pub(super) shared: Arc<Shared>,
    /// A task panicked, and the set is configured to shut down on that.
    pub(super) unhandled_panic: Cell<bool>,
}

/// What the tasks refer to as their scheduler.
pub(super) struct Shared {
    pub(super) local: OwnerOnly<Local>,
    /// Tasks woken by other threads.
    pub(super) remote: Inject<Arc<Shared>>,
    /// Whoever polled the set last.
    pub(super) waker: WakerCell,
    #[cfg(tokio_unstable)]
    pub(super) unhandled_panic: UnhandledPanic,
}

/// What only the owner's thread touches.
pub(super) struct Local {
    pub(super) queue: RefCell<VecDeque<Notified>>,
    /// Tasks that woke themselves: they wait for the next time the set is polled.
    pub(super) yielded: RefCell<Vec<Notified>>,
    pub(super) owned: LocalOwnedTasks<Arc<Shared>>,
}

pub(super) type Notified = task::Notified<Arc<Shared>>;

impl Context {
    /// Of a new set, which belongs to this thread.
    pub(super) fn new() -> Context {
        Context {
            shared: Arc::new(Shared {
                local: OwnerOnly::new(Local {
                    queue: RefCell::new(VecDeque::with_capacity(INITIAL_CAPACITY)),
                    yielded: RefCell::default(),
                    owned: LocalOwnedTasks::new(),
                }),
                remote: Inject::new(),
                waker: WakerCell::new(),
                #[cfg(tokio_unstable)]
                unhandled_panic: UnhandledPanic::Ignore,
            }),
            unhandled_panic: Cell::new(false),
        }
    }

    #[track_caller]
    pub(super) fn spawn<F>(&self, future: F, meta: SpawnMeta<'_>) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let id = task::Id::next();
        let (future, spawned_at) = trace::task(future, "local", meta, id.as_u64());
        let (handle, notified) =
            self.shared.local().owned.bind(future, self.shared.clone(), id, spawned_at);
        if let Some(notified) = notified {
            self.shared.schedule(notified);
        }
        handle
    }
}

impl Shared {
    /// For callers that are on the owner's thread by construction.
    #[track_caller]
    fn local(&self) -> &Local {
        self.local
            .get()
            .expect("a `LocalSet`'s tasks must not be accessed by another thread")
    }
}

impl Schedule for Arc<Shared> {
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>> {
        self.local().owned.remove(task)
    }

    fn schedule(&self, task: Notified) {
        match self.local.get() {
            Some(local) => {
                local.queue.borrow_mut().push_back(task);
                // A set that is being polled looks at its queue before it returns.
                if !Current::is_polling(self) {
                    self.waker.wake();
                }
            }
            None => {
                // Of a set that was dropped, this queue is closed and the waker is gone.
                self.remote.push(task);
                self.waker.wake();
            }
        }
    }

    fn yield_now(&self, task: Notified) {
        match self.local.get().filter(|_| Current::is_polling(self)) {
            Some(local) => local.yielded.borrow_mut().push(task),
            None => self.schedule(task),
        }
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        // Hooks belong to a runtime; a set may be polled on several.
        TaskHarnessScheduleHooks {
            task_terminate_callback: None,
        }
    }

    #[cfg(tokio_unstable)]
    fn unhandled_panic(&self) {
        match self.unhandled_panic {
            UnhandledPanic::Ignore => {}
            UnhandledPanic::ShutdownRuntime => match Current::get() {
                Some(cx) if Arc::ptr_eq(self, &cx.shared) => {
                    cx.unhandled_panic.set(true);
                    self.local().owned.close_and_shutdown_all();
                }
                _ => unreachable!("a task is polled by its own set"),
            },
        }
    }
}

/// A value that only the thread that made it can reach.
pub(super) struct OwnerOnly<T> {
    owner: ThreadId,
    value: T,
}

// SAFETY: see the module's documentation. References to the value are given out on the owner's
// thread only, and when another thread drops it, it is empty.
unsafe impl<T> Send for OwnerOnly<T> {}
// SAFETY: as above.
unsafe impl<T> Sync for OwnerOnly<T> {}

thread_local! {
    /// Has no destructor, so it is there until the thread's very end.
    static THREAD_ID: ThreadId = ThreadId::next();
}

impl<T> OwnerOnly<T> {
    fn new(value: T) -> OwnerOnly<T> {
        OwnerOnly {
            owner: THREAD_ID.with(|id| *id),
            value,
        }
    }

    /// The value, on the owner's thread.
    #[inline]
    fn get(&self) -> Option<&T> {
        (THREAD_ID.with(|id| *id) == self.owner).then_some(&self.value)
    }

    /// The value.
    ///
    /// # Safety
    ///
    /// The caller must be on the owner's thread.
    #[inline]
    pub(super) unsafe fn get_unchecked(&self) -> &T {
        debug_assert!(self.get().is_some());
        &self.value
    }
}

/// The waker of the last poll, until it is woken.
pub(super) struct WakerCell(Mutex<Option<Waker>>);

impl WakerCell {
    fn new() -> WakerCell {
        WakerCell(Mutex::new(None))
    }

    /// Replaces the waker.
    pub(super) fn register(&self, waker: &Waker) {
        if matches!(&*self.0.lock(), Some(old) if old.will_wake(waker)) {
            return;
        }
        // Clone and drop are foreign code: not under the lock.
        let new = waker.clone();
        let old = self.0.lock().replace(new);
        drop(old);
    }

    /// Wakes and forgets the waker.
    pub(super) fn wake(&self) {
        let waker = self.0.lock().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Forgets the waker.
    pub(super) fn clear(&self) {
        let waker = self.0.lock().take();
        drop(waker);
    }
}
