//! Where there are no rings, or no more of them: hazards H28, H29 and H30.
//!
//! Most scenes run in a child process that is told so by the kernel itself: by a seccomp filter, or
//! by a limit on locked memory.

mod common;
#[path = "fs.rs"]
mod fs;
#[path = "process_signal.rs"]
mod process_signal;

use std::env;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::native::{FixedBufPool, entry::opcode};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixStream};
use tokio::runtime::{BackendKind, Builder, Runtime};

use common::{LONG, current_thread, in_a_child, kernel, lacks, multi_thread, spawn, without_forks};

/// What the line says that a process prints when it falls back.
const LINE: &str = "spargio: this runtime stands on epoll, since rings are refused: ";

const SETUP: &[i64] = &[libc::SYS_io_uring_setup];
const ALL: &[i64] = &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// A filter that answers `errno` to `calls`.
fn filter(calls: &[i64], errno: i32) -> BpfProgram {
    let rules = calls.iter().map(|&call| (call, Vec::new())).collect();
    let answer = SeccompAction::Errno(errno.try_into().unwrap());
    let arch = env::consts::ARCH.try_into().unwrap();
    SeccompFilter::new(rules, SeccompAction::Allow, answer, arch).unwrap().try_into().unwrap()
}

/// Runs tests of this file in a child process under `filter`; `asked` is its `SPARGIO_BACKEND`.
fn under(filter: BpfProgram, asked: &str, tests: &[&str]) -> Output {
    let mut child = myself(&env::current_exe().unwrap(), asked, tests);
    let apply = move || seccompiler::apply_filter(&filter).map_err(io::Error::other);
    // SAFETY: two system calls between fork and exec, on memory made before.
    unsafe { child.pre_exec(apply) };
    output(&mut child)
}

/// What a child prints until its end. None is started while [`without_privileges`] makes a program: until
/// it calls `exec` it may have that open, and nobody could run it.
fn output(child: &mut Command) -> Output {
    let child = child.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    spawn(child).wait_with_output().unwrap()
}

/// This program, to run `tests` as a child.
fn myself(program: &std::path::Path, asked: &str, tests: &[&str]) -> Command {
    let mut child = Command::new(program);
    child.args(tests).args(["--nocapture", "--include-ignored"]);
    child.env("FALLBACK_CHILD", "1").env("SPARGIO_BACKEND", asked);
    child
}

/// Asserts that a child's tests passed, at least `tests` of them; returns what it printed.
fn passed(output: &Output, tests: usize) -> String {
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let ran = text.split("test result: ok. ").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
    assert!(ran.is_some_and(|ran: usize| ran >= tests), "{text}");
    text.into_owned()
}

/// The lines this crate printed.
fn lines(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.find("spargio:").map(|at| &line[at..])).collect()
}

fn is_child() -> bool {
    env::var_os("FALLBACK_CHILD").is_some()
}

/// Sockets of each kind, and timers, over a runtime.
fn echo_on(rt: &Runtime) {
    rt.block_on(async { tokio::spawn(tokio::time::timeout(LONG, echo())).await.unwrap() })
        .expect("the echo hangs");
}

