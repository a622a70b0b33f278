//! Looking at the next datagram without taking it.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, ready};

use socket2::SockRef;

use super::UdpSocket;
use crate::io::{Interest, ReadBuf};
use crate::sys::socket;

impl UdpSocket {
    /// Copies the next datagram from the [connected](Self::connect) peer into `buf`, waiting for
    /// one, and leaves it in the socket.
    ///
    /// Returns how much of it is in `buf`; what does not fit is missing from this copy only.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the socket anyway.
    pub async fn peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.when_received(|| self.io.peek(buf)).await
    }

    /// The polling form of [`peek`](Self::peek), into the unfilled part of `buf`.
    ///
    /// Of the `poll_recv*` and `poll_peek*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// As for [`peek`](Self::peek).
    pub fn poll_peek(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io
            .registration()
            .poll_read_io(cx, || self.io.peek_to(buf, |buf| socket::peek(&*self.io, buf)))
            .map_ok(drop)
    }

    /// Copies the next datagram from the [connected](Self::connect) peer into `buf`, without
    /// waiting, and leaves it in the socket.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; wait with [`readable`](Self::readable). Otherwise those of
    /// `recv(2)`.
    pub fn try_peek(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.peek(buf))
    }

    /// Copies the next datagram into `buf`, waiting for one, and leaves it in the socket. Returns
    /// how much of it is in `buf` and who sent it.
    ///
    /// # Errors
    ///
    /// Those of `recvfrom(2)`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the socket anyway.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn example(socket: tokio::net::UdpSocket) -> std::io::Result<()> {
    /// let mut kind = [0; 1];
    /// let (_, from) = socket.peek_from(&mut kind).await?;
    /// println!("a message of kind {} from {from}", kind[0]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.when_received(|| self.io.peek_from(buf)).await
    }

    /// The polling form of [`peek_from`](Self::peek_from), into the unfilled part of `buf`.
    ///
    /// Of the `poll_recv*` and `poll_peek*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// As for [`peek_from`](Self::peek_from).
    pub fn poll_peek_from(
        &self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<SocketAddr>> {
        let peeked = self
            .io
            .registration()
            .poll_read_io(cx, || self.io.peek_to_from(buf, |buf| socket::peek_from(&*self.io, buf)));
        let (_, sender) = ready!(peeked)?;
        Poll::Ready(socket::inet_addr(&sender))
    }

    /// Copies the next datagram into `buf`, without waiting, and leaves it in the socket. Returns
    /// how much of it is in `buf` and who sent it.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; wait with [`readable`](Self::readable). Otherwise those of
    /// `recvfrom(2)`.
    pub fn try_peek_from(&self, buf: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.io.peek_from(buf))
    }

    /// Waits for a datagram and returns who sent it, leaving it in the socket.
    ///
    /// # Errors
    ///
    /// Those of `recvfrom(2)`.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is taken out of the socket anyway.
    pub async fn peek_sender(&self) -> io::Result<SocketAddr> {
        self.when_received(|| self.peek_sender_now()).await
    }

    /// The polling form of [`peek_sender`](Self::peek_sender).
    ///
    /// Of the `poll_recv*` and `poll_peek*` methods only the waker of the latest call is kept.
    ///
    /// # Errors
    ///
    /// As for [`peek_sender`](Self::peek_sender).
    pub fn poll_peek_sender(&self, cx: &mut Context<'_>) -> Poll<io::Result<SocketAddr>> {
        self.io
            .registration()
            .poll_read_io(cx, || self.peek_sender_now())
    }

    /// Returns who sent the next datagram, without waiting, and leaves it in the socket.
    ///
    /// # Errors
    ///
    /// `WouldBlock` if there is none; wait with [`readable`](Self::readable). Otherwise those of
    /// `recvfrom(2)`.
    pub fn try_peek_sender(&self) -> io::Result<SocketAddr> {
        self.io
            .registration()
            .try_io(Interest::READABLE, || self.peek_sender_now())
    }

    fn peek_sender_now(&self) -> io::Result<SocketAddr> {
        if let Some(sender) = self.io.peek_sender() {
            return sender;
        }
        SockRef::from(self)
            .peek_sender()?
            .as_socket()
            .ok_or_else(|| io::Error::other("sender not available"))
    }
}
