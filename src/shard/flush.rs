use super::FlushError;
use super::channel::Channel;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// A ticket: completes once the inbox has taken every message sent before the ticket was made.
///
/// Returned by [`Sender::flush`](super::Sender::flush). Taken means received by whoever holds the
/// [`Inbox`](super::Inbox); what becomes of the message then is his affair.
///
/// # Cancel safety
///
/// Dropping a ticket forgets the wait, nothing else.
#[must_use = "a ticket does nothing unless awaited"]
pub struct Flush<T> {
    channel: Arc<Channel<T>>,
    until: u64,
    key: Option<usize>,
}

impl<T> Flush<T> {
    pub(super) fn new(channel: Arc<Channel<T>>) -> Flush<T> {
        let until = channel.pushed();
        Flush { channel, until, key: None }
    }
}

impl<T> Future for Flush<T> {
    type Output = Result<(), FlushError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let me = &mut *self;
        let outcome = ready!(me.channel.poll_taken(me.until, &mut me.key, cx));
        Poll::Ready(outcome.map_err(|_| FlushError(())))
    }
}

impl<T> Drop for Flush<T> {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.channel.withdraw(key);
        }
    }
}

impl<T> fmt::Debug for Flush<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flush").field("until", &self.until).finish_non_exhaustive()
    }
}
