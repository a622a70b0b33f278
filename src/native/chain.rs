//! Operations one after the other, submitted together.
//!
//! # Protocol
//!
//! - While two parts or more that are next could go to the ring at once, they do, linked: the chain is
//!   **flying**. These are all that are left, or those up to the first that nothing is to be linked behind.
//!   It is looked at when all of them have landed, so that none of it is lost if the future is dropped
//!   before; then each part is over, or has more to do, or was broken off.
//! - Otherwise the first part that is left takes a step by itself, as any request does, and the question
//!   is asked again.
//! - A part that is over keeps its action until all are, and gives up what it has got if the future is
//!   dropped: it is an orphan like any other.

mod part;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use upstream::task::coop;

use self::part::{Part, SoFar};
use super::action::Action;
use super::{Request, ShardLane};
use crate::driver::op;
use crate::sys::uring::Punt;
use crate::time::Instant;

/// Two to four operations, one after the other, submitted to a ring together.
///
/// The result is a tuple of theirs. On the ring they are linked (`IOSQE_IO_LINK`, Linux 5.3): the kernel
/// begins each when the one before is over, without coming back in between. Only what the kernel does not take
/// for a failure when it fails is waited for here, and what comes after it submitted then: all that is done to
/// names, attributes and lengths, syncs and `shutdown`; not so with [`hard`](Chain::hard), nor at the end. So is a
/// `recv_exact`, with `hard`, too: only here it is known when it has all.
///
/// ```
/// use tokio::native::{self, fs::OpenHow};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("log");
/// let log = native::fs::open(path, OpenHow::new().read_write().create(0o600)).await?;
/// let (log, buf) = (log.native(), b"committed".to_vec());
/// let ((written, buf), synced) = native::chain((log.write_all_at(buf, 0), log.fdatasync())).await;
/// written?;
/// synced?;
/// # drop(buf);
/// # Ok(())
/// # }
/// ```
///
/// # A part that fails
///
/// breaks the chain: the parts after it are not begun, and fail with the error of
/// [`ECANCELED`](libc::ECANCELED). Every part gives its buffers back. So does one that falls short: a
/// read or write of a file or a pipe, a vectored one, an `exact` or `all` one and a
/// [`splice`](super::splice) that moves less than it was to, at the end of a file for one. A `recv` or
/// `send` never does: whatever it moves is enough.
///
/// With [`hard`](Chain::hard) the rest is done whatever becomes of a part.
///
/// # A part of more than one step
///
/// Where the kernel stops before all is done, such as in the middle of a `write_all_at`, it breaks the
/// chain off too; what is left of it is submitted then, again together. (Not so with `hard`: the parts
/// behind have been done then, and the step that is missing comes after them.)
///
/// # Where it runs
///
/// On one ring: that of the thread that polls, or [`on`](Chain::on) one of your choice. What cannot go to a
/// ring (see [`caps`](super::caps)), must wait before, or finds what a dropped operation has left, is
/// done as without a chain, one after the other, with the same results.
///
/// # Cancel safety
///
/// Dropping it cancels what is not over. Nothing is lost, of any part: see [`Request`].
///
/// # Panics
///
/// As [`Request`].
pub fn chain<P: Parts>(parts: P) -> Chain<P> {
    Chain { parts, limit: None, lane: None, is_hard: false, has_begun: false, flying: None, is_over: false }
}

/// Operations one after the other: see [`chain`].
#[must_use = "operations do nothing unless awaited"]
pub struct Chain<P: Parts> {
    parts: P,
    limit: Option<Duration>,
    lane: Option<ShardLane>,
    is_hard: bool,
    has_begun: bool,
    flying: Option<Arc<op::Chain>>,
    is_over: bool,
}

impl<P: Parts> Chain<P> {
    /// Limits the time that all of it may take, from the first poll on. The part that the limit meets
    /// fails with [`TimedOut`](std::io::ErrorKind::TimedOut), and breaks the chain.
    ///
    /// Limits of single parts count from the same moment on. See also [`Request::timeout`].
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Has each part done whatever has become of the one before (`IOSQE_IO_HARDLINK`, Linux 5.5).
    ///
    /// A part that takes more than one step is an exception: see [`chain`].
    pub fn hard(mut self) -> Self {
        self.is_hard = true;
        self
    }

    /// Has the chain submitted on the ring of that shard, whatever thread polls it: see
    /// [`lane`](super::lane()). Without it, what the first part says of this goes for all.
    pub fn on(mut self, lane: &ShardLane) -> Self {
        self.lane = Some(lane.clone());
        self
    }

    fn begin(&mut self) {
        let now = Instant::now();
        let deadline = self.limit.and_then(|limit| now.checked_add(limit));
        let lane = self.lane.take().or_else(|| self.parts.part(0).lane());
        for i in 0..P::LEN {
            self.parts.part(i).begin(now, deadline, lane.as_ref());
        }
        self.has_begun = true;
    }

