//! How to open a file.

use super::{File, op};

use std::fmt;
use std::fs::OpenOptions as StdOpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// How to open a file: for what, and what to do if there is none.
///
/// At first nothing is set; at least one of [`read`](Self::read), [`write`](Self::write) and
/// [`append`](Self::append) has to be.
///
/// # Examples
///
/// ```no_run
/// use tokio::fs::OpenOptions;
///
/// # async fn example() -> std::io::Result<()> {
/// let log = OpenOptions::new().append(true).create(true).open("app.log").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    inner: Kind,
}

#[derive(Clone)]
enum Kind {
    /// Set here, one by one.
    Own(Options),
    /// Taken over as a whole; they do not tell what is in them.
    Std(StdOpenOptions),
}

#[derive(Clone)]
struct Options {
    read: bool,
    write: bool,
    append: bool,
    truncate: bool,
    create: bool,
    create_new: bool,
    mode: u32,
    custom_flags: i32,
}

impl OpenOptions {
    /// Nothing is set yet.
    pub fn new() -> OpenOptions {
        OpenOptions {
            inner: Kind::Own(Options::new()),
        }
    }

    /// Whether the file can be read.
    pub fn read(&mut self, read: bool) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.read = read,
            Kind::Std(options) => drop(options.read(read)),
        }
        self
    }

    /// Whether the file can be written. What it contains is overwritten byte by byte, not
    /// discarded: see [`truncate`](Self::truncate).
    pub fn write(&mut self, write: bool) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.write = write,
            Kind::Std(options) => drop(options.write(write)),
        }
        self
    }

    /// Whether each write goes to the end of the file, wherever that is by then. This implies
    /// [`write`](Self::write).
    ///
    /// What one call to the kernel writes stays in one piece, even if others append at the same
    /// time; that is up to [`File::max_buf_size`] bytes of one write. A write moves the cursor to
    /// the end, so seek before reading.
    pub fn append(&mut self, append: bool) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.append = append,
            Kind::Std(options) => drop(options.append(append)),
        }
        self
    }

    /// Whether what the file contains is discarded. Needs [`write`](Self::write).
    pub fn truncate(&mut self, truncate: bool) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.truncate = truncate,
            Kind::Std(options) => drop(options.truncate(truncate)),
        }
        self
    }

    /// Whether the file is created if there is none. Needs [`write`](Self::write) or
    /// [`append`](Self::append).
    pub fn create(&mut self, create: bool) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.create = create,
            Kind::Std(options) => drop(options.create(create)),
        }
        self
    }

    /// Whether the file must be created, and there may be none of that name before, not even a
    /// dangling symbolic link. Looking and creating are one step. [`create`](Self::create) and
    /// [`truncate`](Self::truncate) are then ignored.
    ///
    /// Needs [`write`](Self::write) or [`append`](Self::append).
    pub fn create_new(&mut self, create_new: bool) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.create_new = create_new,
            Kind::Std(options) => drop(options.create_new(create_new)),
        }
        self
    }

    /// Sets the mode a new file gets, less the process's umask. It is `0o666` at first.
    pub fn mode(&mut self, mode: u32) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.mode = mode,
            Kind::Std(options) => drop(options.mode(mode)),
        }
        self
    }

    /// Sets flags to give to `open(2)` in addition, in place of those set earlier. The access mode
    /// in them is ignored.
    ///
    /// ```no_run
    /// # async fn example() -> std::io::Result<()> {
    /// # const O_NOFOLLOW: i32 = 0o400_000;
    /// let mut options = tokio::fs::OpenOptions::new();
    /// options.read(true).custom_flags(O_NOFOLLOW);
    /// let file = options.open("no-symbolic-link").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn custom_flags(&mut self, flags: i32) -> &mut OpenOptions {
        match &mut self.inner {
            Kind::Own(options) => options.custom_flags = flags,
            Kind::Std(options) => drop(options.custom_flags(flags)),
        }
        self
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](io::ErrorKind::NotFound): there is none and none is to be created, or its
    ///   parent does not exist.
    /// - [`AlreadyExists`](io::ErrorKind::AlreadyExists): there is one and
    ///   [`create_new`](Self::create_new) is set.
    /// - [`PermissionDenied`](io::ErrorKind::PermissionDenied): the process may not open or create
    ///   it like this.
    /// - [`InvalidInput`](io::ErrorKind::InvalidInput): the options contradict each other.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    pub async fn open(&self, path: impl AsRef<Path>) -> io::Result<File> {
        let (std, about) = op::path::open(path.as_ref(), self).await?;
        Ok(File::new(std, about))
    }

    /// The flags for `open(2)`, if it is only for reading. `None` for all else, and if nobody can tell.
    pub(super) fn to_read_flags(&self) -> Option<i32> {
        match &self.inner {
            Kind::Own(options) => options.to_read_flags(),
            Kind::Std(_) => None,
        }
    }

    pub(super) fn to_std(&self) -> StdOpenOptions {
        self.inner.to_std()
    }
}

impl Kind {
    fn to_std(&self) -> StdOpenOptions {
        match self {
            Kind::Own(options) => options.to_std(),
            Kind::Std(options) => options.clone(),
        }
    }
}

impl Options {
    fn new() -> Options {
        Options {
            read: false,
            write: false,
            append: false,
            truncate: false,
            create: false,
            create_new: false,
            mode: 0o666,
            custom_flags: 0,
        }
    }

    /// As the standard library would have it.
    fn to_read_flags(&self) -> Option<i32> {
        let changes = self.write || self.append || self.truncate || self.create || self.create_new;
        (self.read && !changes).then_some(libc::O_CLOEXEC | libc::O_RDONLY | self.custom_flags & !libc::O_ACCMODE)
    }

    fn to_std(&self) -> StdOpenOptions {
        let mut options = StdOpenOptions::new();
        options
            .read(self.read)
            .write(self.write)
            .append(self.append)
            .truncate(self.truncate)
            .create(self.create)
            .create_new(self.create_new)
            .mode(self.mode)
            .custom_flags(self.custom_flags);
        options
    }
}

impl From<StdOpenOptions> for OpenOptions {
    fn from(options: StdOpenOptions) -> OpenOptions {
        OpenOptions {
            inner: Kind::Std(options),
        }
    }
}

impl Default for OpenOptions {
    fn default() -> Self {
        OpenOptions::new()
    }
}

/// Looks the same whoever set the options.
impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Std").field(&self.to_std()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_all(options: &mut OpenOptions) {
        options.read(true).write(true).append(true).truncate(true);
        options.create(true).create_new(true);
        options.mode(0o640).custom_flags(0o400_000);
    }

    /// The standard library's `Debug` is the only way to see what is in its options.
    #[test]
    fn own_options_are_those_of_std() {
        let mut own = OpenOptions::new();
        let mut std = OpenOptions::from(StdOpenOptions::new());
        assert_eq!(format!("{own:?}"), format!("{std:?}"));
        set_all(&mut own);
        assert_ne!(format!("{own:?}"), format!("{std:?}"));
        set_all(&mut std);
        assert_eq!(format!("{own:?}"), format!("{std:?}"));
    }
}
