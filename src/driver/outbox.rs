//! Bytes that a stream has accepted and the kernel has not: writes on the native lane.
//!
//! # Protocol
//!
//! - **Idle**: nothing is kept, and no buffer either. A write goes straight to the socket, or, if it is
//!   small and its worker busy, into a buffer.
//! - **Queued**: the outbox is on the list of the shard whose thread wrote. What is written now is
//!   appended. Whoever cannot append sends everything himself, what is kept first; the shard finds
//!   nothing to do then.
//! - **Flying**: the shard's owner is about to enter the ring with a `SEND`, or has just returned. With
//!   `MSG_DONTWAIT` the kernel never waits for room, so it is done with the buffer by then: nothing
//!   stays in flight from one turn to the next, nothing has to be cancelled, and a shard can be handed
//!   over at any time. Nobody touches the bytes meanwhile.
//! - **Blocked**: the socket was full. What is left goes out when it has room: the outbox waits for that
//!   like a task, on the readiness lane. A writer waits as well, and sends what is left before his own.
//!
//! An error empties the outbox. The next write, flush or shutdown reports it.
//!
//! What was accepted is sent, whoever drops what. A shutdown that comes too early is done afterwards. A
//! descriptor that is closed too early is duplicated, and the last bytes go through an outbox of their
//! own. The kernel would hold them back only as long as the peer lets it, and so does the outbox:
//! [`LINGER`] at most without progress (`TCP_USER_TIMEOUT`, which Unix sockets do not have: there the
//! peer must at least close), and not longer than [`LINGER_AT_SHUTDOWN`] for all when the runtime ends.
//!
//! The descriptor is used under the lock only, except while flying, and is not closed before
//! [`close`](Outbox::close) had the lock.
//!
//! # Safety
//!
//! The entry points into the buffer, which is neither changed nor freed while the phase is `Flying`:
//! that ends with the completion alone. The descriptor stays open that long for the same reason.
#![allow(unsafe_code)]
#![cfg_attr(not(feature = "net"), allow(dead_code))]

