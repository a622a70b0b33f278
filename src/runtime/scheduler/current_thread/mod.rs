//! The `current_thread` flavour: all tasks run on whichever thread calls `block_on`.
//!
//! # Protocol
//!
//! * There is one [`Context`] (with the run queue and counters, the [`Core`]) and one driver, under a lock that is held
//!   by the one thread that is driving the scheduler, and that nobody waits for.
//! * `block_on` tries to lock them. While another thread has them, it polls its own future only, and waits
//!   for that future or for the lock to become free, whichever is first.
//! * A [`CoreGuard`] gives both back, also when the future panics, and tells one waiting thread.
//!   The driver is attached to the driving thread for exactly as long as the guard lives.
//! * The driving thread pushes woken tasks to the local queue, without a lock. All others push to
//!   the injection queue and then unpark the driver.
//! * The waker of a `block_on` future sets the flag `woken`, which is part of "there is work to
//!   do", and unparks the driver if it comes from another thread.
//! * No borrow of the core is held while user code runs.
//!
//! # Shutdown
//!
//! 1. The list of tasks is closed and each task in it is cancelled: its future is dropped here.
//! 2. The local queue is drained and refuses tasks from now on.
//! 3. The injection queue is closed and drained. No reference to a runnable task is left.
//! 4. The last counters are published.
//! 5. The driver shuts down: timers fire with an error, operations are cancelled, the ring closes.

mod core;
pub(crate) use self::core::Context;
use self::core::Core;

#[cfg(all(tokio_unstable, feature = "taskdump"))]
mod dump;

mod handle;
pub(crate) use handle::Handle;

use crate::driver::{self, Driver};
use crate::loom::sync::{Mutex, MutexGuard};
use crate::runtime::{Config, Home, blocking, context, scheduler};
use crate::upstream::sync::Notify;

use std::fmt;
use std::future::{Future, poll_fn};
use std::mem;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll::Ready;
use std::thread::{self, ThreadId};

/// The owner of a `current_thread` scheduler.
pub(crate) struct CurrentThread {
    /// Locked while a thread drives the scheduler, user code included; only ever tried.
    driving: Mutex<Box<Driving>>,
    /// Tells one waiting `block_on` that the lock is free again.
    freed: Notify,
}

/// The right to drive the scheduler, which goes back when it is dropped.
struct CoreGuard<'a> {
    scheduler: &'a CurrentThread,
    /// `Some` until the guard is dropped.
    driving: Option<MutexGuard<'a, Box<Driving>>>,
}

/// What it takes to drive the scheduler.
struct Driving {
    /// Always a `CurrentThread`, with the core in it.
    context: scheduler::Context,
    driver: Driver,
}

impl CurrentThread {
    /// Makes the scheduler. `local_tid` is the owning thread of a `LocalRuntime`.
    pub(crate) fn new(
        driver: Driver,
        driver_handle: driver::Handle,
        blocking_spawner: blocking::Spawner,
        config: Config,
        local_tid: Option<ThreadId>,
    ) -> (CurrentThread, Arc<Handle>) {
        let handle = Arc::new(Handle::new(driver_handle, blocking_spawner, config, local_tid));
        let core = Core::new(&handle);
        let context = scheduler::Context::CurrentThread(Context::new(handle.clone(), core));
        let driving = Box::new(Driving { context, driver });
        let scheduler = CurrentThread { driving: Mutex::new(driving), freed: Notify::new() };
        (scheduler, handle)
    }

    /// Runs `future` to its end, and the scheduler's tasks meanwhile unless another thread does.
    #[track_caller]
    pub(crate) fn block_on<F: Future>(&self, handle: &scheduler::Handle, future: F) -> F::Output {
        context::enter_runtime_with(handle, false, future, |blocking, mut future| {
            let handle = handle.as_current_thread();

            loop {
                if let Some(guard) = self.take_core() {
                    handle.worker_metrics(0).set_thread();
                    return guard.block_on(future);
                }

                let mut freed = pin!(self.freed.notified());
                let output = blocking.block_on(poll_fn(|cx| {
                    if freed.as_mut().poll(cx).is_ready() {
                        return Ready(None);
                    }
                    future.as_mut().poll(cx).map(Some)
                }));
                if let Some(output) = output {
                    return output;
                }
            }
        })
    }

