//! A child that nobody has waited for yet, and how its exit is noticed.

use crate::driver::signal::{self, Listener};
use crate::driver::{self, Direction, Drained, Interest};
use crate::io::PollEvented;
use crate::runtime::{context, is_rt_shutdown_err, scheduler};
use crate::sys::pidfd;

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child as StdChild, ExitStatus};
use std::task::{Context, Poll, ready};

/// See the module docs. Dropping it leaves the child to the runtime.
pub(super) struct Running {
    /// `None` while being dropped.
    child: Option<StdChild>,
    exit: Exit,
    /// Of the runtime that the child belongs to.
    driver: driver::Handle,
}

/// What tells of the exit.
enum Exit {
    Pidfd(PollEvented<OwnedFd>),
    /// `SIGCHLD`; there is one for several children at times.
    Signal(Listener),
}

impl Running {
    /// # Panics
    ///
    /// Without a current runtime, or if its I/O driver is disabled.
    #[track_caller]
    pub(super) fn new(child: StdChild) -> io::Result<Running> {
        let driver = scheduler::Handle::current().driver().io().clone();
        match Exit::watch(child.id(), &driver) {
            Ok(exit) => Ok(Running { child: Some(child), exit, driver }),
            Err(error) => {
                driver::process::abandon(child, &driver);
                Err(error)
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        match &self.child {
            Some(child) => child.id(),
            None => unreachable!("only drop takes the child"),
        }
    }

    fn child(&mut self) -> &mut StdChild {
        match &mut self.child {
            Some(child) => child,
            None => unreachable!("only drop takes the child"),
        }
    }

    pub(super) fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child().try_wait()
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.child().kill()
    }

    /// Waits for the exit; only the last caller is woken.
    pub(super) fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let Running { child: Some(child), exit, driver } = self else {
            unreachable!("only drop takes the child");
        };
        loop {
            let result = ready!(exit.poll(child, cx));
            if !matches!(&result, Err(error) if is_rt_shutdown_err(error)) {
                return Poll::Ready(result);
            }
            // The child has outlived its runtime, and the task is on another one.
            *driver = scheduler::Handle::current().driver().io().clone();
            *exit = Exit::watch(child.id(), driver)?;
        }
    }
}

impl Exit {
    fn watch(pid: u32, driver: &driver::Handle) -> io::Result<Exit> {
        match pidfd::open(pid) {
            Ok(pidfd) => PollEvented::new_with_interest(pidfd, Interest::READABLE).map(Exit::Pidfd),
            Err(_) => signal::listen(libc::SIGCHLD, driver.signal()).map(Exit::Signal),
        }
    }

    fn poll(&mut self, child: &mut StdChild, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        match self {
            Exit::Pidfd(pidfd) => pidfd.registration().poll_io(cx, Direction::Read, || match child.try_wait()? {
                Some(status) => Ok((status, Drained::No)),
                None => Err(io::ErrorKind::WouldBlock.into()),
            }),
            Exit::Signal(sigchld) => {
                // The runtime that listened first may be gone, or stand still.
                drop(context::with_current(|handle| signal::serve(handle.driver())));
                loop {
                    // In this order: a signal after the look at the child must wake the task.
                    let is_pending = sigchld.poll_recv(cx).is_pending();
                    if let Some(status) = child.try_wait()? {
                        return Poll::Ready(Ok(status));
                    }
                    if is_pending {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            driver::process::abandon(child, &self.driver);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.id()).finish()
    }
}
