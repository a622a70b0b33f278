//! An I/O resource registered with a runtime's driver.
//!
//! The path of an operation: try it if the readiness word allows; on `WouldBlock` clear the
//! word, leave a waker, have the descriptor watched, and try again when woken. A resource that
//! is not watched yet is simply tried first: most accepted sockets, and all that never block,
//! cost the ring nothing. Once one of them was short, the next one waits for an event.

mod native;

use std::io;
use std::mem;
use std::os::fd::{OwnedFd, RawFd};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use upstream::task::coop;

use crate::driver::error::RUNTIME_SHUTTING_DOWN_ERROR;
use crate::driver::leftovers::Leftovers;
use crate::driver::scheduled_io::{Direction, Readiness, ReadyEvent, ScheduledIo};
use crate::driver::{Handle, Interest, Outbox, Ready};
use crate::util::leaf;

/// See the module docs. Dropping it leaves the descriptor watched: call
/// [`close`](Registration::close) or [`deregister`](Registration::deregister) first.
#[derive(Debug)]
pub(crate) struct Registration {
    handle: Handle,
    shared: Arc<ScheduledIo>,
    /// From the first native operation on.
    leftovers: OnceLock<Arc<Leftovers>>,
    /// From the first write on that is kept for later.
    outbox: OnceLock<Arc<Outbox>>,
}

impl Registration {
    /// Registers `fd`, to be watched when somebody has to wait.
    pub(crate) fn lazy(fd: RawFd, interest: Interest, handle: Handle) -> io::Result<Registration> {
        Registration::of(ScheduledIo::new(fd, interest), handle)
    }

    fn of(io: ScheduledIo, handle: Handle) -> io::Result<Registration> {
        if handle.is_shutdown() {
            return Err(gone());
        }
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        let io = io.counted(handle.io_metrics().clone());
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        handle.io_metrics().registered();
        Ok(Registration { handle, shared: Arc::new(io), leftovers: OnceLock::new(), outbox: OnceLock::new() })
    }

    /// Registers `fd` and has it watched from now on: what is done with it waits until the kernel says
    /// that it is ready.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`: `EPERM` if the file cannot be polled, `EEXIST` if the runtime watches the
    /// descriptor already, `EBADF`.
    pub(crate) fn new_with_interest_and_handle(
        fd: RawFd,
        interest: Interest,
        handle: Handle,
    ) -> io::Result<Registration> {
        let registration = Registration::of(ScheduledIo::new(fd, interest).waiting_first(), handle)?;
        registration.handle.watch(&registration.shared)?;
        Ok(registration)
    }

    /// Ends the watch, at once; the descriptor stays the caller's.
    pub(crate) fn deregister(&self) {
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        self.handle.io_metrics().deregistered();
        self.handle.unwatch(&self.shared, None);
    }

    /// Ends the watch and closes `fd`. Operations in flight keep the descriptor until they have ended.
    pub(crate) fn close(&self, fd: OwnedFd) {
        #[cfg(any(tokio_unstable, feature = "metrics"))]
        self.handle.io_metrics().deregistered();
        if self.handle.is_inherited() {
            // What waits to be sent, and what is on its way, is the parent's: closes the child's
            // descriptor, and that is all.
            return;
        }
        let fd = match self.outbox.get() {
            None => fd,
            Some(outbox) => match outbox.close(fd) {
                Some(fd) => fd,
                // A ring has it in its hands, and closes it afterwards.
                None => return,
            },
        };
        match self.leftovers.get() {
            Some(leftovers) if !self.settle(leftovers, Some(&fd)) => {
                self.handle.unwatch(&self.shared, None);
                leftovers.park(fd);
            }
            _ => self.handle.unwatch(&self.shared, Some(fd)),
        }
    }

    /// The descriptor is lent out: whoever gets it may register it, and is to learn that it is
    /// registered, as on Tokio. So what would be watched with its first wait is from now on.
    pub(crate) fn lend_out(&self) {
        if !self.shared.is_watched() && !self.handle.is_shutdown() && !self.handle.is_inherited() {
            // Refused, it will be with the first wait.
            let _ = self.watch_now();
        }
    }

