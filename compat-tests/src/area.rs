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
        Suite::Docs => return area_of_source(file),
        Suite::Tokio => {}
    }
    if let Some((_, area)) = EXCEPTIONS.iter().find(|(name, _)| *name == file) {
        return area;
    }
    let prefix = file.split('_').next().unwrap_or(file);
    AREAS.into_iter().find(|area| *area == prefix).unwrap_or("types")
}

/// The area of a source file: by its folder, and of sockets by the one below.
fn area_of_source(file: &str) -> &'static str {
    let mut parts = file.split(['/', '.', '_']);
    let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    match (first, second) {
        ("runtime", _) => "rt",
        ("lib", _) => "types",
        ("net", "unix") => "uds",
        (first, second) => {
            let known = |name: &str| AREAS.into_iter().find(|area| *area == name);
            known(second).filter(|_| first == "net").or_else(|| known(first)).unwrap_or("types")
        }
    }
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
    fn by_source_file() {
        let of = |file| area(Suite::Docs, file);
        assert_eq!(of("net/tcp/stream.rs"), "tcp");
        assert_eq!(of("net/unix/pipe.rs"), "uds");
        assert_eq!(of("net/addr.rs"), "net");
        assert_eq!(of("runtime/builder.rs"), "rt");
        assert_eq!(of("macros/select.rs"), "macros");
        assert_eq!(of("lib.rs"), "types");
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
