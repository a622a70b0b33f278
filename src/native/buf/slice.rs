//! A part of a buffer, by value.
//!
//! # Safety
//!
//! A [`Slice`] keeps `begin <= end`, and shows the kernel no more than its buffer would.
#![allow(unsafe_code)]

use std::ops::{Bound, Deref, RangeBounds};

use super::{IoBuf, IoBufMut, initialised};

mod sealed {
    /// What is trusted to tell the truth about memory.
    pub trait Sealed {}

    impl<B: super::IoBuf> Sealed for B {}

    impl<B: super::IoBuf> Sealed for super::Slice<B> {}
}

/// A buffer or a part of one: what operations take.
///
/// Implemented for every [`IoBuf`], and for [`Slice`], and for nothing else: the kernel reads and writes
/// where it says. A buffer of your own is an [`IoBuf`], which is `unsafe` to promise.
///
/// ```compile_fail,E0277
/// use spargio::native::{BoundedBuf, Slice};
///
/// struct Anything(usize);
///
/// impl BoundedBuf for Anything {
///     type Buf = Vec<u8>;
///     fn slice(self, _: impl std::ops::RangeBounds<usize>) -> Slice<Vec<u8>> { unreachable!() }
///     fn slice_full(self) -> Slice<Vec<u8>> { unreachable!() }
///     fn get_buf(&self) -> &Vec<u8> { unreachable!() }
///     fn bounds(&self) -> (usize, usize) { (0, 16) }
///     fn from_buf_bounds(_: Vec<u8>, _: (usize, usize)) -> Self { unreachable!() }
///     fn stable_ptr(&self) -> *const u8 { self.0 as *const u8 }
///     fn bytes_init(&self) -> usize { 16 }
///     fn bytes_total(&self) -> usize { 16 }
/// }
/// ```
pub trait BoundedBuf: sealed::Sealed + Unpin + Send + 'static {
    /// The buffer as a whole.
    type Buf: IoBuf;

    /// The part of it that `range` says. An open end is the end of the *capacity*, so that a read
    /// fills what is not initialised yet; a write goes as far as the buffer is initialised.
    ///
    /// # Panics
    ///
    /// If the range ends before it begins, begins behind what is initialised, or ends behind the
    /// capacity.
    #[track_caller]
    fn slice(self, range: impl RangeBounds<usize>) -> Slice<Self::Buf>;

    /// All of it, as a slice.
    fn slice_full(self) -> Slice<Self::Buf>;

    /// The buffer as a whole.
    fn get_buf(&self) -> &Self::Buf;

    /// Where the part begins and ends.
    fn bounds(&self) -> (usize, usize);

    /// The part of `buf` with these bounds.
    fn from_buf_bounds(buf: Self::Buf, bounds: (usize, usize)) -> Self;

    /// Where the part begins in memory.
    fn stable_ptr(&self) -> *const u8;

    /// How many bytes of the part are initialised.
    fn bytes_init(&self) -> usize;

    /// How many bytes the part has.
    fn bytes_total(&self) -> usize;
}

/// A [`BoundedBuf`] that the kernel can write into: every [`IoBufMut`], and [`Slice`]s of them.
pub trait BoundedBufMut: BoundedBuf<Buf = <Self as BoundedBufMut>::BufMut> {
    /// The buffer as a whole.
    type BufMut: IoBufMut;

    /// Where the part begins in memory.
    fn stable_mut_ptr(&mut self) -> *mut u8;

    /// Says that the first `pos` bytes of the part are initialised.
    ///
    /// # Safety
    ///
    /// They must be, and `pos` must not exceed [`bytes_total`](BoundedBuf::bytes_total).
    unsafe fn set_init(&mut self, pos: usize);
}

impl<B: IoBuf> BoundedBuf for B {
    type Buf = B;

    fn slice(self, range: impl RangeBounds<usize>) -> Slice<B> {
        let (begin, end) = resolve(&range, IoBuf::bytes_total(&self));
        assert!(
            begin <= IoBuf::bytes_init(&self),
            "a slice that begins at {begin} of {} initialised bytes",
            IoBuf::bytes_init(&self)
        );
        Slice { buf: self, begin, end }
    }

    fn slice_full(self) -> Slice<B> {
        let end = IoBuf::bytes_total(&self);
        Slice { buf: self, begin: 0, end }
    }

    fn get_buf(&self) -> &B {
        self
    }

    fn bounds(&self) -> (usize, usize) {
        (0, IoBuf::bytes_total(self))
    }

    fn from_buf_bounds(buf: B, _: (usize, usize)) -> B {
        buf
    }

    fn stable_ptr(&self) -> *const u8 {
        IoBuf::stable_ptr(self)
    }

    fn bytes_init(&self) -> usize {
        IoBuf::bytes_init(self)
    }

