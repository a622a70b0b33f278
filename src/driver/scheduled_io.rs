//! The readiness of one I/O resource, shared by its owner, its waiters and the driver.
//!
//! # Protocol
//!
//! - The **word** packs readiness, tick and shutdown bit. The driver sets bits and moves the tick
//!   on with each event; whoever found the resource not ready clears the bits it saw, but only
//!   if no event came in between (the tick still matches), so no edge is lost.
//! - A **waiter** leaves its waker, then looks at the word once more, then makes sure the
//!   resource is watched. The driver first sets the word, then takes the wakers; one of the two sees
//!   the other.
//! - The **watch** says whether the resource is a member of its runtime's watch set, and under which
//!   token. Once it is closed the resource never becomes one again.
//! - The shutdown bit, once set, stays; so does the full width of the tick when bits are cleared.

use std::future::Future;
use std::io;
use std::os::fd::RawFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::driver::{Interest, Ready};
use crate::loom::sync::Mutex;
use crate::loom::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use crate::loom::sync::atomic::{AtomicBool, AtomicUsize};

// | shutdown | tick    | readiness |
// |----------|---------|-----------|
// |   1 bit  | 15 bits |  16 bits  |
const READINESS_MASK: usize = 0xFFFF;
const TICK_SHIFT: u32 = 16;
const TICK_MASK: usize = 0x7FFF;
const SHUTDOWN: usize = 1 << 31;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct ScheduledIo {
    word: AtomicUsize,
    /// Mirrors `watch`, for a look without the lock.
    watched: AtomicBool,
    watch: Mutex<Watch>,
    waiters: Mutex<Waiters>,
    fd: RawFd,
    interest: Interest,
    /// It is never tried before it is known to be ready.
    waits_first: bool,
    /// Somebody saw the end of what there is, in each direction.
    drained: [AtomicBool; 2],
    /// Where events are counted.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    metrics: Option<std::sync::Arc<crate::driver::IoMetrics>>,
}

/// Where the resource is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watch {
    /// Nowhere.
    Idle,
    /// In the watch set, under this token.
    Member(u64),
    /// The resource is gone, or its runtime; it is never watched again.
    Closed,
}

#[derive(Debug, Default)]
struct Waiters {
    /// The task in `poll_read_ready`, `AsyncRead` …: the last one that called.
    reader: Option<Waker>,
    /// The same for the write direction.
    writer: Option<Waker>,
    /// The outbox, if the socket is too full for what it has.
    sender: Option<Waker>,
    /// The `readiness` futures.
    list: Slab<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    /// `None` once woken.
    waker: Option<Waker>,
    interest: Interest,
}

/// A snapshot of readiness, to be cleared if it turns out wrong.
#[derive(Debug, Clone)]
pub(crate) struct ReadyEvent {
    tick: u16,
    pub(crate) ready: Ready,
    pub(crate) is_shutdown: bool,
}

impl ReadyEvent {
    /// The same event with other readiness.
    pub(crate) fn with_ready(&self, ready: Ready) -> ReadyEvent {
        ReadyEvent { ready, ..*self }
    }
}

/// One of the two directions with a waker slot of its own.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Direction {
    Read,
    Write,
}

impl Direction {
    fn mask(self) -> Ready {
        match self {
            Direction::Read => Ready::READABLE | Ready::READ_CLOSED,
            Direction::Write => Ready::WRITABLE | Ready::WRITE_CLOSED,
        }
    }
}

impl ScheduledIo {
    pub(crate) fn new(fd: RawFd, interest: Interest) -> ScheduledIo {
        ScheduledIo {
            word: AtomicUsize::new(0),
            watched: AtomicBool::new(false),
            watch: Mutex::new(Watch::Idle),
            waiters: Mutex::default(),
            fd,
            interest,
            waits_first: false,
            drained: [AtomicBool::new(false), AtomicBool::new(false)],
            #[cfg(any(tokio_unstable, feature = "metrics"))]
            metrics: None,
        }
    }

    /// The same for a resource that an early try would misjudge.
    pub(crate) fn waiting_first(self) -> ScheduledIo {
        ScheduledIo { waits_first: true, ..self }
    }

