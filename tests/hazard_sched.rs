//! Hazards of the schedulers: lost wake-ups and starvation (H36, H40 of docs/HAZARDS.md).
//!
//! A plain Tokio program: every expectation here was first checked against tokio 1.54.1.

mod hazard;

use std::future::poll_fn;
use std::io::Write;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use hazard::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{Notify, mpsc as channel, oneshot};
use tokio::task::{JoinHandle, LocalSet, yield_now};
use tokio::time::{sleep, timeout};

/// H36: who is woken runs, whoever wakes it, and however close to falling asleep its worker is.
mod lost_wake_ups {
    use super::*;

    /// How long each soak goes on.
    const SOAK: Duration = Duration::from_millis(1500);

    /// Two tasks of `rt` that wake each other in turn, until told to stop.
    fn ping_pong(rt: &Runtime, stop: &Arc<AtomicBool>, rounds: &Arc<AtomicUsize>) -> [JoinHandle<()>; 2] {
        let (to_pong, mut from_ping) = channel::channel::<()>(1);
        let (to_ping, mut from_pong) = channel::channel::<()>(1);
        let (stop, rounds) = (stop.clone(), rounds.clone());
        let ping = rt.spawn(async move {
            while !stop.load(SeqCst) {
                to_pong.send(()).await.unwrap();
                from_pong.recv().await.unwrap();
                rounds.fetch_add(1, SeqCst);
            }
        });
        let pong = rt.spawn(async move {
            while from_ping.recv().await.is_some() {
                if to_ping.send(()).await.is_err() {
                    break;
                }
            }
        });
        [ping, pong]
    }

    fn finish(rt: &Runtime, stop: &AtomicBool, tasks: impl IntoIterator<Item = JoinHandle<()>>) {
        stop.store(true, SeqCst);
        for task in tasks {
            rt.block_on(async { timeout(LIMIT, task).await.expect("a wake-up was lost").unwrap() });
        }
    }

    /// Every counter moves on while the soak lasts.
    #[track_caller]
    fn soak(counters: &[Arc<AtomicUsize>]) {
        let end = Instant::now() + SOAK;
        while Instant::now() < end {
            let before: Vec<_> = counters.iter().map(|c| c.load(SeqCst)).collect();
            let watchdog = Instant::now() + LIMIT / 2;
            while counters.iter().zip(&before).any(|(c, &before)| c.load(SeqCst) == before) {
                assert!(Instant::now() < watchdog, "nothing moves: a wake-up was lost");
                thread::sleep(Duration::from_millis(2));
            }
        }
    }

    #[test]
    fn between_tasks_of_several_workers() {
        within_limit(|| {
            for workers in [1, 2, 4] {
                let rt = multi_thread(workers);
                let stop = Arc::new(AtomicBool::new(false));
                // Few pairs: the workers fall asleep all the time.
                let counters: Vec<_> = (0..workers).map(|_| Arc::new(AtomicUsize::new(0))).collect();
                let tasks: Vec<_> = counters.iter().flat_map(|c| ping_pong(&rt, &stop, c)).collect();
                soak(&counters);
                finish(&rt, &stop, tasks);
            }
        });
    }

