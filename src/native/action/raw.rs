//! An entry of the user's own.
//!
//! # Safety
//!
//! Whoever made the [`Raw`] has promised that the entry is good for as long as what it owns. An entry is
//! the kernel's own structure, whose second byte is the flags.
#![allow(unsafe_code)]

use std::io;

use io_uring::squeue;

use super::{Early, sealed};
use crate::sys::call::Call;

/// Submits any entry. See [`native::raw`](crate::native::raw).
#[derive(Debug)]
pub struct Raw<R> {
    entry: squeue::Entry,
    owned: R,
    otherwise: fn(&mut R) -> io::Result<u32>,
}

impl<R> Raw<R> {
    pub(crate) fn new(entry: squeue::Entry, owned: R, otherwise: fn(&mut R) -> io::Result<u32>) -> Raw<R> {
        Raw { entry, owned, otherwise }
    }
}

/// Does the entry name its file by an index of the ring's table (`IOSQE_FIXED_FILE`)?
fn names_an_index(entry: &squeue::Entry) -> bool {
    // SAFETY: see the module docs: initialised, and longer than that.
    let flags = unsafe { (&raw const *entry).cast::<u8>().add(1).read() };
    flags & squeue::Flags::FIXED_FILE.bits() != 0
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<R: Send + Unpin + 'static> sealed::Action for Raw<R> {
    type Output = (io::Result<u32>, R);

    fn call(&mut self) -> Call {
        Call::Raw(Box::new(self.entry.clone().clear_flags()))
    }

    /// The rings have no such table, and the index without the flag would be a descriptor of somebody.
    fn early(&mut self) -> Early {
        if !names_an_index(&self.entry) {
            return Early::Attempt;
        }
        Early::Done(Err(io::Error::new(io::ErrorKind::InvalidInput, "an entry that names a fixed file")))
    }

    unsafe fn perform(&mut self) -> i32 {
        match (self.otherwise)(&mut self.owned) {
            Ok(n) => i32::try_from(n).unwrap_or(i32::MAX),
            Err(e) => -e.raw_os_error().unwrap_or(libc::EIO),
        }
    }

    fn complete(self, result: io::Result<u32>) -> (io::Result<u32>, R) {
        (result, self.owned)
    }

    /// Nobody knows what it does.
    fn is_repeatable(&self) -> bool {
        false
    }
}
