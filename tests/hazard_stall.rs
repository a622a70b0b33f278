//! One blocked worker must not hold up the others' sockets and timers: hazard H22.

use std::io::{Read, Write};
use std::mem;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::mpsc::RecvTimeoutError;
use std::task::Poll;
use std::thread;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::shard;

const CLIENTS: usize = 8;
/// How long a worker is kept busy at the most, while nobody else gets on: far longer than anything here
/// takes, even on a busy machine. Tokio's other workers take its driver meanwhile.
const BUSY: Duration = Duration::from_secs(20);
/// So much everybody has to do until then.
const ROUNDS: usize = 50;

async fn serve(listener: TcpListener) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let mut buf = [0; 64];
            while let Ok(n @ 1..) = stream.read(&mut buf).await {
                if stream.write_all(&buf[..n]).await.is_err() {
                    break;
                }
            }
        });
    }
}

/// Round trips until told to stop, counted.
fn client(addr: SocketAddr, stop: &AtomicBool, count: &AtomicUsize) {
    let mut stream = StdStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    while !stop.load(Relaxed) {
        stream.write_all(&[1; 16]).unwrap();
        stream.read_exact(&mut [0; 16]).unwrap();
        count.fetch_add(1, Relaxed);
        thread::sleep(Duration::from_millis(2));
    }
}

