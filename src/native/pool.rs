//! Buffers that operations pick themselves when something arrives.
//!
//! # Protocol
//!
//! - A [`BufPool`] has a number of its own, a *group*. Each ring that an operation with the pool
//!   runs on gets buffers of that group, made when they are first needed: at most `count` a ring.
//!   Where there is no ring the pool has `count` buffers of its own.
//! - A [`PoolBuf`] is one of them with something in it. Dropped, it goes back to where it came from,
//!   and who waits for one is told.
//! - Who finds no buffer compares the number of those given back to that place with what it was when
//!   he last tried: if some were since, he tries again; if none was, he waits. So each try is paid
//!   for, and nobody spins (H16). Of those who wait one is woken for each buffer.
//!
//! # Safety
//!
//! A `PoolBuf` alone has its buffer, from the completion that named it until it is given back.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::buf::IoBuf;
use crate::driver::Handle;
use crate::sys::uring::buf_ring::BufRing;
use crate::util::unwind;

/// A pool of buffers for operations that go on and on, like
/// [`Stream::recv_multi`](super::Stream::recv_multi). Cheap to clone.
///
/// Waiting connections take no buffer: one is picked when something arrives. So a pool may be much
/// smaller than the number of connections.
#[derive(Clone)]
pub struct BufPool(Arc<Inner>);

struct Inner {
    /// `None` if all numbers are taken: then no ring knows the pool.
    group: Option<Arc<Group>>,
    count: u16,
    size: usize,
    state: Mutex<State>,
    /// Of the buffers for who has no ring.
    plain: Arc<Returns>,
}

#[derive(Default)]
struct State {
    /// Buffers for who has no ring: those at hand, and how many were made.
    plain: Vec<Box<[u8]>>,
    made: u16,
    /// The rings that the pool is known to.
    rings: Vec<Arc<OnRing>>,
}

/// A pool's buffers on one ring, and who waits for them.
#[derive(Debug)]
pub(super) struct OnRing {
    pub(super) bufs: Arc<BufRing>,
    returns: Arc<Returns>,
    /// The number is this pool's as long as a buffer is out, too.
    _group: Arc<Group>,
}

impl OnRing {
    pub(super) fn returns(&self) -> &Arc<Returns> {
        &self.returns
    }
}

/// Buffers that come back to one place.
#[derive(Debug, Default)]
pub(super) struct Returns {
    /// How many were given back so far.
    count: AtomicU64,
    /// Does anybody wait for one? Set before he looks at `count` again.
    is_awaited: AtomicBool,
    waiters: Mutex<VecDeque<Waker>>,
}

impl Returns {
    /// How many were given back so far.
    pub(super) fn count(&self) -> u64 {
        self.count.load(SeqCst)
    }

    /// Waits until more were given back than `seen`. Whoever was told and does not want it any more
    /// must [`pass_on`](Self::pass_on).
    pub(super) fn poll(&self, seen: u64, cx: &mut Context<'_>) -> Poll<()> {
        if self.count() != seen {
            return Poll::Ready(());
        }
        let mut waiters = lock(&self.waiters);
        if !waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            waiters.push_back(cx.waker().clone());
        }
        drop(waiters);
        self.is_awaited.store(true, SeqCst);
        // Whoever gave one back before that has not seen it.
        if self.count() != seen { Poll::Ready(()) } else { Poll::Pending }
    }

    fn returned(&self) {
        self.count.fetch_add(1, SeqCst);
        self.pass_on();
    }

    /// One buffer is one waiter's.
    pub(super) fn pass_on(&self) {
        if self.is_awaited.load(SeqCst) {
            self.wake_one();
        }
    }

    #[cold]
    fn wake_one(&self) {
        let mut waiters = lock(&self.waiters);
        let waiter = waiters.pop_front();
        self.is_awaited.store(!waiters.is_empty(), SeqCst);
        drop(waiters);
        waiter.into_iter().for_each(unwind::wake);
    }
}

/// The number of a pool, until nobody has anything of it any more.
#[derive(Debug)]
struct Group(u16);

impl Drop for Group {
    fn drop(&mut self) {
        // Rings that still know the number have no operation with it, and forget it before they
        // are told of the next pool.
        lock(&GROUPS).1.push(self.0);
    }
}

/// The numbers of pools; rings know theirs by number.
static GROUPS: Mutex<(u16, Vec<u16>)> = Mutex::new((0, Vec::new()));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_group() -> Option<Arc<Group>> {
    let mut groups = lock(&GROUPS);
    let group = match groups.1.pop() {
        Some(group) => group,
        None => {
            let group = groups.0;
            groups.0 = group.checked_add(1)?;
            group
        }
    };
    drop(groups);
    Some(Arc::new(Group(group)))
}

