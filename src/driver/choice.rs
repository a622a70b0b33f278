//! Which backend a runtime stands on, and why.
//!
//! # Protocol
//!
//! 1. The variable `SPARGIO_BACKEND` decides, if it is set: the runtime has that backend, or
//!    building it fails.
//! 2. Else a ring is tried. If *anything* is in the way the runtime stands on epoll. Under valgrind none is tried.
//! 3. That rings are allowed is remembered, and so is a refusal that will not pass while the process
//!    lives (forbidden, unknown to the kernel): later runtimes do not ask again. A refusal that may pass
//!    (no memory, no descriptors) is not: the next runtime may have rings.
//! 4. The first choice is announced, and so is the first refusal.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};

use crate::sys::uring::Refused;
use crate::sys::{self, fault};
use crate::util::variables;

/// What the drivers of a runtime stand on, and why: see
/// [`Handle::backend`](crate::runtime::Handle::backend).
///
/// Its `Display` output is one line for people.
#[derive(Debug, Clone)]
pub struct Backend {
    kind: BackendKind,
    reason: Reason,
}

/// The kinds of [`Backend`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BackendKind {
    /// A ring for each worker that has operations to submit.
    IoUring,
    /// No rings.
    Epoll,
}

#[derive(Debug, Clone)]
enum Reason {
    /// The best there is.
    Best,
    /// `SPARGIO_BACKEND` asked for it.
    Forced,
    /// Rings were refused.
    Refused(Arc<io::Error>),
}

impl Backend {
    /// Which it is.
    pub fn kind(&self) -> BackendKind {
        self.kind
    }

    /// Was it chosen by the environment variable `SPARGIO_BACKEND`?
    pub fn is_forced(&self) -> bool {
        matches!(self.reason, Reason::Forced)
    }

    /// Why there is no `io_uring`, if that was tried. The text names the system call, its error and
    /// what can be done about it.
    ///
    /// [`io::Error::raw_os_error`] of this error is `None`; its [`kind`](io::Error::kind) is that of the
    /// system's error.
    pub fn refusal(&self) -> Option<&io::Error> {
        match &self.reason {
            Reason::Refused(error) => Some(error),
            Reason::Best | Reason::Forced => None,
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Reason::Best => write!(f, "{}", self.kind),
            Reason::Forced => write!(f, "{}, as {} asks for", self.kind, variables::BACKEND.name),
            Reason::Refused(error) => write!(f, "{}, since rings are refused: {error}", self.kind),
        }
    }
}

impl BackendKind {
    const ALL: [BackendKind; 2] = [BackendKind::IoUring, BackendKind::Epoll];

    /// Its name as a value of the variable.
    fn name(self) -> &'static str {
        match self {
            BackendKind::IoUring => "io_uring",
            BackendKind::Epoll => "epoll",
        }
    }
}

/// What to try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Choice {
    Best,
    Only(BackendKind),
}

impl Choice {
    /// What the environment asks for.
    ///
    /// # Errors
    ///
    /// If it is nothing that exists.
    pub(super) fn of_process() -> io::Result<Choice> {
        if let Some(forced) = fault::backend() {
            return Choice::parse(forced);
        }
        variables::BACKEND.read().map(Choice::named)
    }

    fn parse(value: &str) -> io::Result<Choice> {
        variables::BACKEND.parse(value.as_ref()).map(Choice::named)
    }

    fn named(name: Option<&str>) -> Choice {
        let kind = BackendKind::ALL.into_iter().find(|kind| Some(kind.name()) == name);
        kind.map_or(Choice::Best, Choice::Only)
    }

    /// Decides.
    pub(super) fn make(self) -> io::Result<Backend> {
        self.make_with(rings)
    }

    fn make_with(self, rings: impl FnOnce() -> io::Result<()>) -> io::Result<Backend> {
        let backend = match self {
            Choice::Only(kind @ BackendKind::IoUring) => {
                rings()?;
                Backend { kind, reason: Reason::Forced }
            }
            Choice::Only(kind @ BackendKind::Epoll) => Backend { kind, reason: Reason::Forced },
            Choice::Best => match refused_finally().map_or_else(|| try_rings(rings).map_err(Arc::new), Err) {
                Ok(()) => Backend { kind: BackendKind::IoUring, reason: Reason::Best },
                Err(refusal) => {
                    remember(&refusal);
                    Backend { kind: BackendKind::Epoll, reason: Reason::Refused(refusal) }
                }
            },
        };
        announce(&backend);
        Ok(backend)
    }
}

