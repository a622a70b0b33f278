//! In which process was this made?
//!
//! After `fork` the child has copies of all a runtime is made of, but none of its threads, and the
//! kernel's side (rings, epoll sets) it shares with the parent. So what belongs to a runtime
//! remembers its [`Origin`], and a child leaves it alone.
//!
//! The question is asked on hot paths: its answer is a word in a page that the kernel gives to a
//! child wiped (`MADV_WIPEONFORK`, Linux 4.14). A child of `vfork` shares it, as it shares all
//! memory; such a child may not do anything but `exec` anyway.
//!
//! # Safety
//!
//! One page is mapped and never unmapped; it is only used as an atomic word.
#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU64};

/// A process. Never that of a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin(u64);

/// Where the number of this process is, once somebody asked; zero in a new child.
static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::null_mut());

/// How many generations there are, this one included. In ordinary memory: children go on from it.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);

impl Origin {
    /// This process.
    #[inline]
    pub(crate) fn here() -> Origin {
        match word().map(|word| word.load(Relaxed)) {
            Some(number @ 1..) => Origin(number),
            Some(0) | None => first_time(),
        }
    }

    #[inline]
    pub(crate) fn is_here(self) -> bool {
        self == Origin::here()
    }

    /// # Panics
    ///
    /// If this is a child of that process.
    #[inline]
    #[track_caller]
    pub(crate) fn assert_here(self) {
        assert!(
            self.is_here(),
            "this runtime belongs to the parent process: after a `fork` the child must not use it; it may exec, \
             or build a runtime of its own"
        );
    }
}

fn word() -> Option<&'static AtomicU64> {
    // SAFETY: null, or a page that is never unmapped, aligned, and zeroed by the kernel.
    unsafe { PAGE.load(Acquire).as_ref() }
}

#[cold]
fn first_time() -> Origin {
    let Some(word) = word().or_else(map) else {
        // Without such a page: its process id tells a child from its living ancestors.
        return Origin(1 << 32 | u64::from(std::process::id()));
    };
    let number = GENERATIONS.fetch_add(1, Relaxed) + 1;
    // Another thread may be as quick.
    match word.compare_exchange(0, number, AcqRel, Acquire) {
        Ok(_) => Origin(number),
        Err(number) => Origin(number),
    }
}

fn map() -> Option<&'static AtomicU64> {
    const LEN: usize = size_of::<AtomicU64>();
    // SAFETY: a new mapping (the kernel rounds its length up to a page), unmapped again only if
    // nobody else got to know it.
    unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = libc::mmap(ptr::null_mut(), LEN, protection, flags, -1, 0);
        if page == libc::MAP_FAILED {
            return None;
        }
        let wiped = libc::madvise(page, LEN, libc::MADV_WIPEONFORK) == 0;
        if !wiped || PAGE.compare_exchange(ptr::null_mut(), page.cast(), Release, Relaxed).is_err() {
            libc::munmap(page, LEN);
        }
    }
    word()
}
