//! Operations that go on and on: one submission, many results.
//!
//! # Protocol
//!
//! - On a ring the multishot operation yields until it ends: asked to, with an error, because the
//!   ring had to go, or because no buffer was left. What remains of it is yielded first; then it is
//!   submitted anew.
//! - Without a ring (or without its support) each result is an operation of the readiness lane.
//! - Where a stream waits for a buffer, and what becomes of one that it was told of, says
//!   [`pool`](super::pool). Who has nothing to receive needs none: it is submitted to wait for that first.
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
use std::time::{Duration, Instant};

use futures_core::Stream as FuturesStream;
use socket2::SockRef;
use upstream::task::coop;

use super::action::accepted;
use super::address::{Accepted, bytes_of};
use super::incoming::{Chunks, Incoming};
use super::pool::{BufPool, Debt, OnRing, PoolBuf, Ticket};
use super::ring;
use super::target::Wait;
use crate::driver::op::{Completion, OpStream, StreamOperation};
use crate::driver::{Interest, Leftover, Leftovers, ReadyEvent, Registration};
use crate::sys::call::{accept_multi, opcode};
use crate::sys::poll::{self, PollFd};
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
            self.io.settled(None, None);
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
        if self.stream.is_over() {
            // All that it got was taken.
            return;
        }
        // From here on nobody reads past it; its `Hold` settles that.
        self.io.orphaned();
        self.is_orphan.store(true, Relaxed);
    }
}

/// An attempt without a ring, and the wait for the next.
struct Attempts<'a> {
    io: &'a Registration,
    interest: Interest,
    wait: Option<Wait<'a>>,
    event: Option<ReadyEvent>,
}

