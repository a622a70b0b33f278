//! The scheduler as seen from any thread.
//!
//! # Safety
//!
//! The only unsafe code passes on what `spawn_local` asks of its caller: to be on the thread
//! that owns the `LocalRuntime`.
#![allow(unsafe_code)]

use super::core::{Context, Notified};
use crate::driver;
use crate::runtime::mailroom::Mailroom;
use crate::runtime::scheduler::{self, Inject};
use crate::runtime::task::{
    self, JoinHandle, LocalNotified, OwnedTasks, Schedule, SpawnLocation, Task, TaskHarnessScheduleHooks,
};
use crate::runtime::{
    Config, LatencyClock, SchedulerMetrics, TaskHooks, TaskMeta, WorkerMetrics, blocking, context,
};

use std::fmt;
use std::future::Future;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::task::Wake;
use std::thread::ThreadId;

/// The shared half of a `current_thread` scheduler.
///
/// It is also the waker of the `block_on` future that drives it.
pub(crate) struct Handle {
    shared: Shared,

    pub(crate) driver: driver::Handle,
    pub(crate) blocking_spawner: blocking::Spawner,
    pub(crate) task_hooks: TaskHooks,
    pub(crate) mailroom: Mailroom,

    /// The thread that owns the `LocalRuntime`, if this is one.
    pub(crate) local_tid: Option<ThreadId>,
}

struct Shared {
    /// Tasks woken by threads that do not drive the scheduler.
    inject: Inject<Arc<Handle>>,
    owned: OwnedTasks<Arc<Handle>>,
    /// The `block_on` future of the driving thread is to be polled.
    woken: AtomicBool,
    config: Config,
    scheduler_metrics: SchedulerMetrics,
    worker_metrics: WorkerMetrics,
    latency_clock: LatencyClock,
}

impl Handle {
    pub(super) fn new(
        driver: driver::Handle,
        blocking_spawner: blocking::Spawner,
        config: Config,
        local_tid: Option<ThreadId>,
    ) -> Handle {
        let worker_metrics = WorkerMetrics::from_config(&config);
        worker_metrics.set_thread();
        Handle {
            task_hooks: TaskHooks::from_config(&config),
            shared: Shared {
                inject: Inject::new(),
                owned: OwnedTasks::new(1),
                woken: AtomicBool::new(false),
                latency_clock: LatencyClock::new(config.track_latency()),
                config,
                scheduler_metrics: SchedulerMetrics::new(),
                worker_metrics,
            },
            driver,
            blocking_spawner,
            mailroom: Mailroom::default(),
            local_tid,
        }
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
        me.spawned(id, spawned_at, notified);
        handle
    }

    /// Spawns a task that must not leave this thread.
    ///
    /// # Safety
    ///
    /// The scheduler must be that of a `LocalRuntime` owned by the calling thread: no other thread
    /// ever polls or drops its tasks.
    #[track_caller]
    pub(crate) unsafe fn spawn_local<F>(
        me: &Arc<Self>,
        future: F,
        id: task::Id,
        spawned_at: SpawnLocation,
    ) -> JoinHandle<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        // SAFETY: what this function asks of its caller is what `bind_local` asks for.
        let (handle, notified) = unsafe { me.shared.owned.bind_local(future, me.clone(), id, spawned_at) };
        me.spawned(id, spawned_at, notified);
        handle
    }

    fn spawned(self: &Arc<Self>, id: task::Id, spawned_at: SpawnLocation, notified: Option<Notified>) {
        self.task_hooks.spawn(&TaskMeta::new(id, spawned_at, None));
        if let Some(notified) = notified {
            self.schedule(notified);
        }
    }

    /// Calls `f` with this scheduler's context if the current thread drives it.
    pub(super) fn with_context<R>(self: &Arc<Self>, f: impl FnOnce(Option<&Context>) -> R) -> R {
        context::with_scheduler(|cx| match cx {
            Some(scheduler::Context::CurrentThread(cx)) if Arc::ptr_eq(self, cx.handle()) => f(Some(cx)),
            _ => f(None),
        })
    }

    pub(super) fn next_remote_task(&self) -> Option<Notified> {
        self.shared.inject.pop()
    }

    #[inline]
    pub(super) fn assert_owner(&self, task: Notified) -> LocalNotified<Arc<Handle>> {
        self.shared.owned.assert_owner(task)
    }

    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(super) fn notify_idle(&self, notified: &mut Vec<Notified>) {
        self.shared.owned.notify_idle(notified);
    }

    pub(super) fn close_and_shutdown_all(&self) {
        self.shared.owned.close_and_shutdown_all(0);
    }

    pub(super) fn close_injection_queue(&self) {
        self.shared.inject.close();
        while let Some(task) = self.shared.inject.pop() {
            drop(task);
        }
    }

    pub(in crate::runtime) fn config(&self) -> &Config {
        &self.shared.config
    }

    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(super) fn latency_clock(&self) -> &LatencyClock {
        &self.shared.latency_clock
    }

    pub(super) fn is_woken(&self) -> bool {
        self.shared.woken.load(Acquire)
    }

    /// Takes the wake-up of the `block_on` future, if there is one.
    pub(super) fn reset_woken(&self) -> bool {
        // A load first: most turns are not for that future.
        self.is_woken() && self.shared.woken.swap(false, AcqRel)
    }

    pub(crate) fn num_alive_tasks(&self) -> usize {
        self.shared.owned.num_alive_tasks()
    }

    pub(crate) fn injection_queue_depth(&self) -> usize {
        self.shared.inject.len()
    }

    #[track_caller]
    pub(crate) fn worker_metrics(&self, worker: usize) -> &WorkerMetrics {
        assert_eq!(0, worker);
        &self.shared.worker_metrics
    }

    /// The id of the task list, which is the public id of the runtime.
    pub(crate) fn owned_id(&self) -> NonZeroU64 {
        self.shared.owned.id
    }

    /// The name given to the builder.
    pub(crate) fn name(&self) -> Option<&str> {
        self.shared.config.name.as_deref()
    }
}

