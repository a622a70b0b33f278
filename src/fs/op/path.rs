//! Calls that name files by their path.

use super::file::NOW_MAX;
use super::{asyncify, knows_opening};
use crate::fs::contents::Contents;
use crate::fs::read_dir::Chunk;
use crate::fs::{DirBuilder, OpenOptions};
use crate::sys;
use crate::sys::file::{About, Opened};
use crate::upstream::task::coop;

use std::ffi::CString;
use std::fs::{self, FileType, Metadata, Permissions};
use std::future::poll_fn;
use std::io::{self, Read};
use std::mem;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::task::Poll;

pub(in crate::fs) async fn open(path: &Path, options: &OpenOptions) -> io::Result<(fs::File, About)> {
    match options.to_read_flags() {
        Some(flags) => open_to_read(path, options, flags).await,
        None => open_on_pool(path, options, false).await,
    }
}

async fn open_to_read(path: &Path, options: &OpenOptions, flags: i32) -> io::Result<(fs::File, About)> {
    match open_now(path, flags, None).await {
        Opened::Now(file, about, _) => Ok((file, about)),
        Opened::Not(e) => Err(e),
        Opened::Unknown => open_on_pool(path, options, true).await,
        Opened::Long | Opened::Later => open_on_pool(path, options, false).await,
    }
}

/// The one opening of a file, if it may wait. `learns`: nobody knows its file system yet.
async fn open_on_pool(path: &Path, options: &OpenOptions, learns: bool) -> io::Result<(fs::File, About)> {
    let path = path.to_owned();
    let options = options.to_std();
    asyncify(move || {
        let file = options.open(path)?;
        if learns {
            sys::file::learn(&file);
        }
        let about = About::of(&file);
        Ok((file, about))
    })
    .await
}

/// Opens a file for reading on the task's own thread, if that takes no waiting; not one that is longer than
/// `longest`.
async fn open_now(path: &Path, flags: i32, longest: Option<u64>) -> Opened {
    if !knows_opening() {
        return Opened::Later;
    }
    // The standard library has an error for a path with a zero in it.
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return Opened::Later };
    let unit = poll_fn(coop::poll_proceed).await;
    let opened = sys::file::open_now(&path, flags, longest);
    if matches!(opened, Opened::Now(..) | Opened::Not(_)) {
        unit.made_progress();
    }
    opened
}

pub(in crate::fs) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let learns = match open_now(path, libc::O_RDONLY | libc::O_CLOEXEC, Some(PIECES as u64)).await {
        Opened::Now(file, _, len) => return read_opened(file, len as usize).await,
        Opened::Not(e) => return Err(e),
        Opened::Unknown => true,
        Opened::Long | Opened::Later => false,
    };
    let path = path.to_owned();
    let read = move || {
        if !learns {
            return fs::read(path);
        }
        let mut file = fs::File::open(path)?;
        sys::file::learn(&file);
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    asyncify(read).await
}

/// The longest file that is read on the task's own thread: in pieces, with a turn for others in between.
const PIECES: usize = 4 * NOW_MAX;

