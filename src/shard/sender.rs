use super::channel::Channel;
use super::{Flush, SendError, SendErrorReason};
use crate::upstream::sync::TryAcquireError;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use SendErrorReason::{Full, Gone};

/// Sends messages of one type to one shard.
///
/// Made by [`Remote::sender`](super::Remote::sender), cheap to clone, usable from any thread and
/// outlives the runtime (then every send says [`Gone`](SendErrorReason::Gone)). Messages of one
/// sender arrive in the order in which they were sent.
pub struct Sender<T> {
    channel: Arc<Channel<T>>,
}

impl<T> Sender<T> {
    pub(super) fn new(channel: Arc<Channel<T>>) -> Sender<T> {
        Sender { channel }
    }

    /// Sends `message`; waits while the inbox is full.
    ///
    /// # Errors
    ///
    /// [`Gone`](SendErrorReason::Gone) if the inbox is closed or dropped, also while this waits.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is complete, the message was not sent and is dropped
    /// with it. Its place in the line of those who wait is lost.
    pub async fn send(&self, message: T) -> Result<(), SendError<T>> {
        self.channel.assert_own();
        match self.channel.room.acquire().await {
            Ok(permit) => permit.forget(),
            Err(_closed) => return Err(SendError::new(Gone, message)),
        }
        self.channel.push(message).map_err(|message| SendError::new(Gone, message))
    }

    /// Sends `message` now or not at all. Needs no runtime around it.
    ///
    /// # Errors
    ///
    /// [`Full`](SendErrorReason::Full) or [`Gone`](SendErrorReason::Gone).
    pub fn try_send(&self, message: T) -> Result<(), SendError<T>> {
        self.channel.assert_own();
        match self.channel.room.try_acquire() {
            Ok(permit) => permit.forget(),
            Err(TryAcquireError::NoPermits) => return Err(SendError::new(Full, message)),
            Err(TryAcquireError::Closed) => return Err(SendError::new(Gone, message)),
        }
        self.channel.push(message).map_err(|message| SendError::new(Gone, message))
    }

    /// Sends several messages, as many at a time as there is room for, each time with one lock and
    /// one wake-up. Messages of other senders may come in between those times.
    ///
    /// # Errors
    ///
    /// [`Gone`](SendErrorReason::Gone), with the messages that were not sent.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before it is complete, some messages may have been sent, from the
    /// front; the others are dropped.
    pub async fn send_batch(
        &self,
        messages: impl IntoIterator<Item = T>,
    ) -> Result<(), SendError<VecDeque<T>>> {
        self.channel.assert_own();
        let mut messages: VecDeque<T> = messages.into_iter().collect();
        while !messages.is_empty() {
            let room = &self.channel.room;
            // What is there, but not nothing.
            let n = messages.len().min(room.available_permits().max(1));
            match room.acquire_many(u32::try_from(n).unwrap_or(u32::MAX)).await {
                Ok(permits) => {
                    let n = permits.num_permits();
                    permits.forget();
                    if self.channel.push_batch(&mut messages, n) {
                        continue;
                    }
                }
                Err(_closed) => {}
            }
            return Err(SendError::new(Gone, messages));
        }
        Ok(())
    }

    /// Sends as many of `messages` as there is room for now, with one lock and one wake-up.
    ///
    /// # Errors
    ///
    /// [`Full`](SendErrorReason::Full) or [`Gone`](SendErrorReason::Gone), with those that were not
    /// sent.
    pub fn try_send_batch(&self, messages: impl IntoIterator<Item = T>) -> Result<(), SendError<VecDeque<T>>> {
        self.channel.assert_own();
        let mut messages: VecDeque<T> = messages.into_iter().collect();
        let room = &self.channel.room;
        loop {
            let n = messages.len().min(room.available_permits());
            if n == 0 {
                break;
            }
            match room.try_acquire_many(u32::try_from(n).unwrap_or(u32::MAX)) {
                Ok(permits) => {
                    let n = permits.num_permits();
                    permits.forget();
                    if !self.channel.push_batch(&mut messages, n) {
                        break;
                    }
                }
                // Somebody else was faster: there is less room.
                Err(TryAcquireError::NoPermits) => {}
                Err(TryAcquireError::Closed) => break,
            }
        }
        match messages.is_empty() {
            true => Ok(()),
            false => Err(SendError::new(if self.is_gone() { Gone } else { Full }, messages)),
        }
    }

    /// A ticket that completes once the inbox has taken everything sent before this call, by this
    /// sender or any other.
    pub fn flush(&self) -> Flush<T> {
        Flush::new(self.channel.clone())
    }

    /// Would every send fail?
    pub fn is_gone(&self) -> bool {
        self.channel.is_closed()
    }

    /// How many messages the inbox holds at most.
    pub fn capacity(&self) -> usize {
        self.channel.capacity
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        Sender { channel: self.channel.clone() }
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("capacity", &self.capacity())
            .field("is_gone", &self.is_gone())
            .finish_non_exhaustive()
    }
}
