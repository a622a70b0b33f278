//! Blocking objects behind asynchronous traits.
//!
//! A [`Blocking<T>`] lends its object, together with a buffer, to a thread of the
//! blocking pool for one call at a time, and gets both back with the result.
//!
//! - **Idle**: object and buffer are here. A read takes what the buffer holds; if
//!   that is nothing, it lends both out to be filled. A write copies into the
//!   buffer, lends both out and reports success at once.
//! - **Busy**: both are away. Every operation waits for them first; the error of
//!   a write shows up here, at the operation after it.
//! - **Gone**: a mandatory call could not be started because the runtime is
//!   shutting down. Nothing works any more.
//!
//! Dropping a future loses nothing: the state is in the object, and what a read
//! brought in is handed out by the next one.

use crate::driver::RUNTIME_SHUTTING_DOWN_ERROR;
use crate::io::{AsyncRead, AsyncWrite, ReadBuf};
use crate::runtime::task::JoinHandle;
use crate::runtime::{spawn_blocking, spawn_mandatory_blocking};

use std::fmt;
use std::future::Future;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// The most one call to the blocking pool reads or writes.
pub(crate) const DEFAULT_MAX_BUF_SIZE: usize = 2 * 1024 * 1024;

/// A blocking reader *or* writer that lives on the blocking pool.
#[derive(Debug)]
pub(crate) struct Blocking<T> {
    state: State<T>,
    /// Something has been written since the last flush.
    need_flush: bool,
    /// Calls that were started run even if the runtime shuts down.
    mandatory: bool,
}

#[derive(Debug)]
enum State<T> {
    Idle(Buf, T),
    Busy(JoinHandle<(io::Result<usize>, Buf, T)>),
    Gone,
}

impl<T> Blocking<T> {
    /// Wraps `inner`. A call that waits for a free thread when the runtime shuts
    /// down is dropped.
    pub(crate) fn new(inner: T) -> Blocking<T> {
        Blocking {
            state: State::Idle(Buf::with_capacity(0), inner),
            need_flush: false,
            mandatory: false,
        }
    }

    /// Wraps `inner`. A call that was started before the runtime shut down still
    /// runs: what was written is not lost.
    pub(crate) fn new_mandatory(inner: T) -> Blocking<T> {
        Blocking {
            mandatory: true,
            ..Blocking::new(inner)
        }
    }
}

impl<T: Send + 'static> Blocking<T> {
    /// Waits until the object is here, and returns the result of the call it was
    /// away for (0 if it was here already).
    fn poll_home(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match &mut self.state {
            State::Idle(..) => Poll::Ready(Ok(0)),
            State::Gone => Poll::Ready(Err(gone())),
            State::Busy(call) => {
                // A call that panicked or was dropped has taken the object along:
                // `state` stays `Busy`, as there is nothing to return to.
                let (result, buf, inner) = ready!(Pin::new(call).poll(cx))?;
                self.state = State::Idle(buf, inner);
                Poll::Ready(result)
            }
        }
    }

    /// Lends object and buffer out for one call of `f`. They must be here.
    fn lend(
        &mut self,
        f: impl FnOnce(&mut Buf, &mut T) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<()> {
        let State::Idle(mut buf, mut inner) = std::mem::replace(&mut self.state, State::Gone)
        else {
            return Err(gone());
        };
        let call = move || {
            let result = f(&mut buf, &mut inner);
            (result, buf, inner)
        };
        let call = if self.mandatory {
            spawn_mandatory_blocking(call).ok_or_else(gone)?
        } else {
            spawn_blocking(call)
        };
        self.state = State::Busy(call);
        Ok(())
    }
}

impl<T> AsyncRead for Blocking<T>
where
    T: Read + Unpin + Send + 'static,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        dst: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Idle(buf, _) if !buf.is_empty() => {
                buf.copy_to(dst);
                return Poll::Ready(Ok(()));
            }
            State::Idle(..) => {
                let max = dst.remaining().min(DEFAULT_MAX_BUF_SIZE);
                self.lend(move |buf, inner| buf.read_from(inner, max))?;
            }
            State::Busy(_) | State::Gone => {}
        }
        ready!(self.poll_home(cx))?;
        if let State::Idle(buf, _) = &mut self.state {
            buf.copy_to(dst);
        }
        Poll::Ready(Ok(()))
    }
}

