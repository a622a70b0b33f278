//! Which way the bytes of a connection take.

use crate::util::variables;

use std::fmt;
use std::io;

/// How `AsyncRead` and `AsyncWrite` of a stream move their bytes, with no change to the code that
/// uses them.
///
/// Set for one stream with `set_lane`, for all streams of a runtime with
/// [`Builder::lane`](crate::runtime::Builder::lane), for all of a program that says neither with the
/// environment variable `SPARGIO_LANE`, which is `readiness`, `native` or `auto`.
///
/// Only streams on the rings of `io_uring` have lanes. Elsewhere, and on threads that are no workers
/// of the stream's runtime, everything takes the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[cfg_attr(not(feature = "uring-native"), allow(unreachable_pub))]
pub enum Lane {
    /// A system call for each read and each write, as on Tokio. A write that returned is with the
    /// kernel.
    #[default]
    Readiness,
    /// While a worker is busy with many connections, small writes are kept until the end of its turn
    /// and then handed to the kernel together: `SEND` (Linux 5.6), all in one system call.
    ///
    /// *Written* means accepted then: the bytes go out when the worker has run the tasks that were
    /// ready (at most 122), whatever becomes of the stream and of its task in the meantime, and when the
    /// process ends (`main` returns, [`std::process::exit`]; not by `abort`, `exec` or a signal). An error is
    /// reported by the next write, flush or shutdown. Reads are served as on the readiness lane.
    Native,
    /// The readiness lane until the stream has had many small writes in busy turns, the native one as
    /// long as that goes on.
    Auto,
}

impl Lane {
    const ALL: [Lane; 3] = [Lane::Readiness, Lane::Native, Lane::Auto];

    fn name(self) -> &'static str {
        match self {
            Lane::Readiness => "readiness",
            Lane::Native => "native",
            Lane::Auto => "auto",
        }
    }

    /// What the environment asks for.
    ///
    /// # Errors
    ///
    /// If it is nothing that exists.
    pub(super) fn of_process() -> io::Result<Lane> {
        let name = variables::LANE.read()?;
        Ok(Lane::ALL.into_iter().find(|lane| Some(lane.name()) == name).unwrap_or_default())
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
