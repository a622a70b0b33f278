//! Names in the file system, as operations of the ring.
//!
//! The functions take paths like those of [`fs`](crate::fs). For paths relative to a directory that
//! is open there is [`Dir`].
//!
//! Without its opcode each is a system call on the blocking pool. So are those that are too many: the
//! kernel carries such operations out on threads of its own, of which a ring has few, and whoever is stuck
//! there, on a dead server for one, holds the others up. Of each process two for each core are on rings.
//!
//! # Safety
//!
//! The structures here are the kernel's own, and plain numbers.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::action::{Change, Name, XattrOf};
use super::target::Target;
use super::{
    BoundedBuf, BoundedBufMut, DioAlign, GetXattr, Open, PathChange, Request, SetXattr, Statx, action,
};

/// A directory that relative paths begin at.
#[derive(Debug, Clone, Default)]
pub struct Dir(action::Dir);

impl Dir {
    /// The working directory.
    pub fn cwd() -> Dir {
        Dir::default()
    }

    /// Opens a directory to begin at.
    ///
    /// # Errors
    ///
    /// Those of `openat2(2)`.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    pub async fn open_dir(&self, path: impl AsRef<Path>) -> io::Result<Dir> {
        let how = OpenHow::new().flags(libc::O_PATH | libc::O_DIRECTORY);
        let dir = self.open(path, how).await?;
        Ok(Dir(action::Dir(Some(dir.shared().0.clone()))))
    }

    /// See [`open`](open()).
    pub fn open(&self, path: impl AsRef<Path>, how: OpenHow) -> Request<'static, Open> {
        Request::new(Open::new(self.0.clone(), Name::new(path.as_ref()), how), Target::Blocking)
    }

    /// See [`statx`](statx()); `flags` are `AT_*`.
    pub fn statx(&self, path: impl AsRef<Path>, flags: i32, mask: u32) -> Request<'static, Statx> {
        Request::new(Statx::new(self.0.clone(), Name::new(path.as_ref()), flags, mask), Target::Blocking)
    }

    fn change(&self, path: impl AsRef<Path>, change: Change) -> Request<'static, PathChange> {
        Request::new(PathChange::new(self.0.clone(), Name::new(path.as_ref()), change), Target::Blocking)
    }

    /// See [`rename`]; the new name begins at `to_dir`.
    pub fn rename(
        &self,
        from: impl AsRef<Path>,
        to_dir: &Dir,
        to: impl AsRef<Path>,
        flags: u32,
    ) -> Request<'static, PathChange> {
        self.change(from, Change::Rename { to_dir: to_dir.0.clone(), to: Name::new(to.as_ref()), flags })
    }

    /// See [`unlink`].
    pub fn unlink(&self, path: impl AsRef<Path>) -> Request<'static, PathChange> {
        self.change(path, Change::Unlink { flags: 0 })
    }

    /// See [`rmdir`].
    pub fn rmdir(&self, path: impl AsRef<Path>) -> Request<'static, PathChange> {
        self.change(path, Change::Unlink { flags: libc::AT_REMOVEDIR })
    }

    /// See [`mkdir`].
    pub fn mkdir(&self, path: impl AsRef<Path>, mode: u32) -> Request<'static, PathChange> {
        self.change(path, Change::Mkdir { mode })
    }

    /// See [`link`]; the new name begins at `to_dir`, and `flags` are `AT_*`.
    pub fn link(
        &self,
        from: impl AsRef<Path>,
        to_dir: &Dir,
        to: impl AsRef<Path>,
        flags: i32,
    ) -> Request<'static, PathChange> {
        self.change(from, Change::Link { to_dir: to_dir.0.clone(), to: Name::new(to.as_ref()), flags })
    }

    /// See [`symlink`].
    pub fn symlink(&self, target: impl AsRef<Path>, path: impl AsRef<Path>) -> Request<'static, PathChange> {
        self.change(path, Change::Symlink { target: Name::new(target.as_ref()) })
    }
}

/// Opens a file.
///
/// `IORING_OP_OPENAT2` (Linux 5.6), by a thread of the kernel (`IOSQE_ASYNC`): a try without waiting would
/// make the ring's thread wait for a server (FUSE, NFS), and let the other side of a FIFO go. Without it
/// `openat2(2)`.
///
/// # Errors
///
/// Those of `openat2(2)`.
///
/// # Panics
///
/// If it is polled outside of a runtime.
///
/// # Cancel safety
///
/// A file that a dropped future has opened is closed.
pub fn open(path: impl AsRef<Path>, how: OpenHow) -> Request<'static, Open> {
    Dir::cwd().open(path, how)
}