    fn bytes_total(&self) -> usize {
        IoBuf::bytes_total(self)
    }
}

impl<B: IoBufMut> BoundedBufMut for B {
    type BufMut = B;

    fn stable_mut_ptr(&mut self) -> *mut u8 {
        IoBufMut::stable_mut_ptr(self)
    }

    unsafe fn set_init(&mut self, pos: usize) {
        // SAFETY: the caller promises the same.
        unsafe { IoBufMut::set_init(self, pos) }
    }
}

/// A part of a buffer that owns the whole. See [`BoundedBuf::slice`].
///
/// ```
/// use spargio::native::BoundedBuf;
///
/// let greeting = b"hello world".to_vec().slice(6..);
/// assert_eq!(&*greeting, b"world");
/// assert_eq!(greeting.into_inner(), b"hello world");
/// ```
#[derive(Debug, Clone)]
pub struct Slice<B> {
    buf: B,
    begin: usize,
    end: usize,
}

impl<B> Slice<B> {
    /// Where the part begins in the buffer.
    pub fn begin(&self) -> usize {
        self.begin
    }

    /// Where it ends.
    pub fn end(&self) -> usize {
        self.end
    }

    /// The buffer as a whole.
    pub fn get_ref(&self) -> &B {
        &self.buf
    }

    /// The buffer as a whole. If it shrinks, the slice shows less.
    pub fn get_mut(&mut self) -> &mut B {
        &mut self.buf
    }

    /// Gives the buffer back.
    pub fn into_inner(self) -> B {
        self.buf
    }
}

impl<B: IoBuf> Slice<B> {
    /// Where it ends now: the buffer may have been made smaller through `get_mut`.
    fn capped_end(&self) -> usize {
        self.end.min(self.buf.bytes_total()).max(self.begin)
    }

    fn is_in_bounds(&self) -> bool {
        self.begin <= self.buf.bytes_total()
    }
}

impl<B: IoBuf> Deref for Slice<B> {
    type Target = [u8];

    /// What is initialised of the part.
    fn deref(&self) -> &[u8] {
        let all = initialised(&self.buf);
        let end = self.capped_end().min(all.len());
        &all[self.begin.min(end)..end]
    }
}

impl<B: IoBuf> BoundedBuf for Slice<B> {
    type Buf = B;

    fn slice(self, range: impl RangeBounds<usize>) -> Slice<B> {
        let (begin, end) = resolve(&range, self.bytes_total());
        assert!(
            begin <= self.bytes_init(),
            "a slice that begins at {begin} of {} initialised bytes",
            self.bytes_init()
        );
        Slice { begin: self.begin + begin, end: self.begin + end, buf: self.buf }
    }

    fn slice_full(self) -> Slice<B> {
        self
    }

    fn get_buf(&self) -> &B {
        &self.buf
    }

    fn bounds(&self) -> (usize, usize) {
        (self.begin, self.end)
    }

    fn from_buf_bounds(buf: B, (begin, end): (usize, usize)) -> Slice<B> {
        assert!(begin <= end, "a slice that ends before it begins");
        Slice { buf, begin, end }
    }

    fn stable_ptr(&self) -> *const u8 {
        if self.is_in_bounds() {
            self.buf.stable_ptr().wrapping_add(self.begin)
        } else {
            // Shrunk below its beginning: there are no bytes here.
            self.buf.stable_ptr()
        }
    }

    fn bytes_init(&self) -> usize {
        self.len()
    }

    fn bytes_total(&self) -> usize {
        if self.is_in_bounds() { self.capped_end() - self.begin } else { 0 }
    }
}

impl<B: IoBufMut> BoundedBufMut for Slice<B> {
    type BufMut = B;

    fn stable_mut_ptr(&mut self) -> *mut u8 {
        if self.is_in_bounds() {
            self.buf.stable_mut_ptr().wrapping_add(self.begin)
        } else {
            self.buf.stable_mut_ptr()
        }
    }

    unsafe fn set_init(&mut self, pos: usize) {
        // A hole between what is initialised and the slice stays one: `slice` does not make such,
        // but `get_mut` can.
        if self.begin <= self.buf.bytes_init() {
            // SAFETY: the caller vouches for the part, and what comes before it is initialised.
            unsafe { self.buf.set_init(self.begin + pos) };
        }
    }
}

#[track_caller]
fn resolve(range: &impl RangeBounds<usize>, total: usize) -> (usize, usize) {
    let begin = match range.start_bound() {
        Bound::Included(&n) => n,
        Bound::Excluded(&n) => n + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&n) => n + 1,
        Bound::Excluded(&n) => n,
        Bound::Unbounded => total,
    };
    assert!(begin <= end, "a slice that begins at {begin} and ends at {end}");
    assert!(end <= total, "a slice that ends at {end} of {total} bytes");
    (begin, end)
}
