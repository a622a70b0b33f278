//! Gives each test a process of its own.
//!
//! 1. The test is started as `BINARY --exact NAME --test-threads=1 --nocapture`, in the folder of
//!    its package, as the leader of a new process group, with nothing to read.
//! 2. Its output is read while it runs; a test may take as long as the time limit.
//! 3. When it has ended, or its time is over, the whole group is killed: what a test leaves behind
//!    must not disturb the next one. Only then is the process reaped, so its id cannot have been
//!    given to another group in between.
//! 4. It has passed if it exits with 0 *and* libtest says that one test passed; a test that ends
//!    the process early has not.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::process::{
    Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal,
};

use crate::metadata::{cargo, clean_environment};
use crate::report::Progress;

/// Everything about a test process that does not depend on the test.
#[derive(Clone, Debug)]
pub struct Conditions {
    pub backend: &'static str,
    pub lane: &'static str,
    pub timeout: Duration,
    pub jobs: usize,
}

/// One test to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// `file::test`
    pub name: String,
    /// What libtest calls it.
    pub test: String,
    pub binary: PathBuf,
    pub package: &'static str,
    /// The folder of the package: the working directory.
    pub folder: PathBuf,
}

#[derive(Clone, Debug)]
pub struct Run {
    pub name: String,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    pub took: Duration,
    pub output: String,
}

/// The tests of a binary, as libtest names them.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub tests: Vec<String>,
    pub ignored: Vec<String>,
}

/// Asks a test binary for its tests.
pub fn list(binary: &Path, folder: &Path) -> Result<Listing> {
    let all = list_with(binary, folder, &[])?;
    let ignored = list_with(binary, folder, &["--ignored"])?;
    let tests = all.into_iter().filter(|test| !ignored.contains(test)).collect();
    Ok(Listing { tests, ignored })
}

fn list_with(binary: &Path, folder: &Path, arguments: &[&str]) -> Result<Vec<String>> {
    let mut command = Command::new(binary);
    clean_environment(&mut command);
    let output = command
        .args(["--list", "--format", "terse"])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| binary.display().to_string())?;
    ensure!(output.status.success(), "{} --list: {}", binary.display(), output.status);
    Ok(parse_list(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_list(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}

/// Runs all jobs, several at once, and returns the results in the order of the jobs.
pub fn run_all(jobs: &[Job], conditions: &Conditions, title: &str) -> Result<Vec<Run>> {
    let progress = Mutex::new(Progress::new(title, jobs.len()));
    let next = AtomicUsize::new(0);
    let worker = || -> Result<Vec<(usize, Run)>> {
        let mut runs = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else {
                return Ok(runs);
            };
            let run = run_one(job, conditions).with_context(|| job.name.clone())?;
            let mut progress = progress.lock().expect("no worker panics");
            if run.failure.is_some() {
                progress.failed();
            }
            progress.step(&job.name);
            runs.push((index, run));
        }
    };
    let mut runs = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..conditions.jobs).map(|_| scope.spawn(worker)).collect();
        let mut runs = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(done) => runs.extend(done?),
                Err(_) => bail!("a worker of the runner panicked"),
            }
        }
        Ok(runs)
    })?;
    progress.into_inner().expect("no worker panics").finish();
    runs.sort_by_key(|(index, _)| *index);
    Ok(runs.into_iter().map(|(_, run)| run).collect())
}

fn run_one(job: &Job, conditions: &Conditions) -> Result<Run> {
    let started = Instant::now();
    let mut child = command(job, conditions).spawn().context("starting the test")?;
    let ended = attend(&mut child, started + conditions.timeout);
    let took = started.elapsed();
    let (status, stdout, stderr) = ended?;
    let failure = match status {
        None => Some(format!("timeout: still running after {} s", conditions.timeout.as_secs())),
        Some(status) => failure(status, &stdout, &stderr, &job.test),
    };
    let by_hand = format!(
        "cd {} && SPARGIO_BACKEND={} SPARGIO_LANE={} {} --exact '{}' --test-threads=1 --nocapture",
        job.folder.display(),
        conditions.backend,
        conditions.lane,
        job.binary.display(),
        job.test
    );
    let output = format!("{by_hand}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n");
    Ok(Run { name: job.name.clone(), failure, took, output })
}

fn command(job: &Job, conditions: &Conditions) -> Command {
    let mut command = Command::new(&job.binary);
    clean_environment(&mut command);
    command
        .args(["--exact", &job.test, "--test-threads=1", "--nocapture"])
        .current_dir(&job.folder)
        // What cargo test tells a test about its package.
        .env("CARGO", cargo())
        .env("CARGO_MANIFEST_DIR", &job.folder)
        .env("CARGO_MANIFEST_PATH", job.folder.join("Cargo.toml"))
        .env("CARGO_PKG_NAME", job.package)
        .env("SPARGIO_BACKEND", conditions.backend)
        .env("SPARGIO_LANE", conditions.lane)
        // A test that panics on purpose would spend its time on resolving symbols.
        .env("RUST_BACKTRACE", "0")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    die_with_us(&mut command);
    command
}