impl<T> AsyncWrite for Blocking<T>
where
    T: Write + Unpin + Send + 'static,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        src: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_home(cx))?;
        let State::Idle(buf, _) = &mut self.state else {
            return Poll::Ready(Err(gone()));
        };
        let n = buf.copy_from(src, DEFAULT_MAX_BUF_SIZE);
        self.lend(move |buf, inner| buf.write_to(inner).map(|()| n))?;
        self.need_flush = true;
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.need_flush && matches!(self.state, State::Gone) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_home(cx))?;
        if self.need_flush {
            self.lend(|_, inner| inner.flush().map(|()| 0))?;
            self.need_flush = false;
            ready!(self.poll_home(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The buffer that travels with the object.
///
/// `storage` is initialised memory that only grows; the bytes that count are
/// those from `pos` to `end`. So nothing is zeroed twice, and nothing is read
/// that was not written.
pub(crate) struct Buf {
    storage: Vec<u8>,
    pos: usize,
    end: usize,
}

impl Buf {
    pub(crate) fn with_capacity(n: usize) -> Buf {
        Buf {
            storage: Vec::with_capacity(n),
            pos: 0,
            end: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pos == self.end
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.storage[self.pos..self.end]
    }

    fn clear(&mut self) {
        (self.pos, self.end) = (0, 0);
    }

    /// Moves as much as fits to `dst`, and returns how much that was.
    pub(crate) fn copy_to(&mut self, dst: &mut ReadBuf<'_>) -> usize {
        let bytes = self.bytes();
        let n = bytes.len().min(dst.remaining());
        dst.put_slice(&bytes[..n]);
        self.pos += n;
        if self.is_empty() {
            self.clear();
        }
        n
    }

    /// Fills the buffer, which must be empty, with at most `max` bytes of `src`,
    /// and returns how many that are.
    pub(crate) fn copy_from(&mut self, src: &[u8], max: usize) -> usize {
        assert!(self.is_empty());
        let n = src.len().min(max);
        self.storage.clear();
        self.storage.extend_from_slice(&src[..n]);
        (self.pos, self.end) = (0, n);
        n
    }

    /// Fills the buffer, which must be empty, with one read of at most `max`
    /// bytes. Interrupted reads are repeated.
    pub(crate) fn read_from<T: Read>(&mut self, reader: &mut T, max: usize) -> io::Result<usize> {
        assert!(self.is_empty());
        self.clear();
        if self.storage.len() < max {
            self.storage.resize(max, 0);
        }
        loop {
            match reader.read(&mut self.storage[..max]) {
                Ok(n) => {
                    assert!(n <= max, "a reader reported {n} bytes in {max}");
                    self.end = n;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Writes the whole buffer out. It is empty afterwards, also on an error.
    pub(crate) fn write_to<T: Write>(&mut self, writer: &mut T) -> io::Result<()> {
        // `write_all` repeats interrupted writes itself.
        let result = writer.write_all(self.bytes());
        self.clear();
        result
    }
}

/// Shows what counts, not what the storage held earlier.
impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buf").field("bytes", &self.bytes()).finish()
    }
}

fn gone() -> io::Error {
    io::Error::other(RUNTIME_SHUTTING_DOWN_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails as told, then delivers.
    struct Scripted(Vec<io::Result<&'static [u8]>>);

    impl Read for Scripted {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let bytes = self.0.remove(0)?;
            let n = bytes.len().min(buf.len());
            buf[..n].copy_from_slice(&bytes[..n]);
            Ok(n)
        }
    }

    fn take(buf: &mut Buf, n: usize) -> Vec<u8> {
        let mut storage = vec![0; n];
        let mut dst = ReadBuf::new(&mut storage);
        buf.copy_to(&mut dst);
        dst.filled().to_vec()
    }

    #[test]
    fn a_short_read_does_not_show_older_bytes() {
        let mut buf = Buf::with_capacity(0);
        let mut reader = Scripted(vec![Ok(b"abcdef"), Ok(b"xy"), Ok(b"")]);
        assert_eq!(buf.read_from(&mut reader, 6).unwrap(), 6);
        assert_eq!(take(&mut buf, 4), b"abcd");
        assert_eq!(take(&mut buf, 4), b"ef");
        assert_eq!(buf.read_from(&mut reader, 6).unwrap(), 2);
        assert_eq!(format!("{buf:?}"), "Buf { bytes: [120, 121] }");
        assert_eq!(take(&mut buf, 4), b"xy");
        assert_eq!(buf.read_from(&mut reader, 6).unwrap(), 0);
        assert!(buf.is_empty());
    }

    #[test]
    fn interrupted_reads_are_repeated() {
        let mut buf = Buf::with_capacity(0);
        let interrupted = || Err(io::ErrorKind::Interrupted.into());
        let mut reader = Scripted(vec![interrupted(), interrupted(), Ok(b"a")]);
        assert_eq!(buf.read_from(&mut reader, 8).unwrap(), 1);
        assert_eq!(buf.bytes(), b"a");
    }

    #[test]
    fn an_error_leaves_the_buffer_empty() {
        let mut buf = Buf::with_capacity(0);
        let mut reader = Scripted(vec![Err(io::ErrorKind::BrokenPipe.into())]);
        assert!(buf.read_from(&mut reader, 8).is_err());
        assert!(buf.is_empty());
    }

    #[test]
    fn a_write_takes_at_most_the_limit() {
        let mut buf = Buf::with_capacity(0);
        assert_eq!(buf.copy_from(b"abcdef", 4), 4);
        let mut out = Vec::new();
        buf.write_to(&mut out).unwrap();
        assert_eq!(out, b"abcd");
        assert!(buf.is_empty());
    }
}
