//! Memory that a ring knows for good: registered, or *fixed*, buffers.
//!
//! # Protocol
//!
//! - A [`Memory`] is one block. The kernel looks its pages up and pins them once, when the block is
//!   registered, and not with each operation. They count against `RLIMIT_MEMLOCK`, on each ring.
//! - A ring has a sparse [`Table`] of blocks (`IORING_REGISTER_BUFFERS2`, 5.19) from the first time on
//!   that one is to be registered; a block is entered there (`IORING_REGISTER_BUFFERS_UPDATE`, 5.13)
//!   under an index, which operations on any part of it name.
//! - A block that the kernel refuses is remembered, too, and not tried again with each operation, but
//!   once another one has been forgotten.
//! - The table holds a reference as long as the kernel knows the block, so it is not freed before.
//!   A block that nobody will use any more is *retired*: the ring forgets it when it is told to
//!   look ([`Table::sweep`]).
//!
//! # Safety
//!
//! A `Memory` is zeroed when made, and so initialised. It hands out its address only: who may touch
//! which part is its users' affair.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use io_uring::IoUring;

/// How many blocks a ring knows at most.
const ENTRIES: u16 = 64;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Memory {
    begin: NonNull<u8>,
    layout: Layout,
    is_retired: AtomicBool,
}

// SAFETY: see the module docs.
unsafe impl Send for Memory {}
// SAFETY: see the module docs.
unsafe impl Sync for Memory {}

impl Memory {
    /// The most that the kernel registers as one block.
    pub(crate) const MAX: usize = 1 << 30;

    /// `size` bytes, all zero, from the beginning of a page on.
    pub(crate) fn new(size: usize) -> Memory {
        const PAGE: usize = 4096;

        assert!(size > 0 && size <= Memory::MAX, "a block of {size} bytes");
        let layout = match Layout::from_size_align(size, PAGE) {
            Ok(layout) => layout,
            Err(e) => panic!("{size} bytes of buffers: {e}"),
        };
        // SAFETY: the size is not zero.
        let begin = unsafe { alloc_zeroed(layout) };
        let Some(begin) = NonNull::new(begin) else { handle_alloc_error(layout) };
        Memory { begin, layout, is_retired: AtomicBool::new(false) }
    }

    pub(crate) fn begin(&self) -> NonNull<u8> {
        self.begin
    }

    /// Nobody will use it any more: rings forget it when they look.
    pub(crate) fn retire(&self) {
        self.is_retired.store(true, Release);
    }

    fn is_retired(&self) -> bool {
        self.is_retired.load(Acquire)
    }

    fn iovec(&self) -> libc::iovec {
        libc::iovec { iov_base: self.begin.as_ptr().cast(), iov_len: self.layout.size() }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.begin.as_ptr(), self.layout) };
    }
}

/// The blocks that a ring knows, and those it could not be told of.
#[derive(Debug, Default)]
pub(super) struct Table {
    blocks: Vec<Known>,
    /// Does the kernel have a table?
    exists: bool,
}

#[derive(Debug)]
struct Known {
    memory: Arc<Memory>,
    /// `None` if it was refused.
    index: Option<u16>,
}

const NOTHING: libc::iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };

impl Table {
    /// What became of registering `memory`; `None` if that was not tried yet.
    pub(super) fn get(&self, memory: &Arc<Memory>) -> Option<Option<u16>> {
        self.blocks.iter().find(|known| Arc::ptr_eq(&known.memory, memory)).map(|known| known.index)
    }

    /// Registers `memory`, which was not tried yet; `None` if it is refused.
    pub(super) fn insert(&mut self, io: &IoUring, memory: &Arc<Memory>) -> Option<u16> {
        self.sweep(io);
        let is_free = |&index: &u16| self.blocks.iter().all(|known| known.index != Some(index));
        let index = (0..ENTRIES).find(is_free).filter(|&index| self.register(io, index, memory).is_ok());
        self.blocks.push(Known { memory: memory.clone(), index });
        index
    }

    fn register(&mut self, io: &IoUring, index: u16, memory: &Memory) -> io::Result<()> {
        if !self.exists {
            io.submitter().register_buffers_sparse(ENTRIES.into())?;
            self.exists = true;
        }
        set(io, index, memory.iovec())
    }

    /// Forgets what is retired.
    pub(super) fn sweep(&mut self, io: &IoUring) {
        let mut has_room = false;
        self.blocks.retain(|known| {
            if !known.memory.is_retired() {
                return true;
            }
            let Some(index) = known.index else { return false };
            // What the kernel does not forget stays.
            let is_forgotten = set(io, index, NOTHING).is_ok();
            has_room |= is_forgotten;
            !is_forgotten
        });
        if has_room {
            self.blocks.retain(|known| known.index.is_some());
        }
    }

    /// Forgets all of it; `false` if that cannot be.
    pub(super) fn clear(&mut self, io: &IoUring) -> bool {
        !self.exists || io.submitter().unregister_buffers().is_ok()
    }

    /// Has the kernel no table?
    pub(super) fn is_unused(&self) -> bool {
        !self.exists
    }
}

/// Makes `block` the one that the table has under `index`.
fn set(io: &IoUring, index: u16, block: libc::iovec) -> io::Result<()> {
    // SAFETY: a block's memory is there as long as the table has it.
    unsafe { io.submitter().register_buffers_update(index.into(), &[block], None) }
}
