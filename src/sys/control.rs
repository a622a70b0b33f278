//! Control messages of sockets: what goes along with the bytes.
//!
//! # Safety
//!
//! The buffer is aligned as control messages want it, and is walked with the macros of the C
//! library, which keep to its length. Descriptors that a message of type `SCM_RIGHTS` brings were
//! opened by the kernel for its receiver.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Room for control messages.
#[derive(Debug, Default)]
pub(crate) struct ControlBuf {
    /// In words, for the alignment.
    words: Vec<u64>,
    len: usize,
}

/// A message as it was received.
#[derive(Debug)]
pub(crate) enum Received {
    /// `SCM_RIGHTS`.
    Fds(Vec<OwnedFd>),
    Other {
        level: i32,
        kind: i32,
        data: Vec<u8>,
    },
}

impl ControlBuf {
    /// Room for `len` bytes of messages, headers included.
    pub(crate) fn with_room(len: usize) -> ControlBuf {
        ControlBuf { words: vec![0; len.div_ceil(size_of::<u64>())], len }
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::c_void {
        match self.len {
            0 => std::ptr::null_mut(),
            _ => self.words.as_mut_ptr().cast(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Appends descriptors.
    pub(crate) fn push_fds(&mut self, fds: &[OwnedFd]) {
        let raw: Vec<u8> = fds.iter().flat_map(|fd| fd.as_raw_fd().to_ne_bytes()).collect();
        self.push(libc::SOL_SOCKET, libc::SCM_RIGHTS, &raw);
    }

    /// Appends a message.
    pub(crate) fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        // SAFETY: these two only compute.
        let (space, len) =
            unsafe { (libc::CMSG_SPACE(data.len() as u32), libc::CMSG_LEN(data.len() as u32)) };
        let begin = self.len;
        self.len += space as usize;
        self.words.resize(self.len.div_ceil(size_of::<u64>()), 0);
        // SAFETY: there is room for header and data behind `begin`, which is aligned, since
        // `CMSG_SPACE` is a multiple of the alignment.
        unsafe {
            let at = self.words.as_mut_ptr().cast::<u8>().add(begin).cast::<libc::cmsghdr>();
            // Field by field, over zeros: musl's has padding, with a name.
            (*at).cmsg_len = len as _;
            (*at).cmsg_level = level;
            (*at).cmsg_type = kind;
            std::ptr::copy_nonoverlapping(data.as_ptr(), libc::CMSG_DATA(at), data.len());
        }
    }

    /// The messages that the kernel has written to the first `len` bytes. Call it once: the
    /// descriptors among them are the caller's.
    ///
    /// # Safety
    ///
    /// The kernel has, and nobody has taken the descriptors yet.
    pub(crate) unsafe fn take(&mut self, len: usize) -> Vec<Received> {
        // SAFETY: all zero is a valid one.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_control = self.as_mut_ptr();
        header.msg_controllen = len.min(self.len) as _;
        let mut messages = Vec::new();
        // SAFETY: the header names the buffer and its length.
        let mut at = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
        while !at.is_null() {
            // SAFETY: `at` is a header within the buffer, and says how much data follows it.
            unsafe {
                let data = libc::CMSG_DATA(at);
                let len = ((*at).cmsg_len as usize).saturating_sub(data.offset_from(at.cast()) as usize);
                let data = std::slice::from_raw_parts(data, len);
                messages.push(receive((*at).cmsg_level, (*at).cmsg_type, data));
                at = libc::CMSG_NXTHDR(&raw const header, at);
            }
        }
        messages
    }
}

/// # Safety
///
/// The kernel has written that message, and nobody has taken its descriptors yet.
unsafe fn receive(level: i32, kind: i32, data: &[u8]) -> Received {
    if (level, kind) != (libc::SOL_SOCKET, libc::SCM_RIGHTS) {
        return Received::Other { level, kind, data: data.to_vec() };
    }
    let own = |bytes: &[u8]| {
        let fd = bytes.try_into().map_or(-1, RawFd::from_ne_bytes);
        // SAFETY: the kernel has opened it for this message.
        unsafe { OwnedFd::from_raw_fd(fd) }
    };
    Received::Fds(data.chunks_exact(size_of::<RawFd>()).map(own).collect())
}
