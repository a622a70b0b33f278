//! Links, and paths without them.

use super::op;

use std::io;
use std::path::{Path, PathBuf};

/// The absolute path of a file, with symbolic links, `.` and `..` resolved.
///
/// # Errors
///
/// The path does not exist, or a part of it that is not the last is no directory.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let path = tokio::fs::canonicalize("../data/./current").await?;
/// assert!(path.is_absolute());
/// # Ok(())
/// # }
/// ```
pub async fn canonicalize(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    op::path::canonicalize(path.as_ref()).await
}

/// Gives the file `original` a second name, `link`, on the same file system.
///
/// # Errors
///
/// `original` does not exist or is a directory, `link` exists already, or the two are not on one
/// file system.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::hard_link("log.1", "log.keep").await?;
/// # Ok(())
/// # }
/// ```
pub async fn hard_link(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    op::path::hard_link(original.as_ref(), link.as_ref()).await
}

/// Creates a symbolic link `link` that points to `original`, which need not exist.
///
/// # Errors
///
/// `link` exists already, or the process may not create it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::symlink("releases/42", "current").await?;
/// # Ok(())
/// # }
/// ```
pub async fn symlink(original: impl AsRef<Path>, link: impl AsRef<Path>) -> io::Result<()> {
    op::path::symlink(original.as_ref(), link.as_ref()).await
}

/// What a symbolic link points to.
///
/// # Errors
///
/// The path does not exist or is no symbolic link.
pub async fn read_link(path: impl AsRef<Path>) -> io::Result<PathBuf> {
    op::path::read_link(path.as_ref()).await
}
