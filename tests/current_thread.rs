//! The `current_thread` scheduler: who drives it, who may wake it, what is left when it stops.

use std::future::{Future, pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::task::yield_now;

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// H64: to begin and to end costs a system call for no socket. Counted in processor time of this thread, where
/// it was ten thousand times as much once.
#[test]
fn h64_many_block_ons_beside_many_sockets() {
    const SOCKETS: usize = 400;

    let cost = |sockets: usize| {
        let rt = current_thread();
        let _sockets = rt.block_on(async {
            let mut kept = Vec::new();
            for _ in 0..sockets {
                let (mut ours, theirs) = tokio::net::UnixStream::pair().unwrap();
                tokio::spawn(async move { ours.read_u8().await });
                kept.push(theirs);
            }
            yield_now().await;
            kept
        });
        let now = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let before = now();
        for _ in 0..500 {
            rt.block_on(async {});
        }
        let after = now();
        (after.tv_sec - before.tv_sec) * 1_000_000_000 + (after.tv_nsec - before.tv_nsec)
    };
    let (none, many) = (cost(0), cost(SOCKETS));
    assert!(many < 50 * none, "{none} ns beside none, {many} ns beside {SOCKETS}");
}

/// H20: two threads take turns in `block_on`, over sockets made by a third.
#[test]
fn threads_alternate_with_a_live_stream() {
    const ROUNDS: usize = 500;

    let rt = Arc::new(current_thread());
    let (mut here, mut there) = rt.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connect = TcpStream::connect(listener.local_addr().unwrap());
        let (accepted, connected) = futures::join!(listener.accept(), connect);
        (accepted.unwrap().0, connected.unwrap())
    });

    let echo = {
        let rt = rt.clone();
        thread::spawn(move || {
            for _ in 0..ROUNDS {
                rt.block_on(async {
                    let mut byte = [0];
                    there.read_exact(&mut byte).await.unwrap();
                    there.write_all(&byte).await.unwrap();
                });
            }
        })
    };
    for round in 0..ROUNDS {
        rt.block_on(async {
            let sent = [round as u8];
            let mut received = [0];
            here.write_all(&sent).await.unwrap();
            here.read_exact(&mut received).await.unwrap();
            assert_eq!(sent, received);
        });
    }
    echo.join().unwrap();
}

/// H20: whoever waits takes over when the driving thread is done.
#[test]
fn a_waiting_thread_takes_over() {
    let rt = Arc::new(current_thread());
    let (first_tx, first_rx) = oneshot::channel::<()>();
    let (second_tx, second_rx) = oneshot::channel::<()>();

    let driving = {
        let rt = rt.clone();
        thread::spawn(move || rt.block_on(first_rx).unwrap())
    };
    let waiting = {
        let rt = rt.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            rt.block_on(second_rx).unwrap();
        })
    };

    thread::sleep(Duration::from_millis(40));
    first_tx.send(()).unwrap();
    driving.join().unwrap();
    // Only a driven scheduler runs this.
    rt.spawn(async move {
        tokio::time::sleep(Duration::from_millis(5)).await;
        second_tx.send(()).unwrap();
    });
    waiting.join().unwrap();
}

/// The second `block_on` polls its own future although it does not drive.
#[test]
fn a_thread_that_does_not_drive_finishes_by_itself() {
    let rt = Arc::new(current_thread());
    let (done_tx, done_rx) = oneshot::channel::<()>();
    let driving = {
        let rt = rt.clone();
        thread::spawn(move || rt.block_on(done_rx).unwrap())
    };
    thread::sleep(Duration::from_millis(20));
    assert_eq!(rt.block_on(async { 7 }), 7);
    done_tx.send(()).unwrap();
    driving.join().unwrap();
}

/// H33: a panic of the future leaves the scheduler as it was.
#[test]
fn the_scheduler_outlives_a_panic() {
    let rt = current_thread();
    let task = rt.spawn(async {
        yield_now().await;
        3
    });
    for _ in 0..3 {
        let panicked = catch_unwind(AssertUnwindSafe(|| rt.block_on(async { panic!("boom") })));
        assert!(panicked.is_err());
    }
    assert_eq!(rt.block_on(task).unwrap(), 3);
}

/// H36: no wake-up from another thread is lost, whenever it comes.
#[test]
fn no_wake_up_is_lost() {
    const MESSAGES: u64 = 50_000;

    let rt = current_thread();
    let (tx, mut rx) = mpsc::unbounded_channel();
    let (ack_tx, ack_rx) = std::sync::mpsc::channel();
    let sender = thread::spawn(move || {
        for message in 0..MESSAGES {
            tx.send(message).unwrap();
            // Now and then the receiver falls asleep in between.
            if message % 64 == 0 {
                ack_rx.recv().unwrap();
            }
        }
    });
    let sum = rt.block_on(async move {
        let task = tokio::spawn(async move {
            let mut sum = 0;
            while let Some(message) = rx.recv().await {
                sum += message;
                if message % 64 == 0 {
                    ack_tx.send(()).unwrap();
                }
            }
            sum
        });
        task.await.unwrap()
    });
    assert_eq!(sum, MESSAGES * (MESSAGES - 1) / 2);
    sender.join().unwrap();
}

