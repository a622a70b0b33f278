//! Operations that go on and on: one submission, many results.
//!
//! # Protocol
//!
//! - On a ring the multishot operation yields until it ends: asked to, with an error, because the
//!   ring had to go, or because no buffer was left. What remains of it is yielded first; then it is
//!   submitted anew.
//! - Without a ring (or without its support) each result is an operation of the readiness lane.
//! - Dropped, it says so to the leftovers. What was received and not taken becomes a leftover, in
//!   order, and so does what comes before the end of the operation. The end itself is when the
//!   operation is dropped, by its ring.
//!
//! # Safety
//!
//! Entries name a descriptor that the operation keeps open, and a group of buffers that it holds.
//! The kernel writes to those only. A completion that names a buffer is asked about once.
#![allow(unsafe_code)]

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use futures_core::Stream as FuturesStream;
use socket2::SockRef;
use upstream::task::coop;

use super::action::accepted;
use super::address::{Accepted, bytes_of};
use super::incoming::{Chunks, Incoming};
use super::pool::{BufPool, OnRing, PoolBuf, Returns};
use super::ring;
use super::target::Wait;
use crate::driver::op::{Completion, OpStream, StreamOperation};
use crate::driver::{Interest, Leftover, Leftovers, ReadyEvent, Registration};
use crate::sys::call::{accept_multi, opcode};
use crate::sys::uring::Sqe;
use crate::sys::uring::buf_ring::selected;

/// What a multishot operation holds of its descriptor.
struct Hold {
    io: Arc<Leftovers>,
    /// Has it been dropped?
    is_orphan: Arc<AtomicBool>,
}

impl Hold {
    fn new(io: &Arc<Leftovers>) -> (Hold, Arc<AtomicBool>) {
        let is_orphan = Arc::new(AtomicBool::new(false));
        (Hold { io: io.clone(), is_orphan: is_orphan.clone() }, is_orphan)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.is_orphan.load(Relaxed) {
            self.io.settled(None);
        }
    }
}

/// The stream of a multishot operation, and how to say that it is dropped.
struct Flow<T: StreamOperation> {
    stream: OpStream<T>,
    is_orphan: Arc<AtomicBool>,
    io: Arc<Leftovers>,
}

impl<T: StreamOperation> Drop for Flow<T> {
    fn drop(&mut self) {
        // From here on nobody reads past it; its `Hold` settles that.
        self.io.orphaned();
        self.is_orphan.store(true, Relaxed);
    }
}

/// An attempt without a ring, and the wait for the next.
struct Attempts<'a> {
    io: &'a Registration,
    wait: Option<Wait<'a>>,
    event: Option<ReadyEvent>,
}

impl<'a> Attempts<'a> {
    fn new(io: &'a Registration) -> Attempts<'a> {
        Attempts { io, wait: None, event: None }
    }

    /// Waits until an attempt is worth it.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(gone) = self.io.gone() {
            return Poll::Ready(Err(gone));
        }
        if self.event.is_none() {
            let io = self.io;
            let wait = self.wait.get_or_insert_with(|| Box::pin(io.readiness(Interest::READABLE)));
            let event = ready!(wait.as_mut().poll(cx));
            self.wait = None;
            self.event = Some(event?);
        }
        Poll::Ready(Ok(()))
    }

    /// Makes an attempt; `None` if it would have blocked.
    fn attempt<R>(&mut self, attempt: impl FnOnce() -> io::Result<R>) -> Option<io::Result<R>> {
        match attempt() {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                if let Some(event) = self.event.take() {
                    self.io.clear_readiness(event);
                }
                None
            }
            done => Some(done),
        }
    }
}

// ===== receiving =====

/// Receives into the buffers of a pool, as long as there is something: see
/// [`Stream::recv_multi`](super::Stream::recv_multi) and [`Udp::recv_multi`](super::Udp::recv_multi).
///
/// It is a stream, and has [`next`](Self::next) for those who have no combinators at hand. It ends
/// with the connection, or with an error.
#[must_use = "a stream does nothing unless polled"]
pub struct RecvMulti<'a, K: Incoming = Chunks> {
    attempts: Attempts<'a>,
    pool: BufPool,
    flow: Option<Flow<Receiving<K>>>,
    /// How many buffers had been given back when the flow began.
    seen: u64,
    /// Where it has to wait for one.
    starved: Option<Arc<Returns>>,
    is_over: bool,
}

struct Receiving<K> {
    hold: Hold,
    ring: Arc<OnRing>,
    kind: K,
    /// How often it was submitted: a second time is to a ring that knows nothing of the buffers.
    submissions: u32,
}

/// What a completion of [`Receiving`] says.
enum Received {
    Some(PoolBuf),
    End,
    /// The ring had to go.
    Interrupted,
    /// No buffer was left: one comes back there.
    Starved(Arc<Returns>),
    Err(io::Error),
}

