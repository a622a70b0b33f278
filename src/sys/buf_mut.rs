//! Receiving into the spare capacity of a [`BufMut`].
//!
//! # Safety
//!
//! The closure passed to [`fill_buf_mut`] must hand its slice to exactly one
//! receiving system call and return that call's count: then the first `n`
//! bytes were written by the kernel and advancing over them is sound. All
//! callers are in this crate; a count larger than the slice is refused here.
#![allow(unsafe_code)]

use bytes::BufMut;
use std::io;
use std::mem::MaybeUninit;

/// Lets `receive` write into the next spare chunk of `buf`, then advances `buf`
/// by the count it returned. `T` carries whatever else the call reports (an
/// address, or `()`).
pub(crate) fn fill_buf_mut<B, T>(
    buf: &mut B,
    receive: impl FnOnce(&mut [MaybeUninit<u8>]) -> io::Result<(usize, T)>,
) -> io::Result<(usize, T)>
where
    B: BufMut + ?Sized,
{
    // SAFETY: the slice goes to a receiving system call only, which writes
    // bytes and never de-initialises any.
    let spare = unsafe { buf.chunk_mut().as_uninit_slice_mut() };
    let room = spare.len();
    let (n, rest) = receive(spare)?;
    assert!(n <= room, "received {n} bytes into a buffer of {room}");
    // SAFETY: the kernel initialised the first `n` bytes of that chunk.
    unsafe { buf.advance_mut(n) };
    Ok((n, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advances_by_the_count() {
        let mut buf = Vec::with_capacity(4);
        let got = fill_buf_mut(&mut buf, |spare| {
            spare[0].write(7);
            spare[1].write(9);
            Ok((2, ()))
        });
        assert_eq!(got.unwrap().0, 2);
        assert_eq!(buf, [7, 9]);
    }

    #[test]
    fn an_error_leaves_the_buffer_alone() {
        let mut buf = vec![1u8];
        let got = fill_buf_mut(&mut buf, |_| Err::<(usize, ()), _>(io::ErrorKind::WouldBlock.into()));
        assert!(got.is_err());
        assert_eq!(buf, [1]);
    }
}
