//! From wishes to a running runtime.
//!
//! The builder only collects values; nothing is allocated before [`Builder::build`]. Building
//! goes in this order, and a failure undoes the steps before it:
//!
//! 1. the driver's settings (and, for `current_thread`, the driver with its ring);
//! 2. the blocking pool, which also owns the threads of the workers;
//! 3. the scheduler: the multi-thread one starts its workers, each of which makes its own ring.

cfg_metrics! {
    mod measures;
    use measures::Measures;
}
#[cfg(tokio_unstable)]
mod unstable;
#[cfg(tokio_unstable)]
pub use unstable::UnhandledPanic;

use crate::driver;
use crate::runtime::blocking::{self, BlockingPool};
use crate::runtime::local_runtime::LocalRuntimeScheduler;
use crate::runtime::runtime::Scheduler;
use crate::runtime::scheduler::CurrentThread;
use crate::runtime::{
    Callback, Config, Handle, LocalOptions, LocalRuntime, Runtime, TaskCallback, context, scheduler,
};
use crate::util::variables;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

#[cfg(feature = "rt-multi-thread")]
use crate::runtime::scheduler::MultiThread;
#[cfg(feature = "rt-multi-thread")]
use crate::sys::affinity;

/// Limit of threads for blocking work.
const MAX_BLOCKING_THREADS: usize = 512;

/// Names a thread that is about to be spawned.
pub(crate) type ThreadNameFn = Arc<dyn Fn() -> String + Send + Sync + 'static>;

/// Configures and builds a [`Runtime`] or a [`LocalRuntime`].
///
/// Start with [`new_multi_thread`] or [`new_current_thread`], chain the settings you want,
/// finish with [`build`]. A builder can build more than one runtime.
///
/// No driver is enabled by default: without [`enable_io`] network types panic, without
/// [`enable_time`] timers do. [`enable_all`] is what most programs want.
///
/// ```
/// use tokio::runtime::Builder;
///
/// let rt = Builder::new_multi_thread()
///     .worker_threads(2)
///     .thread_name("crew")
///     .enable_all()
///     .build()
///     .unwrap();
/// assert_eq!(rt.block_on(async { 6 * 7 }), 42);
/// ```
///
/// [`build`]: Builder::build
/// [`enable_all`]: Builder::enable_all
/// [`enable_io`]: Builder::enable_io
/// [`enable_time`]: Builder::enable_time
/// [`new_current_thread`]: Builder::new_current_thread
/// [`new_multi_thread`]: Builder::new_multi_thread
pub struct Builder {
    kind: Kind,
    name: Option<String>,

    enable_io: bool,
    /// `None`: the environment decides.
    pub(crate) lane: Option<driver::Lane>,
    enable_time: bool,
    start_paused: bool,

    /// `None`: the environment or the machine decides.
    worker_threads: Option<usize>,
    worker_cpus: Vec<usize>,
    max_blocking_threads: usize,
    pub(super) keep_alive: Option<Duration>,
    pub(super) thread_name: ThreadNameFn,
    pub(super) thread_stack_size: Option<usize>,

    pub(super) after_start: Option<Callback>,
    pub(super) before_stop: Option<Callback>,
    before_park: Option<Callback>,
    after_unpark: Option<Callback>,
    before_spawn: Option<TaskCallback>,
    after_termination: Option<TaskCallback>,
    #[cfg(tokio_unstable)]
    before_poll: Option<TaskCallback>,
    #[cfg(tokio_unstable)]
    after_poll: Option<TaskCallback>,

    global_queue_interval: Option<u32>,
    event_interval: Option<u32>,
    disable_lifo_slot: bool,
    /// Accepted and shown only: a worker that is busy never holds up the driver of others here.
    enable_eager_driver_handoff: bool,
    /// Unstable: timers that are left when the runtime shuts down fire.
    alt_timer: bool,
    #[cfg(tokio_unstable)]
    unhandled_panic: UnhandledPanic,
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    measures: Measures,
    /// Set for a runtime with a seed.
    #[cfg(tokio_unstable)]
    host: Option<context::HostBuilder>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    CurrentThread,
    #[cfg(feature = "rt-multi-thread")]
    MultiThread,
}

