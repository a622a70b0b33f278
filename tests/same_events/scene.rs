//! What happens to a descriptor, step by step.

use super::common::eventually;
use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

/// For one turn of the runtime, at least.
pub const MOMENT: Duration = Duration::from_millis(4);

/// Every set of readable (1), writable (2), priority (4) and error (8).
pub const INTERESTS: [u8; 15] = [1, 2, 4, 8, 3, 5, 9, 6, 10, 12, 7, 11, 13, 14, 15];

pub fn letters(bits: u8) -> String {
    "rwpe".chars().enumerate().filter(|(bit, _)| bits & 1 << bit != 0).map(|(_, letter)| letter).collect()
}

/// A kind of descriptor.
pub struct Kind {
    pub name: &'static str,
    pub make: Box<dyn Fn() -> Subject>,
    pub steps: Vec<Step>,
    /// What the kernel may need until a step has taken effect.
    pub takes: Duration,
}

impl Kind {
    pub fn new(name: &'static str, make: impl Fn() -> Subject + 'static, steps: Vec<Step>) -> Kind {
        Kind { name, make: Box::new(make), steps, takes: Duration::from_millis(1) }
    }

    pub fn takes(self, takes: Duration) -> Kind {
        Kind { takes, ..self }
    }
}

type Act = Box<dyn Fn(&Subject) -> String>;

pub enum Step {
    Act(&'static str, Act),
    /// Reads until it would wait, and believes that.
    Read,
    /// Writes until it would wait, and believes that.
    Fill,
    /// Believes in nothing any more.
    Clear,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Act(name, _) => name,
            Step::Read => "read",
            Step::Fill => "fill",
            Step::Clear => "clear",
        })
    }
}

pub fn act(name: &'static str, act: impl Fn(&Subject) + 'static) -> Step {
    Step::Act(
        name,
        Box::new(move |subject| {
            act(subject);
            String::new()
        }),
    )
}

/// Something that tells how it ended.
pub fn ask<T: fmt::Debug>(name: &'static str, ask: impl Fn(&Subject) -> T + 'static) -> Step {
    Step::Act(name, Box::new(move |subject| format!("{:?}", ask(subject))))
}

/// Our descriptor, and what it takes to make something happen to it.
pub struct Subject {
    pub ours: Arc<OwnedFd>,
    pub peer: RefCell<Option<OwnedFd>>,
    pub also: RefCell<Option<Box<dyn Any>>>,
}

impl Subject {
    pub fn new(ours: impl Into<OwnedFd>) -> Subject {
        let ours = ours.into();
        set_nonblocking(ours.as_raw_fd());
        Subject { ours: Arc::new(ours), peer: RefCell::default(), also: RefCell::default() }
    }

    pub fn peer(self, peer: impl Into<OwnedFd>) -> Subject {
        let peer = peer.into();
        set_nonblocking(peer.as_raw_fd());
        *self.peer.borrow_mut() = Some(peer);
        self
    }

    pub fn also(self, also: impl Any) -> Subject {
        *self.also.borrow_mut() = Some(Box::new(also));
        self
    }

    pub fn fd(&self) -> RawFd {
        self.ours.as_raw_fd()
    }

    pub fn peer_fd(&self) -> RawFd {
        self.peer.borrow().as_ref().expect("the peer is there").as_raw_fd()
    }

    /// Lends what else there is.
    pub fn with<T: 'static, R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(self.also.borrow_mut().as_mut().and_then(|also| also.downcast_mut()).expect("it is there"))
    }
}

pub fn set_nonblocking(fd: RawFd) {
    // SAFETY: two integers.
    unsafe {
        let flags = libc::fcntl(fd, libc::F_GETFL);
        assert_eq!(libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK), 0);
    }
}

pub fn check(outcome: libc::c_int) -> libc::c_int {
    assert!(outcome >= 0, "{}", io::Error::last_os_error());
    outcome
}

fn size(outcome: isize) -> io::Result<usize> {
    usize::try_from(outcome).map_err(|_| io::Error::last_os_error())
}

pub fn read(fd: RawFd) -> io::Result<usize> {
    let mut bytes = [0_u8; 4096];
    // SAFETY: a buffer and its length.
    size(unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) })
}

pub fn write(fd: RawFd) -> io::Result<usize> {
    write_all(fd, &[0; 4096])
}

/// In one go.
pub fn write_all(fd: RawFd, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: a buffer and its length.
    size(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) })
}

// ===== what the peer does =====

pub fn data() -> Step {
    act("data", |s| write_all(s.peer_fd(), b"data").map(drop).unwrap())
}

/// The same where data may be underway for a while.
pub fn sent() -> Step {
    fn unread(s: &Subject) -> libc::c_int {
        let mut bytes = 0;
        // SAFETY: an integer that outlives the call.
        check(unsafe { libc::ioctl(s.fd(), libc::FIONREAD, &mut bytes) });
        bytes
    }
    act("data", |s| {
        let before = unread(s);
        write_all(s.peer_fd(), b"data").unwrap();
        eventually("the data is there", || unread(s) > before);
    })
}

pub fn drain() -> Step {
    act("the peer reads all", |s| while read(s.peer_fd()).is_ok_and(|n| n > 0) {})
}

pub fn urgent() -> Step {
    ask("urgent data", |s| {
        // SAFETY: a buffer and its length.
        size(unsafe { libc::send(s.peer_fd(), b"u".as_ptr().cast(), 1, libc::MSG_OOB) })
            .map_err(|e| e.raw_os_error())
    })
}

/// Takes the urgent byte.
pub fn take_urgent() -> Step {
    ask("take the urgent byte", |s| {
        let mut byte = 0_u8;
        // SAFETY: a buffer and its length.
        size(unsafe { libc::recv(s.fd(), (&raw mut byte).cast(), 1, libc::MSG_OOB) })
            .map_err(|e| e.raw_os_error())
    })
}

pub fn half_close() -> Step {
    act("the peer closes its writing half", |s| {
        // SAFETY: two integers.
        check(unsafe { libc::shutdown(s.peer_fd(), libc::SHUT_WR) });
    })
}

pub fn our_half_close() -> Step {
    act("close our writing half", |s| {
        // SAFETY: two integers.
        check(unsafe { libc::shutdown(s.fd(), libc::SHUT_WR) });
    })
}

pub fn gone() -> Step {
    act("the peer is gone", |s| drop(s.peer.take()))
}

pub fn reset() -> Step {
    act("the peer resets", |s| {
        let linger = libc::linger { l_onoff: 1, l_linger: 0 };
        // SAFETY: a struct and its size.
        check(unsafe {
            libc::setsockopt(
                s.peer_fd(),
                libc::SOL_SOCKET,
                libc::SO_LINGER,
                (&raw const linger).cast(),
                size_of_val(&linger) as u32,
            )
        });
        drop(s.peer.take());
    })
}
