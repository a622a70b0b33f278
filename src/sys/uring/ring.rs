//! A ring, bound to one thread.
//!
//! # Flags
//!
//! - `SINGLE_ISSUER` + `DEFER_TASKRUN` (6.1): completions are finished only inside this thread's
//!   own `enter`. Plain and `COOP_TASKRUN` rings were measured to make the thread's blocking
//!   system calls return `EINTR` whenever a watched file becomes ready; these do not.
//! - `R_DISABLED` (5.10): set up before the worker exists, while an error can still be
//!   reported, and bound to the worker that enables it.
//! - `SUBMIT_ALL` (5.18): one bad entry does not stop the rest of a batch.
//! - `CQSIZE`: completions outnumber submissions, since watches are multishot.
//! - `TASKRUN_FLAG` (5.19): the ring says when an `enter` would find something, so a busy worker
//!   looks at a word in memory instead of making a system call.
//! - `NO_SQARRAY` (6.6): tried first, left out where unknown.
//!
//! # Safety
//!
//! Entries either hold no pointers (polls, cancels and messages carry numbers only), or whoever made
//! them promised what [`entry`](super::entry) asks for. The single raw `enter` passes no argument
//! struct but a timespec that outlives it.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, RawFd};
#[cfg(feature = "uring-native")]
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;

use io_uring::squeue::Entry;
use io_uring::{EnterFlags, IoUring, types};

#[cfg(feature = "uring-native")]
use super::buf_ring::BufRing;
use super::cache::{self, Home};
use super::doorbell;
#[cfg(feature = "uring-native")]
use super::fixed;
use super::token::Token;
use super::{Cqe, Sqe, probe};
use crate::sys::fault::{self, Call};

/// How long an `enter` may wait for a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// Not at all.
    No,
    /// At most this long.
    For(Duration),
    /// Until there is one.
    Forever,
}

/// Why an `enter` returned early. Only `Broken` is not part of normal life.
#[derive(Debug)]
pub(crate) enum EnterError {
    /// `EINTR`: a signal handler ran.
    Interrupted,
    /// `ETIME`: the wait was over before a completion came.
    TimedOut,
    /// `EAGAIN`, `EBUSY`, `ENOMEM`: the kernel is short of memory or completions wait to be
    /// reaped. What was pushed stays in the queue; reap, then try again.
    Backpressure,
    /// The kernel refuses the ring itself: it was closed under us (`EBADF`, `EBADFD`, `ENXIO`),
    /// used on a wrong thread (`EEXIST`), or the process was forbidden `io_uring` after it had
    /// started (`EPERM`, `EACCES`, `ENOSYS`, `EOPNOTSUPP`); or it finds our call wrong (`EINVAL`, `EFAULT`).
    Broken(io::Error),
}

impl EnterError {
    fn from_os(error: io::Error) -> EnterError {
        match error.raw_os_error() {
            Some(libc::EINTR) => EnterError::Interrupted,
            Some(libc::ETIME) => EnterError::TimedOut,
            // EBADR: completions were dropped, which rings with IORING_FEAT_NODROP (5.5) do only
            // when out of memory; the watches they ended are armed again like any other.
            Some(libc::EAGAIN | libc::EBUSY | libc::ENOMEM | libc::EBADR) => EnterError::Backpressure,
            Some(
                libc::EBADF
                | libc::EBADFD
                | libc::ENXIO
                | libc::EEXIST
                | libc::EPERM
                | libc::EACCES
                | libc::ENOSYS
                | libc::EOPNOTSUPP
                | libc::EINVAL
                | libc::EFAULT,
            ) => EnterError::Broken(error),
            Some(_) | None => EnterError::Broken(error),
        }
    }
}

/// An `io_uring` instance.
pub(crate) struct Ring {
    io: ManuallyDrop<IoUring>,
    /// The thread this ring is bound to; `None` before `enable`.
    home: Option<Home>,
    /// Entries that did not fit into the submission queue; linked ones are together.
    backlog: VecDeque<Backlogged>,
    /// An eventfd for waits outside of the ring, once there was one.
    alarm: Option<File>,
    /// Groups of buffers that the kernel picks from.
    #[cfg(feature = "uring-native")]
    groups: Vec<Arc<BufRing>>,
    /// Memory that the kernel knows.
    #[cfg(feature = "uring-native")]
    fixed: fixed::Table,
    /// Entries the kernel holds no terminal completion of yet are the caller's to count; a ring
    /// with any is not reused.
    clean: bool,
}