    fn take_core(&self) -> Option<CoreGuard<'_>> {
        let driving = self.driving.try_lock()?;
        Some(CoreGuard { scheduler: self, driving: Some(driving) })
    }

    /// Shuts down; see the [module's steps](self).
    pub(crate) fn shutdown(&mut self, handle: &scheduler::Handle) {
        let handle = handle.as_current_thread();

        let mut guard = match self.take_core() {
            Some(guard) => guard,
            // Another panic would abort the process.
            None if thread::panicking() => return,
            None => panic!("Oh no! We never placed the Core back, this is a bug!"),
        };

        handle.mailroom.close();

        let (context, driver) = guard.parts();
        let inner = context.expect_current_thread();

        // Without a context (this thread's locals are being destroyed) a destructor that spawns
        // fails, as it would anyway.
        if context::with_current(|_| ()).is_ok() {
            context::set_scheduler(context, || inner.shutdown());
        } else {
            inner.shutdown();
        }

        driver.shutdown(&handle.driver);
    }
}

impl fmt::Debug for CurrentThread {
    fn fmt(&self, fmt: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt.debug_struct("CurrentThread").finish()
    }
}

impl CoreGuard<'_> {
    fn parts(&mut self) -> (&scheduler::Context, &mut Driver) {
        let Driving { context, driver } = &mut ***self.driving.as_mut().expect("taken by `drop` only");
        (context, driver)
    }

    #[track_caller]
    fn block_on<F: Future>(mut self, future: Pin<&mut F>) -> F::Output {
        let (context, driver) = self.parts();
        let inner = context.expect_current_thread();
        let output = {
            let attached = Attached::new(driver);
            context::set_scheduler(context, || run(inner, attached.driver, future))
        };
        drop(self);

        match output {
            Some(output) => output,
            None => panic!(
                "a spawned task panicked and the runtime is configured to shut down on unhandled panic"
            ),
        }
    }
}

impl Drop for CoreGuard<'_> {
    fn drop(&mut self) {
        let deferred =
            self.driving.take().map(|driving| driving.context.expect_current_thread().take_deferred());
        // The lock is free.
        self.scheduler.freed.notify_one();
        drop(deferred);
    }
}

/// Ties the driver to this thread until dropped.
struct Attached<'a> {
    driver: &'a mut Driver,
}

impl<'a> Attached<'a> {
    fn new(driver: &'a mut Driver) -> Attached<'a> {
        driver.attach();
        Attached { driver }
    }
}

impl Drop for Attached<'_> {
    fn drop(&mut self) {
        self.driver.detach();
    }
}

/// The scheduler's loop. Returns `None` if a task's panic shut the scheduler down.
fn run<F: Future>(context: &Context, driver: &mut Driver, mut future: Pin<&mut F>) -> Option<F::Output> {
    let handle = context.handle();

    // The first turn polls the future.
    let mut is_first = true;
    let mut cx = std::task::Context::from_waker(context.waker());

    // Tasks of this runtime may have waited for this very thread.
    Home::open();
    context.start_processing();
    'turn: loop {
        if handle.reset_woken() | mem::take(&mut is_first) {
            if let Ready(output) = context::budget(|| future.as_mut().poll(&mut cx)) {
                return Some(output);
            }
        }

        for _ in 0..handle.config().tasks_until_turn(context.ready_tasks()) {
            if context.unhandled_panic() {
                return None;
            }
            let Some(task) = context.next_task() else {
                context.end_processing();
                if context.has_pending_work() {
                    context.park_yield(driver);
                } else {
                    context.park(driver);
                }
                context.start_processing();
                continue 'turn;
            };
            context.run_task(task);
        }

        // Time for timers and I/O, however many tasks are ready.
        context.end_processing();
        context.park_yield(driver);
        context.start_processing();
    }
}
