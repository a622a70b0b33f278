//! Errors of `io_uring_setup`.

use std::io;

use super::{current_thread, echo_on_each_flavour, multi_thread, under};
use crate::runtime::Runtime;
use crate::sys::fault::{Call, Script};

/// An error of the kernel's, how often it is met, and what a user can do about it.
const ERRORS: [(i32, &str); 6] = [
    (libc::EMFILE, "ulimit -n"),
    (libc::ENFILE, "fs.file-max"),
    (libc::ENOMEM, "ulimit -l"),
    (libc::EPERM, "seccomp"),
    (libc::EACCES, "seccomp"),
    (libc::ENOSYS, "no io_uring"),
];

fn refused(make: fn() -> io::Result<Runtime>, errno: i32, advice: &str) {
    let error = make().expect_err("there was no ring to be had");
    assert_eq!(error.kind(), io::Error::from_raw_os_error(errno).kind());
    let text = error.to_string();
    assert!(text.contains("io_uring") && text.contains(advice), "{text}");
}

#[test]
fn h31_a_refused_ring_is_an_error_with_advice() {
    for (errno, advice) in ERRORS {
        for n in 0..4 {
            let script = Script::default().fail(Call::Setup, errno, n..n + 1);
            under(&script, &format!("errno {errno} at ring {n}"), move || {
                refused(|| multi_thread(4), errno, advice);
                // And once the kernel gives rings again, everything works.
                assert_eq!(echo_on_each_flavour(2, 2), [8; 3]);
            });
            assert_eq!(script.failed(), 1);
        }
        let script = Script::default().fail(Call::Setup, errno, 0..1);
        under(&script, &format!("errno {errno}"), move || refused(current_thread, errno, advice));
        assert_eq!(script.failed(), 1);
    }
}

#[test]
fn h31_an_old_kernel_is_told_so() {
    // The first attempt asks for a flag of Linux 6.6, the second one does without.
    let script = Script::default().fail(Call::Setup, libc::EINVAL, 0..1);
    under(&script, "no NO_SQARRAY", || assert_eq!(echo_on_each_flavour(2, 2), [8; 3]));
    assert_eq!(script.failed(), 1);

    let script = Script::default().fail(Call::Setup, libc::EINVAL, 0..2);
    under(&script, "too old", || refused(current_thread, libc::EINVAL, "6.1"));
    assert_eq!(script.failed(), 2);
}
