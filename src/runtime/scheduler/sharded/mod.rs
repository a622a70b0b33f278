//! The multi-thread scheduler: one shard per worker thread.
//!
//! # Who owns what
//!
//! - A **worker** is an index and what belongs to it for the runtime's life: the stealing end of
//!   its queue, its metrics, its shard of the driver.
//! - Its **core** is the movable run state (queue, tick, counters). Whoever holds the core *is*
//!   the worker. It sits in the worker's slot while nobody runs it.
//! - A **thread** of the blocking pool takes the core and runs it, with a driver of its own.
//!   `block_in_place` puts the core back and has another thread take it. A ring cannot move between
//!   threads, so the new thread makes one of its own when it needs one.
//!
//! # Shutdown
//!
//! 1. The injection queue is closed and every worker woken.
//! 2. Each worker sees that at its next maintenance and stops running tasks.
//! 3. Together they cancel all tasks: futures are dropped, here or, while one runs elsewhere, by
//!    the thread that runs it.
//! 4. Each drops what is left in its queue and drains its ring; the last one ends the drivers
//!    ([`driver`](crate::driver)). A worker that is stuck in a task holds up none of the others.
//! 5. The runtime joins the threads.

mod block_in_place;
#[cfg(all(tokio_unstable, feature = "taskdump"))]
mod dump;
mod handle;
mod idle;
mod pinned;
mod queue;
mod share;
mod tuning;
mod watchdog;
mod worker;

pub(crate) use block_in_place::block_in_place;
pub(crate) use handle::Handle;
pub(crate) use worker::Context;

use crate::driver;
use crate::runtime::{Config, blocking, context, scheduler};

use std::future::Future;
use std::io;
use std::sync::Arc;

/// The owner of a multi-thread scheduler.
#[derive(Debug)]
pub(crate) struct MultiThread;

impl MultiThread {
    /// Sets up `workers` shards and starts their threads.
    pub(crate) fn new(
        workers: usize,
        blocking_spawner: blocking::Spawner,
        config: Config,
        cfg: driver::Cfg,
    ) -> io::Result<(MultiThread, Arc<Handle>)> {
        let (drivers, driver) = driver::new_sharded(&cfg, workers)?;
        let (handle, cores) = Handle::new(driver, drivers, blocking_spawner, config);
        for worker in worker::workers(&handle, cores) {
            worker.launch();
        }
        Ok((MultiThread, handle))
    }

    /// Blocks this thread, which is no worker, on `future`.
    #[track_caller]
    pub(crate) fn block_on<F: Future>(&self, handle: &scheduler::Handle, future: F) -> F::Output {
        context::enter_runtime(handle, true, |blocking| blocking.block_on(future))
    }

    /// Step 1 of the shutdown; dropping the blocking pool waits for the rest.
    pub(crate) fn shutdown(&mut self, handle: &scheduler::Handle) {
        handle.shutdown();
    }
}
