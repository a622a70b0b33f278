//! `Child`.

use crate::process::exit::Running;
use crate::process::output::{read_to_end, try_join3};
use crate::process::{ChildStderr, ChildStdin, ChildStdout};

use std::future::poll_fn;
use std::io;
use std::process::{Child as StdChild, ExitStatus, Output};
use std::task::{Context, Poll};

/// A process started by [`Command::spawn`](super::Command::spawn).
///
/// Dropping it leaves the process running, unless
/// [`kill_on_drop`](super::Command::kill_on_drop) was set. The runtime will take notice of the
/// exit, so that no zombie remains.
#[derive(Debug)]
pub struct Child {
    child: FusedChild,

    /// The pipe to the child's standard input, if there is one. Take it out to use it while
    /// methods of the child are called: `child.stdin.take()`.
    pub stdin: Option<ChildStdin>,

    /// The pipe from the child's standard output, if there is one. Take it out to use it while
    /// methods of the child are called: `child.stdout.take()`.
    pub stdout: Option<ChildStdout>,

    /// The pipe from the child's standard error, if there is one. Take it out to use it while
    /// methods of the child are called: `child.stderr.take()`.
    pub stderr: Option<ChildStderr>,
}

#[derive(Debug)]
enum FusedChild {
    Child(ChildDropGuard),
    Done(ExitStatus),
}

/// Kills the process when dropped, if told to.
#[derive(Debug)]
struct ChildDropGuard {
    inner: Running,
    kill_on_drop: bool,
}

impl Child {
    pub(super) fn new(mut std: StdChild, kill_on_drop: bool) -> io::Result<Child> {
        let stdin = std.stdin.take().map(ChildStdin::from_std).transpose()?;
        let stdout = std.stdout.take().map(ChildStdout::from_std).transpose()?;
        let stderr = std.stderr.take().map(ChildStderr::from_std).transpose()?;
        let inner = Running::new(std)?;
        Ok(Child { child: FusedChild::Child(ChildDropGuard { inner, kill_on_drop }), stdin, stdout, stderr })
    }

    /// The process's number; `None` once its exit was noticed, when the number may be given to
    /// another process.
    pub fn id(&self) -> Option<u32> {
        match &self.child {
            FusedChild::Child(child) => Some(child.inner.id()),
            FusedChild::Done(_) => None,
        }
    }

    /// Sends `SIGKILL` and returns without waiting for the effect.
    ///
    /// A zombie remains until the exit is noticed, by [`wait`](Child::wait),
    /// [`try_wait`](Child::try_wait), or the runtime after this handle is dropped.
    ///
    /// # Errors
    ///
    /// Those of `kill(2)`. That the process has exited is none.
    pub fn start_kill(&mut self) -> io::Result<()> {
        match &mut self.child {
            FusedChild::Child(child) => child.kill(),
            FusedChild::Done(_) => Ok(()),
        }
    }

    /// Sends `SIGKILL` and waits for the exit, unlike
    /// [`std::process::Child::kill`], whose counterpart is [`start_kill`](Child::start_kill).
    ///
    /// # Errors
    ///
    /// Those of [`start_kill`](Child::start_kill) and [`wait`](Child::wait).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokio::process::Command;
    /// use tokio::time::timeout;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let mut child = Command::new("sleep").arg("100").spawn()?;
    /// if timeout(Duration::from_millis(10), child.wait()).await.is_err() {
    ///     child.kill().await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn kill(&mut self) -> io::Result<()> {
        self.start_kill()?;
        self.wait().await?;
        Ok(())
    }

    /// Waits for the exit, and returns the same status at every later call.
    ///
    /// First closes the pipe to the child's standard input, if it is still in `stdin`: a child
    /// that reads its input to the end would never exit.
    ///
    /// # Errors
    ///
    /// Those of `waitpid(2)`: somebody else has waited for the process. If all runtimes concerned
    /// are gone, that.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe; only `stdin` is closed already.
    pub async fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        match &mut self.child {
            FusedChild::Done(exit) => Ok(*exit),
            FusedChild::Child(child) => {
                let exit = poll_fn(|cx| child.poll_wait(cx)).await?;
                self.child = FusedChild::Done(exit);
                Ok(exit)
            }
        }
    }

    /// The exit status if the process has exited, else `None`; never waits, and closes nothing.
    ///
    /// # Errors
    ///
    /// Those of `waitpid(2)`.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        match &mut self.child {
            FusedChild::Done(exit) => Ok(Some(*exit)),
            FusedChild::Child(child) => {
                let exit = child.inner.try_wait()?;
                if let Some(exit) = exit {
                    child.kill_on_drop = false;
                    self.child = FusedChild::Done(exit);
                }
                Ok(exit)
            }
        }
    }

    /// Waits for the exit, while collecting what comes out of `stdout` and `stderr`; of one that
    /// is not piped, nothing does.
    ///
    /// Closes the pipe to the child's standard input first, as [`wait`](Child::wait) does.
    ///
    /// # Errors
    ///
    /// Those of [`wait`](Child::wait) and of reading.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: what was read is lost, as the child is.
    pub async fn wait_with_output(mut self) -> io::Result<Output> {
        let mut stdout_pipe = self.stdout.take();
        let mut stderr_pipe = self.stderr.take();
        let stdout = read_to_end(stdout_pipe.as_mut().map(|pipe| &mut pipe.inner));
        let stderr = read_to_end(stderr_pipe.as_mut().map(|pipe| &mut pipe.inner));
        let (status, stdout, stderr) = try_join3(self.wait(), stdout, stderr).await?;

        // Not before the exit: the child may still write, to nobody, and must not fail then.
        drop((stdout_pipe, stderr_pipe));
        Ok(Output { status, stdout, stderr })
    }
}

impl ChildDropGuard {
    fn kill(&mut self) -> io::Result<()> {
        self.inner.kill()?;
        self.kill_on_drop = false;
        Ok(())
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ExitStatus>> {
        let exit = self.inner.poll_wait(cx);
        if let Poll::Ready(Ok(_)) = exit {
            // Its number may be another process's from now on.
            self.kill_on_drop = false;
        }
        exit
    }
}

impl Drop for ChildDropGuard {
    fn drop(&mut self) {
        if self.kill_on_drop {
            // An error: it is out of reach, and there is nobody to tell.
            drop(self.kill());
        }
    }
}
