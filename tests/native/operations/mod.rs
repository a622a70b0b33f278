//! Every operation: done, given up at each point of its life, and at the end of its runtime.
//!
//! The operations are those of [`table`]; that it has all of them is checked in [`documented`].

mod documented;
mod scene;
mod table;

use std::path::PathBuf;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use futures::poll;
use tokio::runtime::{Builder, Handle, Runtime};

use super::common::{LONG, in_a_child};
use super::is_emulated;
use scene::Scene;
use table::{Operation, operations};

/// At which point of its life an operation is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// It has been polled; no ring was entered since.
    Unsubmitted,
    /// The kernel has it.
    InFlight,
    /// The kernel has it, and what it waits for has just happened.
    Racing,
    /// It is over, but nobody has been told yet.
    Unreaped,
}

fn runtimes() -> [Runtime; 2] {
    // Whoever waits for one thread of the pool has waited for all of it.
    let built = |mut builder: Builder| builder.enable_all().max_blocking_threads(1).build().unwrap();
    let mut workers = Builder::new_multi_thread();
    workers.worker_threads(2);
    [built(Builder::new_current_thread()), built(workers)]
}

/// How many operations with this opcode the kernel has.
fn in_flight(opcode: u8) -> u32 {
    let handle = Handle::current();
    handle.shards().map(|shard| handle.remote(shard).unwrap().stats().in_flight(opcode)).sum()
}

/// Those of any opcode.
fn all_in_flight() -> Vec<(u8, u32)> {
    let handle = Handle::current();
    handle
        .shards()
        .flat_map(|shard| handle.remote(shard).unwrap().stats().all_in_flight().collect::<Vec<_>>())
        .collect()
}

/// What this process has open. Not rings, eventfds and the like, which runtimes open at times.
fn descriptors() -> Vec<PathBuf> {
    let fds = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let files = fds.flat_map(|fd| std::fs::read_link(fd.path()));
    files.filter(|to| !to.to_string_lossy().starts_with("anon_inode:")).collect()
}

async fn tick() {
    tokio::time::sleep(Duration::from_micros(500)).await;
}

/// Waits for `condition`, having `meanwhile` done again and again.
async fn eventually(what: String, mut meanwhile: impl FnMut(), mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "{what}: not within {LONG:?}");
        meanwhile();
        tick().await;
    }
}

impl Operation {
    /// Does a ring do it here?
    fn is_ringed(&self) -> bool {
        // Others read what somebody has brought along: no read of it is in the kernel's hands.
        let is_theirs = self.name.starts_with("Fd::read");
        !is_theirs && !is_emulated() && tokio::native::caps().supports(self.opcode.1)
    }

    /// Sees to it that it need not wait for anything.
    fn feed(&self, scene: &Scene) {
        if let Some(feed) = self.waits_for {
            feed(scene);
        }
    }

    /// Does it, from the beginning to the end.
    async fn complete(&self, scene: &Scene) {
        (self.begin)(scene);
        let mut running = (self.run)(scene);
        let start = Instant::now();
        while poll!(&mut running).is_pending() {
            assert!(start.elapsed() < LONG, "{}: hangs", self.name);
            self.feed(scene);
            tick().await;
        }
    }

    /// Begins with it; it is where it should be.
    async fn begun<'a>(&self, scene: &'a Scene) -> table::Running<'a> {
        (self.begin)(scene);
        let mut running = (self.run)(scene);
        let is_done = poll!(&mut running).is_ready();
        let expected = u32::from(self.is_ringed());
        assert_eq!(in_flight(self.opcode.1), expected, "{}: that many are on a ring", self.name);
        if is_done {
            assert!(expected == 0 && self.waits_for.is_none(), "{}: is done at once", self.name);
            return Box::pin(async {});
        }
        running
    }

    async fn dropped(&self, scene: &Scene, when: When) {
        let home = std::thread::current().id();
        let running = self.begun(scene).await;
        match when {
            When::Unsubmitted => {}
            When::InFlight | When::Racing => {
                tokio::task::yield_now().await;
                tick().await;
                // A pipe that would block is an error to `SPLICE`, after which readiness is waited for.
                if self.is_ringed() && self.waits_for.is_some() && self.name != "splice" {
                    assert_eq!(in_flight(self.opcode.1), 1, "{}: the kernel has it", self.name);
                }
                if when == When::Racing {
                    self.feed(scene);
                }
            }
            When::Unreaped => {
                let is_over = || self.is_endless() || in_flight(self.opcode.1) == 0;
                tick().await;
                self.feed(scene);
                eventually(format!("{}: ends", self.name), || self.feed(scene), is_over).await;
                tick().await;
            }
        }
        let alive = scene.alive();
        drop(running);
        // Elsewhere the cancel goes by mail, and may be over by now.
        let is_home = std::thread::current().id() == home;
        if self.is_ringed() && self.waits_for.is_some() && when == When::InFlight && is_home {
            assert_eq!(scene.alive(), alive, "{}: the kernel has the buffers", self.name);
        }
        self.settled(scene).await;
    }

    /// A stream of results goes on until it is dropped.
    fn is_endless(&self) -> bool {
        self.name.ends_with("_multi")
    }

    /// Nothing is left of it, and it has happened or not.
    async fn settled(&self, scene: &Scene) {
        let pool_is_done = async {
            // What the pool had begun may need this to end.
            let fence = tokio::task::spawn_blocking(|| ());
            eventually(
                format!("{}: leaves the pool", self.name),
                || self.feed(scene),
                || fence.is_finished(),
            )
            .await;
        };
        pool_is_done.await;
        let nothing = || all_in_flight().is_empty() && scene.alive() == 0;
        eventually(format!("{}: nothing is left", self.name), || {}, nothing).await;
        (self.after)(scene);
    }
}

