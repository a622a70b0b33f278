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
    // Twice for a smaller ring.
    (libc::ENOMEM, 3, "ulimit -l"),
    (libc::EPERM, 1, "seccomp"),
    (libc::EACCES, 1, "seccomp"),
    (libc::ENOSYS, 1, "no io_uring"),
    (libc::EOPNOTSUPP, 1, "lacks"),
    // Once for a flag of Linux 6.6.
    (libc::EINVAL, 2, "6.1"),
];

fn refused(make: fn() -> io::Result<Runtime>, errno: i32, advice: &str) {
    let error = make().expect_err("there was no ring to be had");
    assert_eq!(error.kind(), io::Error::from_raw_os_error(errno).kind());
    let text = error.to_string();
    assert!(text.contains("io_uring") && text.contains(advice), "{text}");
}

#[test]
fn h31_a_refused_ring_is_an_error_with_advice() {
    for (errno, times, advice) in ERRORS {
        for n in 0..4 {
            let script = Script::default().backend("io_uring").fail(Call::Setup, errno, n..n + times);
            under(&script, &format!("errno {errno} at ring {n}"), move || {
                refused(|| multi_thread(4), errno, advice);
                // And once the kernel gives rings again, everything works.
                assert_eq!(echo_on_each_flavour(2, 2), [8; 3]);
            });
            assert_eq!(script.failed(), times);
        }
        let script = Script::default().backend("io_uring").fail(Call::Setup, errno, 0..times);
        under(&script, &format!("errno {errno}"), move || refused(current_thread, errno, advice));
        assert_eq!(script.failed(), times);
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
        for n in 0..4 {
            let script = Script::default().fail(Call::Setup, errno, n..n + times);
            under(&script, &format!("errno {errno} at ring {n}"), move || {
                falls_back(|| multi_thread(4), advice);
                // The next runtime has rings again.
                let next = multi_thread(1).unwrap().handle().backend();
                assert_eq!(next.kind(), BackendKind::IoUring);
                assert!(next.refusal().is_none());
            });
            assert_eq!(script.failed(), times);
        }
        let script = Script::default().fail(Call::Setup, errno, 0..times);
        under(&script, &format!("errno {errno}"), move || falls_back(current_thread, advice));
        assert_eq!(script.failed(), times);
    }
}

#[test]
fn h28_without_memory_rings_are_smaller() {
    for times in 1..3 {
        let script = Script::default().fail(Call::Setup, libc::ENOMEM, 0..times);
        under(&script, "no memory", || {
            let rt = current_thread().unwrap();
            assert_eq!(rt.handle().backend().kind(), BackendKind::IoUring);
            // More polls than a small ring has entries.
            assert_eq!(rt.block_on(async { crate::task::spawn(echo(60, 3)).await.unwrap() }), 360);
        });
        assert_eq!(script.failed(), times);
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
