//! Making connections.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, Type};

use super::target::Target;
use super::{Connect, Request};
use crate::driver::{Interest, Registration};
use crate::net::{TcpStream, UnixStream};

/// Opens a connection to `addr`.
///
/// `IORING_OP_CONNECT` (Linux 5.5); without it `connect(2)`, and a wait for its end.
///
/// # Errors
///
/// Those of `socket(2)` and `connect(2)`.
///
/// # Panics
///
/// If it is polled outside of a runtime.
///
/// # Cancel safety
///
/// A dropped attempt ends, and its socket is closed.
pub fn connect_tcp(addr: SocketAddr) -> Connecting<TcpStream> {
    Connecting { addr: Ok(addr.into()), domain: Domain::for_address(addr), limit: None, wrap: tcp }
}

/// Opens a connection to the listener at `path`; one that begins with a zero byte is a name in the
/// abstract namespace.
///
/// `IORING_OP_CONNECT` (Linux 5.5), which waits while the listener's queue is full; without it
/// `connect(2)`, which fails with [`WouldBlock`](io::ErrorKind::WouldBlock) then.
///
/// # Errors
///
/// Those of `socket(2)` and `connect(2)`.
///
/// # Panics
///
/// If it is polled outside of a runtime.
pub fn connect_unix(path: impl AsRef<Path>) -> Connecting<UnixStream> {
    Connecting { addr: SockAddr::unix(path), domain: Domain::UNIX, limit: None, wrap: unix }
}

/// A connection to be made: await it.
#[must_use = "nothing happens unless awaited"]
pub struct Connecting<S> {
    addr: io::Result<SockAddr>,
    domain: Domain,
    limit: Option<Duration>,
    wrap: fn(Socket) -> io::Result<S>,
}

impl<S> Connecting<S> {
    /// Limits the time it may take: see [`Request::timeout`].
    pub fn timeout(mut self, limit: Duration) -> Connecting<S> {
        self.limit = Some(limit);
        self
    }
}

impl<S> fmt::Debug for Connecting<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connecting").field("addr", &self.addr).field("timeout", &self.limit).finish()
    }
}

fn tcp(socket: Socket) -> io::Result<TcpStream> {
    TcpStream::new(mio::net::TcpStream::from_std(socket.into()))
}

fn unix(socket: Socket) -> io::Result<UnixStream> {
    UnixStream::new(mio::net::UnixStream::from_std(socket.into()))
}

trait Registered {
    fn registered(&self) -> &Registration;
}

impl Registered for TcpStream {
    fn registered(&self) -> &Registration {
        self.registration()
    }
}

impl Registered for UnixStream {
    fn registered(&self) -> &Registration {
        self.registration()
    }
}

#[allow(private_bounds)]
impl<S: Registered + Send + Sync + 'static> IntoFuture for Connecting<S> {
    type Output = io::Result<S>;
    type IntoFuture = Pin<Box<dyn Future<Output = io::Result<S>> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let socket = Socket::new(self.domain, Type::STREAM.nonblocking().cloexec(), None)?;
            let stream = (self.wrap)(socket)?;
            let io = stream.registered();
            let mut connect =
                Request::new(Connect::new(io.leftovers(), self.addr), Target::Io(io, Interest::WRITABLE));
            if let Some(limit) = self.limit {
                connect = connect.timeout(limit);
            }
            connect.await?;
            Ok(stream)
        })
    }
}