/// H36: the same for the future of `block_on` itself.
#[test]
fn no_wake_up_of_the_block_on_future_is_lost() {
    let rt = current_thread();
    for round in 0..2_000u64 {
        let (tx, rx) = oneshot::channel();
        let sender = thread::spawn(move || {
            for _ in 0..(round % 50) * 20 {
                std::hint::spin_loop();
            }
            tx.send(round).unwrap();
        });
        assert_eq!(rt.block_on(rx).unwrap(), round);
        sender.join().unwrap();
    }
}

/// H37: a destructor that spawns while the runtime is dropped; each future is dropped once.
#[test]
fn destructors_may_spawn_in_vain() {
    struct Spawner(Arc<AtomicUsize>, Handle);
    impl Drop for Spawner {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
            drop(tokio::spawn(pending::<()>()));
            drop(self.1.spawn(pending::<()>()));
        }
    }

    let rt = current_thread();
    let drops = Arc::new(AtomicUsize::new(0));
    let spawn = || {
        let spawner = Spawner(drops.clone(), rt.handle().clone());
        rt.spawn(async move {
            let _spawner = spawner;
            pending::<()>().await;
        });
    };
    (0..10).for_each(|_| spawn());
    rt.block_on(yield_now());
    // These are never polled.
    (0..10).for_each(|_| spawn());
    drop(rt);
    assert_eq!(drops.load(SeqCst), 20);
}

/// H34: wakers and handles outlive the runtime.
#[test]
fn handles_and_wakers_after_the_runtime() {
    let rt = current_thread();
    let (waker_tx, waker_rx) = std::sync::mpsc::channel();
    let task = rt.spawn(poll_fn::<(), _>(move |cx| {
        waker_tx.send(cx.waker().clone()).unwrap();
        Poll::Pending
    }));
    rt.block_on(yield_now());
    let handle = rt.handle().clone();
    drop(rt);

    waker_rx.recv().unwrap().wake();
    task.abort();
    let late = handle.spawn(async {});
    let rt = current_thread();
    assert!(rt.block_on(task).unwrap_err().is_cancelled());
    assert!(rt.block_on(late).unwrap_err().is_cancelled());
}

/// H40: a task that always finds something gives way, and so does the future of `block_on`.
#[test]
fn each_poll_has_a_budget() {
    fn endless() -> (mpsc::UnboundedSender<()>, impl Future<Output = usize>) {
        let (tx, mut rx) = mpsc::unbounded_channel();
        (0..1_000).for_each(|_| tx.send(()).unwrap());
        let received = async move {
            let mut count = 0;
            poll_fn(|cx| {
                while rx.poll_recv(cx).is_ready() {
                    count += 1;
                }
                Poll::Ready(())
            })
            .await;
            count
        };
        (tx, received)
    }

    let rt = current_thread();
    let (_tx, received) = endless();
    assert_eq!(rt.block_on(received), 128);
    for _ in 0..3 {
        let (_tx, received) = endless();
        assert_eq!(rt.block_on(rt.spawn(received)).unwrap(), 128);
    }
}

/// H40: a storm of yields does not keep a timer or a thread's wake-up out.
#[test]
fn a_yield_storm_is_no_obstacle() {
    let rt = current_thread();
    for _ in 0..10 {
        rt.spawn(async {
            loop {
                yield_now().await;
            }
        });
    }
    let (tx, rx) = oneshot::channel();
    let sender = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        tx.send(()).unwrap();
    });
    rt.block_on(async {
        rx.await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
    });
    sender.join().unwrap();
}

#[test]
fn park_hooks_come_in_pairs() {
    let hooks = Arc::new(AtomicUsize::new(0));
    let (parks, parked) = std::sync::mpsc::channel();
    let rt = Builder::new_current_thread()
        .on_thread_park({
            let hooks = hooks.clone();
            move || {
                assert_eq!(hooks.fetch_add(1, SeqCst) % 2, 0);
                let _ = parks.send(());
            }
        })
        .on_thread_unpark({
            let hooks = hooks.clone();
            move || assert_eq!(hooks.fetch_add(1, SeqCst) % 2, 1)
        })
        .build()
        .unwrap();
    rt.block_on(async {
        // There is nothing to do here before that.
        let slow = move || parked.recv_timeout(Duration::from_secs(20));
        tokio::task::spawn_blocking(slow).await.unwrap().expect("nobody parks");
    });
    let hooks = hooks.load(SeqCst);
    assert!(hooks >= 2 && hooks % 2 == 0, "{hooks}");
}

/// H41: many tasks, and the stack does not grow with them.
#[test]
fn many_tasks_are_dropped_flat() {
    const TASKS: usize = 100_000;

    struct Count(Arc<AtomicUsize>);
    impl Drop for Count {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    let rt = current_thread();
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..TASKS {
        let count = Count(drops.clone());
        rt.spawn(async move {
            let _count = count;
            pending::<()>().await;
        });
    }
    assert_eq!(rt.metrics().num_alive_tasks(), TASKS);
    drop(rt);
    assert_eq!(drops.load(SeqCst), TASKS);
}
