//! Buffers that operations pick themselves when something arrives.
//!
//! # Protocol
//!
//! - Each ring that an operation with a [`BufPool`] runs on gets buffers of the pool, made when they are
//!   first needed: at most `count` a ring, known to it by a number of the pool's own, a *group*.
//!   Datagrams have a header before them, which takes room, so there are others for those
//!   ([`Headroom`]). Where there is no ring the pool has `count` buffers of its own.
//! - A [`PoolBuf`] is one of them with something in it. Dropped, it goes back to where it came from,
//!   and who waits for one is told. The last one of a pool that is gone frees the buffers of its ring.
//! - Who finds no buffer compares the number of those given back to that place with what it was when it
//!   last tried: if some were since, it tries again; if none was, it takes a ticket and waits
//!   ([`Ticket`]). So each try is paid for, and nobody spins (H16).
//!
//! # Whom a buffer is for
//!
//! 1. A buffer that comes back is one waiter's, in the order of tickets. It is told, and has a [`Debt`]
//!    from then on: either a buffer comes to it, which ends the debt since that one will come back, or
//!    it passes the debt on. That is what a debt does when it is dropped, so it need not be thought of:
//!    the stream ends, is dropped, goes on on another ring, or has nothing to receive (H80).
//! 2. Only who is certain to be polled, or dropped, takes on a debt: the future that
//!    [`RecvMulti::next`](super::RecvMulti::next) returns. A stream that was polled otherwise may be left
//!    alone for ever: it is told, and so is the next one.
//! 3. Results that nobody has asked for yet keep no buffer from others. Who finds none, though none came
//!    back since, waits until those that are about to be polled were; what then still lies there is
//!    copied, and its buffers come back ([`OnRing::reclaim`]). A stream has few of them: with a
//!    [`share`] of the pool it ends, until somebody polls it (H81).
//!
//! So what keeps others waiting is in the hands of the program: buffers that it has been given and not
//! dropped.
//!
//! # Safety
//!
//! A `PoolBuf` alone has its buffer, from the completion that named it until it is given back.
#![allow(unsafe_code)]

mod ticket;

pub(super) use ticket::{Debt, Returns, Ticket};

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::buf::IoBuf;
use crate::driver::op::Results;
use crate::driver::{Handle, Notice};
use crate::sys::uring::buf_ring::BufRing;

/// A pool of buffers for operations that go on and on, like
/// [`Stream::recv_multi`](super::Stream::recv_multi). Cheap to clone.
///
/// Waiting connections take no buffer: one is picked when something arrives. So a pool may be much
/// smaller than the number of connections.
///
/// # Who gets a buffer
///
/// While the program has all buffers of a ring, nothing more is received there with this pool. A
/// buffer that is dropped, on any thread, goes to a stream that can use it, those that wait longest
/// first. Streams that are not polled keep none from others: what they have received is copied to
/// memory of its own when one is needed, and they receive only a few buffers' worth in advance (a
/// quarter of the pool, or two; up to a whole pool if more than that arrives at once).
///
/// A [`PoolBuf`] that is forgotten ([`std::mem::forget`]), or kept for good, is one buffer less. With
/// the last one streams wait for ever, as a mutex does for a guard that is forgotten: there is no telling
/// it from a buffer that somebody still reads. Where buffers may be kept for long, put a time limit on
/// [`next`](super::RecvMulti::next), or copy what is to be kept.
///
/// # Memory
///
/// A ring's buffers are made when they are first needed there, separate ones for streams and for
/// datagrams. They are freed as soon as the pool, its streams and its buffers on that ring are gone, by
/// whichever thread drops the last of these.
#[derive(Clone)]
pub struct BufPool(Arc<Inner>);

struct Inner {
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
    for_bytes: Groups,
    for_datagrams: Groups,
}

