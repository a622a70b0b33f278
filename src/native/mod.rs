//! Operations of `io_uring` with owned buffers, one call at a time, on the types you have.
//!
//! Everything else in this crate waits for readiness and then moves bytes with a system call, as
//! Tokio does. Where that is hot, `native()` offers the same as an operation of the ring: it is
//! submitted along with those of all other tasks of the worker, by one system call a turn, and its
//! completion is the result.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! use tokio::net::{TcpListener, TcpStream};
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?;
//! let client = TcpStream::connect(listener.local_addr()?).await?;
//! let (server, _) = listener.native().accept().await?;
//!
//! let (sent, _) = client.native().send_all("ping").await;
//! sent?;
//! let (received, buf) = server.native().recv(Vec::with_capacity(1024)).await;
//! assert_eq!(&buf[..received?], b"ping");
//! # Ok(())
//! # }
//! ```
//!
//! # Buffers
//!
//! The kernel works on a buffer while the future is not polled, or even gone, so it must own it: an
//! operation takes its buffer by value and gives it back with the result ([`BufResult`]). What can
//! be a buffer is an [`IoBuf`] or [`IoBufMut`]; for a part of one see [`BoundedBuf::slice`]. Those of
//! a [`FixedBufPool`] are known to the kernel beforehand.
//!
//! # Dropping a future
//!
//! cancels its operation, and loses nothing: see [`Request`]. The stream, and all of its methods on
//! every lane, can be used on. A buffer that is with the kernel is freed when the kernel is done.
//!
//! Two things cannot see what a dropped operation has received: `try_io` and `async_io` with a
//! system call of your own, and `into_std` and the like. They fail instead of passing it by, or losing it;
//! the object is as it was, and in the error of the latter ([`IntoInnerError`]). Call
//! [`Stream::leftovers`] before them.
//!
//! # Without the ring
//!
//! Every operation works without its opcode, too: on older kernels, where `io_uring` is forbidden
//! and with `SPARGIO_BACKEND=epoll` it waits for readiness and makes a system call, or runs on the
//! blocking pool, with the same result. [`caps`] says what this kernel has. The variable
//! `SPARGIO_NATIVE=emulated` makes all of them do without, for a comparison.
//!
//! # Security
//!
//! Operations of the ring are not system calls: seccomp filters, `strace` and audit rules on `recv`,
//! `openat` and the like do not see them. Access rights are checked all the same.

mod action;
pub use action::{
    Accept, Action, Connect, Control, Fallocate, GetXattr, Open, PathChange, Raw, ReadAt, Readv, Recv,
    RecvExact, RecvFrom, RecvMsg, RecvVectored, Send, SendAll, SendMsg, SendMsgZc, SendTo, SendVectored, SendZc, SetXattr,
    Shutdown, Splice, Statx, WaitId, WriteAt, WriteVectored, Writev,
};

mod address;

mod buf;
pub use buf::{AlignedBuf, BoundedBuf, BoundedBufMut, BufResult, IoBuf, IoBufMut, Slice};

mod caps;
pub use caps::{Caps, caps};

mod chain;
pub use chain::{Chain, Parts, chain};

mod connect;
pub use connect::{Connecting, connect_tcp, connect_unix};

mod datagram;
pub use datagram::{Udp, UnixDatagram};

mod fd;
pub use fd::{Fd, PipeReader, PipeWriter};

mod fd_stream;
pub use fd_stream::FdStream;

mod file;
pub use file::{DioAlign, File};

mod fixed;
pub use fixed::{FixedBuf, FixedBufPool};

pub mod fs;

mod incoming;
pub use incoming::{Chunks, Datagrams};

pub use crate::driver::Lane;
mod lane;

mod lent;
pub use lent::Lent;

mod listener;
pub use listener::Listener;

pub use crate::io::into_inner_error::IntoInnerError;
mod into_std;

mod message;
pub use message::{ControlMessage, Message};

mod multi;
pub use multi::{AcceptMulti, RecvMulti};

mod nonblocking;

mod other;
pub use other::{SpliceEnd, entry, raw, splice, waitid};

mod pool;
pub use pool::{BufPool, PoolBuf};

mod request;
pub use request::Request;

mod ring;

mod shard_lane;
pub use shard_lane::{ShardLane, lane};

mod stream;
pub use stream::Stream;

mod target;
