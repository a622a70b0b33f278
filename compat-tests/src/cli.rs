//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use regex::Regex;

use crate::suite::Suite;

/// Run the published suites of tokio, tokio-util and tokio-stream against spargio.
///
/// Exit code: 0 if everything real tokio passes here passes (or, with --known-failures, if the
/// failures are exactly the listed ones), 1 if not, 2 if the run could not take place.
#[derive(Clone, Debug, Parser)]
#[command(name = "compat-tests")]
pub struct Options {
    /// Which suite to run
    #[arg(long, value_enum, default_value_t = SuiteChoice::Tokio)]
    pub suite: SuiteChoice,

    /// Run the examples in tokio's documentation instead of a suite
    #[arg(long, conflicts_with_all = ["suite", "files", "known_failures"])]
    pub docs: bool,

    /// Compare the public interface with tokio's instead of running anything
    #[arg(long, conflicts_with_all = ["suite", "docs", "filter", "files", "known_failures", "record_baseline"])]
    pub api: bool,

    /// Run the tests of published crates that stand on Tokio, with spargio as the `tokio` of
    /// their whole graph; --filter chooses among the crates
    #[arg(long, conflicts_with_all = ["suite", "docs", "api", "files", "known_failures", "cfg_unstable", "json"])]
    pub ecosystem: bool,

    /// Bring patch/ up to date: the package named tokio that is spargio, for `[patch.crates-io]`
    #[arg(long, conflicts_with_all = ["suite", "docs", "api", "ecosystem", "filter", "files", "known_failures"])]
    pub patch: bool,

    /// Run the tests whose `file::test` name matches
    #[arg(long, value_name = "REGEX")]
    pub filter: Option<Regex>,

    /// Build and run the test files whose name (without `.rs`) matches
    #[arg(long, value_name = "REGEX")]
    pub files: Option<Regex>,

    /// What spargio stands on; reaches the tests as SPARGIO_BACKEND
    #[arg(long, value_enum, default_value_t = Backend::IoUring)]
    pub backend: Backend,

    /// What streams take; reaches the tests as SPARGIO_LANE
    #[arg(long, value_enum, default_value_t = Lane::Readiness)]
    pub lane: Lane,

    /// Build with `--cfg tokio_unstable` and the features it unlocks
    #[arg(long)]
    pub cfg_unstable: bool,

    /// Write every result to FILE as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Run the suites over real tokio and write compat-tests/baseline
    #[arg(long, conflicts_with_all = ["filter", "files", "known_failures"])]
    pub record_baseline: bool,

    /// How many tests to run, and crates to build, at once [default: number of cores]
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,

    /// Seconds a test may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,

    /// Compare with a list of failures (`file::test` lines): a failure that is not on it and a
    /// listed test that passes both make the run fail
    #[arg(long, value_name = "FILE")]
    pub known_failures: Option<PathBuf>,

    /// Write the failures of this run to the --known-failures file; it may only shrink
    #[arg(long, requires = "known_failures")]
    pub write_known_failures: bool,

    /// Let --write-known-failures add entries
    #[arg(long, requires = "write_known_failures")]
    pub allow_growth: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SuiteChoice {
    #[value(name = "tokio")]
    Tokio,
    #[value(name = "tokio-util")]
    Util,
    #[value(name = "tokio-stream")]
    Stream,
    All,
}

impl SuiteChoice {
    pub fn suites(self) -> &'static [Suite] {
        match self {
            SuiteChoice::Tokio => &[Suite::Tokio],
            SuiteChoice::Util => &[Suite::Util],
            SuiteChoice::Stream => &[Suite::Stream],
            SuiteChoice::All => &Suite::ALL,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    #[value(name = "io_uring", alias = "io-uring")]
    IoUring,
    Epoll,
}

impl Backend {
    pub fn name(self) -> &'static str {
        match self {
            Backend::IoUring => "io_uring",
            Backend::Epoll => "epoll",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Lane {
    Readiness,
    Native,
    Auto,
}

impl Lane {
    pub fn name(self) -> &'static str {
        match self {
            Lane::Readiness => "readiness",
            Lane::Native => "native",
            Lane::Auto => "auto",
        }
    }
}

impl Options {
    /// What the command line gives when nothing is said.
    pub fn defaults() -> Self {
        Self::parse_from(["compat-tests"])
    }

    pub fn jobs(&self) -> usize {
        self.jobs.or_else(|| std::thread::available_parallelism().ok().map(Into::into)).unwrap_or(1).max(1)
    }

    /// Whether the whole of each chosen suite runs.
    pub fn is_complete(&self) -> bool {
        self.filter.is_none() && self.files.is_none()
    }

    /// Whether a test takes part in this run.
    pub fn selects(&self, name: &str) -> bool {
        let file = name.split("::").next().unwrap_or(name);
        self.files.as_ref().is_none_or(|files| files.is_match(file))
            && self.filter.as_ref().is_none_or(|filter| filter.is_match(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_filter_both_restrict() {
        let options = Options::parse_from(["compat-tests", "--files", "^tcp_", "--filter", "echo"]);
        assert!(options.selects("tcp_echo::echo_server"));
        assert!(!options.selects("udp::echo"));
        assert!(!options.selects("tcp_accept::no_delay"));
        assert!(!options.is_complete());
        assert!(Options::defaults().is_complete());
    }

    #[test]
    fn growth_needs_a_list_to_write() {
        assert!(Options::try_parse_from(["compat-tests", "--write-known-failures"]).is_err());
        assert!(Options::try_parse_from(["compat-tests", "--allow-growth"]).is_err());
    }
}