impl<K> Receiving<K> {
    fn received(&self, completion: Completion) -> Received {
        let buf = selected(completion.flags);
        match (completion.result, buf) {
            (Ok(n), Some(index)) => {
                // SAFETY: the completion names it, and is asked about once.
                Received::Some(unsafe { PoolBuf::received(&self.ring, index, n as usize) })
            }
            (Ok(_), None) => Received::End,
            (Err(e), buf) => {
                // An error that took a buffer gives it back.
                // SAFETY: as above.
                drop(buf.map(|index| unsafe { PoolBuf::received(&self.ring, index, 0) }));
                match e.raw_os_error() {
                    Some(libc::ECANCELED) => Received::Interrupted,
                    Some(libc::ENOBUFS) if self.submissions > 1 => Received::Interrupted,
                    Some(libc::ENOBUFS) => Received::Starved(self.ring.returns().clone()),
                    _ => Received::Err(e),
                }
            }
        }
    }
}

// SAFETY: the socket stays open through the hold, and the buffers are held; what else the entry
// points to is the kind's, on the heap.
unsafe impl<K: Incoming> StreamOperation for Receiving<K> {
    type Item = Result<io::Result<Option<K::Item>>, Received>;

    fn entry(&mut self) -> Sqe {
        self.submissions += 1;
        let io = &self.hold.io;
        let entry = self.kind.entry(io.fd(), self.ring.bufs.group(), io.is_drained());
        // SAFETY: as above.
        unsafe { Sqe::operation(entry) }
    }

    fn item(&self, completion: Completion) -> Self::Item {
        match self.received(completion) {
            Received::Some(buf) => Ok(self.kind.item(buf)),
            other => Err(other),
        }
    }

    fn orphan(&self, completion: Completion) {
        let leftover = match self.received(completion) {
            Received::Some(buf) => self.kind.leftover(buf),
            Received::Err(e) => e.raw_os_error().map(Leftover::Error),
            Received::End | Received::Interrupted | Received::Starved(_) => None,
        };
        if let Some(leftover) = leftover {
            self.hold.io.keep_quietly(leftover);
        }
    }
}

#[allow(private_bounds)]
impl<'a, K: Incoming> RecvMulti<'a, K> {
    pub(super) fn new(io: &'a Registration, pool: &BufPool) -> RecvMulti<'a, K> {
        RecvMulti {
            attempts: Attempts::new(io),
            pool: pool.clone(),
            flow: None,
            seen: 0,
            starved: None,
            is_over: false,
        }
    }

    /// What is received next; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: the stream goes on.
    pub async fn next(&mut self) -> Option<io::Result<K::Item>> {
        std::future::poll_fn(|cx| self.poll_received(cx)).await
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<K::Item>>> {
        self.attempts.io.handle().assert_own();
        while !self.is_over {
            if let Some(returns) = &self.starved {
                ready!(returns.poll(self.seen, cx));
                self.starved = None;
            }
            if self.flow.is_none() && !self.start() {
                return self.poll_plain(cx);
            }
            let Some(flow) = &mut self.flow else { continue };
            match ready!(flow.stream.poll_next(cx)) {
                Some(Ok(Ok(Some(item)))) => return Poll::Ready(Some(Ok(item))),
                Some(Ok(Ok(None)) | Err(Received::End)) => self.is_over = true,
                Some(Err(Received::Starved(returns))) => self.starved = Some(returns),
                // What the ring said last; the stream ends with it.
                Some(Err(Received::Interrupted)) => {}
                Some(Ok(Err(e)) | Err(Received::Err(e))) => {
                    self.is_over = true;
                    return Poll::Ready(Some(Err(e)));
                }
                Some(Err(Received::Some(_))) => unreachable!("that is an item"),
                // Nothing is on its way any more.
                None => self.flow = None,
            }
        }
        Poll::Ready(None)
    }

    /// Begins on this thread's ring, if there is one and nothing is left over.
    fn start(&mut self) -> bool {
        let io = self.attempts.io;
        let driver = io.handle();
        if io.leftovers().is_pending() || io.gone().is_some() || !ring::supports(driver, opcode::Recv::CODE) {
            return false;
        }
        let Some(ring) = self.pool.on_ring(driver) else { return false };
        self.seen = ring.returns().count();
        let (hold, is_orphan) = Hold::new(io.leftovers());
        let receiving = Receiving { hold, ring, kind: K::new(), submissions: 0 };
        let stream = OpStream::new(driver, receiving);
        self.flow = Some(Flow { stream, is_orphan, io: io.leftovers().clone() });
        true
    }

    /// One result without a ring. No buffer is taken before there is something to receive.
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<K::Item>>> {
        loop {
            let coop = ready!(coop::poll_proceed(cx));
            if let Err(e) = ready!(self.attempts.poll_ready(cx)) {
                self.is_over = true;
                return Poll::Ready(Some(Err(e)));
            }
            let seen = self.pool.plain().count();
            let Some(mut buf) = self.pool.take_plain() else {
                (self.seen, self.starved) = (seen, Some(self.pool.plain().clone()));
                ready!(self.pool.plain().poll(seen, cx));
                self.starved = None;
                continue;
            };
            let io = self.attempts.io;
            let Some(received) = self.attempts.attempt(|| K::receive(io, buf.room())) else { continue };
            coop.made_progress();
            let item = received.and_then(|plain| K::received(buf, plain)).transpose();
            self.is_over = !matches!(item, Some(Ok(_)));
            return Poll::Ready(item);
        }
    }
}

impl<K: Incoming> Drop for RecvMulti<'_, K> {
    fn drop(&mut self) {
        if let Some(returns) = &self.starved {
            // It may have been told of one.
            returns.pass_on();
        }
    }
}

#[allow(private_bounds)]
impl<K: Incoming> FuturesStream for RecvMulti<'_, K> {
    type Item = io::Result<K::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_received(cx)
    }
}

