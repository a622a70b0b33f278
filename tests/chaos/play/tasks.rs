//! Timers, trees of tasks, and tasks that stay on their thread.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::super::ledger::{End, Guard, Stop};
use super::run::{Boxed, Place, join, noise, panic_as_meant};
use super::tokio;
use super::tokio::runtime::{Builder, Handle};
use super::tokio::sync::{mpsc, oneshot};
use super::tokio::task::{JoinSet, LocalSet, spawn_local, yield_now};
use super::tokio::time::{self, MissedTickBehavior, Sleep, interval, sleep, timeout};
use crate::check;

fn pause(rng: &mut Rng) -> Duration {
    Duration::from_micros(rng.u64(..super::super::plan::one(&mut rng.clone(), &[10, 1_000, 12_000])))
}

/// None is early.
async fn timer(place: Place, mut rng: Rng) -> End {
    let began = Instant::now();
    let least = pause(&mut rng);
    place.step("waiting for a timer");
    match rng.u32(..6) {
        0 => sleep(least).await,
        1 => {
            // Begun here, awaited by another task.
            let mut timer: Pin<Box<Sleep>> = Box::pin(sleep(least));
            if rng.bool() {
                let _ = timeout(Duration::ZERO, timer.as_mut()).await;
            }
            place.spawn(timer).await?;
        }
        2 => {
            let mut timer = Box::pin(sleep(Duration::from_secs(1_000)));
            let _ = timeout(pause(&mut rng), timer.as_mut()).await;
            timer.as_mut().reset(time::Instant::from_std(began + least));
            timer.await;
        }
        3 => {
            let over = timeout(least, std::future::pending::<()>()).await;
            check!(over.is_err(), "what never ends did");
        }
        4 => {
            let mut ticks = interval(least.max(Duration::from_micros(1)) / 3 + Duration::from_nanos(1));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for _ in 0..4 {
                ticks.tick().await;
            }
        }
        _ => {
            let many: Vec<_> =
                (0..rng.u32(..200)).map(|_| Box::pin(sleep(Duration::from_secs(500)))).collect();
            for mut timer in many {
                let _ = timeout(Duration::ZERO, timer.as_mut()).await;
            }
            sleep(least).await;
        }
    }
    check!(began.elapsed() >= least, "{:?} early", least - began.elapsed());
    noise(&place, &mut rng).await
}

pub async fn timers(place: Place, mut rng: Rng) -> End {
    let some: Vec<_> = (0..rng.u32(1..30)).map(|_| place.spawn(timer(place.clone(), rng.fork()))).collect();
    for timer in some {
        join(timer).await?;
    }
    Ok(())
}

/// A task and those below it; returns how many there were.
fn branch(place: Place, mut rng: Rng, depth: u32) -> Boxed<Result<u64, Stop>> {
    Box::pin(async move {
        let mut sum = 1;
        if depth == 0 {
            noise(&place, &mut rng).await?;
            return Ok(sum);
        }
        let mut set = JoinSet::new();
        let is_cut = rng.u32(..8) == 0;
        for _ in 0..rng.u32(..4) {
            let guard = place.guard();
            let below = branch(if is_cut { place.cut() } else { place.clone() }, rng.fork(), depth - 1);
            set.spawn(async move {
                let _guard = guard;
                below.await
            });
        }
        let forgotten: Guard = place.guard();
        match rng.u32(..5) {
            0 => {
                let panics = place.spawn(async { panic_as_meant() });
                check!(panics.await.is_err_and(|e| e.is_panic()), "a panic got lost");
            }
            1 => {
                let guard = place.guard();
                let task = tokio::spawn(async move {
                    let _guard = guard;
                    std::future::pending::<()>().await;
                });
                let abort = task.abort_handle();
                std::thread::spawn(move || abort.abort());
                check!(task.await.is_err_and(|e| e.is_cancelled()), "aborted elsewhere, and not cancelled");
            }
            2 => drop(place.spawn(async move {
                yield_now().await;
                drop(forgotten);
            })),
            _ => {}
        }
        if is_cut {
            noise(&place, &mut rng).await?;
            set.abort_all();
            while let Some(ended) = set.join_next().await {
                match ended {
                    Ok(n) => sum += n?,
                    Err(e) => check!(e.is_cancelled(), "{e}"),
                }
            }
        } else {
            while let Some(ended) = set.join_next().await {
                sum += ended??;
                noise(&place, &mut rng).await?;
            }
        }
        Ok(sum)
    })
}

pub async fn tree(place: Place, mut rng: Rng) -> End {
    place.step("growing a tree");
    let depth = rng.u32(1..5);
    let tasks = join(place.spawn(branch(place.clone(), rng, depth))).await?;
    check!(tasks > 0, "no tasks");
    Ok(())
}

/// What is done in a `LocalSet`: tasks that are not `Send`, woken from elsewhere.
async fn locals(place: Place, mut rng: Rng) -> End {
    let count = Rc::new(Cell::new(0));
    let tasks = rng.u32(1..10);
    let mut handles = Vec::new();
    for _ in 0..tasks {
        let (count, guard, mut rng) = (count.clone(), place.guard(), rng.fork());
        let (tx, rx) = oneshot::channel();
        let (to, mut from) = mpsc::channel(1);
        let elsewhere = place.spawn(async move {
            let _ = tx.send(());
            for n in 0..3 {
                if to.send(n).await.is_err() {
                    return;
                }
            }
        });
        handles.push(spawn_local(async move {
            let _guard = guard;
            let _ = rx.await;
            for n in 0..3 {
                check!(from.recv().await == Some(n), "not message {n}");
                match rng.u32(..4) {
                    0 => yield_now().await,
                    1 => sleep(Duration::from_micros(rng.u64(..500))).await,
                    2 => spawn_local(async {}).await?,
                    _ => {}
                }
            }
            elsewhere.await?;
            count.set(count.get() + 1);
            End::Ok(())
        }));
    }
    // These are dropped with the set.
    for _ in 0..rng.u32(..5) {
        let (count, guard) = (count.clone(), place.guard());
        drop(spawn_local(async move {
            let (_guard, _count) = (guard, count);
            std::future::pending::<()>().await
        }));
    }
    for handle in handles {
        handle.await??;
    }
    check!(count.get() == tasks, "{} of {tasks} tasks were run", count.get());
    Ok(())
}

pub async fn local_set(place: Place, mut rng: Rng) -> End {
    let (inner, way, handle) = (place.clone(), rng.u32(..3), Handle::current());
    place.step("a local set");
    place
        .block(move || {
            let local = LocalSet::new();
            let scene = locals(inner.clone(), rng);
            match way {
                0 => handle.block_on(local.run_until(scene)),
                1 => Builder::new_current_thread().enable_all().build()?.block_on(local.run_until(scene)),
                _ => {
                    let rt = Builder::new_current_thread().enable_all().build()?;
                    local.block_on(&rt, scene)
                }
            }
        })
        .await?
}
