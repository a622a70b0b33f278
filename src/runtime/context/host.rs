//! The published Tokio as a host of this crate's threads.
//!
//! The re-exported half of Tokio (`sync`, `io`, `task::coop`) looks at *its* thread
//! context in three places: the cooperative budget, the "cannot block the current thread
//! from within a runtime" panics, and `Handle::current()` for crates that are bound to it.
//! So each of our worker loops and `block_on` calls runs inside **one poll** of
//! `host.block_on(..)`, where the host is a Tokio runtime that makes no system call while our threads work.
//!
//! What crates spawn that are bound to the published Tokio runs on the host's own threads. Without `interop`
//! there is one host for all, without drivers. With `interop` each runtime has a host of its own, with drivers, and on its
//! threads that runtime is the current one: our `spawn`, sockets and timers work in what such a crate runs. It ends
//! with the runtime:
//!
//! 1. Our runtime stops: tasks are dropped, its threads end.
//! 2. [`HostOwner`] shuts the host down, in what is left of the time that the shutdown may take.
//! 3. Our threads enter hosts by a handle, which works when the host has ended (a `block_on` that
//!    is going on elsewhere).
//!
//! # The thread
//!
//! A host of a multi-thread runtime, or for threads outside of all, has a worker from the beginning. The others (of a
//! runtime with one thread, and without `interop` the one for all) are built without a [thread](mod@self::thread), and get
//! one as soon as something needs it: a program of one thread stays one. That is found out by:
//!
//! - **Its tasks.** One of our threads looks how many there are when it has a turn, is about to sleep, or leaves.
//! - **Its drivers.** The first timer wakes the driver, which writes to an eventfd in the host's epoll instance; so does a
//!   task spawned by whatever thread. What is ready of the sockets, signals and children makes that instance readable
//!   as well. So the [instance](mod@self::epoll) is in the watch set of our runtime, as its alarm, until the thread is
//!   there: whoever drives our runtime starts the thread.
//! - **Threads that wait without driving our runtime** (`Handle::block_on`), and those that ask for the host's handle
//!   (`interop::handle`): they get it at once, since there may be nobody who would hear the alarm. So does a runtime that
//!   is dropped while functions run on its blocking pool.
//!
//! A runtime without an I/O driver has nobody to hear it, either, and gets the thread at once; so does one whose host's
//! instance is not found. While nobody drives our runtime, what others wait for on its host may have to wait until
//! somebody does: as on a `current_thread` runtime of the published Tokio. (To look when a thread leaves would be a
//! system call for each `block_on`, which costs more than a short one, and would not see what gets ready later.)
//!
//! # The budget
//!
//! Tokio sets it once at the start of that one poll. A token taken with
//! `poll_proceed` remembers the budget as it was and puts it back when dropped. [`FULL`] is
//! such a token, of a full budget; with it [`budget`] gives each task poll a full budget. A
//! scheduler within a task (a `LocalSet`) does the same for its own tasks, inside of
//! [`nested_budget`], which remembers the task's budget.
//!
//! # Safety
//!
//! The token is dropped again and again, a copy at a time. A token that is no larger than the
//! number it remembers owns nothing, so that is sound; should a later Tokio put more into it,
//! the code falls back to exchanging it, at the price of one unit of the budget.
#![allow(unsafe_code)]

#[cfg(feature = "interop")]
mod epoll;
mod thread;

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::mem::{self, ManuallyDrop};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
#[cfg(tokio_unstable)]
use std::sync::mpsc;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use self::thread::{Limit, SERVES, Slot, THREAD_NAME, Thread};
use crate::driver;
use crate::runtime::blocking;
use crate::runtime::scheduler::{self, WeakHandle};
use crate::sys::fork::Origin;
use crate::sys::mask;
#[cfg(tokio_unstable)]
use crate::upstream::runtime::RngSeed;
use crate::util::trace::enter_untold;
#[cfg(feature = "interop")]
use crate::util::variables;
use upstream::runtime::{Builder, Handle, RuntimeFlavor, RuntimeMetrics};
use upstream::task::coop::{self, RestoreOnPending};

