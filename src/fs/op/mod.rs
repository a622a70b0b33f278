//! What leaves the task: one function per call to the file system.
//!
//! The public layer decides what is called, in which order, and what becomes of the result; it does
//! not know where the call runs. That is decided here, for each call on its own:
//!
//! - [`path`]: calls that name files by their path. Each takes its paths by reference and copies
//!   them before it leaves.
//! - [`file`]: calls on an open file. Those that move the cursor carry the file's buffer along and
//!   are a [`Call`](file::Call), which can be polled from anywhere and outlives the future that
//!   began it; the others are plain futures.
//!
//! All of them run on the blocking pool. A call on its way holds a reference to the file, so the
//! descriptor stays open until it is back.

pub(super) mod file;
pub(super) mod path;

use crate::runtime::spawn_blocking;

use std::io;

/// What a call reports that never ran, or panicked.
const BACKGROUND_TASK_FAILED: &str = "background task failed";

/// Runs `call` on the blocking pool.
async fn asyncify<T, F>(call: F) -> io::Result<T>
where
    F: FnOnce() -> io::Result<T> + Send + 'static,
    T: Send + 'static,
{
    spawn_blocking(call)
        .await
        .unwrap_or_else(|_| Err(background_task_failed()))
}

fn background_task_failed() -> io::Error {
    io::Error::other(BACKGROUND_TASK_FAILED)
}
