//! Moving bytes between descriptors, inside of the kernel.
//!
//! # Safety
//!
//! No memory is passed; both ends stay open through what the action holds of them.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use super::{Early, len32, sealed};
use crate::driver::Leftovers;
use crate::sys::call::Call;

/// One end of a [`Splice`], and the offset if it is a file.
#[derive(Debug, Clone)]
pub(crate) enum End {
    Io(Arc<Leftovers>),
    File(Arc<File>, i64),
}

impl End {
    pub(crate) fn fd(&self) -> RawFd {
        match self {
            End::Io(io) => io.fd(),
            End::File(file, _) => file.as_raw_fd(),
        }
    }

    /// Where to begin; -1 for what has no offsets.
    fn offset(&self) -> i64 {
        match self {
            End::Io(_) => -1,
            End::File(_, offset) => *offset,
        }
    }
}

/// Moves bytes. See [`splice`](crate::native::splice).
#[derive(Debug)]
pub struct Splice {
    from: End,
    to: End,
    len: usize,
}

impl Splice {
    pub(crate) fn new(from: End, to: End, len: usize) -> Splice {
        Splice { from, to, len }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for Splice {
    type Output = io::Result<usize>;

    fn call(&mut self) -> Call {
        Call::Splice {
            from: self.from.fd(),
            from_off: self.from.offset(),
            to: self.to.fd(),
            to_off: self.to.offset(),
            len: len32(self.len),
            flags: 0,
        }
    }

    fn early(&mut self) -> Early {
        match &self.from {
            // What an earlier operation took out of there cannot be put back.
            End::Io(io) if io.has_kept() => Early::Done(Err(io::Error::other(
                "a dropped operation has received bytes that nobody has read yet: they cannot be spliced",
            ))),
            End::Io(io) if io.is_pending() => Early::Wait,
            End::Io(_) | End::File(..) => Early::Attempt,
        }
    }

    fn falls_short(&self, moved: u32) -> bool {
        moved < len32(self.len)
    }

    fn complete(self, result: io::Result<u32>) -> io::Result<usize> {
        result.map(|n| n as usize)
    }
}
