//! The socket options of a [`TcpStream`].

use std::io;
use std::time::Duration;

use socket2::SockRef;

use super::TcpStream;

impl TcpStream {
    /// Reads `TCP_NODELAY`; see [`set_nodelay`](Self::set_nodelay).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn nodelay(&self) -> io::Result<bool> {
        self.io.nodelay()
    }

    /// Sets `TCP_NODELAY`: whether small segments are sent at once instead of being gathered
    /// (Nagle's algorithm).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.io.set_nodelay(nodelay)
    }

    /// Reads `TCP_QUICKACK`; see [`set_quickack`](Self::set_quickack).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn quickack(&self) -> io::Result<bool> {
        SockRef::from(self).tcp_quickack()
    }

    /// Sets `TCP_QUICKACK`: whether segments are acknowledged at once rather than with a delay.
    ///
    /// Not permanent: the kernel goes back to its own judgement as the connection proceeds (see
    /// `tcp(7)`).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_quickack(&self, quickack: bool) -> io::Result<()> {
        SockRef::from(self).set_tcp_quickack(quickack)
    }

    /// Reads `SO_LINGER`: `None` if closing does not wait.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn linger(&self) -> io::Result<Option<Duration>> {
        SockRef::from(self).linger()
    }

    /// Sets `SO_LINGER`: how long closing the socket may wait for unsent data.
    ///
    /// Deprecated because the wait blocks the thread that drops the stream, non-blocking mode or
    /// not. To make sure that everything arrived, [`shutdown`](crate::io::AsyncWriteExt::shutdown)
    /// and read until the end instead. A duration of zero does not block and has a method of its
    /// own, [`set_zero_linger`](Self::set_zero_linger).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    #[deprecated = "`SO_LINGER` causes the socket to block the thread on drop"]
    pub fn set_linger(&self, dur: Option<Duration>) -> io::Result<()> {
        SockRef::from(self).set_linger(dur)
    }

    /// Sets `SO_LINGER` to zero: dropping the stream resets the connection.
    ///
    /// The peer gets an RST instead of a FIN, data not sent yet is thrown away, and no `TIME_WAIT`
    /// is left behind. The peer will most likely see `ConnectionReset` rather than the end of the
    /// stream.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_zero_linger(&self) -> io::Result<()> {
        SockRef::from(self).set_linger(Some(Duration::ZERO))
    }

    /// Reads `IP_TTL`; see [`set_ttl`](Self::set_ttl).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn ttl(&self) -> io::Result<u32> {
        self.io.ttl()
    }

    /// Sets `IP_TTL`: the number of hops a packet of this socket may take.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.set_ttl(ttl)
    }
}
