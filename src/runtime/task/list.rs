//! The tasks a scheduler owns: every live task of it is in such a list, so that shutdown
//! finds it wherever it waits.
//!
//! A list holds one reference per task. It is intrusive (the links lie in the task's
//! trailer): entering, leaving and shutting down take constant time per task and no memory.
//! [`OwnedTasks`] is shared between threads, in several parts with a lock each;
//! [`LocalOwnedTasks`] stays on its thread and so may own futures that are not `Send`.
//!
//! A list that is dropped with tasks in it leaks them.
//!
//! # Safety
//!
//! The links of a task belong to the list it was bound to (`owner_id`), and within it to
//! the holder of the list's lock. A task is bound once in its life and leaves once.
#![allow(unsafe_code)]

use super::core::{Header, Links};
use super::raw::RawTask;
use super::{Id, JoinHandle, LocalNotified, Notified, Schedule, SpawnLocation, Task};
use crate::loom::sync::Mutex;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::marker::PhantomData;
use std::num::NonZeroU64;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

/// A name for each list, to tell whether a task belongs to it.
fn next_list_id() -> NonZeroU64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    loop {
        if let Some(id) = NonZeroU64::new(NEXT.fetch_add(1, Relaxed)) {
            return id;
        }
    }
}

/// The tasks of a scheduler, for any thread.
pub(crate) struct OwnedTasks<S: 'static> {
    parts: Box<[Part<S>]>,
    pub(crate) id: NonZeroU64,
    /// Set before the parts are emptied and read under their locks, so that no task slips in
    /// behind.
    closed: AtomicBool,
}

/// One part of the tasks. On cache lines of its own, as its neighbours are other threads'.
#[repr(align(128))]
struct Part<S: 'static> {
    list: Mutex<List<S>>,
    /// Written under the lock, read without it.
    alive: AtomicUsize,
    spawned: AtomicU64,
}

/// The tasks of a scheduler that runs on one thread.
pub(crate) struct LocalOwnedTasks<S: 'static> {
    list: RefCell<List<S>>,
    closed: Cell<bool>,
    pub(crate) id: NonZeroU64,
    _not_send: PhantomData<*const ()>,
}

