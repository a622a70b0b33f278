//! The owned halves of a [`TcpStream`].
//!
//! Both hold the stream in one [`Arc`]; it is closed with the second of them. The write half shuts
//! its direction down when it goes, so that the peer learns of it while the other half reads on.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use crate::io::{AsyncRead, AsyncWrite, Interest, ReadBuf, Ready};
use crate::net::TcpStream;

/// The half of a [`TcpStream`] that reads, made by [`TcpStream::into_split`].
///
/// Reading goes through the methods of [`AsyncReadExt`](crate::io::AsyncReadExt).
#[derive(Debug)]
pub struct OwnedReadHalf {
    inner: Arc<TcpStream>,
}

/// The half of a [`TcpStream`] that writes, made by [`TcpStream::into_split`].
///
/// Writing goes through the methods of [`AsyncWriteExt`](crate::io::AsyncWriteExt). Dropping it
/// ends the stream in this direction, as its `shutdown` does; see [`forget`](Self::forget) for a
/// way around that.
#[derive(Debug)]
pub struct OwnedWriteHalf {
    inner: Arc<TcpStream>,
    shutdown_on_drop: bool,
}

/// The error of [`OwnedReadHalf::reunite`]: the halves belong to different streams. It gives them
/// back.
#[derive(Debug)]
pub struct ReuniteError(pub OwnedReadHalf, pub OwnedWriteHalf);

impl fmt::Display for ReuniteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tried to reunite halves that are not from the same socket")
    }
}

impl Error for ReuniteError {}

pub(crate) fn split_owned(stream: TcpStream) -> (OwnedReadHalf, OwnedWriteHalf) {
    let inner = Arc::new(stream);
    let read = OwnedReadHalf {
        inner: Arc::clone(&inner),
    };
    let write = OwnedWriteHalf {
        inner,
        shutdown_on_drop: true,
    };
    (read, write)
}

fn reunite(read: OwnedReadHalf, write: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
    if !Arc::ptr_eq(&read.inner, &write.inner) {
        return Err(ReuniteError(read, write));
    }
    write.forget();
    // There were two references, and `forget` dropped one.
    Ok(Arc::try_unwrap(read.inner).expect("TcpStream: try_unwrap failed in reunite"))
}

impl OwnedReadHalf {
    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    ///
    /// Gives both halves back if they are not from the same call of
    /// [`into_split`](TcpStream::into_split).
    pub fn reunite(self, other: OwnedWriteHalf) -> Result<TcpStream, ReuniteError> {
        reunite(self, other)
    }

    /// The polling form of [`peek`](Self::peek); see [`TcpStream::poll_peek`].
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    pub fn poll_peek(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_peek(cx, buf)
    }

    /// Copies bytes that have arrived into `buf` without taking them out of the socket; see
    /// [`TcpStream::peek`].
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the socket anyway.
    pub async fn peek(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut buf = ReadBuf::new(buf);
        poll_fn(|cx| self.poll_peek(cx, &mut buf)).await
    }

    /// Waits until the socket has one of the states in `interest`; see [`TcpStream::ready`].
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness is kept until an attempt meets `WouldBlock`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.inner.ready(interest).await
    }

    /// Waits until the half can be read: [`ready`](Self::ready) with [`Interest::READABLE`].
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](Self::ready) is.
    pub async fn readable(&self) -> io::Result<()> {
        self.inner.readable().await
    }

    /// Reads what has arrived into `buf`, without waiting; see [`TcpStream::try_read`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if nothing has arrived; wait with [`readable`](Self::readable). Otherwise those
    /// of `recv(2)`.
    pub fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_read(buf)
    }

    /// [`try_read`](Self::try_read) into several buffers, filled one after the other with a single
    /// system call.
    ///
    /// # Errors
    ///
    /// As for [`try_read`](Self::try_read).
    pub fn try_read_vectored(&self, bufs: &mut [io::IoSliceMut<'_>]) -> io::Result<usize> {
        self.inner.try_read_vectored(bufs)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl OwnedWriteHalf {
    /// Puts the halves of one stream together again.
    ///
    /// # Errors
    ///
    /// Gives both halves back if they are not from the same call of
    /// [`into_split`](TcpStream::into_split).
    pub fn reunite(self, other: OwnedReadHalf) -> Result<TcpStream, ReuniteError> {
        reunite(other, self)
    }

    /// Drops this half without ending the stream in its direction; that happens when the other half
    /// is dropped too.
    pub fn forget(mut self) {
        self.shutdown_on_drop = false;
    }

    /// Waits until the socket has one of the states in `interest`; see [`TcpStream::ready`].
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: readiness is kept until an attempt meets `WouldBlock`.
    pub async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        self.inner.ready(interest).await
    }

    /// Waits until the half can be written: [`ready`](Self::ready) with [`Interest::WRITABLE`].
    ///
    /// # Errors
    ///
    /// Fails when the runtime is shutting down.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`ready`](Self::ready) is.
    pub async fn writable(&self) -> io::Result<()> {
        self.inner.writable().await
    }

    /// Writes as much of `buf` as the socket takes, without waiting; see [`TcpStream::try_write`].
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the socket takes nothing; wait with [`writable`](Self::writable). Otherwise
    /// those of `send(2)`.
    pub fn try_write(&self, buf: &[u8]) -> io::Result<usize> {
        self.inner.try_write(buf)
    }

    /// [`try_write`](Self::try_write) from several buffers, one after the other with a single
    /// system call.
    ///
    /// # Errors
    ///
    /// As for [`try_write`](Self::try_write).
    pub fn try_write_vectored(&self, bufs: &[io::IoSlice<'_>]) -> io::Result<usize> {
        self.inner.try_write_vectored(bufs)
    }

    /// The address of the other end.
    ///
    /// # Errors
    ///
    /// Those of `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.inner.peer_addr()
    }

    /// The address of this end.
    ///
    /// # Errors
    ///
    /// Those of `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl Drop for OwnedWriteHalf {
    fn drop(&mut self) {
        if self.shutdown_on_drop {
            // Nobody is left to hear of an error.
            let _ = self.inner.shutdown_std(Shutdown::Write);
        }
    }
}

impl AsyncRead for OwnedReadHalf {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.inner.poll_read_priv(cx, buf)
    }
}

impl AsyncWrite for OwnedWriteHalf {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write_priv(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.inner.poll_write_vectored_priv(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    /// Waits for nothing: see [`TcpStream`]'s.
    #[inline]
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner.poll_flush_priv()
    }

    /// Ends the stream in this direction; dropping the half then has nothing left to do.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let done = ready!(self.inner.poll_shutdown_priv());
        if done.is_ok() {
            self.shutdown_on_drop = false;
        }
        Poll::Ready(done)
    }
}

impl AsRef<TcpStream> for OwnedReadHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.inner
    }
}

impl AsRef<TcpStream> for OwnedWriteHalf {
    fn as_ref(&self) -> &TcpStream {
        &self.inner
    }
}
