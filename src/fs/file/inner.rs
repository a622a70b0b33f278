//! The moving parts of a file: its buffer, and the call the buffer is away with.
//!
//! - No call on its way: the buffer is here. It holds what was read and not handed out; the cursor
//!   of the descriptor is that much ahead of what the user sees. A write or seek takes it back.
//! - A call on its way: the buffer is with it, and whatever comes next waits for it. Only `poll_*`
//!   wait; a future that is dropped leaves the call for the next one to find.

use super::Buf;
use crate::fs::op::file::{Call, Done, read, seek, set_len, write};
use crate::io::ReadBuf;

use std::fs::File as StdFile;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice, SeekFrom};
use std::mem;
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
}

impl Inner {
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
        }
        Poll::Ready(Ok(Some(done)))
    }

    pub(super) fn poll_read(
        &mut self,
        file: &Arc<StdFile>,
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
                let max = max.min(dst.remaining());
                self.call = Some(read(file.clone(), mem::take(&mut self.buf), max));
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

    pub(super) fn poll_write(
        &mut self,
        file: &Arc<StdFile>,
        max: usize,
        cx: &mut Context<'_>,
        srcs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_flush(cx))?;
        let unread = self.buf.discard();
        let n = self.buf.copy_from(srcs, max);
        self.call = Some(write(file.clone(), mem::take(&mut self.buf), unread)?);
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
        self.call = Some(seek(file.clone(), buf, unread, pos));
        Ok(())
    }

    pub(super) fn poll_complete(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        match ready!(self.poll_call(cx))? {
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
        match poll_fn(|cx| self.poll_call(cx)).await? {
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
