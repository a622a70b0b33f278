//! The scheduler as seen from any thread.

use super::idle::Idle;
use super::pinned::{Mail, Pinned};
use super::queue::{self, Steal};
use super::watchdog::Sentinels;
use super::worker::{Context, Core};
use crate::driver::{self, Driver};
use crate::loom::sync::Mutex;
use crate::runtime::mailroom::Mailroom;
use crate::runtime::scheduler::{self, Inject};
use crate::runtime::task::{
    self, JoinHandle, Notified, OwnedTasks, Schedule, SpawnLocation, Task, TaskHarnessScheduleHooks,
};
use crate::runtime::{
    Config, Home, LatencyClock, SchedulerMetrics, TaskHooks, TaskMeta, WorkerMetrics, blocking, context,
};

use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::Thread;

/// The shared half of a multi-thread scheduler.
pub(crate) struct Handle {
    pub(super) shared: Shared,
    pub(crate) driver: driver::Handle,
    pub(crate) blocking_spawner: blocking::Spawner,
    pub(crate) task_hooks: TaskHooks,
    pub(crate) mailroom: Mailroom,
}

pub(super) struct Shared {
    pub(super) workers: Box<[WorkerShared]>,
    pub(super) inject: Inject<Arc<Handle>>,
    pub(super) idle: Idle,
    pub(super) sentinels: Sentinels,
    pub(super) owned: OwnedTasks<Arc<Handle>>,
    pub(super) pinned: OwnedTasks<Pinned>,
    /// Where the next task goes of those that are dealt out.
    pub(super) next_shard: AtomicUsize,
    pub(super) is_shutdown: AtomicBool,
    pub(super) config: Config,
    scheduler_metrics: SchedulerMetrics,
    pub(super) latency_clock: LatencyClock,
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(super) meeting: super::dump::Meeting,
}

/// What others may do with a worker.
pub(super) struct WorkerShared {
    pub(super) steal: Steal<Arc<Handle>>,
    pub(super) metrics: WorkerMetrics,
    /// The core, while no thread runs it.
    pub(super) core: Mutex<Option<Box<Core>>>,
    pub(super) mail: Mail,
    /// Tasks that woke themselves: they wait for the worker's next turn of the driver.
    pub(super) yielded: Inject<Arc<Handle>>,
    /// The thread that has lent the core and must have it back, see `block_in_place`.
    pub(super) absent: Mutex<Option<Absent>>,
    /// That thread waits for the core.
    pub(super) is_recalled: AtomicBool,
    /// The core has been through the shutdown.
    pub(super) is_finished: AtomicBool,
}

/// A blocked thread on which futures live that cannot leave it.
pub(super) struct Absent {
    pub(super) home: Arc<Home>,
    pub(super) thread: Thread,
}

impl WorkerShared {
    fn new(steal: Steal<Arc<Handle>>, metrics: WorkerMetrics) -> WorkerShared {
        WorkerShared {
            steal,
            metrics,
            core: Mutex::new(None),
            mail: Mail::new(),
            yielded: Inject::new(),
            absent: Mutex::new(None),
            is_recalled: AtomicBool::new(false),
            is_finished: AtomicBool::new(false),
        }
    }

    /// Tells the thread that has lent the core to look whether it is back.
    pub(super) fn call_absent(&self) {
        if let Some(absent) = &*self.absent.lock() {
            absent.thread.unpark();
        }
    }

    /// Is there anything for thieves?
    pub(super) fn has_work_for_others(&self) -> bool {
        !self.steal.is_empty() || self.mail.has_placed()
    }
}

