//! spargio under the name `tokio`.

pub use spargio::*;
