//! Calls that name files by their path.

use super::asyncify;
use super::file::NOW_MAX;
use super::ring::{self, Done, Request};
use crate::fs::contents::Contents;
use crate::fs::read_dir::Chunk;
use crate::fs::{DirBuilder, OpenOptions};
use crate::sys;

use std::fs::{self, FileType, Metadata, Permissions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::fs) async fn open(path: &Path, options: &OpenOptions) -> io::Result<fs::File> {
    match open_by_ring(path, options).await? {
        Some(file) => Ok(file),
        None => open_on_pool(path, options).await,
    }
}

async fn open_on_pool(path: &Path, options: &OpenOptions) -> io::Result<fs::File> {
    let path = path.to_owned();
    let options = options.to_std();
    asyncify(move || options.open(path)).await
}

/// `None` if no ring is to do it.
async fn open_by_ring(path: &Path, options: &OpenOptions) -> io::Result<Option<fs::File>> {
    let Some((flags, mode)) = options.to_flags() else { return Ok(None) };
    let request = || Some(Request::Open { path: ring::path(path)?, flags, mode });
    match ring::call(request).await {
        Some(Ok(Done::Opened(file))) => {
            // The kernel tries without waiting (`O_NONBLOCK`) first, so a FIFO did not wait for a writer.
            // It counts as a reader until the one that does is there.
            let waits = flags & (libc::O_ACCMODE | libc::O_NONBLOCK) == libc::O_RDONLY;
            if waits && sys::io::is_fifo(file.as_raw_fd()) {
                return open_on_pool(path, options).await.map(Some);
            }
            Ok(Some(file))
        }
        // And one for writing did not wait for a reader.
        Some(Err(e)) if e.raw_os_error() == Some(libc::ENXIO) => Ok(None),
        Some(Err(e)) => Err(e),
        Some(Ok(Done::Nothing)) | None => Ok(None),
    }
}

pub(in crate::fs) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let Some(file) = open_by_ring(path, options.read(true)).await? else {
        let path = path.to_owned();
        return asyncify(move || fs::read(path)).await;
    };
    let mut bytes = Vec::new();
    if read_now(&file, &mut bytes) {
        return Ok(bytes);
    }
    let read = move || {
        // What it allocates is up to the size of the file, and how much of that is to come.
        (&file).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    asyncify(read).await
}

/// Reads what takes no waiting; `true` if that is all there is.
fn read_now(file: &fs::File, bytes: &mut Vec<u8>) -> bool {
    const FIRST: usize = 8 * 1024;
    while bytes.len() < NOW_MAX {
        match sys::io::read_vec_now(file.as_raw_fd(), bytes, bytes.len().max(FIRST)) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    false
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
    if let Some(done) = ring::call(|| Some(Request::Rename(ring::path(from)?, ring::path(to)?))).await {
        return done.map(drop);
    }
    let [from, to] = [from, to].map(Path::to_owned);
    asyncify(move || fs::rename(from, to)).await
}

pub(in crate::fs) async fn remove_file(path: &Path) -> io::Result<()> {
    if let Some(done) = ring::call(|| Some(Request::Unlink { path: ring::path(path)?, flags: 0 })).await {
        return done.map(drop);
    }
    let path = path.to_owned();
    asyncify(move || fs::remove_file(path)).await
}

pub(in crate::fs) async fn hard_link(original: &Path, link: &Path) -> io::Result<()> {
    if let Some(done) = ring::call(|| Some(Request::Link(ring::path(original)?, ring::path(link)?))).await {
        return done.map(drop);
    }
    let [original, link] = [original, link].map(Path::to_owned);
    asyncify(move || fs::hard_link(original, link)).await
}

pub(in crate::fs) async fn symlink(original: &Path, link: &Path) -> io::Result<()> {
    if let Some(done) = ring::call(|| Some(Request::Symlink(ring::path(original)?, ring::path(link)?))).await {
        return done.map(drop);
    }
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
    let request = || {
        // Parents are the standard library's business.
        let mode = builder.single_mode()?;
        Some(Request::MkDir { path: ring::path(path)?, mode })
    };
    if let Some(done) = ring::call(request).await {
        return done.map(drop);
    }
    let path = path.to_owned();
    let builder = builder.to_std();
    asyncify(move || builder.create(path)).await
}

pub(in crate::fs) async fn remove_dir(path: &Path) -> io::Result<()> {
    let flags = libc::AT_REMOVEDIR;
    if let Some(done) = ring::call(|| Some(Request::Unlink { path: ring::path(path)?, flags })).await {
        return done.map(drop);
    }
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
