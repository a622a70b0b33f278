//! Children and signals: what the published suite does not ask (H25, H47, H52).
//!
//! A plain Tokio program. Signals and children belong to the whole process: the tests of this
//! file use different signals, and look only at their own children.

use std::future::Future;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::pin::pin;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal as Raise, getpid, kill_process};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};

const SOON: Duration = Duration::from_secs(5);

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// The state letter of a process, `Z` for a zombie; `None` once it was reaped.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

async fn assert_reaped(pids: &[u32]) {
    let deadline = Instant::now() + SOON;
    while let Some(pid) = pids.iter().find(|&&pid| state(pid).is_some()) {
        assert!(Instant::now() < deadline, "process {pid} is in state {:?}", state(*pid));
        sleep(Duration::from_millis(5)).await;
    }
}

fn sleeper(seconds: &str) -> Child {
    Command::new("sleep").arg(seconds).spawn().unwrap()
}

fn send(signal: Raise) {
    kill_process(getpid(), signal).unwrap();
}

// ===== children =====

/// H47: half of them are waited for, the handles of the others are dropped while they run.
#[test]
fn two_hundred_children_leave_no_zombies() {
    for rt in [current_thread(), multi_thread()] {
        rt.block_on(async {
            let mut pids = Vec::new();
            let mut waits = Vec::new();
            for n in 0..100 {
                let mut child = sleeper(if n % 2 == 0 { "0" } else { "0.2" });
                pids.push(child.id().unwrap());
                if n % 4 < 2 {
                    waits.push(tokio::spawn(async move { child.wait().await.unwrap().success() }));
                }
            }
            for wait in waits {
                assert!(timeout(SOON, wait).await.unwrap().unwrap());
            }
            assert_reaped(&pids).await;
        });
    }
}

/// H47.
#[test]
fn killed_on_drop_and_reaped() {
    for rt in [current_thread(), multi_thread()] {
        rt.block_on(async {
            let mut pids = Vec::new();
            for _ in 0..50 {
                let child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
                pids.push(child.id().unwrap());
                let moved = tokio::task::spawn_blocking(move || drop(child));
                moved.await.unwrap();
            }
            assert_reaped(&pids).await;
        });
    }
}

/// H47.
#[test]
fn orphans_of_a_dead_runtime_are_reaped_by_another() {
    let rt = current_thread();
    let (first, mut second) = rt.block_on(async { (sleeper("0.1"), sleeper("0.1")) });
    let pids = [first.id().unwrap(), second.id().unwrap()];
    drop(first);
    drop(rt);
    // Waited for on another runtime than its own.
    multi_thread().block_on(async {
        assert!(timeout(SOON, second.wait()).await.unwrap().unwrap().success());
        assert_reaped(&pids).await;
    });
}

#[test]
fn reaping_needs_no_handler_of_sigchld() {
    let rt = current_thread();
    rt.block_on(async {
        let child = sleeper("0.05");
        let pids = [child.id().unwrap()];
        drop(child);
        assert_reaped(&pids).await;
    });
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    let sigchld = Raise::CHILD.as_raw();
    assert_eq!(caught & 1 << (sigchld - 1), 0, "SIGCHLD is handled");
}

/// H25: the parent's tasks and sockets go on as if nothing had been forked.
#[test]
fn a_thousand_forks_with_pre_exec() {
    let rt = multi_thread();
    rt.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let echo = tokio::spawn(async move {
            let mut byte = [0];
            while server.read(&mut byte).await.unwrap() == 1 {
                server.write_all(&byte).await.unwrap();
            }
        });
        let ping = tokio::spawn({
            let stop = stop.clone();
            async move {
                let mut rounds = 0u64;
                while !stop.load(SeqCst) {
                    let mut byte = [rounds as u8];
                    client.write_all(&byte).await.unwrap();
                    timeout(SOON, client.read_exact(&mut byte)).await.expect("the echo stalled").unwrap();
                    assert_eq!(byte, [rounds as u8]);
                    rounds += 1;
                }
                rounds
            }
        });
        for n in 0..1000 {
            let mut command = Command::new("true");
            // SAFETY: one async-signal-safe call, or none.
            unsafe {
                command.pre_exec(move || match n % 100 {
                    99 => Err(io::Error::from_raw_os_error(7)),
                    _ => rustix::process::getpgid(None).map(drop).map_err(io::Error::from),
                })
            };
            match command.status().await {
                Ok(status) => assert!(status.success() && n % 100 != 99),
                Err(error) => assert!(error.raw_os_error() == Some(7) && n % 100 == 99),
            }
        }
        stop.store(true, SeqCst);
        assert!(ping.await.unwrap() > 0);
        echo.await.unwrap();
    });
}

