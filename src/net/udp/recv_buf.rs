//! Receiving datagrams into a `BufMut`.

use std::io;
use std::net::SocketAddr;

use bytes::BufMut;

use super::UdpSocket;
use crate::io::Interest;
use crate::sys::socket;

impl UdpSocket {
    /// [`recv`](Self::recv) into the spare capacity of `buf`, advancing it by what was received.
    ///
    /// A `Vec` without spare capacity offers a little more of its own accord; reserve room for a
    /// whole datagram, or the rest is lost.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`recv`](Self::recv) is.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(socket: tokio::net::UdpSocket) -> std::io::Result<()> {
    /// let mut datagram = Vec::with_capacity(1500);
    /// let n = socket.recv_buf(&mut datagram).await?;
    /// assert_eq!(datagram.len(), n);
    /// # Ok(())
    /// # }
    /// ```
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub async fn recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        self.when_received(|| self.io.recv_buf(buf, |buf| socket::recv_buf(&*self.io, buf)))
            .await
    }

    /// [`try_recv`](Self::try_recv) into the spare capacity of `buf`, advancing it by what was
    /// received.
    ///
    /// # Errors
    ///
    /// As for [`try_recv`](Self::try_recv).
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub fn try_recv_buf<B: BufMut>(&self, buf: &mut B) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.recv_buf(buf, |buf| socket::recv_buf(&*self.io, buf)))
    }

    /// [`recv_from`](Self::recv_from) into the spare capacity of `buf`, advancing it by what was
    /// received.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`recv_from`](Self::recv_from) is.
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub async fn recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        self.when_received(|| self.recv_buf_from_now(buf)).await
    }

    /// [`try_recv_from`](Self::try_recv_from) into the spare capacity of `buf`, advancing it by
    /// what was received.
    ///
    /// # Errors
    ///
    /// As for [`try_recv_from`](Self::try_recv_from).
    #[cfg_attr(docsrs, doc(cfg(feature = "io-util")))]
    pub fn try_recv_buf_from<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.recv_buf_from_now(buf))
    }

    fn recv_buf_from_now<B: BufMut>(&self, buf: &mut B) -> io::Result<(usize, SocketAddr)> {
        let received = self.io.recv_buf_from(buf, |buf| socket::recv_buf_from(&*self.io, buf));
        let (n, sender) = received?;
        Ok((n, socket::inet_addr(&sender)?))
    }
}
