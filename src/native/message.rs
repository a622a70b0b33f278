//! What goes along with the bytes of a socket.

use std::os::fd::OwnedFd;

use crate::sys::control::{ControlBuf, Received};

/// A message that was received.
#[derive(Debug)]
#[non_exhaustive]
pub struct Message<A> {
    /// How many bytes were received, into the buffers one after the other.
    pub len: usize,
    /// Who sent it; `None` on a stream.
    pub from: Option<A>,
    /// What came along, as far as there was room for it.
    pub control: Vec<ControlMessage>,
    /// `MSG_*` flags; with `MSG_TRUNC` the buffers were too small for the datagram.
    pub flags: i32,
}

/// Something that goes along with the bytes: see `cmsg(3)`.
#[derive(Debug)]
#[non_exhaustive]
pub enum ControlMessage {
    /// Descriptors (`SCM_RIGHTS`, Unix sockets only). Those received are close-on-exec, and closed
    /// if nobody keeps them; those sent are closed here once they are sent.
    Fds(Vec<OwnedFd>),
    /// Any other message.
    Other {
        /// Whose option it is: `SOL_SOCKET`, `IPPROTO_UDP`, …
        level: i32,
        /// What it is: `SCM_TIMESTAMPNS`, `UDP_SEGMENT`, …
        kind: i32,
        /// What it says, in the layout of its C type.
        data: Vec<u8>,
    },
}

impl ControlMessage {
    /// How much room `recv_msg` needs for a message of `len` bytes of data.
    pub const fn room(len: usize) -> usize {
        let word = size_of::<usize>();
        let header = size_of::<libc::cmsghdr>().div_ceil(word) * word;
        header + len.div_ceil(word) * word
    }

    /// Appends it to what the kernel reads; descriptors go to `fds`, where they stay open.
    pub(crate) fn push_to(self, to: &mut ControlBuf, fds: &mut Vec<OwnedFd>) {
        match self {
            ControlMessage::Fds(mut own) => {
                to.push_fds(&own);
                fds.append(&mut own);
            }
            ControlMessage::Other { level, kind, data } => to.push(level, kind, &data),
        }
    }
}

impl From<Received> for ControlMessage {
    fn from(received: Received) -> ControlMessage {
        match received {
            Received::Fds(fds) => ControlMessage::Fds(fds),
            Received::Other { level, kind, data } => ControlMessage::Other { level, kind, data },
        }
    }
}
