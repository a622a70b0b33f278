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

use super::{IoBuf, IoBufMut};

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
    ptr: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: it owns its memory alone.
unsafe impl Send for AlignedBuf {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

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
        AlignedBuf { ptr, layout, len: 0 }
    }

    /// How many bytes there is room for.
    pub fn capacity(&self) -> usize {
        self.layout.size()
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
        assert!(len <= self.capacity(), "{len} bytes in a buffer of {}", self.capacity());
        self.len = len;
    }

    /// Appends `bytes`.
    ///
    /// # Panics
    ///
    /// If there is no room for them.
    #[track_caller]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let begin = self.len;
        self.set_len(begin + bytes.len());
        self[begin..].copy_from_slice(bytes);
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: all of the allocation is initialised, and `len` does not exceed it.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.ptr.as_ptr(), self.layout) };
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf")
            .field("len", &self.len)
            .field("capacity", &self.capacity())
            .field("align", &self.align())
            .finish()
    }
}

// SAFETY: the allocation stays where it is until the value is dropped.
unsafe impl IoBuf for AlignedBuf {
    fn stable_ptr(&self) -> *const u8 {
        self.ptr.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: as above; it is the value's alone.
unsafe impl IoBufMut for AlignedBuf {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    unsafe fn set_init(&mut self, pos: usize) {
        self.len = self.len.max(pos);
    }
}