    /// Has a descriptor that comes from elsewhere watched from now on, so that its owner learns at once if it
    /// cannot be: because it is watched already, or for what it is.
    ///
    /// # Errors
    ///
    /// Those of `epoll_ctl(2)`.
    pub(crate) fn watch_now(&self) -> io::Result<()> {
        self.handle.watch(&self.shared)
    }

    /// The runtime's drivers.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// The place for bytes that are sent later.
    pub(crate) fn outbox(&self) -> &Arc<Outbox> {
        self.outbox.get_or_init(|| {
            self.handle.remember_outgoing();
            Outbox::new(self.shared.clone(), self.handle.clone())
        })
    }

    /// The same, if there is one.
    pub(crate) fn known_outbox(&self) -> Option<&Arc<Outbox>> {
        self.outbox.get()
    }

    pub(crate) fn clear_readiness(&self, event: ReadyEvent) {
        // Somebody's own call may have met `WouldBlock`, of a socket that is not all there is.
        let has_leftovers = self.leftovers.get().is_some_and(|leftovers| leftovers.has_kept());
        if !has_leftovers {
            self.shared.clear_readiness(&event);
        }
    }

    /// Marks directions ready without waiting for an event.
    pub(crate) fn assume_ready(&self, ready: Ready) {
        self.shared.assume_ready(ready);
    }