/// An entry, or several that are linked: a link does not outlast the `enter` that submits it, so they
/// must go in together.
enum Backlogged {
    One(Sqe),
    Two([Entry; 2]),
    More(Box<[Entry]>),
}

/// The most entries that are linked: so many fit into every ring.
pub(crate) const MOST_LINKED: usize = 8;

/// Submission entries, of which more are kept in the backlog, and completion entries, of which the
/// kernel keeps what overflows. Rings count against `RLIMIT_MEMLOCK` (and take the kernel's memory):
/// where that is used up a smaller one will do.
const SIZES: [(u32, u32); 3] = [(256, 1024), (64, 256), (8, 32)];

impl Ring {
    /// `n` rings for threads that are yet to start.
    ///
    /// A ring's end interrupts whoever set it up, too (see [`cache`]). So that is done by a
    /// thread that exits at once, not by the one that builds the runtime.
    pub(crate) fn unbound(n: usize) -> io::Result<Vec<Ring>> {
        let script = fault::current();
        let set_up = move || {
            fault::inherit(script);
            let rings = (0..n).map(|_| Ring::new()).collect::<io::Result<_>>()?;
            try_one()?;
            Ok(rings)
        };
        match thread::Builder::new().name("spargio-set-up".to_owned()).spawn(set_up)?.join() {
            Ok(rings) => rings,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    fn new() -> io::Result<Ring> {
        let mut io = Err(io::Error::from_raw_os_error(libc::ENOMEM));
        for size in SIZES {
            if !matches!(&io, Err(error) if error.raw_os_error() == Some(libc::ENOMEM)) {
                break;
            }
            io = match setup(size, true) {
                Err(e) if e.raw_os_error() == Some(libc::EINVAL) => setup(size, false),
                other => other,
            };
        }
        let io = io.map_err(Refused::explain)?;
        probe::ask(&io);
        Ok(Ring {
            io: ManuallyDrop::new(io),
            home: None,
            backlog: VecDeque::new(),
            alarm: None,
            #[cfg(feature = "uring-native")]
            groups: Vec::new(),
            #[cfg(feature = "uring-native")]
            fixed: fixed::Table::default(),
            clean: true,
        })
    }

    /// A ring bound to the calling thread: one it used before, or a new one.
    pub(crate) fn for_this_thread() -> io::Result<Ring> {
        while let Some((io, home)) = cache::take() {
            let mut ring = Ring {
                io: ManuallyDrop::new(io),
                home: Some(home),
                backlog: VecDeque::new(),
                alarm: None,
                #[cfg(feature = "uring-native")]
                groups: Vec::new(),
                #[cfg(feature = "uring-native")]
                fixed: fixed::Table::default(),
                clean: true,
            };
            // Rings may have been forbidden since it was used.
            if ring.try_enter().is_ok() {
                return Ok(ring);
            }
            ring.mark_unclean();
        }
        let mut ring = Ring::new()?;
        // A policy may allow the setup and nothing else: better known now.
        ring.enable().and_then(|()| ring.try_enter()).map_err(Refused::explain)?;
        Ok(ring)
    }

    /// Binds the ring to the calling thread.
    pub(crate) fn enable(&mut self) -> io::Result<()> {
        debug_assert!(self.home.is_none());
        self.io.submitter().register_enable_rings()?;
        self.home = Some(Home::current());
        Ok(())
    }

    fn try_enter(&mut self) -> io::Result<()> {
        match self.enter(Wait::No) {
            Err(EnterError::Broken(error)) => Err(error),
            Err(EnterError::Interrupted | EnterError::TimedOut | EnterError::Backpressure) | Ok(()) => Ok(()),
        }
    }

    /// Is the ring bound, and to another thread than this?
    pub(crate) fn is_foreign(&self) -> bool {
        self.home.as_ref().is_some_and(|home| !home.is_current())
    }

    /// Is the ring bound to a thread?
    pub(crate) fn is_bound(&self) -> bool {
        self.home.is_some()
    }

    /// Is the ring shared with the parent process, to which it belongs?
    pub(crate) fn is_inherited(&self) -> bool {
        self.home.as_ref().is_some_and(Home::is_inherited)
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    /// Says that operations are still in flight, so this ring must not serve another owner.
    pub(crate) fn mark_unclean(&mut self) {
        self.clean = false;
    }

    /// The group of that number, which is made known to the ring if it is not yet. One that nobody
    /// else has any more is forgotten.
    #[cfg(feature = "uring-native")]
    pub(crate) fn buf_ring(&mut self, group: u16, count: u16, size: usize) -> io::Result<Arc<BufRing>> {
        let io = &self.io;
        let known = self.groups.iter().find(|bufs| bufs.group() == group && Arc::strong_count(bufs) > 1);
        if let Some(bufs) = known {
            return Ok(bufs.clone());
        }
        // What the kernel does not forget stays.
        self.groups.retain(|bufs| Arc::strong_count(bufs) > 1 || bufs.unregister(io).is_err());
        let bufs = Arc::new(BufRing::new(group, count, size));
        bufs.register(io)?;
        self.groups.push(bufs.clone());
        Ok(bufs)
    }

    /// The index under which the ring knows `memory`: `Some(None)` if it was refused, `None` if it has
    /// not been tried yet.
    #[cfg(feature = "uring-native")]
    pub(crate) fn fixed(&self, memory: &Arc<fixed::Memory>) -> Option<Option<u16>> {
        self.fixed.get(memory)
    }

    /// Makes `memory` known to the ring, which has not tried that yet; `None` if that is refused.
    #[cfg(feature = "uring-native")]
    pub(crate) fn register_fixed(&mut self, memory: &Arc<fixed::Memory>) -> Option<u16> {
        self.fixed.insert(&self.io, memory)
    }

    /// Has the kernel forget memory that is retired.
    #[cfg(feature = "uring-native")]
    pub(crate) fn forget_fixed(&mut self) {
        self.fixed.sweep(&self.io);
    }

    #[cfg(not(feature = "uring-native"))]
    pub(crate) fn forget_fixed(&mut self) {}

    /// Has the kernel forget all groups and all memory; `false` if that cannot be.
    #[cfg(feature = "uring-native")]
    fn forget_all(&mut self) -> bool {
        if self.groups.is_empty() && self.fixed.is_unused() {
            return true;
        }
        let io = &self.io;
        !self.is_foreign()
            && !self.is_inherited()
            && self.groups.iter().all(|bufs| bufs.unregister(io).is_ok())
            && self.fixed.clear(io)
    }

    #[cfg(not(feature = "uring-native"))]
    fn forget_all(&mut self) -> bool {
        true
    }

    /// Queues `sqe` for the next `enter`.
    pub(crate) fn push(&mut self, sqe: Sqe) {
        if !self.backlog.is_empty() || !self.try_push(&sqe) {
            self.backlog.push_back(Backlogged::One(sqe));
            self.refill();
        }
    }

    /// The same for an entry and the one that is linked to it.
    pub(crate) fn push_linked(&mut self, first: Sqe, second: Sqe) {
        self.backlog.push_back(Backlogged::Two([first.linked().0, second.0]));
        self.refill();
    }

    /// The same for several entries, all but the last of which are linked to the next.
    pub(crate) fn push_chain(&mut self, chain: Vec<Sqe>) {
        debug_assert!(chain.len() <= MOST_LINKED);
        self.backlog.push_back(Backlogged::More(chain.into_iter().map(|sqe| sqe.0).collect()));
        self.refill();
    }

    fn try_push(&mut self, sqe: &Sqe) -> bool {
        // SAFETY: the entry holds no pointers, or good ones (see the module docs).
        unsafe { self.io.submission().push(&sqe.0).is_ok() }
    }

    fn try_push_all(&mut self, entries: &Backlogged) -> bool {
        let entries = match entries {
            Backlogged::One(sqe) => return self.try_push(sqe),
            Backlogged::Two(entries) => &entries[..],
            Backlogged::More(entries) => &entries[..],
        };
        // SAFETY: as above. It takes all or none.
        unsafe { self.io.submission().push_multiple(entries).is_ok() }
    }

    /// Moves the backlog into the queue, submitting what is in the way.
    fn refill(&mut self) {
        while let Some(next) = self.backlog.pop_front() {
            if self.try_push_all(&next) {
                continue;
            }
            let submitted = fault::check(Call::Enter).and_then(|()| self.io.submit());
            if self.try_push_all(&next) {
                continue;
            }
            // Backpressure: the entry waits for the next `enter`, which reports the errno.
            drop(submitted);
            self.backlog.push_front(next);
            return;
        }
    }

    /// Is there anything the kernel has not taken yet?
    pub(crate) fn has_unsubmitted(&mut self) -> bool {
        !self.backlog.is_empty() || !self.io.submission().is_empty()
    }

    /// How many entries the next `enter` has to offer.
    pub(crate) fn unsubmitted(&mut self) -> usize {
        self.io.submission().len()
    }

    /// Do completions wait in the kernel for room in the queue?
    pub(crate) fn is_overflown(&mut self) -> bool {
        self.io.submission().cq_overflow()
    }

    /// Would an `enter` that does not wait have anything to do?
    pub(crate) fn has_work(&mut self) -> bool {
        if self.has_unsubmitted() {
            return true;
        }
        let sq = self.io.submission();
        if sq.taskrun() || sq.cq_overflow() {
            return true;
        }
        drop(sq);
        !self.io.completion().is_empty()
    }

    /// Submits what was pushed, runs the ring's deferred work and waits for a completion.
    ///
    /// Of a batch the kernel may take a part only; it looks at no deferred work then.
    pub(crate) fn enter(&mut self, wait: Wait) -> Result<(), EnterError> {
        if !self.backlog.is_empty() {
            self.refill();
        }
        // What is still left may be the very thing whose completion is waited for.
        let wait = if self.backlog.is_empty() { wait } else { Wait::No };
        fault::check(Call::Enter).map_err(EnterError::from_os)?;
        let has_completions = !self.io.completion().is_empty();
        let pending = fault::submit(self.io.submission().len() as u32);
        let submitter = self.io.submitter();
        let result = match wait {
            // A wait with completions at hand would sleep for one more.
            Wait::For(limit) if !has_completions => {
                let ts = types::Timespec::new().sec(limit.as_secs()).nsec(limit.subsec_nanos());
                submitter.submit_with_args(1, &types::SubmitArgs::new().timespec(&ts))
            }
            Wait::Forever if !has_completions => submitter.submit_and_wait(1),
            Wait::No | Wait::For(_) | Wait::Forever => {
                // SAFETY: no argument struct is passed. GETEVENTS runs the deferred work even with
                // nothing to wait for; the safe wrappers leave it out in that case.
                unsafe { submitter.enter::<libc::sigset_t>(pending, 0, EnterFlags::GETEVENTS.bits(), None) }
            }
        };
        result.map(drop).map_err(EnterError::from_os)
    }

    /// A descriptor that becomes readable with the next event, until [`alarm_off`](Ring::alarm_off).
    ///
    /// That of the ring itself is no good for a wait of the ring's own thread: of a
    /// `DEFER_TASKRUN` ring it says only what is there when the wait begins, since the thread
    /// would have to run the deferred work to be told of it (seen on Linux 6.18). An eventfd is
    /// signalled when that work is queued (`IORING_REGISTER_EVENTFD`, Linux 5.2).
    pub(crate) fn alarm(&mut self) -> io::Result<RawFd> {
        let alarm = match self.alarm.take() {
            Some(alarm) => alarm,
            None => File::from(doorbell::eventfd()?),
        };
        let fd = alarm.as_raw_fd();
        self.alarm = Some(alarm);
        self.io.submitter().register_eventfd(fd)?;
        Ok(fd)
    }

    /// Ends what [`alarm`](Ring::alarm) began.
    pub(crate) fn alarm_off(&mut self) {
        // Errors: there was none; it was not signalled. Both as good as done.
        let _ = self.io.submitter().unregister_eventfd();
        let _ = self.alarm.as_ref().map(|mut alarm| alarm.read(&mut [0; 8]));
    }

    /// Moves all completions to the end of `into`.
    pub(crate) fn reap(&mut self, into: &mut Vec<Cqe>) {
        into.extend(self.io.completion().map(|cqe| Cqe {
            token: Token::from_raw(cqe.user_data()),
            result: cqe.result(),
            more: io_uring::cqueue::more(cqe.flags()),
            flags: cqe.flags(),
        }));
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        let is_clean = self.clean && !self.has_unsubmitted() && self.forget_all();
        // SAFETY: taken once, here.
        let io = unsafe { ManuallyDrop::take(&mut self.io) };
        match self.home.take() {
            // A closed ring makes a later blocking call of its thread return `EINTR`, so a clean
            // one goes back to its thread, which closes it when it exits.
            Some(home) if is_clean && !home.is_inherited() => home.give_back(io),
            _ => drop(io),
        }
    }
}

/// Uses one ring, the first time this is asked for: rings for other threads are not used until it is
/// too late to do without.
fn try_one() -> io::Result<()> {
    static TRIED: AtomicBool = AtomicBool::new(false);

    if !TRIED.load(Relaxed) {
        match Ring::for_this_thread() {
            Err(error) if Refused::is_final(&error) => return Err(error),
            // There is no more memory, or no descriptor, than for the rings themselves.
            Ok(_) | Err(_) => TRIED.store(true, Relaxed),
        }
    }
    Ok(())
}

fn setup((sq_entries, cq_entries): (u32, u32), no_sqarray: bool) -> io::Result<IoUring> {
    fault::check(Call::Setup)?;
    let (sq_entries, cq_entries) = fault::ring_size(sq_entries, cq_entries);
    let mut builder = IoUring::builder();
    builder
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_r_disabled()
        .setup_cqsize(cq_entries);
    if no_sqarray {
        builder.setup_no_sqarray();
    }
    let ring = builder.build(sq_entries)?;
    fault::restrict(&ring)?;
    Ok(ring)
}

/// Why there is no ring, and what to do about it.
#[derive(Debug)]
pub(crate) struct Refused {
    error: io::Error,
    advice: &'static str,
    is_final: bool,
}

impl Refused {
    /// The same error with a sentence on what to do about it, and of the same kind.
    pub(crate) fn explain(error: io::Error) -> io::Error {
        let (is_final, advice) = match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => (
                true,
                "io_uring is forbidden here: a container's seccomp profile, or the sysctl kernel.io_uring_disabled",
            ),
            Some(libc::ENOSYS) => (true, "this kernel has no io_uring, or a seccomp profile hides it"),
            Some(libc::EINVAL) => (true, "this kernel's io_uring is too old: Linux 6.1 or newer is needed"),
            Some(libc::EOPNOTSUPP) => (true, "this kernel's io_uring lacks what is needed"),
            Some(libc::ENOMEM) => (false, "locked memory is used up: raise RLIMIT_MEMLOCK (ulimit -l)"),
            Some(libc::EMFILE) => {
                (false, "the process has no file descriptors left: raise RLIMIT_NOFILE (ulimit -n)")
            }
            Some(libc::ENFILE) => (false, "the system has no file descriptors left (fs.file-max)"),
            _ => (false, "io_uring_setup failed"),
        };
        io::Error::new(error.kind(), Refused { error, advice, is_final })
    }

    /// Will the answer be the same as long as this process lives? So for errors of `explain`.
    pub(crate) fn is_final(error: &io::Error) -> bool {
        let refused = error.get_ref().and_then(|e| e.downcast_ref::<Refused>());
        refused.is_some_and(|refused| refused.is_final)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot create an io_uring: {} ({})", self.error, self.advice)
    }
}

impl std::error::Error for Refused {}

#[cfg(test)]
mod tests;
