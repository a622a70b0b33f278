//! What is done to names in the file system.
//!
//! # Safety
//!
//! Paths are on the heap, or in a box the action owns, and do not move with it. Directories stay
//! open through `Arc`s. A descriptor that an open returns is nobody else's.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use super::accept::accepted;
use super::{Early, sealed};
use crate::native::fs::{Metadata, OpenHow};
use crate::sys::call::Call;

/// A path or another string as the kernel reads it.
#[derive(Debug)]
pub(crate) struct Name {
    text: CString,
    /// Had it no zero byte inside?
    is_valid: bool,
}

impl Name {
    pub(crate) fn new(text: impl AsRef<OsStr>) -> Name {
        match CString::new(text.as_ref().as_bytes()) {
            Ok(text) => Name { text, is_valid: true },
            Err(_) => Name { text: CString::default(), is_valid: false },
        }
    }

    pub(super) fn as_ptr(&self) -> *const libc::c_char {
        self.text.as_ptr()
    }
}

/// Sees to names that no file can have.
pub(super) fn check<'a>(names: impl IntoIterator<Item = &'a Name>) -> Early {
    if names.into_iter().all(|name| name.is_valid) {
        return Early::Attempt;
    }
    Early::Done(Err(io::Error::new(io::ErrorKind::InvalidInput, "a name with a zero byte inside")))
}

/// Where relative paths begin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dir(pub(crate) Option<Arc<File>>);

impl Dir {
    fn fd(&self) -> RawFd {
        self.0.as_ref().map_or(libc::AT_FDCWD, AsRawFd::as_raw_fd)
    }
}

/// Opens a file. See [`native::fs::open`](crate::native::fs::open).
#[derive(Debug)]
pub struct Open {
    dir: Dir,
    path: Name,
    how: Box<OpenHow>,
}

impl Open {
    pub(crate) fn new(dir: Dir, path: Name, how: OpenHow) -> Open {
        Open { dir, path, how: Box::new(how) }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Open {
    type Output = io::Result<crate::fs::File>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        Call::OpenAt2 { dir: self.dir.fd(), path: self.path.as_ptr(), how: self.how.as_kernel() }
    }

    fn early(&mut self) -> Early {
        check([&self.path])
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        Ok(accepted(result?).into())
    }
}

/// Asks about a file. See [`native::fs::statx`](crate::native::fs::statx).
#[derive(Debug)]
pub struct Statx {
    dir: Dir,
    path: Name,
    flags: i32,
    mask: u32,
    out: Box<Metadata>,
}

impl Statx {
    pub(crate) fn new(dir: Dir, path: Name, flags: i32, mask: u32) -> Statx {
        Statx { dir, path, flags, mask, out: Box::default() }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Statx {
    type Output = io::Result<Metadata>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        Call::Statx {
            dir: self.dir.fd(),
            path: self.path.as_ptr(),
            flags: self.flags,
            mask: self.mask,
            out: self.out.as_kernel(),
        }
    }

    fn early(&mut self) -> Early {
        check([&self.path])
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        result.map(|_| *self.out)
    }
}

/// Changes a name. See [`native::fs`](crate::native::fs).
#[derive(Debug)]
pub struct PathChange {
    dir: Dir,
    path: Name,
    change: Change,
}

#[derive(Debug)]
pub(crate) enum Change {
    Mkdir { mode: u32 },
    Unlink { flags: i32 },
    Rename { to_dir: Dir, to: Name, flags: u32 },
    Link { to_dir: Dir, to: Name, flags: i32 },
    Symlink { target: Name },
}

impl PathChange {
    pub(crate) fn new(dir: Dir, path: Name, change: Change) -> PathChange {
        PathChange { dir, path, change }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for PathChange {
    type Output = io::Result<()>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let (dir, path) = (self.dir.fd(), self.path.as_ptr());
        match &self.change {
            Change::Mkdir { mode } => Call::MkdirAt { dir, path, mode: *mode },
            Change::Unlink { flags } => Call::UnlinkAt { dir, path, flags: *flags },
            Change::Rename { to_dir, to, flags } => Call::RenameAt2 {
                from_dir: dir,
                from: path,
                to_dir: to_dir.fd(),
                to: to.as_ptr(),
                flags: *flags,
            },
            Change::Link { to_dir, to, flags } => Call::LinkAt {
                from_dir: dir,
                from: path,
                to_dir: to_dir.fd(),
                to: to.as_ptr(),
                flags: *flags,
            },
            Change::Symlink { target } => Call::SymlinkAt { target: target.as_ptr(), dir, path },
        }
    }

    fn early(&mut self) -> Early {
        match &self.change {
            Change::Mkdir { .. } | Change::Unlink { .. } => check([&self.path]),
            Change::Rename { to, .. } | Change::Link { to, .. } => check([&self.path, to]),
            Change::Symlink { target } => check([&self.path, target]),
        }
    }

    fn complete(self, result: io::Result<u32>) -> io::Result<()> {
        result.map(drop)
    }
}
