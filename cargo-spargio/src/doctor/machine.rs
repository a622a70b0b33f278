//! What the system says of itself and of this process.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// What containers and services are started by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeper {
    Docker,
    Podman,
    Kubernetes,
    Systemd,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Machine {
    /// `kernel.osrelease`.
    pub(super) release: String,
    /// `kernel.io_uring_disabled`, of kernels that have it (6.6).
    pub(super) disabled: Option<u32>,
    /// Is a seccomp filter in force?
    pub(super) is_filtered: bool,
    /// May it lock memory without limit, or administrate the system?
    pub(super) may_lock: bool,
    pub(super) is_admin: bool,
    /// `RLIMIT_MEMLOCK` in bytes, and `RLIMIT_NOFILE`; `None` for no limit.
    pub(super) memlock: Option<u64>,
    pub(super) descriptors: Option<u64>,
    pub(super) keepers: Vec<Keeper>,
    /// Variables whose name begins with `SPARGIO`.
    pub(super) variables: Vec<(String, OsString)>,
}

impl Machine {
    pub(super) fn read() -> Machine {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let (status, limits) = (read("/proc/self/status"), read("/proc/self/limits"));
        let capabilities = field(&status, "CapEff:").and_then(|hex| u64::from_str_radix(hex, 16).ok());
        // In a user namespace of its own a capability is none for the kernel's accounts.
        let is_first = read("/proc/self/uid_map").split_whitespace().eq(["0", "0", "4294967295"]);
        let may = |bit: u32| is_first && capabilities.is_some_and(|set| set >> bit & 1 != 0);
        Machine {
            release: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            disabled: read("/proc/sys/kernel/io_uring_disabled").trim().parse().ok(),
            is_filtered: field(&status, "Seccomp:") == Some("2"),
            may_lock: may(14),
            is_admin: may(21),
            memlock: limit(&limits, "Max locked memory"),
            descriptors: limit(&limits, "Max open files"),
            keepers: keepers(),
            variables: env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value)))
                .filter(|(name, _)| name.starts_with("SPARGIO"))
                .collect(),
        }
    }

    /// The major and minor number of the kernel.
    pub(super) fn version(&self) -> (u32, u32) {
        let mut numbers = self.release.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
    }
}

fn keepers() -> Vec<Keeper> {
    let signs = [
        (Keeper::Kubernetes, env::var_os("KUBERNETES_SERVICE_HOST").is_some()),
        (Keeper::Docker, Path::new("/.dockerenv").exists()),
        (Keeper::Podman, Path::new("/run/.containerenv").exists()),
        (Keeper::Systemd, env::var_os("INVOCATION_ID").is_some()),
    ];
    signs.into_iter().filter(|(_, is_there)| *is_there).map(|(keeper, _)| keeper).collect()
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// The soft limit.
fn limit(limits: &str, name: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read() {
        let text = "Limit Soft Limit\nMax open files            1024                 4096                 files\n\
                    Max locked memory         unlimited            unlimited            bytes\n";
        assert_eq!(limit(text, "Max open files"), Some(1024));
        assert_eq!(limit(text, "Max locked memory"), None);
        let machine = Machine { release: "5.10.0-28-amd64".to_owned(), ..Machine::default() };
        assert_eq!(machine.version(), (5, 10));
    }
}