impl<S: 'static> OwnedTasks<S> {
    /// A list for a scheduler with this many threads.
    pub(crate) fn new(num_cores: usize) -> OwnedTasks<S> {
        const MAX_PARTS: usize = 1 << 16;
        let parts = (num_cores.next_power_of_two() * 4).min(MAX_PARTS);
        OwnedTasks {
            parts: (0..parts).map(|_| Part::new()).collect(),
            id: next_list_id(),
            closed: AtomicBool::new(false),
        }
    }

    /// Makes a task and binds it to this list. If the list is closed, the task is cancelled
    /// at once, and there is no `Notified`.
    pub(crate) fn bind<F>(
        &self,
        future: F,
        scheduler: S,
        id: Id,
        spawned_at: SpawnLocation,
    ) -> (JoinHandle<F::Output>, Option<Notified<S>>)
    where
        S: Schedule,
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        // SAFETY: the future is `Send`.
        unsafe { self.bind_local(future, scheduler, id, spawned_at) }
    }

    /// Binds a future that need not be `Send`.
    ///
    /// # Safety
    ///
    /// The scheduler runs, shuts down and is dropped on this thread only.
    pub(crate) unsafe fn bind_local<F>(
        &self,
        future: F,
        scheduler: S,
        id: Id,
        spawned_at: SpawnLocation,
    ) -> (JoinHandle<F::Output>, Option<Notified<S>>)
    where
        S: Schedule,
        F: Future + 'static,
        F::Output: 'static,
    {
        let (task, notified, join) = super::new_task(future, scheduler, id, spawned_at);
        (join, self.insert(task).then_some(notified))
    }

    /// The part of `bind` that does not depend on the future.
    fn insert(&self, task: Task<S>) -> bool
    where
        S: Schedule,
    {
        task.raw.header().set_owner_id(self.id);
        let part = self.part_of(task.raw);
        let mut list = part.list.lock();
        if self.closed.load(Acquire) {
            drop(list);
            task.shutdown();
            return false;
        }
        list.push_front(task);
        part.alive.store(part.alive.load(Relaxed) + 1, Relaxed);
        part.spawned.store(part.spawned.load(Relaxed) + 1, Relaxed);
        true
    }

    /// Permits the current thread to run a task of this list.
    #[inline]
    pub(crate) fn assert_owner(&self, task: Notified<S>) -> LocalNotified<S> {
        debug_assert_eq!(task.0.raw.header().owner_id(), Some(self.id));
        // The task is `Send`, or else this is its thread, see `bind_local`.
        LocalNotified { task: task.0, _not_send: PhantomData }
    }

    /// Refuses further tasks and cancels all there are, the oldest of each part first.
    ///
    /// Threads that do this together begin at different parts by choosing `start`.
    pub(crate) fn close_and_shutdown_all(&self, start: usize)
    where
        S: Schedule,
    {
        self.closed.store(true, Release);
        for i in 0..self.parts.len() {
            let part = &self.parts[start.wrapping_add(i) & (self.parts.len() - 1)];
            while let Some(task) = part.pop() {
                task.shutdown();
            }
        }
    }

    /// Wakes all idle tasks, for the caller to run them.
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(crate) fn notify_idle(&self, notified: &mut Vec<Notified<S>>) {
        for part in &self.parts {
            part.list.lock().for_each(|task| notified.extend(task.notify_idle()));
        }
    }

    /// Takes a task out, unless it has left already or never was in a list.
    pub(crate) fn remove(&self, task: &Task<S>) -> Option<Task<S>> {
        let owner = task.raw.header().owner_id()?;
        assert_eq!(owner, self.id);
        self.part_of(task.raw).remove(task)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.num_alive_tasks() == 0
    }

    /// How many tasks are in the list. A sum over the parts, each read at its moment.
    pub(crate) fn num_alive_tasks(&self) -> usize {
        self.parts.iter().map(|part| part.alive.load(Relaxed)).sum()
    }

    /// How many tasks have ever been put in.
    pub(crate) fn spawned_tasks_count(&self) -> u64 {
        self.parts.iter().map(|part| part.spawned.load(Relaxed)).sum()
    }

    /// How many parts there are: the range from which to choose `start`.
    #[allow(dead_code)]
    pub(crate) fn get_shard_size(&self) -> usize {
        self.parts.len()
    }

    /// Ids are handed out in blocks to threads, in sequence within: neighbours in time go to
    /// different parts.
    fn part_of(&self, task: RawTask) -> &Part<S> {
        &self.parts[task.id().as_u64() as usize & (self.parts.len() - 1)]
    }
}

impl<S: 'static> Part<S> {
    fn new() -> Part<S> {
        Part { list: Mutex::new(List::new()), alive: AtomicUsize::new(0), spawned: AtomicU64::new(0) }
    }

    fn pop(&self) -> Option<Task<S>> {
        let mut list = self.list.lock();
        let task = list.pop_back()?;
        self.alive.store(self.alive.load(Relaxed) - 1, Relaxed);
        Some(task)
    }

    fn remove(&self, task: &Task<S>) -> Option<Task<S>> {
        let mut list = self.list.lock();
        // SAFETY: `owner_id` and `part_of` say that it is or was in this list.
        let task = unsafe { list.remove(task) }?;
        self.alive.store(self.alive.load(Relaxed) - 1, Relaxed);
        Some(task)
    }
}