    /// Nothing watches the resource: is the only way to tell whether it is ready to try?
    pub(crate) fn may_be_tried(&self) -> bool {
        !self.waits_first && !self.is_watched()
    }

    /// Somebody saw the end of what there is: from now on that direction waits for an event, also where nothing
    /// watches yet. A try would find what came meanwhile, again and again, and a connection whose peer never
    /// stops would let nobody else have a turn before its budget is spent.
    pub(crate) fn set_drained(&self, direction: Direction) {
        self.drained[direction as usize].store(true, Relaxed);
    }

    /// See [`set_drained`](ScheduledIo::set_drained).
    pub(crate) fn was_drained(&self, direction: Direction) -> bool {
        self.drained[direction as usize].load(Relaxed)
    }

    /// Has the events counted.
    #[cfg(any(tokio_unstable, feature = "metrics"))]
    pub(crate) fn counted(self, metrics: std::sync::Arc<crate::driver::IoMetrics>) -> ScheduledIo {
        ScheduledIo { metrics: Some(metrics), ..self }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.watched.load(Acquire)
    }

    /// Changes the watch; `f` sees it under its lock.
    pub(crate) fn with_watch<R>(&self, f: impl FnOnce(&mut Watch) -> R) -> R {
        let mut watch = self.watch.lock();
        let result = f(&mut watch);
        self.watched.store(matches!(*watch, Watch::Member(_)), Release);
        result
    }

    /// Marks directions ready without an event: a wrong guess costs one `WouldBlock`.
    pub(crate) fn assume_ready(&self, ready: Ready) {
        self.word.fetch_or(ready.bits(), AcqRel);
    }

    /// An event came: adds `ready` and moves the tick on.
    pub(crate) fn set_readiness(&self, ready: Ready) {
        let update = self.word.fetch_update(AcqRel, Acquire, |word| {
            let tick = (word >> TICK_SHIFT).wrapping_add(1) & TICK_MASK;
            Some(word & (SHUTDOWN | READINESS_MASK) | tick << TICK_SHIFT | ready.bits())
        });
        debug_assert!(update.is_ok());
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        if let Some(metrics) = &self.metrics {
            metrics.ready();
        }
    }

    /// Takes back what `event` said, unless a newer event came. Closed states are final and stay.
    pub(crate) fn clear_readiness(&self, event: &ReadyEvent) {
        let gone = (event.ready - Ready::READ_CLOSED - Ready::WRITE_CLOSED).bits();
        // A failure means the tick moved on: the newer event stands.
        let _ = self.word.fetch_update(AcqRel, Acquire, |word| {
            let tick = (word >> TICK_SHIFT) & TICK_MASK;
            (tick == usize::from(event.tick)).then_some(word & !gone)
        });
    }

    /// The runtime is gone: every wait ends, now and later.
    pub(crate) fn shutdown(&self, wakers: &mut Vec<Waker>) {
        self.word.fetch_or(SHUTDOWN, AcqRel);
        self.take_wakers(Ready::ALL, wakers);
    }

    /// Moves the wakers of those who wait for any of `ready` to `wakers`, to be woken once no
    /// lock is held.
    pub(crate) fn take_wakers(&self, ready: Ready, wakers: &mut Vec<Waker>) {
        let mut waiters = self.waiters.lock();
        if ready.is_readable() {
            wakers.extend(waiters.reader.take());
        }
        if ready.is_writable() {
            wakers.extend(waiters.sender.take());
            wakers.extend(waiters.writer.take());
        }
        for (_, waiter) in &mut waiters.list {
            if !(waiter.interest.mask() & ready).is_empty() {
                wakers.extend(waiter.waker.take());
            }
        }
    }

    /// Drops the wakers of the polling functions: they may hold the resource itself, a cycle.
    pub(crate) fn clear_wakers(&self) {
        let (reader, writer) = {
            let mut waiters = self.waiters.lock();
            (waiters.reader.take(), waiters.writer.take())
        };
        // User code: outside of the lock.
        drop((reader, writer));
    }

    /// Has the outbox woken once there is room to write. It goes before the tasks: they would find its
    /// bytes in their way. Returns the waker there was.
    #[must_use]
    pub(crate) fn set_sender(&self, waker: Waker) -> Option<Waker> {
        self.waiters.lock().sender.replace(waker)
    }

