//! Receiving datagrams.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use super::UdpSocket;
use crate::io::{Interest, ReadBuf};
use crate::sys::socket;

impl UdpSocket {
    /// Receives a datagram from the peer this socket is [connected](Self::connect) to, and returns
    /// how much of it is in `buf`.
    ///
    /// What does not fit `buf` is lost.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`; also one that an earlier datagram earned, such as `ConnectionRefused`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this is dropped in a `select!` because another branch won, no datagram has
    /// been taken.
    pub async fn recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.when_received(|| self.io.recv(buf)).await
    }

    /// The polling form of [`recv`](Self::recv), into the unfilled part of `buf`.
    ///
    /// Of the `poll_recv*` and `poll_peek*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// As for [`recv`](Self::recv).
    pub fn poll_recv(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io
            .registration()
            .poll_read_io(cx, || self.io.recv_to(buf, |buf| socket::recv(&*self.io, buf)))
            .map_ok(drop)
    }

    /// Receives a datagram from the [connected](Self::connect) peer, without waiting.
    ///
    /// What does not fit `buf` is lost.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; wait with [`readable`](Self::readable). Otherwise those of
    /// `recv(2)`.
    pub fn try_recv(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.recv(buf))
    }

    /// Receives a datagram, and returns how much of it is in `buf` and who sent it.
    ///
    /// What does not fit `buf` is lost.
    ///
    /// # Errors
    ///
    /// Those of `recvfrom(2)`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: if this is dropped in a `select!` because another branch won, no datagram has
    /// been taken.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(socket: tokio::net::UdpSocket) -> std::io::Result<()> {
    /// let mut buf = [0; 1500];
    /// let (n, from) = socket.recv_from(&mut buf).await?;
    /// println!("{from}: {:?}", &buf[..n]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.when_received(|| self.io.recv_from(buf)).await
    }

    /// The polling form of [`recv_from`](Self::recv_from), into the unfilled part of `buf`.
    ///
    /// Of the `poll_recv*` and `poll_peek*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// As for [`recv_from`](Self::recv_from).
    pub fn poll_recv_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let received = self
            .io
            .registration()
            .poll_read_io(cx, || self.io.recv_to_from(buf, |buf| socket::recv_from(&*self.io, buf)));
        let (_, sender) = ready!(received)?;
        Poll::Ready(socket::inet_addr(&sender))
    }

    /// Receives a datagram and its sender's address, without waiting.
    ///
    /// What does not fit `buf` is lost.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; wait with [`readable`](Self::readable). Otherwise those of
    /// `recvfrom(2)`.
    pub fn try_recv_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.recv_from(buf))
    }
}