impl Handle {
    pub(super) fn new(
        driver: driver::Handle,
        drivers: Vec<Driver>,
        blocking_spawner: blocking::Spawner,
        config: Config,
    ) -> (Arc<Handle>, Vec<Core>) {
        let n = drivers.len();
        let mut workers = Vec::with_capacity(n);
        let mut cores = Vec::with_capacity(n);
        for driver in drivers {
            let (steal, local) = queue::local();
            let metrics = WorkerMetrics::from_config(&config);
            cores.push(Core::new(local, driver, &config, &metrics, n));
            workers.push(WorkerShared::new(steal, metrics));
        }
        let handle = Handle {
            task_hooks: TaskHooks::from_config(&config),
            shared: Shared {
                workers: workers.into_boxed_slice(),
                inject: Inject::new(),
                idle: Idle::new(n),
                sentinels: Sentinels::new(),
                owned: OwnedTasks::new(n),
                pinned: OwnedTasks::new(n),
                next_shard: AtomicUsize::new(0),
                is_shutdown: AtomicBool::new(false),
                latency_clock: LatencyClock::new(config.track_latency()),
                config,
                scheduler_metrics: SchedulerMetrics::new(),
                #[cfg(all(tokio_unstable, feature = "taskdump"))]
                meeting: super::dump::Meeting::new(),
            },
            driver,
            blocking_spawner,
            mailroom: Mailroom::default(),
        };
        (Arc::new(handle), cores)
    }

    /// Spawns a task.
    #[track_caller]
    pub(crate) fn spawn<F>(
        me: &Arc<Self>,
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
        if let Some(notified) = notified {
            me.schedule_task(notified, false);
        }
        handle
    }

    /// Queues a task: on this thread's worker if it is one of ours, else in the injection queue.
    pub(super) fn schedule_task(self: &Arc<Self>, task: Notified<Arc<Handle>>, is_yield: bool) {
        self.shared.latency_clock.stamp(|| task.scheduled_at());
        let remote = context::with_scheduler(|cx| match cx {
            Some(scheduler::Context::MultiThread(cx)) if Arc::ptr_eq(self, cx.handle()) => {
                cx.schedule_local(task, is_yield)
            }
            _ => Some(task),
        });
        if let Some(task) = remote {
            self.count_remote_schedule();
            self.shared.inject.push(task);
            self.notify_parked();
        }
    }

    pub(super) fn count_remote_schedule(&self) {
        self.shared.scheduler_metrics.inc_remote_schedule_count();
    }

    /// Wakes a sleeping worker, if there is one and nobody looks for work already.
    pub(super) fn notify_parked(&self) {
        if let Some(worker) = self.shared.idle.worker_to_notify() {
            self.driver.unpark_shard(worker);
        }
    }

    /// The last searcher's second look; see [`Idle`].
    pub(super) fn notify_if_work_pending(&self) {
        let pending = self.shared.workers.iter().any(WorkerShared::has_work_for_others);
        if pending || !self.shared.inject.is_empty() {
            self.notify_parked();
        }
    }

    /// A worker starts to run: if others sleep, one of them must look after it.
    pub(super) fn appoint_sentinel(&self) {
        if self.shared.sentinels.are_missing() {
            if let Some(sleeper) = self.shared.idle.oldest_sleeper() {
                self.driver.unpark_shard(sleeper);
            }
        }
    }

    pub(super) fn hooks(&self) -> TaskHarnessScheduleHooks {
        TaskHarnessScheduleHooks { task_terminate_callback: self.task_hooks.task_terminate_callback.clone() }
    }

    pub(super) fn is_shutdown(&self) -> bool {
        self.shared.is_shutdown.load(Acquire)
    }

