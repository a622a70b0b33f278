//! What `--cfg tokio_unstable` unlocks, beyond what Tokio's own suite looks at.
//!
//! `RUSTFLAGS='--cfg tokio_unstable' cargo test --features full,taskdump --test unstable`
#![cfg(tokio_unstable)]

use spargio::runtime::{Builder, RngSeed};

/// A runtime with a seed has a host of its own, whose thread takes a seed, too: always the first one.
/// When it was chance whether it came first, this failed within a few rounds.
#[test]
fn equal_seeds_choose_alike() {
    /// A 0 or a 1 at random, by way of what a program would use.
    async fn choose() -> u8 {
        spargio::select! {
            () = async {} => 0,
            () = async {} => 1,
        }
    }

    fn choices(builder: &mut Builder) -> Vec<u8> {
        let rt = builder.build().unwrap();
        let mut choices = Vec::new();
        for _ in 0..4 {
            rt.block_on(async {
                for _ in 0..16 {
                    choices.push(choose().await);
                }
            });
        }
        choices
    }

    let seeded = || {
        let mut builder = Builder::new_current_thread();
        builder.rng_seed(RngSeed::from_bytes(b"seed"));
        builder
    };
    let mut builder = seeded();
    let first = choices(&mut builder);
    let second = choices(&mut builder);
    assert_ne!(first, second, "the second runtime of a builder chooses otherwise");
    for _ in 0..200 {
        let mut builder = seeded();
        assert_eq!(choices(&mut builder), first);
        assert_eq!(choices(&mut builder), second);
    }
}

#[cfg(feature = "taskdump")]
mod dump {
    use super::Builder;

    use spargio::runtime::{Handle, LocalOptions};
    use std::future::pending;
    use std::time::Duration;

    /// Where a task waits; its name is in the trace.
    #[inline(never)]
    async fn the_place() {
        spargio::time::sleep(Duration::from_secs(3600)).await;
        pending::<()>().await;
    }

    /// The trace begins in the task, goes to its end, and shows nothing of who polls it.
    #[track_caller]
    fn assert_ends_with_its_task(trace: &str) {
        assert!(trace.contains("the_place"), "{trace}");
        for outside in ["scheduler", "block_on", "runtime::task", "Dump"] {
            assert!(!trace.contains(outside), "{outside} is not part of the task:\n{trace}");
        }
    }

    async fn traces(count: usize) -> Vec<String> {
        spargio::task::yield_now().await;
        let dump = Handle::current().dump().await;
        let traces: Vec<_> = dump.tasks().iter().map(|task| task.trace().to_string()).collect();
        assert_eq!(traces.len(), count);
        traces
    }

    #[test]
    fn a_task_ends_its_trace_however_it_was_spawned() {
        async fn scene() {
            drop(spargio::spawn(the_place()));
            drop(Handle::current().spawn(the_place()));
            drop(spargio::task::Builder::new().name("named").spawn(the_place()).unwrap());
            let mut set = spargio::task::JoinSet::new();
            set.spawn(the_place());
            let shard = Handle::current().shards().next().unwrap();
            drop(Handle::current().remote(shard).unwrap().spawn_stealable(the_place()));
            for trace in traces(5).await {
                assert_ends_with_its_task(&trace);
            }
        }

        Builder::new_current_thread().enable_all().build().unwrap().block_on(scene());
        Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(scene());
    }

    #[test]
    fn a_task_of_a_local_runtime_ends_its_trace() {
        let mut builder = Builder::new_current_thread();
        let rt = builder.enable_all().build_local(LocalOptions::default()).unwrap();
        rt.block_on(async {
            drop(spargio::task::spawn_local(the_place()));
            drop(rt.spawn_local(the_place()));
            for trace in traces(2).await {
                assert_ends_with_its_task(&trace);
            }
        });
    }
}