use std::cell::RefCell;
use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::task::{Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use crate::driver::error::RUNTIME_SHUTTING_DOWN_ERROR;
use crate::driver::op::{Boarded, Completion, Flight, Landing};
use crate::driver::scheduled_io::{ReadyEvent, ScheduledIo};
use crate::driver::uring::Remote;
use crate::driver::{Handle, Interest};
use crate::loom::sync::{Mutex, MutexGuard};
use crate::sys;
use crate::sys::poll::{self, PollFd};
use crate::sys::uring::{Ring, Sqe, Token};

/// The longest write that is kept. Copying a longer one costs more than the system call.
const SMALL: usize = 2048;

/// How many bytes are kept at the most.
const CAPACITY: usize = 8192;

/// How many empty buffers a thread keeps.
const SPARE: usize = 64;

/// How long the bytes of a closed connection wait for a peer that takes none.
const LINGER: Duration = Duration::from_secs(60);

/// How long the end of a runtime waits for such bytes.
pub(crate) const LINGER_AT_SHUTDOWN: Duration = Duration::from_millis(500);

/// How long a call that cannot wait asynchronously waits for the owner of a ring in the middle of a
/// turn.
const PATIENCE: Duration = Duration::from_millis(100);

/// See the module docs.
pub(crate) struct Outbox {
    io: Arc<ScheduledIo>,
    handle: Handle,
    state: Mutex<State>,
    me: Weak<Outbox>,
}

struct State {
    phase: Phase,
    bytes: Vec<u8>,
    /// So many of them are with the kernel.
    sent: usize,
    error: Option<io::Error>,
    /// The writing side is to be shut down afterwards.
    shut: bool,
    /// To be closed afterwards.
    fd: Option<OwnedFd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Queued,
    Flying,
    Blocked,
}

/// What becomes of bytes that are offered to an outbox.
#[derive(Debug)]
pub(crate) enum Offer {
    /// They were accepted.
    Kept,
    /// There are none before them: they go to the socket.
    Direct,
    /// They go together with those before them: see [`Outbox::send`].
    Behind,
    /// It is in the hands of a ring, for a moment.
    Busy,
    /// An earlier write failed.
    Failed(io::Error),
}

thread_local! {
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn take_buffer() -> Vec<u8> {
    BUFFERS.try_with(|buffers| buffers.borrow_mut().pop()).ok().flatten().unwrap_or_default()
}

fn recycle(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 {
        return;
    }
    buffer.clear();
    // On a thread that ends it is freed.
    let _ = BUFFERS.try_with(|buffers| {
        let mut buffers = buffers.borrow_mut();
        if buffers.len() < SPARE {
            buffers.push(buffer);
        }
    });
}

impl Outbox {
    pub(crate) fn new(io: Arc<ScheduledIo>, handle: Handle) -> Arc<Outbox> {
        let state =
            State { phase: Phase::Idle, bytes: Vec::new(), sent: 0, error: None, shut: false, fd: None };
        Outbox::with(io, handle, state)
    }

    fn with(io: Arc<ScheduledIo>, handle: Handle, state: State) -> Arc<Outbox> {
        Arc::new_cyclic(|me| Outbox { io, handle, state: Mutex::new(state), me: me.clone() })
    }

    /// Are so many bytes few enough to be kept?
    pub(crate) fn takes(len: usize) -> bool {
        0 < len && len <= SMALL
    }

    /// Accepts `bufs`, of `len` bytes together, or says what else to do with them. If there is nothing
    /// before them they are kept only if they are few and `is_busy` says so.
    pub(crate) fn offer(
        self: &Arc<Self>,
        bufs: &[IoSlice<'_>],
        len: usize,
        is_busy: impl FnOnce() -> bool,
    ) -> Offer {
        let mut state = self.state.lock();
        if let Some(error) = state.refusal() {
            return Offer::Failed(error);
        }
        match state.phase {
            Phase::Flying => Offer::Busy,
            Phase::Queued if state.bytes.len() + len <= CAPACITY => {
                state.append(bufs);
                Offer::Kept
            }
            Phase::Queued | Phase::Blocked => Offer::Behind,
            Phase::Idle if is_busy() && Outbox::takes(len) => {
                state.bytes = take_buffer();
                state.append(bufs);
                state.phase = Phase::Queued;
                drop(state);
                if !self.handle.send_later(self) {
                    self.drive();
                }
                Offer::Kept
            }
            Phase::Idle => Offer::Direct,
        }
    }

    /// Sends what is kept, then `bufs`, without waiting. Returns how much of `bufs` went; `None` if the
    /// outbox is in the hands of a ring.
    ///
    /// `WouldBlock` means that the socket is full.
    pub(crate) fn send(self: &Arc<Self>, bufs: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        loop {
            let mut state = self.state.lock();
            if let Some(error) = state.refusal() {
                return Err(error);
            }
            match state.phase {
                Phase::Flying => return Ok(None),
                Phase::Idle if bufs.is_empty() => return Ok(Some(0)),
                Phase::Idle | Phase::Queued | Phase::Blocked => {}
            }
            let result = state.send(self.io.fd(), bufs);
            if state.phase != Phase::Blocked {
                return result.map(Some);
            }
            drop(state);
            // The caller may not come back.
            self.drive();
            if self.state.lock().phase == Phase::Blocked {
                return result.map(Some);
            }
        }
    }

    /// The same for a caller that cannot come back later.
    pub(crate) fn send_all(self: &Arc<Self>) -> io::Result<()> {
        drop(self.lock_landed());
        self.send(&[])?.map(drop).ok_or_else(|| ErrorKind::WouldBlock.into())
    }

    /// Sends everything, waiting for room with the thread blocked, but not for long: the owner wants to
    /// part with the descriptor. Only `WouldBlock` is in the way of that.
    pub(crate) fn settle(self: &Arc<Self>) -> io::Result<()> {
        let deadline = Instant::now() + LINGER_AT_SHUTDOWN;
        loop {
            match self.send_all() {
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    if !wait_for_room(self.io.fd(), deadline) {
                        return Err(e);
                    }
                }
                // The next user of the descriptor sees another error for himself.
                Ok(()) | Err(_) => {
                    drop(self.io.take_sender());
                    return Ok(());
                }
            }
        }
    }

    /// Is nothing kept, and no error?
    pub(crate) fn is_idle(&self) -> bool {
        let state = self.state.lock();
        state.phase == Phase::Idle && state.error.is_none()
    }

    /// The error of an earlier write.
    pub(crate) fn take_error(&self) -> Option<io::Error> {
        self.state.lock().error.take()
    }

    /// Has the writing side shut down once everything is sent; `false` if it is, and the caller can do so.
    /// Who waited for that instead might wait for a peer that reads only after the end.
    pub(crate) fn shut_later(self: &Arc<Self>) -> bool {
        let mut state = self.state.lock();
        if state.phase == Phase::Idle {
            return false;
        }
        state.shut = true;
        drop(state);
        self.drive();
        true
    }

    /// Lets go of `fd`, which its owner is about to close. `None`: it is closed later.
    pub(crate) fn close(self: &Arc<Self>, fd: OwnedFd) -> Option<OwnedFd> {
        let mut state = self.lock_landed();
        let left = match state.phase {
            Phase::Idle => None,
            Phase::Flying => {
                // A ring that the kernel gives no memory; its owner is perhaps this very thread.
                state.fd = Some(fd);
                return None;
            }
            Phase::Queued | Phase::Blocked => match state.send(self.io.fd(), &[]) {
                Err(e) if e.kind() == ErrorKind::WouldBlock => Some(state.unload()),
                // Nobody is left to be told of another error.
                Err(_) | Ok(_) => None,
            },
        };
        // The close does that, and by the next wake-up the number may be another file's.
        state.shut = false;
        drop(state);
        // It refers to this outbox, which refers to what holds it.
        drop(self.io.take_sender());
        if let Some(left) = left {
            self.linger(&fd, left);
        }
        Some(fd)
    }

    /// Sends the last bytes of a connection whose owner is gone.
    fn linger(&self, fd: &OwnedFd, left: State) {
        let Ok(own) = fd.try_clone() else {
            // No descriptors: better a moment of waiting than bytes lost.
            let io = Arc::new(ScheduledIo::new(fd.as_raw_fd(), Interest::WRITABLE));
            drop(Outbox::with(io, self.handle.clone(), left).settle());
            return;
        };
        sys::io::set_user_timeout(own.as_raw_fd(), LINGER);
        let io = Arc::new(ScheduledIo::new(own.as_raw_fd(), Interest::WRITABLE));
        Outbox::with(io, self.handle.clone(), State { fd: Some(own), ..left }).drive();
    }

    /// Sends what is there, now and whenever the socket has room for more, and does what is due
    /// afterwards.
    pub(crate) fn drive(self: &Arc<Self>) {
        loop {
            let event = self.io.ready_event(Interest::WRITABLE);
            let mut state = self.state.lock();
            match state.phase {
                // Its landing goes on from there.
                Phase::Flying => return,
                Phase::Idle => {}
                Phase::Queued | Phase::Blocked => match state.send(self.io.fd(), &[]) {
                    Ok(_) => {}
                    Err(e) if e.kind() == ErrorKind::WouldBlock => {
                        drop(state);
                        if self.wait_for_room(&event) {
                            continue;
                        }
                        return;
                    }
                    Err(e) => state.error = Some(e),
                },
            }
            if mem::take(&mut state.shut) {
                // Under the lock: the descriptor is not closed meanwhile.
                sys::io::shutdown_write(self.io.fd());
            }
            let fd = state.fd.take();
            drop(state);
            if fd.is_some() {
                drop(self.io.take_sender());
                self.handle.unwatch(&self.io, fd);
            }
            return;
        }
    }

    /// The socket was found full, `event` being what was known of it before. `true`: try again now.
    fn wait_for_room(self: &Arc<Self>, event: &ReadyEvent) -> bool {
        if event.is_shutdown || self.handle.is_shutdown() {
            self.wait_at_shutdown();
            return true;
        }
        self.io.clear_readiness(event);
        drop(self.io.set_sender(Waker::from(self.clone())));
        if self.state.lock().phase == Phase::Idle {
            // Closed in between.
            drop(self.io.take_sender());
            return true;
        }
        let event = self.io.ready_event(Interest::WRITABLE);
        if event.is_shutdown || !event.ready.is_empty() {
            return true;
        }
        if let Err(error) = self.handle.watch(&self.io) {
            self.give_up(error);
            return true;
        }
        false
    }

    /// Nobody will tell of room any more: waits for it, if that is all that remains to be done.
    fn wait_at_shutdown(&self) {
        let is_last = {
            let state = self.state.lock();
            state.fd.is_some() || state.shut
        };
        if !is_last || !wait_for_room(self.io.fd(), self.handle.lingers_until()) {
            self.give_up(io::Error::other(RUNTIME_SHUTTING_DOWN_ERROR));
        }
    }

    fn give_up(&self, error: io::Error) {
        let mut state = self.state.lock();
        if state.phase != Phase::Flying {
            state.clear();
            state.error = Some(error);
        }
    }

    /// The state, once no ring has it in its hands; after [`PATIENCE`] anyway.
    fn lock_landed(&self) -> MutexGuard<'_, State> {
        let mut deadline = None;
        loop {
            let state = self.state.lock();
            if state.phase != Phase::Flying {
                return state;
            }
            let now = Instant::now();
            if now >= *deadline.get_or_insert(now + PATIENCE) {
                return state;
            }
            drop(state);
            thread::yield_now();
        }
    }
}

/// Waits until `fd` has room; `false` if it had none by `deadline`.
fn wait_for_room(fd: RawFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        match poll::wait(&mut [PollFd::new(fd, poll::OUT)], Some(left)) {
            Ok(0) => {}
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(_) => return false,
            Ok(_) => return true,
        }
    }
}

