//! A process that ends with work in flight (H48), and one in which a panic is the end (H49).
//!
//! Each scene of H48 runs in a process of its own: this executable, called again for one test.

use std::env;
use std::fs;
use std::io::Read;
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(10);
const CODE: i32 = 7;

/// Where the child connects to: the parent sees its sockets go.
const PARENT: &str = "PROCESS_EXIT_PARENT";

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Waits for the end of a child, not for ever.
fn ends(mut child: Child) -> ExitStatus {
    let deadline = Instant::now() + SOON;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("the process hangs");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// `test` in a process of its own, which is to connect to `parent`.
fn alone(test: &str, parent: &StdListener) -> Command {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    child.env(PARENT, parent.local_addr().unwrap().to_string()).stdout(Stdio::null());
    child
}

/// Runs `scene`, which ends the process, with work in flight on `rt`. In the parent: sees that it
/// ends, how, and that its connections do.
fn scene(test: &str, code: Option<i32>, scene: impl FnOnce(SocketAddr)) {
    if let Ok(parent) = env::var(PARENT) {
        return scene(parent.parse().unwrap());
    }
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let child = alone(test, &listener).spawn().unwrap();
    // The child connects once all is in flight.
    let (mut stream, _): (StdStream, _) = listener.accept().unwrap();
    assert_eq!(ends(child).code(), code);
    // Nobody holds the socket any more, no ring either.
    stream.set_read_timeout(Some(SOON)).unwrap();
    assert_eq!(stream.read(&mut [0; 8]).expect("the connection outlives the process"), 0);
}

/// All kinds of work, none of which ever ends; then `end`, in a task.
async fn busy(parent: SocketAddr, end: impl FnOnce()) {
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Blocks in `open`, until somebody writes.
    tokio::spawn(tokio::fs::read(fifo.clone()));
    tokio::task::spawn_blocking(|| thread::sleep(Duration::from_secs(1000)));
    tokio::spawn(sleep(Duration::from_secs(1000)));
    tokio::spawn(async {
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().accept().await.map(drop)
    });
    tokio::spawn(async {
        let mut child = tokio::process::Command::new("sleep").arg("3").kill_on_drop(true).spawn().unwrap();
        child.wait().await.map(drop)
    });
    tokio::spawn(async {
        loop {
            tokio::task::yield_now().await;
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut stream = TcpStream::connect(parent).await.unwrap();
    let read = timeout(Duration::from_millis(20), stream.read_u8()).await;
    assert!(read.is_err(), "the parent says nothing");
    // Its poll stays armed.
    let _waiting = tokio::spawn(async move { stream.read_u8().await });
    tokio::task::yield_now().await;
    drop(fs::remove_dir_all(folder.path()));
    end();
}

/// H48.
#[test]
fn exit_in_block_on() {
    scene("exit_in_block_on", Some(CODE), |parent| {
        current_thread().block_on(busy(parent, || exit(CODE)));
    });
}

/// H48.
#[test]
fn exit_in_block_on_beside_workers() {
    scene("exit_in_block_on_beside_workers", Some(CODE), |parent| {
        multi_thread().block_on(busy(parent, || exit(CODE)));
    });
}

/// H48.
#[test]
fn exit_on_a_worker() {
    scene("exit_on_a_worker", Some(CODE), |parent| {
        let rt = multi_thread();
        let task = rt.spawn(busy(parent, || exit(CODE)));
        rt.block_on(task).unwrap();
    });
}

/// H48.
#[test]
fn exit_on_a_thread_for_blocking_work() {
    scene("exit_on_a_thread_for_blocking_work", Some(CODE), |parent| {
        multi_thread().block_on(async {
            busy(parent, || drop(tokio::task::spawn_blocking(|| exit(CODE)))).await;
            sleep(Duration::from_secs(1000)).await;
        });
    });
}

/// H48: the test's harness ends its process as any `main` does.
#[test]
fn main_returns_and_leaves_a_runtime() {
    scene("main_returns_and_leaves_a_runtime", Some(0), |parent| {
        let rt = multi_thread();
        rt.block_on(busy(parent, || {}));
        std::mem::forget(rt);
        let other = current_thread();
        other.block_on(busy(parent, || {}));
        std::mem::forget(other);
    });
}

/// H48: the runtime is not waited for.
#[test]
fn main_returns_after_a_shutdown_in_the_background() {
    scene("main_returns_after_a_shutdown_in_the_background", Some(0), |parent| {
        let rt = multi_thread();
        rt.block_on(busy(parent, || {}));
        rt.shutdown_background();
    });
}

/// H48: another program takes the process over.
#[test]
fn exec_on_a_worker() {
    scene("exec_on_a_worker", Some(CODE), |parent| {
        let rt = multi_thread();
        let exec = || panic!("{}", Command::new("sh").args(["-c", "exit 7"]).exec());
        let task = rt.spawn(busy(parent, exec));
        rt.block_on(task).unwrap();
    });
}

/// H48.
#[test]
fn aborted_and_killed() {
    scene("aborted_and_killed", None, |parent| {
        multi_thread().block_on(busy(parent, || std::process::abort()));
    });
}

/// Runs `writes` in a child whose streams are on the native lane, which connects `n` times; returns what arrived on
/// each connection, read after `pause`, and what the child has printed.
fn last_words(
    test: &str,
    n: usize,
    pause: Duration,
    writes: impl FnOnce(SocketAddr),
) -> (Vec<Vec<u8>>, String) {
    if let Ok(parent) = env::var(PARENT) {
        writes(parent.parse().unwrap());
        panic!("it goes on");
    }
    let listener = StdListener::bind("127.0.0.1:0").unwrap();
    let mut child =
        alone(test, &listener).env("SPARGIO_LANE", "native").stderr(Stdio::piped()).spawn().unwrap();
    let streams: Vec<_> = (0..n).map(|_| listener.accept().unwrap().0).collect();
    thread::sleep(pause);
    let arrived = streams.into_iter().map(|mut stream| {
        stream.set_read_timeout(Some(SOON)).unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        all
    });
    let arrived = arrived.collect();
    let mut printed = String::new();
    child.stderr.take().unwrap().read_to_string(&mut printed).unwrap();
    assert_eq!(ends(child).code(), Some(CODE), "{printed}");
    (arrived, printed)
}

/// H73: the writes of a turn are sent together at its end, which does not come.
#[test]
fn exit_after_writes_in_the_same_turn() {
    const STREAMS: usize = 40;

    let (arrived, _) = last_words("exit_after_writes_in_the_same_turn", STREAMS, Duration::ZERO, |parent| {
        let rt = multi_thread();
        let task = rt.spawn(async move {
            let mut streams = Vec::new();
            for _ in 0..STREAMS {
                streams.push(TcpStream::connect(parent).await.unwrap());
            }
            for _ in 0..3 {
                for stream in &mut streams {
                    stream.write_all(b"all there is ").await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
            exit(CODE);
        });
        rt.block_on(task).unwrap()
    });
    for words in arrived {
        assert_eq!(String::from_utf8(words).unwrap(), "all there is ".repeat(3));
    }
}

/// H73: what was accepted when the socket was full goes out as soon as the peer reads.
#[test]
fn exit_beside_a_full_socket() {
    let test = "exit_beside_a_full_socket";
    let (arrived, printed) = last_words(test, 2, Duration::from_millis(200), |parent| {
        let rt = multi_thread();
        let task = rt.spawn(async move {
            let mut full = TcpStream::connect(parent).await.unwrap();
            let mut other = TcpStream::connect(parent).await.unwrap();
            let mut accepted = 0;
            // Together with others in each turn, so that they are kept.
            while let Ok(n) = timeout(Duration::from_millis(20), full.write(&[1; 1000])).await {
                accepted += n.unwrap();
                for _ in 0..8 {
                    other.write_all(b".").await.unwrap();
                }
            }
            eprintln!("accepted: {accepted}");
            exit(CODE);
        });
        rt.block_on(task).unwrap()
    });
    let accepted = format!("accepted: {}\n", arrived[0].len());
    assert!(printed.ends_with(&accepted), "{printed} but {accepted}");
}

// ===== panic = "abort" =====

/// Builds `tests/fixtures/abort.rs`; only the program itself, as that decides what a panic does.
fn fixture() -> PathBuf {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(["rustc", "--quiet", "--package=spargio", "--example=abort", "--message-format=json"])
        .args(["--", "-C", "panic=abort"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "the fixture does not compile");
    let messages = String::from_utf8(output.stdout).unwrap();
    let built = messages.lines().rev().find_map(|line| {
        let (_, path) = line.split_once("\"executable\":\"")?;
        Some(path.split_once('"')?.0.to_owned())
    });
    built.expect("cargo tells where it is").into()
}

/// H49.
#[test]
fn nothing_relies_on_unwinding() {
    let fixture = fixture();
    let run = |scene| Command::new(&fixture).arg(scene).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(ends(run("works")).code(), Some(0));
    for scene in ["task", "blocking", "block_on"] {
        assert_eq!(ends(run(scene)).signal(), Some(libc::SIGABRT), "{scene}");
    }
}
