//! An epoll instance.
//!
//! Any thread may add and remove descriptors, and any number may wait: each event is handed to one
//! of them. Everything is edge-triggered: what happens to a descriptor is reported once, together
//! with the whole state it is in, and so is the state in which it is added.
//!
//! The crate `mio` waits through `&mut`, for one thread at a time, and counts in milliseconds; the
//! ring's own wait (`IORING_OP_EPOLL_WAIT`) needs the kernel's array of events. Hence these four calls.
//!
//! # Safety
//!
//! `epoll_create1(2)` makes a descriptor this module owns; `epoll_ctl(2)` reads one event on the stack;
//! `epoll_pwait2(2)` and `epoll_wait(2)` write to the array they are given, which is as long as they
//! are told, and say how much of it they have written.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::fault::{self, Call};
use super::uring::{Wait, timespec};

/// How many events one wait takes; the rest is taken by the next.
const EVENTS: usize = 256;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

/// Where a wait leaves its events.
pub(crate) struct Events {
    array: Box<[libc::epoll_event]>,
    len: usize,
}

impl Epoll {
    /// Makes an instance.
    pub(crate) fn new() -> io::Result<Epoll> {
        Epoll::make().map_err(|error| explain("create an epoll instance", &error))
    }

    fn make() -> io::Result<Epoll> {
        fault::check(Call::Epoll)?;
        // SAFETY: takes a flag, touches no memory; the descriptor is ours alone.
        unsafe {
            let fd = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(Epoll(OwnedFd::from_raw_fd(fd))) }
        }
    }

    /// Reports under `token` what happens to `fd`; `interest` in poll bits. Errors and hang-ups are
    /// reported in any case.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`: `EPERM` for a file that cannot be polled, `EEXIST` if it is a member
    /// already, `EBADF`, `ENOMEM`, and `ENOSPC` at the limit `fs.epoll.max_user_watches`.
    pub(crate) fn add(&self, fd: RawFd, interest: u32, token: u64) -> io::Result<()> {
        fault::check(Call::EpollAdd)?;
        let mut event = libc::epoll_event { events: interest | libc::EPOLLET as u32, u64: token };
        // SAFETY: `event` outlives the call, which only reads it.
        let result = unsafe { libc::epoll_ctl(self.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Reports nothing about `fd` any more. What a wait has taken before stays taken.
    ///
    /// An error says that it is no member: its last descriptor was closed under us, which ended that.
    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        // SAFETY: the event is ignored (since Linux 2.6.9).
        let result = unsafe { libc::epoll_ctl(self.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, ptr::null_mut()) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Waits for events; none if the time is over, or a signal handler ran.
    ///
    /// # Errors
    ///
    /// The instance was closed under us (`EBADF`), or the call is forbidden.
    pub(crate) fn wait(&self, events: &mut Events, wait: Wait) -> io::Result<()> {
        if events.array.is_empty() {
            *events = Events::with_capacity(EVENTS);
        }
        events.len = 0;
        match fault::check(Call::EpollWait).and_then(|()| self.wait_raw(&mut events.array, wait)) {
            Ok(n) => {
                events.len = n;
                Ok(())
            }
            // A signal handler ran; the kernel had no memory for a moment.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::ENOMEM)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn wait_raw(&self, array: &mut [libc::epoll_event], wait: Wait) -> io::Result<usize> {
        static IN_MILLIS: AtomicBool = AtomicBool::new(false);

        let (events, len) = (array.as_mut_ptr(), array.len() as libc::c_int);
        let n = match wait {
            Wait::For(limit) if !IN_MILLIS.load(Relaxed) => {
                match self.wait_nanos(array, limit) {
                    // Unknown before Linux 5.11, and to the seccomp profiles of that time.
                    Err(e) if matches!(e.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
                        IN_MILLIS.store(true, Relaxed);
                        return self.wait_raw(array, wait);
                    }
                    result => return result,
                }
            }
            // SAFETY: an array of that length.
            _ => unsafe { libc::epoll_wait(self.as_raw_fd(), events, len, millis(wait)) },
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }

    fn wait_nanos(&self, array: &mut [libc::epoll_event], limit: Duration) -> io::Result<usize> {
        let limit = timespec(limit);
        // SAFETY: an array of that length and a timespec that outlive the call; no signal mask.
        let n = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.as_raw_fd(),
                array.as_mut_ptr(),
                array.len() as libc::c_int,
                &raw const limit,
                ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    }
}

/// Is `fd` a member of the epoll instance that has the number `epoll`, if that is one? The member is a probe: from
/// here on it reports nothing but errors, with an empty token.
pub(crate) fn has_member(epoll: RawFd, fd: RawFd) -> bool {
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: `event` outlives the call, which only reads it. Whatever `epoll` is, the call changes nothing but an epoll
    // instance with that very member.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_MOD, fd, &raw mut event) == 0 }
}

/// Never too short: a timer must not fire early.
fn millis(wait: Wait) -> libc::c_int {
    match wait {
        Wait::No => 0,
        Wait::Forever => -1,
        Wait::For(limit) => {
            libc::c_int::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(libc::c_int::MAX)
        }
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl Events {
    /// Room is made by the first wait.
    pub(crate) fn new() -> Events {
        Events::with_capacity(0)
    }

    pub(crate) fn with_capacity(n: usize) -> Events {
        Events { array: vec![libc::epoll_event { events: 0, u64: 0 }; n].into_boxed_slice(), len: 0 }
    }

    /// What the last wait has taken: tokens, and what happened in poll bits.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, u32)> {
        self.array[..self.len].iter().map(|event| (event.u64, event.events))
    }

    /// For the kernel, which writes there while a ring waits in the instance.
    pub(crate) fn room(&mut self) -> (*mut libc::epoll_event, u32) {
        self.len = 0;
        (self.array.as_mut_ptr(), self.array.len() as u32)
    }

    /// So many events were left in the [`room`](Events::room).
    pub(crate) fn filled(&mut self, n: usize) {
        self.len = n.min(self.array.len());
    }
}

/// The same error with what was to be done, and a sentence on what to do about it.
pub(crate) fn explain(what: &str, error: &io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EMFILE) => " (the process has no file descriptors left: raise RLIMIT_NOFILE, ulimit -n)",
        Some(libc::ENFILE) => " (the system has no file descriptors left, fs.file-max)",
        _ => "",
    };
    io::Error::new(error.kind(), format!("cannot {what}: {error}{advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_in_milliseconds_is_never_too_short() {
        assert_eq!(millis(Wait::No), 0);
        assert_eq!(millis(Wait::Forever), -1);
        for (nanos, expected) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
            assert_eq!(millis(Wait::For(Duration::from_nanos(nanos))), expected);
        }
        assert_eq!(millis(Wait::For(Duration::MAX)), libc::c_int::MAX);
    }

    #[test]
    fn an_instance_is_known_by_its_members() {
        let bell = || super::super::event_fd::EventFd::new().unwrap();
        let (one, other, probe) = (Epoll::new().unwrap(), Epoll::new().unwrap(), bell());
        one.add(probe.as_raw_fd(), libc::EPOLLIN as u32, 7).unwrap();
        other.add(bell().as_raw_fd(), libc::EPOLLIN as u32, 7).unwrap();
        assert!(has_member(one.as_raw_fd(), probe.as_raw_fd()));
        // Another one, something else, and nothing.
        for number in [other.as_raw_fd(), bell().as_raw_fd(), probe.as_raw_fd(), RawFd::MAX, -1] {
            assert!(!has_member(number, probe.as_raw_fd()));
        }
    }

    #[test]
    fn both_ways_to_wait_take_each_event_once() {
        let epoll = Epoll::new().unwrap();
        let bell = super::super::event_fd::EventFd::new().unwrap();
        epoll.add(bell.as_raw_fd(), libc::EPOLLIN as u32, 7).unwrap();
        assert_eq!(
            epoll.add(bell.as_raw_fd(), libc::EPOLLIN as u32, 7).unwrap_err().raw_os_error(),
            Some(libc::EEXIST)
        );
        let mut events = Events::new();
        for wait in [Wait::No, Wait::Forever, Wait::For(Duration::from_secs(10)), Wait::For(Duration::MAX)] {
            bell.ring().unwrap();
            epoll.wait(&mut events, wait).unwrap();
            assert_eq!(events.iter().collect::<Vec<_>>(), [(7, libc::EPOLLIN as u32)]);
            epoll.wait(&mut events, Wait::For(Duration::from_micros(1))).unwrap();
            assert_eq!(events.iter().count(), 0);
        }
        epoll.remove(bell.as_raw_fd()).unwrap();
        bell.ring().unwrap();
        epoll.wait(&mut events, Wait::No).unwrap();
        assert_eq!(events.iter().count(), 0);
    }
}