/// What hosts threads. Those of one runtime, and then its own threads know which; or all others.
#[derive(Debug)]
pub(crate) struct Host {
    handle: Handle,
    /// Kept, since asking the handle for them counts references, and they are asked at each turn.
    metrics: RuntimeMetrics,
    runtime: Slot,
    serves: Arc<Serves>,
    /// Has it a thread of its own, or will not get one any more? Changed with `course` locked.
    has_thread: AtomicBool,
    /// Does something need one, though there are no tasks?
    wants_thread: AtomicBool,
    course: Mutex<Course>,
    /// Its epoll instance, if it was built without a thread.
    epoll: Option<RawFd>,
    /// The process that it was built in.
    origin: Origin,
}

/// What becomes of a host that was built without a thread.
#[derive(Debug, Default)]
struct Course {
    thread: Option<Thread>,
    /// Whose watch set has the alarm.
    watched_by: Option<driver::Handle>,
}

/// The runtime of ours that a host serves. Empty for the one that serves all.
#[derive(Debug, Default)]
struct Serves(OnceLock<WeakHandle>);

impl Serves {
    fn runtime(&self) -> Option<scheduler::Handle> {
        self.0.get()?.upgrade()
    }
}

/// The alarm: there is something for the host's drivers.
impl Wake for Serves {
    fn wake(self: Arc<Self>) {
        if let Some(host) = self.runtime().as_ref().and_then(|handle| handle.host()) {
            host.hear_alarm();
        }
    }
}

/// Is this a thread of a host? Then it runs what crates spawned that are bound to the published Tokio.
pub(super) fn is_hosts_own() -> bool {
    SERVES.try_with(|serves| serves.borrow().is_some()).unwrap_or(false)
}

/// The runtime that this thread's host serves, if it is a host's thread and the runtime is there.
pub(super) fn served() -> Option<scheduler::Handle> {
    SERVES.try_with(|serves| serves.borrow().as_ref()?.runtime()).ok().flatten()
}

/// Is this thread one that upstream's `block_in_place` is to be told of? Runs `f` then inside of it.
///
/// # Panics
///
/// On the thread of a runtime with one thread, as there.
#[track_caller]
pub(crate) fn block_outside<R>(f: impl FnOnce() -> R) -> R {
    if is_hosts_own() { upstream::task::block_in_place(f) } else { f() }
}

/// Of a host with a thread.
#[cfg(any(feature = "interop", tokio_unstable))]
fn builder() -> Builder {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name(THREAD_NAME);
    #[cfg(feature = "interop")]
    if has_drivers() {
        builder.enable_all();
    }
    builder
}

impl Host {
    fn build(builder: &mut Builder) -> io::Result<Host> {
        let serves = Arc::new(Serves::default());
        let of_thread = serves.clone();
        builder.on_thread_start(move || {
            SERVES.with(|serves| serves.replace(Some(of_thread.clone())));
        });
        let runtime = mask::with_all_blocked(|| builder.build())?;
        let handle = runtime.handle().clone();
        let has_thread = handle.runtime_flavor() != RuntimeFlavor::CurrentThread;
        Ok(Host {
            metrics: handle.metrics(),
            handle,
            runtime: Slot::new(runtime),
            serves,
            has_thread: AtomicBool::new(has_thread),
            wants_thread: AtomicBool::new(false),
            course: Mutex::default(),
            epoll: None,
            origin: Origin::here(),
        })
    }

    /// One for a single runtime, if crates that are bound to the published Tokio are to be served. That of a runtime
    /// with one thread has none before something needs it.
    #[cfg(feature = "interop")]
    pub(crate) fn of_one(has_one_thread: bool) -> io::Result<Option<Host>> {
        if !has_drivers() {
            return Ok(None);
        }
        if !has_one_thread {
            return Host::build(&mut builder()).map(Some);
        }
        let next = epoll::next_number();
        let mut host = Host::build(Builder::new_current_thread().thread_name(THREAD_NAME).enable_all())?;
        host.epoll = next.and_then(|next| epoll::find(&host.handle, next));
        Ok(Some(host))
    }

    /// From here on it serves the runtime of `handle`, whose drivers watch its own.
    fn serve(&self, handle: &scheduler::Handle) {
        // There is one owner.
        let _ = self.serves.0.set(handle.downgrade());
        if !self.has_thread.load(Relaxed) && !self.set_alarm(handle.driver(), &mut self.course()) {
            self.want_thread();
        }
    }

    /// Has the thread started when there is something for the host's drivers; `false` if nobody would notice.
    fn set_alarm(&self, driver: &driver::Handle, course: &mut Course) -> bool {
        let Some(epoll) = self.epoll else { return false };
        let is_set = driver.set_alarm(epoll, Waker::from(self.serves.clone())).is_ok();
        course.watched_by = is_set.then(|| driver.clone());
        is_set
    }

