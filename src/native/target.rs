//! What an operation works on, and so how one waits for it.

use std::borrow::Cow;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;

use super::action::End;
use crate::driver::{Handle, Interest, ReadyEvent, Registration};
use crate::io::PollEvented;
use crate::runtime::context;
use crate::sys::file::About;
use crate::sys::uring::Punt;
use crate::sys::{pidfd, poll};

/// A wait for readiness.
pub(crate) type Wait<'a> = Pin<Box<dyn Future<Output = io::Result<ReadyEvent>> + Send + 'a>>;

/// See the module docs.
#[derive(Debug)]
pub(crate) enum Target<'a> {
    /// A socket or the like, and the direction.
    Io(&'a Registration, Interest),
    /// Two ends, either of which may have to be waited for.
    Between { from: (End, Option<&'a Registration>), to: (End, Option<&'a Registration>) },
    /// A child process, and a descriptor for it once it was waited for.
    Child(u32),
    /// A file, whose bytes are read or written: nothing that becomes ready.
    Bytes { file: &'a Arc<File>, about: &'a About, writes: bool },
    /// What else is done to a file or a name: the kernel does that on a thread of its own.
    Blocking,
    /// An entry of somebody's own.
    Entry,
}

impl<'a> Target<'a> {
    pub(crate) fn is_blocking(&self) -> bool {
        matches!(self, Target::Bytes { .. } | Target::Blocking | Target::Entry)
    }

    /// May the kernel do it on a thread of its own, if a ring does it? `None` if no ring is to, since the
    /// ring's thread would wait.
    pub(crate) fn is_punted(&self) -> Option<bool> {
        match self {
            Target::Bytes { file, about, writes } => {
                let fd = file.as_raw_fd();
                about.is_for_rings(fd).then(|| *writes && about.writes_are_punted(fd))
            }
            Target::Blocking | Target::Between { .. } => Some(true),
            Target::Io(..) | Target::Child(_) | Target::Entry => Some(false),
        }
    }

    /// May a ring do it now? Then with what it takes. If there are too many already that the kernel may have
    /// on threads of its own it is done as if there were no ring.
    pub(crate) fn admit(&self) -> Option<Option<Punt>> {
        let punt = if self.is_punted()? { Some(Punt::take()) } else { None };
        match (punt, self) {
            (None, _) => Some(None),
            (Some(Some(punt)), _) => Some(Some(punt)),
            // Without a ring this thread would wait for the file.
            (Some(None), Target::Between { from: (_, None), .. } | Target::Between { to: (_, None), .. }) => {
                Some(None)
            }
            (Some(None), _) => None,
        }
    }

