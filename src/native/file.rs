//! Open files.

use std::io;
use std::sync::Arc;

use super::action::{Control, Extent, What, XattrOf};
use super::fs::Metadata;
use super::target::Target;
use super::{
    BoundedBuf, BoundedBufMut, Fallocate, GetXattr, ReadAt, Readv, Request, SetXattr, Statx, WriteAt, Writev,
    action,
};
use crate::fs;
use crate::sys::file::About;

impl fs::File {
    /// Operations of the ring on this file.
    ///
    /// They go past the cursor of the file and what is buffered for it: after writing with
    /// [`AsyncWriteExt`](crate::io::AsyncWriteExt) [`flush`](crate::io::AsyncWriteExt::flush) first.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> File<'_> {
        let (file, about) = self.shared();
        File { file, about }
    }
}

/// Operations of the ring on an open file: [`fs::File::native`].
///
/// Offsets go up to `i64::MAX`; a larger one is refused with
/// [`InvalidInput`](io::ErrorKind::InvalidInput), as by `pread(2)`.
///
/// Any number may be on their way at once. Without its opcode each is a system call on the blocking
/// pool, and needs a runtime around.
///
/// # Direct I/O
///
/// A file opened with [`OpenHow::direct`](super::fs::OpenHow::direct) wants offsets, lengths and
/// memory aligned. [`dio_align`](Self::dio_align) says how, and
/// [`AlignedBuf`](super::AlignedBuf) is such memory.
///
/// # Registered buffers
///
/// Reads and writes with a buffer of a [`FixedBufPool`](super::FixedBufPool), or a slice of one, are
/// `IORING_OP_READ_FIXED` and `IORING_OP_WRITE_FIXED` (Linux 5.1) on rings that know the pool. The
/// result is the same.
#[derive(Debug, Clone, Copy)]
pub struct File<'a> {
    file: &'a Arc<std::fs::File>,
    about: &'a About,
}

/// What direct I/O wants to be aligned: see `STATX_DIOALIGN` in `statx(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DioAlign {
    /// Of buffers, in bytes.
    pub memory: usize,
    /// Of offsets and lengths, in bytes.
    pub offset: usize,
}

/// One that the kernel carries out on a thread of its own.
fn request<'a, A: action::Action>(action: A) -> Request<'a, A> {
    Request::new(action, Target::Blocking)
}

