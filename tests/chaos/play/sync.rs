//! Locks and channels, with waiters that give up; and threads that are no runtime's.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::super::ledger::{End, Stop};
use super::lines;
use super::run::{Place, join, noise};
use super::tokio;
use super::tokio::net::TcpStream;
use super::tokio::runtime::Handle;
use super::tokio::sync::{Barrier, Mutex, Notify, RwLock, Semaphore, broadcast, mpsc, oneshot, watch};
use super::tokio::time::timeout;
use crate::check;

fn moment(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.u64(..400))
}

pub async fn play(place: Place, mut rng: Rng) -> End {
    let tasks = rng.usize(1..8);
    let rounds = rng.u64(1..20);
    place.step("locks");
    match rng.u32(..5) {
        0 => {
            let (mutex, lock, permits) =
                (Arc::new(Mutex::new(0)), Arc::new(RwLock::new(0)), Arc::new(Semaphore::new(2)));
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let (mutex, lock, permits) = (mutex.clone(), lock.clone(), permits.clone());
                    let (place, mut rng) = (place.clone(), rng.fork());
                    let own = place.clone();
                    place.spawn(async move {
                        let mut done = 0;
                        while done < rounds {
                            let _permit = permits.acquire().await?;
                            let Ok(mut n) = timeout(moment(&mut rng), mutex.lock()).await else { continue };
                            noise(&own, &mut rng).await?;
                            *n += 1;
                            *lock.write().await += 1;
                            drop(n);
                            let _ = timeout(moment(&mut rng), lock.read()).await;
                            done += 1;
                        }
                        End::Ok(())
                    })
                })
                .collect();
            for task in all {
                join(task).await?;
            }
            let total = tasks as u64 * rounds;
            check!((*mutex.lock().await, *lock.read().await) == (total, total), "not {total} times");
        }
        1 => {
            let barrier = Arc::new(Barrier::new(tasks));
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let (barrier, own, mut rng) = (barrier.clone(), place.clone(), rng.fork());
                    place.spawn(async move {
                        let mut leader = 0;
                        for _ in 0..rounds {
                            noise(&own, &mut rng).await?;
                            leader += u64::from(barrier.wait().await.is_leader());
                        }
                        Ok::<_, Stop>(leader)
                    })
                })
                .collect();
            let mut leaders = 0;
            for task in all {
                leaders += join(task).await?;
            }
            check!(leaders == rounds, "{leaders} leaders in {rounds} rounds");
        }
        2 => {
            let (ping, pong) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
            let (heard, answer, own, mut noises) = (ping.clone(), pong.clone(), place.clone(), rng.fork());
            let task = place.spawn(async move {
                for _ in 0..rounds {
                    while timeout(moment(&mut noises), heard.notified()).await.is_err() {}
                    noise(&own, &mut noises).await?;
                    answer.notify_one();
                }
                End::Ok(())
            });
            for _ in 0..rounds {
                ping.notify_one();
                noise(&place, &mut rng).await?;
                pong.notified().await;
            }
            join(task).await?;
        }
        3 => {
            let (tx, rx) = watch::channel(0);
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let (mut rx, own, mut rng) = (rx.clone(), place.clone(), rng.fork());
                    place.spawn(async move {
                        let mut last = 0;
                        while last < rounds {
                            let changed = timeout(moment(&mut rng), rx.changed()).await;
                            if changed.is_ok() {
                                let now = *rx.borrow_and_update();
                                check!(now > last, "{now} after {last}");
                                last = now;
                            }
                            noise(&own, &mut rng).await?;
                        }
                        End::Ok(())
                    })
                })
                .collect();
            for n in 1..=rounds {
                tx.send(n)?;
                noise(&place, &mut rng).await?;
            }
            for task in all {
                join(task).await?;
            }
        }
        _ => {
            let (tx, _) = broadcast::channel(64);
            let all: Vec<_> = (0..tasks)
                .map(|_| {
                    let (mut rx, own, mut rng) = (tx.subscribe(), place.clone(), rng.fork());
                    place.spawn(async move {
                        for n in 0..rounds {
                            let received = loop {
                                if let Ok(received) = timeout(moment(&mut rng), rx.recv()).await {
                                    break received?;
                                }
                            };
                            check!(received == n, "{received} instead of {n}");
                            noise(&own, &mut rng).await?;
                        }
                        End::Ok(())
                    })
                })
                .collect();
            for n in 0..rounds {
                tx.send(n)?;
                noise(&place, &mut rng).await?;
            }
            for task in all {
                join(task).await?;
            }
        }
    }
    Ok(())
}