    /// The drivers of the runtime that does it.
    ///
    /// # Panics
    ///
    /// Where that is the current runtime, if there is none.
    #[track_caller]
    pub(crate) fn driver(&self) -> Cow<'a, Handle> {
        match self {
            Target::Io(io, _)
            | Target::Between { from: (_, Some(io)), .. }
            | Target::Between { to: (_, Some(io)), .. } => Cow::Borrowed(io.handle()),
            Target::Between { .. } | Target::Child(_) | Target::Bytes { .. } | Target::Blocking | Target::Entry => Cow::Owned(current_driver()),
        }
    }

    /// Can one wait until an attempt is worth it?
    pub(crate) fn can_wait(&self) -> bool {
        matches!(self, Target::Io(..) | Target::Between { .. })
    }

    /// An error, if the driver that would wait is gone.
    pub(crate) fn runtime_gone(&self) -> Option<io::Error> {
        match self {
            Target::Io(io, _) => io.gone(),
            Target::Between { from, to } => from.1.or(to.1).and_then(Registration::gone),
            Target::Child(_) | Target::Bytes { .. } | Target::Blocking | Target::Entry => None,
        }
    }

    /// # Panics
    ///
    /// In the child of a fork: a system call here would take what is the parent's. Who needs the
    /// runtime for everything is refused by that.
    #[track_caller]
    pub(crate) fn assert_own(&self) {
        match self {
            Target::Io(io, _)
            | Target::Between { from: (_, Some(io)), .. }
            | Target::Between { to: (_, Some(io)), .. } => io.handle().assert_own(),
            Target::Between { .. } | Target::Child(_) | Target::Bytes { .. } | Target::Blocking | Target::Entry => {}
        }
    }

    /// Has a dropped operation left something, or may it?
    pub(crate) fn has_leftovers(&self) -> bool {
        match self {
            Target::Io(io, _) => io.leftovers().is_pending(),
            Target::Between { .. } | Target::Child(_) | Target::Bytes { .. } | Target::Blocking | Target::Entry => false,
        }
    }

    /// Sends what the stream's own writes have left to be sent: it goes before.
    pub(crate) fn send_first(&self) -> io::Result<()> {
        match self {
            Target::Io(io, Interest::WRITABLE) | Target::Between { to: (_, Some(io)), .. } => {
                io.known_outbox().map_or(Ok(()), |outbox| outbox.send_all())
            }
            _ => Ok(()),
        }
    }

    /// An attempt would have blocked, although `event` said otherwise.
    pub(crate) fn not_ready(&self, event: Option<ReadyEvent>) {
        if let (Target::Io(io, _), Some(event)) = (self, event) {
            io.clear_readiness(event);
        }
    }

    /// A request is dropped, whose operation may have received something.
    pub(crate) fn orphaned(&self) {
        if let Target::Io(io, _) = self {
            io.leftovers().orphaned();
        }
    }

    /// Waits until an operation that was dropped has ended.
    pub(crate) fn wait_for_orphans(&self) -> io::Result<Wait<'a>> {
        match self {
            Target::Io(io, _) | Target::Between { from: (_, Some(io)), .. } => {
                Ok(Box::pin(io.settled()))
            }
            Target::Between { .. } | Target::Child(_) | Target::Bytes { .. } | Target::Blocking | Target::Entry => {
                unreachable!("nothing is received from there")
            }
        }
    }

    /// Waits until an attempt is worth it.
    pub(crate) fn wait(&self) -> io::Result<Wait<'a>> {
        match self {
            Target::Io(io, interest) => Ok(Box::pin(io.readiness(*interest))),
            Target::Between { from, to } => {
                let (from, to) = (from.clone(), to.clone());
                Ok(Box::pin(wait_between(from, to)))
            }
            Target::Child(pid) => {
                let pidfd: PollEvented<OwnedFd> =
                    PollEvented::new_with_interest(pidfd::open(*pid)?, Interest::READABLE)?;
                Ok(Box::pin(async move { pidfd.registration().readiness(Interest::READABLE).await }))
            }
            Target::Bytes { .. } | Target::Blocking | Target::Entry => unreachable!("what runs on the blocking pool blocks there"),
        }
    }
}

/// Waits for the end that is not ready.
async fn wait_between(
    (from, source): (End, Option<&Registration>),
    (to, sink): (End, Option<&Registration>),
) -> io::Result<ReadyEvent> {
    let is_ready = |end: &End, events| {
        let mut fds = [poll::PollFd::new(end.fd(), events)];
        poll::wait(&mut fds, Some(std::time::Duration::ZERO)).is_ok() && fds[0].ready() != 0
    };
    let (io, interest) = match (source, sink) {
        (Some(source), _) if !is_ready(&from, Interest::READABLE.poll_events()) => {
            (source, Interest::READABLE)
        }
        (_, Some(sink)) => (sink, Interest::WRITABLE),
        (Some(source), None) => (source, Interest::READABLE),
        (None, None) => unreachable!("one end is a pipe"),
    };
    loop {
        let event = io.readiness(interest).await?;
        // What it knows may be old.
        let end = if interest == Interest::READABLE { &from } else { &to };
        if is_ready(end, interest.poll_events()) {
            return Ok(event);
        }
        io.clear_readiness(event);
    }
}

/// The driver of the current runtime.
#[track_caller]
pub(crate) fn current_driver() -> Handle {
    match context::with_current(|handle| handle.driver().clone()) {
        Ok(driver) => driver,
        Err(e) => panic!("{e}"),
    }
}
