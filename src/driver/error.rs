//! Texts that Tokio's users (and tests) know.

/// No runtime on this thread.
pub(crate) const CONTEXT_MISSING_ERROR: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";

/// The runtime a resource belongs to is going away.
pub(crate) const RUNTIME_SHUTTING_DOWN_ERROR: &str =
    "A Tokio 1.x context was found, but it is being shutdown.";

/// Asked for the runtime while the thread's locals are being destroyed.
pub(crate) const THREAD_LOCAL_DESTROYED_ERROR: &str =
    "The Tokio context thread-local variable has been destroyed.";

/// What `into_std` and the like say instead of losing something.
pub(crate) const LEFTOVERS_ERROR: &str = "a native operation that was dropped has received something which nobody has read yet, or is about to: \
     call `native().leftovers()` first";
