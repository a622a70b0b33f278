//! Buffers that rings know for good.
//!
//! # Protocol
//!
//! - A pool's buffers are parts of one block, which [`FixedMemory`] has registered with each ring
//!   where an operation with one of them is submitted. So a ring's table has one entry a pool.
//! - A [`FixedBuf`] has its part alone, from [`FixedBufPool::try_next`] until it is dropped. An
//!   operation owns it, and it owns the pool: the block goes with the last of them.
//! - For each buffer at hand there is a permit of the semaphore, given back after the buffer; so
//!   whoever has a permit finds a buffer.
//!
//! # Safety
//!
//! Parts do not overlap, and the block is initialised from the start.
#![allow(unsafe_code)]

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use upstream::sync::{Semaphore, SemaphorePermit};

use super::buf::{IoBuf, IoBufMut, Room};
use crate::driver::FixedMemory;

/// A pool of *registered* (fixed) buffers: the kernel looks up and pins their memory once, and not
/// with each operation. Cheap to clone.
///
/// There is nothing else to do than to use its buffers. These operations profit from them; all
/// others take them like any buffer:
///
/// | operation | is, with a [`FixedBuf`] or a slice of one |
/// |---|---|
/// | [`File::read_at`](super::File::read_at), [`read_exact_at`](super::File::read_exact_at); [`PipeReader::read`](super::PipeReader::read), [`Fd::read`](super::Fd::read) | `IORING_OP_READ_FIXED` (Linux 5.1) |
/// | [`File::write_at`](super::File::write_at), [`write_all_at`](super::File::write_all_at); [`PipeWriter::write`](super::PipeWriter::write), [`write_all`](super::PipeWriter::write_all), the same of [`Fd`](super::Fd) | `IORING_OP_WRITE_FIXED` (5.1) |
/// | [`Stream::send_zc`](super::Stream::send_zc) | `IORING_OP_SEND_ZC` with `IORING_RECVSEND_FIXED_BUF` (6.0) |
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// use tokio::fs::File;
/// use tokio::native::FixedBufPool;
///
/// let pool = FixedBufPool::new(64, 4096);
/// let file = File::open("/proc/self/comm").await?;
/// let (read, buf) = file.native().read_at(pool.next().await, 0).await;
/// assert_eq!(read?, buf.len());
/// # Ok(())
/// # }
/// ```
///
/// # Which rings know it
///
/// The whole pool is registered with a ring when the first such operation is submitted there
/// (`IORING_REGISTER_BUFFERS2`, `IORING_REGISTER_BUFFERS_UPDATE`), on every worker's ring that
/// needs it, and forgotten by all of them when the pool and its last buffer are gone. That first
/// operation waits until the kernel has pinned the memory. A ring knows 64 pools at most.
///
/// On each ring the pool's memory counts against `RLIMIT_MEMLOCK` (not for processes with
/// `CAP_IPC_LOCK`). Where a ring cannot know the pool, for lack of that or since there are too many,
/// and without a ring, the operation is done as with any other buffer, with the same result.
/// [`ShardStats::in_flight`](crate::shard::ShardStats::in_flight) shows which opcodes are used.
#[derive(Clone)]
pub struct FixedBufPool(Arc<Inner>);

struct Inner {
    memory: FixedMemory,
    count: usize,
    size: usize,
    /// From the beginning of one buffer to that of the next.
    stride: usize,
    /// The buffers at hand; the last one given back is the first to be taken again.
    free: Mutex<Vec<usize>>,
    permits: Semaphore,
}

