//! One run, and what it cost.
//!
//! # Safety
//!
//! `wait4` and `kill` are system calls on a child that has not been waited for, so its number is
//! nobody else's.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::net::TcpStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::problem::{About, Problem, Result};

/// What works on a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    /// A line for the shell.
    pub(super) command: &'a str,
    /// Where the server listens.
    pub(super) ready: Option<&'a str>,
}

/// What a run cost.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Run {
    /// Seconds: of the run, or of the load.
    pub(super) wall: f64,
    /// Seconds of processor time.
    pub(super) cpu: f64,
    /// KiB at most.
    pub(super) memory: f64,
    pub(super) switches: f64,
}

/// How long a server may take to listen, and to stop.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn run_once(program: &Path, args: &[String], load: Option<Load<'_>>) -> Result<Run> {
    let mut command = Command::new(program);
    command.args(args);
    execute(&mut command, load)
}

fn execute(command: &mut Command, load: Option<Load<'_>>) -> Result<Run> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    let start = Instant::now();
    let child = command.spawn().about(&name)?;
    let pid = child.id() as libc::pid_t;
    let loaded = load.map(|load| work_on(pid, load));
    if load.is_some() {
        end(pid);
    }
    let (status, mut run) = wait(pid).about(&name)?;
    if let Some(address) = load.and_then(|load| load.ready) {
        // The kernel may close what it listened on a little later, and the next one wants the address.
        let end = Instant::now();
        while TcpStream::connect(address).is_ok() && end.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(5));
        }
    }
    run.wall = match loaded.transpose()? {
        Some(wall) => wall.as_secs_f64(),
        None if status.success() => start.elapsed().as_secs_f64(),
        None => return Err(Problem::new(format!("{name} ended with {status}"))),
    };
    Ok(run)
}

/// Runs the load; how long it took.
fn work_on(server: libc::pid_t, load: Load<'_>) -> Result<Duration> {
    let start = Instant::now();
    match load.ready {
        None => thread::sleep(Duration::from_millis(500)),
        Some(address) => {
            while TcpStream::connect(address).is_err() {
                if start.elapsed() > PATIENCE || has_ended(server) {
                    return Err(Problem::new(format!("the server does not listen on {address}"))
                        .cure("--ready ADDRESS has to be where it listens, 127.0.0.1:8080 for example"));
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    let start = Instant::now();
    let status =
        Command::new("sh").args(["-c", load.command]).stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.about("sh")?;
    if !status.success() {
        return Err(Problem::new(format!("the load ended with {status}: {}", load.command)));
    }
    Ok(start.elapsed())
}

/// Asks a server to stop, and makes it if it does not.
fn end(pid: libc::pid_t) {
    let start = Instant::now();
    let mut signal = libc::SIGTERM;
    loop {
        // SAFETY: the group of a child that has not been waited for; see above.
        unsafe { libc::kill(-pid, signal) };
        while start.elapsed() < PATIENCE {
            if has_ended(pid) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        if signal == libc::SIGKILL {
            return;
        }
        signal = libc::SIGKILL;
    }
}

/// Is it a zombie?
fn has_ended(pid: libc::pid_t) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('Z'))
}

/// Waits for the child; what it cost, but for the time.
fn wait(pid: libc::pid_t) -> io::Result<(ExitStatus, Run)> {
    let mut status = 0;
    // SAFETY: all zeros are a `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: both pointers are to values of ours.
        if unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } == pid {
            break;
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let run = Run {
        wall: 0.0,
        cpu: seconds(usage.ru_utime) + seconds(usage.ru_stime),
        memory: usage.ru_maxrss as f64,
        switches: (usage.ru_nvcsw + usage.ru_nivcsw) as f64,
    };
    Ok((ExitStatus::from_raw(status), run))
}

/// How many system calls it makes, if somebody may count them.
pub(super) fn system_calls(
    program: &Path,
    args: &[String],
    load: Option<Load<'_>>,
    folder: &Path,
) -> Option<f64> {
    let report = folder.join("system-calls");
    let counters: [(&str, &[&str]); 2] = [
        ("perf", &["stat", "-x,", "-e", "raw_syscalls:sys_enter", "-o"]),
        ("strace", &["-f", "-qq", "-c", "-o"]),
    ];
    counters.iter().find_map(|(counter, options)| {
        let _ = fs::remove_file(&report);
        let mut command = Command::new(counter);
        command.args(*options).arg(&report).arg("--").arg(program).args(args).stderr(Stdio::null());
        execute(&mut command, load).ok()?;
        count(&fs::read_to_string(&report).ok()?)
    })
}

/// The number in the report of `perf stat -x,` or of `strace -c`.
fn count(report: &str) -> Option<f64> {
    report.lines().find_map(|line| {
        if let Some((number, _)) = line.split_once(",,raw_syscalls") {
            return number.parse().ok();
        }
        // `100.00 0.001 0 1234 5 total`
        let words: Vec<_> = line.split_whitespace().collect();
        let numbers = words.strip_suffix(&["total"])?;
        numbers.get(3)?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_read() {
        assert_eq!(count("# started on\n\n4711,,raw_syscalls:sys_enter,123,100.00,,\n"), Some(4711.0));
        let strace = "% time seconds usecs/call calls errors syscall\n 60.00 0.1 2 40 1 read\n\
                      100.00    0.000318           3       101         8 total\n";
        assert_eq!(count(strace), Some(101.0));
        assert_eq!(count("<not counted>,,raw_syscalls:sys_enter"), None);
    }

    #[test]
    fn a_run_is_measured() {
        let run = run_once(Path::new("sleep"), &["0.05".to_owned()], None).unwrap();
        assert!(run.wall >= 0.05 && run.memory > 0.0, "{run:?}");
        let failed = run_once(Path::new("false"), &[], None).unwrap_err().to_string();
        assert!(failed.contains("false ended with exit status: 1"), "{failed}");
    }

    #[test]
    fn a_server_is_stopped_after_its_load() {
        let load = Load { command: "sleep 0.05", ready: None };
        let run = run_once(Path::new("sleep"), &["60".to_owned()], Some(load)).unwrap();
        assert!(run.wall >= 0.05 && run.wall < 50.0, "{run:?}");
        let load = Load { command: "exit 3", ready: None };
        let failed = run_once(Path::new("sleep"), &["60".to_owned()], Some(load)).unwrap_err().to_string();
        assert!(failed.contains("the load ended with exit status: 3"), "{failed}");
    }
}
