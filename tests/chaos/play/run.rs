//! Runs a program. This folder is compiled for each runtime; `tokio` is the one.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use super::super::ledger::{self, Guard, Ledger, Stop};
use super::super::plan::{self, Entry, Fate, Kind, Part, Plan, Workers};
use super::tokio::runtime::{Builder, Handle, Runtime};
use super::tokio::task::{JoinHandle, LocalSet, block_in_place, consume_budget, spawn_blocking, yield_now};
use super::tokio::time::{sleep, timeout};
use super::{across, lines, os, serve, sync, tasks, tokio};

pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Where a part is.
#[derive(Clone)]
pub struct Place {
    pub ledger: Arc<Ledger>,
    pub plan: Arc<Plan>,
    number: usize,
    /// It may still be there when the runtime is shut down.
    is_cut: bool,
    /// The runtime is being shut down: errors mean nothing any more.
    ending: Arc<AtomicBool>,
}

impl Place {
    pub fn step(&self, step: &'static str) {
        self.ledger.step(self.number, step);
    }

    pub fn guard(&self) -> Guard {
        Guard::new(&self.ledger)
    }

    /// Spawns a task that is counted.
    pub fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let guard = self.guard();
        tokio::spawn(async move {
            let _guard = guard;
            future.await
        })
    }

    /// Runs a closure that is counted on a thread for blocking work.
    pub fn block<T: Send + 'static>(&self, f: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let guard = self.guard();
        spawn_blocking(move || {
            let _guard = guard;
            f()
        })
    }

    /// For tasks that nobody waits for.
    pub fn cut(&self) -> Place {
        Place { is_cut: true, ..self.clone() }
    }

    fn may_block_in_place(&self) -> bool {
        self.plan.workers != Workers::CurrentThread
    }
}

/// What a task of a part ended with.
pub async fn join<T>(task: JoinHandle<Result<T, Stop>>) -> Result<T, Stop> {
    task.await?
}

fn micros(rng: &mut Rng, most: u64) -> Duration {
    Duration::from_micros(rng.u64(..most))
}

/// How long code blocks that should not: mostly for a moment.
fn block(rng: &mut Rng) -> Duration {
    let most = if rng.u32(..50) == 0 { 20_000 } else { 1_500 };
    micros(rng, most)
}