    /// Waits until reading is worth a try. Only the last caller is woken.
    pub(crate) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.poll_ready(cx, Direction::Read)
    }

    /// Waits until writing is worth a try. Only the last caller is woken.
    pub(crate) fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<ReadyEvent>> {
        self.poll_ready(cx, Direction::Write)
    }

    /// Runs `f` when readable, until it does not block.
    pub(crate) fn poll_read_io<R>(
        &self,
        cx: &mut Context<'_>,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_io(cx, Direction::Read, || f().map(|r| (r, Drained::No)))
    }

    /// Runs `f` when writable, until it does not block.
    pub(crate) fn poll_write_io<R>(
        &self,
        cx: &mut Context<'_>,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> Poll<io::Result<R>> {
        self.poll_io(cx, Direction::Write, || f().map(|r| (r, Drained::No)))
    }

    fn poll_ready(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Result<ReadyEvent>> {
        ready!(leaf::trace_leaf(cx));
        let coop = ready!(coop::poll_proceed(cx));
        if self.handle.is_shutdown() {
            return Poll::Ready(Err(gone()));
        }
        let event = ready!(self.wait(cx, direction))?;
        coop.made_progress();
        Poll::Ready(Ok(event))
    }

    /// Leaves a waker and has the descriptor watched, unless it is ready.
    fn wait(&self, cx: &mut Context<'_>, direction: Direction) -> Poll<io::Result<ReadyEvent>> {
        match self.shared.poll_readiness(cx, direction) {
            Poll::Ready(event) if event.is_shutdown => Poll::Ready(Err(gone())),
            Poll::Ready(event) => Poll::Ready(Ok(event)),
            Poll::Pending => {
                self.handle.watch(&self.shared)?;
                Poll::Pending
            }
        }
    }

    /// Runs `f` whenever `direction` may be ready, until it does not block. `f` also says
    /// whether it saw the end of what is there, which saves the attempt that would find out.
    pub(crate) fn poll_io<R>(
        &self,
        cx: &mut Context<'_>,
        direction: Direction,
        mut f: impl FnMut() -> io::Result<(R, Drained)>,
    ) -> Poll<io::Result<R>> {
        ready!(leaf::trace_leaf(cx));
        // Nothing would tell us: a try does.
        let mut may_be_tried = self.shared.may_be_tried() && !self.shared.was_drained(direction);
        loop {
            let coop = ready!(coop::poll_proceed(cx));
            if self.handle.is_shutdown() {
                return Poll::Ready(Err(gone()));
            }
            let event = match self.shared.ready_now(direction) {
                None if mem::take(&mut may_be_tried) => None,
                None => Some(ready!(self.wait(cx, direction))?),
                Some(event) if event.is_shutdown => return Poll::Ready(Err(gone())),
                event => event,
            };
            match (f(), event) {
                (Err(e), None) if e.kind() == io::ErrorKind::WouldBlock => {}
                (Err(e), Some(event)) if e.kind() == io::ErrorKind::WouldBlock => {
                    coop.made_progress();
                    self.clear_readiness(event);
                }
                (result, event) => {
                    coop.made_progress();
                    if matches!(result, Ok((_, Drained::Yes))) {
                        self.shared.set_drained(direction);
                        event.into_iter().for_each(|event| self.clear_readiness(event));
                    }
                    return Poll::Ready(result.map(|(result, _)| result));
                }
            }
        }
    }

    /// Runs `f` once if the resource may be ready.
    pub(crate) fn try_io<R>(&self, interest: Interest, f: impl FnOnce() -> io::Result<R>) -> io::Result<R> {
        let event = self.shared.ready_event(interest);
        // Unwatched, the word would stay empty for ever: only a try can tell.
        if event.ready.is_empty() && !self.shared.may_be_tried() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        match f() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.clear_readiness(event);
                Err(io::ErrorKind::WouldBlock.into())
            }
            result => result,
        }
    }

    /// Waits for `interest`; any number of tasks may.
    ///
    /// The descriptor is watched from now on, even if some of it seems to be ready: that may be a
    /// [guess](Self::assume_ready), whoever asks may never try it, and what is guessed of one direction would hide for
    /// ever what happens to the other one.
    pub(crate) async fn readiness(&self, interest: Interest) -> io::Result<ReadyEvent> {
        if !self.shared.is_watched() {
            self.watch_to_wait()?;
        }
        self.readiness_to_try(interest).await
    }

    fn watch_to_wait(&self) -> io::Result<()> {
        if self.handle.is_shutdown() { Err(gone()) } else { self.watch_now() }
    }

    /// The same for who tries all of `interest` then, and clears what was wrong.
    async fn readiness_to_try(&self, interest: Interest) -> io::Result<ReadyEvent> {
        #[cfg(all(tokio_unstable, feature = "taskdump"))]
        std::future::poll_fn(leaf::trace_leaf).await;
        if self.handle.is_shutdown() {
            return Err(gone());
        }
        let event = Readiness::new(&self.shared, interest, || self.watch_to_wait()).await?;
        if event.is_shutdown { Err(gone()) } else { Ok(event) }
    }

    /// Runs `f` whenever the resource is ready for `interest`, until it does not block.
    pub(crate) async fn async_io<R>(
        &self,
        interest: Interest,
        mut f: impl FnMut() -> io::Result<R>,
    ) -> io::Result<R> {
        #[cfg(all(tokio_unstable, feature = "taskdump"))]
        std::future::poll_fn(leaf::trace_leaf).await;
        if self.shared.may_be_tried() && self.shared.ready_event(interest).ready.is_empty() {
            let coop = std::future::poll_fn(coop::poll_proceed).await;
            if self.handle.is_shutdown() {
                return Err(gone());
            }
            match f() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    coop.made_progress();
                    return result;
                }
            }
        }
        loop {
            let event = self.readiness_to_try(interest).await?;
            let coop = std::future::poll_fn(coop::poll_proceed).await;
            match f() {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => self.clear_readiness(event),
                result => {
                    coop.made_progress();
                    return result;
                }
            }
        }
    }
}

/// Did an operation see the end of what there is to read or to write into? On a stream socket
/// a short read or write says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drained {
    Yes,
    No,
}

impl Drop for Registration {
    fn drop(&mut self) {
        if self.handle.is_inherited() {
            // A thread of the parent may have held that lock.
            return;
        }
        self.shared.clear_wakers();
    }
}

fn gone() -> io::Error {
    io::Error::other(RUNTIME_SHUTTING_DOWN_ERROR)
}
