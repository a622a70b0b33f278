//! What goes wrong, and what to do about it.

use std::fmt;
use std::io;

pub(crate) type Result<T> = std::result::Result<T, Problem>;

/// An error that says what to do.
#[derive(Debug)]
pub(crate) struct Problem {
    code: u8,
    what: String,
    cures: Vec<String>,
}

impl Problem {
    pub(crate) fn new(what: impl Into<String>) -> Problem {
        Problem { code: 1, what: what.into(), cures: Vec::new() }
    }

    /// The command line is at fault.
    pub(crate) fn usage(what: impl Into<String>) -> Problem {
        Problem { code: 2, ..Problem::new(what) }.cure("`cargo spargio help` lists the commands")
    }

    #[must_use]
    pub(crate) fn cure(mut self, what_to_do: impl Into<String>) -> Problem {
        self.cures.push(what_to_do.into());
        self
    }

    /// The exit code: 1 for what was refused or has failed, 2 for a command line that is none.
    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        self.cures.iter().try_for_each(|cure| writeln!(f, "  help: {cure}"))
    }
}

/// Says which file or program an error of the system is about.
pub(crate) trait About<T> {
    fn about(self, what: impl fmt::Display) -> Result<T>;
}

impl<T> About<T> for io::Result<T> {
    fn about(self, what: impl fmt::Display) -> Result<T> {
        self.map_err(|error| Problem::new(format!("{what}: {error}")))
    }
}
