//! The buffer of a file.

use crate::io::ReadBuf;
use crate::sys;

use std::fmt;
use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::os::fd::AsRawFd;

/// Bytes that were read and not yet handed out, or that are on their way to be written.
///
/// It travels with each call that moves the cursor. Its memory is kept from call to call, and is
/// not zeroed before a read: a large buffer for a small file costs as much as what is read.
#[derive(Default)]
pub(in crate::fs) struct Buf {
    storage: Vec<u8>,
    /// How much of `storage` has been handed out, or is padding.
    pos: usize,
    /// How much at the front of it is for alignment only, and never changes.
    pad: usize,
}

impl Buf {
    pub(in crate::fs) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    fn bytes(&self) -> &[u8] {
        &self.storage[self.pos..]
    }

    pub(in crate::fs) fn clear(&mut self) {
        self.storage.truncate(self.pad);
        self.pos = self.pad;
    }

    /// Forgets what has not been handed out, and returns how much that was.
    pub(in crate::fs) fn discard(&mut self) -> i64 {
        let unread = self.bytes().len() as i64; // a `Vec` is no longer than `isize::MAX`
        self.clear();
        unread
    }

    /// Moves as much as fits to `dst`.
    pub(in crate::fs) fn copy_to(&mut self, dst: &mut ReadBuf<'_>) {
        let n = self.bytes().len().min(dst.remaining());
        dst.put_slice(&self.bytes()[..n]);
        self.pos += n;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Fills the buffer, which must be empty, with at most `max` bytes of `srcs`, and returns how
    /// many that are.
    pub(in crate::fs) fn copy_from(&mut self, srcs: &[IoSlice<'_>], max: usize) -> usize {
        assert!(self.is_empty());
        for src in srcs {
            let room = max - self.bytes().len();
            if room == 0 {
                break;
            }
            self.storage.extend_from_slice(&src[..src.len().min(room)]);
        }
        self.bytes().len()
    }

    /// Takes over bytes that belong before all others, of which there must be none.
    pub(in crate::fs) fn start_with(&mut self, bytes: &[u8]) {
        assert!(self.is_empty());
        self.clear();
        self.storage.extend_from_slice(bytes);
    }

    /// Appends one read of at most `max` bytes; returns how many there are then. Interrupted reads are
    /// repeated. What is there already is not lost to an error: the next read will say it.
    pub(in crate::fs) fn read_from(&mut self, file: &File, max: usize) -> io::Result<usize> {
        loop {
            match sys::io::read_vec(file.as_raw_fd(), &mut self.storage, max) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                result => return self.after_read(result.map(drop)),
            }
        }
    }

    /// See [`read_from`](Buf::read_from).
    pub(in crate::fs) fn after_read(&self, result: io::Result<()>) -> io::Result<usize> {
        match result {
            Err(e) if self.is_empty() => Err(e),
            Ok(()) | Err(_) => Ok(self.bytes().len()),
        }
    }

    /// Has up to `max` bytes begin at an address as `O_DIRECT` wants it. The buffer must be empty.
    pub(in crate::fs) fn align(&mut self, max: usize) {
        // A page is enough for all devices.
        const ALIGN: usize = 4096;
        assert!(self.is_empty());
        self.clear();
        let is_aligned = (self.storage.as_ptr().addr() + self.pad) % ALIGN == 0;
        if is_aligned && self.storage.capacity() - self.pad >= max {
            return;
        }
        self.storage.clear();
        self.storage.reserve(max.saturating_add(ALIGN - 1));
        self.pad = self.storage.as_ptr().align_offset(ALIGN).min(ALIGN - 1);
        self.storage.resize(self.pad, 0);
        self.pos = self.pad;
    }

    /// The memory, for a read that appends to it, and how much of it is padding. Nothing may have been handed
    /// out.
    pub(in crate::fs) fn into_storage(self) -> (Vec<u8>, usize) {
        assert_eq!(self.pos, self.pad);
        (self.storage, self.pad)
    }

    pub(in crate::fs) fn from_storage(storage: Vec<u8>, pad: usize) -> Buf {
        Buf { storage, pos: pad, pad }
    }

    /// Forgets the first `n` bytes, which have been written.
    pub(in crate::fs) fn skip(&mut self, n: usize) {
        self.pos += n;
    }

    pub(in crate::fs) fn unwritten(&self) -> &[u8] {
        self.bytes()
    }

    /// Writes everything. Interrupted writes are repeated.
    pub(in crate::fs) fn write_to(&self, mut file: &File) -> io::Result<()> {
        file.write_all(self.bytes())
    }
}

/// Shows what counts, not what has been handed out.
impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buf").field("bytes", &self.bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(buf: &mut Buf, n: usize) -> Vec<u8> {
        let mut storage = vec![0; n];
        let mut dst = ReadBuf::new(&mut storage);
        buf.copy_to(&mut dst);
        dst.filled().to_vec()
    }

    #[test]
    fn takes_at_most_the_limit_of_several_slices() {
        let srcs = [b"ab".as_slice(), b"", b"cde", b"f"].map(IoSlice::new);
        let mut buf = Buf::default();
        assert_eq!(buf.copy_from(&srcs, 4), 4);
        assert_eq!(buf.bytes(), b"abcd");
        buf.clear();
        assert_eq!(buf.copy_from(&srcs, 64), 6);
        assert_eq!(buf.bytes(), b"abcdef");
    }

    #[test]
    fn counts_what_it_discards() {
        let mut buf = Buf::default();
        buf.copy_from(&[IoSlice::new(b"abcdef")], 64);
        assert_eq!(take(&mut buf, 2), b"ab");
        assert_eq!(buf.discard(), 4);
        assert!(buf.is_empty());
        assert_eq!(buf.discard(), 0);
    }

    #[test]
    fn reads_no_more_than_the_limit_even_if_it_has_room() {
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(b"0123456789").unwrap();
        io::Seek::rewind(&mut &file).unwrap();

        let mut buf = Buf::default();
        assert_eq!(buf.read_from(&file, 6).unwrap(), 6);
        assert_eq!(take(&mut buf, 64), b"012345");
        assert_eq!(buf.read_from(&file, 2).unwrap(), 2);
        assert_eq!(take(&mut buf, 64), b"67");
        assert_eq!(buf.read_from(&file, 64).unwrap(), 2);
        assert_eq!(format!("{buf:?}"), "Buf { bytes: [56, 57] }");
        assert_eq!(take(&mut buf, 64), b"89");
        assert_eq!(buf.read_from(&file, 64).unwrap(), 0);
        assert!(buf.is_empty());
    }

    #[test]
    fn begins_at_a_page_where_that_is_wanted() {
        let file = tempfile::tempfile().unwrap();
        (&file).write_all(&[5; 20_000]).unwrap();
        io::Seek::rewind(&mut &file).unwrap();
        let mut buf = Buf::default();
        for max in [1, 4096, 10_000] {
            buf.align(max);
            assert_eq!(buf.read_from(&file, max).unwrap(), max);
            assert_eq!(buf.bytes().as_ptr().addr() % 4096, 0);
            assert_eq!(take(&mut buf, 20_000), vec![5; max]);
            buf.align(max);
            assert_eq!(buf.copy_from(&[IoSlice::new(&[6; 20_000])], max), max);
            assert_eq!(buf.bytes().as_ptr().addr() % 4096, 0);
            assert_eq!(buf.bytes(), vec![6; max]);
            assert_eq!(buf.discard(), max as i64);
        }
    }
}
