use super::channel::Channel;
use super::{Sender, Shard};
use crate::runtime::mailroom::Refused;
use crate::runtime::scheduler;
use crate::upstream::task::coop;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// Receives what is sent to a shard: one inbox per shard and type of message.
///
/// Bound with [`Remote::bind`](super::Remote::bind) (from anywhere) or [`Inbox::bind`] (on the
/// shard). It holds a fixed number of messages; senders wait, or are told, when it is full. It is
/// meant to be given to a task pinned to its shard, but nothing depends on that.
///
/// Dropping an inbox drops the messages in it, and makes its type free to be bound again. When the
/// runtime is shut down nothing more comes in; what is there can still be received.
pub struct Inbox<T: Send + 'static> {
    channel: Arc<Channel<T>>,
    runtime: scheduler::Handle,
    shard: usize,
}

impl<T: Send + 'static> Inbox<T> {
    /// An inbox on the shard this code runs on, for at most `capacity` messages.
    ///
    /// # Errors
    ///
    /// `NotFound` on a thread that is no shard's. Otherwise as
    /// [`Remote::bind`](super::Remote::bind).
    ///
    /// # Panics
    ///
    /// Outside of a runtime, and if `capacity` is 0.
    #[track_caller]
    pub fn bind(capacity: usize) -> io::Result<Inbox<T>> {
        let runtime = scheduler::Handle::current();
        match super::current() {
            Some(shard) => Inbox::bind_on(runtime, shard, capacity),
            None => Err(io::Error::new(io::ErrorKind::NotFound, "this thread is no shard's")),
        }
    }

    #[track_caller]
    pub(super) fn bind_on(runtime: scheduler::Handle, shard: Shard, capacity: usize) -> io::Result<Inbox<T>> {
        runtime.driver().assert_own();
        assert!(capacity > 0, "an inbox must have room for a message");
        let shard = shard.index();
        let channel = Arc::new(Channel::new(capacity));
        match runtime.mailroom().register(shard, &channel) {
            Ok(()) => Ok(Inbox { channel, runtime, shard }),
            Err(Refused::Taken) => Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                format!("shard {shard} has an inbox for {} already", std::any::type_name::<T>()),
            )),
            Err(Refused::Closed) => {
                Err(io::Error::new(io::ErrorKind::NotConnected, "the runtime was shut down"))
            }
        }
    }

    /// The next message; `None` when the inbox is closed and empty.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: a message is taken by the poll that returns it.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// [`recv`](Inbox::recv) as a poll. Only the waker of the last call is woken.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let mut message = None;
        ready!(self.poll_take(cx, 1, |taken| message = Some(taken)));
        Poll::Ready(message)
    }

    /// Waits for messages and moves up to `limit` of them to the end of `into`; returns how many.
    /// 0 means that the inbox is closed and empty, or `limit` is 0.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe, as [`recv`](Inbox::recv).
    pub async fn recv_many(&mut self, into: &mut Vec<T>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        poll_fn(|cx| self.poll_take(cx, limit, |message| into.push(message))).await
    }

    fn poll_take(&self, cx: &mut Context<'_>, limit: usize, into: impl FnMut(T)) -> Poll<usize> {
        let budget = ready!(coop::poll_proceed(cx));
        let taken = ready!(self.channel.poll_take(cx, limit, into));
        budget.made_progress();
        Poll::Ready(taken.unwrap_or(0))
    }

    /// A message, if there is one now.
    pub fn try_recv(&mut self) -> Option<T> {
        self.channel.try_take()
    }

    /// Takes nothing more in; what is there can still be received.
    pub fn close(&mut self) {
        self.channel.assert_own();
        self.channel.close();
    }

    /// A sender to this inbox.
    pub fn sender(&self) -> Sender<T> {
        Sender::new(self.channel.clone())
    }

    /// The shard this inbox is bound on.
    pub fn shard(&self) -> Shard {
        Shard::new(self.shard)
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.channel.len()
    }

    /// Does no message wait?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: Send + 'static> Drop for Inbox<T> {
    fn drop(&mut self) {
        if self.channel.is_inherited() {
            // The parent's inbox goes on.
            return;
        }
        // In this order: a new inbox may be bound once nothing goes to this one.
        self.channel.abandon();
        self.runtime.mailroom().unregister(self.shard, &self.channel);
    }
}

impl<T: Send + 'static> fmt::Debug for Inbox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("shard", &self.shard)
            .field("len", &self.len())
            .field("capacity", &self.channel.capacity)
            .finish()
    }
}