/// Does something that may get in the way of the others, or nothing.
pub async fn noise(place: &Place, rng: &mut Rng) -> Result<(), Stop> {
    match rng.u32(..48) {
        0..4 => yield_now().await,
        4..7 => sleep(micros(rng, 2_000)).await,
        7 | 8 => thread::sleep(block(rng)),
        9 if place.may_block_in_place() => block_in_place(|| thread::sleep(block(rng))),
        // Of a runtime whose only worker does this when it is shut down nobody turns the driver any more. This waits
        // for ever then, on Tokio as well.
        10 if place.may_block_in_place() && !place.is_cut => {
            let pause = micros(rng, 2_000);
            block_in_place(|| Handle::current().block_on(sleep(pause)));
        }
        11 if place.may_block_in_place() => block_in_place(|| {
            let rt = Builder::new_current_thread().enable_all().build()?;
            // A timer of its own, not of the runtime around it.
            rt.block_on(async { sleep(micros(rng, 1_000)).await });
            Ok::<_, Stop>(())
        })?,
        12 => {
            let pause = block(rng);
            place.block(move || thread::sleep(pause)).await?;
        }
        13 => {
            let (pause, handle) = (micros(rng, 1_000), Handle::current());
            // Of a current-thread runtime somebody else has to turn the driver: that is so.
            place.block(move || handle.block_on(sleep(pause))).await?;
        }
        14 => {
            let seed = rng.u64(..);
            place.block(move || small_runtime(seed)).await??;
        }
        15 => {
            let over = timeout(micros(rng, 1_000), std::future::pending::<()>()).await;
            if over.is_ok() {
                return Err("what never ends did".into());
            }
        }
        16 => {
            tokio::select! {
                () = sleep(micros(rng, 1_000)) => {}
                () = sleep(Duration::from_secs(3_600)) => return Err("an hour is over".into()),
            }
        }
        17 => {
            let task = place.spawn(std::future::pending::<()>());
            if rng.bool() {
                yield_now().await;
            }
            task.abort();
            if !task.await.is_err_and(|e| e.is_cancelled()) {
                return Err("an aborted task is not cancelled".into());
            }
        }
        18 => {
            let n = rng.u32(..);
            if place.spawn(async move { n }).await? != n {
                return Err("another task's result".into());
            }
        }
        19 => {
            for _ in 0..rng.u32(..300) {
                consume_budget().await;
            }
        }
        20 => {
            for _ in 0..rng.u32(..200) {
                yield_now().await;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Builds a runtime, lets it do little, and shuts it down.
fn small_runtime(seed: u64) -> Result<(), Stop> {
    let rng = &mut Rng::with_seed(seed);
    let rt = if rng.bool() {
        Builder::new_current_thread().enable_all().build()?
    } else {
        Builder::new_multi_thread().worker_threads(rng.usize(1..3)).enable_all().build()?
    };
    let pause = micros(rng, 500);
    rt.block_on(async move {
        tokio::spawn(async {});
        tokio::spawn(sleep(pause)).await
    })?;
    if rng.bool() {
        rt.spawn(std::future::pending::<()>());
    }
    shut_down(rt, plan::one(rng, &[plan::End::Drop, plan::End::Timeout(1), plan::End::Background]));
    Ok(())
}

fn play(place: Place, part: Part) -> Boxed<Result<(), Stop>> {
    let rng = Rng::with_seed(part.seed);
    match part.kind {
        Kind::Line => Box::pin(lines::play(place, rng)),
        Kind::Serve => Box::pin(serve::play(place, rng)),
        Kind::Files => Box::pin(os::files(place, rng)),
        Kind::Children => Box::pin(os::children(place, rng)),
        Kind::Signals => Box::pin(os::signals(place, rng)),
        Kind::Timers => Box::pin(tasks::timers(place, rng)),
        Kind::Tree => Box::pin(tasks::tree(place, rng)),
        Kind::LocalSet => Box::pin(tasks::local_set(place, rng)),
        Kind::Sync => Box::pin(sync::play(place, rng)),
        Kind::Threads => Box::pin(sync::threads(place, rng)),
        Kind::Runtimes => Box::pin(across::runtimes(place, rng)),
        Kind::Sharing => Box::pin(across::sharing(place, rng)),
        Kind::Proxy => Box::pin(across::proxy(place, rng)),
        Kind::Descriptors => Box::pin(across::descriptors(place, rng)),
        Kind::Nested => Box::pin(nested(place, rng)),
    }
}

async fn nested(place: Place, mut rng: Rng) -> Result<(), Stop> {
    let plan = Plan::nested(rng.u64(..));
    let ledger = place.ledger.clone();
    place.step("a runtime inside");
    place.block(move || run(&plan, &ledger)).await?;
    Ok(())
}

/// A part, to its end or to where it is cut.
async fn fare(place: Place, part: Part) {
    let _guard = place.guard();
    let whole = || {
        let (place, part, guard) = (place.clone(), part.clone(), place.guard());
        async move {
            let _guard = guard;
            let kind = part.kind;
            let end = play(place.clone(), part).await;
            match end {
                Err(Stop(why)) if !place.ending.load(SeqCst) => {
                    place.ledger.fail(format!("{kind:?} in {}: {why}", place.plan.seed));
                }
                _ => {}
            }
            place.ledger.over(place.number);
        }
    };
    match part.fate {
        Fate::Ends => {
            // Unless it panicked, which is written down already.
            if tokio::spawn(whole()).await.is_err_and(|e| e.is_cancelled()) {
                place.ledger.fail(format!("{:?} in {} was cancelled", part.kind, place.plan.seed));
            }
        }
        Fate::Aborted(after) => {
            let task = tokio::spawn(whole());
            sleep(Duration::from_micros(after)).await;
            task.abort();
            let _ = task.await;
        }
        Fate::Dropped(after) => {
            let limit = Duration::from_micros(after);
            let _ = tokio::spawn(timeout(limit, whole())).await;
        }
        Fate::Left => drop(tokio::spawn(whole())),
    }
    if part.fate.is_cut() {
        place.ledger.over(place.number);
    }
}

fn build(plan: &Plan) -> Runtime {
    let mut builder = match plan.workers {
        Workers::CurrentThread => Builder::new_current_thread(),
        Workers::Multi(n) => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(n);
            builder
        }
    };
    if let Some(interval) = plan.event_interval {
        builder.event_interval(interval);
    }
    if let Some(n) = plan.blocking_threads {
        builder.max_blocking_threads(n);
    }
    builder.thread_name("chaos").enable_all().build().expect("no runtime")
}

/// Runs the program to its end.
pub fn run(plan: &Plan, ledger: &Arc<Ledger>) {
    let rt = build(plan);
    let ending = Arc::new(AtomicBool::new(false));
    let plan = Arc::new(plan.clone());
    let parts = plan.parts.iter().map(|part| {
        let number = ledger.place(format!("{:?} in {}", part.kind, plan.seed));
        let place = Place {
            ledger: ledger.clone(),
            plan: plan.clone(),
            number,
            is_cut: part.fate.is_cut(),
            ending: ending.clone(),
        };
        fare(place, part.clone())
    });
    let together = |tasks: Vec<JoinHandle<()>>| async {
        for task in tasks {
            let _ = task.await;
        }
    };
    match plan.entry {
        Entry::Once => rt.block_on(async { together(parts.map(tokio::spawn).collect()).await }),
        Entry::Again => {
            for part in parts {
                rt.block_on(part);
            }
        }
        Entry::Entered => {
            let tasks = {
                let _entered = rt.enter();
                parts.map(tokio::spawn).collect()
            };
            let (end, ended) = mpsc::channel();
            let all = rt.spawn(async move {
                together(tasks).await;
                let _ = end.send(());
            });
            if plan.workers == Workers::CurrentThread {
                rt.block_on(all).expect("waits for all");
            }
            ended.recv().expect("all have ended");
        }
        Entry::Threads => {
            let (end, mut ended) = tokio::sync::mpsc::channel::<()>(1);
            let threads: Vec<_> = parts
                .map(|part| {
                    let (handle, end) = (rt.handle().clone(), end.clone());
                    thread::spawn(move || {
                        handle.block_on(part);
                        drop(end);
                    })
                })
                .collect();
            drop(end);
            rt.block_on(ended.recv());
            for thread in threads {
                let _ = thread.join();
            }
        }
        Entry::Local => {
            let local = LocalSet::new();
            local.block_on(&rt, async {
                let parts: Vec<_> = parts.map(super::tokio::task::spawn_local).collect();
                together(parts).await;
            });
        }
    }
    ending.store(true, SeqCst);
    ledger.end();
    shut_down(rt, plan.end);
}

pub fn shut_down(rt: Runtime, end: plan::End) {
    match end {
        plan::End::Drop => drop(rt),
        plan::End::Timeout(millis) => rt.shutdown_timeout(Duration::from_millis(millis)),
        plan::End::Background => rt.shutdown_background(),
        plan::End::OnAThread => thread::spawn(move || drop(rt)).join().expect("a runtime is dropped"),
        plan::End::Inside => {
            let handle = rt.handle().clone();
            drop(handle.spawn_blocking(move || rt.shutdown_background()));
        }
    }
}

/// A panic that is meant.
pub fn panic_as_meant() -> ! {
    ledger::panic_as_meant()
}
