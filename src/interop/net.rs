//! Sockets, there and back.

use crate::net::{TcpListener, TcpStream, UdpSocket, UnixDatagram, UnixListener, UnixStream};

use std::io;

mod sealed {
    pub trait Sealed {}
}

/// A socket that the published Tokio has as well.
///
/// Both directions keep the descriptor: the socket is deregistered here and registered there. What
/// a stream's kernel buffer holds is not lost, and no data is copied.
///
/// ```
/// use tokio::interop::Interop;
/// use tokio::net::{TcpListener, TcpStream};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let stream = TcpStream::connect(listener.local_addr()?).await?;
/// // For a crate that wants the published Tokio's type:
/// let published = stream.into_published()?;
/// // And back:
/// let stream = TcpStream::from_published(published)?;
/// # drop(stream);
/// # Ok(())
/// # }
/// ```
pub trait Interop: sealed::Sealed + Sized {
    /// The published Tokio's type.
    type Published;

    /// Hands the socket over to the published Tokio.
    ///
    /// # Errors
    ///
    /// Those of `into_std`: the error has the socket then, as it was. Whatever registering it there fails with;
    /// then it is closed.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and if `interop` is [off](crate::interop#off).
    fn into_published(self) -> io::Result<Self::Published>;

    /// Takes a socket over from the published Tokio.
    ///
    /// # Errors
    ///
    /// Whatever deregistering it there or registering it here fails with; the socket is closed then.
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and in one without I/O.
    fn from_published(socket: Self::Published) -> io::Result<Self>;
}

macro_rules! interop {
    ($($name:ident)*) => { $(
        impl sealed::Sealed for $name {}

        impl Interop for $name {
            type Published = upstream::net::$name;

            #[track_caller]
            fn into_published(self) -> io::Result<Self::Published> {
                Self::Published::from_std(self.into_std()?)
            }

            #[track_caller]
            fn from_published(socket: Self::Published) -> io::Result<Self> {
                Self::from_std(socket.into_std()?)
            }
        }
    )* };
}

// Those of Tokio's `net` that go through `std`.
interop! { TcpListener TcpStream UdpSocket UnixDatagram UnixListener UnixStream }
