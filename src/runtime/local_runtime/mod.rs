//! A `current_thread` runtime that never leaves its thread.

mod runtime;
pub use runtime::LocalRuntime;
pub(super) use runtime::LocalRuntimeScheduler;

mod options;
pub use options::LocalOptions;
