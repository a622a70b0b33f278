//! Files and directories.
//!
//! Every call here may block in the kernel: a file system has no readiness to wait for. So what cannot be
//! done at once, from memory, leaves for a place where it may block: a thread of the runtime's blocking pool,
//! or for reads that no thread waits for the worker's ring. The task waits for its result. Many small calls to
//! the pool are better made as one: a closure of `std::fs` calls in
//! [`spawn_blocking`](crate::task::spawn_blocking), or [`read()`] and [`write()`] for whole files.
//!
//! | | at once | by the ring | else |
//! |---|---|---|---|
//! | open a regular file for reading | if it is in memory: `openat2` with `RESOLVE_CACHED`, 5.12 | | the pool |
//! | read | up to 256 KiB from memory: `preadv2` with `RWF_NOWAIT` | up to 32 KiB from a disk, and `O_DIRECT`: `READ`, 5.6 | the pool |
//! | write | up to 256 KiB: `pwritev2` with `RWF_NOWAIT`; not `O_APPEND`, `O_SYNC`, `O_DIRECT` | | the pool |
//! | seek | `lseek` | | |
//! | everything else | | | the pool |
//!
//! The first two only on file systems that can say whether a read would wait: those of disks, not FUSE, NFS and
//! the like, and not overlayfs or tmpfs. A ring is only used for a call that is polled by a task or `block_on`
//! of the runtime itself, not through an executor or a collection with wakers of its own: nobody would turn the
//! ring if those kept the thread.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! let config = tokio::fs::read_to_string("app.conf").await?;
//! tokio::fs::write("app.conf.bak", config).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Open files
//!
//! A [`File`] implements [`AsyncRead`](crate::io::AsyncRead), [`AsyncWrite`](crate::io::AsyncWrite)
//! and [`AsyncSeek`](crate::io::AsyncSeek) over a buffer of its own. **A write is done when
//! [`flush`](crate::io::AsyncWriteExt::flush) says so**: before, it is on its way, and its error
//! comes out of the next call.
//!
//! ```no_run
//! use tokio::fs::File;
//! use tokio::io::AsyncWriteExt;
//!
//! # async fn example() -> std::io::Result<()> {
//! let mut file = File::create("greeting.txt").await?;
//! file.write_all(b"hello").await?;
//! file.flush().await?;
//! # Ok(())
//! # }
//! ```
//!
//! Each read and write is at least a system call, and may be a trip to another thread. With small pieces, put the file into a
//! [`BufReader`](crate::io::BufReader) or [`BufWriter`](crate::io::BufWriter).
//!
//! # Pipes and devices
//!
//! For a special file, say a FIFO or a terminal, a blocking thread can wait for ever, and a runtime
//! that shuts down waits for it in turn. Use `net::unix::pipe` or `io::unix::AsyncFd` for those.
//!
//! # Errors, panics and cancellation
//!
//! The functions of this module return the error of the `std::fs` function of the same name, or
//! one that says "background task failed" if the runtime shuts down before the call has begun.
//! They panic when they are polled outside of a runtime.
//!
//! Dropping a future of this module does not take the call back: one that was polled goes on to its end, if
//! the runtime does. Nobody learns its result.

#![cfg_attr(
    not(all(feature = "io-util", feature = "rt")),
    allow(rustdoc::broken_intra_doc_links)
)]

mod contents;
pub use contents::{copy, read, read_to_string, write};

mod dir;
pub use dir::{create_dir, create_dir_all, remove_dir, remove_dir_all};

mod dir_builder;
pub use dir_builder::DirBuilder;

mod dir_entry;
pub use dir_entry::DirEntry;

mod file;
pub use file::File;

mod file_times;
pub use file_times::FileTimes;

mod link;
pub use link::{canonicalize, hard_link, read_link, symlink};

mod metadata;
pub use metadata::{metadata, set_permissions, symlink_metadata, try_exists};

mod name;
pub use name::{remove_file, rename};

mod op;

mod open_options;
pub use open_options::OpenOptions;

mod read_dir;
pub use read_dir::{ReadDir, read_dir};
