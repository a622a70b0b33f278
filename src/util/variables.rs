//! The variables of the environment that a runtime heeds: docs/OPERATIONS.md has them in a table.
//!
//! There is one reader for all of them, and it is strict: a value that means nothing is an error of
//! `Builder::build`, since whoever set it meant something. Not set and empty are the same. The first runtime that is
//! built reads them, for all of the process: a lookup costs more than many of the other things that `build` does.
//!
//! `cargo-spargio` includes this file to look for misspelt names.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// One of them.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [&'static str],
}

/// What a runtime stands on.
pub(crate) const BACKEND: Variable = Variable { name: "SPARGIO_BACKEND", values: &["io_uring", "epoll"] };
/// What streams take whose program does not say.
pub(crate) const LANE: Variable = Variable { name: "SPARGIO_LANE", values: &["readiness", "native", "auto"] };
/// Native operations do without the ring.
pub(crate) const NATIVE: Variable = Variable { name: "SPARGIO_NATIVE", values: &["emulated"] };
/// Do crates that are bound to the published Tokio find drivers?
pub(crate) const INTEROP: Variable = Variable { name: "SPARGIO_INTEROP", values: &["on", "off", "1", "0"] };

pub(crate) const ALL: [&Variable; 4] = [&BACKEND, &LANE, &NATIVE, &INTEROP];

impl Variable {
    /// Which of its values it has.
    ///
    /// # Errors
    ///
    /// If it is none of them.
    pub(crate) fn read(&self) -> io::Result<Option<&'static str>> {
        env::var_os(self.name).map_or(Ok(None), |value| self.parse(&value))
    }

    /// Which of its values this is; none if it is empty.
    pub(crate) fn parse(&self, value: &OsStr) -> io::Result<Option<&'static str>> {
        if value.is_empty() {
            return Ok(None);
        }
        let known = self.values.iter().find(|known| value == **known).copied();
        known.map(Some).ok_or_else(|| {
            let allowed: Vec<_> = self.values.iter().map(|known| format!("{known:?}")).collect();
            let allowed = match &allowed[..] {
                [all @ .., last] if !all.is_empty() => format!("{} or {last}", all.join(", ")),
                all => all.concat(),
            };
            let text = format!("{} must be {allowed}, or not set at all; it is {value:?}", self.name);
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })
    }
}

/// Looks at all of them, until they were found to be good.
///
/// # Errors
///
/// If one has a value that means nothing.
pub(crate) fn check() -> io::Result<()> {
    static ARE_GOOD: AtomicBool = AtomicBool::new(false);

    if !ARE_GOOD.load(Relaxed) {
        ALL.iter().try_for_each(|variable| variable.read().map(drop))?;
        ARE_GOOD.store(true, Relaxed);
    }
    Ok(())
}
