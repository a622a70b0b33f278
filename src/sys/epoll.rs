//! epoll, by way of the crate [`mio`](https://docs.rs/mio): what serves a shard where there is no
//! ring.
//!
//! An instance has three parts, since three parties use it: [`Epoll`] waits, one thread at a
//! time; [`Registry`] enters and removes descriptors, from any thread; [`Waker`] ends a wait, from
//! any thread. Each part is a descriptor.
//!
//! Everything is edge-triggered, as mio does it: an event is reported once, and the registration of
//! something that is ready already reports that.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Poll, Token};

pub(crate) use mio::event::Event;

use super::poll::{self, PollFd};
use super::uring::Wait;

/// The token of the [`Waker`]; no descriptor is registered with it.
pub(crate) const WAKER: usize = usize::MAX;

/// How many events one wait takes; the rest are taken by the next. Tokio's default.
const EVENTS: usize = 1024;

/// The part that waits.
pub(crate) struct Epoll {
    poll: Poll,
    events: Events,
}

/// The part that registers.
#[derive(Debug)]
pub(crate) struct Registry(mio::Registry);

/// The part that wakes.
#[derive(Debug)]
pub(crate) struct Waker(mio::Waker);

impl Epoll {
    /// Makes an instance.
    pub(crate) fn new() -> io::Result<(Epoll, Registry, Waker)> {
        Epoll::make().map_err(explain)
    }

    fn make() -> io::Result<(Epoll, Registry, Waker)> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        let waker = mio::Waker::new(&registry, Token(WAKER))?;
        let epoll = Epoll { poll, events: Events::with_capacity(EVENTS) };
        Ok((epoll, Registry(registry), Waker(waker)))
    }

    /// Waits for events and collects them; a signal handler that ran is a wait without events.
    pub(crate) fn wait(&mut self, wait: Wait) -> io::Result<()> {
        let timeout = match wait {
            Wait::No => Some(Duration::ZERO),
            Wait::Forever => None,
            // epoll counts in milliseconds. `poll` on the instance itself counts in nanoseconds,
            // and takes no event away.
            Wait::For(limit) => match poll::wait(&mut [PollFd::new(self.as_raw_fd(), poll::IN)], Some(limit))
            {
                Ok(1..) => Some(Duration::ZERO),
                Ok(0) => {
                    self.events.clear();
                    return Ok(());
                }
                Err(error) => return self.without_events(error),
            },
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => Ok(()),
            Err(error) => self.without_events(error),
        }
    }

    fn without_events(&mut self, error: io::Error) -> io::Result<()> {
        self.events.clear();
        match error.raw_os_error() {
            // A signal handler ran; the kernel had no memory for `poll` for a moment.
            Some(libc::EINTR | libc::EAGAIN | libc::ENOMEM) => Ok(()),
            // EBADF: closed under us. EINVAL, EFAULT: our call is wrong. EPERM, ENOSYS: forbidden.
            _ => Err(error),
        }
    }

    /// What the last wait collected: tokens and their events, the waker's among them.
    pub(crate) fn events(&self) -> impl Iterator<Item = (usize, &Event)> {
        self.events.iter().map(|event| (event.token().0, event))
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.poll.as_raw_fd()
    }
}

impl Registry {
    /// Reports what happens to `fd` under `token`; `interest` in poll bits.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(EPOLL_CTL_ADD)`; `ENOSPC` is the limit `fs.epoll.max_user_watches`.
    pub(crate) fn register(&self, fd: RawFd, interest: u32, token: usize) -> io::Result<()> {
        self.0.register(&mut SourceFd(&fd), Token(token), to_mio(interest))
    }

    /// Reports nothing about `fd` any more. An event that was collected before stays collected.
    pub(crate) fn deregister(&self, fd: RawFd) -> io::Result<()> {
        self.0.deregister(&mut SourceFd(&fd))
    }
}

/// The same error with a sentence on what to do about it.
fn explain(error: io::Error) -> io::Error {
    let advice = match error.raw_os_error() {
        Some(libc::EMFILE) => "the process has no file descriptors left: raise RLIMIT_NOFILE (ulimit -n)",
        Some(libc::ENFILE) => "the system has no file descriptors left (fs.file-max)",
        _ => "epoll_create1 or eventfd failed",
    };
    io::Error::new(error.kind(), format!("cannot create an epoll instance: {error} ({advice})"))
}

/// mio knows no empty interest. Errors and hang-ups are always reported, whatever was asked for.
fn to_mio(interest: u32) -> mio::Interest {
    let all = [
        (poll::IN, mio::Interest::READABLE),
        (poll::OUT, mio::Interest::WRITABLE),
        (poll::PRI, mio::Interest::PRIORITY),
    ];
    let wanted = all.into_iter().filter(|(bit, _)| interest & bit != 0).map(|(_, interest)| interest);
    wanted.reduce(mio::Interest::add).unwrap_or(mio::Interest::READABLE)
}

impl Waker {
    /// Ends the wait that is going on, or else the next one.
    pub(crate) fn wake(&self) -> io::Result<()> {
        self.0.wake()
    }
}