impl Builder {
    /// Starts a runtime that runs everything on the thread that calls [`Runtime::block_on`].
    ///
    /// For tasks that are not `Send`, add a `LocalSet`, or finish with
    /// [`build_local`](Builder::build_local).
    pub fn new_current_thread() -> Builder {
        Builder::new(Kind::CurrentThread)
    }

    /// Starts a runtime with worker threads of its own, which steal tasks from each other.
    #[cfg(feature = "rt-multi-thread")]
    #[cfg_attr(docsrs, doc(cfg(feature = "rt-multi-thread")))]
    pub fn new_multi_thread() -> Builder {
        Builder::new(Kind::MultiThread)
    }

    fn new(kind: Kind) -> Builder {
        Builder {
            kind,
            name: None,
            enable_io: false,
            lane: None,
            enable_time: false,
            start_paused: false,
            worker_threads: None,
            worker_cpus: Vec::new(),
            max_blocking_threads: MAX_BLOCKING_THREADS,
            keep_alive: None,
            thread_name: Arc::new(|| String::from("tokio-rt-worker")),
            thread_stack_size: None,
            after_start: None,
            before_stop: None,
            before_park: None,
            after_unpark: None,
            before_spawn: None,
            after_termination: None,
            #[cfg(tokio_unstable)]
            before_poll: None,
            #[cfg(tokio_unstable)]
            after_poll: None,
            global_queue_interval: None,
            event_interval: None,
            disable_lifo_slot: false,
            enable_eager_driver_handoff: false,
            alt_timer: false,
            #[cfg(tokio_unstable)]
            unhandled_panic: UnhandledPanic::Ignore,
            #[cfg(any(tokio_unstable, feature = "metrics"))]
            measures: Measures::default(),
            #[cfg(tokio_unstable)]
            host: None,
        }
    }

    /// Enables all drivers this build has: I/O (with feature `net`, `process` or `signal`)
    /// and time (with feature `time`).
    ///
    /// ```
    /// use tokio::runtime::Builder;
    /// use tokio::time::{Duration, sleep};
    ///
    /// let rt = Builder::new_current_thread().enable_all().build().unwrap();
    /// rt.block_on(async { sleep(Duration::from_millis(1)).await });
    /// ```
    pub fn enable_all(&mut self) -> &mut Self {
        #[cfg(any(feature = "net", feature = "process", feature = "signal"))]
        self.enable_io();

        #[cfg(feature = "time")]
        self.enable_time();

        self
    }

    /// Enables the I/O driver: sockets, pipes, processes and signals.
    pub fn enable_io(&mut self) -> &mut Self {
        self.enable_io = true;
        self
    }

    /// Enables the time driver: sleeps, timeouts and intervals.
    #[cfg(feature = "time")]
    #[cfg_attr(docsrs, doc(cfg(feature = "time")))]
    pub fn enable_time(&mut self) -> &mut Self {
        self.enable_time = true;
        self
    }

    /// Lets the runtime's clock start paused: it then moves only when there is nothing to do,
    /// straight to the next timer, or by `time::advance`.
    ///
    /// Only a `current_thread` runtime has such a clock; building a multi-thread runtime with
    /// a paused clock panics.
    #[cfg(feature = "test-util")]
    #[cfg_attr(docsrs, doc(cfg(feature = "test-util")))]
    pub fn start_paused(&mut self, start_paused: bool) -> &mut Self {
        self.start_paused = start_paused;
        self
    }