async fn echo() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let server = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut buf = [0; 64];
                while let Ok(n @ 1..) = stream.read(&mut buf).await {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    stream.write_all(&buf[..n]).await.unwrap();
                }
            });
        }
    });
    let clients: Vec<_> = (0..8u8)
        .map(|tag| {
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(addr).await.unwrap();
                for round in 0..5 {
                    stream.write_all(&[tag, round]).await.unwrap();
                    let mut answer = [0; 2];
                    stream.read_exact(&mut answer).await.unwrap();
                    assert_eq!(answer, [tag, round]);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    server.abort();

    let (mut a, mut b) = UnixStream::pair().unwrap();
    let mut bytes = [0; 3];
    let (read, written) = tokio::join!(b.read_exact(&mut bytes), a.write_all(b"abc"));
    assert_eq!((read.unwrap(), written.unwrap()), (3, ()));

    let (a, b) =
        (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let (received, sent) = tokio::join!(b.recv(&mut bytes), a.send_to(b"x", b.local_addr().unwrap()));
    assert_eq!((received.unwrap(), sent.unwrap()), (1, 1));
}

// ===== scenes for a child =====

/// In a child that may not have rings: each flavour stands on epoll and says why.
#[test]
fn echo_on_each_flavour() {
    for rt in [current_thread(), multi_thread(1), multi_thread(3)] {
        let backend = rt.handle().backend();
        if is_child() {
            assert_eq!(backend.kind(), BackendKind::Epoll);
            let reason = backend.refusal().expect("not asked for").to_string();
            assert!(reason.starts_with("cannot create an io_uring: "), "{reason}");
        }
        echo_on(&rt);
        rt.block_on(async {
            // A worker in `block_in_place` has a stand-in.
            if rt.handle().runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread {
                let blocks = tokio::spawn(async {
                    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(echo()))
                });
                blocks.await.unwrap();
            }
        });
    }
}

/// For a child: a ring would be an error.
#[test]
#[ignore = "for a child process that may not have rings"]
fn nothing_but_an_error() {
    for rt in [
        Builder::new_current_thread().enable_all().build(),
        Builder::new_multi_thread().worker_threads(2).enable_all().build(),
    ] {
        let error = rt.unwrap_err();
        assert!(error.to_string().contains("cannot create an io_uring"), "{error}");
    }
}

/// For a child.
#[test]
#[ignore = "for a child process that may not have rings"]
fn says_what_it_stands_on() {
    if current_thread().handle().backend().kind() == BackendKind::IoUring {
        println!("on a ring");
    }
}

/// For a child: its line goes nowhere, since nobody reads it.
#[test]
#[ignore = "for a child process that may not have rings"]
fn whoever_asked_is_not_told() {
    let backend = current_thread().handle().backend();
    assert_eq!((backend.kind(), backend.is_forced()), (BackendKind::Epoll, true));
    assert!(backend.refusal().is_none());
}

// ===== H29 =====

fn all_works_where_setup_says(errno: i32, words: &str) {
    let output = under(filter(SETUP, errno), "", &["echo_on_each_flavour", "fs::", "process_signal::"]);
    let text = passed(&output, 25);
    let lines = lines(&text);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(LINE) && lines[0].contains(words), "{lines:?}");
    assert!(lines[0].contains("SPARGIO_BACKEND"), "what can be done about it: {lines:?}");
}

#[test]
fn h29_echo_fs_and_process_where_setup_is_not_permitted() {
    all_works_where_setup_says(libc::EPERM, "seccomp");
}

#[test]
fn h29_echo_fs_and_process_where_there_is_no_such_call() {
    all_works_where_setup_says(libc::ENOSYS, "this kernel has no io_uring");
}

#[test]
fn h29_a_policy_that_allows_the_setup_only() {
    for forbidden in [libc::SYS_io_uring_enter, libc::SYS_io_uring_register] {
        let text = passed(&under(filter(&[forbidden], libc::EPERM), "", &["echo_on_each_flavour"]), 1);
        assert_eq!(lines(&text).len(), 1, "{text}");
    }
}

#[test]
fn h29_who_insists_on_rings_gets_an_error() {
    let text = passed(&under(filter(SETUP, libc::EPERM), "io_uring", &["nothing_but_an_error"]), 1);
    assert!(lines(&text).is_empty(), "{text}");
}

#[test]
fn h29_who_asks_for_epoll_gets_no_line() {
    // Nor is the kernel asked for rings: that would end the process.
    let rules = ALL.iter().map(|&call| (call, Vec::new())).collect();
    let arch = env::consts::ARCH.try_into().unwrap();
    let kill = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::KillProcess, arch).unwrap();
    let text = passed(&under(kill.try_into().unwrap(), "epoll", &["whoever_asked_is_not_told"]), 1);
    assert!(lines(&text).is_empty(), "{text}");
}

