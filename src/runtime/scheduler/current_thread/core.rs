//! The run state of the scheduler and its use by the driving thread.

use super::Handle;
use crate::driver::Driver;
use crate::runtime::scheduler::Defer;
use crate::runtime::task;
use crate::runtime::{MetricsBatch, context};

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::task::Waker;

/// How many tasks run between two looks into the injection queue, unless the builder says
/// otherwise.
const DEFAULT_GLOBAL_QUEUE_INTERVAL: u32 = 31;

pub(super) type Notified = task::Notified<Arc<Handle>>;

/// The run state.
pub(super) struct Core {
    /// The local queue: first in, first out.
    tasks: VecDeque<Notified>,
    /// Tasks that woke themselves: they wait for the next turn of the driver.
    yielded: Vec<Notified>,
    metrics: MetricsBatch,
    global_queue_interval: u32,
    /// Tasks to go until the injection queue comes first.
    until_global: u32,
    /// Tasks woken now would never run: they are dropped instead.
    is_shutdown: bool,
}

impl Core {
    pub(super) fn new(handle: &Handle) -> Core {
        let interval = handle.config().global_queue_interval.unwrap_or(DEFAULT_GLOBAL_QUEUE_INTERVAL);
        Core {
            tasks: VecDeque::new(),
            yielded: Vec::new(),
            metrics: MetricsBatch::new(handle.worker_metrics(0)),
            global_queue_interval: interval,
            until_global: interval,
            is_shutdown: false,
        }
    }
}

/// The scheduler as seen from the thread that drives it. It goes from thread to thread with the right to do so.
///
/// It is reachable through [`context::with_scheduler`] while tasks, wakers and hooks run, so the
/// core is borrowed for single steps only.
pub(crate) struct Context {
    handle: Arc<Handle>,
    core: RefCell<Core>,
    /// That of the `block_on` future. Here, so that no call has to make it.
    waker: Waker,
    /// Wakers of tasks that yielded; woken after the next turn of the driver.
    defer: Defer,
    /// A task panicked, and the runtime is configured to shut down on that.
    unhandled_panic: Cell<bool>,
}

impl Context {
    pub(super) fn new(handle: Arc<Handle>, core: Core) -> Context {
        Context {
            waker: Waker::from(handle.clone()),
            handle,
            core: RefCell::new(core),
            defer: Defer::new(),
            unhandled_panic: Cell::new(false),
        }
    }

    pub(in crate::runtime::scheduler) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    /// Is it the waker of the `block_on` future, which is the handle itself?
    #[cfg(feature = "fs")]
    pub(crate) fn is_waker_of(&self, waker: &Waker) -> bool {
        std::ptr::eq(waker.data(), Arc::as_ptr(&self.handle).cast())
    }

    /// The waker of the `block_on` future.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// What was deferred and is not to be woken any more. To be dropped where foreign code may run.
    pub(super) fn take_deferred(&self) -> Vec<Waker> {
        self.defer.take()
    }

    #[inline(always)]
    fn with_core<R>(&self, f: impl FnOnce(&mut Core) -> R) -> R {
        f(&mut self.core.borrow_mut())
    }

    pub(crate) fn defer(&self, waker: &Waker) {
        self.defer.defer(waker);
    }

    /// Appends a task to the local queue.
    pub(super) fn push(&self, task: Notified) {
        let refused = self.with_core(|core| {
            if core.is_shutdown {
                return Some(task);
            }
            core.tasks.push_back(task);
            core.metrics.inc_local_schedule_count();
            self.handle.worker_metrics(0).set_queue_depth(core.tasks.len());
            None
        });
        // Outside of the borrow: this may be the task's last reference.
        drop(refused);
    }

    /// Keeps a task that woke itself until the driver was turned: whatever it does, others' events and timers
    /// are seen to first.
    pub(super) fn push_yielded(&self, task: Notified) {
        let refused = self.with_core(|core| {
            if core.is_shutdown {
                return Some(task);
            }
            core.yielded.push(task);
            core.metrics.inc_local_schedule_count();
            None
        });
        drop(refused);
    }

    /// The driver was turned.
    fn after_turn(&self) {
        self.defer.wake();
        self.with_core(|core| {
            let Core { tasks, yielded, .. } = core;
            if !yielded.is_empty() {
                tasks.extend(yielded.drain(..));
            }
        });
    }