    /// Step 1 of the [shutdown](super).
    pub(crate) fn shutdown(&self) {
        let is_first = self.shared.inject.close();
        for worker in self.shared.workers.iter() {
            worker.mail.close();
            worker.yielded.close();
        }
        // Only now: a worker that knows empties the queues once, and what came later would stay there,
        // and keep the scheduler with it.
        self.shared.is_shutdown.store(true, Release);
        #[cfg(all(tokio_unstable, feature = "taskdump"))]
        self.shared.meeting.cancel();
        if is_first {
            for index in 0..self.shared.workers.len() {
                self.driver.unpark_shard(index);
            }
            self.mailroom.close();
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn num_workers(&self) -> usize {
        self.shared.workers.len()
    }

    pub(crate) fn num_alive_tasks(&self) -> usize {
        self.shared.owned.num_alive_tasks() + self.shared.pinned.num_alive_tasks()
    }

    pub(crate) fn injection_queue_depth(&self) -> usize {
        self.shared.inject.len()
    }

    pub(crate) fn worker_metrics(&self, worker: usize) -> &WorkerMetrics {
        &self.shared.workers[worker].metrics
    }

    pub(crate) fn owned_id(&self) -> NonZeroU64 {
        self.shared.owned.id
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.shared.config.name.as_deref()
    }
}

impl Handle {
    pub(crate) fn spawned_tasks_count(&self) -> u64 {
        self.shared.owned.spawned_tasks_count() + self.shared.pinned.spawned_tasks_count()
    }

    pub(crate) fn scheduler_metrics(&self) -> &SchedulerMetrics {
        &self.shared.scheduler_metrics
    }

    pub(crate) fn worker_local_queue_depth(&self, worker: usize) -> usize {
        self.shared.workers[worker].steal.depth()
    }
}

impl Schedule for Arc<Handle> {
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>> {
        self.shared.owned.remove(task)
    }

    fn schedule(&self, task: Notified<Self>) {
        self.schedule_task(task, false);
    }

    fn yield_now(&self, task: Notified<Self>) {
        self.schedule_task(task, true);
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        Handle::hooks(self)
    }
}

impl Context {
    /// Queues a task on this worker; gives it back if this thread has no core at the moment.
    fn schedule_local(&self, task: Notified<Arc<Handle>>, is_yield: bool) -> Option<Notified<Arc<Handle>>> {
        let mut core = self.core.borrow_mut();
        let Some(core) = core.as_mut() else { return Some(task) };
        let inject = &self.handle().shared.inject;
        core.stats.inc_local_schedule_count();

        // One that yielded, or woke itself, comes after a look at the driver: whatever it does, others'
        // events and timers are seen to first.
        if is_yield {
            self.worker().shared().yielded.push(task);
            // This worker may run one after the other before it looks.
            self.handle().driver.unpark_rescuer(self.worker_index());
            return None;
        }
        // A woken task goes first: what it waits for is still in the cache.
        let pushed = if !core.lifo_enabled {
            core.push(task, inject);
            true
        } else {
            match core.run_queue.swap_lifo(task) {
                Some(previous) => {
                    core.push(previous, inject);
                    true
                }
                None => {
                    if !core.in_turn {
                        // Who is stuck in a task does not come to it.
                        self.handle().driver.unpark_rescuer(self.worker_index());
                    }
                    false
                }
            }
        };
        // During a turn of the driver one wake-up at its end is enough.
        if pushed && !core.in_turn {
            self.handle().notify_parked();
        }
        None
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("multi_thread::Handle { ... }").finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::runtime::Builder;
    use crate::runtime::scheduler;

    use std::hint::spin_loop;
    use std::thread;

    /// A worker that knows of the shutdown empties the queues; nothing may come after that.
    #[test]
    fn h37_who_knows_of_a_shutdown_finds_the_queues_closed() {
        for _ in 0..300 {
            let rt = Builder::new_multi_thread().worker_threads(3).build().unwrap();
            let scheduler::Handle::MultiThread(handle) = rt.handle().inner.clone() else { unreachable!() };
            let open = thread::spawn(move || {
                while !handle.is_shutdown() {
                    spin_loop();
                }
                // The last one first.
                let mail =
                    handle.shared.workers.iter().rev().filter(|worker| !worker.mail.is_closed()).count();
                mail + usize::from(!handle.shared.inject.is_closed())
            });
            drop(rt);
            assert_eq!(open.join().unwrap(), 0, "so many queues are still open");
        }
    }
}