/// Runs `case` for each operation on each flavour; no descriptor is left.
fn for_each_operation(case: fn(&'static Operation, Scene) -> table::Running<'static>) {
    for runtime in runtimes() {
        let run = |operation: &'static Operation| {
            runtime.block_on(async {
                let scene = Scene::new().await;
                tokio::spawn(tokio::time::timeout(2 * LONG, case(operation, scene)))
                    .await
                    .unwrap_or_else(|e| panic!("{}: {e}", operation.name))
                    .unwrap_or_else(|_| panic!("{} hangs", operation.name));
            });
        };
        // A kernel without `RWF_NOSIGNAL` (before Linux 6.18) refuses it once, and that write is begun anew.
        runtime.block_on(async {
            let (writer, _reader) = tokio::net::unix::pipe::pipe().unwrap();
            writer.native().write(vec![0]).await.0.unwrap();
        });
        // What a runtime opens when it is first used.
        run(&operations()[0]);
        for operation in operations() {
            let before = descriptors().len();
            run(operation);
            let start = Instant::now();
            while descriptors().len() > before {
                assert!(
                    start.elapsed() < LONG,
                    "{}: more than {before}: {:?}",
                    operation.name,
                    descriptors()
                );
                runtime.block_on(tick());
            }
        }
    }
}

#[test]
fn each_is_done_on_its_lane() {
    in_a_child("operations::each_is_done_on_its_lane", || {
        for_each_operation(|operation, scene| {
            Box::pin(async move {
                drop(operation.begun(&scene).await);
                operation.settled(&scene).await;
                operation.complete(&scene).await;
                operation.settled(&scene).await;
            })
        });
    });
}

/// Dropped at `when`; after that the objects are as good as new.
fn each_can_be_dropped(test: &str, case: fn(&'static Operation, Scene) -> table::Running<'static>) {
    in_a_child(test, || for_each_operation(case));
}

async fn dropped_then_done(operation: &Operation, scene: Scene, when: When) {
    operation.dropped(&scene, when).await;
    operation.complete(&scene).await;
    operation.settled(&scene).await;
}

#[test]
fn each_dropped_before_it_is_submitted() {
    each_can_be_dropped("operations::each_dropped_before_it_is_submitted", |operation, scene| {
        Box::pin(dropped_then_done(operation, scene, When::Unsubmitted))
    });
}

#[test]
fn each_dropped_in_flight() {
    each_can_be_dropped("operations::each_dropped_in_flight", |operation, scene| {
        Box::pin(dropped_then_done(operation, scene, When::InFlight))
    });
}

#[test]
fn each_dropped_when_it_may_be_done() {
    each_can_be_dropped("operations::each_dropped_when_it_may_be_done", |operation, scene| {
        Box::pin(dropped_then_done(operation, scene, When::Racing))
    });
}

#[test]
fn each_dropped_when_it_is_done() {
    each_can_be_dropped("operations::each_dropped_when_it_is_done", |operation, scene| {
        Box::pin(dropped_then_done(operation, scene, When::Unreaped))
    });
}

#[test]
fn a_runtime_ends_with_each_in_flight() {
    in_a_child("operations::a_runtime_ends_with_each_in_flight", || {
        let mut most = 0;
        for (i, operation) in operations().iter().enumerate() {
            for runtime in runtimes() {
                let alive = runtime.block_on(async {
                    let scene = Scene::new().await;
                    let alive = scene.alive.clone();
                    let (begun, has_begun) = tokio::sync::oneshot::channel();
                    tokio::spawn(async move {
                        let running = operation.begun(&scene).await;
                        // What a thread of the pool has begun is waited for.
                        if is_emulated() {
                            operation.feed(&scene);
                        }
                        tokio::task::yield_now().await;
                        begun.send(()).unwrap();
                        running.await;
                    });
                    has_begun.await.unwrap();
                    alive
                });
                drop(runtime);
                assert_eq!(alive.load(SeqCst), 0, "{}", operation.name);
                // Rings of this thread are kept for its next runtime.
                if i == 0 {
                    most = most.max(descriptors().len());
                }
                let start = Instant::now();
                while descriptors().len() > most {
                    assert!(
                        start.elapsed() < LONG,
                        "{}: more than {most}: {:?}",
                        operation.name,
                        descriptors()
                    );
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        }
    });
}
