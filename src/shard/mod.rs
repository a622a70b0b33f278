//! Shards: where tasks run, and messages between them. Not part of Tokio.
//!
//! A *shard* is a worker of the runtime with all that is its own: its thread, its ring, its run
//! queue, its timers. Ordinary tasks do not care: a worker without work takes them over from its
//! siblings. This module is for programs that do care, such as those that keep a part of their
//! state on each shard and send to it instead of locking it.
//!
//! - [`Handle::shards`] lists the shards of a runtime; [`current`] is the one this code runs on.
//! - [`spawn`] starts a task by a [`Placement`]; [`spawn_pinned`], [`spawn_pinned_with`] (for
//!   futures that are not `Send`) and [`spawn_stealable`] are short forms.
//! - [`Handle::remote`] gives a [`Remote`], through which to spawn on a shard and to send to it.
//! - An [`Inbox`] receives on a shard what a [`Sender`] sends: one message or many at a time,
//!   waiting for room or not. A [`Flush`] ticket tells when it was taken.
//! - [`Remote::stats`] counts what a shard and its ring have done, [`Handle::stats`] what all of them have.
//! - [`Builder::worker_affinity`](crate::runtime::Builder::worker_affinity) ties the shards to
//!   processors.
//!
//! # What pinned means
//!
//! A pinned task is polled by its shard and by no other; nobody steals it, however long it waits.
//! It takes turns with the shard's other tasks, one by one.
//!
//! Shards are not threads. If a task tells that it blocks, by
//! [`block_in_place`](crate::task::block_in_place), its shard goes on on another thread, and pinned
//! tasks with it. Futures that are not `Send` cannot: they wait for their thread, which takes its
//! shard back when the call is over. See [`Remote::spawn_pinned_with`].
//!
//! If a task blocks without telling, ordinary tasks are stolen, and what the shard's ring watches is
//! watched by others; its pinned tasks have to wait.
//!
//! A `current_thread` runtime is one shard: its index is 0, and every task is pinned to it. Which
//! thread that is, is decided by who calls `block_on`.
//!
//! On a kernel without `io_uring` all this works the same way; only the wake-ups between shards go
//! another way than through the rings.
//!
//! # Shutdown
//!
//! When the runtime goes, its inboxes are closed first: sends fail from then on, also those that
//! wait for room. Then its tasks are dropped, pinned ones too; futures that are not `Send` by their
//! own thread.
//!
//! # Examples
//!
//! A part of a map on each shard:
//!
//! ```
//! use std::collections::HashMap;
//! use tokio::runtime::{Builder, Handle};
//! use tokio::shard::{self, Shard};
//! use tokio::sync::oneshot;
//!
//! enum Request {
//!     Put(String, u64),
//!     Get(String, oneshot::Sender<Option<u64>>),
//! }
//!
//! fn shard_of(key: &str, shards: usize) -> Shard {
//!     Shard::new(key.len() % shards)
//! }
//!
//! let rt = Builder::new_multi_thread().worker_threads(2).build().unwrap();
//! rt.block_on(async {
//!     let handle = Handle::current();
//!     for shard in handle.shards() {
//!         let mut inbox = handle.remote(shard).unwrap().bind::<Request>(128).unwrap();
//!         shard::spawn_pinned(shard, async move {
//!             let mut part = HashMap::new();
//!             while let Some(request) = inbox.recv().await {
//!                 match request {
//!                     Request::Put(key, value) => drop(part.insert(key, value)),
//!                     Request::Get(key, answer) => drop(answer.send(part.get(&key).copied())),
//!                 }
//!             }
//!         });
//!     }
//!
//!     let shards = handle.shards().len();
//!     let remote = handle.remote(shard_of("seven", shards)).unwrap();
//!     remote.send(Request::Put("seven".into(), 7)).await.unwrap();
//!     let (answer, answered) = oneshot::channel();
//!     remote.send(Request::Get("seven".into(), answer)).await.unwrap();
//!     assert_eq!(answered.await.unwrap(), Some(7));
//! });
//! ```

mod channel;

mod error;
pub use error::{FlushError, SendError, SendErrorReason};

mod flush;
pub use flush::Flush;

mod inbox;
pub use inbox::Inbox;

mod placement;
pub use placement::Placement;

mod remote;
pub use remote::Remote;

mod runtime_stats;
pub use runtime_stats::RuntimeStats;

mod sender;
pub use sender::Sender;

#[cfg(feature = "serde")]
mod serialize;

mod stats;
pub use stats::ShardStats;

use crate::runtime::{Handle, context};
use crate::task::JoinHandle;

use std::fmt;
use std::future::Future;
use std::iter::FusedIterator;
use std::ops::Range;

/// The number of a shard, from 0 on. The same as the index of its worker in
/// [`RuntimeMetrics`](crate::runtime::RuntimeMetrics).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard(usize);

impl Shard {
    /// The shard with this number, whether a runtime has it or not.
    pub const fn new(index: usize) -> Shard {
        Shard(index)
    }

