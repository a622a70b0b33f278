//! System calls that fail, one after the other: does what is built on them tell of it, and stay sane?
//!
//! A scene runs in a process of its own; `strace` attaches to it before it builds its first runtime, and has the n-th
//! call of one kind fail in each of its threads, with an errno that the manual names or one that it does not. The
//! scene then ends as always, or with an error. What is found: a panic, a signal, a hang, an answer that is wrong,
//! descriptors or threads that stay. The same scene runs on the published Tokio; what goes wrong there in the same
//! way is printed and is no failure.
//!
//! `.ci/faults` runs this; `FAULTS_CALLS` names calls with commas between, `FAULTS_DEPTH` says how many calls of a kind
//! fail, `FAULTS_BACKEND` which backend. Completions of rings that fail are in `src/net/tests/completions.rs`.

#[path = "faults/native.rs"]
mod native;
#[path = "chaos/process.rs"]
#[allow(dead_code)]
mod process;
#[path = "faults/table.rs"]
mod table;

#[path = "faults"]
#[allow(clippy::duplicate_mod)]
mod on_tokio {
    use upstream as tokio;

    pub mod scenes;
}

#[path = "faults"]
#[allow(clippy::duplicate_mod)]
mod on_spargio {
    use ::tokio;

    pub mod scenes;
}

use std::collections::BTreeSet;
use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Which scene a child is to play, and on what.
const SCENE: &str = "FAULTS_SCENE";
const SIDE: &str = "FAULTS_SIDE";
/// It may leave descriptors.
const MAY_LEAVE: &str = "FAULTS_MAY_LEAVE";

const SCENES: [&str; 6] = ["echo", "files", "processes", "shutdown", "timers", "native"];

/// A scene that takes longer hangs: it takes a tenth of a second, or one with `strace`.
const PATIENCE: Duration = Duration::from_secs(40);

/// Lines that a child says before its scene, when `strace` may come, and after it.
const READY: &str = "\nscene: ready";
const OVER: &str = "\nscene: over\n";

fn await_parent() {
    while rustix::io::read(io::stdin(), &mut [0; 1]).is_err() {}
}

fn scene(name: &str, is_tokio: bool) -> io::Result<()> {
    use on_spargio::scenes as ours;
    use on_tokio::scenes as theirs;
    match (name, is_tokio) {
        ("echo", false) => ours::echo(),
        ("echo", true) => theirs::echo(),
        ("files", false) => ours::files(),
        ("files", true) => theirs::files(),
        ("processes", false) => ours::processes(),
        ("processes", true) => theirs::processes(),
        ("shutdown", false) => ours::shutdown(),
        ("shutdown", true) => theirs::shutdown(),
        ("timers", false) => ours::timers(),
        ("timers", true) => theirs::timers(),
        ("native", _) => native::native(),
        _ => panic!("there is no scene {name}"),
    }
}

#[test]
#[ignore = "a child of the other"]
fn in_a_child() {
    let Ok(name) = env::var(SCENE) else { return };
    let is_tokio = env::var(SIDE).is_ok_and(|side| side == "tokio");
    let before = (process::descriptors(), process::threads());
    // The thread is there before `strace`: its first call of a kind is the scene's.
    let playing = thread::spawn(move || {
        await_parent();
        scene(&name, is_tokio)
    });
    println!("{READY}");
    let played = playing.join();
    // Until it is gone: what follows is not to fail.
    while rustix::io::write(io::stdout(), OVER.as_bytes()).is_err() {}
    await_parent();
    match played {
        Ok(Ok(())) => println!("scene: done"),
        Ok(Err(error)) => println!("scene: error: {error}"),
        Err(_) => println!("scene: panic"),
    }
    // What `strace` does not let the kernel close stays, of course.
    if env::var_os(MAY_LEAVE).is_some() {
        return;
    }
    let left = process::settles(Duration::from_secs(10), || {
        let mut left = process::more(&process::descriptors(), &before.0);
        left.extend(process::more(&process::threads(), &before.1));
        // What a process makes once, and keeps: the thread that hosts, its epoll instance, what signals go through.
        left.retain(|what| !what.starts_with("spargio-host") && !what.starts_with("socket: 2 "));
        left
    });
    for what in left {
        println!("scene: left: {what}");
    }
}

