//! The runtimes.

use std::fmt;
use std::io;
use std::str::FromStr;

use crate::servers;

/// Which runtime, and how it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The published Tokio.
    Tokio,
    /// The same source on this crate.
    Spargio,
    /// The same source on this crate, in the environment `SPARGIO_LANE=native`.
    SpargioLane,
    /// This crate, with the hot path on its native lane: operations with owned buffers.
    SpargioNative,
    TokioUring,
    Monoio,
    Compio,
    Glommio,
}

impl Side {
    pub const ALL: [Side; 8] = [
        Side::Tokio,
        Side::Spargio,
        Side::SpargioLane,
        Side::SpargioNative,
        Side::TokioUring,
        Side::Monoio,
        Side::Compio,
        Side::Glommio,
    ];

    /// What its processes find as `SPARGIO_LANE`.
    pub fn lane(self) -> &'static str {
        if self == Side::SpargioLane { "native" } else { "readiness" }
    }

    /// Serves until the process ends: echo on a free port of 127.0.0.1, which `ready` is told.
    pub fn serve(self, workers: usize, ready: impl FnOnce(u16)) -> io::Result<()> {
        match self {
            Side::Tokio => servers::on_tokio::serve(workers, ready),
            Side::Spargio | Side::SpargioLane => servers::on_spargio::serve(workers, ready),
            Side::SpargioNative => servers::on_native::serve(workers, ready),
            Side::TokioUring => servers::tokio_uring::serve(ready),
            Side::Monoio => servers::monoio::serve(ready),
            Side::Compio => servers::compio::serve(ready),
            Side::Glommio => servers::glommio::serve(ready),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Side::Tokio => "tokio",
            Side::Spargio => "spargio",
            Side::SpargioLane => "spargio-lane",
            Side::SpargioNative => "spargio-native",
            Side::TokioUring => "tokio-uring",
            Side::Monoio => "monoio",
            Side::Compio => "compio",
            Side::Glommio => "glommio",
        })
    }
}

impl FromStr for Side {
    type Err = String;

    fn from_str(s: &str) -> Result<Side, String> {
        Side::ALL.into_iter().find(|side| side.to_string() == s).ok_or_else(|| format!("no runtime `{s}`"))
    }
}