    /// Its number.
    pub const fn index(self) -> usize {
        self.0
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What [`Remote::send_raw`] sends: a number and what it means, at the program's discretion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawMessage {
    /// The shard that sent it; `None` if it was sent by a thread that is no shard of the runtime.
    pub from: Option<Shard>,
    /// Says what `value` means.
    pub tag: u32,
    /// The number.
    pub value: u64,
}

/// The shards of a runtime; returned by [`Handle::shards`].
#[derive(Debug, Clone)]
pub struct Shards(Range<usize>);

impl Iterator for Shards {
    type Item = Shard;

    fn next(&mut self) -> Option<Shard> {
        self.0.next().map(Shard)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl DoubleEndedIterator for Shards {
    fn next_back(&mut self) -> Option<Shard> {
        self.0.next_back().map(Shard)
    }
}

impl ExactSizeIterator for Shards {}
impl FusedIterator for Shards {}

/// Shards. Not part of Tokio; see [`shard`](crate::shard).
impl Handle {
    /// The shards of the runtime: one per worker thread, one on a `current_thread` runtime.
    ///
    /// ```
    /// use tokio::runtime::Builder;
    ///
    /// let rt = Builder::new_multi_thread().worker_threads(3).build().unwrap();
    /// assert_eq!(rt.handle().shards().len(), 3);
    /// ```
    pub fn shards(&self) -> Shards {
        Shards(0..self.inner.num_workers())
    }

    /// One of the runtime's shards, to spawn there and to send there; `None` if there is no such
    /// shard.
    pub fn remote(&self, shard: Shard) -> Option<Remote> {
        (shard.0 < self.inner.num_workers()).then(|| Remote::new(self.clone(), shard))
    }
}

/// The shard this code runs on.
///
/// `None` on a thread that is none: outside of a runtime, on a thread for blocking work, inside of
/// [`block_in_place`](crate::task::block_in_place), and in `block_on` of a multi-thread runtime.
///
/// A task that is not pinned may be on another shard after each `.await`.
pub fn current() -> Option<Shard> {
    context::worker_index().map(Shard)
}

/// The shard of `handle`'s runtime this code runs on.
fn current_of(handle: &Handle) -> Option<Shard> {
    let is_inside = context::with_current(|current| current.is_same(&handle.inner)).unwrap_or(false);
    if is_inside { current() } else { None }
}

/// One of the current runtime's shards.
///
/// # Panics
///
/// Outside of a runtime, and if it has no such shard. [`Handle::remote`] does not panic.
#[track_caller]
pub fn remote(shard: Shard) -> Remote {
    let handle = Handle::current();
    match handle.remote(shard) {
        Some(remote) => remote,
        None => panic!("there is no shard {shard}: the runtime has {}", handle.shards().len()),
    }
}

/// Starts `future` as a task of the current runtime, where `placement` says.
///
/// ```
/// use tokio::shard::{self, Placement};
///
/// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
/// # async fn main() {
/// let user = "ada";
/// let first = shard::spawn(Placement::sticky(user), async { shard::current() });
/// let second = shard::spawn(Placement::sticky(user), async { shard::current() });
/// assert_eq!(first.await.unwrap(), second.await.unwrap());
/// # }
/// ```
///
/// # Panics
///
/// Outside of a runtime, and if it has no such shard.
#[track_caller]
pub fn spawn<F>(placement: Placement, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let handle = Handle::current();
    match placement {
        Placement::Stealable => handle.spawn(future),
        Placement::Near(shard) => remote(shard).spawn_stealable(future),
        Placement::Pinned(shard) => remote(shard).spawn_pinned(future),
        Placement::RoundRobin => remote(Shard(handle.inner.next_shard())).spawn_pinned(future),
        Placement::Sticky(key) => {
            remote(placement::shard_of(key, handle.shards().len())).spawn_pinned(future)
        }
    }
}

/// Starts `future` as a task that runs on this shard only; see [`Remote::spawn_pinned`].
///
/// # Panics
///
/// Outside of a runtime, and if it has no such shard.
#[track_caller]
pub fn spawn_pinned<F>(shard: Shard, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    remote(shard).spawn_pinned(future)
}

/// Starts a task that is built on this shard's thread and never leaves it; see
/// [`Remote::spawn_pinned_with`].
///
/// # Panics
///
/// Outside of a runtime, and if it has no such shard.
#[track_caller]
pub fn spawn_pinned_with<B, F>(shard: Shard, build: B) -> JoinHandle<F::Output>
where
    B: FnOnce() -> F + Send + 'static,
    F: Future + 'static,
    F::Output: Send + 'static,
{
    remote(shard).spawn_pinned_with(build)
}

/// Starts `future` as an ordinary task: the same as [`tokio::spawn`](crate::task::spawn), for
/// programs that say everywhere where a task may run.
///
/// # Panics
///
/// Outside of a runtime.
#[track_caller]
pub fn spawn_stealable<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Handle::current().spawn(future)
}