impl<'a> Attempts<'a> {
    fn new(io: &'a Registration, interest: Interest) -> Attempts<'a> {
        Attempts { io, interest, wait: None, event: None }
    }

    /// Waits until an attempt is worth it.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(gone) = self.io.gone() {
            return Poll::Ready(Err(gone));
        }
        if self.event.is_none() {
            let (io, interest) = (self.io, self.interest);
            let wait = self.wait.get_or_insert_with(|| Box::pin(io.readiness(interest)));
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
/// with the connection, or with an error; one of datagrams goes on after most errors.
///
/// Polled as a [`Stream`](FuturesStream) while all buffers are away, it is woken along with others when one
/// comes back; `next` alone is certain to use what it is told of, or to pass it on.
#[must_use = "a stream does nothing unless polled"]
pub struct RecvMulti<'a, K: Incoming = Chunks> {
    attempts: Attempts<'a>,
    pool: BufPool,
    flow: Option<Flow<Receiving<K>>>,
    /// How many buffers had been given back when the flow began.
    seen: u64,
    /// While it waits for one.
    wait: Option<Ticket>,
    /// After that, until one has come.
    debt: Option<Debt>,
    /// Is there nothing to receive, so that it must wait for that first?
    is_drained: bool,
    is_over: bool,
    kind: PhantomData<fn() -> K>,
}

struct Receiving<K> {
    hold: Hold,
    ring: Arc<OnRing>,
    kind: K,
    is_drained: bool,
    /// How often it was submitted: a second time is to a ring that knows nothing of the buffers.
    submissions: u32,
}

/// What a completion of [`Receiving`] says. An error may have taken a buffer, which goes back.
enum Received {
    Some(PoolBuf),
    End,
    /// The ring had to go.
    Interrupted(#[allow(dead_code)] Option<PoolBuf>),
    /// No buffer was left there.
    Starved(Arc<OnRing>),
    Err(io::Error, #[allow(dead_code)] Option<PoolBuf>),
}

// SAFETY: the socket stays open through the hold, and the buffers are held; what else the entry
// points to is the kind's, on the heap.
unsafe impl<K: Incoming> StreamOperation for Receiving<K> {
    type Item = Received;

    /// Each has a buffer that others may need. The rest waits in the socket.
    fn enough(&self) -> usize {
        self.ring.share()
    }

    fn entry(&mut self) -> Sqe {
        self.submissions += 1;
        let io = &self.hold.io;
        let entry = self.kind.entry(io.fd(), self.ring.bufs.group(), self.is_drained || io.is_drained());
        // SAFETY: as above.
        unsafe { Sqe::operation(entry) }
    }

    fn item(&self, completion: Completion) -> Received {
        // SAFETY: the completion names it, and is asked about once.
        let of = |index, len| unsafe { PoolBuf::received(&self.ring, index, len) };
        match (completion.result, selected(completion.flags)) {
            (Ok(n), Some(index)) => Received::Some(of(index, n as usize)),
            (Ok(_), None) => Received::End,
            (Err(e), index) => {
                let buf = index.map(|index| of(index, 0));
                match e.raw_os_error() {
                    Some(libc::ECANCELED) => Received::Interrupted(buf),
                    Some(libc::ENOBUFS) if self.submissions > 1 => Received::Interrupted(buf),
                    Some(libc::ENOBUFS) => Received::Starved(self.ring.clone()),
                    _ => Received::Err(e, buf),
                }
            }
        }
    }

    fn orphan(&self, completion: Completion) -> Option<Received> {
        let at = completion.at;
        let received = self.item(completion);
        let leftover = match &received {
            Received::Some(buf) => K::leftover(buf),
            Received::Err(e, _) => e.raw_os_error().map(Leftover::Error),
            Received::End | Received::Interrupted(_) | Received::Starved(_) => None,
        };
        if let Some(leftover) = leftover {
            self.hold.io.keep_quietly(leftover, at);
        }
        Some(received)
    }

    fn copy(&self, completion: Completion) -> Result<(Box<[u8]>, Received), Completion> {
        if completion.result.is_err() || selected(completion.flags).is_none() {
            return Err(completion);
        }
        let received = self.item(completion);
        let bytes = match &received {
            Received::Some(buf) => buf[..].into(),
            _ => unreachable!("it has a buffer"),
        };
        Ok((bytes, received))
    }

    fn item_of_copy(&self, bytes: Box<[u8]>) -> Received {
        Received::Some(PoolBuf::copied(bytes))
    }

    fn orphan_of_copy(&self, bytes: Box<[u8]>, at: Option<Instant>) -> Option<Received> {
        if let Some(leftover) = K::leftover(&PoolBuf::copied(bytes)) {
            self.hold.io.keep_quietly(leftover, at);
        }
        None
    }
}

/// Somebody waits for what is received next. Dropped, nobody does.
struct Asked<'s, 'a, K: Incoming>(&'s mut RecvMulti<'a, K>);

impl<K: Incoming> Drop for Asked<'_, '_, K> {
    fn drop(&mut self) {
        let stream = &mut *self.0;
        stream.debt = None;
        stream.wait.take_if(|wait| !wait.stand_back());
    }
}

#[allow(private_bounds)]
impl<'a, K: Incoming> RecvMulti<'a, K> {
    pub(super) fn new(io: &'a Registration, pool: &BufPool) -> RecvMulti<'a, K> {
        RecvMulti {
            attempts: Attempts::new(io, K::INTEREST),
            pool: pool.clone(),
            flow: None,
            seen: 0,
            wait: None,
            debt: None,
            is_drained: false,
            is_over: false,
            kind: PhantomData,
        }
    }

    /// What is received next; `None` at the end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: the stream goes on. Where it waits for a buffer it keeps
    /// its place among those that do, and holds up nobody.
    pub async fn next(&mut self) -> Option<io::Result<K::Item>> {
        let asked = Asked(self);
        std::future::poll_fn(|cx| asked.0.poll_received(true, cx)).await
    }

    /// Polls; `is_asked` if there is an [`Asked`].
    fn poll_received(&mut self, is_asked: bool, cx: &mut Context<'_>) -> Poll<Option<io::Result<K::Item>>> {
        self.attempts.io.handle().assert_own();
        while !self.is_over {
            if self.wait.is_some() {
                ready!(self.poll_wait(is_asked, cx));
            }
            if self.flow.is_none() && !self.start() {
                if let Some(item) = ready!(self.poll_plain(is_asked, cx)) {
                    return Poll::Ready(self.yielded(item));
                }
                continue;
            }
            let Some(flow) = &mut self.flow else { continue };
            match ready!(flow.stream.poll_next(cx)) {
                Some(Received::Some(buf)) => {
                    self.settle();
                    match K::item(buf).transpose() {
                        Some(item) => return Poll::Ready(Some(item)),
                        None => self.is_over = true,
                    }
                }
                Some(Received::Starved(ring)) => {
                    self.flow = None;
                    if self.has_input() {
                        self.begin_to_wait(Some(ring), is_asked, cx);
                    } else {
                        self.settle();
                    }
                }
                Some(Received::End) => {
                    self.debt = None;
                    self.is_over = true;
                }
                Some(Received::Err(e, _)) => {
                    self.debt = None;
                    return Poll::Ready(self.yielded(Err(e)));
                }
                // What the ring said last; the stream ends with it.
                Some(Received::Interrupted(_)) => self.debt = None,
                // Nothing is on its way any more.
                None => {
                    self.debt = None;
                    self.flow = None;
                }
            }
        }
        Poll::Ready(None)
    }

    /// Yields that; the stream may be over.
    fn yielded(&mut self, item: io::Result<Option<K::Item>>) -> Option<io::Result<K::Item>> {
        self.is_over = match &item {
            Ok(item) => item.is_none(),
            Err(e) => K::is_last(e),
        };
        item.transpose()
    }

    /// The ring to begin on, with the pool's buffers there: this thread's, if it has one and nothing is left
    /// over.
    fn ring_here(&self) -> Option<Arc<OnRing>> {
        let io = self.attempts.io;
        let driver = io.handle();
        if io.leftovers().is_pending() || io.gone().is_some() || !ring::supports(driver, opcode::Recv::CODE) {
            return None;
        }
        self.pool.on_ring(driver, K::HEADROOM)
    }

    /// Begins on this thread's ring, if there is one.
    fn start(&mut self) -> bool {
        let Some(ring) = self.ring_here() else { return false };
        // What it was told of may be elsewhere.
        self.debt.take_if(|debt| !debt.is_to(ring.returns()));
        self.seen = ring.returns().count();
        let io = self.attempts.io;
        let (hold, is_orphan) = Hold::new(io.leftovers());
        let is_drained = std::mem::take(&mut self.is_drained);
        let receiving = Receiving { hold, ring: ring.clone(), kind: K::new(), is_drained, submissions: 0 };
        let stream = OpStream::new(io.handle(), receiving);
        ring.know(stream.results());
        self.flow = Some(Flow { stream, is_orphan, io: io.leftovers().clone() });
        true
    }

    /// Is there anything to receive, if only the end?
    fn has_input(&mut self) -> bool {
        let mut fds = [PollFd::new(self.attempts.io.leftovers().fd(), poll::IN | poll::RDHUP)];
        // An error will be that of the next attempt, too.
        let has_input = poll::wait(&mut fds, Some(Duration::ZERO)).map_or(true, |n| n > 0);
        self.is_drained = !has_input;
        has_input
    }

    /// The buffer that it was told of has come, or somebody else has it. Was there one?
    fn settle(&mut self) -> bool {
        self.debt.take().map(Debt::settle).is_some()
    }

    /// No buffer was left, on `ring` or of those for who has none.
    fn begin_to_wait(&mut self, ring: Option<Arc<OnRing>>, is_asked: bool, cx: &mut Context<'_>) {
        let is_senior = self.settle();
        let returns = ring.as_ref().map_or(self.pool.plain(), |ring| ring.returns()).clone();
        self.wait = Ticket::take(&returns, ring, self.seen, is_senior, is_asked, cx);
    }

    fn poll_wait(&mut self, is_asked: bool, cx: &mut Context<'_>) -> Poll<()> {
        let here = self.ring_here();
        let Some(wait) = &mut self.wait else { return Poll::Ready(()) };
        let is_here = here.as_ref().map(Arc::as_ptr) == wait.ring().map(Arc::as_ptr);
        // Elsewhere there are other buffers.
        let debt = if is_here { ready!(wait.poll(is_asked, cx)) } else { None };
        self.wait = None;
        self.debt = debt;
        // Somebody else may have read what there was.
        if here.is_some() && !self.has_input() {
            self.debt = None;
        }
        Poll::Ready(())
    }

    /// One result without a ring; `None` if it is to be tried again. No buffer is taken before there is
    /// something to receive.
    fn poll_plain(
        &mut self,
        is_asked: bool,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Option<K::Item>>>> {
        loop {
            let coop = ready!(coop::poll_proceed(cx));
            let Poll::Ready(is_ready) = self.attempts.poll_ready(cx) else {
                self.debt = None;
                return Poll::Pending;
            };
            if let Err(e) = is_ready {
                self.debt = None;
                return Poll::Ready(Some(Err(e)));
            }
            let plain = self.pool.plain();
            self.debt.take_if(|debt| !debt.is_to(plain));
            self.seen = plain.count();
            let Some(mut buf) = self.pool.take_plain() else {
                self.begin_to_wait(None, is_asked, cx);
                return Poll::Ready(None);
            };
            self.settle();
            let io = self.attempts.io;
            let Some(received) = self.attempts.attempt(|| K::receive(io, buf.room())) else { continue };
            coop.made_progress();
            return Poll::Ready(Some(received.and_then(|plain| K::received(buf, plain))));
        }
    }
}

#[allow(private_bounds)]
impl<K: Incoming> FuturesStream for RecvMulti<'_, K> {
    type Item = io::Result<K::Item>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_received(false, cx)
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
    fn enough(&self) -> usize {
        64
    }

    fn entry(&mut self) -> Sqe {
        // SAFETY: as above.
        unsafe { Sqe::operation(accept_multi(self.0.io.fd())) }
    }

    fn item(&self, completion: Completion) -> io::Result<u32> {
        completion.result
    }

    fn orphan(&self, completion: Completion) -> Option<Self::Item> {
        if let Ok(fd) = completion.result {
            let fd = accepted(fd);
            let from = peer(&fd).map(|peer| bytes_of(&peer)).unwrap_or_default();
            self.0.io.keep_quietly(Leftover::Accepted { fd, from }, completion.at);
        }
        None
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
        AcceptMulti { attempts: Attempts::new(io, Interest::READABLE), flow: None, accepts: PhantomData }
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
