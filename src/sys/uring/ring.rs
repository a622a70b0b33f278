//! A ring, bound to one thread.
//!
//! # Flags
//!
//! - `SINGLE_ISSUER` + `DEFER_TASKRUN` (6.1): completions are finished only inside this thread's
//!   own `enter`. Plain and `COOP_TASKRUN` rings were measured to make the thread's blocking
//!   system calls return `EINTR` whenever a watched file becomes ready; these do not.
//! - `R_DISABLED` (5.10): enabled right after it is set up; a test restricts it in between.
//! - `SUBMIT_ALL` (5.18): one bad entry does not stop the rest of a batch.
//! - `CQSIZE`: completions outnumber submissions, since watches are multishot.
//! - `TASKRUN_FLAG` (5.19): the ring says when an `enter` would find something, so a busy worker
//!   looks at a word in memory instead of making a system call.
//! - `NO_SQARRAY` (6.6): tried first, left out where unknown.
//!
//! A wait with anything in flight counts as I/O wait (`/proc/pressure/io`, `iowait` in `/proc/stat`)
//! unless the kernel is told otherwise: `IORING_ENTER_NO_IOWAIT` (6.15). Before that nothing helps; a
//! thread with nothing in flight does not wait in its ring.
//!
//! # Safety
//!
//! Entries either hold no pointers (polls, cancels and messages carry numbers only), or whoever made
//! them promised what [`entry`](super::entry) asks for. The single raw `enter` passes no argument
//! struct but a timespec that outlives it.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
#[cfg(feature = "uring-native")]
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use io_uring::squeue::Entry;
use io_uring::{EnterFlags, IoUring};

