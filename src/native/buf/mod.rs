//! Buffers that an operation owns while the kernel works on them.
//!
//! # Protocol
//!
//! 1. A buffer is handed over by value. From then on its memory must not move or go away, though
//!    the value itself may be moved: [`IoBuf::stable_ptr`].
//! 2. The kernel reads the initialised part of an [`IoBuf`]; it writes into the whole capacity of
//!    an [`IoBufMut`], from its beginning.
//! 3. The operation checks the number of bytes that the kernel reports against the capacity, and
//!    only then calls [`IoBufMut::set_init`] (H50).
//! 4. The buffer comes back with the result: [`BufResult`].
//!
//! # Safety
//!
//! [`IoBuf`] and [`IoBufMut`] are unsafe to implement: step 1 is what the implementor promises.
//! `IoBufMut::set_init` is unsafe to call: step 3 is what the caller promises.
#![allow(unsafe_code)]

mod aligned;
pub use aligned::AlignedBuf;

mod impls;

mod room;
pub(super) use room::Room;

mod slice;
pub use slice::{BoundedBuf, BoundedBufMut, Slice};

use std::io;

use crate::driver::FixedMemory;

/// The result of an operation, and the buffer it worked on.
///
/// ```
/// # #[cfg(feature = "full")]
/// # {
/// use spargio::native::BufResult;
///
/// fn used((result, buf): BufResult<usize, Vec<u8>>) -> std::io::Result<Vec<u8>> {
///     let n = result?;
///     Ok(buf[..n].to_vec())
/// }
/// assert_eq!(used((Ok(2), b"abc".to_vec())).unwrap(), b"ab");
/// # }
/// ```
pub type BufResult<T, B> = (io::Result<T>, B);

/// A buffer that the kernel can read from.
///
/// Implemented for `Vec<u8>`, `Box<[u8]>`, `Box<[u8; N]>`, `String`, `&'static [u8]`,
/// `&'static str`, [`Bytes`](bytes::Bytes), [`BytesMut`](bytes::BytesMut), [`AlignedBuf`] and the
/// buffers of pools. A part of a buffer is a [`Slice`].
///
/// # Safety
///
/// The memory at [`stable_ptr`](Self::stable_ptr) must stay where it is, allocated and unchanged,
/// for as long as the value lives and nobody has a mutable reference to it: also while the value
/// is moved. `bytes_init` bytes of it must be initialised, `bytes_total` allocated.
pub unsafe trait IoBuf: Unpin + Send + 'static {
    /// Where the buffer begins.
    fn stable_ptr(&self) -> *const u8;

    /// How many bytes, from the beginning, are initialised.
    fn bytes_init(&self) -> usize;

    /// How many bytes there are, initialised or not.
    fn bytes_total(&self) -> usize;

    /// The memory it is a part of, if rings may know that.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn fixed(&self) -> Option<&FixedMemory> {
        None
    }
}

/// A buffer that the kernel can write into.
///
/// # Safety
///
/// As for [`IoBuf`]; and nobody else may look at the memory while the value lives.
pub unsafe trait IoBufMut: IoBuf {
    /// Where the buffer begins.
    fn stable_mut_ptr(&mut self) -> *mut u8;

    /// Says that the first `pos` bytes are initialised. A `Vec` grows to that length; a buffer
    /// that has more initialised bytes already keeps them.
    ///
    /// # Safety
    ///
    /// They must be, and `pos` must not exceed [`bytes_total`](IoBuf::bytes_total).
    unsafe fn set_init(&mut self, pos: usize);
}

/// The bytes that are initialised.
pub(crate) fn initialised<B: IoBuf>(buf: &B) -> &[u8] {
    // SAFETY: the implementor promises that they are there, and initialised.
    unsafe { std::slice::from_raw_parts(buf.stable_ptr(), buf.bytes_init()) }
}

/// Says that the kernel has written `n` bytes to the front of `buf`.
///
/// # Panics
///
/// If that is more than there is room for.
///
/// # Safety
///
/// It must have, if there is room for so many.
pub(crate) unsafe fn received<B: BoundedBufMut>(buf: &mut B, n: usize) {
    let room = buf.bytes_total();
    assert!(n <= room, "received {n} bytes into room for {room}");
    // SAFETY: the caller vouches for the bytes; the room was checked above.
    unsafe { buf.set_init(n) };
}

/// Copies as much of `src` as there is room for to the front of `buf`; returns how much.
pub(crate) fn fill<B: BoundedBufMut>(buf: &mut B, src: &[u8]) -> usize {
    let n = src.len().min(buf.bytes_total());
    // SAFETY: there is room for `n` bytes, nobody else looks at them, and `src` cannot be in there
    // since `buf` is borrowed mutably.
    unsafe {
        std::ptr::copy_nonoverlapping(src.as_ptr(), buf.stable_mut_ptr(), n);
        buf.set_init(n);
    }
    n
}

#[cfg(test)]
mod tests;
