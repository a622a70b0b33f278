//! An open file.
//!
//! # Protocol
//!
//! - The descriptor is shared: the [`File`] has it, and each call on its way. It is closed with the
//!   last of them.
//! - What moves the cursor (reading, writing, seeking, `set_len`) goes through [`Inner`], which has
//!   at most one call on its way. Through `&mut self` it is reached directly, through `&self` under
//!   its lock.
//! - What does not (`metadata`, `set_permissions`) goes its own way, at any time.
//! - What must see all that was written (`sync_all`, `try_clone`, …) waits until nothing is on its
//!   way, and keeps the error of a write for the next write.

use super::{FileTimes, OpenOptions, op};
use crate::sys::file::About;
use crate::upstream::sync::Mutex;

mod buf;
pub(super) use buf::Buf;

mod fd;

mod inner;
use inner::Inner;

mod traits;

use std::fmt;
use std::fs::{File as StdFile, Metadata, Permissions};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// The most one call reads or writes, unless [`File::set_max_buf_size`] says otherwise.
const DEFAULT_MAX_BUF_SIZE: usize = 2 * 1024 * 1024;

/// An open file.
///
/// Bytes move with the methods of [`AsyncReadExt`](crate::io::AsyncReadExt),
/// [`AsyncWriteExt`](crate::io::AsyncWriteExt) and [`AsyncSeekExt`](crate::io::AsyncSeekExt), as far
/// as the file was opened for it.
///
/// # Writes and flush
///
/// A write copies its bytes, sends them off and succeeds at once. Call
/// [`flush`](crate::io::AsyncWriteExt::flush) to wait until they are with the kernel, and
/// [`sync_all`](Self::sync_all) until they are on the disk. If the write fails, the next write or
/// flush reports it, whatever happens in between.
///
/// Calls are made one after the other, in the order of their beginning.
///
/// # Dropping
///
/// A write that was begun is finished even if the file, or the whole runtime, is dropped. The
/// descriptor is closed after that, so flush first where it has to be closed when `drop` returns.
///
/// # Cancel safety
///
/// No byte is lost or read twice if the future of a read is dropped: a later read gets what has
/// arrived, and before a later write or seek the cursor goes back to where the last byte was handed
/// out. A write whose future was dropped before it was ready wrote nothing.
///
/// # Examples
///
/// ```no_run
/// use tokio::fs::File;
/// use tokio::io::{AsyncReadExt, AsyncWriteExt};
///
/// # async fn example() -> std::io::Result<()> {
/// let mut old = File::open("notes.txt").await?;
/// let mut notes = String::new();
/// old.read_to_string(&mut notes).await?;
///
/// let mut new = File::create("notes.bak").await?;
/// new.write_all(notes.as_bytes()).await?;
/// new.flush().await?;
/// # Ok(())
/// # }
/// ```
pub struct File {
    std: Arc<StdFile>,
    about: About,
    inner: Mutex<Inner>,
    max_buf_size: usize,
}

