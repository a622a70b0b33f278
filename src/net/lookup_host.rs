//! Name resolution on its own.

use std::io;
use std::net::SocketAddr;

use crate::net::addr::{self, ToSocketAddrs};

/// Resolves `host` to socket addresses, in the order in which one should try them.
///
/// Names are resolved by the system's resolver (`getaddrinfo`) on the blocking pool; an address
/// written in digits is parsed on the spot. No DNS configuration beyond the system's is offered, so
/// treat this as a convenience for clients and small tools.
///
/// # Errors
///
/// Fails with what the resolver says, or with `InvalidInput` if `host` is a string without a port
/// or with a malformed one.
///
/// # Examples
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let mut found = tokio::net::lookup_host("localhost:80").await?;
///
/// assert!(found.all(|addr| addr.ip().is_loopback() && addr.port() == 80));
/// # Ok(())
/// # }
/// ```
pub async fn lookup_host<T>(host: T) -> io::Result<impl Iterator<Item = SocketAddr>>
where
    T: ToSocketAddrs,
{
    addr::to_socket_addrs(host).await
}
