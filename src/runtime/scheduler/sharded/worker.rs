//! A worker's loop.

use super::handle::{Handle, WorkerShared};
use super::pinned::PinnedTask;
use super::queue::Local;
use super::tuning::{self, Tuning};
use super::watchdog::{PATIENCE, STALL, Watchdog};
use crate::driver::Driver;
use crate::runtime::scheduler::{self, Defer, Inject};
use crate::runtime::task::{LocalNotified, Notified, Schedule};
use crate::runtime::{Config, Home, MetricsBatch, WorkerMetrics, context};
use crate::sys::affinity;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::task::Waker;
use std::thread;
use std::time::{Duration, Instant};

use upstream::task::coop;

/// How often in a row the LIFO slot may go before the queue: a pair of tasks that wake each
/// other must not starve the others.
const MAX_LIFO_POLLS: usize = 3;

type Task = Notified<Arc<Handle>>;

/// What to run next.
enum Next {
    Stealable(Task),
    Pinned(PinnedTask),
}

/// The movable run state of a worker; see the [module docs](super).
pub(crate) struct Core {
    tick: u32,
    /// The tick at which the driver is turned, however many tasks are ready.
    turn_at: u32,
    pub(super) lifo_enabled: bool,
    lifo_allowed: bool,
    pub(super) run_queue: Local<Arc<Handle>>,
    /// Pinned tasks that woke themselves: they wait for the next turn of the driver. Those of other tasks are where
    /// siblings find them, if this worker gets stuck.
    pub(super) yielded_pinned: Vec<PinnedTask>,
    /// Tasks that stay here; see [`pinned`](super::pinned).
    pub(super) pinned: VecDeque<PinnedTask>,
    /// Is it their turn, or that of the others?
    prefers_pinned: bool,
    pub(super) is_searching: bool,
    pub(super) is_shutdown: bool,
    /// The thread that lent this core wants it back.
    is_recalled: bool,
    /// Wakers run as part of a turn of the driver.
    pub(super) in_turn: bool,
    /// How many tasks run between two looks into the injection queue.
    global_queue_interval: u32,
    /// What sets it, unless the builder did.
    pub(super) tuning: Option<Tuning>,
    /// The driver made for this worker's first thread, until that thread takes it.
    driver: Option<Driver>,
    pub(super) stats: MetricsBatch,
    watchdog: Watchdog,
}

impl Core {
    pub(super) fn new(
        run_queue: Local<Arc<Handle>>,
        driver: Driver,
        config: &Config,
        metrics: &WorkerMetrics,
        workers: usize,
    ) -> Core {
        Core {
            tick: 0,
            turn_at: config.tasks_until_turn(0),
            lifo_enabled: !config.disable_lifo_slot,
            lifo_allowed: !config.disable_lifo_slot,
            run_queue,
            yielded_pinned: Vec::new(),
            pinned: VecDeque::new(),
            prefers_pinned: false,
            is_searching: false,
            is_shutdown: false,
            is_recalled: false,
            in_turn: false,
            global_queue_interval: config.global_queue_interval.unwrap_or(tuning::TARGET_TASKS),
            tuning: config.global_queue_interval.is_none().then(Tuning::new),
            driver: Some(driver),
            stats: MetricsBatch::new(metrics),
            watchdog: Watchdog::new(workers),
        }
    }

    /// Appends a task to the local queue, and half of a full queue to the injection queue.
    pub(super) fn push(&mut self, task: Task, inject: &Inject<Arc<Handle>>) {
        let stats = &mut self.stats;
        self.run_queue.push(task, |batch| {
            stats.incr_overflow_count();
            inject.push_batch(batch);
        });
    }

    fn submit_stats(&mut self, metrics: &WorkerMetrics) {
        let mean_poll_time = self.tuning.as_ref().map_or(0, Tuning::mean_poll_time);
        self.stats.submit(metrics, mean_poll_time);
    }

