//! Queues of a ring that are too short, and polls that end unasked.

use std::io::{Read, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use super::{LONG, current_thread, echo_on_each_flavour, under};
use crate::io::AsyncReadExt;
use crate::net::TcpStream;
use crate::sys::fault::{Call, Script};

/// Counts the polls of a future.
async fn count_polls<F: Future>(polls: Arc<AtomicUsize>, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|cx| {
        polls.fetch_add(1, Relaxed);
        future.as_mut().poll(cx)
    })
    .await
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
                let (mut stream, peer) = connection().await;
                peers.push(peer);
                readers.push(crate::task::spawn(async move {
                    let mut sum = 0;
                    for _ in 0..10 {
                        sum += usize::from(stream.read_u8().await.unwrap());
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
                let (mut stream, peer) = connection().await;
                peers.push(peer);
                let served = served.clone();
                crate::task::spawn(async move {
                    assert_eq!(stream.read_u8().await.unwrap(), 1);
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
    under(&script, "CQ of 2", || assert_eq!(echo_on_each_flavour(16, 8), [256; 3]));
}

#[test]
fn h05_polls_that_end_unasked_lose_no_event() {
    const STREAMS: usize = 20;
    const ROUNDS: usize = 50;
    const CQ: usize = 2;
    let script = Script::default().ring_size(1, CQ as u32);
    under(&script, "CQ of 2", || {
        let polls = Arc::new(AtomicUsize::new(0));
        let got = Arc::new(AtomicUsize::new(0));
        current_thread().unwrap().block_on(async {
            let mut peers = Vec::new();
            for _ in 0..STREAMS {
                let (mut stream, peer) = connection().await;
                peers.push(peer);
                let got = got.clone();
                let read = async move {
                    for _ in 0..ROUNDS {
                        stream.read_u8().await.unwrap();
                        got.fetch_add(1, Relaxed);
                    }
                };
                crate::task::spawn(count_polls(polls.clone(), read));
            }
            for round in 1..=ROUNDS {
                // Let all of them wait, then have more events at once than completions fit.
                crate::task::yield_now().await;
                for peer in &mut peers {
                    peer.write_all(b"x").unwrap();
                }
                while got.load(Relaxed) < round * STREAMS {
                    crate::time::sleep(Duration::from_millis(1)).await;
                }
            }
        });
        assert_eq!(got.load(Relaxed), STREAMS * ROUNDS);
        // Arming anew is no way to spin: with each attempt as many polls stay armed as there are
        // completion entries.
        let polls = polls.load(Relaxed);
        assert!(polls < (STREAMS / CQ + 2) * STREAMS * ROUNDS, "{polls} polls");
    });
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
            // All polls are armed in one go ...
            let mut reads: Vec<_> = streams.iter_mut().map(|s| Box::pin(s.read_u8())).collect();
            std::future::poll_fn(|cx| {
                assert!(reads.iter_mut().all(|read| read.as_mut().poll(cx).is_pending()));
                Poll::Ready(())
            })
            .await;
            for peer in &mut peers {
                peer.write_all(&[1]).unwrap();
            }
            let mut answered = 0;
            for read in reads {
                answered += usize::from(read.await.unwrap());
            }
            // ... and cancelled in one go.
            drop(streams);
            let ended = peers.iter_mut().filter(|peer| matches!((&**peer).read(&mut [0]), Ok(0))).count();
            (answered, ended)
        });
        assert_eq!((answered, ended), (STREAMS, STREAMS));
    });
}

#[test]
fn h24_the_doorbell_of_older_kernels() {
    let script = Script::default().before_6_13().ring_size(1, 2);
    under(&script, "an eventfd for a doorbell", || {
        assert_eq!(echo_on_each_flavour(8, 8), [128; 3]);
        // Its poll ends unasked too when completions overflow, and must not stay away.
        let rt = current_thread().unwrap();
        let woken = rt.block_on(async {
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
    for script in [failing(), failing().before_6_13()] {
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
            for _ in 0..5 {
                let (wake, wait) = crate::sync::oneshot::channel();
                ask.send(wake).unwrap();
                rt.block_on(wait).unwrap();
            }
        });
        assert_eq!(script.failed(), 3);
    }
}
