//! What the hazard tests count, and how they set their scenes.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::collections::HashSet;
use std::env;
use std::fs::{self, File};
use std::future::{Future, poll_fn};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::fd::AsFd;
use std::pin::pin;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, mpsc};
use std::task::Poll;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::{BackendKind, Builder, Runtime};

/// Longer than anything here takes, even on a busy machine.
pub const LONG: Duration = Duration::from_secs(20);

/// Descriptors and polls are counted for the whole process: one test at a time.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// How many children are being started, or less than that: nobody may.
static FORKS: AtomicIsize = AtomicIsize::new(0);

/// Until it is dropped, children may be started, or may not. (It may be held while a task waits.)
pub struct Forks(isize);

impl Forks {
    fn wait(by: isize, may: fn(isize) -> bool) -> Forks {
        while FORKS.fetch_update(SeqCst, SeqCst, |n| may(n).then_some(n + by)).is_err() {
            std::thread::sleep(Duration::from_micros(100));
        }
        Forks(by)
    }
}

impl Drop for Forks {
    fn drop(&mut self) {
        FORKS.fetch_sub(self.0, SeqCst);
    }
}

/// Starts a child, unless somebody relies on it that nobody does.
pub fn spawn(command: &mut Command) -> Child {
    let _starts = Forks::wait(1, |n| n >= 0);
    command.spawn().unwrap()
}

/// Nobody starts a child meanwhile. Until it calls `exec` it has all descriptors of this process: an
/// address is not free then although the last descriptor here is closed.
pub fn without_forks() -> Forks {
    Forks::wait(-1, |n| n == 0)
}

pub fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

pub fn multi_thread(workers: usize) -> Runtime {
    Builder::new_multi_thread().worker_threads(workers).enable_all().build().unwrap()
}

/// Runs a scene as a spawned task, on each flavour.
pub fn on_each_flavour<F, S>(scene: S)
where
    S: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    on([current_thread(), multi_thread(1), multi_thread(2)], scene);
}

/// The same where all is on one thread: the one that drops a socket also watches it.
pub fn on_one_thread<F, S>(scene: S)
where
    S: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    on([current_thread(), multi_thread(1)], scene);
}

fn on<F, S>(runtimes: impl IntoIterator<Item = Runtime>, scene: S)
where
    S: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    for rt in runtimes {
        rt.block_on(async {
            tokio::spawn(tokio::time::timeout(LONG, scene())).await.unwrap().expect("the scene hangs")
        });
    }
}

/// How many descriptors this process has open.
pub fn open_fds() -> usize {
    // One is the directory itself.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// How many of them are sockets. A runtime opens an eventfd when a worker first looks after another.
pub fn open_sockets() -> usize {
    let links =
        fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|to| to.to_string_lossy().starts_with("socket:")).count()
}

/// What runtimes of this process stand on. Asked once, while there are descriptors to be had.
pub fn backend() -> BackendKind {
    static KIND: OnceLock<BackendKind> = OnceLock::new();
    *KIND.get_or_init(|| current_thread().handle().backend().kind())
}

/// How many polls the kernel has armed on the rings of this process; on epoll, how many resources
/// are registered.
pub fn armed_polls() -> usize {
    let mut polls = 0;
    // An instance may be open under several numbers.
    let mut registrations = HashSet::new();
    for entry in fs::read_dir("/proc/self/fd").unwrap().flatten() {
        let Ok(to) = fs::read_link(entry.path()) else { continue };
        let info = || {
            fs::read_to_string(format!("/proc/self/fdinfo/{}", entry.file_name().to_string_lossy()))
                .unwrap_or_default()
        };
        let to = to.to_string_lossy();
        if to.contains("[io_uring]") {
            polls += info()
                .lines()
                .skip_while(|l| !l.starts_with("PollList"))
                .filter(|l| l.contains("op=6,"))
                .count();
        } else if to.contains("[eventpoll]") {
            registrations.extend(info().lines().filter(|l| is_registration(l)).map(str::to_owned));
        }
    }
    polls + registrations.len()
}

/// Is this a line about a resource of ours? Others (wakers, what the published Tokio registers,
/// descriptors claimed by `AsyncFd`) have tokens without a generation, or the highest of all.
fn is_registration(line: &str) -> bool {
    let mut fields = line.split_whitespace().skip_while(|field| *field != "data:");
    let token = fields.nth(1).and_then(|token| u64::from_str_radix(token, 16).ok());
    token.is_some_and(|token| token >> 32 != 0 && token != u64::MAX)
}

/// Waits for `condition`, as long as a busy machine may need.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Lets the runtime turn until the kernel has `n` polls armed.
pub async fn armed(n: usize) {
    let start = Instant::now();
    while armed_polls() != n {
        assert!(start.elapsed() < LONG, "{} polls are armed instead of {n}", armed_polls());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// A connected pair: ours, and the peer's non-blocking end.
pub async fn connection() -> (TcpStream, StdStream) {
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_nonblocking(true).unwrap();
    (ours, peer)
}

/// Reads once, which must not succeed: from now on the reader has to be told.
pub async fn wait_in_read<R: AsyncRead>(reader: R) {
    let mut reader = pin!(reader);
    poll_fn(|cx| {
        let mut bytes = [0];
        assert!(
            reader.as_mut().poll_read(cx, &mut ReadBuf::new(&mut bytes)).is_pending(),
            "nothing was sent"
        );
        Poll::Ready(())
    })
    .await
}

/// Polls `future` once, which must not be done.
pub async fn start_waiting<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending(), "nothing happened");
        Poll::Ready(())
    })
    .await
}

