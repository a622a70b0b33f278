//! What is in a directory.

use super::op;

use std::ffi::OsString;
use std::fs::{FileType, Metadata};
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::PathBuf;
use std::sync::Arc;

/// An entry of a directory, from [`ReadDir`](crate::fs::ReadDir).
#[derive(Debug)]
pub struct DirEntry {
    /// Most file systems tell it with the name.
    file_type: Option<FileType>,
    std: Arc<std::fs::DirEntry>,
}

impl DirEntry {
    /// Looks at the type of the file, which may block.
    pub(super) fn new(std: std::fs::DirEntry) -> DirEntry {
        DirEntry {
            file_type: std.file_type().ok(),
            std: Arc::new(std),
        }
    }

    /// The path of the file: that of the directory, as it was given to
    /// [`read_dir`](crate::fs::read_dir), and the file's name.
    pub fn path(&self) -> PathBuf {
        self.std.path()
    }

    /// The name of the file in its directory.
    pub fn file_name(&self) -> OsString {
        self.std.file_name()
    }

    /// The number of the file in its file system (`d_ino`).
    pub fn ino(&self) -> u64 {
        self.std.ino()
    }

    /// The metadata of the file. Of a symbolic link it is the link's own.
    ///
    /// # Errors
    ///
    /// The file is gone, or the process may not search the directory.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        op::path::entry_metadata(&self.std).await
    }

    /// The type of the file. A symbolic link is one, wherever it leads to.
    ///
    /// As a rule this is known already, and there is nothing to wait for.
    ///
    /// # Errors
    ///
    /// The type was not in the directory, and now the file is gone or the process may not look at
    /// it.
    pub async fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => op::path::entry_file_type(&self.std).await,
        }
    }
}