/// H52: a child inherits what it would without a runtime. (A test's harness may pass on some.)
#[test]
fn children_inherit_no_descriptors() {
    let list = "ls /proc/self/fd";
    let without = std::process::Command::new("sh").args(["-c", list]).stdin(Stdio::null()).output().unwrap();
    multi_thread().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut other = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
        let signals = signal(SignalKind::window_change()).unwrap();
        for forks in [false, true] {
            let mut command = Command::new("sh");
            if forks {
                // SAFETY: the closure does nothing. With one, there is a `fork`.
                unsafe { command.pre_exec(|| Ok(())) };
            }
            let with = command.args(["-c", list]).stdin(Stdio::null()).output().await.unwrap();
            assert_eq!(String::from_utf8_lossy(&with.stdout), String::from_utf8_lossy(&without.stdout));
        }
        other.kill().await.unwrap();
        drop((listener, signals));
    });
}

#[test]
fn output_of_more_than_a_pipe_holds() {
    current_thread().block_on(async {
        let script = "head -c 300000 /dev/zero; head -c 200000 /dev/zero >&2; exit 3";
        let output = timeout(SOON, Command::new("sh").args(["-c", script]).output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!((output.stdout.len(), output.stderr.len()), (300_000, 200_000));
    });
}

#[test]
fn the_status_stays() {
    current_thread().block_on(async {
        let mut child = Command::new("sleep").arg("1000").kill_on_drop(true).spawn().unwrap();
        assert!(child.try_wait().unwrap().is_none());
        child.start_kill().unwrap();
        for _ in 0..2 {
            assert_eq!(child.wait().await.unwrap().signal(), Some(9));
            assert_eq!(child.try_wait().unwrap().unwrap().signal(), Some(9));
        }
        assert_eq!(child.id(), None);
        child.kill().await.unwrap();
    });
}

// ===== signals =====

fn is_pending(signal: &mut Signal) -> bool {
    matches!(pin!(signal.recv()).poll(&mut Context::from_waker(Waker::noop())), Poll::Pending)
}

/// H47: far more than the handlers' pipe holds, while nobody listens and while somebody does.
#[test]
fn a_storm_of_signals_loses_none_that_comes_after_a_poll() {
    for rt in [current_thread(), multi_thread()] {
        rt.block_on(async {
            let mut signals = signal(SignalKind::user_defined1()).unwrap();
            for _ in 0..100_000 {
                send(Raise::USR1);
            }
            timeout(SOON, signals.recv()).await.unwrap();
            for _ in 0..1000 {
                // Of the storm, one more may come, at any time: the driver runs on another thread.
                while timeout(Duration::ZERO, signals.recv()).await.is_ok() || !is_pending(&mut signals) {}
                send(Raise::USR1);
                timeout(SOON, signals.recv()).await.expect("a signal is lost");
            }
        });
    }
}

#[test]
fn every_runtime_hears_of_it() {
    const RUNTIMES: usize = 8;

    let (ready, all_ready) = mpsc::channel();
    let threads: Vec<_> = (0..RUNTIMES)
        .map(|n| {
            let ready = ready.clone();
            thread::spawn(move || {
                let rt = if n % 2 == 0 { current_thread() } else { multi_thread() };
                rt.block_on(async {
                    for _ in 0..10 {
                        let mut signals = signal(SignalKind::user_defined2()).unwrap();
                        assert!(is_pending(&mut signals));
                        ready.send(()).unwrap();
                        timeout(SOON, signals.recv()).await.expect("a signal is lost");
                    }
                });
            })
        })
        .collect();
    for _ in 0..10 {
        for _ in 0..RUNTIMES {
            all_ready.recv_timeout(SOON).unwrap();
        }
        send(Raise::USR2);
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn what_cannot_be_listened_for() {
    let rt = current_thread();
    rt.block_on(async {
        let texts = [
            (-1, "Refusing to register signal -1"),
            (0, "Refusing to register signal 0"),
            (9, "Refusing to register signal 9"),
            (11, "Refusing to register signal 11"),
            (65, "signal too large"),
        ];
        for (signum, text) in texts {
            let error = signal(SignalKind::from_raw(signum)).unwrap_err();
            assert_eq!((error.kind(), error.to_string().as_str()), (io::ErrorKind::Other, text));
        }
    });
    let handle = rt.handle().clone();
    drop(rt);
    let guard = handle.enter();
    assert_eq!(signal(SignalKind::hangup()).unwrap_err().to_string(), "signal driver gone");
    drop(guard);
}