    #[test]
    fn between_two_runtimes() {
        within_limit(|| {
            for other in [0, 1] {
                let (a, b) = (multi_thread(1), multi_thread(2));
                let stop = Arc::new(AtomicBool::new(false));
                let rounds = Arc::new(AtomicUsize::new(0));
                let (there, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
                let done = Arc::new(AtomicBool::new(false));
                let ping = {
                    let (there, back, stop, rounds, done) =
                        (there.clone(), back.clone(), stop.clone(), rounds.clone(), done.clone());
                    a.spawn(async move {
                        while !stop.load(SeqCst) {
                            there.notify_one();
                            back.notified().await;
                            rounds.fetch_add(1, SeqCst);
                        }
                        done.store(true, SeqCst);
                        there.notify_one();
                    })
                };
                let pong = {
                    let pong = async move {
                        loop {
                            there.notified().await;
                            if done.load(SeqCst) {
                                break;
                            }
                            back.notify_one();
                        }
                    };
                    // The future of a foreign `block_on` is woken through a thread, not a queue.
                    match other {
                        0 => b.spawn(pong),
                        _ => b.spawn_blocking(move || current_thread().block_on(pong)),
                    }
                };
                soak(&[rounds]);
                finish(&a, &stop, [ping]);
                finish(&b, &stop, [pong]);
            }
        });
    }

    #[test]
    fn from_foreign_threads() {
        within_limit(|| {
            for rt in flavours() {
                let stop = Arc::new(AtomicBool::new(false));
                let rounds = Arc::new(AtomicUsize::new(0));
                let (to_task, mut from_thread) = channel::unbounded_channel::<()>();
                let (to_thread, from_task) = mpsc::channel::<()>();
                let task = rt.spawn(async move {
                    while from_thread.recv().await.is_some() {
                        if to_thread.send(()).is_err() {
                            break;
                        }
                    }
                });
                // One of several reasons to wake up: timers make the sleeps short and odd.
                let ticks = {
                    let stop = stop.clone();
                    rt.spawn(async move {
                        let mut n = 0;
                        while !stop.load(SeqCst) {
                            n += 1;
                            sleep(Duration::from_micros(50 + n % 100)).await;
                        }
                    })
                };
                let thread = {
                    let (stop, rounds) = (stop.clone(), rounds.clone());
                    thread::spawn(move || {
                        let mut n = 0u64;
                        while !stop.load(SeqCst) {
                            to_task.send(()).unwrap();
                            from_task.recv().unwrap();
                            rounds.fetch_add(1, SeqCst);
                            n += 1;
                            // Sometimes right away, sometimes when the worker is about to sleep.
                            for _ in 0..n % 300 {
                                std::hint::spin_loop();
                            }
                        }
                    })
                };
                let soaker = {
                    let stop = stop.clone();
                    thread::spawn(move || {
                        soak(&[rounds]);
                        stop.store(true, SeqCst);
                    })
                };
                rt.block_on(async {
                    // The thread waits for an answer until the very end.
                    while !soaker.is_finished() || !thread.is_finished() {
                        sleep(Duration::from_millis(1)).await;
                    }
                });
                soaker.join().unwrap();
                thread.join().unwrap();
                finish(&rt, &stop, [task, ticks]);
            }
        });
    }

    #[test]
    fn of_sockets_between_workers() {
        within_limit(|| {
            let rt = multi_thread(2);
            let stop = Arc::new(AtomicBool::new(false));
            let counters: Vec<_> = (0..3).map(|_| Arc::new(AtomicUsize::new(0))).collect();
            let mut tasks = Vec::new();
            for rounds in &counters {
                let (a, b) = rt.block_on(pair());
                let (rounds, stop) = (rounds.clone(), stop.clone());
                tasks.push(rt.spawn(async move {
                    let mut a = a;
                    while !stop.load(SeqCst) {
                        a.write_all(b"x").await.unwrap();
                        a.read_exact(&mut [0]).await.unwrap();
                        rounds.fetch_add(1, SeqCst);
                    }
                }));
                tasks.push(rt.spawn(async move {
                    let mut b = b;
                    let mut byte = [0];
                    while let Ok(1) = b.read(&mut byte).await {
                        b.write_all(&byte).await.unwrap();
                    }
                }));
            }
            soak(&counters);
            finish(&rt, &stop, tasks);
        });
    }
}

/// H40: nobody is kept waiting by those who are always ready.
mod starvation {
    use super::*;

    /// A generous share of a busy, slow machine; without the guard it is for ever.
    const FAIR: Duration = Duration::from_secs(5);

    /// A stream that was just accepted, and its peer.
    async fn accepted() -> (TcpStream, std::net::TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        peer.set_nodelay(true).unwrap();
        (listener.accept().await.unwrap().0, peer)
    }

    /// Starts `n` tasks that are ready all the time.
    fn storm(rt: &Runtime, n: usize, stop: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
        let task = || {
            let stop = stop.clone();
            async move {
                while !stop.load(SeqCst) {
                    yield_now().await;
                }
            }
        };
        (0..n).map(|_| rt.spawn(task())).collect()
    }

    /// How many messages can be received in one poll.
    async fn received_in_one_poll() -> usize {
        let (tx, mut rx) = channel::unbounded_channel();
        for _ in 0..1000 {
            tx.send(()).unwrap();
        }
        let mut received = 0;
        poll_fn(|cx| {
            while let Poll::Ready(Some(())) = rx.poll_recv(cx) {
                received += 1;
            }
            Poll::Ready(())
        })
        .await;
        received
    }