/// A runner that is killed must not leave a hanging test behind: it is in a group of its own, so
/// a Ctrl-C does not reach it. The signal is tied to the thread that starts the test, which waits
/// for it.
#[allow(unsafe_code)]
fn die_with_us(command: &mut Command) {
    let ask = || Ok(set_parent_process_death_signal(Some(Signal::KILL))?);
    // SAFETY: between fork and exec the closure makes one system call (`prctl`); it neither
    // allocates nor takes a lock.
    unsafe { command.pre_exec(ask) };
}

/// Reads a child's output until it ends or its time is over; ends its process group and reaps it.
/// The status is `None` if its time was over.
fn attend(child: &mut Child, deadline: Instant) -> Result<(Option<ExitStatus>, String, String)> {
    let mut stdout = Capture::new(child.stdout.take().context("a piped stdout")?)?;
    let mut stderr = Capture::new(child.stderr.take().context("a piped stderr")?)?;
    let group = Pid::from_child(child);
    let pidfd = pidfd_open(group, PidfdFlags::empty());
    let ended =
        pidfd.map_err(anyhow::Error::from).and_then(|pidfd| wait(&pidfd, &mut stdout, &mut stderr, deadline));
    // `ESRCH` if the child could not even become a group's leader: nothing to kill.
    let _ = kill_process_group(group, Signal::KILL);
    let status = child.wait().context("waiting for the test")?;
    stdout.read_available()?;
    stderr.read_available()?;
    Ok((ended?.then_some(status), stdout.text(), stderr.text()))
}

/// Whether the process ended before the deadline.
fn wait(pidfd: &OwnedFd, stdout: &mut Capture, stderr: &mut Capture, deadline: Instant) -> Result<bool> {
    loop {
        let now = Instant::now();
        if now >= deadline {
            return Ok(false);
        }
        let timeout = Timespec::try_from(deadline - now)?;
        let mut fds = vec![PollFd::new(pidfd, PollFlags::IN)];
        for capture in [&*stdout, &*stderr] {
            if let Some(fd) = capture.fd() {
                fds.push(PollFd::from_borrowed_fd(fd, PollFlags::IN));
            }
        }
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let ended = !fds[0].revents().is_empty();
        drop(fds);
        stdout.read_available()?;
        stderr.read_available()?;
        if ended {
            return Ok(true);
        }
    }
}

/// One output stream of a test; the end of it, if it is long.
struct Capture {
    pipe: Option<OwnedFd>,
    bytes: Vec<u8>,
}

/// How much of an output is kept.
const KEPT: usize = 1 << 20;

impl Capture {
    fn new(pipe: impl Into<OwnedFd>) -> Result<Self> {
        let pipe = pipe.into();
        // Our end only: the flag belongs to the open file description, and a pipe has two.
        fcntl_setfl(&pipe, fcntl_getfl(&pipe)? | OFlags::NONBLOCK)?;
        Ok(Self { pipe: Some(pipe), bytes: Vec::new() })
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().map(AsFd::as_fd)
    }

