//! Networking types that exist on Unix only.
//!
//! [`UnixStream`], [`UnixListener`], [`UnixDatagram`] and [`UnixSocket`] are
//! found in [`net`](crate::net); this module holds what belongs to them: the
//! halves of a stream, addresses, peer credentials, and [`pipe`]s.
//!
//! [`UnixStream`]: crate::net::UnixStream
//! [`UnixListener`]: crate::net::UnixListener
//! [`UnixDatagram`]: crate::net::UnixDatagram
//! [`UnixSocket`]: crate::net::UnixSocket

// Tokio made this module public without anything public in it; it stays
// reachable, and hidden, here too.
#[doc(hidden)]
pub mod datagram;

pub(crate) mod listener;
pub(crate) mod socket;
pub(crate) mod stream;

mod socketaddr;
pub use socketaddr::SocketAddr;

mod split;
pub use split::{ReadHalf, WriteHalf};

mod split_owned;
pub use split_owned::{OwnedReadHalf, OwnedWriteHalf, ReuniteError};

mod ucred;
pub use ucred::UCred;

pub mod pipe;

/// The ID of a user.
#[allow(non_camel_case_types)]
pub type uid_t = u32;

/// The ID of a group.
#[allow(non_camel_case_types)]
pub type gid_t = u32;

/// The ID of a process or of a process group.
#[allow(non_camel_case_types)]
pub type pid_t = i32;
