//! Whole files at once.

use super::op;

mod owned;
pub(super) use owned::Contents;

use std::io;
use std::path::Path;

/// Reads a whole file.
///
/// For a file too large to have in memory, see [`File`](crate::fs::File).
///
/// # Errors
///
/// The path does not exist, is a directory, or the process may not read it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let bytes = tokio::fs::read("logo.png").await?;
/// # Ok(())
/// # }
/// ```
pub async fn read(path: impl AsRef<Path>) -> io::Result<Vec<u8>> {
    op::path::read(path.as_ref()).await
}

/// Reads a whole file, which must be UTF-8.
///
/// # Errors
///
/// Those of [`read()`], and [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let text = tokio::fs::read_to_string("README.md").await?;
/// # Ok(())
/// # }
/// ```
pub async fn read_to_string(path: impl AsRef<Path>) -> io::Result<String> {
    op::path::read_to_string(path.as_ref()).await
}

/// Makes `contents` the contents of a file, which is created if need be.
///
/// A `Vec<u8>`, `String` or `Bytes` that is given away is written from where it is; anything else is
/// copied first.
///
/// # Errors
///
/// The path is a directory, its parent does not exist, the process may not write it, or there is no
/// space left.
///
/// # Cancel safety
///
/// The file is emptied first: if the future is dropped, it may keep its old contents, be empty, or
/// hold the new contents as a whole or in part. To replace a file in one step, write another one and
/// [`rename`](crate::fs::rename) it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::write("greeting.txt", "hello").await?;
/// # Ok(())
/// # }
/// ```
pub async fn write(path: impl AsRef<Path>, contents: impl AsRef<[u8]>) -> io::Result<()> {
    op::path::write(path.as_ref(), Contents::new(contents)).await
}

/// Copies the contents and the permissions of a file, and returns how many bytes that were.
///
/// What `to` had before is overwritten. Where the file system can, the bytes are shared or copied
/// inside the kernel.
///
/// # Errors
///
/// `from` is no regular file or may not be read, or `to` may not be written.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let n = tokio::fs::copy("data.db", "data.db.bak").await?;
/// # Ok(())
/// # }
/// ```
pub async fn copy(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<u64> {
    op::path::copy(from.as_ref(), to.as_ref()).await
}
