//! Sockets of datagrams.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use super::action::{Action, How, Of};
use super::address::Address;
use super::incoming::DATAGRAM_OR_ERROR;
use super::target::Target;
use super::{
    BoundedBuf, BoundedBufMut, BufPool, Connect, ControlMessage, Datagrams, RecvFrom, RecvMsg, RecvMulti, Request, Send, SendMsg, SendTo,
};
use crate::driver::{Interest, Leftovers, Registration};
use crate::net::{self, UdpSocket, unix};

impl UdpSocket {
    /// Operations of the ring on this socket.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> Udp<'_> {
        Udp { io: self.registration() }
    }
}

impl net::UnixDatagram {
    /// Operations of the ring on this socket.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> UnixDatagram<'_> {
        UnixDatagram { io: self.registration() }
    }
}

/// The two kinds differ in the type of their addresses.
macro_rules! datagrams {
    ($(#[$attr:meta])* $name:ident, $addr:ty) => {
        $(#[$attr])*
        ///
        /// Each operation receives or sends one datagram. On a socket that is connected those of
        /// other senders are not received.
        #[derive(Debug, Clone, Copy)]
        pub struct $name<'a> {
            io: &'a Registration,
        }

        impl<'a> $name<'a> {
            fn io(self) -> &'a Arc<Leftovers> {
                self.io.leftovers()
            }

            fn read<A: Action>(self, action: A) -> Request<'a, A> {
                Request::new(action, Target::Io(self.io, DATAGRAM_OR_ERROR))
            }

            fn write<A: Action>(self, action: A) -> Request<'a, A> {
                Request::new(action, Target::Io(self.io, Interest::WRITABLE))
            }

            /// Receives a datagram into `buf`, from its beginning up to its capacity; what does not
            /// fit is lost.
            ///
            /// `IORING_OP_RECVMSG` (Linux 5.3); without it `recvmsg(2)` when readable.
            ///
            /// # Errors
            ///
            /// Those of `recvmsg(2)`.
            ///
            /// # Cancel safety
            ///
            /// A datagram that a dropped future has received is the next one to be received, on
            /// whatever lane.
            pub fn recv<B: BoundedBufMut>(self, buf: B) -> Request<'a, RecvFrom<B, usize>> {
                self.read(RecvFrom::new(self.io(), buf))
            }

            /// The same, and who sent it.
            ///
            /// # Errors
            ///
            /// Those of `recvmsg(2)`.
            pub fn recv_from<B: BoundedBufMut>(self, buf: B) -> Request<'a, RecvFrom<B, (usize, $addr)>> {
                self.read(RecvFrom::new(self.io(), buf))
            }

            /// Receives a datagram into several buffers, one after the other, with control messages
            /// for which there are `room` bytes: see [`ControlMessage::room`].
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
            ) -> Request<'a, RecvMsg<B, $addr>> {
                self.read(RecvMsg::new(self.io(), bufs, room, Of::Datagrams))
            }

            /// Receives datagrams as they come, each into a buffer that is picked from `pool` then,
            /// with its sender: one submission for many of them. A buffer has room for a datagram of
            /// [`BufPool::size`] bytes; what does not fit is lost, and
            /// [`PoolBuf::is_truncated`](super::PoolBuf::is_truncated) says so.
            ///
            /// While all buffers are away nothing is received; it goes on when one is dropped. What happens
            /// if they are few says [`BufPool`].
            ///
            /// `IORING_OP_RECVMSG` with `IORING_RECV_MULTISHOT` (Linux 6.0) into a ring of provided
            /// buffers; without it `recvfrom(2)` when readable, into buffers of the pool.
            ///
            /// # Errors
            ///
            /// Those of `recvmsg(2)`. The stream goes on after those that are about something else than the
            /// call itself: that nobody received what was sent before (`ECONNREFUSED`), for one. It ends with
            /// the runtime.
            ///
            /// # Cancel safety
            ///
            /// If the stream is dropped, datagrams that it had received and nobody has taken are the
            /// next ones to be received, on whatever lane.
            pub fn recv_multi(self, pool: &BufPool) -> RecvMulti<'a, Datagrams<$addr>> {
                RecvMulti::new(self.io, pool)
            }

            /// Sends a datagram to the peer the socket is connected to.
            ///
            /// `IORING_OP_SEND` (Linux 5.6); without it `send(2)` when writable.
            ///
            /// # Errors
            ///
            /// Those of `send(2)`.
            pub fn send<B: BoundedBuf>(self, buf: B) -> Request<'a, Send<B>> {
                self.write(Send::new(self.io(), buf, How::Copied(0)))
            }

            /// Sends a datagram to `to`.
            ///
            /// `IORING_OP_SENDMSG` (Linux 5.3); without it `sendmsg(2)` when writable.
            ///
            /// # Errors
            ///
            /// Those of `sendmsg(2)`.
            pub fn send_to<B: BoundedBuf>(self, buf: B, to: $addr) -> Request<'a, SendTo<B>> {
                self.write(SendTo::new(self.io(), buf, to.to_kernel()))
            }

            /// Sends a datagram from several buffers, with control messages: to `to`, or to the
            /// peer the socket is connected to.
            ///
            /// `IORING_OP_SENDMSG` (Linux 5.3); without it `sendmsg(2)` when writable.
            ///
            /// # Errors
            ///
            /// Those of `sendmsg(2)`.
            pub fn send_msg<B: BoundedBuf>(
                self,
                bufs: Vec<B>,
                to: Option<$addr>,
                control: Vec<ControlMessage>,
            ) -> Request<'a, SendMsg<B>> {
                self.write(SendMsg::new(self.io(), bufs, to.map(|to| to.to_kernel()), control))
            }

            /// Sets who datagrams are sent to and received from.
            ///
            /// `IORING_OP_CONNECT` (Linux 5.5); without it `connect(2)`.
            ///
            /// # Errors
            ///
            /// Those of `connect(2)`, and `InvalidInput` for an address that is none.
            pub fn connect(self, to: $addr) -> Request<'a, Connect> {
                self.write(Connect::new(self.io(), to.to_kernel()))
            }

            /// What dropped operations have received and nobody has read yet, after waiting for
            /// those that are still on their way: all the datagrams in one. The next receive would
            /// find the first of them. `try_recv_from` has them one by one, with their senders.
            ///
            /// While there are any, `into_std` fails, and so do `try_io` and `async_io` with a system call
            /// of your own that reads.
            ///
            /// # Errors
            ///
            /// An error that such an operation met, or the end of the runtime.
            pub async fn leftovers(self) -> io::Result<Vec<u8>> {
                super::stream::leftovers(self.io).await
            }
        }
    };
}

datagrams! {
    /// Operations of the ring on a UDP socket: [`UdpSocket::native`].
    Udp, SocketAddr
}

datagrams! {
    /// Operations of the ring on a Unix socket of datagrams: [`net::UnixDatagram::native`].
    UnixDatagram, unix::SocketAddr
}