    /// Submits what is left, as far as it can go together.
    fn link(&mut self, first: usize, cx: &mut Context<'_>) -> Poll<bool> {
        let mut left: Vec<usize> = (first..P::LEN).filter(|&i| !self.parts.part(i).is_over()).collect();
        if let Some(end) = left.iter().position(|&i| self.parts.part(i).ends_link(self.is_hard)) {
            left.truncate(end + 1);
        }
        if left.len() < 2 {
            return Poll::Ready(false);
        }
        let driver = self.parts.part(first).driver();
        if !left.iter().all(|&i| self.parts.part(i).is_linkable(&driver)) {
            return Poll::Ready(false);
        }
        // One begins when the one before is over, so the kernel needs one thread for all. The last has the
        // permit.
        let mut punt = None;
        if left.iter().any(|&i| self.parts.part(i).is_punted()) {
            punt = Punt::take();
            if punt.is_none() {
                return Poll::Ready(false);
            }
        }
        let coop = ready!(coop::poll_proceed(cx));
        let last = left.last().copied();
        let link = |&i: &usize| {
            let punt = if Some(i) == last { punt.take() } else { None };
            self.parts.part(i).link(&driver, punt, cx)
        };
        let flights = left.iter().map(link).collect();
        let chain = Arc::new(op::Chain::new(flights, self.is_hard));
        self.flying = Some(chain.clone());
        driver.launch_chain(chain);
        coop.made_progress();
        Poll::Ready(true)
    }

    /// Have all parts landed?
    fn poll_landed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut landed = true;
        for i in 0..P::LEN {
            landed &= self.parts.part(i).has_landed(cx);
        }
        if landed { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Sees to what has landed.
    fn settle(&mut self, cx: &mut Context<'_>) {
        self.flying = None;
        let mut so_far = SoFar::Intact;
        for i in 0..P::LEN {
            self.parts.part(i).settle(so_far, cx);
            if !self.is_hard {
                if so_far == SoFar::Broken {
                    // One that was not linked yet.
                    self.parts.part(i).break_off();
                }
                so_far = so_far.and_then(self.parts.part(i));
            }
        }
    }

    /// One part has taken a step.
    fn stepped(&mut self, i: usize) {
        if !self.is_hard && self.parts.part(i).breaks() {
            (i + 1..P::LEN).for_each(|i| self.parts.part(i).break_off());
        }
    }
}

impl<P: Parts> Future for Chain<P> {
    type Output = P::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<P::Output> {
        let this = &mut *self;
        assert!(!this.is_over, "`Chain` polled after completion");
        (0..P::LEN).for_each(|i| this.parts.part(i).assert_own());
        if !this.has_begun {
            this.begin();
        }
        loop {
            if this.flying.is_some() {
                ready!(this.poll_landed(cx));
                this.settle(cx);
            }
            let Some(first) = (0..P::LEN).find(|&i| !this.parts.part(i).is_over()) else {
                this.is_over = true;
                return Poll::Ready(this.parts.complete());
            };
            if !ready!(this.link(first, cx)) {
                ready!(this.parts.part(first).step(cx));
                this.stepped(first);
            }
        }
    }
}

impl<P: Parts> Unpin for Chain<P> {}

impl<P: Parts> Drop for Chain<P> {
    fn drop(&mut self) {
        if let Some(chain) = &self.flying {
            chain.abandon();
        }
        // The first is to come first.
        (0..P::LEN).rev().for_each(|i| self.parts.part(i).give_back());
    }
}

impl<P: Parts> fmt::Debug for Chain<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("parts", &P::LEN)
            .field("is_hard", &self.is_hard)
            .field("is_flying", &self.flying.is_some())
            .field("timeout", &self.limit)
            .finish_non_exhaustive()
    }
}

/// What a [`chain`] is made of: a tuple of two to four [`Request`]s.
///
/// It is a bound only, and cannot be implemented outside of this crate.
pub trait Parts: sealed::Parts {}

mod sealed {
    use super::Part;

    #[doc(hidden)]
    #[allow(private_interfaces)]
    pub trait Parts {
        const LEN: usize;
        type Output;

        fn part(&mut self, i: usize) -> &mut dyn Part;

        /// All parts are over.
        fn complete(&mut self) -> Self::Output;
    }
}

macro_rules! parts {
    ($len:literal: $($i:tt $A:ident),*) => {
        impl<$($A: Action),*> Parts for ($(Request<'_, $A>,)*) {}

        #[allow(private_interfaces)]
        impl<$($A: Action),*> sealed::Parts for ($(Request<'_, $A>,)*) {
            const LEN: usize = $len;
            type Output = ($($A::Output,)*);

            fn part(&mut self, i: usize) -> &mut dyn Part {
                match i {
                    $($i => &mut self.$i,)*
                    _ => unreachable!("there are {} parts", $len),
                }
            }

            fn complete(&mut self) -> Self::Output {
                ($(self.$i.ended(),)*)
            }
        }
    };
}

parts!(2: 0 A, 1 B);
parts!(3: 0 A, 1 B, 2 C);
parts!(4: 0 A, 1 B, 2 C, 3 D);

/// Each may have a time limit of its own.
const _: () = assert!(2 * 4 <= crate::sys::uring::MOST_LINKED);
