//! Forking, in tests.

// Each test file uses a part of it.
#![allow(dead_code)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::common::LONG;

/// Forks; the child runs `body`. Returns what it says, unless it hangs.
pub fn fork(body: impl FnOnce() -> i32) -> i32 {
    // SAFETY: the child allocates and locks, which glibc prepares its allocator for; the test has
    // a process of its own, with no other thread that holds a lock for long.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "{}", std::io::Error::last_os_error());
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(body)).unwrap_or(99);
        // SAFETY: always allowed. Unlike `_exit` it does not go by the leak sanitizer, to which in a child
        // everything is lost that the parent's other threads hold.
        unsafe { libc::syscall(libc::SYS_exit_group, code) };
    }
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: `status` outlives the call.
        if unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == pid {
            assert!(libc::WIFEXITED(status), "the child was killed: status {status:#x}");
            return libc::WEXITSTATUS(status);
        }
        if start.elapsed() > LONG {
            // SAFETY: a child that is not waited for yet.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("the child hangs");
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Does `f` panic with a text that says why?
pub fn is_refused<R>(f: impl FnOnce() -> R) -> bool {
    match catch_unwind(AssertUnwindSafe(f)) {
        Ok(_) => false,
        Err(payload) => {
            payload.downcast_ref::<&str>().is_some_and(|text| text.contains("belongs to the parent"))
        }
    }
}
