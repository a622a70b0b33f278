//! The two sides: one server source, two runtimes.

use std::fmt;
use std::io;
use std::str::FromStr;

mod on_tokio {
    use upstream as tokio;

    include!("server.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("server.rs");
}

mod on_native {
    use spargio as tokio;

    include!("native_server.rs");
}

/// Which runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The published Tokio.
    Tokio,
    /// This crate.
    Spargio,
    /// This crate, with the hot path on its native lane.
    Native,
}

impl Side {
    pub const BOTH: [Side; 2] = [Side::Tokio, Side::Spargio];

    /// Serves until the process ends; see `server.rs`.
    pub fn serve(self, workers: usize, ready: impl FnOnce(u16)) -> io::Result<()> {
        match self {
            Side::Tokio => on_tokio::serve(workers, ready),
            Side::Spargio => on_spargio::serve(workers, ready),
            Side::Native => on_native::serve(workers, ready),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Tokio => "tokio",
            Side::Spargio => "spargio",
            Side::Native => "native",
        })
    }
}

impl FromStr for Side {
    type Err = String;

    fn from_str(s: &str) -> Result<Side, String> {
        let all = Side::BOTH.into_iter().chain([Side::Native]);
        let side = { all }.find(|side| side.to_string() == s);
        side.ok_or_else(|| format!("there is no side `{s}`: it is `tokio`, `spargio` or `native`"))
    }
}