impl BufPool {
    /// At most `count` buffers of `size` bytes on each ring that uses the pool.
    ///
    /// # Panics
    ///
    /// If `count` is no power of two, or above 32,768; if `size` is zero.
    #[track_caller]
    pub fn new(count: u16, size: usize) -> BufPool {
        assert!(count.is_power_of_two(), "{count} buffers: that is no power of two");
        assert!(size > 0 && size <= 1 << 30, "buffers of {size} bytes");
        BufPool(Arc::new(Inner { group: take_group(), count,
            size,
            state: Mutex::default(),
            plain: Arc::default(),
        }))
    }

    /// How many buffers there are at most, on each ring.
    pub fn count(&self) -> usize {
        self.0.count.into()
    }

    /// How many bytes a buffer has.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// The pool's buffers on this thread's ring, if it has one that knows such pools.
    pub(super) fn on_ring(&self, driver: &Handle) -> Option<Arc<OnRing>> {
        let group = self.0.group.as_ref()?;
        // One that refuses (an old kernel, no memory to lock) is done without.
        let bufs = driver.buf_ring(group.0, self.0.count, self.0.size)?.ok()?;
        let mut state = lock(&self.0.state);
        if let Some(known) = state.rings.iter().find(|ring| Arc::ptr_eq(&ring.bufs, &bufs)) {
            return Some(known.clone());
        }
        // Rings that are gone have nothing out and nobody waiting.
        state.rings.retain(|ring| Arc::strong_count(ring) > 1 || Arc::strong_count(&ring.returns) > 1);
        let ring = Arc::new(OnRing { bufs, returns: Arc::default(), _group: group.clone() });
        state.rings.push(ring.clone());
        Some(ring)
    }

    /// The buffers for who has no ring, as far as they come back.
    pub(super) fn plain(&self) -> &Arc<Returns> {
        &self.0.plain
    }

    /// A buffer for who has no ring; `None` if all are away.
    pub(super) fn take_plain(&self) -> Option<PoolBuf> {
        let mut state = lock(&self.0.state);
        let bytes = match state.plain.pop() {
            Some(bytes) => bytes,
            None if state.made < self.0.count => {
                state.made += 1;
                vec![0; self.0.size].into()
            }
            None => return None,
        };
        drop(state);
        Some(PoolBuf { place: Place::Plain(bytes, self.clone()), begin: 0, len: 0 })
    }
}

impl fmt::Debug for BufPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufPool").field("count", &self.count()).field("size", &self.size()).finish()
    }
}

/// A buffer of a [`BufPool`], with what was received. Dropped, it goes back to the pool.
pub struct PoolBuf {
    place: Place,
    begin: usize,
    len: usize,
}

enum Place {
    Ring(Arc<OnRing>, u16),
    Plain(Box<[u8]>, BufPool),
}

impl PoolBuf {
    /// The buffer that a completion names.
    ///
    /// # Safety
    ///
    /// The completion is that of an operation with these buffers, was not asked about before, and
    /// says that `len` bytes were written.
    pub(super) unsafe fn received(ring: &Arc<OnRing>, index: u16, len: usize) -> PoolBuf {
        PoolBuf { place: Place::Ring(ring.clone(), index), begin: 0, len }
    }

    /// All of a plain buffer, to be written to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.place {
            Place::Plain(bytes, _) => bytes,
            Place::Ring(..) => unreachable!("the kernel writes to those"),
        }
    }

    /// Shows `len` bytes, from `begin` on.
    pub(super) fn show(&mut self, begin: usize, len: usize) {
        let size = match &self.place {
            Place::Ring(ring, _) => ring.bufs.size(),
            Place::Plain(bytes, _) => bytes.len(),
        };
        assert!(begin + len <= size, "received more than there is room for");
        (self.begin, self.len) = (begin, len);
    }
}

impl Deref for PoolBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            // SAFETY: it is this value's, and so much was written to it (or it is zero).
            Place::Ring(ring, index) => unsafe { &ring.bufs.bytes(*index, self.begin + self.len)[self.begin..] },
            Place::Plain(bytes, _) => &bytes[self.begin..self.begin + self.len],
        }
    }
}

impl DerefMut for PoolBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.place {
            // SAFETY: as above, and `self` is borrowed mutably.
            Place::Ring(ring, index) => unsafe {
                &mut ring.bufs.bytes_mut(*index, self.begin + self.len)[self.begin..]
            },
            Place::Plain(bytes, _) => &mut bytes[self.begin..self.begin + self.len],
        }
    }
}

impl AsRef<[u8]> for PoolBuf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for PoolBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

impl Drop for PoolBuf {
    fn drop(&mut self) {
        match &mut self.place {
            Place::Ring(ring, index) => {
                ring.bufs.give_back(*index);
                ring.returns.returned();
            }
            Place::Plain(bytes, pool) => {
                lock(&pool.0.state).plain.push(std::mem::take(bytes));
                pool.0.plain.returned();
            }
        }
    }
}

// SAFETY: the buffer is not on the value, and stays where it is until it is given back; nobody else
// has it.
unsafe impl IoBuf for PoolBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.len
    }
}