/// What rings know of one kind of a pool's buffers.
#[derive(Default)]
struct Groups {
    /// `None` if there was no use for it so far, or all numbers are taken.
    number: Option<Arc<Group>>,
    rings: Vec<Arc<OnRing>>,
}

/// What the kernel writes to a buffer before what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Headroom {
    Nothing,
    /// The header of a datagram, and its sender's address.
    Datagram,
}

impl Headroom {
    /// How many bytes that are.
    fn bytes(self) -> usize {
        /// Of `struct io_uring_recvmsg_out`.
        const HEADER: usize = 16;
        match self {
            Headroom::Nothing => 0,
            Headroom::Datagram => HEADER + size_of::<libc::sockaddr_storage>(),
        }
    }
}

/// How many results of one stream wait to be asked for before it receives no more. It must be more than
/// one, which is what waits whenever something was received.
fn share(count: u16) -> usize {
    usize::from(count / 4).max(2)
}

/// A pool's buffers on one ring, and who waits for them.
#[derive(Debug)]
pub(super) struct OnRing {
    pub(super) bufs: Arc<BufRing>,
    returns: Arc<Returns>,
    streams: Mutex<Streams>,
    /// How many had been given back when nothing was found that could be copied.
    searched: AtomicU64,
    /// The number is this pool's as long as a buffer is out, too.
    _group: Arc<Group>,
    /// The last field: the ring looks for what is gone.
    _notice: Notice,
}

/// The streams that have received, or may receive, into buffers of a ring.
#[derive(Default)]
struct Streams {
    all: Vec<Weak<dyn Results>>,
    /// With so many of them those that are gone are looked for.
    sweep_at: usize,
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("all", &self.all.len()).finish_non_exhaustive()
    }
}

impl OnRing {
    pub(super) fn returns(&self) -> &Arc<Returns> {
        &self.returns
    }

    /// See [`share`].
    pub(super) fn share(&self) -> usize {
        share(self.bufs.count())
    }

    /// A stream begins to receive.
    pub(super) fn know(&self, stream: Weak<dyn Results>) {
        let mut streams = lock(&self.streams);
        if streams.all.len() >= streams.sweep_at {
            streams.all.retain(|stream| stream.strong_count() > 0);
            streams.sweep_at = (2 * streams.all.len()).max(16);
        }
        streams.all.push(stream);
    }

