//! Which part of the API a test file is about.

use crate::suite::Suite;

/// The areas in the order of the report.
pub const AREAS: [&str; 17] = [
    "rt", "task", "time", "net", "tcp", "udp", "uds", "io", "fs", "sync", "process", "signal", "macros",
    "tracing", "types", "util", "stream",
];

/// Files whose name does not start with their area.
const EXCEPTIONS: [(&str, &str); 12] = [
    ("_require_full", "types"),
    ("async_send_sync", "types"),
    ("buffered", "tcp"),
    ("coop_budget", "task"),
    ("dump", "rt"),
    ("duplex_stream", "io"),
    ("join_handle_panic", "task"),
    ("no_rt", "rt"),
    ("test_clock", "time"),
    ("unix_shutdown", "uds"),
    ("unwindsafe", "types"),
    ("io_async_fd", "net"),
];

/// The area of a test file of a suite.
pub fn area(suite: Suite, file: &str) -> &'static str {
    match suite {
        Suite::Util => return "util",
        Suite::Stream => return "stream",
        Suite::Tokio => {}
    }
    if let Some((_, area)) = EXCEPTIONS.iter().find(|(name, _)| *name == file) {
        return area;
    }
    let prefix = file.split('_').next().unwrap_or(file);
    AREAS.into_iter().find(|area| *area == prefix).unwrap_or("types")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_prefix() {
        assert_eq!(area(Suite::Tokio, "tcp_into_split"), "tcp");
        assert_eq!(area(Suite::Tokio, "udp"), "udp");
        assert_eq!(area(Suite::Tokio, "uds_cred"), "uds");
        assert_eq!(area(Suite::Tokio, "rt_common"), "rt");
        assert_eq!(area(Suite::Tokio, "fs_uring_read"), "fs");
    }

    #[test]
    fn by_exception() {
        assert_eq!(area(Suite::Tokio, "no_rt"), "rt");
        assert_eq!(area(Suite::Tokio, "io_async_fd"), "net");
        assert_eq!(area(Suite::Tokio, "something_new"), "types");
    }

    #[test]
    fn other_suites_are_one_area_each() {
        assert_eq!(area(Suite::Util, "udp"), "util");
        assert_eq!(area(Suite::Stream, "watch"), "stream");
    }

    #[test]
    fn every_exception_names_an_area() {
        for (_, area) in EXCEPTIONS {
            assert!(AREAS.contains(&area));
        }
    }
}