impl File {
    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// The path does not exist or may not be read.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    pub async fn open(path: impl AsRef<Path>) -> io::Result<File> {
        File::options().read(true).open(path).await
    }

    /// Opens a file for writing. What it contained is discarded; if it does not exist, it is
    /// created.
    ///
    /// # Errors
    ///
    /// The path is a directory, its parent does not exist, or it may not be written.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    pub async fn create(path: impl AsRef<Path>) -> io::Result<File> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        options.open(path).await
    }

    /// Creates a file and opens it for reading and writing. There must be none of that name, not
    /// even a dangling symbolic link: looking and creating are one step.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if there is one, and those of
    /// [`create`](Self::create).
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    pub async fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        let mut options = File::options();
        options.read(true).write(true).create_new(true);
        options.open(path).await
    }

    /// Options to open a file with, as [`OpenOptions::new`] returns them.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// let log = tokio::fs::File::options().append(true).open("app.log").await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Takes over a file of the standard library. Reads and writes begin at its cursor.
    ///
    /// This needs no runtime.
    pub fn from_std(std: StdFile) -> File {
        File {
            std: Arc::new(std),
            about: About::default(),
            inner: Mutex::new(Inner::default()),
            max_buf_size: DEFAULT_MAX_BUF_SIZE,
        }
    }

    /// Waits until the contents and the metadata are on the disk, everything written so far
    /// included.
    ///
    /// # Errors
    ///
    /// That of the device. The error of an earlier write is not reported here but by the next write
    /// or flush.
    pub async fn sync_all(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().await;
        inner.settle().await;
        op::file::sync_all(&self.std).await
    }

    /// Waits until the contents are on the disk, with only the metadata it takes to read them. Else
    /// like [`sync_all`](Self::sync_all).
    ///
    /// # Errors
    ///
    /// Those of [`sync_all`](Self::sync_all).
    pub async fn sync_data(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().await;
        inner.settle().await;
        op::file::sync_data(&self.std).await
    }

    /// Cuts the file off at `size`, or fills it up to there with zeros. The cursor stays.
    ///
    /// # Errors
    ///
    /// The file was not opened for writing.
    pub async fn set_len(&self, size: u64) -> io::Result<()> {
        let mut inner = self.inner.lock().await;
        inner.settle().await;
        inner.set_len(&self.std, size).await
    }

    /// The metadata of the file. A write that is not flushed may show or not.
    ///
    /// # Errors
    ///
    /// That of `fstat`, which for an open file practically never happens.
    pub async fn metadata(&self) -> io::Result<Metadata> {
        op::file::metadata(&self.std).await
    }

    /// A second `File` for the same open file: both have one cursor. It gets the same
    /// [`max_buf_size`](Self::max_buf_size), but its buffer is its own.
    ///
    /// # Errors
    ///
    /// The process has no free descriptor.
    pub async fn try_clone(&self) -> io::Result<File> {
        let mut inner = self.inner.lock().await;
        inner.settle().await;
        inner.share_cursor();
        drop(inner);
        let std = op::file::try_clone(&self.std).await?;
        let mut file = File::from_std(std);
        file.max_buf_size = self.max_buf_size;
        Ok(file)
    }

    /// Gives the file back to the standard library, after what is on its way. The error of a write
    /// that was not flushed is lost, and so is what was read but not handed out.
    ///
    /// # Panics
    ///
    /// If a call that only needs `&self`, say [`metadata`](Self::metadata), was begun and its future
    /// dropped, and it is still running.
    pub async fn into_std(mut self) -> StdFile {
        self.inner.get_mut().settle().await;
        Arc::try_unwrap(self.std).expect("Arc::try_unwrap failed")
    }

    /// Gives the file back to the standard library, without waiting.
    ///
    /// # Errors
    ///
    /// Something is still on its way. The file is returned as it was.
    #[allow(clippy::result_large_err)] // nobody wants it in a box
    pub fn try_into_std(mut self) -> Result<StdFile, Self> {
        match Arc::try_unwrap(self.std) {
            Ok(std) => Ok(std),
            Err(shared) => {
                self.std = shared;
                Err(self)
            }
        }
    }

    /// Changes the permissions of the file.
    ///
    /// # Errors
    ///
    /// The process may not change it.
    pub async fn set_permissions(&self, perm: Permissions) -> io::Result<()> {
        op::file::set_permissions(&self.std, perm).await
    }

    /// Changes times of the file, after everything written so far: a write that was begun earlier
    /// does not set them again.
    ///
    /// # Errors
    ///
    /// The process may not change the file, or the file system cannot store such a time.
    pub async fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.inner.lock().await.settle().await;
        op::file::set_times(&self.std, times.to_std()).await
    }

    /// Changes the time of the last change of the contents. Short for
    /// [`set_times`](Self::set_times).
    ///
    /// # Errors
    ///
    /// Those of [`set_times`](Self::set_times).
    pub async fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time)).await
    }

    /// Sets the most that one call to the kernel reads or writes, and with it how large the buffer
    /// can get. It is 2 MiB at first.
    ///
    /// A larger buffer makes large transfers faster. Memory the buffer has already is not returned.
    ///
    /// # Panics
    ///
    /// If `max_buf_size` is 0.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// let mut file = tokio::fs::File::open("video.mkv").await?;
    /// file.set_max_buf_size(8 * 1024 * 1024);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn set_max_buf_size(&mut self, max_buf_size: usize) {
        assert!(max_buf_size > 0, "`max_buf_size` must be greater than 0");
        self.max_buf_size = max_buf_size;
    }

    /// The most that one call to the kernel reads or writes.
    pub fn max_buf_size(&self) -> usize {
        self.max_buf_size
    }
}

impl File {
    /// A file just opened.
    pub(super) fn new(std: StdFile, about: About) -> File {
        File { inner: Mutex::new(Inner::of_new_file()), about, ..File::from_std(std) }
    }
}

impl From<StdFile> for File {
    fn from(std: StdFile) -> Self {
        File::from_std(std)
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("tokio::fs::File")
            .field("std", &self.std)
            .finish()
    }
}

#[cfg(feature = "uring-native")]
impl File {
    /// The open file, which calls on their way share, and what it is like.
    pub(crate) fn shared(&self) -> (&Arc<StdFile>, &About) {
        (&self.std, &self.about)
    }
}