fn try_rings(rings: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    if is_under_valgrind() {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "cannot create an io_uring: the process runs under valgrind, which runs one thread at a time and lets \
             none go that waits in a ring",
        ));
    }
    rings()
}

/// Valgrind (3.19) knows `io_uring_enter` for a call that does not wait. It preloads a library of its own.
fn is_under_valgrind() -> bool {
    let preloaded = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    preloaded.to_string_lossy().contains("/vgpreload_")
}

/// May this process have rings? Once it had one it may: a thread that gets none later does without.
fn rings() -> io::Result<()> {
    static ALLOWED: AtomicBool = AtomicBool::new(false);

    if ALLOWED.load(Relaxed) && !fault::is_scripted() {
        return Ok(());
    }
    sys::uring::try_one()?;
    ALLOWED.store(!fault::is_scripted() || ALLOWED.load(Relaxed), Relaxed);
    Ok(())
}

static FINAL: OnceLock<Arc<io::Error>> = OnceLock::new();

fn refused_finally() -> Option<Arc<io::Error>> {
    FINAL.get().filter(|_| !fault::is_scripted()).cloned()
}

fn remember(refusal: &Arc<io::Error>) {
    if Refused::is_final(refusal) && !fault::is_scripted() {
        // Another thread's is as good.
        let _ = FINAL.set(refusal.clone());
    }
}

/// Says what was chosen, once for each process, and that rings were refused, once as well.
///
/// With the feature `tracing` and a subscriber: an event, a warning for a refusal. Else only a
/// refusal is worth a line, on the standard error output: nobody asked for it, and somebody can do
/// something about it.
fn announce(backend: &Backend) {
    static SAID: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];

    let is_refused = backend.refusal().is_some();
    if SAID[usize::from(is_refused)].swap(true, Relaxed) || fault::is_scripted() {
        return;
    }
    #[cfg(feature = "tracing")]
    if tracing::dispatcher::has_been_set() {
        if is_refused {
            tracing::warn!(target: "spargio", "this runtime stands on {backend}");
        } else {
            tracing::info!(target: "spargio", "this runtime stands on {backend}");
        }
        return;
    }
    if is_refused {
        let variable = variables::BACKEND.name;
        // An error: nobody reads it.
        let _ = writeln!(
            io::stderr(),
            "spargio: this runtime stands on {backend} ({variable}=epoll accepts that and silences this \
             line, {variable}=io_uring makes it an error)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(errno: i32) -> io::Error {
        Refused::explain(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn the_variable_names_a_backend() {
        assert_eq!(Choice::parse("io_uring").unwrap(), Choice::Only(BackendKind::IoUring));
        assert_eq!(Choice::parse("epoll").unwrap(), Choice::Only(BackendKind::Epoll));
        assert_eq!(Choice::parse("").unwrap(), Choice::Best);
        for wrong in ["uring", "EPOLL", " epoll", "auto"] {
            let error = Choice::parse(wrong).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
            assert_eq!(
                error.to_string(),
                format!(
                    "SPARGIO_BACKEND must be \"io_uring\" or \"epoll\", or not set at all; it is {wrong:?}"
                )
            );
        }
    }

    #[test]
    fn who_asks_for_one_gets_it_or_an_error() {
        let no = || Err(refusal(libc::EPERM));
        let kind = |made: io::Result<Backend>| made.map(|backend| (backend.kind(), backend.is_forced()));
        let rings = Choice::Only(BackendKind::IoUring);
        assert_eq!(kind(rings.make_with(|| Ok(()))).unwrap(), (BackendKind::IoUring, true));
        assert_eq!(kind(rings.make_with(no)).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let epoll = Choice::Only(BackendKind::Epoll);
        assert_eq!(kind(epoll.make_with(no)).unwrap(), (BackendKind::Epoll, true));
    }

    #[test]
    fn what_may_pass_is_not_final() {
        for errno in [libc::EPERM, libc::EACCES, libc::ENOSYS, libc::EINVAL, libc::EOPNOTSUPP] {
            assert!(Refused::is_final(&refusal(errno)));
        }
        for errno in [libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::EAGAIN] {
            assert!(!Refused::is_final(&refusal(errno)));
        }
    }
}
