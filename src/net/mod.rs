//! TCP, UDP and Unix-domain sockets.
//!
//! The types mirror those of [`std::net`] and [`std::os::unix::net`]; where the standard library
//! would block the thread, these suspend the task.
//!
//! * [`TcpListener`], [`TcpStream`] and, to set options before connecting or listening,
//!   [`TcpSocket`];
//! * [`UdpSocket`];
//! * [`UnixListener`], [`UnixStream`], [`UnixDatagram`] and [`UnixSocket`];
//! * [`unix::pipe`] for pipes and FIFOs.
//!
//! Anything else that has a file descriptor can be watched with
//! [`AsyncFd`](crate::io::unix::AsyncFd).
//!
//! # How a socket waits
//!
//! Each type owns a `PollEvented`: a non-blocking socket next to its registration with the driver
//! of the runtime it was created in. An operation first tries its system call. If that would block,
//! the registration forgets the readiness it had and the task sleeps until the driver reports it
//! anew. Dropping a socket takes it out of the driver *before* the descriptor is closed, as does
//! `into_std`: a poll still armed would keep the file open, its peer connected and its port taken
//! (H01).
//!
//! # Panics
//!
//! Creating a socket, also from one of the standard library, panics outside of a runtime and in a
//! runtime built without [`enable_io`](crate::runtime::Builder::enable_io).

mod addr;
pub use addr::ToSocketAddrs;

cfg_net! {
    mod lookup_host;
    pub use lookup_host::lookup_host;

    pub mod tcp;
    pub use tcp::listener::TcpListener;
    pub use tcp::socket::TcpSocket;
    pub use tcp::stream::TcpStream;

    mod udp;
    #[doc(inline)]
    pub use udp::UdpSocket;

    pub mod unix;
    pub use unix::datagram::socket::UnixDatagram;
    pub use unix::listener::UnixListener;
    pub use unix::socket::UnixSocket;
    pub use unix::stream::UnixStream;

    #[cfg(test)]
    mod tests;
}