/// Has a thread do it, and waits for the thread.
async fn on_a_thread<T: Send + 'static>(
    place: &Place,
    f: impl FnOnce() -> Result<T, Stop> + Send + 'static,
) -> Result<T, Stop> {
    let (tx, rx) = oneshot::channel();
    let guard = place.guard();
    thread::spawn(move || {
        let _guard = guard;
        let _ = tx.send(f());
    });
    rx.await?
}

pub async fn threads(place: Place, mut rng: Rng) -> End {
    for _ in 0..rng.u32(1..6) {
        match rng.u32(..5) {
            0 => {
                place.step("block_on elsewhere");
                let (handle, own, mut rng) = (Handle::current(), place.clone(), rng.fork());
                on_a_thread(&place, move || {
                    handle.block_on(async move {
                        let (mut tx, mut rx) = lines::piece(&mut rng).await?;
                        let mut noises = rng.fork();
                        let own = &own;
                        let sends = async move {
                            noise(own, &mut noises).await?;
                            tx.send(vec![0; 12], &mut noises).await?;
                            tx.finish(&mut noises).await
                        };
                        let receives = async {
                            check!(rx.recv(&mut rng).await? == Some(vec![0; 12]), "another message");
                            check!(rx.recv(&mut rng).await?.is_none(), "one more");
                            End::Ok(())
                        };
                        let (sent, received) = tokio::join!(sends, receives);
                        sent?;
                        received
                    })
                })
                .await?;
            }
            1 => {
                place.step("blocking channels");
                let (tx, mut rx) = mpsc::channel(1);
                let (to, mut from) = mpsc::channel(1);
                let there = place.guard();
                thread::spawn(move || {
                    let _guard = there;
                    while let Some(n) = rx.blocking_recv() {
                        if to.blocking_send(n).is_err() {
                            break;
                        }
                    }
                });
                for n in 0..rng.u32(..30) {
                    tx.send(n).await?;
                    noise(&place, &mut rng).await?;
                    check!(from.recv().await == Some(n), "not {n}");
                }
            }
            2 => {
                place.step("spawned from elsewhere");
                let (handle, own) = (Handle::current(), place.clone());
                let task = on_a_thread(&place, move || {
                    let _entered = handle.enter();
                    Ok(own.spawn(async { 7 }))
                });
                check!(task.await?.await? == 7, "another result");
            }
            3 => {
                // Dropped on a thread, which then reads the peer to its end; whatever became of the worker.
                place.step("a stream dropped elsewhere");
                let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
                let ours = TcpStream::connect(listener.local_addr()?).await?;
                let mut theirs = listener.accept()?.0;
                let _ = timeout(moment(&mut rng), ours.readable()).await;
                let reads = move || {
                    drop(ours);
                    Ok(std::io::Read::read(&mut theirs, &mut [0])?)
                };
                let joined = if rng.bool() {
                    // This blocks the thread of the task.
                    thread::spawn(reads).join().map_err(|_| "a drop panicked")?
                } else {
                    on_a_thread(&place, reads).await
                };
                check!(joined? == 0, "more than the end");
            }
            _ => {
                place.step("woken from elsewhere");
                let (tx, rx) = oneshot::channel();
                let pause = moment(&mut rng);
                thread::spawn(move || {
                    thread::sleep(pause);
                    let _ = tx.send(());
                });
                rx.await?;
            }
        }
    }
    Ok(())
}