/// `len` is how long the file was.
async fn read_opened(file: fs::File, len: usize) -> io::Result<Vec<u8>> {
    // The byte more is for the read that finds the end.
    let mut bytes = Vec::with_capacity(len + 1);
    while bytes.len() <= PIECES {
        match read_now(&file, &mut bytes) {
            Progress::End => return Ok(bytes),
            Progress::Piece if bytes.len() < len => turn_for_others().await,
            Progress::Piece => {}
            Progress::MustWait => break,
        }
    }
    let read = move || {
        // What it allocates is up to the size of the file, and how much of that is to come.
        (&file).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    asyncify(read).await
}

async fn turn_for_others() {
    let mut is_over = false;
    let turn = poll_fn(|cx| {
        if mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    });
    turn.await
}

enum Progress {
    End,
    Piece,
    MustWait,
}

/// Reads the next piece, if that takes no waiting.
fn read_now(file: &fs::File, bytes: &mut Vec<u8>) -> Progress {
    const NEXT: usize = 8 * 1024;
    let begin = bytes.len();
    while bytes.len() - begin < NOW_MAX {
        let max = match bytes.capacity() - bytes.len() {
            0 => NEXT,
            room => room.min(NOW_MAX),
        };
        match sys::io::read_vec_now(file.as_raw_fd(), bytes, max) {
            Ok(0) => return Progress::End,
            Ok(_) => {}
            Err(_) => return Progress::MustWait,
        }
    }
    Progress::Piece
}

pub(in crate::fs) async fn read_to_string(path: &Path) -> io::Result<String> {
    let bytes = read(path).await?;
    String::from_utf8(bytes).map_err(|e| match e.as_bytes().read_to_string(&mut String::new()) {
        // In the words of the standard library.
        Err(e) => e,
        Ok(_) => io::ErrorKind::InvalidData.into(),
    })
}

pub(in crate::fs) async fn write(path: &Path, contents: Contents) -> io::Result<()> {
    let path = path.to_owned();
    asyncify(move || fs::write(path, contents)).await
}

pub(in crate::fs) async fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let [from, to] = [from, to].map(Path::to_owned);
    asyncify(move || fs::copy(from, to)).await
}

pub(in crate::fs) async fn metadata(path: &Path) -> io::Result<Metadata> {
    let path = path.to_owned();
    asyncify(move || fs::metadata(path)).await
}

pub(in crate::fs) async fn symlink_metadata(path: &Path) -> io::Result<Metadata> {
    let path = path.to_owned();
    asyncify(move || fs::symlink_metadata(path)).await
}

pub(in crate::fs) async fn try_exists(path: &Path) -> io::Result<bool> {
    let path = path.to_owned();
    asyncify(move || fs::exists(path)).await
}

pub(in crate::fs) async fn set_permissions(path: &Path, perm: Permissions) -> io::Result<()> {
    let path = path.to_owned();
    asyncify(move || fs::set_permissions(path, perm)).await
}

pub(in crate::fs) async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    let [from, to] = [from, to].map(Path::to_owned);
    asyncify(move || fs::rename(from, to)).await
}

pub(in crate::fs) async fn remove_file(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    asyncify(move || fs::remove_file(path)).await
}

pub(in crate::fs) async fn hard_link(original: &Path, link: &Path) -> io::Result<()> {
    let [original, link] = [original, link].map(Path::to_owned);
    asyncify(move || fs::hard_link(original, link)).await
}

pub(in crate::fs) async fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    let [original, link] = [original, link].map(Path::to_owned);
    asyncify(move || std::os::unix::fs::symlink(original, link)).await
}

pub(in crate::fs) async fn read_link(path: &Path) -> io::Result<PathBuf> {
    let path = path.to_owned();
    asyncify(move || fs::read_link(path)).await
}

pub(in crate::fs) async fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    let path = path.to_owned();
    asyncify(move || fs::canonicalize(path)).await
}

/// Creates a directory as `builder` says.
pub(in crate::fs) async fn create_dir(path: &Path, builder: &DirBuilder) -> io::Result<()> {
    let path = path.to_owned();
    let builder = builder.to_std();
    asyncify(move || builder.create(path)).await
}

pub(in crate::fs) async fn remove_dir(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    asyncify(move || fs::remove_dir(path)).await
}

pub(in crate::fs) async fn remove_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    asyncify(move || fs::remove_dir_all(path)).await
}

/// Opens a directory and reads its first entries.
pub(in crate::fs) async fn read_dir(path: &Path) -> io::Result<Chunk> {
    let path = path.to_owned();
    asyncify(move || fs::read_dir(path).map(Chunk::first)).await
}

pub(in crate::fs) async fn entry_metadata(entry: &Arc<fs::DirEntry>) -> io::Result<Metadata> {
    let entry = entry.clone();
    asyncify(move || entry.metadata()).await
}

pub(in crate::fs) async fn entry_file_type(entry: &Arc<fs::DirEntry>) -> io::Result<FileType> {
    let entry = entry.clone();
    asyncify(move || entry.file_type()).await
}
