//! What cancelled operations have received all the same, kept for whoever reads next.
//!
//! An operation of the ring that takes bytes, datagrams or connections out of a socket may be
//! dropped at any time. If it completed anyway, what it got must not be lost, nor overtaken.
//!
//! # Protocol
//!
//! - A resource has [`Leftovers`] from its first native operation on. Until then, and while
//!   there are none, a read pays for one look at an empty cell or a zero.
//! - Each operation in flight holds a reference. The descriptor is handed over when the resource
//!   is closed meanwhile ([`Leftovers::park`]), and closed with the last reference: the number
//!   an entry names means the same file until the operation has ended (H04, H10).
//! - Who drops an operation in flight says so first ([`Leftovers::orphaned`]); from then on
//!   nobody reads past it: reads find that they would block. The operation's own completion
//!   decides what becomes of it (H14). It delivers what it got ([`Leftovers::settled`]), then
//!   marks the resource ready and wakes its waiters, who find it before anything else.
//! - What is kept is in the order of the completions, whoever delivers first: a ring's thread, after
//!   its turn, or one that drops what has landed (H93). So nobody takes any of it while something is on
//!   its way, which may be older.
//! - Every read of every lane asks here first.

use std::any::Any;
use std::collections::VecDeque;
use std::fmt;
use std::io;
#[cfg(feature = "uring-native")]
use std::os::fd::AsFd;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::driver::Ready;
use crate::driver::error::LEFTOVERS_ERROR;
use crate::driver::scheduled_io::ScheduledIo;
#[cfg(feature = "uring-native")]
use crate::sys;
use crate::util::unwind;

/// See the module docs.
#[derive(Debug)]
pub(crate) struct Leftovers {
    io: Arc<ScheduledIo>,
    /// A descriptor of the operations' own, for a file whose owner is somebody else.
    own: Option<OwnedFd>,
    /// Is it a pipe or a socket, which somebody may have left?
    #[cfg(feature = "uring-native")]
    can_break: bool,
    /// What is kept and what is on its way, together; mirrors `inner` for a look without its lock.
    pending: AtomicUsize,
    /// Did the last receive take all there was? A hint.
    is_drained: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// In the order of time: see [`Completion::at`](crate::driver::op::Completion::at).
    kept: VecDeque<Kept>,
    /// Dropped operations without a completion.
    orphans: usize,
    /// The descriptor, once the resource is closed.
    parked: Option<OwnedFd>,
}

#[derive(Debug)]
struct Kept {
    at: Option<Instant>,
    what: Leftover,
}

impl Inner {
    /// Behind what is as old.
    fn insert(&mut self, what: Leftover, at: Option<Instant>) {
        let newer = self.kept.iter().rev().take_while(|kept| kept.at > at).count();
        self.kept.insert(self.kept.len() - newer, Kept { at, what });
    }
}

/// What one operation got.
pub(crate) enum Leftover {
    /// Bytes of a stream.
    Bytes {
        /// All that was received.
        data: Vec<u8>,
        /// How much of it was read since.
        read: usize,
        /// What came along, for who asks for that.
        extra: Extra,
    },
    /// A datagram.
    Datagram {
        /// Its bytes.
        data: Vec<u8>,
        /// Who sent it: a socket address as the kernel writes it.
        from: Box<[u8]>,
        /// What came along, for who asks for that.
        extra: Extra,
    },
    /// A connection.
    Accepted {
        /// The new socket.
        fd: OwnedFd,
        /// Its peer: a socket address as the kernel writes it.
        from: Box<[u8]>,
    },
    /// An error, which the kernel reports once.
    Error(i32),
}

/// Something only the native lane can hand out: control messages.
pub(crate) type Extra = Option<Box<dyn Any + Send + Sync>>;

impl fmt::Debug for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Leftover::Bytes { data, read, .. } => write!(f, "Bytes({} of {})", read, data.len()),
            Leftover::Datagram { data, .. } => write!(f, "Datagram({})", data.len()),
            Leftover::Accepted { fd, .. } => write!(f, "Accepted({fd:?})"),
            Leftover::Error(errno) => write!(f, "Error({errno})"),
        }
    }
}