/// Valgrind runs one thread at a time, and a thread that waits in a ring holds up the others.
#[test]
fn h29_under_valgrind_a_runtime_stands_on_epoll() {
    let mut child = myself(&env::current_exe().unwrap(), "", &["echo_on_each_flavour"]);
    // How valgrind gets into a process. The loader goes on without what it does not find.
    let output = output(child.env("LD_PRELOAD", "/nowhere/vgpreload_core-amd64-linux.so"));
    let text = passed(&output, 1);
    let lines = lines(&text);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(LINE) && lines[0].contains("valgrind"), "{lines:?}");
}

#[test]
fn an_unknown_backend_is_an_error() {
    let output = output(&mut myself(&env::current_exe().unwrap(), "kqueue", &["echo_on_each_flavour"]));
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("SPARGIO_BACKEND must be"), "{text}");
}

// ===== H28 =====

/// Runs tests of this file as a user without privileges, who may lock `memory` bytes.
fn without_privileges(memory: u64, tests: &[&str]) -> Output {
    // Where everyone may read it.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let program = dir.path().join("fallback");
    let forks = without_forks();
    std::fs::copy(env::current_exe().unwrap(), &program).unwrap();
    drop(forks);
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();

    let mut child = myself(&program, "", tests);
    child.current_dir(dir.path());
    let drop_privileges = move || {
        let limit = libc::rlimit { rlim_cur: memory, rlim_max: memory };
        // A user of the test's own: locked memory is counted for each user. Who has no privileges
        // stays who he is.
        let nobody = 60_000 + std::process::id() % 5_000;
        // SAFETY: system calls on numbers, and one struct that outlives the call.
        unsafe {
            if libc::setrlimit(libc::RLIMIT_MEMLOCK, &limit) != 0
                || libc::geteuid() == 0 && (libc::setgid(nobody) != 0 || libc::setuid(nobody) != 0)
            {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: system calls between fork and exec, on memory made before.
    unsafe { child.pre_exec(drop_privileges) };
    output(&mut child)
}

/// Between 5.12 and that a ring costs memory of the control group only.
const CHARGED: ((u32, u32), &str) = ((6, 13), "the memory of a ring counts as locked");

/// Does it on this kernel? Newer ones than were known when this was written may think better of it.
fn is_charged() -> bool {
    if lacks(CHARGED.0, CHARGED.1) {
        return false;
    }
    let is_refused = !passed(&without_privileges(0, &["says_what_it_stands_on"]), 1).contains("on a ring");
    assert!(is_refused || kernel() > (6, 18), "rings are not charged on a kernel that is known to");
    if !is_refused {
        println!("skipped: needs a kernel where {}", CHARGED.1);
    }
    is_refused
}

#[test]
fn h28_echo_fs_and_process_without_locked_memory() {
    if !is_charged() {
        return;
    }
    let output = without_privileges(0, &["echo_on_each_flavour", "fs::", "process_signal::"]);
    let text = passed(&output, 25);
    let lines = lines(&text);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].starts_with(LINE) && lines[0].contains("ulimit -l"), "{lines:?}");
}

/// Memory for buffers that cannot be locked is used all the same.
#[test]
fn h28_fixed_buffers_with_little_locked_memory() {
    if lacks(CHARGED.0, CHARGED.1) {
        return;
    }
    let text = passed(&without_privileges(1 << 20, &["fixed_buffers_are_not_all_registered"]), 1);
    // The child does not heed the choice that the environment makes here.
    let has_rings = current_thread().handle().backend().kind() == BackendKind::IoUring;
    assert!(!has_rings || text.contains("done on a ring"), "{text}");
}

/// For a child, whose user may lock 1 MiB.
#[test]
#[ignore = "for a child process that may lock little memory"]
fn fixed_buffers_are_not_all_registered() {
    const MIB: usize = 1 << 20;

    let rt = current_thread();
    if rt.handle().backend().kind() != BackendKind::IoUring {
        return;
    }
    let (tx, rx) = rt.block_on(async { tokio::net::unix::pipe::pipe() }).unwrap();
    let rx = Arc::new(rx);
    // Reads into a buffer of `pool`, as `READ_FIXED` or not.
    let read = |pool: &FixedBufPool, is_fixed: bool| {
        let (pool, theirs) = (pool.clone(), rx.clone());
        rt.block_on(async {
            let read = tokio::spawn(async move { theirs.native().read(pool.next().await).await });
            tokio::task::yield_now().await;
            let handle = tokio::runtime::Handle::current();
            let stats = handle.remote(handle.shards().next().unwrap()).unwrap().stats();
            let in_flight = [opcode::Read::CODE, opcode::ReadFixed::CODE].map(|code| stats.in_flight(code));
            assert_eq!(in_flight, if is_fixed { [0, 1] } else { [1, 0] });
            assert_eq!(tx.try_write(b"hello").unwrap(), 5);
            let (n, buf) = read.await.unwrap();
            assert_eq!((n.unwrap(), &buf[..]), (5, &b"hello"[..]));
        })
    };
    let (small, large) = (FixedBufPool::new(1, MIB / 16), FixedBufPool::new(1, 2 * MIB));
    read(&large, false);
    read(&small, true);
    read(&large, false);
    // There is room for one of these.
    let (first, second) = (FixedBufPool::new(4, MIB / 8), FixedBufPool::new(4, MIB / 8));
    read(&first, true);
    read(&second, false);
    read(&first, true);
    drop(first);
    read(&second, true);
    read(&small, true);
    println!("done on a ring");
}

/// Many runtimes at the same time. In a child they share what memory there is.
#[test]
fn h28_200_runtimes_in_parallel() {
    const RUNTIMES: usize = 200;

    let all = Barrier::new(RUNTIMES);
    std::thread::scope(|scope| {
        for n in 0..RUNTIMES {
            let all = &all;
            scope.spawn(move || {
                let rt = if n % 2 == 0 { current_thread() } else { multi_thread(2) };
                all.wait();
                echo_on(&rt);
                all.wait();
            });
        }
    });
}

#[test]
fn h28_2000_runtimes_in_sequence() {
    for n in 0..2000 {
        let rt = if n % 2 == 0 { current_thread() } else { multi_thread(2) };
        rt.block_on(async { tokio::spawn(ping()).await.unwrap() });
    }
}

async fn ping() {
    let (mut a, mut b) = UnixStream::pair().unwrap();
    let mut byte = [0];
    let (read, written) = tokio::join!(b.read_exact(&mut byte), async {
        tokio::task::yield_now().await;
        a.write_all(b"x").await
    });
    assert_eq!((read.unwrap(), written.unwrap()), (1, ()));
}

#[test]
fn h28_many_runtimes_with_little_locked_memory() {
    // Enough for some of them.
    let text = passed(&without_privileges(2 << 20, &["h28_200_runtimes", "h28_2000_runtimes"]), 2);
    let lines = lines(&text);
    assert!(lines.len() <= 1, "{lines:?}");
}

// ===== H30 =====

const NOT_WOKEN: &str = "spargio: a sleeping worker cannot be woken: ";
const REFUSED: &str = "spargio: the kernel refuses a ring that worked before: ";

/// A sandbox that is put up after the start: a thread without operations in flight goes on without a ring.
#[test]
fn h30_a_thread_forbids_itself_rings() {
    if common::backend() != BackendKind::IoUring {
        return;
    }
    in_a_child("h30_a_thread_forbids_itself_rings", || {
        let rt = current_thread();
        echo_on(&rt);
        let (a, b) = rt.block_on(async {
            let (a, b) = UnixStream::pair().unwrap();
            let (received, _) = tokio::join!(a.native().recv(vec![0; 1]), b.native().send("x"));
            assert_eq!(received.0.unwrap(), 1);
            (a, b)
        });
        let ring = rings();
        assert!(ring > 0);
        rt.block_on(async {
            seccompiler::apply_filter(&filter(ALL, libc::EPERM)).unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
            // What would be an operation of the ring is done in another way.
            let (received, _) = tokio::join!(a.native().recv(vec![0; 1]), b.native().send("y"));
            assert_eq!(received.0.unwrap(), 1);
        });
        assert!(rings() < ring);
        echo_on(&rt);
        drop(rt);
        // Rings are allowed to this process, as far as it knows: a runtime does without.
        echo_on(&current_thread());
    });
}

/// With operations in flight nothing can be said of their memory any more.
#[test]
fn h30_a_ring_at_work_is_forbidden() {
    if common::backend() != BackendKind::IoUring {
        return;
    }
    in_a_child("h30_a_ring_at_work_is_forbidden", || {
        let rt = current_thread();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            rt.block_on(async {
                let (a, b) = UnixStream::pair().unwrap();
                let mut receiving = Box::pin(async { a.native().recv(vec![0; 1]).await.0 });
                let timed_out = tokio::time::timeout(Duration::from_millis(1), &mut receiving).await;
                assert!(timed_out.is_err());
                seccompiler::apply_filter(&filter(ALL, libc::EPERM)).unwrap();
                // Where a ring cannot wait in the watch set (before Linux 6.15) its thread sleeps there, and only asks
                // the ring for what has come.
                b.try_write(b"!").unwrap();
                receiving.await
            })
        }))
        .unwrap_err();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.starts_with(REFUSED), "{text}");
    });
}

