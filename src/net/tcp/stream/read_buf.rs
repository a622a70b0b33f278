//! Reading into a `BufMut` without waiting: the stream and the halves that read.

use std::io;

use bytes::BufMut;

use super::TcpStream;
use crate::io::Interest;
use crate::net::tcp::{OwnedReadHalf, ReadHalf};
use crate::sys::socket;

impl TcpStream {
    /// [`try_read`](Self::try_read) into the spare capacity of `buf`, advancing it by what was
    /// read.
    ///
    /// # Errors
    ///
    /// As for [`try_read`](Self::try_read).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(stream: tokio::net::TcpStream) -> std::io::Result<()> {
    /// let mut received = Vec::with_capacity(4096);
    /// stream.readable().await?;
    /// match stream.try_read_buf(&mut received) {
    ///     Ok(n) => println!("{n} bytes more, {} in all", received.len()),
    ///     Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => println!("not yet"),
    ///     Err(e) => return Err(e),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.read_buf(buf, |buf| socket::recv_buf(&*self.io, buf)))
    }
}

impl ReadHalf<'_> {
    /// See [`TcpStream::try_read_buf`].
    ///
    /// # Errors
    ///
    /// As for [`try_read`](Self::try_read).
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        self.as_ref().try_read_buf(buf)
    }
}

impl OwnedReadHalf {
    /// See [`TcpStream::try_read_buf`].
    ///
    /// # Errors
    ///
    /// As for [`try_read`](Self::try_read).
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub fn try_read_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        self.as_ref().try_read_buf(buf)
    }
}