impl<S: 'static> LocalOwnedTasks<S> {
    pub(crate) fn new() -> LocalOwnedTasks<S> {
        LocalOwnedTasks {
            list: RefCell::new(List::new()),
            closed: Cell::new(false),
            id: next_list_id(),
            _not_send: PhantomData,
        }
    }

    /// Makes a task and binds it to this list. If the list is closed, the task is cancelled
    /// at once, and there is no `Notified`.
    pub(crate) fn bind<F>(
        &self,
        future: F,
        scheduler: S,
        id: Id,
        spawned_at: SpawnLocation,
    ) -> (JoinHandle<F::Output>, Option<Notified<S>>)
    where
        S: Schedule,
        F: Future + 'static,
        F::Output: 'static,
    {
        let (task, notified, join) = super::new_task(future, scheduler, id, spawned_at);
        task.raw.header().set_owner_id(self.id);
        if self.is_closed() {
            drop(notified);
            task.shutdown();
            (join, None)
        } else {
            self.list.borrow_mut().push_front(task);
            (join, Some(notified))
        }
    }

    /// Refuses further tasks and cancels all there are, the oldest first.
    pub(crate) fn close_and_shutdown_all(&self)
    where
        S: Schedule,
    {
        self.closed.set(true);
        loop {
            // Not in a `while let`, which would keep the borrow during the shutdown.
            let Some(task) = self.list.borrow_mut().pop_back() else {
                return;
            };
            task.shutdown();
        }
    }

    /// Takes a task out, unless it has left already or never was in a list.
    pub(crate) fn remove(&self, task: &Task<S>) -> Option<Task<S>> {
        let owner = task.raw.header().owner_id()?;
        assert_eq!(owner, self.id);
        // SAFETY: it is or was in this list.
        unsafe { self.list.borrow_mut().remove(task) }
    }

    /// Permits the current thread to run a task of this list.
    #[inline]
    pub(crate) fn assert_owner(&self, task: Notified<S>) -> LocalNotified<S> {
        // Not only in debug builds: what follows from it is that the future, which need not be
        // `Send`, is on its thread, as this list can't leave it.
        assert_eq!(task.0.raw.header().owner_id(), Some(self.id));
        LocalNotified { task: task.0, _not_send: PhantomData }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.list.borrow().head.is_none()
    }
}

/// A doubly linked list of tasks: in at the head, out at the tail or anywhere.
struct List<S: 'static> {
    head: Option<NonNull<Header>>,
    tail: Option<NonNull<Header>>,
    _tasks: PhantomData<Task<S>>,
}

// SAFETY: the list owns references to tasks, and `Task` is `Send`.
unsafe impl<S> Send for List<S> {}

impl<S: 'static> List<S> {
    fn new() -> List<S> {
        List { head: None, tail: None, _tasks: PhantomData }
    }

    fn push_front(&mut self, task: Task<S>) {
        let raw = task.into_raw();
        let ptr = raw.header_ptr();
        debug_assert_ne!(self.head, Some(ptr));
        let next = self.head.replace(ptr);
        with_links(raw, |links| *links = Links { prev: None, next });
        match next {
            Some(next) => with_links(member(next), |links| links.prev = Some(ptr)),
            None => self.tail = Some(ptr),
        }
    }

    fn pop_back(&mut self) -> Option<Task<S>> {
        self.tail.map(|tail| self.unlink(member(tail)))
    }

    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    fn for_each(&self, mut f: impl FnMut(&Task<S>)) {
        let mut next = self.head;
        while let Some(ptr) = next {
            let raw = member(ptr);
            // SAFETY: the list's own reference, lent for the call.
            f(&std::mem::ManuallyDrop::new(unsafe { Task::new(raw) }));
            next = with_links(raw, |links| links.next);
        }
    }

    /// # Safety
    ///
    /// The task is in this list or in none, but has been in this one.
    unsafe fn remove(&mut self, task: &Task<S>) -> Option<Task<S>> {
        let raw = task.raw;
        let is_first = self.head == Some(raw.header_ptr());
        let has_prev = with_links(raw, |links| links.prev.is_some());
        (is_first || has_prev).then(|| self.unlink(raw))
    }

    /// Takes out a task that is in the list.
    fn unlink(&mut self, raw: RawTask) -> Task<S> {
        let Links { prev, next } = with_links(raw, std::mem::take);
        match prev {
            Some(prev) => with_links(member(prev), |links| links.next = next),
            None => self.head = next,
        }
        match next {
            Some(next) => with_links(member(next), |links| links.prev = prev),
            None => self.tail = prev,
        }
        // SAFETY: the reference that the list held goes to the caller.
        unsafe { Task::new(raw) }
    }
}

/// A task to which a list has a pointer.
fn member(ptr: NonNull<Header>) -> RawTask {
    // SAFETY: the list holds a reference to each of its tasks.
    unsafe { RawTask::from_raw(ptr) }
}

fn with_links<R>(task: RawTask, f: impl FnOnce(&mut Links) -> R) -> R {
    // SAFETY: the links belong to the list, of which the caller has a `&mut`; no two of these
    // closures are nested.
    task.trailer().links.with_mut(|links| f(unsafe { &mut *links }))
}
