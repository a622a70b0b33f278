//! Reading a directory.

use super::{DirEntry, op};
use crate::runtime::spawn_blocking;
use crate::runtime::task::JoinHandle;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// How many entries one trip to another thread brings.
const CHUNK_SIZE: usize = 32;

/// Opens a directory, to read what is in it.
///
/// `.` and `..` are left out; the order is the file system's.
///
/// # Errors
///
/// The path does not exist, is no directory, or the process may not read it.
///
/// # Examples
///
/// ```no_run
/// # async fn example() -> std::io::Result<()> {
/// let mut dir = tokio::fs::read_dir(".").await?;
/// while let Some(entry) = dir.next_entry().await? {
///     println!("{}", entry.file_name().display());
/// }
/// # Ok(())
/// # }
/// ```
pub async fn read_dir(path: impl AsRef<Path>) -> io::Result<ReadDir> {
    let first = op::path::read_dir(path.as_ref()).await?;
    Ok(ReadDir(State::Here(first)))
}

/// The entries of a directory, one after the other.
///
/// Made by [`read_dir`]. Each call to the blocking pool brings several entries. To have a `Stream`,
/// see the [`tokio-stream`](https://docs.rs/tokio-stream) crate.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct ReadDir(State);

#[derive(Debug)]
enum State {
    Here(Chunk),
    /// Away for more entries.
    Away(JoinHandle<Chunk>),
    /// The call for more failed, and the directory is gone with it.
    Lost,
}

impl ReadDir {
    /// The next entry, or `None` after the last.
    ///
    /// # Errors
    ///
    /// An entry could not be read; a later call may still find others. Or the runtime is shutting
    /// down; then there are no more.
    ///
    /// # Cancel safety
    ///
    /// No entry is lost if the future is dropped.
    pub async fn next_entry(&mut self) -> io::Result<Option<DirEntry>> {
        poll_fn(|cx| self.poll_next_entry(cx)).await
    }

    /// [`next_entry`](Self::next_entry), to be used in a `poll` method.
    ///
    /// `Poll::Pending` means the task of the last `cx` is woken when it is worth another try.
    ///
    /// # Errors
    ///
    /// Those of [`next_entry`](Self::next_entry).
    pub fn poll_next_entry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<DirEntry>>> {
        loop {
            match &mut self.0 {
                State::Here(chunk) => {
                    if let Some(entry) = chunk.entries.pop_front() {
                        return Poll::Ready(entry.map(Some));
                    }
                    if !chunk.more {
                        return Poll::Ready(Ok(None));
                    }
                    let State::Here(chunk) = std::mem::replace(&mut self.0, State::Lost) else {
                        unreachable!()
                    };
                    self.0 = State::Away(spawn_blocking(move || chunk.next()));
                }
                State::Away(call) => {
                    let result = ready!(Pin::new(call).poll(cx));
                    self.0 = State::Lost;
                    self.0 = State::Here(result?);
                }
                State::Lost => return Poll::Ready(Ok(None)),
            }
        }
    }
}

/// An open directory and the entries that have been read from it.
#[derive(Debug)]
pub(super) struct Chunk {
    entries: VecDeque<io::Result<DirEntry>>,
    dir: std::fs::ReadDir,
    /// The end of the directory has not been seen.
    more: bool,
}

impl Chunk {
    /// Reads the first entries. This blocks.
    pub(super) fn first(dir: std::fs::ReadDir) -> Chunk {
        let chunk = Chunk {
            entries: VecDeque::with_capacity(CHUNK_SIZE),
            dir,
            more: true,
        };
        chunk.next()
    }

    /// Reads the next entries, up to the first that fails. This blocks.
    fn next(mut self) -> Chunk {
        while self.entries.len() < CHUNK_SIZE {
            let Some(entry) = self.dir.next() else {
                self.more = false;
                break;
            };
            let failed = entry.is_err();
            self.entries.push_back(entry.map(DirEntry::new));
            if failed {
                break;
            }
        }
        self
    }
}
