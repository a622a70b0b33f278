//! Buffers that operations pick themselves when something arrives.
//!
//! # Protocol
//!
//! - A [`BufPool`] has a number of its own, a *group*. Each ring that an operation with the pool
//!   runs on gets buffers of that group, made when they are first needed: at most `count` a ring.
//!   Where there is no ring the pool has `count` buffers of its own.
//! - A [`PoolBuf`] is one of them with something in it. Dropped, it goes back to where it came from,
//!   and who waits for one is told.
//! - Who finds no buffer compares the number of those given back with what it was when he last
//!   tried: if some were since, he tries again; if none was, he waits. So each try is paid for, and
//!   nobody spins (H16).
//!
//! # Safety
//!
//! A `PoolBuf` alone has its buffer, from the completion that named it until it is given back.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::fmt;
use std::ops::{Deref, DerefMut};
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
    group: Option<u16>,
    count: u16,
    size: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Buffers for who has no ring: those at hand, and how many were made.
    plain: Vec<Box<[u8]>>,
    made: u16,
    /// How many were given back so far, to any ring.
    returns: u64,
    waiters: VecDeque<Waker>,
}

/// The numbers of pools; rings know theirs by number.
static GROUPS: Mutex<(u16, Vec<u16>)> = Mutex::new((0, Vec::new()));

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take_group() -> Option<u16> {
    let mut groups = lock(&GROUPS);
    if let Some(group) = groups.1.pop() {
        return Some(group);
    }
    let group = groups.0;
    groups.0 = group.checked_add(1)?;
    Some(group)
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
        BufPool(Arc::new(Inner { group: take_group(), count, size, state: Mutex::default() }))
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
    pub(super) fn on_ring(&self, driver: &Handle) -> Option<Arc<BufRing>> {
        // One that refuses (an old kernel, no memory to lock) is done without.
        driver.buf_ring(self.0.group?, self.0.count, self.0.size)?.ok()
    }

    /// How many buffers were given back so far.
    pub(super) fn returns(&self) -> u64 {
        lock(&self.0.state).returns
    }

    /// Waits until more were given back than `seen`.
    pub(super) fn poll_returned(&self, seen: u64, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0.state);
        if state.returns != seen {
            return Poll::Ready(());
        }
        // A cancelled waiter's waker may stay; a wake-up too many hurts nobody.
        if !state.waiters.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiters.push_back(cx.waker().clone());
        }
        Poll::Pending
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
        Some(PoolBuf { place: Place::Plain(bytes), begin: 0, len: 0, pool: self.clone() })
    }

    /// The buffer that a completion names.
    ///
    /// # Safety
    ///
    /// The completion is that of an operation with these buffers, was not asked about before, and
    /// says that `len` bytes were written.
    pub(super) unsafe fn received(&self, bufs: &Arc<BufRing>, index: u16, len: usize) -> PoolBuf {
        PoolBuf { place: Place::Ring(bufs.clone(), index), begin: 0, len, pool: self.clone() }
    }

    fn returned(&self, plain: Option<Box<[u8]>>) {
        let waiters = {
            let mut state = lock(&self.0.state);
            state.plain.extend(plain);
            state.returns += 1;
            std::mem::take(&mut state.waiters)
        };
        // All of them: they may wait for buffers of different rings.
        waiters.into_iter().for_each(unwind::wake);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Rings that still know the number have no operation with it, and forget it before they
        // are told of the next pool.
        if let Some(group) = self.group {
            lock(&GROUPS).1.push(group);
        }
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
    pool: BufPool,
}

enum Place {
    Ring(Arc<BufRing>, u16),
    Plain(Box<[u8]>),
}

impl PoolBuf {
    /// All of a plain buffer, to be written to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.place {
            Place::Plain(bytes) => bytes,
            Place::Ring(..) => unreachable!("the kernel writes to those"),
        }
    }

    /// Shows `len` bytes, from `begin` on.
    pub(super) fn show(&mut self, begin: usize, len: usize) {
        assert!(begin + len <= self.pool.size(), "received more than there is room for");
        (self.begin, self.len) = (begin, len);
    }
}

impl Deref for PoolBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.place {
            // SAFETY: it is this value's, and so much was written to it (or it is zero).
            Place::Ring(bufs, index) => unsafe { &bufs.bytes(*index, self.begin + self.len)[self.begin..] },
            Place::Plain(bytes) => &bytes[self.begin..self.begin + self.len],
        }
    }
}

impl DerefMut for PoolBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.place {
            // SAFETY: as above, and `self` is borrowed mutably.
            Place::Ring(bufs, index) => unsafe {
                &mut bufs.bytes_mut(*index, self.begin + self.len)[self.begin..]
            },
            Place::Plain(bytes) => &mut bytes[self.begin..self.begin + self.len],
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
        match std::mem::replace(&mut self.place, Place::Plain(Box::default())) {
            Place::Ring(bufs, index) => {
                bufs.give_back(index);
                self.pool.returned(None);
            }
            Place::Plain(bytes) => self.pool.returned(Some(bytes)),
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
