//! Queues of a ring that are too short, and doorbells that fail.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use super::{LONG, current_thread, ring_echo_on_each_flavour, under};
use crate::net::{TcpStream, UnixStream};
use crate::sys::fault::{Call, Script};

/// A byte, by an operation of the ring.
async fn read_byte(stream: &TcpStream) -> u8 {
    let (result, byte) = stream.native().recv_exact(vec![0]).await;
    result.unwrap();
    byte[0]
}

/// Has an operation in flight for as long as the runtime lives, so that its thread sleeps in its ring.
fn sleep_in_the_ring() {
    crate::task::spawn(async {
        let (ours, _peer) = UnixStream::pair().unwrap();
        ours.native().recv_exact(vec![0]).await.0
    });
}

/// Both ends of a connection, the second one blocking.
async fn connection() -> (TcpStream, std::net::TcpStream) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (peer, _) = listener.accept().unwrap();
    peer.set_nodelay(true).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    (ours, peer)
}

#[test]
fn h17_more_events_than_completion_entries() {
    const STREAMS: usize = 64;
    let script = Script::default().ring_size(2, 4);
    under(&script, "CQ of 4", || {
        let served = current_thread().unwrap().block_on(async {
            let mut peers = Vec::new();
            let mut readers = Vec::new();
            for _ in 0..STREAMS {
                let (stream, peer) = connection().await;
                peers.push(peer);
                readers.push(crate::task::spawn(async move {
                    let mut sum = 0;
                    for _ in 0..10 {
                        sum += usize::from(read_byte(&stream).await);
                    }
                    sum
                }));
            }
            for _ in 0..10 {
                crate::task::yield_now().await;
                // All of them while this thread looks elsewhere.
                for peer in &mut peers {
                    peer.write_all(&[1]).unwrap();
                }
            }
            let mut served = 0;
            for reader in readers {
                served += reader.await.unwrap();
            }
            served
        });
        assert_eq!(served, STREAMS * 10);
    });
}

/// A thread that never sleeps must see what overflowed, too.
#[test]
fn h17_overflow_is_seen_by_a_busy_thread() {
    const STREAMS: usize = 64;
    let script = Script::default().ring_size(2, 4);
    under(&script, "CQ of 4", || {
        let served = current_thread().unwrap().block_on(async {
            let served = Arc::new(AtomicUsize::new(0));
            let mut peers = Vec::new();
            for _ in 0..STREAMS {
                let (stream, peer) = connection().await;
                peers.push(peer);
                let served = served.clone();
                crate::task::spawn(async move {
                    assert_eq!(read_byte(&stream).await, 1);
                    served.fetch_add(1, Relaxed);
                });
            }
            crate::task::yield_now().await;
            for peer in &mut peers {
                peer.write_all(&[1]).unwrap();
            }
            while served.load(Relaxed) < STREAMS {
                crate::task::yield_now().await;
            }
            served.load(Relaxed)
        });
        assert_eq!(served, STREAMS);
    });
}

#[test]
fn h17_echo_over_the_smallest_ring() {
    let script = Script::default().ring_size(1, 2);
    under(&script, "CQ of 2", || assert_eq!(ring_echo_on_each_flavour(16, 8), [256; 3]));
}

#[test]
fn h18_more_submissions_than_entries() {
    const STREAMS: usize = 100;
    let script = Script::default().ring_size(1, 256);
    under(&script, "SQ of 1", || {
        let (answered, ended) = current_thread().unwrap().block_on(async {
            let mut streams = Vec::new();
            let mut peers = Vec::new();
            for _ in 0..STREAMS {
                let (stream, peer) = connection().await;
                streams.push(stream);
                peers.push(peer);
            }
            // All are submitted in one go ...
            let mut reads: Vec<_> = streams.iter().map(|s| Box::pin(read_byte(s))).collect();
            poll_fn(|cx| {
                assert!(reads.iter_mut().all(|read| read.as_mut().poll(cx).is_pending()));
                Poll::Ready(())
            })
            .await;
            for peer in &mut peers {
                peer.write_all(&[1]).unwrap();
            }
            let mut answered = 0;
            for read in reads {
                answered += usize::from(read.await);
            }
            // ... and cancelled in one go.
            let mut reads: Vec<_> = streams.iter().map(|s| Box::pin(read_byte(s))).collect();
            poll_fn(|cx| {
                assert!(reads.iter_mut().all(|read| read.as_mut().poll(cx).is_pending()));
                Poll::Ready(())
            })
            .await;
            drop(reads);
            drop(streams);
            let ended = move || peers.iter_mut().filter(|peer| matches!((&**peer).read(&mut [0]), Ok(0))).count();
            let ended = crate::task::spawn_blocking(ended).await.unwrap();
            (answered, ended)
        });
        assert_eq!((answered, ended), (STREAMS, STREAMS));
    });
}

#[test]
fn h24_the_doorbell_of_older_kernels() {
    let script = Script::default().before_6_13().ring_size(1, 2);
    under(&script, "an eventfd for a doorbell", || {
        assert_eq!(ring_echo_on_each_flavour(8, 8), [128; 3]);
        // Its poll ends unasked too when completions overflow, and must not stay away.
        let rt = current_thread().unwrap();
        let woken = rt.block_on(async {
            sleep_in_the_ring();
            let mut woken = 0;
            for _ in 0..300 {
                let (wake, wait) = crate::sync::oneshot::channel();
                let waker = std::thread::spawn(move || wake.send(()).unwrap());
                wait.await.unwrap();
                waker.join().unwrap();
                woken += 1;
            }
            woken
        });
        assert_eq!(woken, 300);
    });
}

/// A sleeping runtime is woken although the kernel is short of memory when it is rung.
#[test]
fn h24_a_doorbell_that_fails_is_rung_again() {
    let failing = || Script::default().fail(Call::Message, libc::ENOMEM, 0..3);
    for (script, in_ring) in [(failing(), false), (failing(), true), (failing().before_6_13(), true)] {
        under(&script.clone(), "out of memory at the door", move || {
            // The worker of one runtime wakes the thread of another.
            let waker = super::multi_thread(1).unwrap();
            let (ask, asked) = crate::sync::mpsc::unbounded_channel::<crate::sync::oneshot::Sender<()>>();
            waker.spawn(async move {
                let mut asked = asked;
                while let Some(wake) = asked.recv().await {
                    crate::time::sleep(Duration::from_millis(5)).await;
                    wake.send(()).unwrap();
                }
            });
            let rt = current_thread().unwrap();
            if in_ring {
                rt.block_on(async { sleep_in_the_ring() });
            }
            for _ in 0..5 {
                let (wake, wait) = crate::sync::oneshot::channel();
                ask.send(wake).unwrap();
                rt.block_on(wait).unwrap();
            }
        });
        assert_eq!(script.failed(), 3);
    }
}
