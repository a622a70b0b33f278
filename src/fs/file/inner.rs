//! The moving parts of a file: its buffer, and the call the buffer is away with.
//!
//! - No call on its way: the buffer is here. It holds what was read and not handed out; the cursor
//!   of the descriptor is that much ahead of what the user sees. A write or seek takes it back.
//! - A call on its way: the buffer is with it, and whatever comes next waits for it. Only `poll_*`
//!   wait; a future that is dropped leaves the call for the next one to find.

use super::Buf;
use crate::fs::op::file::{Call, Cursor, Done, NOW_MAX, is_unsupported, read, seek, set_len, write};
use crate::io::ReadBuf;
use crate::sys;
use crate::sys::file::About;
use crate::upstream::task::coop;

use std::fs::File as StdFile;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, SeekFrom};
use std::mem;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

#[derive(Default)]
pub(super) struct Inner {
    call: Option<Call>,
    /// Empty while a call is on its way.
    buf: Buf,
    /// A write has failed and no write or flush has reported it yet.
    write_error: Option<io::ErrorKind>,
    /// Where the last seek went.
    pos: u64,
    /// Where the cursor is, if nothing has moved it since.
    cursor: Option<u64>,
    /// What is known of the file.
    traits: Traits,
}

/// What has been seen of a file, and saves calls that are to no purpose. What it is like is in [`About`].
#[derive(Debug)]
struct Traits {
    /// It has not said yet that it cannot say whether a read would wait; likewise for a write.
    reads_now: bool,
    writes_now: bool,
    /// Nobody else has the cursor.
    is_cursor_ours: bool,
}

impl Default for Traits {
    fn default() -> Traits {
        Traits { reads_now: true, writes_now: true, is_cursor_ours: false }
    }
}

impl Inner {
    /// Of a file that was just opened: its cursor is nobody else's.
    pub(super) fn of_new_file() -> Inner {
        Inner { traits: Traits { is_cursor_ours: true, ..Traits::default() }, ..Inner::default() }
    }

    /// There is another descriptor of the file now, with the same cursor.
    pub(super) fn share_cursor(&mut self) {
        self.traits.is_cursor_ours = false;
    }

    /// Waits for the call on its way, if there is one, and takes the buffer back.
    ///
    /// If the call never ran, that is an error and the buffer is a new one: the file goes on.
    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Done>>> {
        let Some(call) = &mut self.call else {
            return Poll::Ready(Ok(None));
        };
        let result = ready!(Pin::new(call).poll(cx));
        self.call = None;
        let (done, buf) = result?;
        self.buf = buf;
        if let Done::Seek(Ok(pos)) = done {
            self.pos = pos;
            self.cursor = Some(pos);
        }
        Poll::Ready(Ok(Some(done)))
    }

