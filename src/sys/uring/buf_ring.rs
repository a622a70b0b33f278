//! Buffers that the kernel picks from when something arrives (`IORING_REGISTER_PBUF_RING`, 5.19).
//!
//! # Protocol
//!
//! - A [`BufRing`] is a *group* of buffers of one size, known to one ring. The [`List`] that the kernel
//!   reads and the buffers are memory of this process; kernel-mapped lists are not used
//!   (CVE-2024-0582 is of that kind).
//! - A buffer is with the kernel from the moment it is on the list. A completion that names it gives
//!   it to whoever gets the completion, and [`BufRing::give_back`] puts it on the list again, on
//!   any thread: the kernel only reads the list, and its tail.
//! - Whoever has a buffer, and each operation with the group, holds a reference to the `BufRing`. With the
//!   last one the buffers are freed, whichever thread that is on: nothing writes to them any more, since
//!   only an operation has the kernel look at a list. The list itself, 16 bytes for each buffer, is the
//!   ring's as well ([`Known`]), until it has forgotten the group.
//!
//! # Safety
//!
//! Entries of the list are written behind the tail only, under a lock, and the tail is moved on after
//! that. A buffer is looked at by whoever has got it, and nobody else until he gives it back.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU16, Ordering::Release};
use std::sync::{Arc, Weak};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::loom::sync::Mutex;

/// What the kernel reads.
#[derive(Debug)]
struct List {
    group: u16,
    count: u16,
    /// `count` entries; the tail lies in an unused part of the first.
    entries: NonNull<BufRingEntry>,
}

// SAFETY: see the module docs.
unsafe impl Send for List {}
// SAFETY: see the module docs.
unsafe impl Sync for List {}

/// See the module docs.
#[derive(Debug)]
pub(crate) struct BufRing {
    list: Arc<List>,
    size: usize,
    /// `count` buffers of `size` bytes.
    memory: NonNull<u8>,
    tail: Mutex<u16>,
}

/// A group that a ring knows.
#[derive(Debug)]
pub(super) struct Known {
    list: Arc<List>,
    bufs: Weak<BufRing>,
}

// SAFETY: see the module docs.
unsafe impl Send for BufRing {}
// SAFETY: see the module docs.
unsafe impl Sync for BufRing {}

const PAGE: usize = 4096;

fn list_layout(count: u16) -> Layout {
    layout(usize::from(count) * size_of::<BufRingEntry>(), PAGE)
}

fn memory_layout(count: u16, size: usize) -> Layout {
    layout(usize::from(count) * size, 64)
}

fn layout(size: usize, align: usize) -> Layout {
    match Layout::from_size_align(size, align) {
        Ok(layout) => layout,
        Err(e) => panic!("{size} bytes of buffers: {e}"),
    }
}

fn allocate(layout: Layout) -> NonNull<u8> {
    assert!(layout.size() > 0, "no buffers");
    // SAFETY: the size is not zero.
    NonNull::new(unsafe { alloc_zeroed(layout) }).unwrap_or_else(|| handle_alloc_error(layout))
}

impl BufRing {
    /// `count` buffers (a power of two, 32,768 at most) of `size` bytes, all on the list.
    pub(crate) fn new(group: u16, count: u16, size: usize) -> BufRing {
        assert!(count.is_power_of_two() && size > 0);
        let ring = BufRing {
            list: Arc::new(List { group, count, entries: allocate(list_layout(count)).cast() }),
            size,
            memory: allocate(memory_layout(count, size)),
            tail: Mutex::new(0),
        };
        (0..count).for_each(|index| ring.give_back(index));
        ring
    }

    pub(crate) fn group(&self) -> u16 {
        self.list.group
    }

    /// How many buffers there are.
    pub(crate) fn count(&self) -> u16 {
        self.list.count
    }

    /// How many bytes a buffer has.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    fn at(&self, index: u16) -> *mut u8 {
        assert!(index < self.count(), "buffer {index} of {}", self.count());
        self.memory.as_ptr().wrapping_add(usize::from(index) * self.size)
    }

    /// Puts a buffer on the list.
    pub(crate) fn give_back(&self, index: u16) {
        let addr = self.at(index);
        let mut tail = self.tail.lock();
        let entry = usize::from(*tail & (self.count() - 1));
        // SAFETY: within the list, and behind its tail: there are `count` buffers, and this one is
        // not on it. The tail is in a field of the first entry that entries do not use.
        unsafe {
            let entry = &mut *self.list.entries.as_ptr().add(entry);
            entry.set_addr(addr.addr() as u64);
            entry.set_len(self.size as u32);
            entry.set_bid(index);
            *tail = tail.wrapping_add(1);
            let shared = BufRingEntry::tail(self.list.entries.as_ptr()).cast::<AtomicU16>();
            (*shared).store(*tail, Release);
        }
    }

    /// The first `len` bytes of a buffer.
    ///
    /// # Safety
    ///
    /// A completion gave it to the caller, and said so much was written to it; it was not given
    /// back.
    pub(crate) unsafe fn bytes(&self, index: u16, len: usize) -> &[u8] {
        assert!(len <= self.size, "received {len} bytes into room for {}", self.size);
        // SAFETY: the caller's promise; what was never written is zero.
        unsafe { std::slice::from_raw_parts(self.at(index), len) }
    }

    /// The same to write to.
    ///
    /// # Safety
    ///
    /// The same, and nobody else looks at it.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn bytes_mut(&self, index: u16, len: usize) -> &mut [u8] {
        assert!(len <= self.size, "received {len} bytes into room for {}", self.size);
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.at(index), len) }
    }

    /// Makes the group known to `ring`.
    pub(super) fn register(self: &Arc<BufRing>, ring: &IoUring) -> io::Result<Known> {
        let List { group, count, entries } = &*self.list;
        let list = entries.as_ptr().addr() as u64;
        // SAFETY: whoever registers it keeps it until the ring has forgotten it or is gone.
        unsafe { ring.submitter().register_buf_ring_with_flags(list, *count, *group, 0)? };
        Ok(Known { list: self.list.clone(), bufs: Arc::downgrade(self) })
    }
}

impl Known {
    /// The group, if that is its number and somebody has it.
    pub(super) fn get(&self, group: u16) -> Option<Arc<BufRing>> {
        if self.list.group == group { self.bufs.upgrade() } else { None }
    }

    /// Has somebody got it?
    pub(super) fn is_used(&self) -> bool {
        self.bufs.strong_count() > 0
    }

    /// Has `ring` forget the group.
    pub(super) fn unregister(&self, ring: &IoUring) -> io::Result<()> {
        ring.submitter().unregister_buf_ring(self.list.group)
    }
}

impl Drop for List {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.entries.as_ptr().cast(), list_layout(self.count)) };
    }
}

impl Drop for BufRing {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.memory.as_ptr(), memory_layout(self.count(), self.size)) };
    }
}

/// The buffer that a completion names.
pub(crate) fn selected(completion_flags: u32) -> Option<u16> {
    io_uring::cqueue::buffer_select(completion_flags)
}
