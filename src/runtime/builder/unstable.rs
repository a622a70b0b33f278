//! The builder's options that are unstable in Tokio: only with `--cfg tokio_unstable`.

use super::{Builder, Kind};
use crate::runtime::{RngSeed, TaskMeta, context};

use std::sync::Arc;

/// What a panic in a spawned task does to the runtime; see [`Builder::unhandled_panic`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum UnhandledPanic {
    /// The panic goes to the task's `JoinHandle`, all other tasks go on. The default.
    Ignore,

    /// The runtime shuts down: tasks are dropped and `block_on` panics.
    ShutdownRuntime,
}

impl Builder {
    /// Sets what a panic in a spawned task does to the runtime.
    ///
    /// # Panics
    ///
    /// Panics if a multi-thread runtime is asked for [`UnhandledPanic::ShutdownRuntime`].
    pub fn unhandled_panic(&mut self, behavior: UnhandledPanic) -> &mut Self {
        let shuts_down = matches!(behavior, UnhandledPanic::ShutdownRuntime);
        if shuts_down && self.kind != Kind::CurrentThread {
            panic!("UnhandledPanic::ShutdownRuntime is only supported in current thread runtime");
        }

        self.unhandled_panic = behavior;
        self
    }

    /// Sends a task that was woken by the running task to the queue, where other workers can
    /// steal it, instead of running it next.
    pub fn disable_lifo_slot(&mut self) -> &mut Self {
        self.disable_lifo_slot = true;
        self
    }

    /// Accepted for compatibility. Each worker has a driver of its own here, and a worker
    /// that blocks is served by its siblings, so there is nothing to hand off.
    #[cfg(feature = "rt-multi-thread")]
    pub fn enable_eager_driver_handoff(&mut self) -> &mut Self {
        self.enable_eager_driver_handoff = true;
        self
    }

    /// Enables the time driver, as Tokio's other implementation of it: timers that are left when
    /// the runtime shuts down fire, where a poll of one would panic otherwise.
    ///
    /// Timers are kept per worker here in any case.
    #[cfg(all(feature = "time", feature = "rt-multi-thread"))]
    pub fn enable_alt_timer(&mut self) -> &mut Self {
        self.alt_timer = true;
        self.enable_time()
    }

    /// Accepted for compatibility, and enables the I/O driver, which is `io_uring` in any case.
    #[cfg(all(feature = "io-uring", feature = "fs"))]
    pub fn enable_io_uring(&mut self) -> &mut Self {
        self.enable_io()
    }

    /// Accepted for compatibility. The blocking pool keeps one queue.
    pub fn enable_sharded_blocking_queue(&mut self) -> &mut Self {
        self
    }

    /// Makes what is random in this runtime come out the same each time: the branch that `select!`
    /// looks at first.
    ///
    /// For the same results the program must enter the runtime, from the same threads in the same
    /// order, in the same way. The second runtime of the same builder has other random numbers
    /// than the first, but always the same ones.
    ///
    /// Such a runtime has one more thread, which sleeps all the time.
    ///
    /// ```
    /// use tokio::runtime::{Builder, RngSeed};
    ///
    /// let rt = Builder::new_current_thread().rng_seed(RngSeed::from_bytes(b"seed")).build().unwrap();
    /// rt.block_on(async {
    ///     tokio::select! {
    ///         _ = async {} => {}
    ///         _ = async {} => {}
    ///     }
    /// });
    /// ```
    pub fn rng_seed(&mut self, seed: RngSeed) -> &mut Self {
        self.host = Some(context::HostBuilder::new(seed));
        self
    }

    /// Runs `f`, inside the runtime's context, before a task is handed to the scheduler.
    ///
    /// A second call replaces the first callback. Tasks of a `LocalSet` are not reported.
    pub fn on_task_spawn<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.before_spawn = Some(Arc::new(f));
        self
    }

    /// Runs `f`, inside the runtime's context, before each poll of a task.
    ///
    /// A second call replaces the first callback.
    pub fn on_before_task_poll<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.before_poll = Some(Arc::new(f));
        self
    }

    /// Runs `f`, inside the runtime's context, after each poll of a task.
    ///
    /// A second call replaces the first callback.
    pub fn on_after_task_poll<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.after_poll = Some(Arc::new(f));
        self
    }

    /// Runs `f`, inside the runtime's context, after a task has ended.
    ///
    /// A second call replaces the first callback. Tasks of a `LocalSet` are not reported.
    pub fn on_task_terminate<F>(&mut self, f: F) -> &mut Self
    where
        F: Fn(&TaskMeta<'_>) + Send + Sync + 'static,
    {
        self.after_termination = Some(Arc::new(f));
        self
    }
}