    pub(super) fn poll_read(
        &mut self,
        file: &Arc<StdFile>,
        about: &About,
        max: usize,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.call.is_none() {
                if !self.buf.is_empty() || dst.remaining() == 0 {
                    self.buf.copy_to(dst);
                    return Poll::Ready(Ok(()));
                }
                // The calls that follow ask for a unit of the budget themselves.
                let max = max.min(dst.remaining());
                let unit = ready!(coop::poll_proceed(cx));
                let at = self.cursor.take();
                let left = self.read_now(file, about, max, dst);
                if left == 0 {
                    unit.made_progress();
                    return Poll::Ready(Ok(()));
                }
                drop(unit);
                let buf = mem::take(&mut self.buf);
                let at = at.filter(|_| left == max);
                let cursor = Cursor { is_ours: self.traits.is_cursor_ours, at };
                self.call = Some(read(file.clone(), about, buf, left, cursor, cx));
            }
            match ready!(self.poll_call(cx))? {
                Some(Done::Read(result)) => {
                    // Nothing to hand out is the end of the file.
                    self.buf.copy_to(dst);
                    return Poll::Ready(result.map(drop));
                }
                Some(Done::Write(Err(e))) => self.keep_write_error(e),
                Some(Done::Write(Ok(())) | Done::Seek(_)) | None => {}
            }
        }
    }

    /// Reads into `dst` what takes no waiting, and returns how much of `max` is left to be read in
    /// another way. What there was so far is in the buffer then.
    fn read_now(&mut self, file: &StdFile, about: &About, max: usize, dst: &mut ReadBuf<'_>) -> usize {
        if !self.traits.reads_now || max > NOW_MAX || !about.may_read_now(file.as_raw_fd()) {
            return max;
        }
        let start = dst.filled().len();
        let mut left = max;
        loop {
            match sys::io::read_now(file.as_raw_fd(), dst, left) {
                Ok(0) => return 0,
                Ok(n) => {
                    left -= n;
                    // A part may be all there is for now, or all that is in memory.
                    if left == 0 || !about.has_end(file.as_raw_fd()) {
                        return 0;
                    }
                }
                Err(_) if left < max => {
                    self.buf.start_with(&dst.filled()[start..]);
                    dst.set_filled(start);
                    return left;
                }
                Err(e) => {
                    self.traits.reads_now = !is_unsupported(&e);
                    return left;
                }
            }
        }
    }

    pub(super) fn poll_write(
        &mut self,
        file: &Arc<StdFile>,
        about: &About,
        max: usize,
        cx: &mut Context<'_>,
        srcs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let unit = ready!(coop::poll_proceed(cx));
        self.cursor = None;
        let unread = self.buf.discard();
        if about.wants_alignment(file.as_raw_fd()) {
            let wanted = srcs.iter().map(|src| src.len()).fold(0, usize::saturating_add);
            self.buf.align(wanted.min(max));
        }
        let n = self.buf.copy_from(srcs, max);
        let buf = mem::take(&mut self.buf);
        let mut try_now = self.traits.writes_now && about.may_write_now(file.as_raw_fd());
        let may_try = try_now;
        self.call = Some(write(file.clone(), buf, unread, &mut try_now)?);
        self.traits.writes_now &= try_now || !may_try;
        unit.made_progress();
        Poll::Ready(Ok(n))
    }

    /// Reports the error of an earlier write, if there is one, or waits for what is on its way.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(kind) = self.write_error.take() {
            return Poll::Ready(Err(kind.into()));
        }
        match ready!(self.poll_call(cx))? {
            Some(Done::Write(result)) => Poll::Ready(result),
            Some(Done::Read(_) | Done::Seek(_)) | None => Poll::Ready(Ok(())),
        }
    }

    pub(super) fn start_seek(&mut self, file: &Arc<StdFile>, pos: SeekFrom) -> io::Result<()> {
        if self.call.is_some() {
            return Err(io::Error::other(
                "other file operation is pending, call poll_complete before start_seek",
            ));
        }
        let unread = self.buf.discard();
        let buf = mem::take(&mut self.buf);
        self.call = Some(seek(file, buf, unread, pos));
        Ok(())
    }

    pub(super) fn poll_complete(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let unit = ready!(coop::poll_proceed(cx));
        let done = ready!(self.poll_call(cx))?;
        unit.made_progress();
        match done {
            Some(Done::Seek(result)) => return Poll::Ready(result),
            Some(Done::Write(Err(e))) => self.keep_write_error(e),
            Some(Done::Write(Ok(())) | Done::Read(_)) | None => {}
        }
        Poll::Ready(Ok(self.pos))
    }

    /// Nothing may be on its way.
    pub(super) async fn set_len(&mut self, file: &Arc<StdFile>, len: u64) -> io::Result<()> {
        let unread = self.buf.discard();
        let buf = mem::take(&mut self.buf);
        self.call = Some(set_len(file.clone(), buf, unread, len));
        let done = poll_fn(|cx| self.poll_call(cx)).await;
        // That was none.
        self.cursor = None;
        match done? {
            Some(Done::Seek(result)) => result.map(drop),
            Some(Done::Read(_) | Done::Write(_)) | None => Ok(()),
        }
    }

    /// Waits until nothing is on its way. The next write or flush reports what went wrong.
    pub(super) async fn settle(&mut self) {
        match poll_fn(|cx| self.poll_call(cx)).await {
            Ok(Some(Done::Write(Err(e)))) | Err(e) => self.keep_write_error(e),
            Ok(_) => {}
        }
    }

    /// Of several errors the first is the one to report.
    fn keep_write_error(&mut self, e: io::Error) {
        self.write_error.get_or_insert(e.kind());
    }
}
