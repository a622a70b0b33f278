//! Memory of a fixed size that shows the part in use: what buffers of our own making have in common.
//!
//! # Safety
//!
//! Whoever makes a [`Room`] promises that its memory is the room's alone, initialised, and there for as
//! long as the room is used.
#![allow(unsafe_code)]

use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// See the module docs. What is in use begins at the beginning.
pub(in crate::native) struct Room {
    begin: NonNull<u8>,
    capacity: usize,
    len: usize,
}

// SAFETY: the memory is its own.
unsafe impl Send for Room {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for Room {}

impl Room {
    /// Nothing of it is in use.
    ///
    /// # Safety
    ///
    /// See the module docs.
    pub(in crate::native) unsafe fn new(begin: NonNull<u8>, capacity: usize) -> Room {
        Room { begin, capacity, len: 0 }
    }

    pub(in crate::native) fn begin(&self) -> *mut u8 {
        self.begin.as_ptr()
    }

    pub(in crate::native) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes how much is in use.
    #[track_caller]
    pub(in crate::native) fn set_len(&mut self, len: usize) {
        assert!(len <= self.capacity, "{len} bytes in a buffer of {}", self.capacity);
        self.len = len;
    }

    /// At least `len` bytes are in use.
    pub(in crate::native) fn grow_to(&mut self, len: usize) {
        debug_assert!(len <= self.capacity);
        self.len = self.len.max(len);
    }

    #[track_caller]
    pub(in crate::native) fn extend_from_slice(&mut self, bytes: &[u8]) {
        let begin = self.len;
        self.set_len(begin + bytes.len());
        self[begin..].copy_from_slice(bytes);
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` does not exceed the capacity; for the rest see the module docs.
        unsafe { std::slice::from_raw_parts(self.begin(), self.len) }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.begin(), self.len) }
    }
}