/// Asks about a file; `mask` (`STATX_*`) says what is wanted.
///
/// `IORING_OP_STATX` (Linux 5.6); without it `statx(2)`.
///
/// # Errors
///
/// Those of `statx(2)`.
pub fn statx(path: impl AsRef<Path>, mask: u32) -> Request<'static, Statx> {
    Dir::cwd().statx(path, 0, mask)
}

/// Gives a file another name; `flags` are 0 or `RENAME_*`.
///
/// `IORING_OP_RENAMEAT` (Linux 5.11); without it `renameat2(2)`.
///
/// # Errors
///
/// Those of `renameat2(2)`.
pub fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>, flags: u32) -> Request<'static, PathChange> {
    Dir::cwd().rename(from, &Dir::cwd(), to, flags)
}

/// Removes a name, and the file with its last one.
///
/// `IORING_OP_UNLINKAT` (Linux 5.11); without it `unlinkat(2)`.
///
/// # Errors
///
/// Those of `unlinkat(2)`.
pub fn unlink(path: impl AsRef<Path>) -> Request<'static, PathChange> {
    Dir::cwd().unlink(path)
}

/// Removes an empty directory.
///
/// `IORING_OP_UNLINKAT` with `AT_REMOVEDIR` (Linux 5.11); without it `unlinkat(2)`.
///
/// # Errors
///
/// Those of `unlinkat(2)`.
pub fn rmdir(path: impl AsRef<Path>) -> Request<'static, PathChange> {
    Dir::cwd().rmdir(path)
}

/// Creates a directory with these permissions, as far as the umask allows them.
///
/// `IORING_OP_MKDIRAT` (Linux 5.15); without it `mkdirat(2)`.
///
/// # Errors
///
/// Those of `mkdirat(2)`.
pub fn mkdir(path: impl AsRef<Path>, mode: u32) -> Request<'static, PathChange> {
    Dir::cwd().mkdir(path, mode)
}

/// Gives a file a second name.
///
/// `IORING_OP_LINKAT` (Linux 5.15); without it `linkat(2)`.
///
/// # Errors
///
/// Those of `linkat(2)`.
pub fn link(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Request<'static, PathChange> {
    Dir::cwd().link(from, &Dir::cwd(), to, 0)
}

/// Creates a symbolic link at `path` that says `target`.
///
/// `IORING_OP_SYMLINKAT` (Linux 5.15); without it `symlinkat(2)`.
///
/// # Errors
///
/// Those of `symlinkat(2)`.
pub fn symlink(target: impl AsRef<Path>, path: impl AsRef<Path>) -> Request<'static, PathChange> {
    Dir::cwd().symlink(target, path)
}

/// Reads an extended attribute; with no room at all the result is its length.
///
/// `IORING_OP_GETXATTR` (Linux 5.19); without it `getxattr(2)`.
///
/// # Errors
///
/// Those of `getxattr(2)`.
pub fn getxattr<B: BoundedBufMut>(
    path: impl AsRef<Path>,
    name: &str,
    value: B,
) -> Request<'static, GetXattr<B>> {
    let of = XattrOf::Path(Name::new(path.as_ref()));
    Request::new(GetXattr::new(of, Name::new(name), value), Target::Blocking)
}

/// Writes an extended attribute; `flags` are 0, `XATTR_CREATE` or `XATTR_REPLACE`.
///
/// `IORING_OP_SETXATTR` (Linux 5.19); without it `setxattr(2)`.
///
/// # Errors
///
/// Those of `setxattr(2)`.
pub fn setxattr<B: BoundedBuf>(
    path: impl AsRef<Path>,
    name: &str,
    value: B,
    flags: i32,
) -> Request<'static, SetXattr<B>> {
    let of = XattrOf::Path(Name::new(path.as_ref()));
    Request::new(SetXattr::new(of, Name::new(name), value, flags), Target::Blocking)
}

/// How a file is opened: see `openat2(2)`. Every file is close-on-exec.
#[derive(Clone, Copy)]
pub struct OpenHow(libc::open_how);

impl Default for OpenHow {
    fn default() -> OpenHow {
        OpenHow::new()
    }
}

impl fmt::Debug for OpenHow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenHow")
            .field("flags", &format_args!("{:#o}", self.0.flags))
            .field("mode", &format_args!("{:#o}", self.0.mode))
            .field("resolve", &format_args!("{:#x}", self.0.resolve))
            .finish()
    }
}

