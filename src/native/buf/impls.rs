//! What can be a buffer.
//!
//! # Safety
//!
//! All of these keep their bytes on the heap or in static memory, so moving the value does not
//! move them.
#![allow(unsafe_code)]

use bytes::{Bytes, BytesMut};

use super::{IoBuf, IoBufMut};

// SAFETY: see the module docs.
unsafe impl IoBuf for Vec<u8> {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: see the module docs; a `Vec` owns its bytes alone.
unsafe impl IoBufMut for Vec<u8> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, pos: usize) {
        if self.len() < pos {
            // SAFETY: the caller vouches for the bytes and for the capacity.
            unsafe { self.set_len(pos) };
        }
    }
}

// SAFETY: see the module docs; `BytesMut` is `Vec`'s equal here.
unsafe impl IoBuf for BytesMut {
    fn stable_ptr(&self) -> *const u8 {
        self.as_ptr()
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        self.capacity()
    }
}

// SAFETY: see the module docs; what is shared of a `BytesMut` is not in the part it shows.
unsafe impl IoBufMut for BytesMut {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, pos: usize) {
        if self.len() < pos {
            // SAFETY: the caller vouches for the bytes and for the capacity.
            unsafe { self.set_len(pos) };
        }
    }
}

/// Buffers whose bytes are all initialised.
macro_rules! whole {
    ($([$($n:ident)?] $buf:ty, $why:literal;)*) => { $(
        #[doc = concat!("All of it: ", $why, ".")]
        // SAFETY: see the module docs.
        unsafe impl$(<const $n: usize>)? IoBuf for $buf {
            fn stable_ptr(&self) -> *const u8 {
                self.as_ptr()
            }

            fn bytes_init(&self) -> usize {
                self.len()
            }

            fn bytes_total(&self) -> usize {
                self.len()
            }
        }
    )* };
}

whole! {
    [] Box<[u8]>, "a boxed slice has no spare room";
    [N] Box<[u8; N]>, "a boxed array has no spare room";
    [] String, "the kernel only reads it";
    [] Bytes, "the kernel only reads it";
    [] &'static [u8], "the kernel only reads it";
    [] &'static str, "the kernel only reads it";
}

// SAFETY: see the module docs; a box owns its bytes alone.
unsafe impl IoBufMut for Box<[u8]> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, _: usize) {}
}

// SAFETY: see the module docs; a box owns its bytes alone.
unsafe impl<const N: usize> IoBufMut for Box<[u8; N]> {
    fn stable_mut_ptr(&mut self) -> *mut u8 {
        self.as_mut_ptr()
    }

    unsafe fn set_init(&mut self, _: usize) {}
}