/// What somebody who wants to read finds.
#[derive(Debug)]
pub(crate) enum Found<R> {
    /// This, and it comes before whatever the socket has.
    Kept(R),
    /// An operation that must be waited for.
    Unsettled,
    /// Nothing: ask the kernel.
    Nothing,
}

impl<R> Found<io::Result<R>> {
    /// The same with another value.
    pub(crate) fn map_ok<T>(self, f: impl FnOnce(R) -> T) -> Found<io::Result<T>> {
        match self {
            Found::Kept(result) => Found::Kept(result.map(f)),
            Found::Unsettled => Found::Unsettled,
            Found::Nothing => Found::Nothing,
        }
    }

    /// The same as the result of an attempt, if there is one.
    pub(crate) fn attempt(self) -> Option<io::Result<R>> {
        match self {
            Found::Kept(result) => Some(result),
            Found::Unsettled => Some(Err(io::ErrorKind::WouldBlock.into())),
            Found::Nothing => None,
        }
    }
}

impl Leftovers {
    pub(crate) fn new(io: Arc<ScheduledIo>) -> Leftovers {
        Leftovers {
            io,
            own: None,
            // Those that are no pipes are no affair of who asks.
            #[cfg(feature = "uring-native")]
            can_break: true,
            pending: AtomicUsize::new(0),
            is_drained: AtomicBool::new(false),
            inner: Mutex::default(),
        }
    }

    /// The same for a file that somebody else closes: operations name a duplicate.
    #[cfg(feature = "uring-native")]
    pub(crate) fn with_own(io: Arc<ScheduledIo>, own: OwnedFd) -> Leftovers {
        let can_break = sys::pipe::can_break(own.as_fd());
        Leftovers { own: Some(own), can_break, ..Leftovers::new(io) }
    }

    /// Is it a pipe or a socket, which somebody may have left?
    #[cfg(feature = "uring-native")]
    pub(crate) fn can_break(&self) -> bool {
        self.can_break
    }

    /// The descriptor that operations name.
    pub(crate) fn fd(&self) -> RawFd {
        self.own.as_ref().map_or(self.io.fd(), AsRawFd::as_raw_fd)
    }

    /// Did the last receive take all there was? A hint, for those who would try in vain.
    pub(crate) fn is_drained(&self) -> bool {
        self.is_drained.load(Relaxed)
    }

    pub(crate) fn set_drained(&self, drained: bool) {
        self.is_drained.store(drained, Relaxed);
    }

    /// Is there anything kept, or on its way? While not, the lock need not be taken.
    #[inline]
    pub(crate) fn is_pending(&self) -> bool {
        self.pending.load(Acquire) > 0
    }

    /// Must an operation on its way be waited for before anybody may read?
    pub(crate) fn is_unsettled(&self) -> bool {
        self.lock().orphans > 0
    }

    /// Is anything kept that may be taken?
    pub(crate) fn has_kept(&self) -> bool {
        if !self.is_pending() {
            return false;
        }
        let inner = self.lock();
        !inner.kept.is_empty() && inner.orphans == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // What is in there is consistent between any two statements.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update<R>(&self, f: impl FnOnce(&mut Inner) -> R) -> R {
        let mut inner = self.lock();
        let result = f(&mut inner);
        self.pending.store(inner.kept.len() + inner.orphans, Release);
        result
    }

    /// An operation in flight is about to be dropped.
    pub(crate) fn orphaned(&self) {
        self.update(|inner| inner.orphans += 1);
    }

    /// A dropped operation has ended, `at` that time, and got this.
    pub(crate) fn settled(&self, got: Option<Leftover>, at: Option<Instant>) {
        self.update(|inner| {
            inner.orphans -= 1;
            got.into_iter().for_each(|got| inner.insert(got, at));
        });
        self.tell();
    }

    /// Somebody has received just now what he does not want any more.
    pub(crate) fn keep(&self, got: impl IntoIterator<Item = Leftover>) {
        let at = Some(Instant::now());
        self.update(|inner| got.into_iter().for_each(|got| inner.insert(got, at)));
        self.tell();
    }

    /// The same from an operation that will settle, and tell then.
    pub(crate) fn keep_quietly(&self, got: Leftover, at: Option<Instant>) {
        self.update(|inner| inner.insert(got, at));
    }

