//! How to open a FIFO.

use crate::net::unix::pipe::{Receiver, Sender, not_a_pipe};
use crate::sys::pipe::is_pipe;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Options for opening an end of a FIFO, a pipe with a name.
///
/// Create one with [`new`](OpenOptions::new), set what is needed, then call
/// [`open_receiver`](OpenOptions::open_receiver) or
/// [`open_sender`](OpenOptions::open_sender).
///
/// # Examples
///
/// ```no_run
/// use tokio::net::unix::pipe;
///
/// # async fn doc() -> std::io::Result<()> {
/// // A sender can only be opened once a receiver is there.
/// let rx = pipe::OpenOptions::new().open_receiver("/tmp/my.fifo")?;
/// let tx = pipe::OpenOptions::new().open_sender("/tmp/my.fifo")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    read_write: bool,
    unchecked: bool,
}

impl OpenOptions {
    /// All options off.
    pub fn new() -> OpenOptions {
        OpenOptions {
            read_write: false,
            unchecked: false,
        }
    }

    /// Opens the FIFO for reading *and* writing, whichever end is asked for.
    ///
    /// The end then holds the other direction open as well. So a [`Sender`] can
    /// be opened before there is a reader, and a [`Receiver`] sees no end of
    /// file when the last writer goes. POSIX leaves this undefined; Linux
    /// defines it, see `fifo(7)`.
    pub fn read_write(&mut self, value: bool) -> &mut Self {
        self.read_write = value;
        self
    }

    /// Skips the check that the file is a FIFO. For callers that know it is.
    pub fn unchecked(&mut self, value: bool) -> &mut Self {
        self.unchecked = value;
        self
    }

    /// Opens the FIFO at `path` for reading.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the file is not a FIFO,
    /// and the errors of `open(2)`.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled. A task always
    /// has that context; elsewhere
    /// [`Runtime::enter`](crate::runtime::Runtime::enter) sets it.
    #[track_caller]
    pub fn open_receiver<P: AsRef<Path>>(&self, path: P) -> io::Result<Receiver> {
        let file = self.open(path.as_ref(), std::fs::OpenOptions::new().read(true))?;
        Receiver::from_file_unchecked(file)
    }

    /// Opens the FIFO at `path` for writing.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) if the file is not a FIFO;
    /// `ENXIO` if nobody has it open for reading, unless
    /// [`read_write`](OpenOptions::read_write) is set; and the errors of
    /// `open(2)`.
    ///
    /// # Panics
    ///
    /// Panics outside the context of a runtime with I/O enabled, as
    /// [`open_receiver`](OpenOptions::open_receiver) does.
    #[track_caller]
    pub fn open_sender<P: AsRef<Path>>(&self, path: P) -> io::Result<Sender> {
        let file = self.open(path.as_ref(), std::fs::OpenOptions::new().write(true))?;
        Sender::from_file_unchecked(file)
    }

    /// Opens without blocking, which is also what a pipe end must be afterwards.
    fn open(&self, path: &Path, options: &mut std::fs::OpenOptions) -> io::Result<File> {
        if self.read_write {
            options.read(true).write(true);
        }
        let file = options.custom_flags(libc::O_NONBLOCK).open(path)?;
        if !self.unchecked && !is_pipe(file.as_fd())? {
            return Err(not_a_pipe());
        }
        Ok(file)
    }
}

impl Default for OpenOptions {
    fn default() -> OpenOptions {
        OpenOptions::new()
    }
}