impl State {
    /// Why nothing is accepted.
    fn refusal(&mut self) -> Option<io::Error> {
        self.error.take().or_else(|| self.shut.then(|| ErrorKind::BrokenPipe.into()))
    }

    fn append(&mut self, bufs: &[IoSlice<'_>]) {
        bufs.iter().for_each(|buf| self.bytes.extend_from_slice(buf));
    }

    /// Forgets what is kept.
    fn clear(&mut self) {
        self.phase = Phase::Idle;
        self.sent = 0;
        recycle(mem::take(&mut self.bytes));
    }

    /// Moves what is kept into a state of its own.
    fn unload(&mut self) -> State {
        let left = State {
            phase: Phase::Blocked,
            bytes: mem::take(&mut self.bytes),
            sent: self.sent,
            error: None,
            shut: mem::take(&mut self.shut),
            fd: None,
        };
        self.clear();
        left
    }

    /// Sends what is kept and then `bufs`; returns how much of the latter went.
    fn send(&mut self, fd: RawFd, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let kept = self.bytes.len() - self.sent;
        let slices: Vec<_> = std::iter::once(IoSlice::new(&self.bytes[self.sent..]))
            .chain(bufs.iter().copied())
            .take(sys::io::MAX_SLICES)
            .collect();
        let result = loop {
            match sys::io::send(fd, &slices) {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        match result {
            Ok(n) if n < kept => {
                self.sent += n;
                self.phase = Phase::Blocked;
                Err(ErrorKind::WouldBlock.into())
            }
            Ok(n) => {
                self.clear();
                let wanted = bufs.iter().any(|buf| !buf.is_empty());
                if wanted && n == kept { Err(ErrorKind::WouldBlock.into()) } else { Ok(n - kept) }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock => {
                if kept > 0 {
                    self.phase = Phase::Blocked;
                }
                Err(e)
            }
            Err(e) => {
                self.clear();
                Err(e)
            }
        }
    }

    fn is_done(&self) -> bool {
        self.phase == Phase::Idle && !self.shut && self.fd.is_none()
    }
}

impl Flight for Outbox {
    fn board(&self, _: &Arc<Remote>, _: &mut Ring, token: Token) -> Option<Boarded> {
        let mut state = self.state.lock();
        if state.phase != Phase::Queued {
            // Somebody has sent it all.
            return None;
        }
        state.phase = Phase::Flying;
        let left = &state.bytes[state.sent..];
        // SAFETY: bytes and descriptor stay as they are until this lands (see the module docs).
        let entry = unsafe { Sqe::send_now(self.io.fd(), left.as_ptr(), left.len() as u32) };
        Some(Boarded { entry: entry.with_token(token), limit: None, is_cancelled: false, is_punted: false })
    }

    fn progress(&self, completion: Completion) -> Landing {
        // A `SEND` completes once.
        Landing::Orphaned(completion)
    }

    fn land(&self, completion: Completion) -> Landing {
        let mut state = self.state.lock();
        match &completion.result {
            Ok(n) => {
                state.sent += *n as usize;
                if state.sent < state.bytes.len() {
                    state.phase = Phase::Blocked;
                } else {
                    state.clear();
                }
            }
            Err(e) if has_sent_nothing(e) => state.phase = Phase::Blocked,
            Err(e) => {
                let error = e.raw_os_error().map_or_else(|| e.kind().into(), io::Error::from_raw_os_error);
                state.clear();
                state.error = Some(error);
            }
        }
        if state.is_done() { Landing::Awaited(None) } else { Landing::Orphaned(completion) }
    }

    fn recall(&self) -> bool {
        // What did not go by this ring goes by a system call.
        false
    }

    fn orphan(&self, _: Completion) {
        if let Some(me) = self.me.upgrade() {
            me.drive();
        }
    }

    fn is_awaited(&self) -> bool {
        false
    }

    fn holds_clock(&self) -> bool {
        false
    }

    fn is_multishot(&self) -> bool {
        false
    }
}

/// Is that the end of the attempt only?
fn has_sent_nothing(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAGAIN | libc::ECANCELED | libc::EINTR | libc::ENOBUFS | libc::ENOMEM)
    )
}

/// There is room.
impl Wake for Outbox {
    fn wake(self: Arc<Self>) {
        self.drive();
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Outbox").field("phase", &state.phase).field("kept", &state.bytes.len()).finish()
    }
}