    /// Before the host's descriptors may be closed: a duplicate that is alive would go on ringing.
    fn end_alarm(&self, course: &mut Course) -> Option<driver::Handle> {
        let driver = course.watched_by.take()?;
        driver.end_alarm(self.epoll?);
        Some(driver)
    }

    #[cold]
    fn hear_alarm(&self) {
        /// How long the system gets to find a thread.
        const MOMENT: Duration = Duration::from_millis(1);

        self.want_thread();
        if self.has_thread.load(Relaxed) || self.is_inherited() {
            return;
        }
        // None is to be had. Whoever waits for the host would wait for ever if ours slept now: it rings again.
        std::thread::sleep(MOMENT);
        let mut course = self.course();
        if let Some(driver) = self.end_alarm(&mut course) {
            // An error: each turn asks for a thread.
            self.set_alarm(&driver, &mut course);
        }
    }

    /// Starts its thread, if it has none and something needs it.
    #[inline]
    fn see_to_tasks(&self) {
        if !self.has_thread.load(Relaxed)
            && (self.wants_thread.load(Relaxed) || self.metrics.num_alive_tasks() > 0)
        {
            self.start_thread();
        }
    }

    /// The same for a thread of ours that is about to sleep where it hears no alarm.
    #[inline]
    fn see_to_sleeper(&self) {
        if self.epoll.is_some() {
            self.want_thread();
        }
        self.see_to_tasks();
    }

    /// Starts its thread, now or as soon as there is one to be had.
    #[inline]
    fn want_thread(&self) {
        if !self.has_thread.load(Relaxed) {
            self.wants_thread.store(true, Relaxed);
            self.start_thread();
        }
    }

    #[cold]
    fn start_thread(&self) {
        if self.is_inherited() {
            return;
        }
        let mut course = self.course();
        if self.has_thread.load(Relaxed) {
            return;
        }
        // An error: no thread is to be had for the moment. The next turn asks again.
        if let Ok(thread) = Thread::start(&self.runtime, &self.serves) {
            course.thread = Some(thread);
            self.has_thread.store(true, Relaxed);
            self.end_alarm(&mut course);
        }
    }

    /// Shuts it down, and waits no longer than the `limit`.
    fn end(&self, limit: Limit) {
        if self.is_inherited() {
            return self.forget();
        }
        let thread = {
            let mut course = self.course();
            // None is started from here on.
            self.has_thread.store(true, Relaxed);
            self.end_alarm(&mut course);
            course.thread.take()
        };
        if let Some(runtime) = self.runtime.take() {
            // Nobody has come to it.
            thread::shut_down(runtime, limit);
        }
        if let Some(thread) = thread {
            thread.end(limit);
        }
    }

    /// Is this the child of a fork, and the host that of a runtime of its parent's? Then its threads are not there, and
    /// its descriptors are the parent's. The host for all is the child's as well.
    fn is_inherited(&self) -> bool {
        self.serves.0.get().is_some() && !self.origin.is_here()
    }

    /// In such a child.
    fn forget(&self) {
        mem::forget(self.runtime.try_take());
        // Another thread may have held the lock.
        if let Ok(mut course) = self.course.try_lock() {
            mem::forget(mem::take(&mut *course));
        }
    }

    fn course(&self) -> MutexGuard<'_, Course> {
        self.course.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Nobody has become its owner, or that one has ended it. Where it may be waited for its descriptors are free
        // then: there may have been too few for the rest.
        self.end(limit(None));
    }
}

/// The end of a runtime's own host. Dropped after the runtime's threads have ended.
#[derive(Debug)]
pub(crate) struct HostOwner {
    handle: scheduler::Handle,
    until: Option<Instant>,
}

impl HostOwner {
    /// Tells the host of `handle`, if there is one, whom it serves.
    pub(crate) fn new(handle: &scheduler::Handle) -> HostOwner {
        if let Some(host) = handle.host() {
            host.serve(handle);
        }
        HostOwner { handle: handle.clone(), until: None }
    }

    /// How long the end may take from now: what a third-party crate has on the blocking pool may be
    /// at it.
    pub(crate) fn limit(&mut self, limit: Duration) {
        // What does not fit takes no end.
        self.until = Instant::now().checked_add(limit);
    }