    /// Takes the outbox's waker back, to be dropped by the caller.
    #[must_use]
    pub(crate) fn take_sender(&self) -> Option<Waker> {
        self.waiters.lock().sender.take()
    }

    fn event(&self, mask: Ready) -> ReadyEvent {
        let word = self.word.load(Acquire);
        ReadyEvent {
            tick: (word >> TICK_SHIFT & TICK_MASK) as u16,
            ready: Ready::from_bits(word & READINESS_MASK) & mask,
            is_shutdown: word & SHUTDOWN != 0,
        }
    }

    /// What `interest` would see now.
    pub(crate) fn ready_event(&self, interest: Interest) -> ReadyEvent {
        self.event(interest.mask())
    }

    /// What `direction` would see now, if that is anything.
    pub(crate) fn ready_now(&self, direction: Direction) -> Option<ReadyEvent> {
        let event = self.event(direction.mask());
        (event.is_shutdown || !event.ready.is_empty()).then_some(event)
    }

    /// Waits for `direction` in its waker slot; only the last caller is woken.
    pub(crate) fn poll_readiness(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<ReadyEvent> {
        if let Some(event) = self.ready_now(direction) {
            return Poll::Ready(event);
        }
        let replaced = {
            let mut waiters = self.waiters.lock();
            let slot = match direction {
                Direction::Read => &mut waiters.reader,
                Direction::Write => &mut waiters.writer,
            };
            match slot {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                _ => slot.replace(cx.waker().clone()),
            }
        };
        drop(replaced);
        // The word may have changed before the waker was there.
        match self.ready_now(direction) {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }
}

/// Waits until a resource is ready for an interest; any number may wait.
///
/// `watch` is called when there is nothing to do but wait, after the waker was left.
pub(crate) struct Readiness<'a, W: FnMut() -> io::Result<()>> {
    io: &'a ScheduledIo,
    interest: Interest,
    /// The waiter's place in the list; `None` before the first wait and after the last.
    key: Option<usize>,
    watch: W,
}

impl<'a, W: FnMut() -> io::Result<()>> Readiness<'a, W> {
    pub(crate) fn new(io: &'a ScheduledIo, interest: Interest, watch: W) -> Self {
        Readiness { io, interest, key: None, watch }
    }
}

impl<W: FnMut() -> io::Result<()>> Unpin for Readiness<'_, W> {}

impl<W: FnMut() -> io::Result<()>> Future for Readiness<'_, W> {
    type Output = io::Result<ReadyEvent>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let Some(key) = this.key else { return this.begin(cx) };

        let replaced = {
            let mut waiters = this.io.waiters.lock();
            match &mut waiters.list[key].waker {
                None => None,
                Some(waker) if waker.will_wake(cx.waker()) => return Poll::Pending,
                Some(waker) => Some(std::mem::replace(waker, cx.waker().clone())),
            }
        };
        if replaced.is_some() {
            return Poll::Pending;
        }
        this.leave();
        // Somebody may have cleared the readiness since; an empty set is allowed.
        Poll::Ready(Ok(this.io.ready_event(this.interest)))
    }
}

impl<W: FnMut() -> io::Result<()>> Readiness<'_, W> {
    /// Ready as it is, or in line.
    fn begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        let event = self.io.ready_event(self.interest);
        if event.is_shutdown || !event.ready.is_empty() {
            return Poll::Ready(Ok(event));
        }
        let waiter = Waiter { waker: Some(cx.waker().clone()), interest: self.interest };
        self.key = Some(self.io.waiters.lock().list.insert(waiter));
        // The word may have changed before the waiter was there.
        let event = self.io.ready_event(self.interest);
        if event.is_shutdown || !event.ready.is_empty() {
            self.leave();
            return Poll::Ready(Ok(event));
        }
        (self.watch)()?;
        Poll::Pending
    }

    fn leave(&mut self) {
        if let Some(key) = self.key.take() {
            let waiter = self.io.waiters.lock().list.remove(key);
            // Its waker is user code: dropped outside of the lock.
            drop(waiter);
        }
    }
}

impl<W: FnMut() -> io::Result<()>> Drop for Readiness<'_, W> {
    fn drop(&mut self) {
        self.leave();
    }
}