    #[test]
    fn a_poll_has_a_budget() {
        within_limit(|| {
            for rt in flavours() {
                // All of 128 units in a first poll; 127 or more in every other.
                assert_eq!(rt.block_on(received_in_one_poll()), 128);
                let later = rt.block_on(async {
                    yield_now().await;
                    received_in_one_poll().await
                });
                assert!((127..=128).contains(&later), "{later}");
                let tasks: Vec<_> = (0..20).map(|_| rt.spawn(received_in_one_poll())).collect();
                for task in tasks {
                    let received = rt.block_on(task).unwrap();
                    assert!((127..=128).contains(&received), "{received}");
                }
            }
            // Each task of a set has its own; after `block_in_place` there is one again.
            let rt = current_thread();
            let set = LocalSet::new();
            let tasks: Vec<_> = (0..5).map(|_| set.spawn_local(received_in_one_poll())).collect();
            set.block_on(&rt, async {
                for task in tasks {
                    assert!((127..=128).contains(&task.await.unwrap()));
                }
            });
            let rt = multi_thread(1);
            let task = rt.spawn(async {
                tokio::task::block_in_place(|| ());
                yield_now().await;
                received_in_one_poll().await
            });
            assert!((127..=128).contains(&rt.block_on(task).unwrap()));
        });
    }

    #[test]
    fn by_a_task_that_always_has_a_message() {
        within_limit(|| {
            for rt in [current_thread(), multi_thread(1)] {
                let stop = Arc::new(AtomicBool::new(false));
                let stopped = stop.clone();
                // It sends itself the next message before it receives one.
                let greedy = rt.spawn(async move {
                    let (tx, mut rx) = channel::unbounded_channel();
                    tx.send(()).unwrap();
                    while !stopped.load(SeqCst) {
                        tx.send(()).unwrap();
                        rx.recv().await.unwrap();
                    }
                });
                let other = rt.spawn(async { sleep(Duration::from_millis(1)).await });
                rt.block_on(async { timeout(FAIR, other).await.expect("starved").unwrap() });
                stop.store(true, SeqCst);
                rt.block_on(greedy).unwrap();
            }
        });
    }

    /// A read that found less than it had room for ends the turn of its task, even if there is more by now.
    #[test]
    fn by_a_connection_whose_sender_never_stops() {
        within_limit(|| {
            for rt in [current_thread(), multi_thread(1)] {
                let reads = rt.spawn(async {
                    let (mut stream, mut peer) = accepted().await;
                    let mut read = async || {
                        peer.write_all(b"some").unwrap();
                        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 4);
                    };
                    read().await;
                    let had_its_turn = Arc::new(AtomicBool::new(false));
                    tokio::spawn({
                        let had_its_turn = had_its_turn.clone();
                        async move { had_its_turn.store(true, SeqCst) }
                    });
                    let mut reads = 0;
                    while !had_its_turn.load(SeqCst) {
                        read().await;
                        reads += 1;
                    }
                    reads
                });
                assert_eq!(rt.block_on(reads).unwrap(), 1);
            }
        });
    }

