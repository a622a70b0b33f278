//! The channel on which the threads of a pool report their end.
//!
//! Every thread holds a [`Sender`]; nothing is ever sent. When the last one is dropped, the
//! [`Receiver`] wakes up.

use crate::runtime::context;

use std::convert::Infallible;
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

#[derive(Clone)]
pub(super) struct Sender {
    // Held for the effect of its drop.
    #[allow(dead_code)]
    tx: mpsc::Sender<Infallible>,
}

pub(super) struct Receiver {
    // In a mutex only so that the pool is `Sync`; `wait` has exclusive access anyway.
    rx: Mutex<mpsc::Receiver<Infallible>>,
}

pub(super) fn channel() -> (Sender, Receiver) {
    let (tx, rx) = mpsc::channel();
    (Sender { tx }, Receiver { rx: Mutex::new(rx) })
}

impl Receiver {
    /// Blocks until every [`Sender`] is gone, for at most `timeout` if there is one.
    ///
    /// Returns `false` if senders may still exist: the time is over, or this thread must not block
    /// and is already panicking.
    ///
    /// # Panics
    ///
    /// In an asynchronous context, unless the thread is panicking or `timeout` is zero.
    pub(super) fn wait(&mut self, timeout: Option<Duration>) -> bool {
        if timeout == Some(Duration::ZERO) {
            return false;
        }
        if context::try_enter_blocking_region().is_none() {
            if std::thread::panicking() {
                // A panic within a panic would abort the process.
                return false;
            }
            panic!(
                "Cannot drop a runtime in a context where blocking is not allowed. \
                This happens when a runtime is dropped from within an asynchronous context."
            );
        }

        let rx = self.rx.get_mut().unwrap_or_else(PoisonError::into_inner);
        match timeout {
            None => {
                let Err(mpsc::RecvError) = rx.recv();
                true
            }
            Some(timeout) => rx.recv_timeout(timeout) != Err(mpsc::RecvTimeoutError::Timeout),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_the_last_sender() {
        let (tx, mut rx) = channel();
        let other = tx.clone();
        drop(tx);
        assert!(!rx.wait(Some(Duration::from_millis(5))));
        let thread = std::thread::spawn(move || drop(other));
        assert!(rx.wait(None));
        assert!(rx.wait(Some(Duration::MAX)));
        thread.join().unwrap();
    }
}
