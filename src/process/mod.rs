//! Child processes.
//!
//! [`Command`] describes a process as [`std::process::Command`] does; what waits for the child
//! it starts is asynchronous here: [`spawn`](Command::spawn) returns a [`Child`] to wait for and
//! talk to, [`status`](Command::status) waits for the exit, [`output`](Command::output) collects
//! what the child writes.
//!
//! # Examples
//!
//! ```
//! use tokio::process::Command;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let output = Command::new("echo").arg("hello").output().await?;
//! assert!(output.status.success());
//! assert_eq!(output.stdout, b"hello\n");
//! # Ok(())
//! # }
//! ```
//!
//! A child whose streams are piped can be talked to while it runs:
//!
//! ```
//! use std::process::Stdio;
//! use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
//! use tokio::process::Command;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mut child = Command::new("cat")
//!     .stdin(Stdio::piped())
//!     .stdout(Stdio::piped())
//!     .spawn()?;
//!
//! let mut stdin = child.stdin.take().expect("stdin is piped");
//! let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
//!
//! stdin.write_all(b"first\n").await?;
//! assert_eq!(lines.next_line().await?.as_deref(), Some("first"));
//!
//! // The child sees the end of its input, and exits.
//! drop(stdin);
//! assert_eq!(lines.next_line().await?, None);
//! assert!(child.wait().await?.success());
//! # Ok(())
//! # }
//! ```
//!
//! One child's output becomes another's input without passing through this process:
//!
//! ```
//! use std::process::Stdio;
//! use tokio::process::Command;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mut echo = Command::new("echo").arg("hello").stdout(Stdio::piped()).spawn()?;
//! let pipe: Stdio = echo.stdout.take().expect("stdout is piped").try_into()?;
//! let output = Command::new("tr").args(["a-z", "A-Z"]).stdin(pipe).output().await?;
//! assert_eq!(output.stdout, b"HELLO\n");
//! assert!(echo.wait().await?.success());
//! # Ok(())
//! # }
//! ```
//!
//! # A child outlives its handle
//!
//! Dropping a [`Child`], or the future of [`status`](Command::status) or
//! [`output`](Command::output), does not end the process, unless
//! [`kill_on_drop`](Command::kill_on_drop) says so.
//!
//! A process that has exited remains a *zombie* until its parent has taken notice. The runtime
//! does that for children whose handle is gone: when it hears of the exit, or, if it ended
//! first, when another one of the process gets to it. Neither comes with a promise of when. Who
//! needs certainty awaits [`Child::wait`].
//!
//! # How the exit is noticed
//!
//! Through a pidfd in the ring. Where there are none (before Linux 5.3, or forbidden), through
//! `SIGCHLD`, whose handler then stays for the rest of the process's life.

mod child;
pub use child::Child;

mod child_stderr;
pub use child_stderr::ChildStderr;

mod child_stdin;
pub use child_stdin::ChildStdin;

mod child_stdout;
pub use child_stdout::ChildStdout;

mod command;
pub use command::Command;

mod exit;
mod output;
mod pipe;

#[cfg(all(test, feature = "rt", feature = "time"))]
mod tests;
