//! What belongs to no single type: splicing, waiting for a child, entries of one's own.
//!
//! # Safety
//!
//! [`raw`] is unsafe to call: its caller makes the promise that a ring's entry needs.
#![allow(unsafe_code)]

use std::io;

use super::action::{End, Splice, WaitId};
use super::target::Target;
use super::{Fd, File, PipeReader, PipeWriter, Raw, Request, Stream};
use crate::driver::Registration;

pub mod entry {
    //! What entries of one's own are made of: the types of the [`io_uring`] crate.

    pub use io_uring::squeue::Entry;
    pub use io_uring::{opcode, types};
}

/// One end of a [`splice`]: a stream, a pipe, a file at an offset, or any descriptor.
#[derive(Debug)]
pub struct SpliceEnd<'a> {
    end: End,
    io: Option<&'a Registration>,
}

macro_rules! ends {
    ($($view:ident)*) => { $(
        impl<'a> From<$view<'a>> for SpliceEnd<'a> {
            fn from(view: $view<'a>) -> SpliceEnd<'a> {
                let io = view.registration();
                SpliceEnd { end: End::Io(io.leftovers().clone()), io: Some(io) }
            }
        }
    )* };
}

ends! { Stream PipeReader PipeWriter Fd }

impl<'a> From<(File<'a>, u64)> for SpliceEnd<'a> {
    /// The file, from an offset on.
    fn from((file, offset): (File<'a>, u64)) -> SpliceEnd<'a> {
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        SpliceEnd { end: End::File(file.shared().clone(), offset), io: None }
    }
}

/// Moves up to `len` bytes from one descriptor to another without copying them through user space;
/// one of the two must be a pipe. The result says how many were moved; 0 is the end.
///
/// `IORING_OP_SPLICE` (Linux 5.7); without it `splice(2)`.
///
/// ```no_run
/// # async fn example(file: tokio::fs::File, peer: tokio::net::TcpStream) -> std::io::Result<()> {
/// use tokio::native::splice;
///
/// let (tx, rx) = tokio::net::unix::pipe::pipe()?;
/// let n = splice((file.native(), 0), tx.native(), 65536).await?;
/// splice(rx.native(), peer.native(), n).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Those of `splice(2)`. Bytes that a dropped operation has received are not in the descriptor any
/// more: while nobody has read them, splicing from it is an error.
///
/// # Panics
///
/// If it is polled outside of a runtime.
pub fn splice<'a>(
    from: impl Into<SpliceEnd<'a>>,
    to: impl Into<SpliceEnd<'a>>,
    len: usize,
) -> Request<'a, Splice> {
    let (from, to) = (from.into(), to.into());
    let target = Target::Between { from: (from.end.clone(), from.io), to: (to.end.clone(), to.io) };
    Request::new(Splice::new(from.end, to.end, len), target)
}

/// Waits until the child `pid` has exited, and returns how; it is no zombie after that. `None` if
/// it is somebody else's affair by then.
///
/// Not for children of [`process`](crate::process), which waits for them itself.
///
/// `IORING_OP_WAITID` (Linux 6.7); without it `pidfd_open(2)` and `waitid(2)`.
///
/// # Errors
///
/// Those of `waitid(2)`: there is no such child.
///
/// # Panics
///
/// If it is polled outside of a runtime, or in one without I/O.
///
/// # Cancel safety
///
/// If the future is dropped, the child may have been waited for.
pub fn waitid(pid: u32) -> Request<'static, WaitId> {
    Request::new(WaitId::new(pid, libc::WEXITED), Target::Child(pid))
}

/// Submits an entry of one's own.
///
/// It carries no `user_data` and no links of its own: those are set here. `owned` is all that the
/// kernel reads and writes meanwhile, and what keeps the descriptors open; it comes back with the
/// result. If the future is dropped, `owned` is dropped once the operation has ended.
///
/// Where the opcode is missing, `otherwise` is called on the blocking pool instead.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use tokio::native::{entry, raw};
///
/// let nop = entry::opcode::Nop::new().build();
/// // An operation that touches nothing needs nothing.
/// let (result, ()) = unsafe { raw(nop, (), |()| Ok(0)) }.await;
/// assert_eq!(result.unwrap(), 0);
/// # }
/// ```
///
/// # Errors
///
/// What the operation says; [`InvalidInput`](io::ErrorKind::InvalidInput) if the entry names its file by
/// an index ([`types::Fixed`](entry::types::Fixed)): a ring of the runtime has no table of files.
///
/// # Panics
///
/// If it is polled outside of a runtime.
///
/// # Safety
///
/// From the submission to the end of the operation, whatever becomes of the future, the pointers in
/// `entry` are valid for what the operation does with them, and its descriptors are open and the
/// same files. So they lead to what `owned` has on the heap, since `owned` itself is moved, or to
/// what lives for ever; and nobody else touches that. It must complete exactly once: no multishot
/// operation.
pub unsafe fn raw<R: Send + Unpin + 'static>(
    entry: entry::Entry,
    owned: R,
    otherwise: fn(&mut R) -> io::Result<u32>,
) -> Request<'static, Raw<R>> {
    Request::new(Raw::new(entry, owned, otherwise), Target::Entry)
}
