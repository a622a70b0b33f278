use super::channel::Channel;
use super::{Inbox, RawMessage, SendError, SendErrorReason, Sender, Shard};
use crate::runtime::scheduler::Hold;
use crate::runtime::task::Id;
use crate::runtime::{AutoBox, Handle, ThreadBound};
use crate::task::JoinHandle;
use crate::util::leaf;
use crate::util::trace::{self, SpawnMeta};

use std::future::Future;
use std::io;
use std::sync::Arc;

/// One shard of a runtime, as seen from anywhere: to spawn there and to send there.
///
/// Obtained with [`Handle::remote`]; cheap to clone. Like a [`Handle`] it does not keep the runtime
/// alive.
///
/// # Examples
///
/// A counter that lives on a shard, without a lock:
///
/// ```
/// use tokio::runtime::{Builder, Handle};
///
/// let rt = Builder::new_multi_thread().worker_threads(2).build().unwrap();
/// rt.block_on(async {
///     let shard = Handle::current().shards().last().unwrap();
///     let remote = Handle::current().remote(shard).unwrap();
///
///     let mut inbox = remote.bind::<u64>(64).unwrap();
///     let counter = remote.spawn_pinned(async move {
///         let mut sum = 0;
///         while let Some(n) = inbox.recv().await {
///             if n == 0 {
///                 break;
///             }
///             sum += n;
///         }
///         sum
///     });
///
///     let sender = remote.sender::<u64>().unwrap();
///     sender.send_batch(1..=10).await.unwrap();
///     sender.flush().await.unwrap(); // the counter has taken them all
///     sender.send(0).await.unwrap();
///     assert_eq!(counter.await.unwrap(), 55);
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Remote {
    handle: Handle,
    shard: Shard,
}

impl Remote {
    pub(super) fn new(handle: Handle, shard: Shard) -> Remote {
        Remote { handle, shard }
    }

    /// Which shard this is.
    pub fn shard(&self) -> Shard {
        self.shard
    }

    /// The runtime it belongs to.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    // ===== tasks =====

