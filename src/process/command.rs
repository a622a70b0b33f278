//! `Command`.
//!
//! # Safety
//!
//! The one unsafe function passes its contract on to the standard library's.
#![allow(unsafe_code)]

use crate::process::Child;

use std::ffi::OsStr;
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
#[cfg(tokio_unstable)]
use std::process::Child as StdChild;
use std::process::{Command as StdCommand, ExitStatus, Output, Stdio};

/// A process to be started: [`std::process::Command`] with asynchronous
/// [`spawn`](Command::spawn), [`status`](Command::status) and [`output`](Command::output).
///
/// See [the module](crate::process) for examples.
#[derive(Debug)]
pub struct Command {
    std: StdCommand,
    kill_on_drop: bool,
}

impl Command {
    /// A command that starts `program`: without arguments, with this process's environment and
    /// working directory. The standard streams are inherited by [`spawn`](Command::spawn) and
    /// [`status`](Command::status), and piped by [`output`](Command::output).
    ///
    /// A `program` that is no path is looked for in `PATH`, the child's if
    /// [`env`](Command::env) sets one.
    pub fn new<S: AsRef<OsStr>>(program: S) -> Command {
        Command::from(StdCommand::new(program))
    }

    /// The standard library's command inside this one.
    pub fn as_std(&self) -> &StdCommand {
        &self.std
    }

    /// The standard library's command inside this one, for what this type has no method for.
    pub fn as_std_mut(&mut self) -> &mut StdCommand {
        &mut self.std
    }

    /// Turns this into the standard library's command. [`kill_on_drop`](Command::kill_on_drop)
    /// is lost, which has no counterpart there.
    pub fn into_std(self) -> StdCommand {
        self.std
    }

