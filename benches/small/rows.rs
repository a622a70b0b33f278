// What is measured. `small.rs` compiles this file twice: once where `tokio` is the published Tokio,
// once where it is spargio.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use self::tokio::runtime::{Builder, Handle, Runtime};
use self::tokio::sync::{Notify, Semaphore, mpsc};
use self::tokio::task::{LocalSet, yield_now};
use self::tokio::time::{Instant, sleep};

pub struct Subject(Runtime);

fn build(workers: usize) -> Runtime {
    let mut builder = match workers {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder.worker_threads(workers.max(1)).enable_all();
    builder.build().expect("no runtime")
}

/// A runtime is built and dropped, `n` times.
pub fn build_and_drop(n: u64, workers: usize) {
    (0..n).for_each(|_| drop(build(workers)));
}

/// The same, and it runs a task meanwhile.
pub fn build_spawn_and_drop(n: u64, workers: usize) {
    for _ in 0..n {
        let runtime = build(workers);
        runtime.block_on(async { tokio::spawn(async {}).await.expect("the task failed") });
    }
}

/// `hosts` hosts of a simulated network, each with a runtime whose clock is paused, and tasks of its own that wait
/// for timers. Time goes on for one after the other in `ticks` steps, `n` times.
pub fn simulate(n: u64, hosts: usize, ticks: usize) {
    for _ in 0..n {
        let mut network: Vec<_> = (0..hosts)
            .map(|_| {
                let mut builder = Builder::new_current_thread();
                let runtime = builder.enable_time().start_paused(true).build().expect("no runtime");
                let tasks = LocalSet::new();
                let _guard = runtime.enter();
                tasks.spawn_local(async {
                    loop {
                        sleep(Duration::from_millis(3)).await;
                    }
                });
                drop(_guard);
                (runtime, tasks)
            })
            .collect();
        for _ in 0..ticks {
            for (runtime, tasks) in &mut network {
                runtime.block_on(async {
                    tasks.run_until(sleep(Duration::from_millis(1))).await;
                });
            }
        }
    }
}

impl Subject {
    /// With no workers, a `current_thread` runtime.
    pub fn new(workers: usize) -> Subject {
        Subject(build(workers))
    }

    pub fn block_on_ready(&self, n: u64) {
        (0..n).for_each(|_| self.0.block_on(async {}));
    }

    pub fn block_on_yield(&self, n: u64) {
        (0..n).for_each(|_| self.0.block_on(yield_now()));
    }

    pub fn block_on_set(&self, n: u64) {
        let tasks = LocalSet::new();
        (0..n).for_each(|_| tasks.block_on(&self.0, async {}));
    }

    /// As Tokio's own `time_now_current_thread`.
    pub fn now(&self, n: u64) {
        (0..n).for_each(|_| {
            black_box(self.0.block_on(async { Instant::now() }));
        });
    }

    /// As Tokio's own `basic_scheduler_spawn`.
    pub fn block_on_spawned(&self, n: u64) {
        for _ in 0..n {
            self.0.block_on(async {
                tokio::spawn(async { black_box(1 + 1) }).await.expect("the task failed");
            });
        }
    }

    /// As its `basic_scheduler_spawn10`.
    pub fn block_on_spawned_10(&self, n: u64) {
        for _ in 0..n {
            self.0.block_on(async {
                let tasks: Vec<_> = (0..10).map(|_| tokio::spawn(async { black_box(1 + 1) })).collect();
                for task in tasks {
                    task.await.expect("the task failed");
                }
            });
        }
    }

    /// Six permits, taken and given back in one `block_on`.
    pub fn permits(&self, n: u64) {
        let permits = Semaphore::new(10);
        for _ in 0..n {
            self.0.block_on(async {
                for _ in 0..6 {
                    drop(permits.acquire().await);
                }
            });
        }
    }

    /// Six tasks that take one of `room` permits, wait a turn with it if `held`, and give it back.
    pub fn permits_of_tasks(&self, n: u64, room: usize, held: bool) {
        let permits = Arc::new(Semaphore::new(room));
        for _ in 0..n {
            self.0.block_on(async {
                let task = || {
                    let permits = permits.clone();
                    tokio::spawn(async move {
                        let permit = permits.acquire().await;
                        if held {
                            yield_now().await;
                        }
                        drop(permit);
                    })
                };
                let tasks: [_; 6] = std::array::from_fn(|_| task());
                for task in tasks {
                    task.await.expect("the task failed");
                }
            });
        }
    }

    /// A thread that is none of the runtime's wakes `waiters` tasks one by one, until `n` wake-ups were taken.
    pub fn notify_one(&self, n: u64, waiters: usize) {
        let notify = Arc::new(Notify::new());
        let taken = Arc::new(AtomicUsize::new(0));
        let tasks: Vec<_> = (0..waiters)
            .map(|_| {
                let (notify, taken) = (notify.clone(), taken.clone());
                self.0.spawn(async move {
                    loop {
                        notify.notified().await;
                        taken.fetch_add(1, Relaxed);
                    }
                })
            })
            .collect();
        while taken.load(Relaxed) < n as usize {
            notify.notify_one();
        }
        tasks.iter().for_each(|task| task.abort());
    }

    /// Tasks come from outside, in crowds, while the workers are busy with tasks that yield.
    pub fn spawn_beside_yields(&self, n: u64, crowd: usize, workers: usize) {
        self.spawn_busy(n, crowd, workers, |runs, _| async move {
            while runs.load(Relaxed) {
                yield_now().await;
            }
        });
    }

    /// As Tokio's own `spawn_many_remote_busy2`: the workers are busy with tasks that spawn their successors.
    pub fn spawn_beside_spawns(&self, n: u64, crowd: usize, workers: usize) {
        fn go_on(runs: Arc<AtomicBool>, on: Handle) {
            on.clone().spawn(async move {
                if runs.load(Relaxed) {
                    go_on(runs, on);
                }
            });
        }
        self.spawn_busy(n, crowd, workers, |runs, on| async { go_on(runs, on) });
    }

    fn spawn_busy<F>(&self, n: u64, crowd: usize, workers: usize, busy: impl Fn(Arc<AtomicBool>, Handle) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runs = Arc::new(AtomicBool::new(true));
        for _ in 0..2 * workers {
            self.0.spawn(busy(runs.clone(), self.0.handle().clone()));
        }
        let mut tasks = Vec::with_capacity(crowd);
        for _ in 0..n {
            tasks.extend((0..crowd).map(|_| self.0.spawn(async {})));
            self.0.block_on(async {
                for task in tasks.drain(..) {
                    task.await.expect("the task failed");
                }
            });
        }
        runs.store(false, Relaxed);
    }

    /// `n` messages from task to task.
    pub fn messages(&self, n: u64) {
        let (sender, mut receiver) = mpsc::channel(1000);
        self.0.block_on(async {
            let sends = tokio::spawn(async move {
                for i in 0..n {
                    sender.send(i).await.expect("the receiver is gone");
                }
            });
            let receives = tokio::spawn(async move { while receiver.recv().await.is_some() {} });
            sends.await.expect("the sender failed");
            receives.await.expect("the receiver failed");
        });
    }

    /// So many tasks sleep, each for a time of its own, within `spread`.
    pub fn timers(&self, timers: u32, spread: Duration) {
        self.0.block_on(async {
            let tasks: Vec<_> =
                (0..timers).map(|i| tokio::spawn(sleep(spread * i / timers))).collect();
            for task in tasks {
                task.await.expect("the task failed");
            }
        });
    }
}