    /// Starts `future` as a task that runs on this shard only.
    ///
    /// No other worker steals it: while this shard is busy, it waits. When a task of this shard
    /// calls [`block_in_place`](crate::task::block_in_place), the shard with all its pinned tasks
    /// goes on on another *thread*; what must not change threads is
    /// [`spawn_pinned_with`](Remote::spawn_pinned_with)'s business. A task that blocks without
    /// telling holds up the pinned tasks of its shard until it is done; sockets and timers are
    /// served by other shards then, as always, but they wake a task that cannot run.
    ///
    /// The handle works as any other: a panic becomes a [`JoinError`](crate::task::JoinError),
    /// aborting is possible from anywhere, and on a runtime that was shut down the task is
    /// cancelled at once.
    #[track_caller]
    pub fn spawn_pinned<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<F>::SHOULD_BOX {
            self.start(Box::pin(future), Hold::Pinned, meta)
        } else {
            self.start(future, Hold::Pinned, meta)
        }
    }

    /// Starts a task that is built on this shard's thread by `build`, and never leaves that thread:
    /// its future need not be `Send`.
    ///
    /// `build` is called when the shard comes to it. From then on the future is polled and dropped
    /// by that thread alone:
    ///
    /// - When a task of that thread calls [`block_in_place`](crate::task::block_in_place), the shard
    ///   goes on on another thread, but without these futures; they wait. When the call is over,
    ///   the thread takes its shard back, which may take until the task that the other thread runs
    ///   at that moment gives way. New ones wait to be built meanwhile.
    /// - At shutdown they are dropped on their thread, as they are when aborted.
    /// - A `current_thread` runtime may be driven by different threads: the future belongs to the
    ///   one that drove it when `build` was called, and waits while another one drives. If it is
    ///   dropped by another one it goes when its own thread drives a runtime the next time, or ends.
    ///   If that thread has ended before, the task panics when it is woken, and its future is
    ///   leaked, since no other thread may drop it.
    ///
    /// A panic of `build` counts as one of the task.
    ///
    /// ```
    /// use std::rc::Rc;
    /// use tokio::runtime::Handle;
    ///
    /// # #[tokio::main(flavor = "multi_thread", worker_threads = 2)]
    /// # async fn main() {
    /// let shard = Handle::current().shards().next().unwrap();
    /// let remote = Handle::current().remote(shard).unwrap();
    /// let task = remote.spawn_pinned_with(|| async {
    ///     let six = Rc::new(6);
    ///     tokio::task::yield_now().await;
    ///     *six * 7
    /// });
    /// assert_eq!(task.await.unwrap(), 42);
    /// # }
    /// ```
    #[track_caller]
    pub fn spawn_pinned_with<B, F>(&self, build: B) -> JoinHandle<F::Output>
    where
        B: FnOnce() -> F + Send + 'static,
        F: Future + 'static,
        F::Output: Send + 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<B>::SHOULD_BOX {
            self.start(ThreadBound::new(Box::new(build)), Hold::Pinned, meta)
        } else {
            self.start(ThreadBound::new(build), Hold::Pinned, meta)
        }
    }

    /// Starts `future` as an ordinary task that begins on this shard.
    ///
    /// Another worker with nothing to do takes it over if this one does not get to it.
    #[track_caller]
    pub fn spawn_stealable<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let meta = SpawnMeta::new_unnamed(size_of::<F>());
        if AutoBox::<F>::SHOULD_BOX {
            self.start(Box::pin(future), Hold::Placed, meta)
        } else {
            self.start(future, Hold::Placed, meta)
        }
    }

    fn start<F>(&self, future: F, hold: Hold, meta: SpawnMeta<'_>) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let id = Id::next();
        let (future, spawned_at) = trace::task(leaf::root(future), "task", meta, id.as_u64());
        self.handle.inner.spawn_on((self.shard.index(), hold), future, id, spawned_at)
    }

    // ===== messages =====

    /// An inbox on this shard for messages of type `T`, at most `capacity` at a time.
    ///
    /// # Errors
    ///
    /// `AddrInUse` if there is one for `T` already; `NotConnected` if the runtime was shut down.
    ///
    /// # Panics
    ///
    /// If `capacity` is 0.
    #[track_caller]
    pub fn bind<T: Send + 'static>(&self, capacity: usize) -> io::Result<Inbox<T>> {
        Inbox::bind_on(self.handle.inner.clone(), self.shard, capacity)
    }

    /// A sender to this shard's inbox for `T`. Looks the inbox up once; each send of the sender
    /// then costs a lock and, if the receiver waits, a wake-up.
    ///
    /// # Errors
    ///
    /// [`NoInbox`](SendErrorReason::NoInbox) or [`Gone`](SendErrorReason::Gone).
    pub fn sender<T: Send + 'static>(&self) -> Result<Sender<T>, SendError<()>> {
        self.handle.inner.driver().assert_own();
        let mailroom = self.handle.inner.mailroom();
        match mailroom.find::<Channel<T>>(self.shard.index()) {
            Some(channel) => Ok(Sender::new(channel)),
            None if mailroom.is_closed() => Err(SendError::new(SendErrorReason::Gone, ())),
            None => Err(SendError::new(SendErrorReason::NoInbox, ())),
        }
    }

    fn sender_for<T: Send + 'static, M>(&self, message: M) -> Result<(Sender<T>, M), SendError<M>> {
        match self.sender() {
            Ok(sender) => Ok((sender, message)),
            Err(error) => Err(error.map(|()| message)),
        }
    }

    /// Sends `message` to this shard's inbox for `T`; waits while it is full. See [`Sender::send`].
    ///
    /// # Errors
    ///
    /// [`NoInbox`](SendErrorReason::NoInbox) or [`Gone`](SendErrorReason::Gone).
    pub async fn send<T: Send + 'static>(&self, message: T) -> Result<(), SendError<T>> {
        let (sender, message) = self.sender_for(message)?;
        sender.send(message).await
    }

    /// Sends `message` to this shard's inbox for `T` now or not at all. See [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// [`Full`](SendErrorReason::Full), [`NoInbox`](SendErrorReason::NoInbox) or
    /// [`Gone`](SendErrorReason::Gone).
    pub fn try_send<T: Send + 'static>(&self, message: T) -> Result<(), SendError<T>> {
        let (sender, message) = self.sender_for(message)?;
        sender.try_send(message)
    }

    /// Sends a number with a tag now or not at all, to this shard's `Inbox<RawMessage>`.
    ///
    /// # Errors
    ///
    /// As [`try_send`](Remote::try_send).
    pub fn send_raw(&self, tag: u32, value: u64) -> Result<(), SendError<RawMessage>> {
        let from = super::current_of(&self.handle);
        self.try_send(RawMessage { from, tag, value })
    }

    /// A ticket that completes once this shard's inbox for `T` has taken everything sent before
    /// this call. See [`Sender::flush`].
    ///
    /// # Errors
    ///
    /// [`NoInbox`](SendErrorReason::NoInbox) or [`Gone`](SendErrorReason::Gone).
    pub fn flush<T: Send + 'static>(&self) -> Result<super::Flush<T>, SendError<()>> {
        Ok(self.sender::<T>()?.flush())
    }
}

const _: () = {
    const fn is_shareable<T: Send + Sync>() {}
    is_shareable::<Remote>();
    is_shareable::<Sender<std::cell::Cell<u8>>>();
    is_shareable::<Arc<Channel<std::cell::Cell<u8>>>>();
};