#[cfg(feature = "uring-native")]
use super::buf_ring::{BufRing, Known};
use super::cache::{self, Home};
#[cfg(feature = "uring-native")]
use super::fixed;
use super::release::Release;
use super::token::Token;
use super::{Cqe, Sqe, probe, timespec};
use crate::sys::event_fd::EventFd;
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
    /// The thread this ring is bound to.
    home: Home,
    /// Entries that did not fit into the submission queue; linked ones are together.
    backlog: VecDeque<Backlogged>,
    /// How often the kernel has taken entries.
    taken: u64,
    /// Groups of buffers that the kernel picks from.
    #[cfg(feature = "uring-native")]
    groups: Vec<Known>,
    /// Memory that the kernel knows.
    #[cfg(feature = "uring-native")]
    fixed: fixed::Table,
    /// Are there files that the kernel knows: one, by which it tells of the ring's end?
    tells_end: bool,
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
    /// A ring bound to the calling thread: one it used before, or a new one.
    pub(crate) fn for_this_thread() -> io::Result<Ring> {
        while let Some((io, home)) = cache::take() {
            let mut ring = Ring::with(io, home);
            // Rings may have been forbidden since it was used.
            if ring.try_enter().is_ok() {
                return Ok(ring);
            }
            ring.mark_unclean();
        }
        Ring::new(&SIZES)
    }

    /// A new ring of the first of `sizes` for which there is memory.
    fn new(sizes: &[(u32, u32)]) -> io::Result<Ring> {
        let mut io = Err(io::Error::from_raw_os_error(libc::ENOMEM));
        for &size in sizes {
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
        io.submitter().register_enable_rings().map_err(Refused::explain)?;
        let mut ring = Ring::with(io, Home::current());
        // A policy may allow the setup and nothing else: better known now.
        ring.try_enter().map_err(Refused::explain)?;
        Ok(ring)
    }

    fn with(io: IoUring, home: Home) -> Ring {
        Ring {
            io: ManuallyDrop::new(io),
            home,
            backlog: VecDeque::new(),
            taken: 0,
            #[cfg(feature = "uring-native")]
            groups: Vec::new(),
            #[cfg(feature = "uring-native")]
            fixed: fixed::Table::default(),
            tells_end: false,
            clean: true,
        }
    }

    fn try_enter(&mut self) -> io::Result<()> {
        match self.enter(Wait::No) {
            Err(EnterError::Broken(error)) => Err(error),
            Err(EnterError::Interrupted | EnterError::TimedOut | EnterError::Backpressure) | Ok(()) => Ok(()),
        }
    }

    /// Is the ring bound to another thread than this?
    pub(crate) fn is_foreign(&self) -> bool {
        !self.home.is_current()
    }

    /// Is the ring shared with the parent process, to which it belongs?
    pub(crate) fn is_inherited(&self) -> bool {
        self.home.is_inherited()
    }

    pub(crate) fn as_raw_fd(&self) -> RawFd {
        self.io.as_raw_fd()
    }

    /// By what one learns, after the ring was closed, that the kernel has let go of all that was submitted to it.
    /// To be asked once, on the ring's own thread.
    pub(crate) fn release(&mut self) -> io::Result<Release> {
        let release = Release::of(&self.io)?;
        self.tells_end = true;
        Ok(release)
    }

    /// Says that operations are still in flight, so this ring must not serve another owner.
    pub(crate) fn mark_unclean(&mut self) {
        self.clean = false;
    }

    /// The group of that number, which is made known to the ring if it is not yet. One that nobody has
    /// any more is forgotten.
    #[cfg(feature = "uring-native")]
    pub(crate) fn buf_ring(&mut self, group: u16, count: u16, size: usize) -> io::Result<Arc<BufRing>> {
        if let Some(bufs) = self.groups.iter().find_map(|known| known.get(group)) {
            return Ok(bufs);
        }
        self.forget_groups();
        let bufs = Arc::new(BufRing::new(group, count, size));
        self.groups.push(bufs.register(&self.io)?);
        Ok(bufs)
    }

    #[cfg(feature = "uring-native")]
    fn forget_groups(&mut self) {
        let io = &self.io;
        // What the kernel does not forget stays.
        self.groups.retain(|known| known.is_used() || known.unregister(io).is_err());
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

    /// Has the kernel forget memory that is retired, and groups that nobody has.
    #[cfg(feature = "uring-native")]
    pub(crate) fn forget_unused(&mut self) {
        self.forget_groups();
        self.fixed.sweep(&self.io);
    }

    #[cfg(not(feature = "uring-native"))]
    pub(crate) fn forget_unused(&mut self) {}

    /// Has the kernel forget all groups and all memory; `false` if that cannot be.
    #[cfg(feature = "uring-native")]
    fn forget_all(&mut self) -> bool {
        if self.groups.is_empty() && self.fixed.is_unused() {
            return true;
        }
        let io = &self.io;
        !self.is_foreign()
            && !self.is_inherited()
            && self.groups.iter().all(|known| known.unregister(io).is_ok())
            && self.fixed.clear(io)
    }

    #[cfg(not(feature = "uring-native"))]
    fn forget_all(&mut self) -> bool {
        true
    }

    /// Queues `sqe` for the next `enter`.
    pub(crate) fn push(&mut self, mut sqe: Sqe) {
        fault::operation(&mut sqe.0);
        if !self.backlog.is_empty() || !self.try_push(&sqe) {
            self.backlog.push_back(Backlogged::One(sqe));
            self.refill();
        }
    }

    /// The same for an entry and the one that is linked to it.
    pub(crate) fn push_linked(&mut self, first: Sqe, second: Sqe) {
        let mut first = first.linked();
        fault::operation(&mut first.0);
        self.backlog.push_back(Backlogged::Two([first.0, second.0]));
        self.refill();
    }

    /// The same for several entries, all but the last of which are linked to the next.
    pub(crate) fn push_chain(&mut self, mut chain: Vec<Sqe>) {
        chain.iter_mut().for_each(|sqe| fault::operation(&mut sqe.0));
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
            self.taken += u64::from(submitted.is_ok());
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
        sq.taskrun() || sq.cq_overflow()
    }

    /// Is there anything to do, or to reap?
    pub(crate) fn has_news(&mut self) -> bool {
        self.has_work() || !self.io.completion().is_empty()
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
        let offered = self.io.submission().len() as u32;
        let pending = fault::submit(offered);
        // A wait with completions at hand would sleep for one more; one that takes a part only does not wait.
        let wait = if has_completions || pending < offered { Wait::No } else { wait };
        let limit = match wait {
            Wait::For(limit) => Some(timespec(limit)),
            Wait::No | Wait::Forever => None,
        };
        // GETEVENTS runs the deferred work even with nothing to wait for.
        let mut flags = EnterFlags::GETEVENTS;
        if wait != Wait::No && self.io.params().is_feature_no_iowait() {
            flags |= EnterFlags::NO_IOWAIT;
        }
        let to_complete = u32::from(wait != Wait::No);
        let submitter = self.io.submitter();
        // SAFETY: without `EXT_ARG` no argument is passed; with it a struct of the kernel's layout that
        // outlives the call, as does what it points to.
        let result = unsafe {
            match &limit {
                None => submitter.enter::<libc::sigset_t>(pending, to_complete, flags.bits(), None),
                Some(limit) => {
                    let args = GetEventsArg {
                        timespec: ptr::from_ref(limit).addr() as u64,
                        ..GetEventsArg::default()
                    };
                    let flags = flags | EnterFlags::EXT_ARG;
                    submitter.enter(pending, to_complete, flags.bits(), Some(&args))
                }
            }
        };
        self.entered(offered, result)
    }

    /// Submits what was pushed and nothing else: no deferred work runs, so nothing is completed that has waited
    /// for something.
    pub(crate) fn submit(&mut self) -> Result<(), EnterError> {
        if !self.backlog.is_empty() {
            self.refill();
        }
        fault::check(Call::Enter).map_err(EnterError::from_os)?;
        let offered = self.io.submission().len() as u32;
        let pending = fault::submit(offered);
        // SAFETY: no argument is passed.
        let result = unsafe { self.io.submitter().enter::<libc::sigset_t>(pending, 0, 0, None) };
        self.entered(offered, result)
    }

    fn entered(&mut self, offered: u32, result: io::Result<usize>) -> Result<(), EnterError> {
        // It may have taken some before a wait failed.
        self.taken += u64::from(result.is_ok() || self.io.submission().len() < offered as usize);
        result.map(drop).map_err(EnterError::from_os)
    }

    /// A number that changes when the kernel takes entries.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// Has `bell` rung whenever something comes to this ring, until [`hush`](Ring::hush): for a thread
    /// that waits for `bell` instead.
    ///
    /// The ring's own descriptor is no good for that: of a `DEFER_TASKRUN` ring it says only what is
    /// there when the wait begins, since the thread would have to run the deferred work to be told of it
    /// (seen on Linux 6.12 and 6.18). An eventfd is signalled when that work is queued
    /// (`IORING_REGISTER_EVENTFD`, Linux 5.2).
    pub(crate) fn call(&self, bell: &EventFd) -> io::Result<()> {
        self.io.submitter().register_eventfd(bell.as_raw_fd())
    }

    /// Ends what [`call`](Ring::call) began.
    pub(crate) fn hush(&self) {
        // An error: there was none.
        let _ = self.io.submitter().unregister_eventfd();
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
        let is_clean = self.clean && !self.tells_end && !self.has_unsubmitted() && self.forget_all();
        // SAFETY: taken once, here.
        let io = unsafe { ManuallyDrop::take(&mut self.io) };
        // A closed ring makes a later blocking call of its thread return `EINTR`, so a clean one goes
        // back to its thread, which closes it when it exits.
        if is_clean && !self.home.is_inherited() {
            self.home.give_back(io);
        }
    }
}

/// `struct io_uring_getevents_arg`.
#[repr(C)]
#[derive(Default)]
struct GetEventsArg {
    sigmask: u64,
    sigmask_size: u32,
    min_wait_usec: u32,
    timespec: u64,
}

const _: () = assert!(mem::size_of::<GetEventsArg>() == 24);

/// May this process have rings? Asked of a small one, on a thread of its own that exits at once: a ring's
/// end interrupts whoever used it (see [`cache`]).
///
/// Locked memory is counted for all processes of a user, and that of one that has just ended is given back
/// some 100 ms later: a process that is started again asks for up to half a second.
///
/// # Errors
///
/// Those of the system calls, [explained](Refused::explain).
pub(crate) fn try_one() -> io::Result<()> {
    const PATIENCE: Duration = Duration::from_millis(500);
    const PAUSE: Duration = Duration::from_millis(10);

    let script = fault::current();
    let ask = move || {
        fault::inherit(script);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Ring::new(&SIZES[SIZES.len() - 1..]) {
                Err(error) if Refused::is_for_memory(&error) && Instant::now() < deadline => {
                    thread::sleep(PAUSE)
                }
                result => return result.map(drop),
            }
        }
    };
    match thread::Builder::new().name("spargio-set-up".to_owned()).spawn(ask)?.join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    }
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
        Refused::of(error).is_some_and(|refused| refused.is_final)
    }

    fn is_for_memory(error: &io::Error) -> bool {
        Refused::of(error).is_some_and(|refused| refused.error.raw_os_error() == Some(libc::ENOMEM))
    }

    fn of(error: &io::Error) -> Option<&Refused> {
        error.get_ref()?.downcast_ref()
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
