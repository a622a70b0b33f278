//! The two halves of a split TCP stream.
//!
//! The sockets themselves are [`TcpListener`](super::TcpListener), [`TcpStream`]
//! and [`TcpSocket`](super::TcpSocket), one level up.

pub(crate) mod listener;
pub(crate) mod socket;
pub(crate) mod stream;

mod split;
pub use split::{ReadHalf, WriteHalf};

mod split_owned;
pub use split_owned::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};

pub(crate) use stream::TcpStream;
