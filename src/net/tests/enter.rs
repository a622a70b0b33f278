//! Errors of `io_uring_enter`.

use super::{current_thread, multi_thread, ring_echo, ring_echo_on_each_flavour, under};
use crate::sys::fault::{Call, Script};

/// What is part of normal life.
const ERRORS: [i32; 6] = [libc::EINTR, libc::ETIME, libc::EAGAIN, libc::EBUSY, libc::ENOMEM, libc::EBADR];

#[test]
fn h19_every_error_at_every_call_of_a_thread() {
    let mut failed = 0;
    for errno in ERRORS {
        for n in 0..20 {
            let script = Script::default().fail(Call::Enter, errno, n..n + 1);
            under(&script, &format!("errno {errno} at call {n}"), || {
                assert_eq!(current_thread().unwrap().block_on(ring_echo(2, 2)), 8);
            });
            failed += script.failed();
        }
    }
    assert!(failed > ERRORS.len() * 8, "only {failed} failures");
}

#[test]
fn h19_every_error_at_every_call_of_workers() {
    let mut failed = 0;
    for errno in ERRORS {
        for n in 0..30 {
            let script = Script::default().fail(Call::Enter, errno, n..n + 1);
            under(&script, &format!("errno {errno} at call {n}"), || {
                let rt = multi_thread(2).unwrap();
                assert_eq!(rt.block_on(async { crate::task::spawn(ring_echo(2, 2)).await.unwrap() }), 8);
            });
            failed += script.failed();
        }
    }
    assert!(failed > ERRORS.len() * 10, "only {failed} failures");
}

#[test]
fn h19_errors_in_a_row() {
    for errno in ERRORS {
        for n in 0..30 {
            let script = Script::default().fail(Call::Enter, errno, n..n + 8);
            under(&script, &format!("errno {errno} from call {n} on"), || {
                assert_eq!(current_thread().unwrap().block_on(ring_echo(2, 2)), 8);
            });
        }
    }
}

#[test]
fn h19_short_submits() {
    let script = Script::default().short_submits();
    under(&script, "one entry at a time", || assert_eq!(ring_echo_on_each_flavour(8, 4), [64; 3]));
}
