// What is measured. `tasks.rs` compiles this file twice: once where `tokio` is the published Tokio,
// once where it is spargio.

use std::thread;

use self::tokio::runtime::{Builder, Runtime};
use self::tokio::sync::mpsc;
use self::tokio::task::yield_now;

/// A runtime, and how many of its tasks to spawn at a time.
pub struct Subject(Runtime);

impl Subject {
    /// With no workers, a `current_thread` runtime.
    pub fn new(workers: usize) -> Subject {
        let mut builder = match workers {
            0 => Builder::new_current_thread(),
            _ => Builder::new_multi_thread(),
        };
        Subject(
            builder
                .worker_threads(workers.max(1))
                .enable_all()
                .build()
                .expect("no runtime"),
        )
    }

    /// Runs `task` as a task.
    fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0
            .block_on(async { tokio::spawn(task).await.expect("a task failed") });
    }

    /// Spawns a task and waits for it, `n` times.
    pub fn spawn_and_join(&self, n: u64) {
        self.run(async move {
            for _ in 0..n {
                tokio::spawn(async {}).await.expect("a task failed");
            }
        });
    }

    /// Spawns `tasks` tasks, then waits for each, `n` times.
    pub fn spawn_many(&self, n: u64, tasks: usize) {
        self.run(async move {
            let mut handles = Vec::with_capacity(tasks);
            for _ in 0..n {
                handles.extend((0..tasks).map(|_| tokio::spawn(async {})));
                for handle in handles.drain(..) {
                    handle.await.expect("a task failed");
                }
            }
        });
    }

    pub fn yields(&self, n: u64) {
        self.run(async move {
            for _ in 0..n {
                yield_now().await;
            }
        });
    }

    /// Two tasks send each other a message, `n` times.
    pub fn ping_pong(&self, n: u64) {
        self.run(async move {
            let (there, inbox) = mpsc::channel(1);
            let (back, answers) = mpsc::channel(1);
            tokio::spawn(pong(inbox, back));
            ping(n, there, answers).await;
        });
    }

    /// The same between a task and the future of `block_on`.
    pub fn ping_pong_with_main(&self, n: u64) {
        let (there, inbox) = mpsc::channel(1);
        let (back, answers) = mpsc::channel(1);
        self.0.spawn(pong(inbox, back));
        self.0.block_on(ping(n, there, answers));
    }

    /// The same between two tasks that stay on their threads: each has a runtime of its own.
    pub fn ping_pong_apart(&self, other: &Subject, n: u64) {
        let (there, inbox) = mpsc::channel(1);
        let (back, answers) = mpsc::channel(1);
        thread::scope(|scope| {
            scope.spawn(|| other.run(pong(inbox, back)));
            self.run(ping(n, there, answers));
        });
    }

    /// `n` batches of messages to a task on another thread; waits until it has taken them all.
    #[allow(dead_code, reason = "asked of Tokio only; for spargio there is `shards.rs`")]
    pub fn batches_apart(&self, other: &Subject, n: u64, batch: u64) {
        let room = 1024;
        let (there, mut inbox) = mpsc::channel(room);
        thread::scope(|scope| {
            scope.spawn(|| {
                other.run(async move {
                    let mut messages = Vec::with_capacity(room);
                    while inbox.recv_many(&mut messages, room).await > 0 {
                        messages.clear();
                    }
                });
            });
            self.run(async move {
                for i in 0..n {
                    let permits = there.reserve_many(batch as usize).await;
                    let permits = permits.expect("the other task is gone");
                    for (permit, message) in permits.zip(i * batch..) {
                        permit.send(message);
                    }
                }
            });
        });
    }

    /// A thread that belongs to no runtime wakes a task, which lets it know, `n` times.
    pub fn woken_by_thread(&self, n: u64) {
        let (wake, mut wakes) = mpsc::unbounded_channel();
        let (again, orders) = std::sync::mpsc::channel();
        let thread = thread::spawn(move || {
            while orders.recv().is_ok() {
                if wake.send(()).is_err() {
                    break;
                }
            }
        });
        self.run(async move {
            for _ in 0..n {
                again.send(()).expect("the thread is gone");
                wakes.recv().await.expect("the thread is gone");
            }
        });
        thread.join().expect("the thread failed");
    }
}

async fn ping(n: u64, there: mpsc::Sender<u64>, mut answers: mpsc::Receiver<u64>) {
    for i in 0..n {
        there.send(i).await.expect("the other task is gone");
        assert_eq!(answers.recv().await, Some(i));
    }
}

async fn pong(mut inbox: mpsc::Receiver<u64>, back: mpsc::Sender<u64>) {
    while let Some(i) = inbox.recv().await {
        if back.send(i).await.is_err() {
            return;
        }
    }
}