impl<K: Incoming> fmt::Debug for RecvMulti<'_, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvMulti").field("pool", &self.pool).finish_non_exhaustive()
    }
}

// ===== accepting =====

/// Accepts connections, one after the other: see
/// [`Listener::accept_multi`](super::Listener::accept_multi).
///
/// It is a stream without an end, and has [`next`](Self::next) for those who have no combinators at
/// hand.
#[must_use = "a stream does nothing unless polled"]
pub struct AcceptMulti<'a, S> {
    attempts: Attempts<'a>,
    flow: Option<Flow<Accepting>>,
    accepts: PhantomData<fn() -> S>,
}

struct Accepting(Hold);

// SAFETY: the listener stays open through the hold; no memory is passed.
unsafe impl StreamOperation for Accepting {
    type Item = io::Result<u32>;

    /// Each is a descriptor, which others may need. The rest waits in the listener's queue.
    const ENOUGH: usize = 64;

    fn entry(&mut self) -> Sqe {
        // SAFETY: as above.
        unsafe { Sqe::operation(accept_multi(self.0.io.fd())) }
    }

    fn item(&self, completion: Completion) -> io::Result<u32> {
        completion.result
    }

    fn orphan(&self, completion: Completion) {
        if let Ok(fd) = completion.result {
            let fd = accepted(fd);
            let from = peer(&fd).map(|peer| bytes_of(&peer)).unwrap_or_default();
            self.0.io.keep_quietly(Leftover::Accepted { fd, from });
        }
    }
}

fn peer(fd: &impl AsRawFd) -> io::Result<socket2::SockAddr> {
    // SAFETY: it is open while it is borrowed.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd.as_raw_fd()) };
    SockRef::from(&fd).peer_addr()
}

#[allow(private_bounds)]
impl<'a, S: Accepted> AcceptMulti<'a, S> {
    pub(super) fn new(io: &'a Registration) -> AcceptMulti<'a, S> {
        AcceptMulti { attempts: Attempts::new(io), flow: None, accepts: PhantomData }
    }

    /// The next connection.
    ///
    /// # Errors
    ///
    /// Those of [`Listener::accept`](super::Listener::accept); the stream goes on after them.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: the stream goes on.
    pub async fn next(&mut self) -> io::Result<S> {
        std::future::poll_fn(|cx| self.poll_accepted(cx)).await
    }

    fn poll_accepted(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<S>> {
        let io = self.attempts.io;
        io.handle().assert_own();
        loop {
            if self.flow.is_none() {
                let driver = io.handle();
                let may_begin = !io.leftovers().is_pending() && io.gone().is_none();
                if !may_begin || !ring::supports(driver, opcode::AcceptMulti::CODE) {
                    return self.poll_plain(cx);
                }
                let (hold, is_orphan) = Hold::new(io.leftovers());
                let stream = OpStream::new(driver, Accepting(hold));
                self.flow = Some(Flow { stream, is_orphan, io: io.leftovers().clone() });
            }
            let Some(flow) = &mut self.flow else { continue };
            match ready!(flow.stream.poll_next(cx)) {
                Some(Ok(fd)) => return Poll::Ready(S::unnamed(accepted(fd))),
                // The ring had to go.
                Some(Err(e)) if e.raw_os_error() == Some(libc::ECANCELED) => {}
                Some(Err(e)) => return Poll::Ready(Err(e)),
                None => self.flow = None,
            }
        }
    }

    /// One result without a ring.
    fn poll_plain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<S>> {
        loop {
            let coop = ready!(coop::poll_proceed(cx));
            ready!(self.attempts.poll_ready(cx))?;
            let io = self.attempts.io;
            let accepted = self.attempts.attempt(|| match io.leftover(Leftovers::accept) {
                Some(done) => done.map(|(fd, _)| fd),
                None => crate::sys::io::accept(io.leftovers().fd()),
            });
            if let Some(fd) = accepted {
                coop.made_progress();
                return Poll::Ready(fd.and_then(S::unnamed));
            }
        }
    }
}

#[allow(private_bounds)]
impl<S: Accepted> FuturesStream for AcceptMulti<'_, S> {
    type Item = io::Result<S>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<S>>> {
        self.get_mut().poll_accepted(cx).map(Some)
    }
}

impl<S> fmt::Debug for AcceptMulti<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AcceptMulti").finish_non_exhaustive()
    }
}