    /// Takes the next task, to be run: from the local queue first, except every n-th time.
    #[inline]
    pub(super) fn next_task(&self) -> Option<Notified> {
        self.with_core(|core| {
            core.until_global -= 1;
            let task = if core.until_global == 0 {
                core.until_global = core.global_queue_interval;
                self.handle.next_remote_task().or_else(|| core.tasks.pop_front())
            } else {
                core.tasks.pop_front().or_else(|| self.handle.next_remote_task())
            };
            self.handle.worker_metrics(0).set_queue_depth(core.tasks.len());
            if task.is_some() {
                core.metrics.start_poll();
            }
            task
        })
    }

    /// The length of the local queue.
    pub(super) fn ready_tasks(&self) -> usize {
        self.with_core(|core| core.tasks.len())
    }

    /// Polls a task once, with a fresh budget.
    #[inline]
    #[cfg_attr(not(tokio_unstable), allow(unused_variables))]
    pub(super) fn run_task(&self, task: Notified) {
        let task = self.handle.assert_owner(task);

        #[cfg(any(tokio_unstable, feature = "metrics"))]
        let latency = {
            let clock = self.handle.latency_clock();
            self.with_core(|core| clock.record(task.scheduled_at(), &mut core.metrics))
        };
        #[cfg(tokio_unstable)]
        let meta = task.task_meta(latency);

        context::budget(|| {
            #[cfg(tokio_unstable)]
            self.handle.task_hooks.poll_start_callback(&meta);

            task.run();

            #[cfg(tokio_unstable)]
            self.handle.task_hooks.poll_stop_callback(&meta);
        });

        #[cfg(any(tokio_unstable, feature = "metrics"))]
        self.with_core(|core| core.metrics.end_poll());
    }

    /// Takes all tasks out of the local queue.
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(super) fn take_tasks(&self) -> VecDeque<Notified> {
        self.with_core(|core| {
            let mut tasks = mem::take(&mut core.tasks);
            tasks.extend(core.yielded.drain(..));
            tasks
        })
    }

    /// Is there anything to do before the thread may sleep?
    ///
    /// The injection queue is not asked: who pushes there unparks the driver afterwards.
    pub(super) fn has_pending_work(&self) -> bool {
        self.with_core(|core| !core.tasks.is_empty() || !core.yielded.is_empty())
            || !self.defer.is_empty()
            || self.handle.is_woken()
    }

    /// Sleeps until an event, a timer or a wake-up.
    pub(super) fn park(&self, driver: &mut Driver) {
        let config = self.handle.config();

        if let Some(before_park) = &config.before_park {
            before_park();
        }

        if self.has_pending_work() {
            // The hook made work. Turn the driver even so: a runtime that is driven by many short
            // `block_on` calls would not see its events otherwise.
            self.park_yield(driver);
        } else {
            self.with_core(|core| {
                core.metrics.about_to_park();
                core.metrics.submit(self.handle.worker_metrics(0), 0);
            });
            context::see_to_host();
            driver.park(&self.handle.driver);
            self.after_turn();
            self.with_core(|core| {
                core.metrics.unparked();
                core.metrics.submit(self.handle.worker_metrics(0), 0);
            });
        }

        if let Some(after_unpark) = &config.after_unpark {
            after_unpark();
        }
    }

    /// Turns the driver without sleeping.
    pub(super) fn park_yield(&self, driver: &mut Driver) {
        self.submit_metrics();
        context::see_to_host();
        driver.glance(&self.handle.driver);
        self.after_turn();
    }

    pub(super) fn start_processing(&self) {
        self.with_core(|core| core.metrics.start_processing_scheduled_tasks());
    }

    pub(super) fn end_processing(&self) {
        self.with_core(|core| core.metrics.end_processing_scheduled_tasks());
    }

    fn submit_metrics(&self) {
        self.with_core(|core| core.metrics.submit(self.handle.worker_metrics(0), 0));
    }

    /// Did a task's panic shut the scheduler down?
    pub(super) fn unhandled_panic(&self) -> bool {
        self.unhandled_panic.get()
    }

    #[cfg(tokio_unstable)]
    pub(super) fn set_unhandled_panic(&self) {
        self.unhandled_panic.set(true);
    }

    /// Steps 1 to 4 of the [scheduler's shutdown](super).
    pub(super) fn shutdown(&self) {
        // 1. What these destructors wake is dropped, not queued.
        self.with_core(|core| core.is_shutdown = true);
        self.handle.close_and_shutdown_all();

        // 2. The tasks are cancelled already; only the references are left.
        let tasks = self.with_core(|core| (mem::take(&mut core.tasks), mem::take(&mut core.yielded)));
        drop(tasks);
        self.handle.worker_metrics(0).set_queue_depth(0);

        // 3.
        self.handle.close_injection_queue();
        assert_eq!(self.handle.num_alive_tasks(), 0);

        // 4.
        self.submit_metrics();
    }
}
