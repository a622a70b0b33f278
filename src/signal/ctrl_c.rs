//! `ctrl_c`.

use crate::signal::unix::{SignalKind, signal};

use std::io;

/// Waits for Ctrl-C: for the first `SIGINT` that arrives after this future was first polled.
///
/// The default of ending the process on `SIGINT` is off from then on, for good, even if the
/// future is dropped. Await it in a loop to go on reacting.
///
/// # Errors
///
/// If no handler can be installed.
///
/// # Panics
///
/// Panics outside the context of a runtime with I/O enabled.
///
/// # Cancel safety
///
/// A `SIGINT` that arrives before the future is polled again is lost if the future is dropped
/// instead. [`signal`] with [`SignalKind::interrupt`] keeps listening.
///
/// # Examples
///
/// ```no_run
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// println!("press Ctrl-C to stop");
/// tokio::signal::ctrl_c().await?;
/// # Ok(())
/// # }
/// ```
pub async fn ctrl_c() -> io::Result<()> {
    signal(SignalKind::interrupt())?.recv().await;
    Ok(())
}
