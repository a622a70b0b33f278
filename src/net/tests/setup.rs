//! Errors of `io_uring_setup`.

use std::io;

use super::{current_thread, echo, echo_on_each_flavour, multi_thread, under};
use crate::runtime::{BackendKind, Runtime};
use crate::sys::fault::{Call, Script};

/// An error of the kernel's, how often a ring meets it before it is given up, and what a user can
/// do about it.
const ERRORS: [(i32, usize, &str); 8] = [
    (libc::EMFILE, 1, "ulimit -n"),
    (libc::ENFILE, 1, "fs.file-max"),
    // It is asked for again for half a second.
    (libc::ENOMEM, FOR_LONG, "ulimit -l"),
    (libc::EPERM, 1, "seccomp"),
    (libc::EACCES, 1, "seccomp"),
    (libc::ENOSYS, 1, "no io_uring"),
    (libc::EOPNOTSUPP, 1, "lacks"),
    // Once for a flag of Linux 6.6.
    (libc::EINVAL, 2, "6.1"),
];

/// More often than anybody asks in half a second.
const FOR_LONG: usize = 10_000;

fn refused(make: fn() -> io::Result<Runtime>, errno: i32, advice: &str) {
    let error = make().expect_err("there was no ring to be had");
    assert_eq!(error.kind(), io::Error::from_raw_os_error(errno).kind());
    let text = error.to_string();
    assert!(text.contains("io_uring") && text.contains(advice), "{text}");
}

#[test]
fn h31_a_refused_ring_is_an_error_with_advice() {
    for (errno, times, advice) in ERRORS {
        for make in [current_thread, || multi_thread(4)] {
            let script = Script::default().backend("io_uring").fail(Call::Setup, errno, 0..times);
            under(&script, &format!("errno {errno}"), move || {
                refused(make, errno, advice);
                if times != FOR_LONG {
                    // And once the kernel gives rings again, everything works.
                    assert_eq!(echo_on_each_flavour(2, 2), [8; 3]);
                }
            });
            assert!(script.failed() == times || times == FOR_LONG && script.failed() > 1);
        }
    }
}

/// Builds a runtime that must stand on epoll, says why, and works.
fn falls_back(make: fn() -> io::Result<Runtime>, advice: &str) {
    let rt = make().expect("there is epoll");
    let backend = rt.handle().backend();
    assert_eq!(backend.kind(), BackendKind::Epoll);
    assert!(!backend.is_forced());
    let refusal = backend.refusal().expect("rings were refused").to_string();
    assert!(refusal.contains("io_uring") && refusal.contains(advice), "{refusal}");
    assert!(backend.to_string().contains(&refusal));
    assert_eq!(rt.block_on(async { crate::task::spawn(echo(2, 2)).await.unwrap() }), 8);
}

#[test]
fn h29_where_rings_are_refused_epoll_serves() {
    for (errno, times, advice) in ERRORS {
        for make in [current_thread, || multi_thread(4)] {
            let script = Script::default().fail(Call::Setup, errno, 0..times);
            under(&script, &format!("errno {errno}"), move || {
                falls_back(make, advice);
                if times != FOR_LONG {
                    // The next runtime has rings again.
                    let next = multi_thread(1).unwrap().handle().backend();
                    assert_eq!(next.kind(), BackendKind::IoUring);
                    assert!(next.refusal().is_none());
                }
            });
        }
    }
}

/// The memory of a process that has just ended is still counted.
#[test]
fn h28_a_ring_refused_for_lack_of_memory_is_asked_for_again() {
    let script = Script::default().fail(Call::Setup, libc::ENOMEM, 0..5);
    under(&script, "no memory yet", || {
        assert_eq!(current_thread().unwrap().handle().backend().kind(), BackendKind::IoUring);
    });
    assert_eq!(script.failed(), 5);
}

#[cfg(feature = "uring-native")]
#[test]
fn h28_without_memory_rings_are_smaller() {
    for times in 1..3 {
        // The first ring is that of the builder.
        let script = Script::default().fail(Call::Setup, libc::ENOMEM, 1..1 + times);
        under(&script, "no memory", || {
            let rt = current_thread().unwrap();
            // More operations than a small ring has entries.
            assert_eq!(rt.block_on(async { crate::task::spawn(super::ring_echo(60, 3)).await.unwrap() }), 360);
        });
        assert_eq!(script.failed(), times);
    }
}

/// A thread that gets no ring drives its shard without, and has operations done in other ways.
#[cfg(feature = "uring-native")]
#[test]
fn h63_a_thread_without_a_ring_lacks_nothing() {
    for errno in [libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EPERM] {
        for make in [current_thread, || multi_thread(2)] {
            // The first ring is that of the builder.
            let script = Script::default().fail(Call::Setup, errno, 1..usize::MAX);
            under(&script, &format!("errno {errno}"), move || {
                let rt = make().unwrap();
                assert_eq!(rt.handle().backend().kind(), BackendKind::IoUring);
                assert_eq!(rt.block_on(async { crate::task::spawn(super::ring_echo(4, 3)).await.unwrap() }), 24);
                // From a thread that drives no shard, too.
                assert_eq!(rt.block_on(super::ring_echo(4, 3)), 24);
                #[cfg(feature = "fs")]
                rt.block_on(async {
                    let dir = tempfile::tempdir().unwrap();
                    crate::fs::write(dir.path().join("a"), b"contents").await.unwrap();
                    assert_eq!(crate::fs::read(dir.path().join("a")).await.unwrap(), b"contents");
                    let file = crate::native::fs::open(dir.path().join("a"), Default::default()).await;
                    assert_eq!(file.unwrap().native().read_at(vec![0; 8], 0).await.0.unwrap(), 8);
                });
            });
            assert!(script.failed() > 0);
        }
    }
}

#[test]
fn h31_an_old_kernel_is_told_so() {
    // The first attempt asks for a flag of Linux 6.6, the second one does without.
    let script = Script::default().fail(Call::Setup, libc::EINVAL, 0..1);
    under(&script, "no NO_SQARRAY", || assert_eq!(echo_on_each_flavour(2, 2), [8; 3]));
    assert_eq!(script.failed(), 1);

    let script = Script::default().backend("io_uring").fail(Call::Setup, libc::EINVAL, 0..2);
    under(&script, "too old", || refused(current_thread, libc::EINVAL, "6.1"));
    assert_eq!(script.failed(), 2);
}
