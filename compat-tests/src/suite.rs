//! The suites: which published package, which generated packages, which features.

use std::fmt;
use std::str::FromStr;

/// A published test suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    Tokio,
    Util,
    Stream,
    /// The examples in tokio's documentation.
    Docs,
}

impl Suite {
    /// Those that are test targets.
    pub const ALL: [Suite; 3] = [Suite::Tokio, Suite::Util, Suite::Stream];

    /// The name of the published package; of the documentation a name of its own.
    pub fn name(self) -> &'static str {
        match self {
            Suite::Tokio => "tokio",
            Suite::Util => "tokio-util",
            Suite::Stream => "tokio-stream",
            Suite::Docs => "tokio-docs",
        }
    }

    /// The packages of the generated workspace that hold its test targets.
    ///
    /// Tokio's own suite is split in two: the files that use tokio-test, tokio-stream or tokio-util
    /// and those that do not, so that the latter can run while one of those crates does not
    /// compile over spargio.
    pub fn packages(self) -> &'static [&'static str] {
        match self {
            Suite::Tokio => &[TOKIO_PLAIN, TOKIO_HELPERS],
            Suite::Util => &["tokio-util"],
            Suite::Stream => &["tokio-stream"],
            Suite::Docs => &[TOKIO_DOCS],
        }
    }

    /// Features to ask for on the command line; tokio's own packages have theirs on by default.
    pub fn features(self) -> Option<&'static str> {
        match self {
            Suite::Tokio | Suite::Docs => None,
            Suite::Util | Suite::Stream => Some("full"),
        }
    }

    /// How a test is named in lists that cover several suites.
    pub fn qualify(self, test: &str) -> String {
        match self {
            Suite::Tokio => test.to_owned(),
            other => format!("{other}/{test}"),
        }
    }

    /// The suite a qualified name belongs to, and the rest of the name.
    pub fn of_qualified(name: &str) -> (Suite, &str) {
        match name.split_once('/') {
            Some(("tokio-util", rest)) => (Suite::Util, rest),
            Some(("tokio-stream", rest)) => (Suite::Stream, rest),
            Some(("tokio-docs", rest)) => (Suite::Docs, rest),
            _ => (Suite::Tokio, name),
        }
    }
}

/// Tokio's test files that need tokio and ordinary crates only.
pub const TOKIO_PLAIN: &str = "tokio-suite";
/// Tokio's test files that also need tokio-test, tokio-stream or tokio-util.
pub const TOKIO_HELPERS: &str = "tokio-suite-with-helpers";
/// Tokio's sources, whose documentation has examples.
pub const TOKIO_DOCS: &str = "tokio-docs";

impl fmt::Display for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Suite {
    type Err = String;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Suite::ALL
            .into_iter()
            .chain([Suite::Docs])
            .find(|suite| suite.name() == s)
            .ok_or_else(|| format!("no suite named {s}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qualified_names_round_trip() {
        for suite in Suite::ALL.into_iter().chain([Suite::Docs]) {
            let name = suite.qualify("udp::send_recv");
            assert_eq!(Suite::of_qualified(&name), (suite, "udp::send_recv"));
            assert_eq!(suite.name().parse(), Ok(suite));
        }
    }
}
