//! Parking a thread that has no ring: foreign `block_on` callers and the blocking pool's
//! shutdown.
//!
//! Not `std::thread::park`: its one token is shared with the user's own `park` calls on
//! the same thread, and one of ours could swallow theirs.

use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::SeqCst;
use std::task::{Wake, Waker};

use crate::loom::sync::{Condvar, Mutex};

const EMPTY: u8 = 0;
const PARKED: u8 = 1;
const NOTIFIED: u8 = 2;

#[derive(Debug)]
struct Inner {
    /// `EMPTY` → `PARKED` by the owner under `lock`; → `NOTIFIED` by anyone.
    state: AtomicU8,
    lock: Mutex<()>,
    condvar: Condvar,
}

/// This thread's parker, shared by all `block_on` calls on it.
#[derive(Debug)]
pub(crate) struct CachedParkThread {
    inner: Arc<Inner>,
    waker: Waker,
}

thread_local! {
    static PARKER: CachedParkThread = CachedParkThread::new();
}

impl CachedParkThread {
    fn new() -> CachedParkThread {
        let inner = Arc::new(Inner::new());
        CachedParkThread { waker: Waker::from(inner.clone()), inner }
    }

    /// Calls `f` with this thread's.
    pub(crate) fn with<R>(f: impl FnOnce(&CachedParkThread) -> R) -> R {
        let mut f = Some(f);
        let mut call = |parker: &CachedParkThread| f.take().map(|f| f(parker));
        // While the thread's locals are destroyed, a parker of its own serves as well.
        let result = PARKER.try_with(&mut call).unwrap_or_else(|_| call(&CachedParkThread::new()));
        result.expect("called once")
    }

    pub(crate) fn waker(&self) -> &Waker {
        &self.waker
    }

    pub(crate) fn park(&self) {
        self.inner.park();
    }
}

impl Inner {
    fn new() -> Inner {
        Inner { state: AtomicU8::new(EMPTY), lock: Mutex::new(()), condvar: Condvar::new() }
    }

    fn park(&self) {
        if self.state.compare_exchange(NOTIFIED, EMPTY, SeqCst, SeqCst).is_ok() {
            return;
        }
        let mut guard = self.lock.lock();
        if self.state.compare_exchange(EMPTY, PARKED, SeqCst, SeqCst).is_err() {
            // A swap, so that what the notifier did before is seen.
            self.state.swap(EMPTY, SeqCst);
            return;
        }
        loop {
            guard = match self.condvar.wait(guard) {
                Ok(guard) => guard,
                Err(poisoned) => poisoned.into_inner(),
            };
            if self.state.compare_exchange(NOTIFIED, EMPTY, SeqCst, SeqCst).is_ok() {
                return;
            }
        }
    }

    fn unpark(&self) {
        if self.state.swap(NOTIFIED, SeqCst) == PARKED {
            // The lock closes the gap between the parker's last look at the state and its wait.
            drop(self.lock.lock());
            self.condvar.notify_one();
        }
    }
}

impl Wake for Inner {
    fn wake(self: Arc<Self>) {
        self.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.unpark();
    }
}