impl<'a> File<'a> {
    /// Reads into `buf`, from its beginning up to its capacity, what is at `offset`. The result says
    /// how many bytes; 0 is the end of the file, or no room.
    ///
    /// `IORING_OP_READ` (Linux 5.6); without it `pread(2)`.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`.
    pub fn read_at<B: BoundedBufMut>(self, buf: B, offset: u64) -> Request<'a, ReadAt<B>> {
        self.bytes(false, ReadAt::new(self.file, buf, offset, Extent::Once))
    }

    /// Reads until `buf` is full, up to its capacity; the result is that capacity.
    ///
    /// `IORING_OP_READ` (Linux 5.6), time and again; without it `pread(2)`.
    ///
    /// # Errors
    ///
    /// Those of `pread(2)`, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the file ends
    /// before: then the buffer has what there was.
    pub fn read_exact_at<B: BoundedBufMut>(self, buf: B, offset: u64) -> Request<'a, ReadAt<B>> {
        self.bytes(false, ReadAt::new(self.file, buf, offset, Extent::All))
    }

    /// Reads into several buffers, one after the other.
    ///
    /// `IORING_OP_READV` (Linux 5.1); without it `preadv(2)`.
    ///
    /// # Errors
    ///
    /// Those of `preadv(2)`.
    pub fn readv<B: BoundedBufMut>(self, bufs: Vec<B>, offset: u64) -> Request<'a, Readv<B>> {
        self.bytes(false, Readv::new(self.file, bufs, offset))
    }

    /// Writes what is initialised of `buf`, or a part of it, to `offset`; the result says how much.
    ///
    /// `IORING_OP_WRITE` (Linux 5.6); without it `pwrite(2)`.
    ///
    /// # Errors
    ///
    /// Those of `pwrite(2)`.
    pub fn write_at<B: BoundedBuf>(self, buf: B, offset: u64) -> Request<'a, WriteAt<B>> {
        self.bytes(true, WriteAt::new(self.file, buf, offset, Extent::Once))
    }

    /// Writes all that is initialised of `buf`; the result is how much that was.
    ///
    /// `IORING_OP_WRITE` (Linux 5.6), time and again; without it `pwrite(2)`.
    ///
    /// # Errors
    ///
    /// Those of `pwrite(2)`.
    pub fn write_all_at<B: BoundedBuf>(self, buf: B, offset: u64) -> Request<'a, WriteAt<B>> {
        self.bytes(true, WriteAt::new(self.file, buf, offset, Extent::All))
    }

    /// Writes from several buffers, one after the other; the result says how much.
    ///
    /// `IORING_OP_WRITEV` (Linux 5.1); without it `pwritev(2)`.
    ///
    /// # Errors
    ///
    /// Those of `pwritev(2)`.
    pub fn writev<B: BoundedBuf>(self, bufs: Vec<B>, offset: u64) -> Request<'a, Writev<B>> {
        self.bytes(true, Writev::new(self.file, bufs, offset))
    }

    /// Waits until all that was written is on the disk, and what the file system knows of it.
    ///
    /// `IORING_OP_FSYNC` (Linux 5.1); without it `fsync(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`.
    pub fn fsync(self) -> Request<'a, Control> {
        request(Control::new(self.file, What::Sync { data_only: false }))
    }

    /// The same, without what is not needed to read the data again.
    ///
    /// `IORING_OP_FSYNC` with `IORING_FSYNC_DATASYNC` (Linux 5.1); without it `fdatasync(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fdatasync(2)`.
    pub fn fdatasync(self) -> Request<'a, Control> {
        request(Control::new(self.file, What::Sync { data_only: true }))
    }

    /// Starts or waits for writing a range to the disk, as `flags` (`SYNC_FILE_RANGE_*`) say; a
    /// `len` of 0 goes to the end of the file.
    ///
    /// `IORING_OP_SYNC_FILE_RANGE` (Linux 5.2); without it `sync_file_range(2)`.
    ///
    /// # Errors
    ///
    /// Those of `sync_file_range(2)`.
    pub fn sync_file_range(self, offset: u64, len: u32, flags: u32) -> Request<'a, Control> {
        request(Control::new(self.file, What::SyncRange { offset, len, flags }))
    }

    /// Sets the file's length.
    ///
    /// `IORING_OP_FTRUNCATE` (Linux 6.9); without it `ftruncate(2)`.
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`.
    pub fn ftruncate(self, len: u64) -> Request<'a, Control> {
        request(Control::new(self.file, What::Truncate { len }))
    }

    /// Says what a range will be used for (`POSIX_FADV_*`); a `len` of 0 goes to the end.
    ///
    /// `IORING_OP_FADVISE` (Linux 5.6); without it `posix_fadvise(2)`.
    ///
    /// # Errors
    ///
    /// Those of `posix_fadvise(2)`.
    pub fn fadvise(self, offset: u64, len: u32, advice: i32) -> Request<'a, Control> {
        request(Control::new(self.file, What::Advise { offset, len, advice }))
    }

    /// Provides for room on the disk, or does away with it, as `mode` (`FALLOC_FL_*`, or 0) says.
    ///
    /// `IORING_OP_FALLOCATE` (Linux 5.6); without it `fallocate(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`.
    pub fn fallocate(self, mode: i32, offset: u64, len: u64) -> Request<'a, Fallocate> {
        request(Fallocate::new(self.file, mode, offset, len))
    }

    /// Asks about the file: `mask` (`STATX_*`) says what is wanted.
    ///
    /// `IORING_OP_STATX` (Linux 5.6); without it `statx(2)`.
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub fn statx(self, mask: u32) -> Request<'a, Statx> {
        let dir = action::Dir(Some(self.file.clone()));
        request(Statx::new(dir, action::Name::new(""), libc::AT_EMPTY_PATH, mask))
    }

    /// What direct I/O on this file wants to be aligned; `None` if there is none, or if the file
    /// system does not say.
    ///
    /// `STATX_DIOALIGN` (Linux 6.1).
    ///
    /// # Errors
    ///
    /// Those of `statx(2)`.
    pub async fn dio_align(self) -> io::Result<Option<DioAlign>> {
        self.statx(libc::STATX_DIOALIGN).await.map(|about: Metadata| about.dio_align())
    }

    /// Reads an extended attribute; with no room at all the result is its length.
    ///
    /// `IORING_OP_FGETXATTR` (Linux 5.19); without it `fgetxattr(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fgetxattr(2)`.
    pub fn getxattr<B: BoundedBufMut>(self, name: &str, value: B) -> Request<'a, GetXattr<B>> {
        request(GetXattr::new(XattrOf::File(self.file.clone()), action::Name::new(name), value))
    }

    /// Writes an extended attribute; `flags` are 0, `XATTR_CREATE` or `XATTR_REPLACE`.
    ///
    /// `IORING_OP_FSETXATTR` (Linux 5.19); without it `fsetxattr(2)`.
    ///
    /// # Errors
    ///
    /// Those of `fsetxattr(2)`.
    pub fn setxattr<B: BoundedBuf>(self, name: &str, value: B, flags: i32) -> Request<'a, SetXattr<B>> {
        request(SetXattr::new(XattrOf::File(self.file.clone()), action::Name::new(name), value, flags))
    }

    fn bytes<A: action::Action>(self, writes: bool, action: A) -> Request<'a, A> {
        Request::new(action, Target::Bytes { file: self.file, about: self.about, writes })
    }

    pub(crate) fn shared(self) -> &'a Arc<std::fs::File> {
        self.file
    }
}
