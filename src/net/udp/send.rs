//! Sending datagrams.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use super::UdpSocket;
use crate::io::Interest;
use crate::net::addr::{ToSocketAddrs, to_socket_addrs};

impl UdpSocket {
    /// Sends `buf` as one datagram to the peer this socket is [connected](Self::connect) to, and
    /// returns its length.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`; also one that an earlier datagram earned, such as `ConnectionRefused`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this is dropped in a `select!` because another branch won, the datagram has
    /// not been sent.
    pub async fn send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .registration()
            .async_io(Interest::WRITABLE, || self.io.send(buf))
            .await
    }

    /// The polling form of [`send`](Self::send).
    ///
    /// Of the `poll_send*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    pub fn poll_send(&self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io
            .registration()
            .poll_write_io(cx, || self.io.send(buf))
    }

    /// Sends `buf` to the [connected](Self::connect) peer, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the send buffer is full; wait with [`writable`](Self::writable). Otherwise
    /// those of `send(2)`.
    pub fn try_send(&self, buf: &[u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || self.io.send(buf))
    }

    /// Sends `buf` as one datagram to `addr`, and returns its length.
    ///
    /// If `addr` yields several addresses, the first is used and no other is tried.
    ///
    /// # Errors
    ///
    /// Those of `sendto(2)`, that of the name resolution, or `InvalidInput` if there was no
    /// address.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this is dropped in a `select!` because another branch won, the datagram has
    /// not been sent.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(socket: tokio::net::UdpSocket) -> std::io::Result<()> {
    /// let n = socket.send_to(b"hello", "192.0.2.1:5000").await?;
    /// assert_eq!(n, 5);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn send_to<A: ToSocketAddrs>(&self, buf: &[u8], addr: A) -> io::Result<usize> {
        let target = to_socket_addrs(addr).await?.next().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "no addresses to send data to")
        })?;
        self.io
            .registration()
            .async_io(Interest::WRITABLE, || self.io.send_to(buf, target))
            .await
    }

    /// The polling form of [`send_to`](Self::send_to).
    ///
    /// Of the `poll_send*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// Those of `sendto(2)`.
    pub fn poll_send_to(
        &self,
        cx: &mut Context<'_>,
        buf: &[u8],
        target: SocketAddr,
    ) -> Poll<io::Result<usize>> {
        self.io
            .registration()
            .poll_write_io(cx, || self.io.send_to(buf, target))
    }

    /// Sends `buf` to `target`, without waiting.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if the send buffer is full; wait with [`writable`](Self::writable). Otherwise
    /// those of `sendto(2)`.
    pub fn try_send_to(&self, buf: &[u8], target: SocketAddr) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::WRITABLE, || self.io.send_to(buf, target))
    }
}
