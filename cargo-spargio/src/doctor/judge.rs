//! Findings about the machine.

use super::machine::{Keeper, Machine};
use super::probe::Probe;
use super::{Finding, Level};

#[allow(dead_code, unreachable_pub)]
#[path = "../../../src/util/variables.rs"]
mod variables;

/// What the kernel charges a user for one worker's ring, about.
const LOCKED_BY_WORKER: u64 = 40 << 10;
/// What a runtime opens at the most: its watch set, that one's bell and, with `interop`, a host's four; and for each
/// worker its ring and that one's bell.
const DESCRIPTORS: [u64; 2] = [6, 2];
/// What is ours and no runtime heeds: this command, tests, benchmarks.
const OTHERS: [&str; 5] =
    ["SPARGIO_SOURCE", "SPARGIO_BENCH", "SPARGIO_FIGURES", "SPARGIO_FUZZ_CASES", "SPARGIO_TEST_"];

pub(super) fn judge(machine: &Machine, probe: &Probe) -> Vec<Finding> {
    let mut findings =
        vec![backend(machine, probe), kernel(machine), sysctl(machine), seccomp(machine, probe)];
    findings.extend([memlock(machine, probe), descriptors(machine, probe)]);
    findings.extend(opcodes(probe));
    findings.extend(names(machine));
    findings
}

fn backend(machine: &Machine, probe: &Probe) -> Finding {
    let workers = probe.workers;
    let why = probe.refusal.as_deref().unwrap_or_default();
    let finding = match probe.backend.as_deref() {
        None => Finding::new("runtime", Level::Fault, format!("none can be built: {why}")),
        Some("io_uring") => Finding::new("runtime", Level::Fine, format!("io_uring, {workers} workers")),
        Some(other) if probe.is_forced => Finding::new(
            "runtime",
            Level::Note,
            format!("{other}, as SPARGIO_BACKEND asks for, {workers} workers"),
        ),
        Some(other) => {
            Finding::new("runtime", Level::Warning, format!("{other}, {workers} workers; no io_uring: {why}"))
        }
    };
    match cause(machine, why) {
        Some(cause) if !why.is_empty() => finding.cure(format!("it is for {cause}: see there")),
        _ => finding,
    }
}

/// Which of the findings is behind a refusal.
fn cause(machine: &Machine, why: &str) -> Option<&'static str> {
    let is = |texts: &[&str]| texts.iter().any(|text| why.contains(text));
    if is(&["SPARGIO_"]) && why.contains("must be") {
        return Some("the variables");
    }
    if is(&["os error 12", "Cannot allocate memory", "ENOMEM"]) {
        return Some("memlock");
    }
    if is(&["os error 24", "os error 23", "Too many open files", "EMFILE", "ENFILE"]) {
        return Some("descriptors");
    }
    if machine.disabled.is_some_and(|value| value == 2 || value == 1 && !machine.is_admin) {
        return Some("the sysctl");
    }
    if machine.is_filtered && machine.version() >= (5, 1) {
        return Some("seccomp");
    }
    (machine.version() < (6, 1)).then_some("the kernel")
}

fn kernel(machine: &Machine) -> Finding {
    if machine.version() >= (6, 1) {
        return Finding::new("kernel", Level::Fine, machine.release.as_str());
    }
    Finding::new(
        "kernel",
        Level::Warning,
        format!("{}; rings need 6.1, older ones have epoll", machine.release),
    )
    .cure("Debian 12, Ubuntu 24.04, RHEL 10, Amazon Linux 2023 with kernel6.1 and later have one")
}

fn sysctl(machine: &Machine) -> Finding {
    let finding = |level, text: &str| Finding::new("sysctl", level, text);
    match machine.disabled {
        None => finding(Level::Fine, "this kernel has no kernel.io_uring_disabled"),
        Some(0) => finding(Level::Fine, "kernel.io_uring_disabled = 0"),
        Some(1) if machine.is_admin => {
            finding(Level::Fine, "kernel.io_uring_disabled = 1, which this user may pass")
        }
        Some(1) => finding(Level::Warning, "kernel.io_uring_disabled = 1: only kernel.io_uring_group may have rings")
            .cure("sysctl -w kernel.io_uring_group=$(id -g), for the group of the service"),
        Some(value) => finding(Level::Warning, &format!("kernel.io_uring_disabled = {value}: nobody may have rings"))
            .cure("sysctl -w kernel.io_uring_disabled=0, and the same in /etc/sysctl.d/ (of the host, for containers)"),
    }
}