    /// The runtime is not driven any more, and goes to wait for `functions`: some of those may wait for its host.
    pub(crate) fn see_to(&self, functions: &blocking::Spawner) {
        // With a limit that wait is over.
        if let Some(host) = self.handle.host().filter(|_| self.until.is_none() && functions.is_busy()) {
            host.want_thread();
        }
    }
}

/// May this thread wait for those of a host? Not in asynchronous code of the published Tokio; and a panic may
/// say that here is some of ours.
fn may_wait() -> bool {
    Handle::try_current().is_err() && !std::thread::panicking()
}

/// The time that a host's end may take this thread.
fn limit(until: Option<Instant>) -> Limit {
    if !may_wait() {
        return Some(Duration::ZERO);
    }
    until.map(|until| until.saturating_duration_since(Instant::now()))
}

impl Drop for HostOwner {
    fn drop(&mut self) {
        if let Some(host) = self.handle.host() {
            host.end(limit(self.until));
        }
    }
}

/// Are crates that are bound to the published Tokio to find drivers? The environment may say no.
#[cfg(feature = "interop")]
pub(crate) fn has_drivers() -> bool {
    // Whoever built a runtime knows that the value is a good one.
    !matches!(variables::INTEROP.read(), Ok(Some("off" | "0")))
}

/// The host's own handle, for those crates: of the current runtime's host, if there is one. Who has it may wait anywhere.
#[cfg(feature = "interop")]
pub(crate) fn handle() -> Handle {
    let own = super::with_current(|handle| {
        let host = handle.host()?;
        host.want_thread();
        Some(host.handle.clone())
    });
    own.ok().flatten().unwrap_or_else(|| shared().handle.clone())
}

/// The host of all threads that do not need one of their own.
pub(super) fn shared() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let host = Host::build(&mut shared_builder());
        host.expect("spargio: cannot start the host thread of the re-exported Tokio half")
    })
}

fn shared_builder() -> Builder {
    #[cfg(feature = "interop")]
    if has_drivers() {
        return builder();
    }
    let mut builder = Builder::new_current_thread();
    builder.thread_name(THREAD_NAME);
    builder
}

/// Gives the host of `handle` a thread if it needs one: see the module docs.
#[inline]
pub(crate) fn see_to_tasks(handle: &scheduler::Handle) {
    of(handle).see_to_tasks();
}

/// The same for a thread that is about to sleep, and does not drive the runtime.
#[inline]
pub(crate) fn see_to_sleeper(handle: &scheduler::Handle) {
    of(handle).see_to_sleeper();
}

/// What hosts the threads of `handle`.
pub(super) fn of(handle: &scheduler::Handle) -> &Host {
    handle.host().unwrap_or_else(|| shared())
}

/// Makes hosts for runtimes with a seed: Tokio's `select!` takes random numbers from its own
/// thread context, which gets its seed when the thread enters a host.
///
/// The thread of the host enters it, too, and takes one of the seeds. A host is not handed out before
/// it has: else it would be chance which of them the first of our threads gets.
#[cfg(tokio_unstable)]
pub(crate) struct HostBuilder(Builder);

#[cfg(tokio_unstable)]
impl HostBuilder {
    pub(crate) fn new(seed: RngSeed) -> HostBuilder {
        let mut builder = builder();
        builder.rng_seed(seed);
        HostBuilder(builder)
    }

    pub(crate) fn build(&mut self) -> io::Result<Host> {
        let (has_entered, entered) = mpsc::sync_channel(1);
        self.0.on_thread_park(move || {
            // Whoever has not taken the first word yet does not need another.
            let _ = has_entered.try_send(());
        });
        let host = Host::build(&mut self.0)?;
        // It has nothing to do, so it parks. The sender lives as long as the host: no error.
        let _ = entered.recv();
        Ok(host)
    }
}

/// A token of a full budget.
type Full = Option<ManuallyDrop<RestoreOnPending>>;

/// Is a token just the number it remembers?
const PLAIN: bool = size_of::<RestoreOnPending>() == size_of::<Option<u8>>();

thread_local! {
    /// The token of the host's poll that this thread is in. Not dropped with the thread: outside
    /// of a poll it is `None`.
    static FULL: Cell<Full> = const { Cell::new(None) };
}

