//! Waiting for a process.
//!
//! # Safety
//!
//! The kernel writes to a box the action owns.
#![allow(unsafe_code)]

use std::io;

use super::sealed;
use crate::sys::call::Call;
use crate::sys::wait::{Info, exit_status};

/// Waits for a child. See [`waitid`](crate::native::waitid).
#[derive(Debug)]
pub struct WaitId {
    pid: u32,
    options: i32,
    info: Box<Info>,
}

impl WaitId {
    pub(crate) fn new(pid: u32, options: i32) -> WaitId {
        WaitId { pid, options, info: Box::default() }
    }
}

// SAFETY: see the module docs.
#[allow(private_interfaces)]
unsafe impl sealed::Action for WaitId {
    type Output = io::Result<Option<std::process::ExitStatus>>;

    fn call(&mut self) -> Call {
        Call::WaitId {
            id_type: libc::P_PID,
            id: self.pid,
            info: self.info.as_kernel(),
            options: self.options,
        }
    }

    unsafe fn perform(&mut self) -> i32 {
        let Call::WaitId { id_type, id, info, options } = self.call() else {
            unreachable!("what it calls")
        };
        let call = Call::WaitId { id_type, id, info, options: options | libc::WNOHANG };
        // SAFETY: the box stays where it is.
        match unsafe { call.perform() } {
            0 if !self.info.has_child() => -libc::EAGAIN,
            result => result,
        }
    }

    fn complete(self, result: io::Result<u32>) -> Self::Output {
        result.map(|_| exit_status(&self.info))
    }
}
