//! Creating and removing directories.

use super::{DirBuilder, op};

use std::io;
use std::path::Path;

/// Creates an empty directory. Its parent must exist.
///
/// # Errors
///
/// The path exists already, its parent does not, or the process may not create it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::create_dir("cache").await?;
/// # Ok(())
/// # }
/// ```
pub async fn create_dir(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().create(path).await
}

/// Creates a directory and all of its parents that are missing.
///
/// It is no error if the directory exists already, or if somebody else creates it at the same time.
///
/// # Errors
///
/// A part of the path exists and is no directory, or the process may not create it. What has been
/// created until then stays.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::create_dir_all("cache/images/small").await?;
/// # Ok(())
/// # }
/// ```
pub async fn create_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path).await
}

/// Removes an empty directory.
///
/// # Errors
///
/// The path does not exist, is no directory, is not empty, or the process may not remove it.
pub async fn remove_dir(path: impl AsRef<Path>) -> io::Result<()> {
    op::path::remove_dir(path.as_ref()).await
}

/// Removes a directory with all it contains.
///
/// Symbolic links are removed, not followed.
///
/// # Errors
///
/// The path does not exist, or something in it could not be removed. What has been removed until
/// then is gone.
pub async fn remove_dir_all(path: impl AsRef<Path>) -> io::Result<()> {
    op::path::remove_dir_all(path.as_ref()).await
}
