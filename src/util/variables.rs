//! The variables of the environment that a runtime heeds: docs/OPERATIONS.md has them in a table.
//!
//! There is one reader for all of them, and it is strict: a value that means nothing is an error of
//! `Builder::build`, since whoever set it meant something. Not set and empty are the same. Each is read once, for all of
//! the process: a lookup costs more than many of the other things that `build` does.
//!
//! `cargo-spargio` includes this file to look for misspelt names.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::sync::OnceLock;

/// One of them.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) values: &'static [&'static str],
    /// What it is, once it was found to be good.
    found: OnceLock<Option<&'static str>>,
}

/// What a runtime stands on.
pub(crate) static BACKEND: Variable =
    Variable { name: "SPARGIO_BACKEND", values: &["io_uring", "epoll"], found: OnceLock::new() };
/// What streams take whose program does not say.
pub(crate) static LANE: Variable =
    Variable { name: "SPARGIO_LANE", values: &["readiness", "native", "auto"], found: OnceLock::new() };
/// Native operations do without the ring.
pub(crate) static NATIVE: Variable =
    Variable { name: "SPARGIO_NATIVE", values: &["emulated"], found: OnceLock::new() };
/// Do crates that are bound to the published Tokio find drivers?
pub(crate) static INTEROP: Variable =
    Variable { name: "SPARGIO_INTEROP", values: &["on", "off", "1", "0"], found: OnceLock::new() };

pub(crate) static ALL: [&Variable; 4] = [&BACKEND, &LANE, &NATIVE, &INTEROP];

impl Variable {
    /// Which of its values it has.
    ///
    /// # Errors
    ///
    /// If it is none of them.
    pub(crate) fn read(&self) -> io::Result<Option<&'static str>> {
        if let Some(found) = self.found.get() {
            return Ok(*found);
        }
        let found = env::var_os(self.name).map_or(Ok(None), |value| self.parse(&value))?;
        Ok(*self.found.get_or_init(|| found))
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

/// Looks at all of them.
///
/// # Errors
///
/// If one has a value that means nothing.
pub(crate) fn check() -> io::Result<()> {
    ALL.iter().try_for_each(|variable| variable.read().map(drop))
}