    #[test]
    fn of_timers_and_sockets_by_tasks_that_yield() {
        within_limit(|| {
            for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
                let stop = Arc::new(AtomicBool::new(false));
                let storm = storm(&rt, 50, &stop);
                let task = rt.spawn(async {
                    let mut took = Vec::new();
                    let (mut a, mut b) = pair().await;
                    let echo = tokio::spawn(async move {
                        let mut byte = [0];
                        while let Ok(1) = b.read(&mut byte).await {
                            b.write_all(&byte).await.unwrap();
                        }
                    });
                    for _ in 0..20 {
                        let start = Instant::now();
                        sleep(Duration::from_millis(1)).await;
                        a.write_all(b"x").await.unwrap();
                        a.read_exact(&mut [0]).await.unwrap();
                        took.push(start.elapsed());
                    }
                    drop(a);
                    echo.await.unwrap();
                    took
                });
                let mut took = rt.block_on(async { timeout(FAIR, task).await.expect("starved").unwrap() });
                // Most of them: some may have been without a processor for a while.
                took.sort();
                assert!(took[10] < Duration::from_millis(500), "{took:?}");
                stop.store(true, SeqCst);
                for task in storm {
                    rt.block_on(task).unwrap();
                }
            }
        });
    }

    #[test]
    fn of_timers_and_sockets_by_tasks_that_wake_themselves() {
        within_limit(|| {
            for rt in [current_thread(), multi_thread(1)] {
                let stop = Arc::new(AtomicBool::new(false));
                let (stopped, also) = (stop.clone(), stop.clone());
                // Unlike `yield_now` this goes to the queue at once, not behind the driver.
                let spinner = rt.spawn(poll_fn(move |cx| match stopped.load(SeqCst) {
                    true => Poll::Ready(()),
                    false => {
                        cx.waker().wake_by_ref();
                        Poll::Pending
                    }
                }));
                let task = rt.spawn(async {
                    let (mut a, mut b) = pair().await;
                    sleep(Duration::from_millis(1)).await;
                    let mut byte = [0];
                    let (read, written) = tokio::join!(a.read_exact(&mut byte), async {
                        sleep(Duration::from_millis(1)).await;
                        b.write_all(b"x").await
                    });
                    (read.unwrap(), written.unwrap()).0
                });
                // From outside: `block_on` on this thread would be a spinner's victim as well.
                let watchdog = thread::spawn(move || {
                    let end = Instant::now() + FAIR;
                    while !also.load(SeqCst) && Instant::now() < end {
                        thread::sleep(Duration::from_millis(1));
                    }
                    !also.swap(true, SeqCst)
                });
                assert_eq!(rt.block_on(task).unwrap(), 1);
                stop.store(true, SeqCst);
                rt.block_on(spinner).unwrap();
                assert!(!watchdog.join().unwrap(), "starved until the spinner was stopped");
            }
        });
    }

    #[test]
    fn of_what_comes_from_outside() {
        within_limit(|| {
            for rt in [current_thread(), multi_thread(1), multi_thread(2)] {
                let stop = Arc::new(AtomicBool::new(false));
                // Tasks that wake each other: the local queues are never empty.
                let relays: Vec<_> = (0..8)
                    .map(|_| {
                        let stop = stop.clone();
                        rt.spawn(poll_fn(move |cx| match stop.load(SeqCst) {
                            true => Poll::Ready(()),
                            false => {
                                cx.waker().wake_by_ref();
                                Poll::Pending
                            }
                        }))
                    })
                    .collect();
                let handle = rt.handle().clone();
                let (stopped, limit) = (stop.clone(), FAIR);
                let outside = thread::spawn(move || {
                    let mut arrived = 0;
                    for _ in 0..20 {
                        let (tx, rx) = mpsc::channel();
                        handle.spawn(async move { tx.send(()).unwrap() });
                        if rx.recv_timeout(limit).is_err() {
                            break;
                        }
                        arrived += 1;
                    }
                    stopped.store(true, SeqCst);
                    arrived
                });
                for task in relays {
                    rt.block_on(task).unwrap();
                }
                assert_eq!(outside.join().unwrap(), 20);
            }
        });
    }

    #[test]
    fn by_two_tasks_that_wake_each_other() {
        within_limit(|| {
            let rt = multi_thread(1);
            let stop = Arc::new(AtomicBool::new(false));
            let (a, b) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (tx, rx) = oneshot::channel();
            let mut third = Some(async move { tx.send(()).unwrap() });
            let first = {
                let (a, b, stop) = (a.clone(), b.clone(), stop.clone());
                async move {
                    let mut rounds = 0;
                    while !stop.load(SeqCst) {
                        rounds += 1;
                        if rounds == 100 {
                            // By now the pair owns the LIFO slot; this one waits in the queue.
                            drop(tokio::spawn(third.take().unwrap()));
                        }
                        b.notify_one();
                        a.notified().await;
                    }
                    b.notify_one();
                }
            };
            let second = {
                let stop = stop.clone();
                async move {
                    while !stop.load(SeqCst) {
                        a.notify_one();
                        b.notified().await;
                    }
                    a.notify_one();
                }
            };
            // Without a budget, which would send the pair to the back of the queue by itself.
            let pair =
                [rt.spawn(tokio::task::unconstrained(first)), rt.spawn(tokio::task::unconstrained(second))];
            let came = rt.block_on(async { timeout(FAIR, rx).await });
            stop.store(true, SeqCst);
            rt.block_on(async {
                for task in pair {
                    timeout(LIMIT, task).await.unwrap().unwrap();
                }
            });
            assert!(came.is_ok(), "starved");
        });
    }

    #[test]
    fn of_the_block_on_future_by_its_tasks() {
        within_limit(|| {
            let rt = current_thread();
            let stop = Arc::new(AtomicBool::new(false));
            let storm = storm(&rt, 50, &stop);
            rt.block_on(async {
                let mut timer = pin!(sleep(Duration::from_millis(5)));
                timeout(FAIR, &mut timer).await.expect("starved");
                for _ in 0..50 {
                    yield_now().await;
                }
                stop.store(true, SeqCst);
                for task in storm {
                    task.await.unwrap();
                }
            });
        });
    }
}