    fn start_working(&mut self) {
        self.stats.start_processing_scheduled_tasks();
        if let Some(tuning) = &mut self.tuning {
            tuning.start();
        }
    }

    fn stop_working(&mut self) {
        self.stats.end_processing_scheduled_tasks();
        if let Some(tuning) = &mut self.tuning {
            self.global_queue_interval = tuning.stop();
        }
    }

    /// A poll begins: the first of those that share a budget, or one that follows.
    fn start_poll(&mut self, is_first: bool) {
        if is_first {
            self.stats.start_poll();
        }
        if let Some(tuning) = &mut self.tuning {
            tuning.count_poll();
        }
    }

    pub(super) fn next_local_task(&mut self) -> Option<Task> {
        self.run_queue.take_lifo().or_else(|| self.run_queue.pop())
    }
}

/// The scheduler as seen from a thread that is a worker.
///
/// It is reachable through [`context::with_scheduler`] while tasks and wakers run, so the core
/// is borrowed for single steps only.
pub(crate) struct Context {
    worker: Worker,
    /// `None` while the core is in the hands of the loop below, or of another thread.
    pub(super) core: RefCell<Option<Box<Core>>>,
    pub(super) defer: Defer,
    pub(super) driver: RefCell<Driver>,
    /// The core went to another thread for good: this thread is to leave.
    pub(super) lost_core: Cell<bool>,
}

/// A worker, to be run by some thread.
#[derive(Clone)]
pub(super) struct Worker {
    pub(super) handle: Arc<Handle>,
    pub(super) index: usize,
}

/// The workers of a new scheduler, with their cores in their slots.
pub(super) fn workers(handle: &Arc<Handle>, cores: Vec<Core>) -> Vec<Worker> {
    let with_core = |(index, core): (usize, Core)| {
        *handle.shared.workers[index].core.lock() = Some(Box::new(core));
        Worker { handle: handle.clone(), index }
    };
    cores.into_iter().enumerate().map(with_core).collect()
}

impl Worker {
    /// Has a thread of the blocking pool run this worker.
    pub(super) fn launch(self) {
        let handle = self.handle.clone();
        let rt = crate::runtime::Handle { inner: scheduler::Handle::MultiThread(handle.clone()) };
        drop(handle.blocking_spawner.spawn_blocking(&rt, move || self.run()));
    }

    pub(super) fn take_core(&self) -> Option<Box<Core>> {
        self.shared().core.lock().take()
    }

    pub(super) fn put_core(&self, core: Box<Core>) {
        *self.shared().core.lock() = Some(core);
    }

    pub(super) fn shared(&self) -> &WorkerShared {
        &self.handle.shared.workers[self.index]
    }

    fn metrics(&self) -> &WorkerMetrics {
        &self.shared().metrics
    }

    /// The core, and a driver for it; `None` if somebody else runs the worker.
    fn take_over(&self) -> Option<(Box<Core>, Driver)> {
        let mut core = self.take_core()?;
        // Without one: another thread runs this worker's first driver and is blocked.
        let driver = core.driver.take().unwrap_or_else(|| self.handle.driver.stand_in(self.index));
        Some((core, driver))
    }

    /// Runs the worker on this thread, if nobody else does.
    fn run(self) {
        let Some((core, driver)) = self.take_over() else { return };
        self.metrics().set_thread();
        // The builder has tried it. If it does not work any more the worker runs where it can.
        let cpus = &self.handle.shared.config.worker_cpus;
        let _affinity = cpus.get(self.index % cpus.len().max(1)).map(|&cpu| affinity::pin(cpu));

        let _abort = AbortOnPanic;
        let handle = scheduler::Handle::MultiThread(self.handle.clone());
        context::enter_runtime(&handle, true, |_| {
            let cx = scheduler::Context::MultiThread(Context {
                worker: self,
                core: RefCell::new(None),
                defer: Defer::new(),
                driver: RefCell::new(driver),
                lost_core: Cell::new(false),
            });
            context::set_scheduler(&cx, || cx.expect_multi_thread().run(core));
        });
    }
}

