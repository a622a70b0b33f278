//! Meeting crates that are bound to the published Tokio.
//!
//! Renaming a dependency renames it for one crate. A library further down that depends on `tokio`
//! itself still calls the published one: its `spawn`, its `sleep`, its sockets. Inside of our tasks
//! these calls find a runtime of that Tokio, the *host*, which this feature gives drivers; what
//! they start runs there, and wakes our tasks as it would wake its own. So HTTP clients, database
//! drivers and the like work as they are. (The I/O traits, `sync` and the macros are the same
//! items in both crates and need nothing of this.)
//!
//! Such a library may spawn *your* code: the handlers of a server, what a `TaskTracker` or a
//! `TokioExecutor` is given. That code runs on the host's threads, and there our runtime is the
//! current one: `spawn`, `time`, `fs`, `net`, `process` and `Handle::current()` of this crate are those of
//! the runtime whose host it is.
//!
//! # What runs where
//!
//! | in a third-party crate | runs on |
//! |---|---|
//! | its futures, awaited by our tasks | our workers |
//! | `tokio::spawn` | the host: one thread, `spargio-host` |
//! | `tokio::task::spawn_blocking` | the host's blocking pool |
//! | sockets, timers | registered with the host's epoll and timer wheel; the data moves on our workers |
//!
//! Each of our runtimes has a host of its own: a thread, an epoll instance and an event descriptor, about a tenth
//! of a millisecond to start. A `current_thread` runtime's, or a `LocalRuntime`'s, has no thread until something needs it: a
//! task, timer or socket of the published Tokio, [`handle`], or a runtime without `enable_io`. As on such a runtime of the
//! published Tokio, `block_in_place` panics in what is spawned there, and who waits outside of the runtime for its
//! timers and sockets, by a `Handle` of the published Tokio's, may have to wait until somebody drives the runtime.
//!
//! A host ends with the runtime, as part of the runtime's
//! [shutdown](crate::runtime::Runtime#shutdown): tasks that a third-party crate spawned are dropped
//! when ours have been. A paused clock (`time::pause`) does not pause its timers.
//!
//! What is spawned from a thread outside of all runtimes, with [`handle`], belongs to none of ours: our
//! `spawn` and the like panic in it.
//!
//! Where a crate takes or returns a socket of the published Tokio, convert it: [`Interop`]. Where it
//! wants to be called inside of that runtime but is called on another thread, enter [`handle`].
//!
//! # Off
//!
//! The feature `full` includes `interop`. To be without it, list the features you need, or set the
//! environment variable `SPARGIO_INTEROP=off`. Then the host has no drivers, and sockets and
//! timers of the published Tokio panic: "A Tokio 1.x context was found, but IO is disabled", or
//! "but timers are disabled". Its tasks, channels and locks work. What that spares is an epoll
//! descriptor, and a wake-up of the host whenever such a socket is ready.

#[cfg(feature = "net")]
mod net;
#[cfg(feature = "net")]
#[cfg_attr(docsrs, doc(cfg(feature = "net")))]
pub use net::Interop;

/// Has the host of third-party crates drivers?
///
/// `false` if the environment variable `SPARGIO_INTEROP` is `off` or `0`.
pub fn is_enabled() -> bool {
    crate::runtime::context::host_has_drivers()
}

/// The published Tokio's handle of the host: of the current runtime's, or of one that no runtime has, for
/// threads that are in none. Its thread is there then, so that whatever is done with the handle gets on.
///
/// ```
/// let handle = tokio::interop::handle();
/// let answer = handle.block_on(async { 6 * 7 });
/// assert_eq!(answer, 42);
/// ```
///
/// # Panics
///
/// If the thread of one that no runtime has cannot be started.
pub fn handle() -> upstream::runtime::Handle {
    crate::runtime::context::host_handle()
}