/// How a run of a scene ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// As if nothing had failed, or with an error.
    Well,
    Hangs,
    Panics(String),
    Dies(String),
    Leaves(String),
}

struct Run {
    end: End,
    /// How many calls were made to fail.
    failed: usize,
    /// What the scene said.
    said: String,
}

/// Starts `scene` and attaches `strace` with those arguments.
fn traced(scene: &str, side: &str, arguments: &[String]) -> (Child, BufReader<ChildStdout>, Child, String) {
    let mut command = Command::new(env::current_exe().unwrap());
    if arguments.iter().any(|argument| argument == "trace=close") {
        command.env(MAY_LEAVE, "1");
    }
    let mut child = command
        .args(["--exact", "in_a_child", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(SCENE, scene)
        .env(SIDE, side)
        .env("RUST_BACKTRACE", "0")
        .env("SPARGIO_BACKEND", env::var("FAULTS_BACKEND").unwrap_or_else(|_| String::from("io_uring")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while line.trim() != READY.trim() {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "{scene} is not ready");
    }
    let log = tempfile::NamedTempFile::new().unwrap().into_temp_path().to_str().unwrap().to_owned();
    let mut strace = Command::new("strace")
        .args(["-f", "-o", &log, "-p", &child.id().to_string()])
        .args(arguments)
        .stderr(Stdio::piped())
        .spawn()
        .expect("strace is needed");
    // All threads there are: the one of the test, and the harness.
    line.clear();
    let mut told = BufReader::new(strace.stderr.take().unwrap());
    while !line.contains("attached") {
        if told.read_line(&mut line).unwrap() == 0 {
            let _ = (child.kill(), child.wait());
            panic!("strace attaches to nothing: {line}");
        }
    }
    thread::spawn(move || told.read_to_string(&mut String::new()));
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
    (child, out, strace, log)
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        if begin.elapsed() > PATIENCE {
            return None;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

fn run(scene: &str, side: &str, arguments: &[String]) -> (Run, String) {
    let (mut child, out, mut strace, log) = traced(scene, side, arguments);
    let mut input = child.stdin.take().unwrap();
    let err = child.stderr.take().unwrap();
    let (text, texts) = mpsc::channel();
    let also = text.clone();
    thread::spawn(move || {
        let mut all = Vec::new();
        let _ = BufReader::new(err).read_to_end(&mut all);
        let _ = also.send(String::from_utf8_lossy(&all).into_owned());
    });
    let (over, is_over) = mpsc::channel();
    thread::spawn(move || {
        for line in out.lines().map_while(Result::ok) {
            if line == OVER.trim() {
                let _ = over.send(());
            }
            let _ = text.send(line + "\n");
        }
    });
    // Or it is dead, which is seen below.
    let hangs = is_over.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout);
    if hangs {
        let _ = child.kill();
    }
    // It lets go of the child, which may have children that outlive it.
    let id = rustix::process::Pid::from_child(&strace);
    let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    let _ = strace.wait();
    let _ = input.write_all(b"x");
    let status = wait(&mut child);
    if status.is_none() {
        let _ = (child.kill(), child.wait());
    }
    let mut said = String::new();
    while let Ok(more) = texts.recv_timeout(Duration::from_secs(5)) {
        said += &more;
    }
    let trace = std::fs::read_to_string(&log).unwrap_or_default();
    let _ = std::fs::remove_file(&log);
    let panicked = said.lines().skip_while(|line| !line.contains("panicked at")).take(2).collect::<Vec<_>>();
    let left = said.lines().find(|line| line.starts_with("scene: left"));
    let end = match status {
        _ if hangs => End::Hangs,
        None => End::Hangs,
        _ if !panicked.is_empty() => End::Panics(
            panicked.iter().flat_map(|line| line.split(" panicked at ").last()).collect::<Vec<_>>().join(" "),
        ),
        _ if said.contains("scene: panic") => End::Panics(String::from("without a word")),
        Some(status) if !status.success() => End::Dies(status.to_string()),
        Some(_) => left.map_or(End::Well, |left| End::Leaves(left.to_owned())),
    };
    (Run { end, failed: trace.matches("(INJECTED)").count(), said }, trace)
}

/// The calls that a scene makes.
fn calls(scene: &str, side: &str) -> BTreeSet<String> {
    let (run, trace) = run(scene, side, &[]);
    assert_eq!(run.end, End::Well, "{scene} on {side}, with nothing wrong: {}", run.said);
    let name = |line: &str| {
        let call = line.split_once(' ')?.1.trim_start().split_once('(')?.0;
        // Not the second half of one that was interrupted, nor a signal.
        call.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_').then(|| call.to_owned())
    };
    trace.lines().filter_map(name).collect()
}

/// A way to fail.
#[derive(Debug, Clone)]
struct Fault {
    scene: &'static str,
    call: &'static str,
    errno: &'static str,
}

fn kind(end: &End) -> u8 {
    match end {
        End::Well => 0,
        End::Hangs => 1,
        End::Panics(_) | End::Dies(_) => 2,
        End::Leaves(_) => 3,
    }
}

/// Does `fault` at the first `depth` calls; says what goes wrong.
fn try_out(fault: &Fault, depth: usize, runs: &AtomicUsize) -> Vec<String> {
    let fails = |side: &str, n| {
        let inject = format!("inject={}:error={}:when={n}", fault.call, fault.errno);
        runs.fetch_add(1, Relaxed);
        let begin = Instant::now();
        let run = run(
            fault.scene,
            side,
            &[String::from("-e"), format!("trace={}", fault.call), String::from("-e"), inject],
        )
        .0;
        if env::var_os("FAULTS_TIMES").is_some() {
            println!("{} {side} {} {} at {n}: {:?}", fault.scene, fault.call, fault.errno, begin.elapsed());
        }
        run
    };
    let mut found = Vec::new();
    for n in 1..=depth {
        let ours = fails("spargio", n);
        if ours.failed == 0 {
            break;
        }
        if ours.end == End::Well || table::is_meant(fault.call, fault.errno, &format!("{:?}", ours.end)) {
            continue;
        }
        let what = format!("{} {} {} at {n}: {:?}", fault.scene, fault.call, fault.errno, ours.end);
        // Tokio's calls are not the same ones: any of the first will do.
        // The same one first.
        let numbers = [n].into_iter().chain((1..=depth + 1).filter(|other| *other != n));
        let theirs = numbers.map(|n| fails("tokio", n).end).find(|end| kind(end) == kind(&ours.end));
        match theirs {
            Some(end) if fault.scene != "native" => println!("as on tokio: {what}; there: {end:?}"),
            _ => {
                println!("FOUND {what}");
                found.push(format!("{what}\n{}", ours.said));
            }
        }
    }
    found
}

#[test]
#[ignore = "for .ci/faults: needs strace, and minutes"]
fn as_told() {
    let only = env::var("FAULTS_CALLS").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|call| !call.is_empty()).collect();
    let depth = env::var("FAULTS_DEPTH").map_or(3, |depth| depth.parse().expect("FAULTS_DEPTH"));
    let is_quick = env::var_os("FAULTS_QUICK").is_some();
    let scenes = env::var("FAULTS_SCENES").unwrap_or_default();
    let mut faults = Vec::new();
    let mut unknown = BTreeSet::new();
    for scene in
        SCENES.into_iter().filter(|scene| scenes.is_empty() || scenes.split(',').any(|s| s == *scene))
    {
        let made = calls(scene, "spargio");
        for &(call, errnos) in table::CALLS.iter().filter(|(call, _)| made.contains(*call)) {
            if only.is_empty() || only.contains(&call) {
                let some = if is_quick { &errnos[..1] } else { errnos };
                faults.extend(some.iter().map(|&errno| Fault { scene, call, errno }));
            }
        }
        unknown.extend(made.into_iter().filter(|call| !table::is_known(call)));
    }
    println!("calls that are not on the list: {unknown:?}");
    let (next, runs, found) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    let begin = Instant::now();
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(fault) = faults.get(next.fetch_add(1, Relaxed)) {
                    let some = try_out(fault, depth, &runs);
                    found.lock().unwrap().extend(some);
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    println!("{} ways to fail, {} runs in {:?}", faults.len(), runs.into_inner(), begin.elapsed());
    assert!(found.is_empty(), "\n{}", found.join("\n\n"));
    assert!(unknown.is_empty(), "calls that nobody thought of: {unknown:?}");
}
