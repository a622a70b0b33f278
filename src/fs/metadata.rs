//! What is known about a file besides its contents.

use super::op;

use std::fs::{Metadata, Permissions};
use std::io;
use std::path::Path;

/// The metadata of a file. A symbolic link is followed.
///
/// # Errors
///
/// The path does not exist, or the process may not search a directory on the way to it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let len = tokio::fs::metadata("video.mkv").await?.len();
/// # Ok(())
/// # }
/// ```
pub async fn metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    op::path::metadata(path.as_ref()).await
}

/// The metadata of a file. Of a symbolic link it is the link's own.
///
/// # Errors
///
/// The path does not exist, or the process may not search a directory on the way to it.
pub async fn symlink_metadata(path: impl AsRef<Path>) -> io::Result<Metadata> {
    op::path::symlink_metadata(path.as_ref()).await
}

/// Changes the permissions of a file. A symbolic link is followed.
///
/// # Errors
///
/// The path does not exist, or the process may not change it.
pub async fn set_permissions(path: impl AsRef<Path>, perm: Permissions) -> io::Result<()> {
    op::path::set_permissions(path.as_ref(), perm).await
}

/// Whether the path leads to something. A symbolic link is followed: one that leads nowhere counts
/// as nothing.
///
/// By the time of the answer things may be different. To create a file only if there is none, use
/// [`File::create_new`](crate::fs::File::create_new).
///
/// # Errors
///
/// It could not be found out, for example because the process may not search a directory on the
/// way.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// if !tokio::fs::try_exists("app.conf").await? {
///     println!("using the defaults");
/// }
/// # Ok(())
/// # }
/// ```
pub async fn try_exists(path: impl AsRef<Path>) -> io::Result<bool> {
    op::path::try_exists(path.as_ref()).await
}
