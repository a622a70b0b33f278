//! The socket options of a [`UdpSocket`].

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use socket2::SockRef;

use super::UdpSocket;

impl UdpSocket {
    /// Reads `SO_BROADCAST`; see [`set_broadcast`](Self::set_broadcast).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn broadcast(&self) -> io::Result<bool> {
        self.io.broadcast()
    }

    /// Sets `SO_BROADCAST`: whether datagrams may be sent to a broadcast address.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_broadcast(&self, on: bool) -> io::Result<()> {
        self.io.set_broadcast(on)
    }

    /// Reads `IP_MULTICAST_LOOP`; see [`set_multicast_loop_v4`](Self::set_multicast_loop_v4).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn multicast_loop_v4(&self) -> io::Result<bool> {
        self.io.multicast_loop_v4()
    }

    /// Sets `IP_MULTICAST_LOOP`: whether this machine gets back the multicast datagrams it sends.
    /// It may have no effect on IPv6.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_multicast_loop_v4(&self, on: bool) -> io::Result<()> {
        self.io.set_multicast_loop_v4(on)
    }

    /// Reads `IP_MULTICAST_TTL`; see [`set_multicast_ttl_v4`](Self::set_multicast_ttl_v4).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn multicast_ttl_v4(&self) -> io::Result<u32> {
        self.io.multicast_ttl_v4()
    }

    /// Sets `IP_MULTICAST_TTL`: the number of hops a multicast datagram of this socket may take.
    ///
    /// It is 1 by default, which keeps them in the local network. It may have no effect on IPv6.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_multicast_ttl_v4(&self, ttl: u32) -> io::Result<()> {
        self.io.set_multicast_ttl_v4(ttl)
    }

    /// Reads `IPV6_MULTICAST_LOOP`; see [`set_multicast_loop_v6`](Self::set_multicast_loop_v6).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn multicast_loop_v6(&self) -> io::Result<bool> {
        self.io.multicast_loop_v6()
    }

    /// Sets `IPV6_MULTICAST_LOOP`: whether this machine gets back the multicast datagrams it sends.
    /// It may have no effect on IPv4.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_multicast_loop_v6(&self, on: bool) -> io::Result<()> {
        self.io.set_multicast_loop_v6(on)
    }

    /// Reads `IPV6_TCLASS`; see [`set_tclass_v6`](Self::set_tclass_v6).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn tclass_v6(&self) -> io::Result<u32> {
        SockRef::from(self).tclass_v6()
    }

    /// Sets `IPV6_TCLASS`: the traffic class of every packet sent from this socket. It may have no
    /// effect on IPv4.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_tclass_v6(&self, tclass: u32) -> io::Result<()> {
        SockRef::from(self).set_tclass_v6(tclass)
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
    ///
    /// # Examples
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> std::io::Result<()> {
    /// let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await?;
    /// socket.set_ttl(60)?;
    /// assert_eq!(socket.ttl()?, 60);
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_ttl(&self, ttl: u32) -> io::Result<()> {
        self.io.set_ttl(ttl)
    }

    /// Reads `IP_TOS`; see [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn tos_v4(&self) -> io::Result<u32> {
        SockRef::from(self).tos_v4()
    }

    /// The old name of [`tos_v4`](Self::tos_v4).
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    #[deprecated(
        note = "`tos` related methods have been renamed `tos_v4` since they are IPv4-specific."
    )]
    #[doc(hidden)]
    pub fn tos(&self) -> io::Result<u32> {
        self.tos_v4()
    }

    /// Sets `IP_TOS`: the type of service of every packet sent from this socket. It may have no
    /// effect on IPv6.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    pub fn set_tos_v4(&self, tos: u32) -> io::Result<()> {
        SockRef::from(self).set_tos_v4(tos)
    }

    /// The old name of [`set_tos_v4`](Self::set_tos_v4).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`.
    #[deprecated(
        note = "`tos` related methods have been renamed `tos_v4` since they are IPv4-specific."
    )]
    #[doc(hidden)]
    pub fn set_tos(&self, tos: u32) -> io::Result<()> {
        self.set_tos_v4(tos)
    }

    /// Reads `SO_BINDTODEVICE`: the name of the network interface this socket is bound to, if any.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn device(&self) -> io::Result<Option<Vec<u8>>> {
        SockRef::from(self).device()
    }

    /// Sets `SO_BINDTODEVICE`: only packets of this network interface reach the socket.
    ///
    /// `None` or an empty name lifts the restriction.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`, such as `ENODEV` for an unknown interface.
    pub fn bind_device(&self, interface: Option<&[u8]>) -> io::Result<()> {
        SockRef::from(self).bind_device(interface)
    }

    /// Joins a multicast group: `IP_ADD_MEMBERSHIP`.
    ///
    /// `interface` is the address of the local interface to join on; with [`Ipv4Addr::UNSPECIFIED`]
    /// the system chooses one.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`, such as `InvalidInput` for an address that is no multicast
    /// address.
    pub fn join_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.join_multicast_v4(&multiaddr, &interface)
    }

    /// Joins a multicast group: `IPV6_ADD_MEMBERSHIP`.
    ///
    /// `interface` is the index of the interface to join on; with 0 the system chooses one.
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`, such as `InvalidInput` for an address that is no multicast
    /// address.
    pub fn join_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.join_multicast_v6(multiaddr, interface)
    }

    /// Leaves a multicast group: `IP_DROP_MEMBERSHIP`. The arguments are those of
    /// [`join_multicast_v4`](Self::join_multicast_v4).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`, such as `AddrNotAvailable` for a group that has not been joined.
    pub fn leave_multicast_v4(&self, multiaddr: Ipv4Addr, interface: Ipv4Addr) -> io::Result<()> {
        self.io.leave_multicast_v4(&multiaddr, &interface)
    }

    /// Leaves a multicast group: `IPV6_DROP_MEMBERSHIP`. The arguments are those of
    /// [`join_multicast_v6`](Self::join_multicast_v6).
    ///
    /// # Errors
    ///
    /// Those of `setsockopt(2)`, such as `AddrNotAvailable` for a group that has not been joined.
    pub fn leave_multicast_v6(&self, multiaddr: &Ipv6Addr, interface: u32) -> io::Result<()> {
        self.io.leave_multicast_v6(multiaddr, interface)
    }

    /// Reads and clears `SO_ERROR`, the error that happened on the socket since the last call.
    ///
    /// # Errors
    ///
    /// Those of `getsockopt(2)`.
    pub fn take_error(&self) -> io::Result<Option<io::Error>> {
        self.io.take_error()
    }
}
