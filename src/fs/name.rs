//! Changing and removing the names of files.

use super::op;

use std::io;
use std::path::Path;

/// Gives a file or a directory another name, on the same file system.
///
/// A file that has the name `to` already is replaced in one step: whoever opens `to` gets either
/// the old or the new one.
///
/// # Errors
///
/// `from` does not exist, the two are not on one file system, or `to` is a directory that is not
/// empty.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::write("state.new", "…").await?;
/// tokio::fs::rename("state.new", "state").await?;
/// # Ok(())
/// # }
/// ```
pub async fn rename(from: impl AsRef<Path>, to: impl AsRef<Path>) -> io::Result<()> {
    op::path::rename(from.as_ref(), to.as_ref()).await
}

/// Removes a name of a file. The file itself is gone with its last name, once nobody has it open.
///
/// A symbolic link is removed, not followed.
///
/// # Errors
///
/// The path does not exist, is a directory, or the process may not change the directory it is in.
pub async fn remove_file(path: impl AsRef<Path>) -> io::Result<()> {
    op::path::remove_file(path.as_ref()).await
}