    /// The rest of what was taken just now.
    pub(crate) fn put_back(&self, rest: Leftover) {
        self.update(|inner| inner.kept.push_front(Kept { at: None, what: rest }));
        self.tell();
    }

    /// Everybody looks again.
    fn tell(&self) {
        let mut wakers = Vec::new();
        self.io.set_readiness(Ready::READABLE | Ready::WRITABLE);
        self.io.take_wakers(Ready::READABLE | Ready::WRITABLE, &mut wakers);
        wakers.into_iter().for_each(unwind::wake);
    }

    /// Takes the descriptor of a closed resource along, until the last operation has ended.
    pub(crate) fn park(&self, fd: OwnedFd) {
        self.lock().parked = Some(fd);
    }

    /// Does an operation in flight hold a reference, besides `this` one?
    pub(crate) fn is_shared(this: &Arc<Leftovers>) -> bool {
        Arc::strong_count(this) > 1
    }

    fn find<R>(&self, f: impl FnOnce(&mut VecDeque<Kept>) -> io::Result<R>) -> Found<io::Result<R>> {
        if !self.is_pending() {
            return Found::Nothing;
        }
        self.update(|inner| {
            if inner.orphans > 0 {
                Found::Unsettled
            } else if !inner.kept.is_empty() {
                Found::Kept(f(&mut inner.kept))
            } else {
                Found::Nothing
            }
        })
    }

    /// May somebody read past all of it? [`WouldBlock`](io::ErrorKind::WouldBlock) until it is known what
    /// there is.
    pub(crate) fn check_own_call(&self) -> io::Result<()> {
        let inner = self.lock();
        if !inner.kept.is_empty() {
            return Err(io::Error::other(LEFTOVERS_ERROR));
        }
        if inner.orphans > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
    }

