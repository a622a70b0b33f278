//! Tasks that stay on their shard, and those that begin on one.
//!
//! # Protocol
//!
//! - A pinned task has a scheduler type of its own, so ordinary tasks pay nothing for it. Whoever
//!   wakes one on its own worker appends it to the core's queue `pinned`, which no thief sees.
//!   Everybody else puts it into the worker's **mail** and unparks that worker. A worker looks at
//!   its mail before it sleeps, after each turn of its sleep, at every look into the injection
//!   queue, and when it has nothing else.
//! - While a worker has both kinds of tasks, they take turns.
//! - The queue is part of the core: pinned tasks go with the *shard* when `block_in_place` hands it
//!   to another thread. A future that is not `Send` stays with its *thread*
//!   ([`ThreadBound`](crate::runtime::ThreadBound)), which takes the core back when it returns.
//! - A task that was only *placed* on a shard is an ordinary one; it takes the way through the mail
//!   once. Whoever steals from that worker and finds its queue empty looks there too, so a worker
//!   that is stuck does not hold it up.

use super::handle::{Handle, WorkerShared};
use super::worker::{Context, Core};
use crate::runtime::scheduler::{self, Inject};
use crate::runtime::task::{
    self, JoinHandle, Notified, Schedule, SpawnLocation, Task, TaskHarnessScheduleHooks,
};
use crate::runtime::{TaskMeta, context};

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The scheduler of a pinned task.
#[derive(Clone)]
pub(crate) struct Pinned {
    handle: Arc<Handle>,
    shard: usize,
}

pub(super) type PinnedTask = Notified<Pinned>;

/// What others have sent to a worker.
pub(super) struct Mail {
    pinned: Inject<Pinned>,
    placed: Inject<Arc<Handle>>,
}

impl Mail {
    pub(super) fn new() -> Mail {
        Mail { pinned: Inject::new(), placed: Inject::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pinned.is_empty() && self.placed.is_empty()
    }

    /// Is there something in it that another worker may run?
    pub(super) fn has_placed(&self) -> bool {
        !self.placed.is_empty()
    }

    pub(super) fn steal(&self) -> Option<Notified<Arc<Handle>>> {
        self.placed.pop()
    }

    pub(super) fn close(&self) {
        self.pinned.close();
        self.placed.close();
    }

    #[cfg(test)]
    pub(super) fn is_closed(&self) -> bool {
        self.pinned.is_closed() && self.placed.is_closed()
    }

    /// Drops what is left in it after `close`.
    pub(super) fn drain(&self) {
        while let Some(task) = self.pinned.pop() {
            drop(task);
        }
        while let Some(task) = self.placed.pop() {
            drop(task);
        }
    }
}

impl Schedule for Pinned {
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>> {
        self.handle.shared.pinned.remove(task)
    }

    fn schedule(&self, task: PinnedTask) {
        self.handle.schedule_pinned(task, self.shard, false);
    }

    fn yield_now(&self, task: PinnedTask) {
        self.handle.schedule_pinned(task, self.shard, true);
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        self.handle.hooks()
    }
}

impl Handle {
    /// Spawns a task that stays on `shard`.
    #[track_caller]
    pub(crate) fn spawn_pinned<F>(
        me: &Arc<Self>,
        shard: usize,
        future: F,
        id: task::Id,
        spawned_at: SpawnLocation,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let scheduler = Pinned { handle: me.clone(), shard };
        let (handle, notified) = me.shared.pinned.bind(future, scheduler, id, spawned_at);
        me.task_hooks.spawn(&TaskMeta::new(id, spawned_at, None));
        if let Some(notified) = notified {
            me.schedule_pinned(notified, shard, false);
        }
        handle
    }

    /// Spawns a task that begins on `shard`.
    #[track_caller]
    pub(crate) fn spawn_near<F>(
        me: &Arc<Self>,
        shard: usize,
        future: F,
        id: task::Id,
        spawned_at: SpawnLocation,
    ) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let (handle, notified) = me.shared.owned.bind(future, me.clone(), id, spawned_at);
        me.task_hooks.spawn(&TaskMeta::new(id, spawned_at, None));
        let Some(notified) = notified else { return handle };
        if me.is_worker(shard) {
            me.schedule_task(notified, false);
        } else {
            me.shared.latency_clock.stamp(|| notified.scheduled_at());
            me.count_remote_schedule();
            me.shared.workers[shard].mail.placed.push(notified);
            me.driver.unpark_shard(shard);
        }
        handle
    }

    pub(crate) fn next_shard(&self) -> usize {
        self.shared.next_shard.fetch_add(1, Relaxed) % self.num_workers()
    }

    /// Is this thread that worker?
    fn is_worker(self: &Arc<Self>, shard: usize) -> bool {
        context::with_scheduler(|cx| match cx {
            Some(scheduler::Context::MultiThread(cx)) => {
                Arc::ptr_eq(self, cx.handle()) && cx.worker_index() == shard
            }
            _ => false,
        })
    }

    fn schedule_pinned(self: &Arc<Self>, task: PinnedTask, shard: usize, is_yield: bool) {
        self.shared.latency_clock.stamp(|| task.scheduled_at());
        let remote = context::with_scheduler(|cx| match cx {
            Some(scheduler::Context::MultiThread(cx))
                if cx.worker_index() == shard && Arc::ptr_eq(self, cx.handle()) =>
            {
                cx.schedule_pinned(task, is_yield)
            }
            _ => Some(task),
        });
        if let Some(task) = remote {
            self.count_remote_schedule();
            self.shared.workers[shard].mail.pinned.push(task);
            self.driver.unpark_shard(shard);
        }
    }
}

impl WorkerShared {
    /// Moves what was sent to this worker into its queues; as much of what others may take, too,
    /// as there is room for.
    pub(super) fn receive(&self, core: &mut Core, overflow: &Inject<Arc<Handle>>) {
        let mail = &self.mail;
        mail.pinned.pop_n(mail.pinned.len(), &mut core.pinned);
        if mail.has_placed() {
            let n = core.run_queue.room().min(mail.placed.len());
            let mut placed = VecDeque::with_capacity(n);
            mail.placed.pop_n(n, &mut placed);
            for task in placed {
                core.push(task, overflow);
            }
        }
    }
}

impl Context {
    /// Queues a pinned task, for after the next turn if it has yielded; gives it back if this thread has no core
    /// at the moment.
    fn schedule_pinned(&self, task: PinnedTask, is_yield: bool) -> Option<PinnedTask> {
        let mut core = self.core.borrow_mut();
        let Some(core) = core.as_mut() else { return Some(task) };
        core.stats.inc_local_schedule_count();
        if is_yield {
            core.yielded_pinned.push(task);
        } else {
            core.pinned.push_back(task);
        }
        None
    }
}