    /// Adds one argument, which is passed as it is: nothing splits or expands it.
    pub fn arg<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.std.arg(arg);
        self
    }

    /// Adds several arguments, each as [`arg`](Command::arg) does.
    pub fn args<I, S>(&mut self, args: I) -> &mut Command
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        self.std.args(args);
        self
    }

    /// Sets a variable of the child's environment.
    pub fn env<K, V>(&mut self, key: K, val: V) -> &mut Command
    where
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.env(key, val);
        self
    }

    /// Sets several variables of the child's environment.
    pub fn envs<I, K, V>(&mut self, vars: I) -> &mut Command
    where
        I: IntoIterator<Item = (K, V)>,
        K: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.std.envs(vars);
        self
    }

    /// Removes a variable from the child's environment, be it set here or inherited.
    pub fn env_remove<K: AsRef<OsStr>>(&mut self, key: K) -> &mut Command {
        self.std.env_remove(key);
        self
    }

    /// Empties the child's environment. Variables set afterwards are passed on.
    pub fn env_clear(&mut self) -> &mut Command {
        self.std.env_clear();
        self
    }

    /// Sets the child's working directory.
    ///
    /// Whether a relative path to the program starts from this directory or from the parent's is
    /// not specified. Better make it absolute.
    pub fn current_dir<P: AsRef<Path>>(&mut self, dir: P) -> &mut Command {
        self.std.current_dir(dir);
        self
    }

    /// Sets the child's standard input. [Inherited](Stdio::inherit) by default.
    pub fn stdin<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stdin(cfg);
        self
    }

    /// Sets the child's standard output. [Inherited](Stdio::inherit) by default;
    /// [`output`](Command::output) pipes it whatever is set here.
    pub fn stdout<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stdout(cfg);
        self
    }

    /// Sets the child's standard error. [Inherited](Stdio::inherit) by default;
    /// [`output`](Command::output) pipes it whatever is set here.
    pub fn stderr<T: Into<Stdio>>(&mut self, cfg: T) -> &mut Command {
        self.std.stderr(cfg);
        self
    }

    /// Decides whether a child is killed (`SIGKILL`) when its [`Child`] is dropped before it has
    /// exited. Not by default.
    ///
    /// The killed child is reaped in the background, see [the module](crate::process). If that
    /// must have happened, use [`Child::kill`] instead, which waits.
    pub fn kill_on_drop(&mut self, kill_on_drop: bool) -> &mut Command {
        self.kill_on_drop = kill_on_drop;
        self
    }

    /// Sets the child's user. Starting it fails if `setuid(2)` does.
    pub fn uid(&mut self, id: u32) -> &mut Command {
        self.std.uid(id);
        self
    }

    /// Sets the child's group. Starting it fails if `setgid(2)` does.
    pub fn gid(&mut self, id: u32) -> &mut Command {
        self.std.gid(id);
        self
    }

    /// Sets the child's argument 0, which is the program's name otherwise.
    pub fn arg0<S>(&mut self, arg: S) -> &mut Command
    where
        S: AsRef<OsStr>,
    {
        self.std.arg0(arg);
        self
    }

    /// Adds a closure that runs in the child just before `exec`. Its error, or rather the
    /// error's operating system code, becomes that of starting the child. Several closures run
    /// in the order they were added, up to the first that fails.
    ///
    /// # Safety
    ///
    /// The closure runs after `fork`, in a copy of this process that has one thread and the
    /// locks of all others as they were: it must do nothing that is not async-signal-safe.
    /// Allocating memory or locking anything may deadlock; so does, or worse, using a runtime or
    /// its resources. Descriptors and mappings are copies too, and the closure must not break
    /// what others rely on by using them. The standard streams and the working directory
    /// are the child's already.
    pub unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: the caller's promise is the one asked for here.
        unsafe { self.std.pre_exec(f) };
        self
    }

    /// Sets the child's process group, `0` meaning a new one of its own.
    ///
    /// A terminal sends the signal of Ctrl-C to every process of the group in its foreground: a
    /// child in a group of its own does not get it.
    pub fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.std.process_group(pgroup);
        self
    }

    /// Starts the process. It runs from now on, whether anything is awaited or not.
    ///
    /// # Errors
    ///
    /// If the process cannot be started, [`WouldBlock`](io::ErrorKind::WouldBlock) if there are
    /// too many, or if its streams cannot be registered with the runtime.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled.
    ///
    /// # Examples
    ///
    /// ```
    /// use tokio::process::Command;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let mut child = Command::new("true").spawn()?;
    /// assert!(child.wait().await?.success());
    /// # Ok(())
    /// # }
    /// ```
    #[inline]
    pub fn spawn(&mut self) -> io::Result<Child> {
        let child = self.std.spawn()?;
        Child::new(child, self.kill_on_drop)
    }

    /// Starts the process by a function of the caller's; all else is as with
    /// [`spawn`](Command::spawn).
    #[cfg(tokio_unstable)]
    #[cfg_attr(docsrs, doc(cfg(tokio_unstable)))]
    #[inline]
    pub fn spawn_with(&mut self, with: impl FnOnce(&mut StdCommand) -> io::Result<StdChild>) -> io::Result<Child> {
        let child = with(&mut self.std)?;
        Child::new(child, self.kill_on_drop)
    }

    /// Starts the process and waits for its exit.
    ///
    /// It starts with this call. Streams that are piped are closed at once. Dropping the
    /// future leaves the process alone, or kills it if [`kill_on_drop`](Command::kill_on_drop)
    /// is set.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Command::spawn) and [`Child::wait`].
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled.
    pub fn status(&mut self) -> impl Future<Output = io::Result<ExitStatus>> + use<> {
        let child = self.spawn();
        async {
            let mut child = child?;
            // A child that reads or writes them would wait for us for ever.
            drop((child.stdin.take(), child.stdout.take(), child.stderr.take()));
            child.wait().await
        }
    }

    /// Starts the process, waits for its exit and collects what it writes.
    ///
    /// Standard output and error are piped, whatever was set before; to have it otherwise, use
    /// [`spawn`](Command::spawn) and [`Child::wait_with_output`]. It starts with this
    /// call. Dropping the future leaves the process alone, or kills it if
    /// [`kill_on_drop`](Command::kill_on_drop) is set.
    ///
    /// # Errors
    ///
    /// Those of [`spawn`](Command::spawn) and [`Child::wait_with_output`].
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled.
    pub fn output(&mut self) -> impl Future<Output = io::Result<Output>> + use<> {
        self.std.stdout(Stdio::piped());
        self.std.stderr(Stdio::piped());
        let child = self.spawn();
        async { child?.wait_with_output().await }
    }

    /// What was last set with [`kill_on_drop`](Command::kill_on_drop).
    pub fn get_kill_on_drop(&self) -> bool {
        self.kill_on_drop
    }
}

impl From<StdCommand> for Command {
    fn from(std: StdCommand) -> Command {
        Command { std, kill_on_drop: false }
    }
}
