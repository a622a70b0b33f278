//! Texts of errors and panics that more than one module reports, word for word Tokio's:
//! programs and tests look for them.

/// No runtime is current on this thread.
pub(crate) const CONTEXT_MISSING_ERROR: &str =
    "there is no reactor running, must be called from the context of a Tokio 1.x runtime";

/// The runtime was shut down; its drivers serve nobody any more.
pub(crate) const RUNTIME_SHUTTING_DOWN_ERROR: &str =
    "A Tokio 1.x context was found, but it is being shutdown.";

/// The thread is ending and no longer knows its runtime.
pub(crate) const THREAD_LOCAL_DESTROYED_ERROR: &str =
    "The Tokio context thread-local variable has been destroyed.";