/// Tasks cannot make a worker unwind, only its hooks and a ring that stops working can. Nobody
/// would run its tasks from then on, and the shutdown would wait for it for ever.
struct AbortOnPanic;

impl Drop for AbortOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("worker thread panicking; aborting process");
            std::process::abort();
        }
    }
}

/// What to turn the driver for.
#[derive(Clone, Copy)]
enum Turn {
    /// Only what is there.
    Look,
    /// Whatever comes.
    Sleep,
    /// The same, but look at the siblings every now and then.
    Watch,
    /// A stalled sibling's timers and mail too, without sleeping.
    LookFor(usize),
    /// Those of all the stalled siblings in the core's watchdog, sleeping for at most that long.
    Rescue(Duration),
}

/// The loop's right to go on: the core. `None`: it went to another thread.
type Run = Option<Box<Core>>;

impl Context {
    pub(in crate::runtime::scheduler) fn handle(&self) -> &Arc<Handle> {
        &self.worker.handle
    }

    pub(super) fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) fn worker_index(&self) -> usize {
        self.worker.index
    }

    pub(crate) fn defer(&self, waker: &Waker) {
        // Without a core there is no turn after which to wake it.
        if self.core.borrow().is_none() {
            waker.wake_by_ref();
        } else {
            self.defer.defer(waker);
        }
    }

    fn run(&self, mut core: Box<Core>) {
        self.driver.borrow_mut().attach();
        core.start_working();

        while !core.is_shutdown {
            core.tick = core.tick.wrapping_add(1);
            if core.tick == core.turn_at {
                core.stop_working();
                core = self.turn_at_work(core, Turn::Look);
                core = self.maintain(core);
                core.start_working();
            }
            if core.is_recalled {
                return self.give_back(core);
            }

            let next = self.next_task(&mut core);
            if let Some(next) = next {
                match self.run_next(next, core) {
                    Some(back) => core = back,
                    None => return self.leave(),
                }
                continue;
            }

            core.stop_working();
            let stolen = self.steal_work(&mut core);
            if let Some(task) = stolen {
                core.start_working();
                match self.run_next(Next::Stealable(task), core) {
                    Some(back) => core = back,
                    None => return self.leave(),
                }
            } else {
                // Tasks that yielded come back after one look at the driver.
                core = if self.defer.is_empty() && !self.has_yielded(&core) {
                    match self.park(core) {
                        Some(back) => back,
                        None => return self.leave(),
                    }
                } else {
                    self.turn_at_work(core, Turn::Look)
                };
                core = self.maintain(core);
                core.start_working();
            }
        }

        self.shut_down(core);
    }

    /// The core is another thread's now: this one's ring gives up what it does.
    fn leave(&self) {
        self.driver.borrow_mut().abandon();
        // What this thread's last task deferred.
        self.defer.wake();
        // What the shutdown has left for this thread to drop.
        Home::open();
    }

    /// Returns the core to the thread that has lent it.
    fn give_back(&self, mut core: Box<Core>) {
        self.stop_searching(&mut core);
        core.is_recalled = false;
        self.worker.put_core(core);
        self.worker.shared().call_absent();
        self.leave();
    }

    /// Goes on with a core that another thread may have run meanwhile.
    pub(super) fn resume(&self) {
        self.handle().driver.reclaim();
        self.worker.metrics().set_thread();
    }

    /// The home of futures that cannot follow the shard to this thread.
    pub(crate) fn absent_home(&self) -> Option<Arc<Home>> {
        self.worker.shared().absent.lock().as_ref().map(|absent| absent.home.clone())
    }

    /// Publishes counters, and notices a shutdown or a recall.
    fn maintain(&self, mut core: Box<Core>) -> Box<Core> {
        core.submit_stats(self.worker.metrics());
        context::see_to_host();
        core.is_shutdown = core.is_shutdown || self.handle().is_shutdown();
        core.is_recalled = self.worker.shared().is_recalled.load(Acquire);
        #[cfg(all(tokio_unstable, feature = "taskdump"))]
        if self.handle().shared.meeting.is_asked_for() && !core.is_shutdown {
            core = self.meet(core);
        }
        core
    }

    // ===== tasks =====

    fn next_task(&self, core: &mut Core) -> Option<Next> {
        if core.tick % core.global_queue_interval == 0 {
            self.receive(core);
            if let Some(task) = self.handle().shared.inject.pop() {
                return Some(Next::Stealable(task));
            }
        }
        // The others get their turns in between, whatever the interval is.
        if !core.pinned.is_empty() {
            core.prefers_pinned = !core.prefers_pinned;
            if core.prefers_pinned {
                return core.pinned.pop_front().map(Next::Pinned);
            }
        }
        core.next_local_task().map(Next::Stealable).or_else(|| self.next_after_local(core))
    }

    /// The local queue is empty.
    fn next_after_local(&self, core: &mut Core) -> Option<Next> {
        self.receive(core);
        if let Some(task) = core.pinned.pop_front() {
            return Some(Next::Pinned(task));
        }
        core.next_local_task().or_else(|| self.take_injected(core)).map(Next::Stealable)
    }

    /// Takes this worker's mail.
    fn receive(&self, core: &mut Core) {
        let worker = self.worker.shared();
        if !worker.mail.is_empty() {
            worker.receive(core, &self.handle().shared.inject);
        }
    }

    /// Does any task that woke itself wait for the next turn?
    fn has_yielded(&self, core: &Core) -> bool {
        !core.yielded_pinned.is_empty() || !self.worker.shared().yielded.is_empty()
    }

    /// Puts those back into the queues.
    pub(super) fn resume_yielded(&self, core: &mut Core) {
        core.pinned.extend(core.yielded_pinned.drain(..));
        // Only tasks of this thread add to them, and none runs here.
        while let Some(task) = self.worker.shared().yielded.pop() {
            core.push(task, &self.handle().shared.inject);
        }
    }

    /// The stalled `sibling` does not come to those: others may run them.
    fn take_over_yielded(&self, sibling: usize) {
        let shared = &self.handle().shared;
        let yielded = &shared.workers[sibling].yielded;
        if !yielded.is_empty() {
            let mut batch = VecDeque::new();
            yielded.pop_n(yielded.len(), &mut batch);
            shared.inject.push_batch(batch.into_iter());
        }
    }

    /// Takes this worker's share of the injection queue.
    fn take_injected(&self, core: &mut Core) -> Option<Task> {
        let shared = &self.handle().shared;
        let len = shared.inject.len();
        if len == 0 {
            return None;
        }
        let share = len / shared.workers.len() + 1;
        // Half of the queue at the most: the tasks to come need room too.
        let n = share.min(core.run_queue.room()).clamp(1, super::queue::CAPACITY / 2);
        let mut batch = std::collections::VecDeque::with_capacity(n);
        shared.inject.pop_n(n, &mut batch);
        let first = batch.pop_front();
        for task in batch {
            core.push(task, &shared.inject);
        }
        first
    }

    fn run_next(&self, next: Next, core: Box<Core>) -> Run {
        let shared = &self.handle().shared;
        match next {
            Next::Stealable(task) => self.run_task(shared.owned.assert_owner(task), core),
            Next::Pinned(task) => self.run_task(shared.pinned.assert_owner(task), core),
        }
    }

    /// Runs a task, and those it wakes into the LIFO slot, on one budget.
    fn run_task<S: Schedule>(&self, task: LocalNotified<S>, mut core: Box<Core>) -> Run {
        self.stop_searching(&mut core);
        core.start_poll(true);
        let latency = self.note_latency(&task, &mut core);
        *self.core.borrow_mut() = Some(core);

        context::budget(|| {
            self.poll(task, latency);
            let mut lifo_polls = 0;
            loop {
                let mut slot = self.core.borrow_mut();
                // Gone: `block_in_place` handed the core to another thread.
                let core = slot.as_mut()?;
                let next = core.run_queue.take_lifo();
                let Some(task) = next else {
                    return self.end_poll(slot.take());
                };
                if !coop::has_budget_remaining() {
                    core.push(task, &self.handle().shared.inject);
                    return self.end_poll(slot.take());
                }
                lifo_polls += 1;
                if lifo_polls >= MAX_LIFO_POLLS {
                    core.lifo_enabled = false;
                }
                core.start_poll(false);
                let task = self.handle().shared.owned.assert_owner(task);
                let latency = self.note_latency(&task, core);
                drop(slot);
                self.poll(task, latency);
            }
        })
    }

    fn end_poll(&self, mut core: Run) -> Run {
        if let Some(core) = &mut core {
            core.lifo_enabled = core.lifo_allowed;
            core.stats.end_poll();
        }
        core
    }

    /// How long the task has waited for its poll, if anybody wants to know.
    #[inline]
    fn note_latency<S: Schedule>(&self, task: &LocalNotified<S>, core: &mut Core) -> Option<Duration> {
        self.handle().shared.latency_clock.record(task.scheduled_at(), &mut core.stats)
    }

    #[inline]
    #[cfg_attr(not(tokio_unstable), allow(unused_variables))]
    fn poll<S: Schedule>(&self, task: LocalNotified<S>, latency: Option<Duration>) {
        #[cfg(tokio_unstable)]
        let meta = task.task_meta(latency);
        #[cfg(tokio_unstable)]
        self.handle().task_hooks.poll_start_callback(&meta);

        task.run();

        #[cfg(tokio_unstable)]
        self.handle().task_hooks.poll_stop_callback(&meta);
    }

    /// Looks for work in the other workers' queues, then in the injection queue.
    fn steal_work(&self, core: &mut Core) -> Option<Task> {
        let shared = &self.handle().shared;
        if !core.is_searching {
            core.is_searching = shared.idle.start_searching();
            if !core.is_searching {
                return None;
            }
        }
        let n = shared.workers.len();
        let start = context::thread_rng_n(n as u32) as usize;
        for worker in (start..n).chain(0..start) {
            if worker == self.worker.index {
                continue;
            }
            if let Some((task, count)) = shared.workers[worker].steal.steal_into(&mut core.run_queue) {
                core.stats.incr_steal_count(count as u16);
                core.stats.incr_steal_operations();
                return Some(task);
            }
            if let Some(task) = shared.workers[worker].mail.steal() {
                core.stats.incr_steal_count(1);
                core.stats.incr_steal_operations();
                return Some(task);
            }
        }
        self.take_injected(core)
    }

    fn stop_searching(&self, core: &mut Core) {
        if mem::take(&mut core.is_searching) && self.handle().shared.idle.stop_searching() {
            // Whoever pushed a task while this worker searched left it at that.
            self.handle().notify_if_work_pending();
        }
    }

    // ===== sleeping =====

    /// Sleeps until there is something to do. The hooks may block in place, and lose the core.
    fn park(&self, mut core: Box<Core>) -> Run {
        let handle = self.handle();
        if let Some(before_park) = &handle.shared.config.before_park {
            core = self.call_hook(core, &**before_park)?;
        }
        if self.start_sleeping(&mut core) {
            context::see_to_host();
            // Looking after siblings and waking up for nothing is part of one sleep.
            core.stats.about_to_park();
            if core.watchdog.expects_a_short_sleep() {
                handle.shared.sentinels.take(self.worker.index);
            }
            let bedtime = core.watchdog.bedtime();
            while !core.is_shutdown {
                core.submit_stats(self.worker.metrics());
                let turn = self.how_to_sleep(&mut core);
                core = self.turn(core, turn);
                core.is_shutdown = self.handle().is_shutdown();
                if self.stop_sleeping(&mut core) {
                    self.share_unless_little(&core);
                    break;
                }
            }
            core.watchdog.slept_since(bedtime);
            core.stats.unparked();
        }
        handle.shared.sentinels.resign(self.worker.index);
        handle.appoint_sentinel();
        if let Some(after_unpark) = &handle.shared.config.after_unpark {
            core = self.call_hook(core, &**after_unpark)?;
        }
        Some(core)
    }

    fn call_hook(&self, core: Box<Core>, hook: &(dyn Fn() + Send + Sync)) -> Run {
        *self.core.borrow_mut() = Some(core);
        hook();
        self.core.borrow_mut().take()
    }

    /// Runs `f`, which may wake tasks, with the core where wakers find it.
    pub(super) fn with_core_in_place(&self, core: Box<Core>, f: impl FnOnce()) -> Box<Core> {
        *self.core.borrow_mut() = Some(core);
        f();
        self.core.borrow_mut().take().expect("core missing")
    }

    /// A turn between two tasks, and a look at a sibling every now and then, whatever it is that keeps this
    /// worker busy.
    fn turn_at_work(&self, core: Box<Core>, turn: Turn) -> Box<Core> {
        let mut core = self.turn(core, turn);
        if let Some(stalled) = self.stalled_sibling(&mut core) {
            self.take_over_yielded(stalled);
            core = self.turn(core, Turn::LookFor(stalled));
        }
        self.share(&core);
        core
    }

    /// Turns the driver and runs the wakers.
    fn turn(&self, mut core: Box<Core>, turn: Turn) -> Box<Core> {
        core.in_turn = true;
        let mut stalled = mem::take(&mut core.watchdog.stalled);
        core = self.with_core_in_place(core, || {
            let driver = &mut *self.driver.borrow_mut();
            let handle = &self.handle().driver;
            match turn {
                Turn::Look => driver.glance(handle),
                Turn::Sleep => driver.park(handle),
                Turn::Watch => driver.park_timeout(handle, STALL),
                Turn::LookFor(stalled) => driver.look_for(handle, stalled),
                Turn::Rescue(limit) => driver.park_for(handle, &mut stalled, limit, |s| self.take_over(s)),
            }
            self.defer.wake();
        });
        core.watchdog.stalled = stalled;
        core.in_turn = false;
        self.resume_yielded(&mut core);
        let ready = core.run_queue.len() + core.pinned.len();
        core.turn_at = core.tick.wrapping_add(self.handle().shared.config.tasks_until_turn(ready));
        core
    }

    /// As the sentinel, or like a log?
    fn how_to_sleep(&self, core: &mut Core) -> Turn {
        let shared = &self.handle().shared;
        if !shared.idle.any_running() {
            if shared.sentinels.include(self.worker.index) && core.watchdog.lingers(&shared.sentinels) {
                return Turn::Watch;
            }
            shared.sentinels.resign(self.worker.index);
            // Somebody who began to run in between has seen a sentinel; look again.
            if !shared.idle.any_running() {
                return Turn::Sleep;
            }
        }
        if !shared.sentinels.take(self.worker.index) {
            return Turn::Sleep;
        }
        let now = Instant::now();
        let mut stalled = mem::take(&mut core.watchdog.stalled);
        stalled.clear();
        stalled.extend((0..shared.workers.len()).filter(|&w| self.is_stalled(core, w, now)));
        let all = stalled.len();
        // One that is slept for already is another sentinel's.
        stalled.retain(|&w| !self.handle().driver.is_rescued(w));
        let are_rescued = stalled.is_empty();
        core.watchdog.stalled = stalled;
        if all == 0 {
            return Turn::Watch;
        }
        // Whoever begins to run appoints a sentinel, if there is none.
        shared.sentinels.resign(self.worker.index);
        if shared.idle.num_running() == all {
            // Nobody runs that might get stuck next.
            return if are_rescued { Turn::Sleep } else { Turn::Rescue(PATIENCE) };
        }
        if !shared.sentinels.take(self.worker.index) {
            return Turn::Sleep;
        }
        if are_rescued { Turn::Watch } else { Turn::Rescue(STALL) }
    }

    /// Sees to tasks that the `stalled` siblings woke, or were to run, right before they got stuck: nobody was told of
    /// them. From here on this thread is.
    fn take_over(&self, stalled: &[usize]) {
        let shared = &self.handle().shared;
        for &worker in stalled {
            self.take_over_yielded(worker);
            if shared.workers[worker].has_work_for_others() || !shared.inject.is_empty() {
                self.handle().notify_parked();
            }
        }
    }

    /// A busy worker's part: a look at one sibling.
    fn stalled_sibling(&self, core: &mut Core) -> Option<usize> {
        let now = Instant::now();
        let sibling = core.watchdog.next(now)?;
        self.is_stalled(core, sibling, now).then_some(sibling)
    }

    fn is_stalled(&self, core: &mut Core, worker: usize, now: Instant) -> bool {
        worker != self.worker.index
            && core.watchdog.is_stalled(worker, self.handle().driver.progress(worker), now)
    }

    /// Has this worker anything to run? Or is it to leave?
    pub(super) fn has_work(&self, core: &Core) -> bool {
        let worker = self.worker.shared();
        !core.run_queue.is_empty()
            || self.has_yielded(core)
            || !core.pinned.is_empty()
            || !worker.mail.is_empty()
            || worker.is_recalled.load(Acquire)
    }

    /// Counts this worker as sleeping, unless it has tasks.
    fn start_sleeping(&self, core: &mut Core) -> bool {
        if self.has_work(core) {
            return false;
        }
        let was_last = self.handle().shared.idle.start_sleeping(self.worker.index, core.is_searching);
        core.is_searching = false;
        if was_last {
            self.handle().notify_if_work_pending();
        }
        true
    }

    /// Did something come up? If so this worker counts as running again.
    fn stop_sleeping(&self, core: &mut Core) -> bool {
        let idle = &self.handle().shared.idle;
        if self.has_work(core) {
            // Its own ring or its mail woke it, or else a notifier, which counted it as searching.
            core.is_searching = !idle.wake_up(self.worker.index);
            return true;
        }
        #[cfg(all(tokio_unstable, feature = "taskdump"))]
        if self.handle().shared.meeting.is_asked_for() {
            core.is_searching = !idle.wake_up(self.worker.index);
            return true;
        }
        if idle.is_sleeping(self.worker.index) {
            return false;
        }
        core.is_searching = true;
        true
    }

    // ===== stopping =====

    /// Steps 3 and 4 of the [shutdown](super).
    fn shut_down(&self, mut core: Box<Core>) {
        let shared = &self.handle().shared;
        // 3. Destructors may wake tasks: those go nowhere, the injection queue is closed.
        shared.owned.close_and_shutdown_all(self.worker.index);
        shared.pinned.close_and_shutdown_all(self.worker.index);

        // 4. Futures that siblings must not drop come first: they may hold sockets.
        Home::open();
        let worker = self.worker.shared();
        worker.is_finished.store(true, Release);
        worker.call_absent();
        worker.mail.drain();
        core.pinned.clear();
        core.yielded_pinned.clear();
        while let Some(task) = worker.yielded.pop() {
            drop(task);
        }
        while let Some(task) = core.next_local_task() {
            drop(task);
        }
        while let Some(task) = shared.inject.pop() {
            drop(task);
        }
        core.submit_stats(self.worker.metrics());
        self.driver.borrow_mut().shutdown(&self.handle().driver);
    }
}