fn seccomp(machine: &Machine, probe: &Probe) -> Finding {
    if !machine.is_filtered {
        return Finding::new("seccomp", Level::Fine, "no filter");
    }
    let refusal = probe.refusal.as_deref().unwrap_or_default();
    if probe.backend.is_some() && cause(machine, refusal) != Some("seccomp")
        || probe.is_forced
        || refusal.is_empty()
    {
        return Finding::new("seccomp", Level::Fine, "a filter, which lets io_uring pass");
    }
    let finding = Finding::new("seccomp", Level::Warning, "a filter forbids io_uring_setup");
    cures(machine, finding, |keeper| match keeper {
        Keeper::Docker => {
            "docker run --security-opt seccomp=spargio-seccomp.json … (docs/OPERATIONS.md makes that file)"
                .to_owned()
        }
        Keeper::Podman => {
            "podman run --security-opt seccomp=spargio-seccomp.json … (docs/OPERATIONS.md makes that file)"
                .to_owned()
        }
        Keeper::Kubernetes => {
            "securityContext: { seccompProfile: { type: Localhost, localhostProfile: spargio-seccomp.json } }"
                .to_owned()
        }
        Keeper::Systemd => {
            "[Service] SystemCallFilter=io_uring_setup io_uring_enter io_uring_register".to_owned()
        }
    })
}

fn memlock(machine: &Machine, probe: &Probe) -> Finding {
    let workers = probe.workers.max(1) as u64;
    let wanted = workers * LOCKED_BY_WORKER;
    let text = match machine.memlock {
        None => return Finding::new("memlock", Level::Fine, "no limit"),
        Some(_) if machine.may_lock => {
            return Finding::new(
                "memlock",
                Level::Fine,
                "a limit that does not hold for this user (CAP_IPC_LOCK)",
            );
        }
        Some(limit) => format!(
            "{} KiB for all processes of this user; {workers} workers lock about {} KiB",
            limit >> 10,
            wanted >> 10
        ),
    };
    // A process that is restarted overlaps the one before, whose rings are charged a little longer.
    let (enough, bytes) = (2 * wanted, (4 * wanted).next_power_of_two());
    if machine.memlock.is_some_and(|limit| limit >= enough) {
        return Finding::new("memlock", Level::Fine, text);
    }
    let finding =
        Finding::new("memlock", Level::Warning, format!("{text}, twice that while it is restarted"));
    let finding = cures(machine, finding, |keeper| {
        match keeper {
        Keeper::Docker => format!("docker run --ulimit memlock={bytes}:{bytes} …"),
        Keeper::Podman => format!("podman run --ulimit memlock={bytes}:{bytes} …"),
        Keeper::Kubernetes => "securityContext: { capabilities: { add: [IPC_LOCK] } }, or LimitMEMLOCK= of the node's containerd.service".to_owned(),
        Keeper::Systemd => format!("[Service] LimitMEMLOCK={bytes}"),
    }
    });
    finding.cure(format!("in a shell: ulimit -l {}", bytes >> 10))
}

fn descriptors(machine: &Machine, probe: &Probe) -> Finding {
    let [own, worker] = DESCRIPTORS;
    let wanted = own + worker * probe.workers.max(1) as u64;
    let text = match machine.descriptors {
        None => return Finding::new("descriptors", Level::Fine, "no limit"),
        Some(limit) => format!("{limit}; a runtime takes up to {wanted} before the first connection"),
    };
    if machine.descriptors.is_some_and(|limit| limit >= wanted + 512) {
        return Finding::new("descriptors", Level::Fine, text);
    }
    let finding = Finding::new("descriptors", Level::Warning, text);
    let finding = cures(machine, finding, |keeper| match keeper {
        Keeper::Docker => "docker run --ulimit nofile=65536:65536 …".to_owned(),
        Keeper::Podman => "podman run --ulimit nofile=65536:65536 …".to_owned(),
        Keeper::Kubernetes => "LimitNOFILE= of the node's containerd.service".to_owned(),
        Keeper::Systemd => "[Service] LimitNOFILE=65536".to_owned(),
    });
    finding.cure("in a shell: ulimit -n 65536")
}

/// The lines for what this process was started by; for all of them where that is not known.
fn cures(machine: &Machine, finding: Finding, line: impl Fn(Keeper) -> String) -> Finding {
    const ALL: [Keeper; 4] = [Keeper::Docker, Keeper::Podman, Keeper::Kubernetes, Keeper::Systemd];
    let keepers = if machine.keepers.is_empty() { &ALL[..] } else { &machine.keepers };
    keepers.iter().fold(finding, |finding, keeper| finding.cure(line(*keeper)))
}

fn opcodes(probe: &Probe) -> Option<Finding> {
    if probe.backend.as_deref() != Some("io_uring") {
        return None;
    }
    Some(if probe.missing.is_empty() {
        Finding::new("operations", Level::Fine, "this kernel has all that are used")
    } else {
        let missing = probe.missing.join(", ");
        Finding::new(
            "operations",
            Level::Note,
            format!("done without the ring, since this kernel lacks them: {missing}"),
        )
    })
}