    /// Accepted for compatibility: Tokio limits the I/O events of one turn of the driver by it.
    ///
    /// Here a turn takes all completions that have arrived: one per socket, however much came
    /// in since the last turn, and without a system call each.
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is 0.
    #[track_caller]
    pub fn max_io_events_per_tick(&mut self, capacity: usize) -> &mut Self {
        assert!(capacity > 0, "max_io_events_per_tick must be non-zero");
        self
    }

    /// Accepted for compatibility: Tokio limits the I/O events of a turn that does not wait by
    /// it. See [`max_io_events_per_tick`](Self::max_io_events_per_tick).
    ///
    /// # Panics
    ///
    /// Panics if `capacity` is 0.
    #[track_caller]
    pub fn max_io_events_per_busy_tick(&mut self, capacity: usize) -> &mut Self {
        assert!(capacity > 0, "max_io_events_per_busy_tick must be non-zero");
        self
    }

    /// Sets the number of worker threads of a multi-thread runtime.
    ///
    /// Default: the environment variable `TOKIO_WORKER_THREADS` if it is set, else
    /// [`std::thread::available_parallelism`]. A `current_thread` runtime ignores it.
    ///
    /// # Panics
    ///
    /// Panics if `val` is 0.
    #[track_caller]
    pub fn worker_threads(&mut self, val: usize) -> &mut Self {
        assert!(val > 0, "Worker threads cannot be set to 0");
        self.worker_threads = Some(val);
        self
    }

    /// Ties the workers of a multi-thread runtime to processors: worker 0 to the first one listed,
    /// and so on; from the start of the list again if there are more workers. Not part of Tokio.
    ///
    /// A processor is a number as in `/proc/cpuinfo`. A thread that takes a worker over from one that
    /// went to block runs on the worker's processor, too, and where it likes afterwards; threads for
    /// blocking work are not tied. Without a call of this the system decides, which is better for most
    /// programs: a tied worker waits for its processor even if another one is idle.
    ///
    /// [`build`](Self::build) fails with `InvalidInput` if a processor of the list is not there, is
    /// offline, or is outside of what this process may use (`taskset`, a container's cpuset). If one
    /// goes offline later the system moves its worker. A `current_thread` runtime ignores the list.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// # let allowed = std::fs::read_to_string("/proc/self/status")?;
    /// # let allowed = allowed.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:")).unwrap();
    /// # let first: usize = allowed.trim().split([',', '-']).next().unwrap().parse().unwrap();
    /// let rt = Builder::new_multi_thread().worker_threads(2).worker_affinity([first]).build()?;
    /// # rt.block_on(async { tokio::spawn(async {}).await.unwrap() });
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if the list is empty.
    #[track_caller]
    pub fn worker_affinity(&mut self, cpus: impl IntoIterator<Item = usize>) -> &mut Self {
        self.worker_cpus = cpus.into_iter().collect();
        assert!(!self.worker_cpus.is_empty(), "worker_affinity needs at least one processor");
        self
    }

    /// Limits the threads that run blocking work (`spawn_blocking`, name resolution, standard
    /// input and output, file operations that must block). Default: 512.
    ///
    /// Such threads are started on demand and end when idle, see
    /// [`thread_keep_alive`](Self::thread_keep_alive). Work beyond the limit waits in a queue
    /// without bound.
    ///
    /// # Panics
    ///
    /// Panics if `val` is 0.
    #[track_caller]
    #[cfg_attr(docsrs, doc(alias = "max_threads"))]
    pub fn max_blocking_threads(&mut self, val: usize) -> &mut Self {
        assert!(val > 0, "Max blocking threads cannot be set to 0");
        self.max_blocking_threads = val;
        self
    }

    /// Sets how long an idle thread for blocking work stays around. Default: 10 seconds.
    pub fn thread_keep_alive(&mut self, duration: Duration) -> &mut Self {
        self.keep_alive = Some(duration);
        self
    }

    /// Names the threads of the runtime. Default: `tokio-rt-worker`.
    pub fn thread_name(&mut self, val: impl Into<String>) -> &mut Self {
        let name = val.into();
        self.thread_name_fn(move || name.clone())
    }

