//! Calls that name files by their path.

use super::asyncify;
use crate::fs::OpenOptions;
use crate::fs::contents::Contents;
use crate::fs::read_dir::Chunk;

use std::fs::{self, FileType, Metadata, Permissions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(in crate::fs) async fn open(path: &Path, options: &OpenOptions) -> io::Result<fs::File> {
    let path = path.to_owned();
    let options = options.to_std();
    asyncify(move || options.open(path)).await
}

pub(in crate::fs) async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let path = path.to_owned();
    asyncify(move || fs::read(path)).await
}

pub(in crate::fs) async fn read_to_string(path: &Path) -> io::Result<String> {
    let path = path.to_owned();
    asyncify(move || fs::read_to_string(path)).await
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
pub(in crate::fs) async fn create_dir(path: &Path, builder: fs::DirBuilder) -> io::Result<()> {
    let path = path.to_owned();
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
