//! Extended attributes.
//!
//! # Safety
//!
//! Names, paths and values are on the heap and do not move with the action; the file stays open
//! through the `Arc`.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::path::{Name, check};
use super::{Early, len32, sealed};
use crate::native::buf::{BoundedBuf, BoundedBufMut, BufResult, received};
use crate::sys::call::Call;

/// Whose attribute.
#[derive(Debug)]
pub(crate) enum Of {
    Path(Name),
    File(Arc<File>),
}

impl Of {
    fn path(&self) -> Option<&Name> {
        match self {
            Of::Path(path) => Some(path),
            Of::File(_) => None,
        }
    }
}

/// Reads an attribute. See [`native::fs::getxattr`](crate::native::fs::getxattr).
#[derive(Debug)]
pub struct GetXattr<B> {
    of: Of,
    name: Name,
    value: B,
}

impl<B: BoundedBufMut> GetXattr<B> {
    pub(crate) fn new(of: Of, name: Name, value: B) -> GetXattr<B> {
        GetXattr { of, name, value }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBufMut> sealed::Action for GetXattr<B> {
    type Output = BufResult<usize, B>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let (value, len) = (self.value.stable_mut_ptr(), len32(self.value.bytes_total()));
        let name = self.name.as_ptr();
        match &self.of {
            Of::Path(path) => Call::GetXattr { path: path.as_ptr(), name, value, len },
            Of::File(file) => Call::FGetXattr { fd: file.as_raw_fd(), name, value, len },
        }
    }

    fn early(&mut self) -> Early {
        check([&self.name].into_iter().chain(self.of.path()))
    }

    fn complete(mut self, result: io::Result<u32>) -> BufResult<usize, B> {
        let result = result.map(|n| n as usize);
        if let Ok(n) = result {
            if self.value.bytes_total() > 0 {
                // SAFETY: the kernel has written that many bytes. (Asked with no room at all, it
                // says how much there should be.)
                unsafe { received(&mut self.value, n) };
            }
        }
        (result, self.value)
    }
}

/// Writes an attribute. See [`native::fs::setxattr`](crate::native::fs::setxattr).
#[derive(Debug)]
pub struct SetXattr<B> {
    of: Of,
    name: Name,
    value: B,
    flags: i32,
}

impl<B: BoundedBuf> SetXattr<B> {
    pub(crate) fn new(of: Of, name: Name, value: B, flags: i32) -> SetXattr<B> {
        SetXattr { of, name, value, flags }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl<B: BoundedBuf> sealed::Action for SetXattr<B> {
    type Output = BufResult<(), B>;

    const HOLDS_CLOCK: bool = true;

    fn call(&mut self) -> Call {
        let (value, len) = (self.value.stable_ptr(), len32(self.value.bytes_init()));
        let (name, flags) = (self.name.as_ptr(), self.flags);
        match &self.of {
            Of::Path(path) => Call::SetXattr { path: path.as_ptr(), name, value, len, flags },
            Of::File(file) => Call::FSetXattr { fd: file.as_raw_fd(), name, value, len, flags },
        }
    }

    fn early(&mut self) -> Early {
        check([&self.name].into_iter().chain(self.of.path()))
    }

    fn complete(self, result: io::Result<u32>) -> BufResult<(), B> {
        (result.map(drop), self.value)
    }
}