impl Handle {
    pub(crate) fn scheduler_metrics(&self) -> &SchedulerMetrics {
        &self.shared.scheduler_metrics
    }

    pub(crate) fn worker_local_queue_depth(&self, worker: usize) -> usize {
        self.worker_metrics(worker).queue_depth()
    }

    pub(crate) fn spawned_tasks_count(&self) -> u64 {
        self.shared.owned.spawned_tasks_count()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, fmt: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt.debug_struct("current_thread::Handle { ... }").finish()
    }
}

impl Schedule for Arc<Handle> {
    fn release(&self, task: &Task<Self>) -> Option<Task<Self>> {
        self.shared.owned.remove(task)
    }

    fn schedule(&self, task: task::Notified<Self>) {
        self.shared.latency_clock.stamp(|| task.scheduled_at());
        self.with_context(|cx| match cx {
            Some(cx) => {
                cx.push(task);
                #[cfg(feature = "test-util")]
                self.driver.unpark_self();
            }
            None => {
                self.shared.scheduler_metrics.inc_remote_schedule_count();
                self.shared.inject.push(task);
                self.driver.unpark();
            }
        });
    }

    fn yield_now(&self, task: task::Notified<Self>) {
        self.shared.latency_clock.stamp(|| task.scheduled_at());
        let elsewhere = self.with_context(|cx| match cx {
            Some(cx) => {
                cx.push_yielded(task);
                None
            }
            None => Some(task),
        });
        if let Some(task) = elsewhere {
            self.schedule(task);
        }
        #[cfg(feature = "test-util")]
        self.driver.unpark_self();
    }

    fn hooks(&self) -> TaskHarnessScheduleHooks {
        TaskHarnessScheduleHooks { task_terminate_callback: self.task_hooks.task_terminate_callback.clone() }
    }

    #[cfg(tokio_unstable)]
    fn unhandled_panic(&self) {
        use crate::runtime::UnhandledPanic;

        match self.shared.config.unhandled_panic {
            UnhandledPanic::Ignore => {}
            UnhandledPanic::ShutdownRuntime => self.with_context(|cx| match cx {
                Some(cx) => {
                    cx.set_unhandled_panic();
                    self.shared.owned.close_and_shutdown_all(0);
                }
                None => unreachable!("a task is polled by the thread that drives its scheduler"),
            }),
        }
    }
}

impl Wake for Handle {
    fn wake(self: Arc<Self>) {
        Wake::wake_by_ref(&self);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Whoever woke it before has seen to it that the loop looks at the flag.
        if self.shared.woken.swap(true, Release) {
            return;
        }
        if self.with_context(|cx| cx.is_none()) {
            self.driver.unpark();
        } else {
            #[cfg(feature = "test-util")]
            self.driver.unpark_self();
        }
    }
}
