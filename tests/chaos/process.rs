//! What the process itself has: descriptors, threads, children. And what is printed of one that hangs.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many there are of each kind.
pub type Count = BTreeMap<String, usize>;

/// The descriptors by what they are.
pub fn descriptors() -> Count {
    let mut count = Count::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(to) = fs::read_link(entry.path()) else { continue };
        let to = to.to_string_lossy();
        // Not which socket, but that it is one.
        let kind = to.split(":[").next().filter(|kind| *kind != "anon_inode").unwrap_or(&to);
        // The directory that is being read is not ours.
        if !kind.ends_with("/fd") {
            *count.entry(kind.to_owned()).or_default() += 1;
        }
    }
    count
}

/// The threads by name.
pub fn threads() -> Count {
    let mut count = Count::new();
    for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
        // One may have ended meanwhile.
        let Ok(name) = fs::read_to_string(entry.path().join("comm")) else { continue };
        *count.entry(name.trim().to_owned()).or_default() += 1;
    }
    count
}

/// The children that run, by id and name. Those that have ended are for the next runtime to reap.
pub fn children() -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let Ok(ids) = fs::read_to_string(entry.path().join("children")) else { continue };
        for id in ids.split_whitespace() {
            let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else { continue };
            let state = stat.rsplit(") ").next().unwrap_or_default();
            if !state.starts_with(['Z', 'X']) {
                found.push(format!("{id} {}", stat.split(')').next().unwrap_or_default()));
            }
        }
    }
    found
}

/// What there is more of than there was.
pub fn more(now: &Count, before: &Count) -> Vec<String> {
    let had = |kind: &String| before.get(kind).copied().unwrap_or_default();
    now.iter()
        .filter(|&(kind, &n)| n > had(kind))
        .map(|(kind, n)| format!("{kind}: {n} instead of {}", had(kind)))
        .collect()
}

/// Waits until nothing is found any more; returns what is after `patience`.
pub fn settles(patience: Duration, mut find: impl FnMut() -> Vec<String>) -> Vec<String> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        let found = find();
        if found.is_empty() || start.elapsed() > patience {
            return found;
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Prints where all threads are; with frames, if there is a debugger.
pub fn print_threads() {
    for entry in fs::read_dir("/proc/self/task").unwrap().flatten() {
        let read = |name| fs::read_to_string(entry.path().join(name)).unwrap_or_default();
        println!(
            "  thread {} {}: call {}",
            entry.file_name().to_string_lossy(),
            read("comm").trim(),
            read("syscall").trim()
        );
    }
    let id = std::process::id().to_string();
    let debugger = Command::new("gdb")
        .args([
            "-p",
            &id,
            "-batch",
            "-ex",
            "set print frame-arguments none",
            "-ex",
            "thread apply all backtrace 40",
        ])
        .output();
    match debugger {
        Ok(output) => println!("{}", String::from_utf8_lossy(&output.stdout)),
        Err(_) => println!("  (gdb would say more)"),
    }
}
