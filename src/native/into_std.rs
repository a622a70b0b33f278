//! Taking sockets and pipes off the runtime without losing one.

use std::net;
use std::os::fd::OwnedFd;
use std::os::unix::net as unix;

use super::IntoInnerError;
use crate::net::unix::pipe;
use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

macro_rules! sockets {
    ($($name:ident => $std:ty,)*) => { $(
        impl $name {
            /// [`into_std`](Self::into_std) whose error has the object by its type.
            ///
            /// # Errors
            ///
            /// While something is left that a dropped native operation had received, or while one is still on
            /// its way on a ring whose thread is busy for long; and if bytes that were accepted cannot be
            /// sent.
            #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
            pub fn try_into_std(self) -> Result<$std, IntoInnerError<$name>> {
                self.take_std()
            }
        }
    )* };
}

sockets! {
    TcpListener => net::TcpListener,
    TcpStream => net::TcpStream,
    UdpSocket => net::UdpSocket,
    UnixDatagram => unix::UnixDatagram,
    UnixListener => unix::UnixListener,
    UnixStream => unix::UnixStream,
}

macro_rules! ends {
    ($($name:ident)*) => { $(
        impl pipe::$name {
            /// [`into_nonblocking_fd`](Self::into_nonblocking_fd) whose error has the object by its type.
            ///
            /// # Errors
            ///
            /// While something is left that a dropped native operation had read, or while one is still on its
            /// way on a ring whose thread is busy for long.
            #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
            pub fn try_into_nonblocking_fd(self) -> Result<OwnedFd, IntoInnerError<pipe::$name>> {
                self.take_fd()
            }
        }
    )* };
}

ends! { Receiver Sender }