    /// Takes what is there, without waiting for more.
    fn read_available(&mut self) -> Result<()> {
        let Some(pipe) = self.pipe.take() else {
            return Ok(());
        };
        let mut reader = std::fs::File::from(pipe);
        let mut chunk = [0; 16 * 1024];
        // A test that writes without end must not keep us here.
        for _ in 0..64 {
            match reader.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(count) => self.bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("reading a test's output"),
            }
        }
        if self.bytes.len() > KEPT {
            self.bytes.drain(..self.bytes.len() - KEPT / 2);
        }
        self.pipe = Some(reader.into());
        Ok(())
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

/// Why a test that has ended has failed, if it has.
fn failure(status: ExitStatus, stdout: &str, stderr: &str, test: &str) -> Option<String> {
    if status.success() {
        let passed = stdout.contains("test result: ok. 1 passed");
        return (!passed).then(|| "the process exited with 0 before the test was over".to_owned());
    }
    if let Some(signal) = status.signal() {
        let last = panic_message(stderr, test)
            .or_else(|| stderr.lines().rev().find(|l| !l.trim().is_empty()).map(str::to_owned));
        return Some(match last {
            Some(last) => format!("{}: {last}", signal_name(signal)),
            None => signal_name(signal),
        });
    }
    let libtest_note = |stdout: &str| {
        let start = stdout.find("note: ")?;
        stdout[start..].lines().next().map(str::to_owned)
    };
    let error = |stderr: &str| stderr.lines().find(|line| line.starts_with("Error: ")).map(str::to_owned);
    Some(
        error(stderr)
            .or_else(|| libtest_note(stdout))
            .or_else(|| panic_message(stderr, test))
            .unwrap_or_else(|| format!("{status}, without a message")),
    )
}

/// The message of the panic that made a test fail: the last one of the test's own thread, or of
/// any thread. Tests panic on purpose in other threads.
fn panic_message(stderr: &str, test: &str) -> Option<String> {
    let mut own = None;
    let mut any = None;
    let mut lines = stderr.lines().peekable();
    while let Some(line) = lines.next() {
        // thread 'NAME' (ID) panicked at FILE:LINE:COLUMN:
        let Some((thread, place)) = line.split_once(" panicked at ") else {
            continue;
        };
        let Some(thread) = thread.trim_start().strip_prefix("thread '") else {
            continue;
        };
        let name = thread.split('\'').next().unwrap_or_default();
        let mut message = lines.next().unwrap_or_default().trim().to_owned();
        // The operands of a failed `assert_eq!` follow on lines of their own.
        while let Some(operand) = lines.next_if(|line| is_operand(line)) {
            message = format!("{message}, {}", operand.trim());
        }
        let text = format!("{message} ({})", place.trim_end_matches(':'));
        if name == "main" || name == test {
            own = Some(text.clone());
        }
        any = Some(text);
    }
    own.or(any)
}

fn is_operand(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("left: ") || line.starts_with("right: ")
}

fn signal_name(signal: i32) -> String {
    let name = match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        15 => "SIGTERM",
        other => return format!("signal {other}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, seconds: u64) -> (Option<ExitStatus>, String, String, Duration) {
        let started = Instant::now();
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (status, stdout, stderr) = attend(&mut child, started + Duration::from_secs(seconds)).unwrap();
        (status, stdout, stderr, started.elapsed())
    }

    #[test]
    fn both_streams_are_read() {
        let (status, stdout, stderr, _) = shell("echo out; echo err >&2; exit 3", 20);
        assert_eq!(status.unwrap().code(), Some(3));
        assert_eq!((stdout.as_str(), stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_large_output_neither_blocks_nor_stays() {
        let (status, stdout, ..) = shell("head -c 5000000 /dev/zero; echo end", 20);
        assert!(status.unwrap().success());
        assert!(stdout.ends_with("end\n"));
        assert!(stdout.len() <= KEPT + 64 * 16 * 1024);
    }

    #[test]
    fn time_is_limited_for_the_whole_group() {
        let (status, _, _, took) = shell("sleep 30 & sleep 30", 1);
        assert!(status.is_none());
        assert!(took < Duration::from_secs(10));
    }

    #[test]
    fn a_grandchild_that_holds_the_pipes_is_not_waited_for() {
        let (status, stdout, _, took) = shell("sleep 30 & echo done", 20);
        assert!(status.unwrap().success());
        assert_eq!(stdout, "done\n");
        assert!(took < Duration::from_secs(10));
    }

    #[test]
    fn lists_hold_tests_only() {
        assert_eq!(parse_list("a::b: test\nbench_it: benchmark\n\nc: test\n"), ["a::b", "c"]);
    }

    #[test]
    fn an_early_exit_is_a_failure() {
        let status = ExitStatus::from_raw(0);
        assert!(failure(status, "running 1 test\n", "", "t").is_some());
        assert_eq!(failure(status, "test result: ok. 1 passed; 0 failed", "", "t"), None);
    }

    #[test]
    fn the_tests_own_panic_counts() {
        let stderr = "\nthread 'main' (7) panicked at tests/a.rs:3:5:\nboom\nnote: run with\n\
                      thread 'tokio-rt-worker' panicked at tests/a.rs:9:9:\nother\n";
        assert_eq!(panic_message(stderr, "t").as_deref(), Some("boom (tests/a.rs:3:5)"));
        assert_eq!(
            failure(ExitStatus::from_raw(11), "", stderr, "t").as_deref(),
            Some("SIGSEGV: boom (tests/a.rs:3:5)")
        );
    }

    #[test]
    fn operands_belong_to_the_message() {
        let stderr = "thread 'main' panicked at a.rs:1:2:\nassertion `left == right` failed\n  left: 1\n right: 2\nnote: x\n";
        let message = panic_message(stderr, "t").unwrap();
        assert_eq!(message, "assertion `left == right` failed, left: 1, right: 2 (a.rs:1:2)");
    }

    #[test]
    fn should_panic_speaks_through_libtest() {
        let stdout = "---- t stdout ----\nnote: test did not panic as expected at tests/x.rs:1:2\n";
        let reason = failure(ExitStatus::from_raw(101 << 8), stdout, "", "t").unwrap();
        assert_eq!(reason, "note: test did not panic as expected at tests/x.rs:1:2");
    }
}
