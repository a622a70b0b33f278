//! # Safety
//!
//! The bytes that are declared initialised are.
#![allow(unsafe_code)]

use super::*;

#[test]
fn a_vec_is_written_from_its_beginning() {
    let mut v = b"abcdef".to_vec();
    v.reserve(10);
    assert_eq!(fill(&mut v, b"xy"), 2);
    assert_eq!(v, b"xycdef");
    let mut v = Vec::with_capacity(4);
    assert_eq!(fill(&mut v, b"hello"), v.capacity().min(5));
    assert!(v.starts_with(b"hell"));
}

#[test]
fn a_slice_writes_behind_its_beginning() {
    let mut slice = b"abc".to_vec().slice(1..3);
    assert_eq!(fill(&mut slice, b"xyz"), 2);
    assert_eq!(slice.into_inner(), b"axy");

    let mut v = Vec::with_capacity(16);
    v.extend_from_slice(b"abc");
    let mut slice = v.slice(3..8);
    assert_eq!((slice.bytes_init(), slice.bytes_total()), (0, 5));
    assert_eq!(fill(&mut slice, b"123456"), 5);
    assert_eq!(slice.into_inner(), b"abc12345");
}

#[test]
fn a_slice_of_a_slice() {
    let slice = b"abcdef".to_vec().slice(1..5).slice(1..2);
    assert_eq!(&*slice, b"c");
    assert_eq!(slice.bounds(), (2, 3));
    let again = Slice::from_buf_bounds(slice.into_inner(), (2, 3));
    assert_eq!(&*again, b"c");
}

#[test]
fn a_buffer_that_shrank_under_its_slice() {
    let mut slice = b"abcdef".to_vec().slice(2..6);
    *slice.get_mut() = b"abc".to_vec();
    slice.get_mut().shrink_to_fit();
    assert_eq!(&*slice, b"c");
    *slice.get_mut() = Vec::new();
    assert_eq!((slice.bytes_init(), slice.bytes_total()), (0, 0));
    assert_eq!(fill(&mut slice, b"x"), 0);
}

#[test]
#[should_panic(expected = "a slice that ends at 9")]
fn a_slice_beyond_the_capacity() {
    let _ = Box::<[u8]>::from(&b"abc"[..]).slice(0..9);
}

#[test]
#[should_panic(expected = "a slice that begins at 4 of 3 initialised bytes")]
fn a_slice_with_a_hole_before_it() {
    let mut v = Vec::with_capacity(16);
    v.extend_from_slice(b"abc");
    let _ = v.slice(4..);
}

#[test]
#[should_panic(expected = "received 9 bytes into room for 8")]
fn a_count_above_the_room_is_refused() {
    let mut buf: Box<[u8]> = vec![0; 8].into();
    // SAFETY: nothing is written; the lie about the count is what is tested.
    unsafe { received(&mut buf, 9) };
}

#[test]
fn aligned_memory() {
    for align in [1, 512, 4096, 1 << 16] {
        let mut buf = AlignedBuf::new(2 * align, align);
        assert_eq!(IoBuf::stable_ptr(&buf).addr() % align, 0);
        assert_eq!((buf.capacity(), buf.len(), buf.align()), (2 * align, 0, align));
        fill(&mut buf, b"ab");
        assert_eq!(*buf, b"ab"[..2.min(2 * align)]);
        buf.set_len(2 * align);
        assert!(buf[2..].iter().all(|&b| b == 0));
    }
}
