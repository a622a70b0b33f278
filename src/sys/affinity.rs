//! On which processor a thread runs (`sched_setaffinity`).
//!
//! # Safety
//!
//! The set of processors is a local array of the size that is passed along; the bits are set within
//! its bounds.
#![allow(unsafe_code)]

use std::io;
use std::mem;

/// The set a thread had before, given back when dropped. For the same thread only.
#[derive(Debug)]
pub(crate) struct Pinned(Option<Set>);

type Set = libc::cpu_set_t;

/// How many processors a set has room for.
const LIMIT: usize = 8 * mem::size_of::<Set>();

/// Ties this thread to processor `cpu`, until the result is dropped.
pub(crate) fn pin(cpu: usize) -> io::Result<Pinned> {
    let mut set = empty();
    if cpu >= LIMIT {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: below the limit.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    let before = current();
    assign(&set)?;
    Ok(Pinned(before.ok()))
}

fn empty() -> Set {
    // SAFETY: an array of integers.
    unsafe { mem::zeroed() }
}

fn current() -> io::Result<Set> {
    let mut set = empty();
    // SAFETY: see the module docs; 0 is the calling thread.
    let result = unsafe { libc::sched_getaffinity(0, size_of::<Set>(), &mut set) };
    if result == 0 { Ok(set) } else { Err(io::Error::last_os_error()) }
}

fn assign(set: &Set) -> io::Result<()> {
    // SAFETY: see the module docs; 0 is the calling thread.
    let result = unsafe { libc::sched_setaffinity(0, size_of::<Set>(), set) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // It may have become invalid: then the thread stays where it is.
            drop(assign(before));
        }
    }
}