/// What the non-blocking `peer` reads right now.
pub fn read_now(peer: &mut impl Read) -> io::Result<usize> {
    peer.read(&mut [0; 64])
}

/// What `peer` reads, while this thread, which would have to turn the runtime, waits for it and does nothing else: what
/// went over the loopback is there a moment later if the kernel is busy (`ksoftirqd`).
pub fn read_without_turns(peer: &mut (impl Read + AsFd)) -> io::Result<usize> {
    let limit = Timespec::try_from(LONG).expect("it is not that long");
    let mut waits = [PollFd::new(peer, PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut waits, Some(&limit))?, 1, "nothing comes without a turn");
    read_now(peer)
}

/// Has the peer been told, by now, that the connection is closed?
pub fn sees_end(peer: &mut impl Read) -> bool {
    match read_now(peer) {
        Ok(0) => true,
        Ok(_) => false,
        Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
    }
}

/// A port of a loopback address that no other process uses: nobody takes it in between when it
/// is free for a moment.
pub fn own_address() -> SocketAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 77, high, low], 0))
}

/// Is `addr` free to listen on?
pub fn rebind(addr: SocketAddr) -> io::Result<StdListener> {
    StdListener::bind(addr)
}

/// Set in such a process.
const CHILD: &str = "HAZARD_CHILD";

/// Runs this very test in a process of its own, where `body` may spoil what all threads share.
pub fn in_a_child(test: &str, body: impl FnOnce()) {
    in_a_child_with(test, &[], body);
}

/// The same with variables for it.
pub fn in_a_child_with(test: &str, variables: &[(&str, String)], body: impl FnOnce()) {
    if env::var_os(CHILD).is_some() {
        return body();
    }
    let (passed, output) = child(test, variables);
    assert!(passed, "{output}");
}

/// Runs this very test on each backend there is, in a process of its own each.
pub fn on_each_backend(test: &str, body: impl FnOnce()) {
    if env::var_os(CHILD).is_some() {
        return body();
    }
    let mut backends = vec!["epoll"];
    if backend() == BackendKind::IoUring {
        backends.push("io_uring");
    }
    let run = |name| (name, child(test, &[("SPARGIO_BACKEND", String::from(name))]));
    let ends: Vec<_> = backends.into_iter().map(run).collect();
    let failed: Vec<_> = ends.iter().filter(|(_, (passed, _))| !passed).collect();
    for (name, (_, output)) in &failed {
        println!("===== on {name} =====\n{output}");
    }
    assert!(failed.is_empty(), "not on {:?}", failed.iter().map(|(name, _)| name).collect::<Vec<_>>());
}

/// Did the test pass in a process of its own, and what did it print?
fn child(test: &str, variables: &[(&str, String)]) -> (bool, String) {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").envs(variables.iter().map(|(name, value)| (name, value)));
    let child = spawn(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    // One that hangs is killed: what it printed until then tells where.
    let pid = child.id() as libc::pid_t;
    let (ended, ends) = mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if ends.recv_timeout(10 * LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
            // SAFETY: a child that is not waited for yet, or hardly ever, just now.
            unsafe { libc::kill(pid, libc::SIGKILL) };
        }
    });
    let child = child.wait_with_output().unwrap();
    drop(ended);
    watch.join().unwrap();
    let output = String::from_utf8_lossy(&child.stdout) + String::from_utf8_lossy(&child.stderr);
    (child.status.success() && output.contains("1 passed"), output.into_owned())
}

/// The version of the running kernel.
pub fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// Is the kernel older than what the test needs? Then it says so, and the test should return.
pub fn lacks(least: (u32, u32), what: &str) -> bool {
    let older = kernel() < least;
    if older {
        println!("skipped: needs Linux {}.{} ({what})", least.0, least.1);
    }
    older
}

/// Does this kernel, or this process, give no rings? Then the test says so, and should return.
pub fn lacks_rings() -> bool {
    let none = backend() != BackendKind::IoUring;
    if none {
        let why = current_thread().handle().backend().to_string();
        println!("skipped: needs rings ({why})");
    }
    none
}

/// Leaves the process no descriptor; returns what undoes that.
pub fn take_all_descriptors() -> Vec<File> {
    let mut files = Vec::new();
    loop {
        match File::open("/dev/null") {
            Ok(file) => files.push(file),
            Err(e) => {
                assert_eq!(e.raw_os_error(), Some(libc::EMFILE));
                return files;
            }
        }
    }
}

pub fn limit_descriptors(limit: u64) {
    let limit = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: reads a struct that outlives the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}