impl Host {
    #[cfg(all(tokio_unstable, feature = "taskdump"))]
    pub(super) fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Runs `f` inside one poll of the host.
    #[track_caller]
    pub(super) fn run_inside<R>(&self, f: impl FnOnce() -> R) -> R {
        /// The poll of a host that this one is nested in (through `block_in_place`).
        struct Outer(Full);
        impl Drop for Outer {
            fn drop(&mut self) {
                FULL.set(self.0.take());
            }
        }

        let mut f = Some(f);
        let result = enter_untold(|untold| {
            let mut untold = Some(untold);
            self.handle.block_on(poll_fn(|_| {
                if let Some(untold) = untold.take() {
                    untold.end();
                }
                let _outer = Outer(FULL.replace(take_token().map(ManuallyDrop::new)));
                match f.take() {
                    Some(f) => Poll::Ready(f()),
                    None => unreachable!("a poll that returned Ready is not repeated"),
                }
            }))
        });
        self.see_to_tasks();
        result
    }
}

/// Runs `f` as the host's `block_in_place`: inside it Tokio's blocking calls are allowed, and no
/// budget is in force.
pub(super) fn blocking<R>(f: impl FnOnce() -> R) -> R {
    // Tokio puts the budget back only on its own workers.
    nested_budget(|| upstream::task::block_in_place(f))
}

/// Runs `f` (one poll of one task) with a fresh cooperative budget.
#[inline]
pub(crate) fn budget<R>(f: impl FnOnce() -> R) -> R {
    FULL.with(refill);
    let result = f();
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    if !coop::has_budget_remaining() {
        super::used_up_budget();
    }
    result
}

/// Runs `f`, which polls tasks of its own with [`budget`], and then puts the budget back.
#[inline]
pub(crate) fn nested_budget<R>(f: impl FnOnce() -> R) -> R {
    /// The budget as it was; `None` if there was none left.
    struct Before(Option<RestoreOnPending>);
    impl Drop for Before {
        fn drop(&mut self) {
            match self.0.take() {
                Some(token) => drop(token),
                None => exhaust(),
            }
        }
    }

    let _before = Before(take_token());
    f()
}

/// Spends what is left of the budget.
#[cold]
fn exhaust() {
    // There may be no limit in force now, but there was.
    FULL.with(refill);
    for _ in 0..u8::MAX {
        match take_token() {
            Some(token) => token.made_progress(),
            None => return,
        }
    }
}

/// One unit of the budget, given back when the token is dropped; `None` if there is none left.
#[inline]
fn take_token() -> Option<RestoreOnPending> {
    let mut cx = Context::from_waker(Waker::noop());
    match coop::poll_proceed(&mut cx) {
        Poll::Ready(token) => Some(token),
        Poll::Pending => None,
    }
}

/// Makes the budget full, inside of a poll of the host.
#[inline]
fn refill(full: &Cell<Full>) {
    if PLAIN {
        // SAFETY: the cell is this thread's, and nothing writes to it during the call. The copy
        // is dropped as the original would be; the token owns nothing, see above.
        unsafe {
            if let Some(token) = &*full.as_ptr() {
                drop(ptr::read(&**token));
            }
        }
    } else {
        drop(full.take().map(ManuallyDrop::into_inner));
        full.set(take_token().map(ManuallyDrop::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many units there are to spend.
    fn spend() -> usize {
        let mut units = 0;
        while let Some(token) = take_token() {
            token.made_progress();
            units += 1;
        }
        units
    }

    #[test]
    fn each_poll_has_all_of_the_budget() {
        shared().run_inside(|| {
            for _ in 0..3 {
                assert_eq!(budget(spend), 128);
                assert_eq!(spend(), 0);
            }
        });
    }

    #[test]
    fn a_nested_scheduler_does_not_touch_the_tasks_budget() {
        shared().run_inside(|| {
            budget(|| {
                nested_budget(|| {
                    assert_eq!(budget(spend), 128);
                    assert_eq!(budget(spend), 128);
                });
                assert_eq!(spend(), 128);
                nested_budget(|| assert_eq!(budget(spend), 128));
                assert_eq!(spend(), 0);
            });
        });
    }

    #[test]
    fn a_nested_poll_of_the_host_has_its_own() {
        shared().run_inside(|| {
            budget(|| {
                blocking(|| shared().run_inside(|| assert_eq!(budget(spend), 128)));
                assert_eq!(spend(), 128);
                assert_eq!(budget(spend), 128);
            });
        });
    }
}
