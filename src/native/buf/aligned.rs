//! Memory for direct I/O.
//!
//! # Safety
//!
//! An [`AlignedBuf`] owns one allocation of its layout, zeroed when made; all of it is
//! initialised, and only `len` of it is shown.
#![allow(unsafe_code)]

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::{IoBuf, IoBufMut, Room};

/// A buffer of fixed capacity that begins at a multiple of an alignment: what a file opened with
/// `O_DIRECT` wants.
///
/// [`File::dio_align`](crate::native::File::dio_align) says which alignment the file's device
/// asks for.
///
/// ```
/// use spargio::native::AlignedBuf;
///
/// let mut buf = AlignedBuf::new(4096, 512);
/// buf.extend_from_slice(b"a sector's worth");
/// assert_eq!(buf.as_ptr() as usize % 512, 0);
/// ```
pub struct AlignedBuf {
    room: Room,
    layout: Layout,
}

impl AlignedBuf {
    /// An empty buffer of `capacity` bytes, aligned to `align`.
    ///
    /// # Panics
    ///
    /// If `align` is no power of two, or `capacity` 0 or more than half of the address space.
    #[track_caller]
    pub fn new(capacity: usize, align: usize) -> AlignedBuf {
        assert!(capacity > 0, "a buffer of no bytes");
        let layout = match Layout::from_size_align(capacity, align) {
            Ok(layout) => layout,
            Err(e) => panic!("{capacity} bytes aligned to {align}: {e}"),
        };
        // SAFETY: the size is not zero.
        let ptr = unsafe { alloc_zeroed(layout) };
        let Some(ptr) = NonNull::new(ptr) else { handle_alloc_error(layout) };
        // SAFETY: it is zeroed, and this value's until it is dropped.
        AlignedBuf { room: unsafe { Room::new(ptr, capacity) }, layout }
    }

    /// How many bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.room.capacity()
    }

    /// What the beginning is aligned to.
    pub fn align(&self) -> usize {
        self.layout.align()
    }

    /// Changes how many bytes the buffer has. New ones are those it had before, or zero.
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

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.room
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.room
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.room.begin(), self.layout) };
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("align", &self.align())
            .finish()
    }
}

// SAFETY: the allocation stays where it is until the value is dropped.
unsafe impl IoBuf for AlignedBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.room.begin()
    }

    fn bytes_init(&self) -> usize {
        self.room.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: as above; it is the value's alone.
unsafe impl IoBufMut for AlignedBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.room.begin()
    }

    unsafe fn set_init(&mut self, pos: usize) {
        self.room.grow_to(pos);
    }
}