/// Echoes and ticks on a runtime of two workers while one of them runs `block`, which goes on until what
/// it is given says that everybody has got on; several times.
fn everybody_gets_on_while(block: fn(&dyn Fn() -> bool)) {
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    rt.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let stop = Arc::new(AtomicBool::new(false));
        // The clients' round trips, and ticks.
        let counts: Arc<[AtomicUsize]> = (0..=CLIENTS).map(|_| AtomicUsize::new(0)).collect();
        let tick = tokio::spawn({
            let (stop, counts) = (stop.clone(), counts.clone());
            async move {
                while !stop.load(Relaxed) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    counts[CLIENTS].fetch_add(1, Relaxed);
                }
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|i| {
                let (stop, counts) = (stop.clone(), counts.clone());
                thread::spawn(move || client(addr, &stop, &counts[i]))
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            let counts = counts.clone();
            let blocks = async move {
                let start = Instant::now();
                let before: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
                let done = || counts.iter().zip(&before).map(|(now, before)| now.load(Relaxed) - before);
                block(&|| done().all(|done| done >= ROUNDS) || start.elapsed() > BUSY);
                let done: Vec<_> = done().collect();
                assert!(done.iter().all(|&done| done >= ROUNDS), "{done:?} in {:?}", start.elapsed());
            };
            tokio::spawn(blocks).await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.store(true, Relaxed);
        for client in clients {
            client.join().unwrap();
        }
        tick.await.unwrap();
    })
}

fn sleep_until(done: &dyn Fn() -> bool) {
    while !done() {
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn h22_a_busy_worker_holds_nobody_up() {
    everybody_gets_on_while(|done| {
        while !done() {
            std::hint::spin_loop();
        }
    });
}

#[test]
fn h22_a_worker_that_sleeps_holds_nobody_up() {
    everybody_gets_on_while(sleep_until);
}

#[test]
fn h22_block_in_place_holds_nobody_up() {
    everybody_gets_on_while(|done| tokio::task::block_in_place(|| sleep_until(done)));
}

/// The thread in `block_on` has no ring: its sockets are watched by some worker, which may be the busy one.
#[test]
fn h22_a_busy_worker_does_not_hold_up_the_thread_in_block_on() {
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (told, begun) = std::sync::mpsc::channel();
    let (is_over, over) = std::sync::mpsc::channel::<()>();
    let busy = rt.spawn(async move {
        told.send(()).unwrap();
        // Until the other end is dropped.
        over.recv_timeout(BUSY)
    });
    begun.recv().unwrap();
    rt.block_on(async {
        // The workers are asked in turn.
        for _ in 0..8 {
            let (mut ours, theirs) = tokio::net::UnixStream::pair().unwrap();
            let mut theirs = theirs.into_std().unwrap();
            let writer = thread::spawn(move || {
                thread::sleep(Duration::from_millis(10));
                theirs.write_all(b"x").unwrap();
                theirs
            });
            ours.read_u8().await.unwrap();
            drop(writer.join().unwrap());
        }
    });
    drop(is_over);
    let waited = rt.block_on(busy).unwrap();
    assert_eq!(waited, Err(RecvTimeoutError::Disconnected), "it took as long as the worker was busy");
}

/// A sibling waits for a stalled worker's sockets with `poll(2)`, which holds their files.
#[test]
fn h22_an_address_is_free_although_a_sibling_looks_after_it() {
    const LISTENERS: usize = 300;
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let [.., high, low] = std::process::id().to_be_bytes();
    let rebound = rt.block_on(async move {
        tokio::spawn(async move {
            let mut rebound = 0;
            for _ in 0..LISTENERS {
                let listener =
                    TcpListener::bind((std::net::Ipv4Addr::new(127, 79, high, low), 0)).await.unwrap();
                let addr = listener.local_addr().unwrap();
                // Waited for, by a waker that stays there.
                std::future::poll_fn(|cx| {
                    assert!(listener.poll_accept(cx).is_pending());
                    std::task::Poll::Ready(())
                })
                .await;
                tokio::task::yield_now().await;
                // Long enough to count as stalled.
                thread::sleep(Duration::from_micros(3500));
                drop(listener);
                drop(std::net::TcpListener::bind(addr).unwrap());
                rebound += 1;
            }
            rebound
        })
        .await
        .unwrap()
    });
    assert_eq!(rebound, LISTENERS);
}

/// The worker itself is the only one: its sockets go to the thread that takes its place.
#[test]
fn h22_block_in_place_of_the_only_worker() {
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let got = rt.block_on(async {
        tokio::spawn(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let (mut sleeper, mut ours) =
                (StdStream::connect(addr).unwrap(), listener.accept().await.unwrap().0);
            // Armed on this worker's ring, and waited for by a task that is not blocked.
            let (tell, told) = std::sync::mpsc::channel();
            let waiter = tokio::spawn(async move {
                tell.send(ours.read_u8().await.unwrap()).unwrap();
                ours
            });
            tokio::time::sleep(Duration::from_millis(5)).await;
            let got = tokio::task::block_in_place(|| {
                sleeper.write_all(b"x").unwrap();
                told.recv_timeout(BUSY)
            });
            let ours = waiter.await.unwrap();
            // The poll left on the blocked ring does not pin the file for ever.
            drop(ours);
            assert_eq!(sleeper.read(&mut [0]).unwrap(), 0);
            got
        })
        .await
        .unwrap()
    });
    assert_eq!(got, Ok(b'x'), "the other task waits until it is over");
}

/// What is waited for within `block_in_place` is watched by whoever took the shard over.
#[test]
fn h22_sockets_and_timers_within_block_in_place() {
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let within = async {
        let (mut ours, mut peer) = tokio::net::UnixStream::pair().unwrap();
        let answer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            peer.write_all(b"x").await.unwrap();
            peer.read_u8().await.unwrap()
        });
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
        tokio::time::sleep(Duration::from_millis(20)).await;
        ours.write_all(b"y").await.unwrap();
        assert_eq!(answer.await.unwrap(), b'y');
    };
    rt.block_on(async {
        let task = tokio::spawn(async {
            tokio::task::block_in_place(|| {
                // The other thread is there by now.
                thread::sleep(Duration::from_millis(20));
                tokio::runtime::Handle::current().block_on(within)
            })
        });
        tokio::time::timeout(BUSY, task).await.expect("nobody watches").unwrap();
    });
}

/// The thread that took the shard over sleeps; it must be told of a timer that is due before it wakes.
#[test]
fn h22_timers_within_block_in_place_wake_who_took_the_shard_over() {
    let rt = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    rt.block_on(async {
        let task = tokio::spawn(async {
            tokio::task::block_in_place(|| {
                let rt = tokio::runtime::Handle::current();
                for _ in 0..5 {
                    // The other thread is asleep by now.
                    thread::sleep(Duration::from_millis(20));
                    rt.block_on(async { tokio::time::sleep(Duration::from_millis(5)).await });
                }
            })
        });
        tokio::time::timeout(BUSY, task).await.expect("nobody fires them").unwrap();
    });
}

/// A runtime of `n` workers all but one of which are stuck, so long that the last one sleeps for long; and how
/// to end that.
fn all_but_one_stuck(n: usize) -> (tokio::runtime::Runtime, Arc<AtomicBool>) {
    let rt = Builder::new_multi_thread().worker_threads(n).enable_all().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    for _ in 1..n {
        let (begun, begins) = std::sync::mpsc::channel();
        let stop = stop.clone();
        rt.spawn(async move {
            begun.send(()).unwrap();
            sleep_until(&|| stop.load(Relaxed));
        });
        begins.recv().unwrap();
    }
    thread::sleep(Duration::from_millis(300));
    (rt, stop)
}

