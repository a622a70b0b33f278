//! Listeners.

use std::io;
use std::marker::PhantomData;

use super::target::Target;
use super::{Accept, AcceptMulti, Request};
use crate::driver::{Found, Interest, Leftover, Registration};
use crate::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use crate::sys::socket;

impl TcpListener {
    /// Operations of the ring on this listener.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> Listener<'_, TcpStream> {
        Listener { io: self.registration(), accepts: PhantomData }
    }
}

impl UnixListener {
    /// Operations of the ring on this listener.
    #[cfg_attr(docsrs, doc(cfg(feature = "uring-native")))]
    pub fn native(&self) -> Listener<'_, UnixStream> {
        Listener { io: self.registration(), accepts: PhantomData }
    }
}

/// Operations of the ring on a listener: [`TcpListener::native`], [`UnixListener::native`].
#[derive(Debug)]
pub struct Listener<'a, S> {
    io: &'a Registration,
    accepts: PhantomData<fn() -> S>,
}

impl<S> Clone for Listener<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Listener<'_, S> {}

#[allow(private_bounds)]
impl<'a, S: super::address::Accepted> Listener<'a, S> {
    /// Accepts a connection, and returns it with the address of its peer.
    ///
    /// `IORING_OP_ACCEPT` (Linux 5.5); without it `accept4(2)` when readable.
    ///
    /// # Errors
    ///
    /// Those of `accept4(2)`. Some, like `EMFILE`, go away with time; wait a little then.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// A connection that a dropped future has accepted is the next accept's, on whatever lane.
    pub fn accept(self) -> Request<'a, Accept<S>> {
        Request::new(Accept::new(self.io.leftovers()), Target::Io(self.io, Interest::READABLE))
    }

    /// Accepts connections as they come: one submission for many of them.
    ///
    /// `IORING_OP_ACCEPT` with `IORING_ACCEPT_MULTISHOT` (Linux 5.19); without it `accept4(2)` when
    /// readable.
    ///
    /// The kernel accepts as they come, whether somebody asks for the next one or not, until some 64
    /// wait here; then the operation is called back, and submitted again when they have been taken.
    /// The others wait in the listener's queue meanwhile.
    ///
    /// # Panics
    ///
    /// If it is polled outside of a runtime.
    ///
    /// # Cancel safety
    ///
    /// If the stream is dropped, connections that it had accepted are the next accept's.
    pub fn accept_multi(self) -> AcceptMulti<'a, S> {
        AcceptMulti::new(self.io)
    }

    /// The connections that dropped operations have accepted and nobody has taken yet, after waiting for
    /// those that are still on their way. The next accept would find the first of them.
    ///
    /// `into_std` fails while there are any.
    ///
    /// # Errors
    ///
    /// An error that such an operation met, or the end of the runtime.
    pub async fn leftovers(self) -> io::Result<Vec<(S, S::Address)>> {
        let mut all = Vec::new();
        loop {
            match self.io.leftovers().accept() {
                Found::Kept(Ok((fd, from))) => all.push(S::accepted(fd, &socket::addr(&from))?),
                Found::Kept(Err(e)) if all.is_empty() => return Err(e),
                Found::Kept(Err(e)) => {
                    // The connections first.
                    self.io.leftovers().keep(e.raw_os_error().map(Leftover::Error));
                    return Ok(all);
                }
                Found::Nothing => return Ok(all),
                Found::Unsettled => self.io.settled().await.map(|_| ())?,
            }
        }
    }
}
