//! Orphans: children that nobody waits for any more, and that would stay zombies.
//!
//! # Protocol
//!
//! 1. A child that is dropped while it runs goes to the runtime it belonged to, which attends to
//!    its pidfd and reaps it when it exits. No task is involved, no handler of `SIGCHLD` needed.
//! 2. Without a pidfd it is kept in a list, which is gone through at every `SIGCHLD`.
//! 3. When a runtime ends, its orphans wait for another one: the first that parks takes them.

use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::process::Child;
use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use crate::driver::Handle;
use crate::driver::attend::{Next, Work, attend};
use crate::driver::signal;
use crate::loom::sync::Mutex;
use crate::sys::pidfd;

type Children = LazyLock<Mutex<Vec<Child>>>;

/// Those that no runtime cares for.
static HOMELESS: Children = LazyLock::new(Mutex::default);
/// Is there any? For a look without the lock.
static ANY_HOMELESS: AtomicBool = AtomicBool::new(false);
/// Those that `SIGCHLD` may be about.
static SIGNALLED: Children = LazyLock::new(Mutex::default);

/// A running child and its pidfd.
struct Orphan {
    child: Mutex<Option<Child>>,
    pidfd: OwnedFd,
}

/// Leaves it to the runtime of `driver` to reap `child`.
pub(crate) fn abandon(mut child: Child, driver: &Handle) {
    if !is_running(&mut child) {
        return;
    }
    if driver.is_shutdown() {
        put_up(vec![child]);
        return;
    }
    match pidfd::open(child.id()) {
        // An error: it has put the child up already.
        Ok(pidfd) => drop(attend(Orphan { child: Mutex::new(Some(child)), pidfd }, driver)),
        Err(_) => {
            SIGNALLED.lock().push(child);
            // An error: no handler, now or ever. Then only other orphans' ends are a reason to look.
            drop(signal::listen(libc::SIGCHLD, driver));
            // It may have exited before there was a handler.
            reap();
        }
    }
}

/// Reaps whoever exited of those that have no pidfd.
pub(super) fn reap() {
    SIGNALLED.lock().retain_mut(is_running);
}

/// A runtime that delivered `SIGCHLD` is gone, and may have been the only one.
pub(super) fn lose_signals() {
    let children = mem::take(&mut *SIGNALLED.lock());
    put_up(children);
}

/// Takes in those that are without a runtime.
pub(super) fn adopt(driver: &Handle) {
    if !ANY_HOMELESS.load(Acquire) {
        return;
    }
    let children = {
        let mut homeless = HOMELESS.lock();
        ANY_HOMELESS.store(false, Release);
        mem::take(&mut *homeless)
    };
    for child in children {
        abandon(child, driver);
    }
}

fn put_up(mut children: Vec<Child>) {
    if !children.is_empty() {
        let mut homeless = HOMELESS.lock();
        homeless.append(&mut children);
        ANY_HOMELESS.store(true, Release);
    }
}

/// An error means that somebody else has waited for it.
fn is_running(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}

impl Work for Orphan {
    fn fd(&self) -> RawFd {
        self.pidfd.as_raw_fd()
    }

    fn readable(&self) -> Next {
        let mut child = self.child.lock();
        if child.as_mut().is_some_and(is_running) {
            return Next::Wait;
        }
        *child = None;
        Next::End
    }

    fn runtime_gone(&self) {
        put_up(self.child.lock().take().into_iter().collect());
    }
}