/// How many rings this process has open.
fn rings() -> usize {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    fds.filter(|fd| std::fs::read_link(fd.path()).is_ok_and(|to| to.to_string_lossy().contains("[io_uring]")))
        .count()
}

/// The scene ends the process, with one of these lines of ours, and none of them twice.
fn ends_the_process(test: &str, one_of: &[&str], scene: impl FnOnce()) {
    if common::backend() != BackendKind::IoUring {
        return;
    }
    if is_child() {
        scene();
        // Whoever comes here was not stopped: the parent sees a success.
        return;
    }
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env("FALLBACK_CHILD", "1");
    // A hang ends, too.
    // SAFETY: a system call on a number.
    unsafe {
        child.pre_exec(|| {
            libc::alarm(30);
            Ok(())
        })
    };
    let output = output(&mut child);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{text}");
    let counts: Vec<_> = one_of.iter().map(|line| text.matches(line).count()).collect();
    assert!(counts.contains(&1) && counts.iter().all(|&count| count <= 1), "{text}");
}

#[test]
fn h30_rings_are_forbidden_while_workers_run() {
    // Who meets it first is a race: a worker in its ring, or who rings for one that sleeps.
    ends_the_process("h30_rings_are_forbidden_while_workers_run", &[REFUSED, NOT_WOKEN], || {
        let rt = multi_thread(2);
        rt.block_on(async {
            let task = tokio::spawn(async {
                let (a, _b) = UnixStream::pair().unwrap();
                let mut receiving = Box::pin(async { a.native().recv(vec![0; 1]).await.0 });
                let timed_out = tokio::time::timeout(Duration::from_millis(1), &mut receiving).await;
                assert!(timed_out.is_err());
                // On the thread that has it in flight, or another one.
                seccompiler::apply_filter_all_threads(&filter(ALL, libc::EPERM)).unwrap();
                drop(receiving);
                tokio::time::sleep(Duration::from_millis(1)).await;
            });
            task.await.unwrap();
        });
    });
}

#[test]
fn h30_rings_are_forbidden_while_workers_sleep() {
    if common::backend() != BackendKind::IoUring {
        return;
    }
    in_a_child("h30_rings_are_forbidden_while_workers_sleep", || {
        let rt = multi_thread(2);
        echo_on(&rt);
        // Whether they sleep yet or not.
        seccompiler::apply_filter_all_threads(&filter(ALL, libc::EPERM)).unwrap();
        for _ in 0..20 {
            rt.block_on(async { tokio::spawn(async {}).await.unwrap() });
            std::thread::sleep(Duration::from_millis(1));
        }
        echo_on(&rt);
    });
}