impl FixedBufPool {
    /// `count` buffers of `size` bytes each, all zero.
    ///
    /// The first begins at a page, each other one at a multiple of 64 bytes: at a page, too, if
    /// `size` is a multiple of 4,096, as direct I/O may want it.
    ///
    /// # Panics
    ///
    /// If `count` or `size` is zero, or if it is more than 1 GiB in all, which is the most that the
    /// kernel registers as one.
    #[track_caller]
    pub fn new(count: usize, size: usize) -> FixedBufPool {
        const CACHE_LINE: usize = 64;

        assert!(count > 0 && size > 0, "{count} buffers of {size} bytes");
        let stride = size.checked_next_multiple_of(CACHE_LINE);
        let total = stride.and_then(|stride| stride.checked_mul(count));
        let Some((stride, total)) = stride.zip(total).filter(|&(_, total)| total <= FixedMemory::MAX) else {
            panic!("{count} buffers of {size} bytes are more than 1 GiB")
        };
        FixedBufPool(Arc::new(Inner {
            memory: FixedMemory::new(total),
            count,
            size,
            stride,
            free: Mutex::new((0..count).rev().collect()),
            permits: Semaphore::new(count),
        }))
    }

    /// How many buffers there are.
    pub fn count(&self) -> usize {
        self.0.count
    }

    /// How many bytes a buffer has.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// A buffer; `None` if none is at hand, or others wait for those that are.
    pub fn try_next(&self) -> Option<FixedBuf> {
        self.0.permits.try_acquire().ok().map(|permit| self.take(permit))
    }

    /// A buffer, once there is one. Who waits longest is served first.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no buffer, and gives up the place in the queue.
    pub async fn next(&self) -> FixedBuf {
        match self.0.permits.acquire().await {
            Ok(permit) => self.take(permit),
            Err(_) => unreachable!("it is never closed"),
        }
    }

    fn take(&self, permit: SemaphorePermit<'_>) -> FixedBuf {
        permit.forget();
        match self.0.free().pop() {
            Some(index) => {
                let Inner { memory, stride, size, .. } = &*self.0;
                // SAFETY: the part is within the block, which the buffer keeps by way of the pool; it is
                // initialised, and this buffer's until it gives the index back.
                let room = unsafe { Room::new(memory.begin().add(index * stride), *size) };
                FixedBuf { pool: self.clone(), index, room }
            }
            None => unreachable!("there was a permit for it"),
        }
    }
}

impl Inner {
    fn free(&self) -> MutexGuard<'_, Vec<usize>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for FixedBufPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBufPool").field("count", &self.count()).field("size", &self.size()).finish()
    }
}

/// A buffer of a [`FixedBufPool`], to which it goes back when it is dropped.
///
/// It is empty at first. Its memory is that of an earlier user: [`set_len`](Self::set_len) shows
/// what he has left there.
pub struct FixedBuf {
    pool: FixedBufPool,
    index: usize,
    room: Room,
}

impl FixedBuf {
    /// How many bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.room.capacity()
    }

    /// Changes how many bytes the buffer has. New ones are whatever was there before.
    ///
    /// # Panics
    ///
    /// If that is more than the capacity.
    #[track_caller]
    pub fn set_len(&mut self, len: usize) {
        self.room.set_len(len);
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.room.extend_from_slice(bytes);
    }
}

impl Deref for FixedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.room
    }
}

impl DerefMut for FixedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.room
    }
}

impl Drop for FixedBuf {
    fn drop(&mut self) {
        self.pool.0.free().push(self.index);
        self.pool.0.permits.add_permits(1);
    }
}

impl fmt::Debug for FixedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FixedBuf").field("len", &self.len()).field("capacity", &self.capacity()).finish()
    }
}

// SAFETY: the block stays where it is as long as the pool lives, and this part of it is the value's.
unsafe impl IoBuf for FixedBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.room.begin()
    }

    fn bytes_init(&self) -> usize {
        self.room.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }

    #[allow(private_interfaces)]
    fn fixed(&self) -> Option<&FixedMemory> {
        Some(&self.pool.0.memory)
    }
}

// SAFETY: as above, the value's alone.
unsafe impl IoBufMut for FixedBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.room.begin()
    }

    unsafe fn set_init(&mut self, pos: usize) {
        self.room.grow_to(pos);
    }
}
