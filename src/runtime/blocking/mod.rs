//! The blocking pool: threads on which a closure may block.
//!
//! # Protocol
//!
//! * A closure becomes an [unowned task](crate::runtime::task::UnownedTask): it has a `JoinHandle`
//!   and can be cancelled until a thread has picked it up, but it is in no runtime's task list.
//! * Tasks wait in one queue. The spawner either wakes an idle thread, starts a new one, or, at the
//!   limit of threads, leaves the task for whichever thread is free next.
//! * A thread that found nothing to do for the keep-alive time ends; it leaves its own
//!   `JoinHandle` behind and joins the thread that ended before it.
//!
//! # Shutdown
//!
//! 1. The pool is marked as shut down: later tasks are cancelled on arrival.
//! 2. Idle threads wake up and drain the queue: mandatory tasks run, all others are cancelled.
//! 3. Each thread drops its half of the [`shutdown`] channel as the last thing it does.
//! 4. The caller waits for that channel (with a limit, if there is one), then joins all threads.
//!    When the time is over it leaves the threads to themselves.

mod pool;
#[cfg(all(tokio_unstable, feature = "tracing"))]
pub(crate) use pool::Mandatory;
pub(crate) use pool::{BlockingPool, Spawner, spawn_blocking, spawn_mandatory_blocking};

mod schedule;
mod shutdown;

mod task;
pub(crate) use task::BlockingTask;

use crate::runtime::Builder;

/// Makes the pool of one runtime: at most `thread_cap` threads, `scheduler_threads` of which are
/// the runtime's own workers.
pub(crate) fn create_blocking_pool(
    builder: &Builder,
    thread_cap: usize,
    scheduler_threads: usize,
) -> BlockingPool {
    BlockingPool::new(builder, thread_cap, scheduler_threads)
}
