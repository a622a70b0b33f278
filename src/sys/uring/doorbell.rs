//! Waking a thread that waits in its ring.
//!
//! A message is sent to the ring, best with `IORING_REGISTER_SEND_MSG_RING` (6.13), which any
//! thread can call. Where that is unknown, a worker puts a `MSG_RING` entry into its own ring,
//! which costs a submission (0.3 µs more for each wake-up), and a thread without a ring writes
//! to an eventfd that the ring watches.
//!
//! The lock is held while the message is sent: a ring is only closed, or given to another
//! runtime, after [`Doorbell::remove`], so a message never reaches a stranger that got the
//! same descriptor number.
//!
//! # Safety
//!
//! One raw system call, with a zeroed entry that outlives it.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::OnceLock;

use crate::loom::sync::Mutex;
use crate::sys::event_fd::EventFd;
use crate::sys::fault::{self, Call};

use super::token::{Kind, Token};

/// `IORING_REGISTER_SEND_MSG_RING`: an `io_uring_register` opcode that needs no ring.
const IORING_REGISTER_SEND_MSG_RING: libc::c_uint = 31;
const IORING_OP_MSG_RING: u8 = 40;

/// The door of one ring.
#[derive(Debug)]
pub(crate) struct Doorbell {
    ring: Mutex<Option<RawFd>>,
    /// Only where the kernel cannot send to a ring without a ring.
    event: Option<EventFd>,
}

impl Doorbell {
    /// A door without a ring behind it.
    pub(crate) fn new() -> io::Result<Doorbell> {
        let event =
            if can_send_without_ring() && !fault::is_before_6_13() { None } else { Some(EventFd::new()?) };
        Ok(Doorbell { ring: Mutex::new(None), event })
    }

    /// Puts the ring `fd` behind the door.
    pub(crate) fn install(&self, fd: RawFd) {
        *self.ring.lock() = Some(fd);
    }

    /// The descriptor that the ring must watch, if any, while it is behind the door.
    pub(crate) fn watched(&self) -> Option<RawFd> {
        let event = self.event.as_ref()?;
        self.ring.lock().map(|_| event.as_raw_fd())
    }

    /// Takes the ring away. Once this returned nobody sends to it any more.
    pub(crate) fn remove(&self) {
        *self.ring.lock() = None;
    }

    /// Sends through `send`, with the ring's descriptor; nothing is behind the door any more if
    /// this returns `None`.
    pub(crate) fn ring_with<R>(&self, send: impl FnOnce(RawFd) -> R) -> Option<R> {
        let ring = self.ring.lock();
        ring.map(send)
    }

    /// Is a message better sent through a ring of the sender's?
    pub(crate) fn needs_ring(&self) -> bool {
        self.event.is_some()
    }

    /// Wakes the ring, from any thread.
    pub(crate) fn ring(&self) -> Rung {
        let sent = self.ring_with(|fd| match &self.event {
            Some(event) => event.ring(),
            None => send_msg_ring(fd, Token::new(Kind::Doorbell, 0, 0)),
        });
        match sent {
            Some(Err(error)) => Rung::after(error.raw_os_error()),
            Some(Ok(())) | None => Rung::Heard,
        }
    }
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rung {
    /// It is there, or nobody is who needs it.
    Heard,
    /// The kernel was short of memory: it must be sent again.
    Again,
    /// The process, or this thread, may not use `io_uring` any more.
    Forbidden,
}

impl Rung {
    /// What an errno says. Nearly all say that the target is gone (`EBADF`, `EBADFD`,
    /// `EOWNERDEAD`), or awake with a full completion queue (`EOVERFLOW`).
    pub(crate) fn after(errno: Option<i32>) -> Rung {
        match errno {
            Some(libc::ENOMEM | libc::EAGAIN | libc::EINTR) => Rung::Again,
            Some(libc::EPERM | libc::EACCES | libc::ENOSYS) => Rung::Forbidden,
            _ => Rung::Heard,
        }
    }
}

/// The ABI of `struct io_uring_sqe`, as far as a message needs it.
#[repr(C)]
#[derive(Default)]
struct MessageSqe {
    opcode: u8,
    flags: u8,
    ioprio: u16,
    fd: i32,
    /// The `user_data` of the completion at the target.
    off: u64,
    /// `IORING_MSG_DATA` is 0.
    addr: u64,
    /// The `res` of the completion at the target.
    len: u32,
    msg_ring_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

const _: () = assert!(size_of::<MessageSqe>() == 64);

fn send_msg_ring(target: RawFd, token: Token) -> io::Result<()> {
    fault::check(Call::Message)?;
    let sqe =
        MessageSqe { opcode: IORING_OP_MSG_RING, fd: target, off: token.into_raw(), ..MessageSqe::default() };
    // SAFETY: the entry is fully initialised and outlives the call; the kernel reads 64 bytes.
    let result = unsafe {
        libc::syscall(libc::SYS_io_uring_register, -1, IORING_REGISTER_SEND_MSG_RING, &raw const sqe, 1)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Does the kernel know `IORING_REGISTER_SEND_MSG_RING`? Asked once, with a target that is no
/// ring: a kernel that knows it says `EBADF`, others `EINVAL` (or the process may not at all).
fn can_send_without_ring() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        let answer = send_msg_ring(-1, Token::new(Kind::Doorbell, 0, 0));
        matches!(answer, Err(e) if e.raw_os_error() == Some(libc::EBADF))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::uring::{Ring, Wait};

    /// How many completions the ring has, after a moment.
    fn completions(ring: &mut Ring) -> usize {
        let mut completions = Vec::new();
        for _ in 0..3 {
            let _ = ring.enter(Wait::For(std::time::Duration::from_millis(1)));
            ring.reap(&mut completions);
        }
        assert!(completions.iter().all(|cqe| cqe.token.kind() == Some(Kind::Doorbell)));
        completions.len()
    }

    #[test]
    fn h24_a_ring_taken_away_is_never_rung() {
        let mut ring = Ring::for_this_thread().unwrap();
        let door = Doorbell::new().unwrap();
        assert_eq!(door.ring(), Rung::Heard);
        assert_eq!(completions(&mut ring), 0);
        door.install(ring.as_raw_fd());
        if door.watched().is_none() {
            door.ring();
            assert_eq!(completions(&mut ring), 1);
        }
        door.remove();
        // Whoever has the descriptor now, it is not ours to ring.
        door.ring();
        assert_eq!(door.ring_with(|_| ()), None);
        assert_eq!(completions(&mut ring), 0);
    }
}