    /// The next of all that is kept.
    pub(crate) fn take(&self) -> Found<io::Result<Leftover>> {
        self.find(|kept| match kept.pop_front().map(|kept| kept.what) {
            Some(Leftover::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(leftover) => Ok(leftover),
            None => unreachable!("not empty"),
        })
    }

    /// Has `put` take bytes from a stream's leftovers; it returns how many it took.
    pub(crate) fn read(&self, put: impl FnOnce(&[u8]) -> usize) -> Found<io::Result<usize>> {
        self.find(|kept| {
            let n = front(kept, put)?.0;
            if let Some(Kept { what: Leftover::Bytes { data, read, .. }, .. }) = kept.front_mut() {
                *read += n;
                if *read < data.len() {
                    return Ok(n);
                }
            }
            kept.pop_front();
            Ok(n)
        })
    }

    /// Has `put` take a datagram, or as much of it as it wants; also returns who sent it.
    pub(crate) fn recv_from(
        &self,
        put: impl FnOnce(&[u8]) -> usize,
    ) -> Found<io::Result<(usize, Box<[u8]>)>> {
        self.find(|kept| {
            let result = front(kept, put)?;
            kept.pop_front();
            Ok(result)
        })
    }

    /// Shows `put` what the next read gets, and who sent it.
    pub(crate) fn peek(&self, put: impl FnOnce(&[u8]) -> usize) -> Found<io::Result<(usize, Box<[u8]>)>> {
        self.find(|kept| front(kept, put))
    }

    /// The next of the connections that were accepted.
    pub(crate) fn accept(&self) -> Found<io::Result<(OwnedFd, Box<[u8]>)>> {
        self.find(|kept| match kept.pop_front().map(|kept| kept.what) {
            Some(Leftover::Accepted { fd, from }) => Ok((fd, from)),
            Some(Leftover::Error(errno)) => Err(io::Error::from_raw_os_error(errno)),
            Some(Leftover::Bytes { .. } | Leftover::Datagram { .. }) | None => {
                unreachable!("a listener receives no bytes")
            }
        })
    }
}

/// Shows `put` the first of `kept`. An error is reported, and gone.
fn front(kept: &mut VecDeque<Kept>, put: impl FnOnce(&[u8]) -> usize) -> io::Result<(usize, Box<[u8]>)> {
    match kept.front().map(|kept| &kept.what) {
        Some(Leftover::Bytes { data, read, .. }) => Ok((put(&data[*read..]), Box::default())),
        Some(Leftover::Datagram { data, from, .. }) => Ok((put(data), from.clone())),
        Some(&Leftover::Error(errno)) => {
            kept.pop_front();
            Err(io::Error::from_raw_os_error(errno))
        }
        Some(Leftover::Accepted { .. }) | None => unreachable!("only what can be read is kept for readers"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::driver::Interest;

    fn leftovers() -> Leftovers {
        Leftovers::new(Arc::new(ScheduledIo::new(-1, Interest::READABLE)))
    }

    fn bytes(data: &[u8]) -> Leftover {
        Leftover::Bytes { data: data.to_vec(), read: 0, extra: None }
    }

    fn read(leftovers: &Leftovers, max: usize) -> Option<io::Result<Vec<u8>>> {
        let mut got = Vec::new();
        let found = leftovers.read(|bytes| {
            got.extend_from_slice(&bytes[..max.min(bytes.len())]);
            got.len()
        });
        found.attempt().map(|result| result.map(|_| got))
    }

    #[test]
    fn bytes_come_in_order_and_once() {
        let leftovers = leftovers();
        assert!(read(&leftovers, 9).is_none());
        leftovers.keep([bytes(b"hello"), bytes(b"world")]);
        assert_eq!(read(&leftovers, 2).unwrap().unwrap(), b"he");
        assert_eq!(read(&leftovers, 9).unwrap().unwrap(), b"llo");
        assert_eq!(read(&leftovers, 9).unwrap().unwrap(), b"world");
        assert!(read(&leftovers, 9).is_none());
        assert!(!leftovers.is_pending());
    }

    #[test]
    fn nobody_reads_past_an_operation_on_its_way() {
        let leftovers = leftovers();
        leftovers.orphaned();
        leftovers.orphaned();
        assert_eq!(read(&leftovers, 9).unwrap().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let first = Instant::now();
        leftovers.settled(Some(bytes(b"b")), Some(first + Duration::from_nanos(1)));
        // What is on its way may be older than what is there.
        assert_eq!(read(&leftovers, 9).unwrap().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert!(leftovers.is_unsettled() && !leftovers.has_kept());
        leftovers.settled(Some(bytes(b"a")), Some(first));
        assert_eq!(read(&leftovers, 9).unwrap().unwrap(), b"a");
        assert_eq!(read(&leftovers, 9).unwrap().unwrap(), b"b");
        assert!(read(&leftovers, 9).is_none());
    }

    #[test]
    fn the_end_of_an_orphan_makes_ready() {
        let leftovers = leftovers();
        let before = leftovers.io.ready_event(Interest::READABLE);
        assert!(before.ready.is_empty());
        leftovers.orphaned();
        leftovers.settled(None, None);
        // Who cleared what he saw before does not clear this.
        leftovers.io.clear_readiness(&before);
        assert!(leftovers.io.ready_event(Interest::READABLE).ready.is_readable());
    }

    #[test]
    fn a_datagram_is_read_once_however_little_was_wanted() {
        let leftovers = leftovers();
        let from = Box::from(*b"address");
        leftovers.keep([Leftover::Datagram { data: b"datagram".to_vec(), from, extra: None }]);
        let (n, from) = leftovers.peek(|bytes| bytes.len()).attempt().unwrap().unwrap();
        assert_eq!((n, &*from), (8, &b"address"[..]));
        let (n, _) = leftovers.recv_from(|_| 3).attempt().unwrap().unwrap();
        assert_eq!(n, 3);
        assert!(!leftovers.is_pending());
    }

    #[test]
    fn an_error_is_reported_once() {
        let leftovers = leftovers();
        leftovers.keep([Leftover::Error(libc::ECONNRESET), bytes(b"x")]);
        let error = leftovers.peek(|_| 0).attempt().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(read(&leftovers, 9).unwrap().unwrap(), b"x");
    }

    #[test]
    fn a_parked_descriptor_goes_with_the_last_reference() {
        let (mine, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let leftovers = Arc::new(leftovers());
        let operation = leftovers.clone();
        assert!(Leftovers::is_shared(&leftovers));
        leftovers.park(mine.into());
        drop(leftovers);
        theirs.set_nonblocking(true).unwrap();
        let read = || io::Read::read(&mut &theirs, &mut [0]);
        assert_eq!(read().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(operation);
        assert_eq!(read().unwrap(), 0);
    }
}
