//! The published Tokio as a host of this crate's threads.
//!
//! The re-exported half of Tokio (`sync`, `io`, `task::coop`) looks at *its* thread
//! context in three places: the cooperative budget, the "cannot block the current thread
//! from within a runtime" panics, and `Handle::current()` for crates that are bound to it.
//! So each of our worker loops and `block_on` calls runs inside **one poll** of
//! `host.block_on(..)`, where the host is a Tokio runtime that makes no system call while our threads work.
//!
//! What crates spawn that are bound to the published Tokio runs on the host's own threads. Without `interop`
//! there is one host for all, without drivers, and as a rule nothing is spawned there: its only thread is
//! started when one of ours has a turn, is about to sleep or leaves, and there is something to run
//! ([`see_to_tasks`]). With `interop` each runtime has a host of its own, and on its threads that runtime is the current one:
//! our `spawn`, sockets and timers work in what such a crate runs. It ends with the runtime:
//!
//! 1. Our runtime stops: tasks are dropped, its threads end.
//! 2. [`HostOwner`] shuts the host down, in what is left of the time that the shutdown may take.
//! 3. Our threads enter hosts by a handle, which works when the host has ended (a `block_on` that
//!    is going on elsewhere).
//!
//! The budget: Tokio sets it once at the start of that one poll. A token taken with
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

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
#[cfg(tokio_unstable)]
use std::sync::mpsc;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::runtime::scheduler::{self, WeakHandle};
use crate::sys::mask;
#[cfg(tokio_unstable)]
use crate::upstream::runtime::RngSeed;
use crate::util::trace::enter_untold;
#[cfg(feature = "interop")]
use crate::util::variables;
use upstream::runtime::{Builder, Handle, Runtime, RuntimeFlavor, RuntimeMetrics};
use upstream::task::coop::{self, RestoreOnPending};

/// What hosts threads. Those of one runtime, and then its own threads know which; or all others.
#[derive(Debug)]
pub(crate) struct Host {
    handle: Handle,
    /// Kept, since asking the handle for them counts references, and they are asked at each turn.
    metrics: RuntimeMetrics,
    /// Taken out when it is shut down, or gets a thread.
    runtime: Mutex<Option<Runtime>>,
    serves: Arc<Serves>,
    /// Has it a thread of its own, or will not get one?
    has_thread: AtomicBool,
}

/// The runtime of ours that a host serves. Empty for the one that serves all.
#[derive(Debug, Default)]
struct Serves(OnceLock<WeakHandle>);

thread_local! {
    /// Of a thread of a host: whom the host serves.
    static SERVES: RefCell<Option<Arc<Serves>>> = const { RefCell::new(None) };
}

/// Is this a thread of a host? Then it runs what crates spawned that are bound to the published Tokio.
pub(super) fn is_hosts_own() -> bool {
    SERVES.try_with(|serves| serves.borrow().is_some()).unwrap_or(false)
}

/// The runtime that this thread's host serves, if it is a host's thread and the runtime is there.
pub(super) fn served() -> Option<scheduler::Handle> {
    SERVES.try_with(|serves| serves.borrow().as_ref()?.0.get()?.upgrade()).ok().flatten()
}

/// Is this thread one that upstream's `block_in_place` is to be told of? Runs `f` then inside of it.
pub(crate) fn block_outside<R>(f: impl FnOnce() -> R) -> R {
    if is_hosts_own() { upstream::task::block_in_place(f) } else { f() }
}

/// Of the threads of hosts.
const THREAD_NAME: &str = "spargio-host";

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
            runtime: Mutex::new(Some(runtime)),
            serves,
            has_thread: AtomicBool::new(has_thread),
        })
    }

    /// Starts its thread, if it has none and somebody has spawned a task.
    #[inline]
    fn see_to_tasks(&self) {
        if !self.has_thread.load(Relaxed) && self.metrics.num_alive_tasks() > 0 {
            self.start_thread();
        }
    }

    #[cold]
    fn start_thread(&self) {
        if self.has_thread.swap(true, Relaxed) {
            return;
        }
        // Hosts of single runtimes have one from the beginning.
        let run = || {
            let host = shared();
            SERVES.with(|serves| serves.replace(Some(host.serves.clone())));
            if let Some(runtime) = host.take() {
                runtime.block_on(pending::<()>());
            }
        };
        let thread = thread::Builder::new().name(THREAD_NAME.into());
        if mask::with_all_blocked(|| thread.spawn(run)).is_err() {
            // No thread is to be had for the moment: the next turn asks again.
            self.has_thread.store(false, Relaxed);
        }
    }

    /// One for a single runtime, if crates that are bound to the published Tokio are to be served.
    #[cfg(feature = "interop")]
    pub(crate) fn of_one() -> io::Result<Option<Host>> {
        if has_drivers() { Host::build(&mut builder()).map(Some) } else { Ok(None) }
    }

    fn take(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Nobody has become its owner, or that one has shut it down.
        if let Some(runtime) = self.take() {
            if may_wait() {
                // Its descriptors are free then: there may have been too few for the rest.
                drop(runtime);
            } else {
                runtime.shutdown_background();
            }
        }
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
            // There is one owner.
            let _ = host.serves.0.set(handle.downgrade());
        }
        HostOwner { handle: handle.clone(), until: None }
    }

    /// How long the end may take from now: what a third-party crate has on the blocking pool may be
    /// at it.
    pub(crate) fn limit(&mut self, limit: Duration) {
        // What does not fit takes no end.
        self.until = Instant::now().checked_add(limit);
    }

    /// In the child of a fork: its threads are not there.
    pub(crate) fn forget(&mut self) {
        if let Some(host) = self.handle.host() {
            // Another thread may have held the lock.
            if let Ok(mut runtime) = host.runtime.try_lock() {
                mem::forget(runtime.take());
            }
        }
    }
}

/// May this thread wait for those of a host? Not in asynchronous code of the published Tokio; and a panic may
/// say that here is some of ours.
fn may_wait() -> bool {
    Handle::try_current().is_err() && !thread::panicking()
}

impl Drop for HostOwner {
    fn drop(&mut self) {
        let Some(runtime) = self.handle.host().and_then(Host::take) else { return };
        let left = self.until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            None if may_wait() => drop(runtime),
            Some(left) if may_wait() && !left.is_zero() => runtime.shutdown_timeout(left),
            _ => runtime.shutdown_background(),
        }
    }
}

/// Are crates that are bound to the published Tokio to find drivers? The environment may say no.
#[cfg(feature = "interop")]
pub(crate) fn has_drivers() -> bool {
    // Whoever built a runtime knows that the value is a good one.
    !matches!(variables::INTEROP.read(), Ok(Some("off" | "0")))
}

/// The host's own handle, for those crates: of the current runtime's host, if there is one.
#[cfg(feature = "interop")]
pub(crate) fn handle() -> Handle {
    let own = super::with_current(|handle| handle.host().map(|host| host.handle.clone()));
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
