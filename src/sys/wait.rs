//! What `waitid(2)` says of a process.
//!
//! # Safety
//!
//! The structure is the kernel's own, zeroed before the kernel writes to it; the fields that are
//! read are those it fills for a child.
#![allow(unsafe_code)]

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// Room for the answer.
pub(crate) struct Info(libc::siginfo_t);

// SAFETY: numbers; the pointers among its alternatives are of other signals.
unsafe impl Send for Info {}

impl Default for Info {
    fn default() -> Info {
        // SAFETY: all zero is a valid one, which says that there was no child.
        Info(unsafe { std::mem::zeroed() })
    }
}

impl fmt::Debug for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Info").field(&exit_status(self)).finish()
    }
}

impl Info {
    pub(crate) fn as_kernel(&mut self) -> *mut libc::siginfo_t {
        &raw mut self.0
    }

    /// Is it the answer of a call that found a child?
    pub(crate) fn has_child(&self) -> bool {
        // SAFETY: what `waitid` fills, or zero.
        unsafe { self.0.si_pid() != 0 }
    }
}

/// How the child has ended; `None` if it has not.
pub(crate) fn exit_status(info: &Info) -> Option<ExitStatus> {
    if !info.has_child() {
        return None;
    }
    // SAFETY: what `waitid` has filled.
    let status = unsafe { info.0.si_status() };
    // As `wait(2)` packs it.
    let raw = match info.0.si_code {
        libc::CLD_EXITED => (status & 0xff) << 8,
        libc::CLD_DUMPED => status & 0x7f | 0x80,
        _ => status & 0x7f,
    };
    Some(ExitStatus::from_raw(raw))
}
