//! Connected streams.

use std::io;
use std::net::Shutdown as How;
use std::sync::Arc;

use super::action::{self, Kind, Of};
use super::target::Target;
use super::{
    BoundedBuf, BoundedBufMut, BufPool, ControlMessage, Recv, RecvMulti, RecvExact, RecvMsg, RecvVectored, Request, Send, SendAll,
    SendMsg, SendMsgZc, SendVectored, SendZc, Shutdown, action::Action,
};
use crate::driver::{Found, Interest, Leftover, Leftovers, Registration};
use crate::net::{TcpStream, UnixStream, unix};

impl TcpStream {
    /// Operations of the ring on this connection.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> Stream<'_> {
        Stream { io: self.registration() }
    }
}

impl UnixStream {
    /// Operations of the ring on this connection.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> Stream<'_> {
        Stream { io: self.registration() }
    }
}

/// Operations of the ring on a connected stream.
///
/// Get one with [`TcpStream::native`] or [`UnixStream::native`], and of the halves of a split stream
/// by way of their `as_ref`. Any number of operations may be on their way at once; the kernel does
/// them in the order it likes, so it is usually one in each direction.
#[derive(Debug, Clone, Copy)]
pub struct Stream<'a> {
    io: &'a Registration,
}

impl<'a> Stream<'a> {
    fn io(self) -> &'a Arc<Leftovers> {
        self.io.leftovers()
    }

    fn read<A: Action>(self, action: A) -> Request<'a, A> {
        Request::new(action, Target::Io(self.io, Interest::READABLE))
    }

    fn write<A: Action>(self, action: A) -> Request<'a, A> {
        Request::new(action, Target::Io(self.io, Interest::WRITABLE))
    }

    /// Receives what there is into `buf`, from its beginning up to its capacity, waiting for the
    /// first byte. The result says how many bytes; 0 is the end of the stream, or no room.
    ///
    /// `IORING_OP_RECV` (Linux 5.6); without it `recv(2)` when readable.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: see [`Request`].
    pub fn recv<B: BoundedBufMut>(self, buf: B) -> Request<'a, Recv<B>> {
        self.read(Recv::new(self.io(), buf, Kind::Stream(0)))
    }

    /// Receives like [`recv`](Self::recv), but leaves the bytes for the next read (`MSG_PEEK`).
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`.
    pub fn peek<B: BoundedBufMut>(self, buf: B) -> Request<'a, Recv<B>> {
        self.read(Recv::new(self.io(), buf, Kind::Stream(libc::MSG_PEEK)))
    }

    /// Receives until `buf` is full, up to its capacity.
    ///
    /// `IORING_OP_RECV`, time and again; without it `recv(2)` when readable.
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`, and [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the stream ends
    /// before: then the buffer has what had come.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost: after an error, at the end of a time limit, or if the future is dropped,
    /// what had been received is the next read's.
    pub fn recv_exact<B: BoundedBufMut>(self, buf: B) -> Request<'a, RecvExact<B>> {
        self.read(RecvExact::new(self.io(), buf))
    }

    /// Receives into several buffers, one after the other.
    ///
    /// `IORING_OP_READV` (Linux 5.1); without it `readv(2)` when readable.
    ///
    /// # Errors
    ///
    /// Those of `readv(2)`.
    pub fn recv_vectored<B: BoundedBufMut>(self, bufs: Vec<B>) -> Request<'a, RecvVectored<B>> {
        self.read(RecvVectored::new(self.io(), bufs))
    }

    /// Receives into several buffers, with control messages for which there are `room` bytes: see
    /// [`ControlMessage::room`].
    ///
    /// `IORING_OP_RECVMSG` (Linux 5.3); without it `recvmsg(2)` when readable.
    ///
    /// # Errors
    ///
    /// Those of `recvmsg(2)`.
    pub fn recv_msg<B: BoundedBufMut>(
        self,
        bufs: Vec<B>,
        room: usize,
    ) -> Request<'a, RecvMsg<B, unix::SocketAddr>> {
        self.read(RecvMsg::new(self.io(), bufs, room, Of::Stream))
    }

    /// Receives as long as there is something, into buffers that are picked from `pool` as it
    /// arrives: one submission for many results, and no buffer while nothing comes.
    ///
    /// While all buffers are away nothing is received; it goes on when one is dropped. What happens if they
    /// are few says [`BufPool`].
    ///
    /// `IORING_OP_RECV` with `IORING_RECV_MULTISHOT` (Linux 6.0) into a ring of provided buffers; without
    /// it `recv(2)` when readable, into buffers of the pool.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// use tokio::native::BufPool;
    /// # let (stream, peer) = tokio::net::UnixStream::pair()?;
    /// # peer.native().send_all("hello").await.0?;
    /// # drop(peer);
    ///
    /// let pool = BufPool::new(64, 4096);
    /// let mut incoming = stream.native().recv_multi(&pool);
    /// while let Some(bytes) = incoming.next().await {
    ///     println!("{} bytes", bytes?.len());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of `recv(2)`; the stream ends with them.
    ///
    /// # Cancel safety
    ///
    /// If the stream is dropped, what it had received and nobody has taken is the next read's.
    pub fn recv_multi(self, pool: &BufPool) -> RecvMulti<'a> {
        RecvMulti::new(self.io, pool)
    }

    /// Sends what is initialised of `buf`, or a part of it; the result says how much.
    ///
    /// `IORING_OP_SEND` (Linux 5.6); without it `send(2)` when writable.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`. A connection that the peer has closed is an error, never a signal.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped some of the bytes may have been sent.
    pub fn send<B: BoundedBuf>(self, buf: B) -> Request<'a, Send<B>> {
        self.write(Send::new(self.io(), buf, action::How::Copied(0)))
    }

    /// Sends all that is initialised of `buf`.
    ///
    /// `IORING_OP_SEND` with `MSG_WAITALL` (Linux 5.19); what an older kernel leaves is sent
    /// after that. Without the opcode `send(2)` when writable, time and again.
    ///
    /// # Errors
    ///
    /// Those of `send(2)`.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped some of the bytes may have been sent.
    pub fn send_all<B: BoundedBuf>(self, buf: B) -> Request<'a, SendAll<B>> {
        self.write(SendAll::new(self.io(), buf, action::How::Copied(0)))
    }

    /// Sends what is initialised of `buf`, or a part of it, without copying it: the kernel
    /// transmits from the buffer. The result is known when the bytes are in the socket; the buffer
    /// comes back when the peer has acknowledged them, by a future of its own, [`Lent`]. Worth it
    /// from some ten KiB on, over a real network.
    ///
    /// `IORING_OP_SEND_ZC` (Linux 6.0), which need not look the memory up for a buffer of a
    /// [`FixedBufPool`](super::FixedBufPool); without it, and on Unix sockets, like
    /// [`send`](Self::send).
    ///
    /// # Errors
    ///
    /// Those of `send(2)`. The buffer comes back all the same.
    ///
    /// [`Lent`]: super::Lent
    pub fn send_zc<B: BoundedBuf>(self, buf: B) -> Request<'a, SendZc<B>> {
        self.write(SendZc::new(self.io(), buf))
    }

    /// Sends from several buffers, one after the other; the result says how much.
    ///
    /// `IORING_OP_SENDMSG` (Linux 5.3); without it `sendmsg(2)` when writable.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`. No send raises `SIGPIPE`.
    pub fn send_vectored<B: BoundedBuf>(self, bufs: Vec<B>) -> Request<'a, SendVectored<B>> {
        self.write(SendVectored::new(self.io(), bufs))
    }

    /// Sends from several buffers, with control messages.
    ///
    /// `IORING_OP_SENDMSG` (Linux 5.3); without it `sendmsg(2)` when writable.
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`.
    pub fn send_msg<B: BoundedBuf>(
        self,
        bufs: Vec<B>,
        control: Vec<ControlMessage>,
    ) -> Request<'a, SendMsg<B>> {
        self.write(SendMsg::new(self.io(), bufs, None, control))
    }

    /// The same without copying the buffers, which come back by themselves: see [`send_zc`](Self::send_zc).
    ///
    /// `IORING_OP_SENDMSG_ZC` (Linux 6.1); without it, and on Unix sockets, like
    /// [`send_msg`](Self::send_msg).
    ///
    /// # Errors
    ///
    /// Those of `sendmsg(2)`.
    pub fn send_msg_zc<B: BoundedBuf>(
        self,
        bufs: Vec<B>,
        control: Vec<ControlMessage>,
    ) -> Request<'a, SendMsgZc<B>> {
        self.write(SendMsgZc::new(self.io(), bufs, control))
    }

    /// Ends the connection, in one direction or both.
    ///
    /// `IORING_OP_SHUTDOWN` (Linux 5.11); without it `shutdown(2)`.
    ///
    /// # Errors
    ///
    /// Those of `shutdown(2)`.
    pub fn shutdown(self, how: How) -> Request<'a, Shutdown> {
        self.write(Shutdown::new(self.io(), how))
    }

    /// What dropped operations have received and nobody has read yet, after waiting for those that
    /// are still on their way. The next read would find it first.
    ///
    /// While there is any, `into_std` fails, and so do `try_io` and `async_io` with a system call of your own
    /// that reads.
    ///
    /// # Errors
    ///
    /// An error that such an operation met, or the end of the runtime.
    pub async fn leftovers(self) -> io::Result<Vec<u8>> {
        leftovers(self.io).await
    }

    pub(crate) fn registration(self) -> &'a Registration {
        self.io
    }
}

/// See [`Stream::leftovers`].
pub(super) async fn leftovers(io: &Registration) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        match io.leftovers().take() {
            Found::Kept(Ok(Leftover::Bytes { data, read, .. })) => all.extend_from_slice(&data[read..]),
            Found::Kept(Ok(Leftover::Datagram { data, .. })) => all.extend_from_slice(&data),
            Found::Kept(Ok(Leftover::Accepted { .. } | Leftover::Error(_))) => {
                unreachable!("neither is kept for readers, or taken as such")
            }
            Found::Kept(Err(e)) if all.is_empty() => return Err(e),
            Found::Kept(Err(e)) => {
                // The bytes first.
                io.leftovers().keep(e.raw_os_error().map(Leftover::Error));
                return Ok(all);
            }
            Found::Nothing => return Ok(all),
            Found::Unsettled => io.settled().await.map(|_| ())?,
        }
    }
}