    /// Sets a function that names each thread of the runtime when it is started.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    ///
    /// let count = AtomicUsize::new(0);
    /// let rt = tokio::runtime::Builder::new_multi_thread()
    ///     .thread_name_fn(move || format!("crew-{}", count.fetch_add(1, Ordering::Relaxed)))
    ///     .build();
    /// ```
    pub fn thread_name_fn<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() -> String + Send + Sync + 'static,
    {
        self.thread_name = Arc::new(f);
        self
    }

    /// Names the runtime itself, for [`Handle::name`].
    ///
    /// # Panics
    ///
    /// Panics if `val` is empty or all white space.
    #[track_caller]
    pub fn name(&mut self, val: impl Into<String>) -> &mut Self {
        let name = val.into();
        assert!(!name.trim().is_empty(), "runtime name shouldn't be empty");
        self.name = Some(name);
        self
    }

    /// Sets the stack size, in bytes, of the runtime's threads; the system may round it up.
    /// Default: that of [`std::thread`], 2 MiB.
    pub fn thread_stack_size(&mut self, val: usize) -> &mut Self {
        self.thread_stack_size = Some(val);
        self
    }

    /// Runs `f` on each thread of the runtime before it starts to work.
    pub fn on_thread_start<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.after_start = Some(Arc::new(f));
        self
    }

    /// Runs `f` on each thread of the runtime before it ends.
    pub fn on_thread_stop<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.before_stop = Some(Arc::new(f));
        self
    }

    /// Runs `f` on a worker that is about to sleep.
    ///
    /// `f` runs inside the runtime's context, so it may spawn tasks; the worker then does not
    /// sleep. A second call replaces the first callback.
    pub fn on_thread_park<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.before_park = Some(Arc::new(f));
        self
    }

    /// Runs `f` on a worker that has just woken up; the tasks that woke it wait meanwhile.
    ///
    /// A second call replaces the first callback.
    pub fn on_thread_unpark<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.after_unpark = Some(Arc::new(f));
        self
    }

    /// Sets after how many tasks a worker looks into the global queue, even if it still has
    /// tasks of its own.
    ///
    /// Smaller is fairer to tasks from outside and costs more synchronization; 1 always
    /// prefers the global queue. Default: 31 on `current_thread`, self-tuned on multi-thread.
    ///
    /// # Panics
    ///
    /// Panics if `val` is 0.
    #[track_caller]
    pub fn global_queue_interval(&mut self, val: u32) -> &mut Self {
        assert!(val > 0, "global_queue_interval must be greater than 0");
        self.global_queue_interval = Some(val);
        self
    }

    /// Sets after how many tasks a worker turns its driver, even if it still has tasks to run.
    ///
    /// Smaller notices I/O and timers sooner and costs more system calls. Default: 61, or as many as
    /// were ready after the last turn, up to 122.
    ///
    /// # Panics
    ///
    /// Panics if `val` is 0.
    #[track_caller]
    pub fn event_interval(&mut self, val: u32) -> &mut Self {
        assert!(val > 0, "event_interval must be greater than 0");
        self.event_interval = Some(val);
        self
    }

    /// Builds the runtime.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses what the runtime needs, such as a ring or a descriptor.
    ///
    /// # Panics
    ///
    /// Panics if the environment variable `TOKIO_WORKER_THREADS` is to be used and is not a
    /// positive number, or if a worker thread cannot be started.
    pub fn build(&mut self) -> io::Result<Runtime> {
        match self.kind {
            Kind::CurrentThread => {
                let (exec, handle, pool) = self.build_current_thread(None)?;
                let scheduler = Scheduler::CurrentThread(exec);
                Ok(Runtime::from_parts(scheduler, handle, pool))
            }
            #[cfg(feature = "rt-multi-thread")]
            Kind::MultiThread => self.build_multi_thread(),
        }
    }

    /// Builds a runtime that is bound to this thread and runs tasks that are not `Send`.
    ///
    /// # Errors
    ///
    /// Fails if the system refuses what the runtime needs, such as a ring or a descriptor.
    ///
    /// # Panics
    ///
    /// Panics on a builder made by `new_multi_thread`.
    #[allow(unused_variables, reason = "there are no options to look at yet")]
    pub fn build_local(&mut self, options: LocalOptions) -> io::Result<LocalRuntime> {
        match self.kind {
            Kind::CurrentThread => {
                let owner = std::thread::current().id();
                let (exec, handle, pool) = self.build_current_thread(Some(owner))?;
                let scheduler = LocalRuntimeScheduler::CurrentThread(exec);
                Ok(LocalRuntime::from_parts(scheduler, handle, pool))
            }
            #[cfg(feature = "rt-multi-thread")]
            Kind::MultiThread => panic!("multi_thread is not supported for LocalRuntime"),
        }
    }

    fn build_current_thread(
        &mut self,
        local_tid: Option<ThreadId>,
    ) -> io::Result<(CurrentThread, Handle, BlockingPool)> {
        variables::check()?;
        // Only this flavour's clock can be paused; `Instant::now` finds it through the context.
        driver::time::set_lookup(|f| drop(context::with_current(|h| f(h.driver().clock()))));
        let (driver, driver_handle) = driver::new_single(&self.driver_cfg())?;
        let pool = blocking::create_blocking_pool(self, self.max_blocking_threads, 0);
        let config = self.config()?;
        let (exec, inner) =
            CurrentThread::new(driver, driver_handle, pool.spawner().clone(), config, local_tid);
        let inner = scheduler::Handle::CurrentThread(inner);
        Ok((exec, Handle { inner }, pool))
    }

    #[cfg(feature = "rt-multi-thread")]
    fn build_multi_thread(&mut self) -> io::Result<Runtime> {
        variables::check()?;
        let workers = self.worker_threads.unwrap_or_else(default_worker_threads);
        check_processors(&self.worker_cpus)?;
        // The workers run on threads of the pool, on top of the limit for blocking work.
        let threads = self.max_blocking_threads + workers;
        let mut pool = blocking::create_blocking_pool(self, threads, workers);
        let spawner = pool.spawner().clone();

        let scheduler = self.config().and_then(|config| {
            let driver = self.driver_cfg();
            MultiThread::new(workers, spawner, config, driver)
        });
        match scheduler {
            Ok((exec, inner)) => {
                let inner = scheduler::Handle::MultiThread(inner);
                let scheduler = Scheduler::MultiThread(exec);
                Ok(Runtime::from_parts(scheduler, Handle { inner }, pool))
            }
            Err(error) => {
                // Dropping the pool waits for its threads, which panics in async code: an
                // error must stay an error there, so the threads end on their own.
                if context::try_enter_blocking_region().is_none() {
                    pool.shutdown(Some(Duration::ZERO));
                }
                Err(error)
            }
        }
    }

    fn driver_cfg(&self) -> driver::Cfg {
        driver::Cfg {
            enable_io: self.enable_io,
            enable_time: self.enable_time,
            // A paused clock needs one thread that knows when all is idle.
            enable_pause_time: self.kind == Kind::CurrentThread,
            start_paused: self.start_paused,
            fire_at_shutdown: self.alt_timer,
            lane: self.lane,
        }
    }

    fn config(&mut self) -> io::Result<Config> {
        Ok(Config {
            name: self.name.clone(),
            worker_cpus: self.worker_cpus.clone(),
            global_queue_interval: self.global_queue_interval,
            event_interval: self.event_interval,
            before_park: self.before_park.clone(),
            after_unpark: self.after_unpark.clone(),
            before_spawn: self.before_spawn.clone(),
            after_termination: self.after_termination.clone(),
            #[cfg(tokio_unstable)]
            before_poll: self.before_poll.clone(),
            #[cfg(tokio_unstable)]
            after_poll: self.after_poll.clone(),
            disable_lifo_slot: self.disable_lifo_slot,
            #[cfg(tokio_unstable)]
            unhandled_panic: self.unhandled_panic.clone(),
            #[cfg(any(tokio_unstable, feature = "metrics"))]
            poll_times: self.measures.poll_times(),
            #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
            track_latency: self.measures.track_latency,
            #[cfg(all(any(tokio_unstable, feature = "metrics"), feature = "schedule-latency"))]
            schedule_latencies: self.measures.schedule_latencies(),
            host: self.make_host()?,
        })
    }

    /// What hosts the runtime's threads, if it needs one of its own.
    fn make_host(&mut self) -> io::Result<Option<context::Host>> {
        #[cfg(tokio_unstable)]
        if let Some(builder) = &mut self.host {
            return builder.build().map(Some);
        }
        #[cfg(feature = "interop")]
        return context::Host::of_one(self.kind == Kind::CurrentThread)
            .map_err(|error| crate::sys::epoll::explain("build the host", &error));
        #[cfg(not(feature = "interop"))]
        Ok(None)
    }
}

