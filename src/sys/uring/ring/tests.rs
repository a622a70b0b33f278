use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::time::Duration;

use super::super::{Kind, Sqe, Token};
use super::{Ring, Wait};
use crate::sys::fault::{Call, Script};

/// H18: the kernel takes nothing while the backlog is moved into the queue, and everything a moment
/// later.
#[test]
fn h18_nobody_waits_while_there_is_a_backlog() {
    const POLLIN: u32 = 1;
    const ENTRIES: u32 = 4;
    const LONG: Duration = Duration::from_secs(30);

    // The attempts of the last push and of the next `enter` to make room; a new ring is tried first.
    let script = Script::default().ring_size(ENTRIES, 2 * ENTRIES).fail(Call::Enter, libc::EAGAIN, 1..3);
    let _installed = script.install();
    let mut ring = Ring::for_this_thread().unwrap();
    let (silent, _writer) = rustix::pipe::pipe().unwrap();
    let (ready, writer) = rustix::pipe::pipe().unwrap();
    File::from(writer).write_all(b"!").unwrap();
    for index in 0..ENTRIES {
        ring.push(Sqe::poll_multishot(silent.as_raw_fd(), POLLIN, Token::new(Kind::Op, 0, index)));
    }
    let token = Token::new(Kind::Op, 0, ENTRIES);
    ring.push(Sqe::poll_multishot(ready.as_raw_fd(), POLLIN, token));
    assert!(ring.has_unsubmitted());

    let started = std::time::Instant::now();
    let mut completions = Vec::new();
    while !completions.iter().any(|cqe: &super::super::Cqe| cqe.token == token) {
        drop(ring.enter(Wait::For(LONG)));
        ring.reap(&mut completions);
        assert!(started.elapsed() < LONG / 2, "waited although there was a backlog");
    }
    assert_eq!(script.failed(), 2);
    ring.mark_unclean();
}
