//! Asynchronous input and output.
//!
//! # Traits
//!
//! [`AsyncRead`] and [`AsyncWrite`] are to [`std::io::Read`] and
//! [`std::io::Write`] what a future is to a function: where those block the
//! thread, these make the task wait. [`AsyncBufRead`] and [`AsyncSeek`] belong to
//! them in the same way. They are the published Tokio's very traits: whatever is
//! written for Tokio's takes the types of this crate, and the other way round.
//!
//! Nobody calls the traits' methods directly. The extension traits
//! [`AsyncReadExt`], [`AsyncWriteExt`], [`AsyncBufReadExt`] and [`AsyncSeekExt`]
//! offer them as `async fn`:
//!
//! ```
//! # #[cfg(feature = "io-util")]
//! # {
//! use tokio::io::{self, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> io::Result<()> {
//! let (mut client, server) = io::duplex(64);
//! client.write_all(b"first line\nthe rest").await?;
//! client.shutdown().await?;
//!
//! let mut server = BufReader::new(server);
//! let mut line = String::new();
//! server.read_line(&mut line).await?;
//! assert_eq!(line, "first line\n");
//!
//! let mut rest = String::new();
//! server.read_to_string(&mut rest).await?;
//! assert_eq!(rest, "the rest");
//! # Ok(())
//! # }
//! # }
//! ```
//!
//! # Objects
//!
//! Sockets and pipes are in [`net`](crate::net), files in `fs`. Here are the
//! standard streams of the process ([`stdin`], [`stdout`], [`stderr`]), and
//! [`unix::AsyncFd`] for a descriptor that comes from elsewhere.
//!
//! # Buffers
//!
//! A read or write of a socket is a system call. [`BufReader`], [`BufWriter`] and
//! [`BufStream`] put a buffer in between; what is in the buffer of a writer gets
//! out with [`flush`](AsyncWriteExt::flush), not by dropping it.
//!
//! # Errors
//!
//! `Error`, `ErrorKind`, `Result` and `SeekFrom` are those of [`std::io`], so
//! that one import of `tokio::io` is enough.

#![cfg_attr(
    not(all(feature = "io-util", feature = "io-std", feature = "net")),
    allow(rustdoc::broken_intra_doc_links)
)]

pub use crate::upstream::io::{AsyncBufRead, AsyncRead, AsyncSeek, AsyncWrite, ReadBuf};

#[doc(no_inline)]
pub use std::io::{Error, ErrorKind, Result, SeekFrom};

cfg_io_util! {
    pub use crate::upstream::io::{
        AsyncBufReadExt, AsyncReadExt, AsyncSeekExt, AsyncWriteExt, BufReader, BufStream,
        BufWriter, Chain, DuplexStream, Empty, Join, Lines, ReadHalf, Repeat, SimplexStream,
        Sink, Split, Take, WriteHalf, copy, copy_bidirectional, copy_bidirectional_with_sizes,
        copy_buf, duplex, empty, join, repeat, simplex, sink, split,
    };
}

cfg_net! {
    pub use crate::driver::{Interest, Ready};
}
cfg_not_net! {
    #[allow(unused_imports)]
    pub(crate) use crate::driver::{Interest, Ready};
}

cfg_io_driver! {
    pub(crate) mod into_inner_error;
    pub(crate) use into_inner_error::IntoInnerError;

    mod leftover;
    #[cfg(feature = "uring-native")]
    pub(crate) use leftover::put;

    mod poll_evented;
    #[allow(unused_imports)]
    pub(crate) use poll_evented::PollEvented;

    mod write_lane;
}

cfg_net! {
    mod async_fd;

    pub mod unix {
        //! I/O that exists on Unix only: watching any file descriptor.

        pub use super::async_fd::{
            AsyncFd, AsyncFdReadyGuard, AsyncFdReadyMutGuard, AsyncFdRegisterError, TryIoError,
        };
        #[doc(hidden)]
        #[allow(deprecated)]
        pub use super::async_fd::AsyncFdTryNewError;
    }
}

cfg_io_blocking! {
    #[cfg_attr(not(feature = "io-std"), allow(dead_code))]
    pub(crate) mod blocking;
}

cfg_io_std! {
    mod stderr;
    pub use stderr::{Stderr, stderr};

    mod stdin;
    pub use stdin::{Stdin, stdin};

    mod stdout;
    pub use stdout::{Stdout, stdout};
}
