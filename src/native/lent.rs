//! A buffer that the kernel still reads.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::action::Action;
use super::ring::Ringed;
use crate::driver::op::Op;

/// The buffer of a zero-copy send: a future that gives it back.
///
/// The result of a [`send_zc`](super::Stream::send_zc) is known when the bytes are in the socket. From there on the
/// kernel reads them out of the buffer as it transmits, and again if it has to, until the peer has acknowledged them.
/// How long that takes is up to the peer. Where nothing was lent (a kind of socket without zero copy, no ring) the
/// buffer is here at once.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// # use tokio::{io::AsyncReadExt, net::{TcpListener, TcpStream}};
/// # let listener = TcpListener::bind("127.0.0.1:0").await?;
/// # let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr()?), listener.accept());
/// # let (client, (mut server, _)) = (client?, server?);
/// let (sent, lent) = client.native().send_zc(vec![7; 4096]).await;
/// // It is on its way, and the stream may be used on, or dropped.
/// let n = sent?;
/// server.read_exact(&mut vec![0; n]).await?;
/// let buf: Vec<u8> = lent.await;
/// assert_eq!(buf, [7; 4096]);
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropped, the buffer is freed when the kernel has let go of it. The bytes are sent all the same. Nothing waits for
/// it: neither the stream's descriptor, nor `block_in_place`, nor the end of a runtime.
///
/// It is woken by the thread that made the send, which has to drive its runtime: not while it blocks.
///
/// # Panics
///
/// If it is polled after it was ready.
pub struct Lent<B>(State<B>);

enum State<B> {
    Back(Option<B>),
    /// Erased, so that the type says what it is about and nothing else.
    Flying(Pin<Box<dyn Future<Output = B> + Send + Sync>>),
}

/// An operation that lends its buffer to the kernel beyond its result.
pub(super) trait Lends: Action {
    type Buffer: 'static;

    /// The buffer, with the kernel done.
    fn into_buffer(self) -> Self::Buffer;
}

struct Landing<A: Lends>(Op<Ringed<A>>);

impl<A: Lends> Future for Landing<A> {
    type Output = A::Buffer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<A::Buffer> {
        Pin::new(&mut self.0).poll(cx).map(|(action, _)| action.into_buffer())
    }
}

impl<B: 'static> Lent<B> {
    pub(super) fn back(buffer: B) -> Lent<B> {
        Lent(State::Back(Some(buffer)))
    }

    pub(super) fn until_landed<A: Lends<Buffer = B>>(op: Op<Ringed<A>>) -> Lent<B> {
        Lent(State::Flying(Box::pin(Landing(op))))
    }
}

impl<B> Future for Lent<B> {
    type Output = B;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<B> {
        match &mut self.0 {
            State::Flying(landing) => {
                let buffer = std::task::ready!(landing.as_mut().poll(cx));
                self.0 = State::Back(None);
                Poll::Ready(buffer)
            }
            State::Back(buffer) => match buffer.take() {
                Some(buffer) => Poll::Ready(buffer),
                None => panic!("`Lent` polled after completion"),
            },
        }
    }
}

impl<B> Unpin for Lent<B> {}

impl<B> fmt::Debug for Lent<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_back = matches!(self.0, State::Back(_));
        f.debug_struct("Lent").field("is_back", &is_back).finish_non_exhaustive()
    }
}
