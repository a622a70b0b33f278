//! Calls on an open file.

use super::{asyncify, background_task_failed, ring, ring_for};
use crate::fs::file::Buf;
use crate::runtime::task::JoinHandle;
use crate::runtime::{spawn_blocking, spawn_mandatory_blocking};
use crate::sys;
use crate::sys::file::About;

use std::fs::{File, FileTimes, Metadata, Permissions};
use std::future::Future;
use std::io::{self, Seek, SeekFrom};
use std::mem;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use io_uring::opcode;

/// The most that is read or written at once, on the task's own thread: what is copied there keeps other
/// tasks waiting.
pub(in crate::fs) const NOW_MAX: usize = 256 * 1024;

/// The most that a ring reads of what is not in memory. The one thread of a ring that copies more is slower
/// than the threads of the pool together.
const RING_MAX: usize = 32 * 1024;

/// A call on its way, with the file's buffer.
///
/// Resolves to an error of its own if the call never ran or panicked: then the buffer is lost.
#[derive(Debug)]
pub(in crate::fs) enum Call {
    /// It was done at once.
    Done(Option<(Done, Buf)>),
    /// On the blocking pool.
    Pool(JoinHandle<(Done, Buf)>),
    /// On a ring.
    Ring(ring::Read),
}

/// What a [`Call`] has done.
#[derive(Debug)]
pub(in crate::fs) enum Done {
    /// What was read is in the buffer.
    Read(io::Result<usize>),
    /// The buffer is empty, also after an error.
    Write(io::Result<()>),
    Seek(io::Result<u64>),
}

impl Call {
    fn done(done: Done, buf: Buf) -> Call {
        Call::Done(Some((done, buf)))
    }
}

impl Future for Call {
    type Output = io::Result<(Done, Buf)>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            match &mut *self {
                Call::Done(done) => {
                    let done = done.take().expect("`Call` polled after completion");
                    return Poll::Ready(Ok(done));
                }
                Call::Pool(call) => return Pin::new(call).poll(cx).map_err(io::Error::from),
                Call::Ring(read) => match ready!(Pin::new(read).poll(cx)) {
                    Ok((result, buf)) => return Poll::Ready(Ok((Done::Read(result), buf))),
                    // Not a matter for rings after all.
                    Err((file, buf, max)) => *self = read_on_pool(file, buf, max),
                },
            }
        }
    }
}

/// Who reads, and where.
#[derive(Debug, Clone, Copy)]
pub(in crate::fs) struct Cursor {
    /// Nobody else uses it.
    pub(in crate::fs) is_ours: bool,
    /// Where it is, if that is known.
    pub(in crate::fs) at: Option<u64>,
}

/// Reads once, at most `max` bytes, behind what is in `buf`. Through a ring only if that makes no thread wait,
/// and if nobody else uses the cursor: unlike `read(2)`, a ring does not lock it.
pub(in crate::fs) fn read(
    file: Arc<File>,
    about: &About,
    mut buf: Buf,
    max: usize,
    cursor: Cursor,
    cx: &Context<'_>,
) -> Call {
    let fd = file.as_raw_fd();
    let is_direct = about.wants_alignment(fd);
    if is_direct {
        buf.align(max);
    }
    let may_ring = cursor.is_ours && (is_direct || max <= RING_MAX) && about.reads_by_ring(fd);
    let driver = if may_ring { ring_for(cx, opcode::Read::CODE) } else { None };
    if let Some(driver) = driver {
        return Call::Ring(ring::Read::new(&driver, file, buf, max, cursor.at));
    }
    read_on_pool(file, buf, max)
}

fn read_on_pool(file: Arc<File>, mut buf: Buf, max: usize) -> Call {
    Call::Pool(spawn_blocking(move || {
        let result = buf.read_from(&file, max);
        (Done::Read(result), buf)
    }))
}

/// Takes the cursor back over `unread` bytes, then writes all of `buf`: as much as takes no waiting at
/// once, if `try_now` says so, the rest on the blocking pool.
///
/// This is mandatory work: it is done even if the runtime shuts down in the meantime. A ring would
/// cancel it.
pub(in crate::fs) fn write(
    file: Arc<File>,
    mut buf: Buf,
    mut unread: i64,
    try_now: &mut bool,
) -> io::Result<Call> {
    if *try_now && buf.unwritten().len() <= NOW_MAX {
        if let Err(e) = rewind(&file, mem::take(&mut unread)) {
            buf.clear();
            return Ok(Call::done(Done::Write(Err(e)), buf));
        }
        match sys::io::write_now(file.as_raw_fd(), buf.unwritten()) {
            Ok(n) => buf.skip(n),
            Err(e) => *try_now = !is_unsupported(&e),
        }
        if buf.is_empty() {
            buf.clear();
            return Ok(Call::done(Done::Write(Ok(())), buf));
        }
    }
    let call = spawn_mandatory_blocking(move || {
        let result = rewind(&file, unread).and_then(|()| buf.write_to(&file));
        // Left in the buffer, the bytes would look like something that was read.
        buf.clear();
        (Done::Write(result), buf)
    });
    call.map(Call::Pool).ok_or_else(background_task_failed)
}

/// A file that cannot say whether a call would wait.
pub(in crate::fs) fn is_unsupported(e: &io::Error) -> bool {
    matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL | libc::ENOSYS))
}

/// Moves the cursor to `pos`, which is relative to a cursor that has been taken back over `unread`
/// bytes. At once: that is a number in memory.
pub(in crate::fs) fn seek(file: &File, buf: Buf, unread: i64, pos: SeekFrom) -> Call {
    // One system call does for both, if the sum fits.
    let (unread, pos) = match pos {
        SeekFrom::Current(by) => match by.checked_sub(unread) {
            Some(sum) => (0, SeekFrom::Current(sum)),
            None => (unread, pos),
        },
        SeekFrom::Start(_) | SeekFrom::End(_) => (0, pos),
    };
    let mut file = file;
    let result = rewind(file, unread).and_then(|()| file.seek(pos));
    Call::done(Done::Seek(result), buf)
}

/// Takes the cursor back over `unread` bytes, then changes the length of the file. Counts as a
/// seek to 0.
pub(in crate::fs) fn set_len(file: Arc<File>, buf: Buf, unread: i64, len: u64) -> Call {
    Call::Pool(spawn_blocking(move || {
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