/// Most of these shards are stuck workers', whose siblings look for themselves once a second.
const NEWS: usize = 60;
const NEWS_LIMIT: Duration = Duration::from_secs(4);

/// H74: whoever sleeps on behalf of stuck siblings is woken for their timers.
#[test]
fn h74_timers_of_stuck_workers_are_set_from_outside() {
    let (rt, stop) = all_but_one_stuck(4);
    let start = Instant::now();
    rt.block_on(async {
        for _ in 0..NEWS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let elapsed = start.elapsed();
    stop.store(true, Relaxed);
    assert!(elapsed < NEWS_LIMIT, "{NEWS} timers took {elapsed:?}");
}

/// How long a task waits that this one spawns, and that cannot run on this thread.
fn until_another_runs() -> Duration {
    let start = Instant::now();
    let (ran, runs) = std::sync::mpsc::channel();
    tokio::spawn(async move { ran.send(()).unwrap() });
    runs.recv_timeout(BUSY).expect("it does not run");
    start.elapsed()
}

/// H74: and for tasks that they wake: those come first, with the worker that is stuck.
#[test]
fn h74_a_stuck_worker_wakes_tasks_every_now_and_then() {
    let rt = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let task = rt.spawn(async {
        let mut waited = Duration::ZERO;
        for _ in 0..8 {
            thread::sleep(Duration::from_millis(400));
            waited += until_another_runs();
        }
        waited
    });
    let waited = rt.block_on(task).unwrap();
    assert!(waited < Duration::from_millis(400), "eight tasks waited for {waited:?}");
}

/// H74: also while its sibling is about to lie down on its behalf.
#[test]
fn h74_a_stuck_worker_wakes_tasks_while_its_sibling_lies_down() {
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let task = rt.spawn(async {
        let mut longest = Duration::ZERO;
        for round in 0..2000 {
            // A sibling looks for it after one millisecond, and lies down after another one.
            let start = Instant::now();
            let moment = Duration::from_micros(900 + round % 250 * 10);
            while start.elapsed() < moment {
                std::hint::spin_loop();
            }
            longest = longest.max(until_another_runs());
        }
        longest
    });
    let longest = rt.block_on(task).unwrap();
    assert!(longest < Duration::from_millis(500), "a task waited for {longest:?}");
}

/// H74: and for tasks that wake themselves when it goes on for a moment.
#[test]
fn h74_a_task_of_a_stuck_worker_wakes_itself() {
    let rt = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let task = rt.spawn(async {
        let here = shard::current().unwrap();
        // Comes next, and nobody else may have it.
        shard::spawn_pinned(here, async { thread::sleep(Duration::from_secs(1)) });
        thread::sleep(Duration::from_millis(400));
        let start = Instant::now();
        let mut is_woken = false;
        std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            if mem::replace(&mut is_woken, true) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        start.elapsed()
    });
    let waited = rt.block_on(task).unwrap();
    assert!(waited < Duration::from_millis(100), "the task waited for {waited:?}");
}

/// H74: two that are stuck at once are both served.
#[test]
fn h74_a_timer_of_each_stuck_worker() {
    let rt = Builder::new_multi_thread().worker_threads(3).enable_all().build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (fired, fires) = std::sync::mpsc::channel();
    let barrier = Arc::new(std::sync::Barrier::new(2));
    for n in 0..2 {
        let (stop, fired, barrier) = (stop.clone(), fired.clone(), barrier.clone());
        rt.spawn(async move {
            // Both are on workers of their own, with a timer there.
            barrier.wait();
            let mut timer = Box::pin(tokio::time::sleep(Duration::from_millis(50)));
            let _ = futures::poll!(&mut timer);
            let timer = tokio::spawn(async move {
                timer.await;
                fired.send(n).unwrap();
            });
            barrier.wait();
            tokio::task::yield_now().await;
            sleep_until(&|| stop.load(Relaxed));
            timer.await.unwrap();
        });
    }
    let mut got: Vec<_> = (0..2).filter_map(|_| fires.recv_timeout(Duration::from_secs(5)).ok()).collect();
    stop.store(true, Relaxed);
    got.sort_unstable();
    assert_eq!(got, [0, 1]);
}
