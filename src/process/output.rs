//! What `Child::wait_with_output` is made of.

use crate::process::pipe::ReadPipe;

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

/// All that comes out of `pipe`; nothing out of none.
pub(super) async fn read_to_end(pipe: Option<&mut ReadPipe>) -> io::Result<Vec<u8>> {
    let mut all = Vec::new();
    if let Some(pipe) = pipe {
        while poll_fn(|cx| pipe.poll_read_vec(cx, &mut all)).await? != 0 {}
    }
    Ok(all)
}

/// Waits for three futures, or for the first of them that fails.
pub(super) async fn try_join3<A, B, C, E>(
    a: impl Future<Output = Result<A, E>>,
    b: impl Future<Output = Result<B, E>>,
    c: impl Future<Output = Result<C, E>>,
) -> Result<(A, B, C), E> {
    let (mut a, mut b, mut c) = (pin!(a), pin!(b), pin!(c));
    let (mut done_a, mut done_b, mut done_c) = (None, None, None);
    poll_fn(|cx| {
        poll_once(a.as_mut(), &mut done_a, cx)?;
        poll_once(b.as_mut(), &mut done_b, cx)?;
        poll_once(c.as_mut(), &mut done_c, cx)?;
        if done_a.is_none() || done_b.is_none() || done_c.is_none() {
            return Poll::Pending;
        }
        match (done_a.take(), done_b.take(), done_c.take()) {
            (Some(a), Some(b), Some(c)) => Poll::Ready(Ok((a, b, c))),
            _ => unreachable!("all three were there"),
        }
    })
    .await
}

fn poll_once<F, T, E>(future: Pin<&mut F>, done: &mut Option<T>, cx: &mut Context<'_>) -> Result<(), E>
where
    F: Future<Output = Result<T, E>>,
{
    if done.is_none() {
        if let Poll::Ready(result) = future.poll(cx) {
            *done = Some(result?);
        }
    }
    Ok(())
}