fn names(machine: &Machine) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, value) in &machine.variables {
        if let Some(variable) = variables::ALL.iter().find(|variable| variable.name == name) {
            found.push(match variable.parse(value) {
                Ok(_) => {
                    Finding::new("variables", Level::Fine, format!("{name}={}", value.to_string_lossy()))
                }
                Err(error) => Finding::new("variables", Level::Fault, error.to_string()),
            });
        } else if !OTHERS.iter().any(|other| name.starts_with(other)) {
            let nearest = variables::ALL.iter().min_by_key(|variable| distance(variable.name, name));
            let nearest = nearest.map_or("", |variable| variable.name);
            found.push(
                Finding::new("variables", Level::Fault, format!("{name} means nothing"))
                    .cure(format!("is {nearest} meant?")),
            );
        }
    }
    found
}

/// How many letters have to be changed, added or taken out.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let same = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = same.min(before + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            release: "6.12.4".to_owned(),
            disabled: Some(0),
            memlock: Some(8 << 20),
            descriptors: Some(65536),
            ..Machine::default()
        }
    }

    fn rings() -> Probe {
        Probe { workers: 8, backend: Some("io_uring".to_owned()), ..Probe::default() }
    }

    fn epoll(why: &str) -> Probe {
        Probe {
            workers: 8,
            backend: Some("epoll".to_owned()),
            refusal: Some(why.to_owned()),
            ..Probe::default()
        }
    }

    /// What is not fine, by what it is about, with its cures.
    fn wrong(machine: &Machine, probe: &Probe) -> Vec<(&'static str, String)> {
        let findings = judge(machine, probe).into_iter().filter(|finding| finding.level > Level::Note);
        findings.map(|finding| (finding.about, finding.cures.join("; "))).collect()
    }

    const EPERM: &str = "io_uring_setup: Operation not permitted (os error 1)";

    #[test]
    fn a_good_machine() {
        assert_eq!(wrong(&machine(), &rings()), []);
    }

    #[test]
    fn a_filter() {
        let filtered = Machine { is_filtered: true, keepers: vec![Keeper::Kubernetes], ..machine() };
        let found = wrong(&filtered, &epoll(EPERM));
        assert_eq!(found[0], ("runtime", "it is for seccomp: see there".to_owned()));
        assert_eq!(found[1].0, "seccomp");
        assert!(
            found[1].1.starts_with("securityContext: { seccompProfile") && !found[1].1.contains("docker")
        );
        assert_eq!(wrong(&filtered, &rings()), []);
    }

    #[test]
    fn the_sysctl_comes_before_a_filter() {
        let disabled = Machine { disabled: Some(2), is_filtered: true, ..machine() };
        let found = wrong(&disabled, &epoll(EPERM));
        assert_eq!(found.iter().map(|(about, _)| *about).collect::<Vec<_>>(), ["runtime", "sysctl"]);
        assert!(found[0].1.contains("the sysctl") && found[1].1.contains("io_uring_disabled=0"));
    }

    #[test]
    fn an_old_kernel() {
        let old = Machine { release: "5.10.0-28-amd64".to_owned(), disabled: None, ..machine() };
        let found = wrong(&old, &epoll("this kernel's io_uring is too old"));
        assert_eq!(found[0].1, "it is for the kernel: see there");
        assert_eq!(found[1].0, "kernel");
    }

    #[test]
    fn limits() {
        let little = Machine { memlock: Some(64 << 10), descriptors: Some(64), ..machine() };
        let found = wrong(&little, &rings());
        assert_eq!(found.iter().map(|(about, _)| *about).collect::<Vec<_>>(), ["memlock", "descriptors"]);
        assert!(found[0].1.contains("docker run --ulimit memlock=2097152:2097152"), "{}", found[0].1);
        assert!(found[0].1.contains("LimitMEMLOCK=2097152") && found[0].1.contains("ulimit -l 2048"));
        let root = Machine { may_lock: true, ..little };
        assert_eq!(wrong(&root, &rings())[0].0, "descriptors");
        let found = wrong(&root, &epoll("io_uring_setup: Too many open files (os error 24)"));
        assert_eq!(found[0].1, "it is for descriptors: see there");
    }

    #[test]
    fn variables_are_spelt_right_and_mean_something() {
        let variables =
            [("SPARGIO_BAKEND", "epoll"), ("SPARGIO_LANE", "fast"), ("SPARGIO_NATIVE", "emulated")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.into())).to_vec();
        let findings = names(&Machine { variables, ..machine() });
        assert_eq!(findings[0].cures, ["is SPARGIO_BACKEND meant?"]);
        assert!(findings[1].text.contains("must be \"readiness\""), "{}", findings[1].text);
        assert_eq!(findings[2].level, Level::Fine);
    }
}
