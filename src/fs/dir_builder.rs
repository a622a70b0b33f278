//! Creating directories.

use super::op;

use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Creates directories, with parents or with a mode of their own.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// tokio::fs::DirBuilder::new()
///     .recursive(true)
///     .mode(0o700)
///     .create("state/keys")
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// Starts with: one directory, mode `0o777` less the process's umask.
    pub fn new() -> Self {
        DirBuilder::default()
    }

    /// Whether to create missing parents, too. They get the same mode. A directory that exists
    /// already is then no error.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Sets the mode of new directories; the process's umask still takes bits away.
    pub fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }

    /// Creates the directory `path`.
    ///
    /// # Errors
    ///
    /// Without [`recursive`](Self::recursive): the path exists already, or its parent does not.
    /// Either way: what is in its place is no directory, or the process may not create it.
    pub async fn create(&self, path: impl AsRef<Path>) -> io::Result<()> {
        op::path::create_dir(path.as_ref(), self).await
    }

    pub(super) fn to_std(&self) -> std::fs::DirBuilder {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        builder
    }
}