impl OpenHow {
    /// For reading.
    pub fn new() -> OpenHow {
        // SAFETY: all zero is a valid one.
        let mut how: libc::open_how = unsafe { std::mem::zeroed() };
        how.flags = libc::O_CLOEXEC as u64;
        OpenHow(how)
    }

    fn with(mut self, flags: i32) -> OpenHow {
        self.0.flags |= flags as u64;
        self
    }

    fn access(mut self, mode: i32) -> OpenHow {
        self.0.flags = self.0.flags & !(libc::O_ACCMODE as u64) | mode as u64;
        self
    }

    /// For writing only.
    pub fn write_only(self) -> OpenHow {
        self.access(libc::O_WRONLY)
    }

    /// For reading and writing.
    pub fn read_write(self) -> OpenHow {
        self.access(libc::O_RDWR)
    }

    /// Creates it, with these permissions as far as the umask allows them, if it does not exist.
    pub fn create(mut self, mode: u32) -> OpenHow {
        self.0.mode = mode.into();
        self.with(libc::O_CREAT)
    }

    /// The same; it must not exist.
    pub fn create_new(self, mode: u32) -> OpenHow {
        self.create(mode).with(libc::O_EXCL)
    }

    /// Discards what it contained.
    pub fn truncate(self) -> OpenHow {
        self.with(libc::O_TRUNC)
    }

    /// Every write goes to the end.
    pub fn append(self) -> OpenHow {
        self.with(libc::O_APPEND)
    }

    /// Past the page cache: see [`File`](super::File) on direct I/O.
    pub fn direct(self) -> OpenHow {
        self.with(libc::O_DIRECT)
    }

    /// More `O_*` flags.
    pub fn flags(self, flags: i32) -> OpenHow {
        self.with(flags)
    }

    /// How the path may be walked: `RESOLVE_*`.
    pub fn resolve(mut self, flags: u64) -> OpenHow {
        self.0.resolve |= flags;
        self
    }

    pub(super) fn as_kernel(&self) -> *const libc::open_how {
        &raw const self.0
    }
}

/// What `statx(2)` says of a file.
#[derive(Clone, Copy)]
pub struct Metadata(libc::statx);

impl Default for Metadata {
    fn default() -> Metadata {
        // SAFETY: all zero is a valid one, which says nothing.
        Metadata(unsafe { std::mem::zeroed() })
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metadata")
            .field("mask", &format_args!("{:#x}", self.0.stx_mask))
            .field("mode", &format_args!("{:#o}", self.mode()))
            .field("len", &self.len())
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

impl Metadata {
    pub(super) fn as_kernel(&mut self) -> *mut libc::statx {
        &raw mut self.0
    }

    /// The structure itself. What counts of it is in `stx_mask`.
    pub fn raw(&self) -> &libc::statx {
        &self.0
    }

    /// The file's length (`STATX_SIZE`).
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u64 {
        self.0.stx_size
    }

    /// Its type and permissions (`STATX_TYPE`, `STATX_MODE`).
    pub fn mode(&self) -> u32 {
        self.0.stx_mode.into()
    }

    /// Is it a regular file (`STATX_TYPE`)?
    pub fn is_file(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFREG
    }

    /// Is it a directory (`STATX_TYPE`)?
    pub fn is_dir(&self) -> bool {
        self.mode() & libc::S_IFMT == libc::S_IFDIR
    }

    /// When it was last modified (`STATX_MTIME`).
    pub fn modified(&self) -> SystemTime {
        let at = self.0.stx_mtime;
        let seconds = Duration::from_secs(at.tv_sec.unsigned_abs());
        let whole = if at.tv_sec < 0 { UNIX_EPOCH - seconds } else { UNIX_EPOCH + seconds };
        whole + Duration::from_nanos(at.tv_nsec.into())
    }

    /// What direct I/O wants to be aligned (`STATX_DIOALIGN`); `None` if there is no direct I/O, or
    /// if the file system does not say.
    pub fn dio_align(&self) -> Option<DioAlign> {
        let is_known = self.0.stx_mask & libc::STATX_DIOALIGN != 0 && self.0.stx_dio_offset_align != 0;
        is_known.then_some(DioAlign {
            memory: self.0.stx_dio_mem_align as usize,
            offset: self.0.stx_dio_offset_align as usize,
        })
    }
}

/// For whoever has a directory open already.
impl From<crate::fs::File> for Dir {
    fn from(dir: crate::fs::File) -> Dir {
        Dir(action::Dir(Some(Arc::clone(dir.shared().0))))
    }
}
