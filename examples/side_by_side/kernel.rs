//! What the kernel tells about a server: how it waits, and which system calls it makes.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// How a process waits for its sockets, read from `/proc`.
#[derive(Debug, Default)]
pub struct Waiting {
    /// Is there an epoll instance?
    pub epoll: bool,
    /// Descriptors it watches. Of several instances (or descriptors of one) that with the most.
    pub epoll_watches: usize,
    pub rings: usize,
    /// Entries submitted to all rings so far, and completions.
    pub submitted: u64,
    pub completed: u64,
}

/// Looks at the descriptors of `pid`.
pub fn waiting(pid: u32) -> io::Result<Waiting> {
    let mut waiting = Waiting::default();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let target = fs::read_link(entry.path())?;
        let info =
            || fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", entry.file_name().to_string_lossy()));
        match target.to_str() {
            Some("anon_inode:[eventpoll]") => {
                let watches = info()?.lines().filter(|line| line.starts_with("tfd:")).count();
                waiting.epoll = true;
                waiting.epoll_watches = waiting.epoll_watches.max(watches);
            }
            Some("anon_inode:[io_uring]") => {
                waiting.rings += 1;
                waiting.add_ring(&info()?);
            }
            _ => {}
        }
    }
    Ok(waiting)
}

impl Waiting {
    fn add_ring(&mut self, info: &str) {
        for line in info.lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            match name {
                "SqHead" => self.submitted += value.trim().parse::<u64>().unwrap_or(0),
                "CqTail" => self.completed += value.trim().parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }
}

/// How often the threads of `pid` went to sleep so far.
pub fn sleeps(pid: u32) -> io::Result<u64> {
    let mut sleeps = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sleeps += line.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sleeps)
}

/// Is `strace` installed?
pub fn has_strace() -> bool {
    let version = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// `command`, with its system calls counted into `summary` when it ends.
pub fn counted(command: &Command, summary: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["-f", "-q", "-c", "-o"]).arg(summary).arg(command.get_program()).args(command.get_args());
    strace
}

/// Reads such a summary: calls by name.
pub fn read_summary(summary: &Path) -> io::Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(summary)?;
    let mut calls = BTreeMap::new();
    // % time, seconds, usecs/call, calls, errors (may be empty), name
    for line in text.lines() {
        let columns: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, count, .., name] = columns[..] {
            if let (Ok(count), true) = (count.parse(), name != "total") {
                calls.insert(name.to_string(), count);
            }
        }
    }
    Ok(calls)
}
