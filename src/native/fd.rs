//! Pipes, and descriptors that users bring along.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use super::action::{Action, Flags, How, Kind};
use super::target::Target;
use super::{
    BoundedBuf, BoundedBufMut, Recv, RecvVectored, Request, Send, SendAll, WriteVectored, stream::leftovers,
};
use crate::driver::{Interest, Leftovers, Registration};
use crate::io::unix::AsyncFd;
use crate::net::unix::pipe;

impl pipe::Receiver {
    /// Operations of the ring on this end of a pipe.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> PipeReader<'_> {
        PipeReader { io: self.registration() }
    }
}

impl pipe::Sender {
    /// Operations of the ring on this end of a pipe.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> PipeWriter<'_> {
        PipeWriter { io: self.registration() }
    }
}

impl<T: AsRawFd> AsyncFd<T> {
    /// Native operations on this descriptor, which is duplicated for them the first time.
    ///
    /// # Errors
    ///
    /// Those of `fcntl(F_DUPFD_CLOEXEC)`: no descriptors left.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> io::Result<Fd<'_>> {
        self.registration().leftovers_of(self.as_fd())?;
        Ok(Fd { io: self.registration() })
    }
}

macro_rules! reading {
    ($name:ident, $once:literal, $vectored:literal, $begun:expr) => {
        impl<'a> $name<'a> {
            /// Reads what there is into `buf`, from its beginning up to its capacity, waiting for
            /// the first byte. The result says how many bytes; 0 is the end, or no room.
            ///
            #[doc = $once]
            ///
            /// # Errors
            ///
            /// Those of `read(2)`.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost: see [`Request`].
            pub fn read<B: BoundedBufMut>(self, buf: B) -> Request<'a, Recv<B>> {
                self.reading(Recv::new(self.io(), buf, Kind::Pipe))
            }

            /// Reads into several buffers, one after the other.
            ///
            #[doc = $vectored]
            ///
            /// # Errors
            ///
            /// Those of `readv(2)`.
            ///
            /// # Cancel safety
            ///
            /// Nothing is lost: see [`Request`].
            pub fn read_vectored<B: BoundedBufMut>(self, bufs: Vec<B>) -> Request<'a, RecvVectored<B>> {
                self.reading(RecvVectored::new(self.io(), bufs))
            }

            /// What dropped operations have read and nobody has got yet, after waiting for those
            /// that are still on their way.
            ///
            /// # Errors
            ///
            /// An error that such an operation met, or the end of the runtime.
            pub async fn leftovers(self) -> io::Result<Vec<u8>> {
                leftovers(self.io).await
            }

            fn reading<A: Action>(self, action: A) -> Request<'a, A> {
                let begun: fn(Request<'a, A>) -> Request<'a, A> = $begun;
                begun(Request::new(action, Target::Io(self.io, Interest::READABLE)))
            }
        }
    };
}

macro_rules! writing {
    ($name:ident) => {
        impl<'a> $name<'a> {
            /// Writes what is initialised of `buf`, or a part of it; the result says how much.
            ///
            /// `IORING_OP_WRITE` (Linux 5.6); without it `write(2)` when writable.
            ///
            /// # Errors
            ///
            /// Those of `write(2)`. Where nobody reads any more that is `EPIPE`, and no `SIGPIPE` from Linux
            /// 6.18 on.
            pub fn write<B: BoundedBuf>(self, buf: B) -> Request<'a, Send<B>> {
                self.writing(Send::new(self.io(), buf, How::Pipe(Flags::of(self.io()))))
            }

            /// Writes all that is initialised of `buf`.
            ///
            /// `IORING_OP_WRITE` (Linux 5.6), time and again; without it `write(2)` when writable.
            ///
            /// # Errors
            ///
            /// Those of `write(2)`. Where nobody reads any more that is `EPIPE`, and no `SIGPIPE` from Linux
            /// 6.18 on.
            pub fn write_all<B: BoundedBuf>(self, buf: B) -> Request<'a, SendAll<B>> {
                self.writing(SendAll::new(self.io(), buf, How::Pipe(Flags::of(self.io()))))
            }

            /// Writes from several buffers, one after the other; the result says how much.
            ///
            /// `IORING_OP_WRITEV` (Linux 5.1); without it `writev(2)` when writable.
            ///
            /// # Errors
            ///
            /// Those of `writev(2)`. Where nobody reads any more that is `EPIPE`, and no `SIGPIPE` from Linux
            /// 6.18 on.
            pub fn write_vectored<B: BoundedBuf>(self, bufs: Vec<B>) -> Request<'a, WriteVectored<B>> {
                self.writing(WriteVectored::new(self.io(), bufs))
            }

            fn writing<A: Action>(self, action: A) -> Request<'a, A> {
                Request::new(action, Target::Io(self.io, Interest::WRITABLE))
            }
        }
    };
}

macro_rules! view {
    ($(#[$attr:meta])* $name:ident) => {
        $(#[$attr])*
        #[derive(Debug, Clone, Copy)]
        pub struct $name<'a> {
            io: &'a Registration,
        }

        impl<'a> $name<'a> {
            fn io(self) -> &'a Arc<Leftovers> {
                self.io.leftovers()
            }

            pub(crate) fn registration(self) -> &'a Registration {
                self.io
            }
        }
    };
}

view! {
    /// Operations of the ring on the reading end of a pipe: [`pipe::Receiver::native`].
    PipeReader
}
reading! {
    PipeReader,
    "`IORING_OP_READ` (Linux 5.6); without it `read(2)` when readable.",
    "`IORING_OP_READV` (Linux 5.1); without it `readv(2)` when readable.",
    |request| request
}

view! {
    /// Operations of the ring on the writing end of a pipe: [`pipe::Sender::native`].
    PipeWriter
}
writing! { PipeWriter }

view! {
    /// Native operations on any descriptor that can be waited for: [`AsyncFd::native`].
    ///
    /// The descriptor must be in non-blocking mode, as `AsyncFd` wants it, and watched for what is done.
    ///
    /// # Reads
    ///
    /// go to no ring: they wait until the descriptor is readable, and read when they are polled then. Whoever
    /// brings a descriptor along reads it by himself, too, with closures that know nothing of this crate, and
    /// takes it away when he likes. A read in the kernel's hands could take bytes that he would miss. So a
    /// read that is dropped has taken nothing.
    ///
    /// In a [`chain`](super::chain()) one read may be over while another part is not. If that chain is
    /// dropped, what the read got is the next native read's. Until somebody has it,
    /// [`readable`](AsyncFd::readable), [`AsyncFd::async_io`] and their like fail for reading instead of passing
    /// it by: ask for [`leftovers`](Self::leftovers).
    Fd
}
reading! {
    Fd,
    "`read(2)` when readable, and no operation of a ring: see [above](Self#reads).",
    "`readv(2)` when readable, and no operation of a ring: see [above](Self#reads).",
    Request::without_ring
}
writing! { Fd }