    /// Has what nobody has asked for yet copied, so that its buffers come back: for a stream that found
    /// none when `seen` had been given back.
    ///
    /// If more were since, one of those is its own, or will be: some other waiter was told. If not, all
    /// that the ring's buffers were taken for was known before the stream got to know that none was left,
    /// so this finds them, and finding none once means that there are none until the next one comes back.
    #[cold]
    pub(super) fn reclaim(&self, seen: u64) {
        if self.returns.count() != seen || self.searched.load(SeqCst) == seen {
            return;
        }
        let streams: Vec<_> = lock(&self.streams).all.iter().filter_map(Weak::upgrade).collect();
        let mut copied = 0;
        for stream in streams {
            if copied < self.share() {
                copied += stream.copy_out(self.share() - copied);
            }
        }
        if copied == 0 {
            self.searched.store(seen, SeqCst);
        }
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

/// The first number. Those below are places in an array of each ring, where Linux 6.1 leaves how far it has come with a
/// pool that is gone (`io_register_pbuf_ring` does not reset `head`): the next one looks empty to it.
const FIRST_GROUP: u16 = 64;

/// The numbers of pools; rings know theirs by number.
static GROUPS: Mutex<(u16, Vec<u16>)> = Mutex::new((FIRST_GROUP, Vec::new()));

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

impl Groups {
    fn number(&mut self) -> Option<Arc<Group>> {
        if self.number.is_none() {
            self.number = take_group();
        }
        self.number.clone()
    }
}

impl State {
    fn groups(&mut self, headroom: Headroom) -> &mut Groups {
        match headroom {
            Headroom::Nothing => &mut self.for_bytes,
            Headroom::Datagram => &mut self.for_datagrams,
        }
    }
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
        BufPool(Arc::new(Inner { count, size, state: Mutex::default(), plain: Arc::default() }))
    }

    /// How many buffers there are at most, on each ring.
    pub fn count(&self) -> usize {
        self.0.count.into()
    }

    /// How many bytes a buffer has: so many of a stream, or a datagram of that length, besides the
    /// address of its sender.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// The pool's buffers on this thread's ring, if it has one that knows such pools.
    pub(super) fn on_ring(&self, driver: &Handle, headroom: Headroom) -> Option<Arc<OnRing>> {
        let group = lock(&self.0.state).groups(headroom).number()?;
        // One that refuses (an old kernel, no memory to lock) is done without.
        let size = self.0.size + headroom.bytes();
        let (bufs, home) = driver.buf_ring(group.0, self.0.count, size)?.ok()?;
        let mut state = lock(&self.0.state);
        let rings = &mut state.groups(headroom).rings;
        if let Some(known) = rings.iter().find(|ring| Arc::ptr_eq(&ring.bufs, &bufs)) {
            return Some(known.clone());
        }
        let ring = Arc::new(OnRing {
            bufs,
            returns: Arc::default(),
            streams: Mutex::default(),
            searched: AtomicU64::new(u64::MAX),
            _group: group,
            _notice: Notice::to(&home),
        });
        // Rings that are gone have nothing out and nobody waiting.
        rings.retain(|ring| Arc::strong_count(ring) > 1);
        rings.push(ring.clone());
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
        Some(PoolBuf::new(Place::Plain(bytes, self.clone()), 0))
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
    is_truncated: bool,
}

enum Place {
    Ring(Arc<OnRing>, u16),
    Plain(Box<[u8]>, BufPool),
    /// Memory of its own, which goes with it.
    Copy(Box<[u8]>),
}

impl PoolBuf {
    /// Was the datagram longer than the buffer? What did not fit is lost. See
    /// [`Udp::recv_multi`](super::Udp::recv_multi).
    pub fn is_truncated(&self) -> bool {
        self.is_truncated
    }

    fn new(place: Place, len: usize) -> PoolBuf {
        PoolBuf { place, begin: 0, len, is_truncated: false }
    }

    /// What was copied from such a buffer.
    pub(super) fn copied(bytes: Box<[u8]>) -> PoolBuf {
        let len = bytes.len();
        PoolBuf::new(Place::Copy(bytes), len)
    }

    /// The buffer that a completion names.
    ///
    /// # Safety
    ///
    /// The completion is that of an operation with these buffers, was not asked about before, and
    /// says that `len` bytes were written.
    pub(super) unsafe fn received(ring: &Arc<OnRing>, index: u16, len: usize) -> PoolBuf {
        PoolBuf::new(Place::Ring(ring.clone(), index), len)
    }

    /// All of a plain buffer, to be written to.
    pub(super) fn room(&mut self) -> &mut [u8] {
        match &mut self.place {
            Place::Plain(bytes, _) => bytes,
            Place::Ring(..) | Place::Copy(_) => unreachable!("the kernel writes to those"),
        }
    }

    /// What was received was longer than the room for it.
    pub(super) fn set_truncated(&mut self, is_truncated: bool) {
        self.is_truncated = is_truncated;
    }

    /// Shows `len` bytes, from `begin` on.
    pub(super) fn show(&mut self, begin: usize, len: usize) {
        let size = match &self.place {
            Place::Ring(ring, _) => ring.bufs.size(),
            Place::Plain(bytes, _) | Place::Copy(bytes) => bytes.len(),
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
            Place::Plain(bytes, _) | Place::Copy(bytes) => &bytes[self.begin..self.begin + self.len],
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
            Place::Plain(bytes, _) | Place::Copy(bytes) => &mut bytes[self.begin..self.begin + self.len],
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
            Place::Copy(_) => {}
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
