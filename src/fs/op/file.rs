//! Calls on an open file.

use super::{asyncify, background_task_failed};
use crate::fs::file::Buf;
use crate::runtime::task::JoinHandle;
use crate::runtime::{spawn_blocking, spawn_mandatory_blocking};

use std::fs::{File, FileTimes, Metadata, Permissions};
use std::future::Future;
use std::io::{self, Seek, SeekFrom};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A call on its way, with the file's buffer.
///
/// Resolves to an error of its own if the call never ran or panicked: then the buffer is lost.
#[derive(Debug)]
pub(in crate::fs) struct Call(JoinHandle<(Done, Buf)>);

/// What a [`Call`] has done.
#[derive(Debug)]
pub(in crate::fs) enum Done {
    /// What was read is in the buffer.
    Read(io::Result<usize>),
    /// The buffer is empty, also after an error.
    Write(io::Result<()>),
    Seek(io::Result<u64>),
}

impl Future for Call {
    type Output = io::Result<(Done, Buf)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map_err(io::Error::from)
    }
}

/// Reads once, at most `max` bytes, into `buf`, which must be empty.
pub(in crate::fs) fn read(file: Arc<File>, mut buf: Buf, max: usize) -> Call {
    Call(spawn_blocking(move || {
        let result = buf.read_from(&file, max);
        (Done::Read(result), buf)
    }))
}

/// Takes the cursor back over `unread` bytes, then writes all of `buf`.
///
/// This is mandatory work: it is done even if the runtime shuts down in the meantime.
pub(in crate::fs) fn write(file: Arc<File>, mut buf: Buf, unread: i64) -> io::Result<Call> {
    let call = spawn_mandatory_blocking(move || {
        let result = rewind(&file, unread).and_then(|()| buf.write_to(&file));
        // Left in the buffer, the bytes would look like something that was read.
        buf.clear();
        (Done::Write(result), buf)
    });
    call.map(Call).ok_or_else(background_task_failed)
}

/// Moves the cursor to `pos`, which is relative to a cursor that has been taken back over `unread`
/// bytes.
pub(in crate::fs) fn seek(file: Arc<File>, buf: Buf, unread: i64, pos: SeekFrom) -> Call {
    // One system call does for both, if the sum fits.
    let (unread, pos) = match pos {
        SeekFrom::Current(by) => match by.checked_sub(unread) {
            Some(sum) => (0, SeekFrom::Current(sum)),
            None => (unread, pos),
        },
        SeekFrom::Start(_) | SeekFrom::End(_) => (0, pos),
    };
    Call(spawn_blocking(move || {
        let result = rewind(&file, unread).and_then(|()| (&*file).seek(pos));
        (Done::Seek(result), buf)
    }))
}

/// Takes the cursor back over `unread` bytes, then changes the length of the file. Counts as a
/// seek to 0.
pub(in crate::fs) fn set_len(file: Arc<File>, buf: Buf, unread: i64, len: u64) -> Call {
    Call(spawn_blocking(move || {
        let result = rewind(&file, unread).and_then(|()| file.set_len(len));
        (Done::Seek(result.map(|()| 0)), buf)
    }))
}

fn rewind(mut file: &File, by: i64) -> io::Result<()> {
    if by != 0 {
        file.seek(SeekFrom::Current(-by))?;
    }
    Ok(())
}

pub(in crate::fs) async fn sync_all(file: &Arc<File>) -> io::Result<()> {
    let file = file.clone();
    asyncify(move || file.sync_all()).await
}

pub(in crate::fs) async fn sync_data(file: &Arc<File>) -> io::Result<()> {
    let file = file.clone();
    asyncify(move || file.sync_data()).await
}

pub(in crate::fs) async fn metadata(file: &Arc<File>) -> io::Result<Metadata> {
    let file = file.clone();
    asyncify(move || file.metadata()).await
}

pub(in crate::fs) async fn set_permissions(file: &Arc<File>, perm: Permissions) -> io::Result<()> {
    let file = file.clone();
    asyncify(move || file.set_permissions(perm)).await
}

pub(in crate::fs) async fn set_times(file: &Arc<File>, times: FileTimes) -> io::Result<()> {
    let file = file.clone();
    asyncify(move || file.set_times(times)).await
}

pub(in crate::fs) async fn try_clone(file: &Arc<File>) -> io::Result<File> {
    let file = file.clone();
    asyncify(move || file.try_clone()).await
}
