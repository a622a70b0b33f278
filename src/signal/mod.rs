//! Signals sent to this process.
//!
//! [`ctrl_c`] waits for an interrupt from the terminal; [`unix::signal`] listens for any signal
//! that can be handled.
//!
//! # Examples
//!
//! Stop on Ctrl-C:
//!
//! ```no_run
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! tokio::signal::ctrl_c().await?;
//! println!("on the way out");
//! # Ok(())
//! # }
//! ```
//!
//! Reload on every hangup:
//!
//! ```no_run
//! use tokio::signal::unix::{SignalKind, signal};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mut hangups = signal(SignalKind::hangup())?;
//! loop {
//!     hangups.recv().await;
//!     println!("reloading");
//! }
//! # }
//! ```
//!
//! # What to know about signals
//!
//! - The first listener of a kind installs a handler, **for the rest of the process's life**: a
//!   signal that used to end the process does not any more, even when all listeners are gone.
//! - Signals of a kind that arrive close together may be reported as one.

mod ctrl_c;
pub use ctrl_c::ctrl_c;

pub mod unix;