/// Can threads of this process be tied to these processors? Tried on a thread of its own.
#[cfg(feature = "rt-multi-thread")]
fn check_processors(cpus: &[usize]) -> io::Result<()> {
    if cpus.is_empty() {
        return Ok(());
    }
    let refused = std::thread::scope(|scope| {
        let check = || cpus.iter().find_map(|&cpu| affinity::pin(cpu).err().map(|error| (cpu, error)));
        std::thread::Builder::new().spawn_scoped(scope, check).map(|thread| thread.join())
    })?;
    match refused {
        Ok(None) => Ok(()),
        Ok(Some((cpu, error))) => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "no worker can be tied to processor {cpu}: {error}; is it there, online, and allowed to this process (taskset, cpuset)?"
            ),
        )),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The number of workers if the program did not say: the environment's, else the machine's.
#[cfg(feature = "rt-multi-thread")]
fn default_worker_threads() -> usize {
    use std::env::{self, VarError};

    const VARIABLE: &str = "TOKIO_WORKER_THREADS";

    match env::var(VARIABLE) {
        Ok(value) => match value.parse() {
            Ok(0) => panic!("\"{VARIABLE}\" cannot be set to 0"),
            Ok(workers) => workers,
            Err(e) => panic!("\"{VARIABLE}\" must be usize, error: {e}, value: {value}"),
        },
        Err(VarError::NotPresent) => std::thread::available_parallelism().map_or(1, |workers| workers.get()),
        Err(VarError::NotUnicode(value)) => {
            panic!("\"{VARIABLE}\" must be valid unicode, error: {value:?}")
        }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn is_set<T>(callback: &Option<T>) -> Option<&'static str> {
            callback.as_ref().map(|_| "...")
        }

        let mut debug = f.debug_struct("Builder");
        if let Some(name) = &self.name {
            debug.field("name", name);
        }
        debug
            .field("worker_threads", &self.worker_threads)
            .field("max_blocking_threads", &self.max_blocking_threads)
            .field("thread_name", &"<dyn Fn() -> String + Send + Sync + 'static>")
            .field("thread_stack_size", &self.thread_stack_size)
            .field("after_start", &is_set(&self.after_start))
            .field("before_stop", &is_set(&self.before_stop))
            .field("before_park", &is_set(&self.before_park))
            .field("after_unpark", &is_set(&self.after_unpark))
            .field("enable_eager_driver_handoff", &self.enable_eager_driver_handoff);

        // As Tokio prints it: only a builder without a name admits to having more fields.
        match self.name {
            Some(_) => debug.finish(),
            None => debug.finish_non_exhaustive(),
        }
    }
}
