//! The thread that runs what is spawned on the published Tokio: it is there when there is something to run.
//!
//! With `interop` see `tests/interop_thread.rs`.
#![cfg(not(feature = "interop"))]

#[path = "common/mod.rs"]
mod common;
#[path = "common/threads.rs"]
mod threads;

use std::thread;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use common::*;
use threads::*;

/// `unshare(CLONE_NEWUSER)` and the like are for programs of one thread. In the child the test has one of its own.
#[test]
fn a_runtime_of_one_thread_starts_none() {
    in_a_child("a_runtime_of_one_thread_starts_none", || {
        let before = thread_count();
        current_thread().block_on(async {
            sleep(Duration::from_millis(1)).await;
            tokio::spawn(async {}).await.unwrap();
            assert_eq!(thread_count(), before);
        });
        let rt = multi_thread(2);
        rt.block_on(async {
            tokio::spawn(async { tokio::task::block_in_place(|| ()) }).await.unwrap();
            sleep(Duration::from_millis(1)).await;
        });
        assert!(thread_names().iter().all(|name| name != "spargio-host"));
    });
}

/// What a crate spawns that is bound to the published Tokio runs all the same, whoever waits for it.
#[test]
fn what_is_spawned_on_the_published_tokio_runs() {
    for scene in ["current_thread", "multi_thread", "handle", "busy"] {
        let name = "what_is_spawned_on_the_published_tokio_runs";
        in_a_child_with(name, &[("HOST_SCENE", scene.into())], || {
            let spawned = async {
                let task = upstream::spawn(async {
                    upstream::task::yield_now().await;
                    thread::current().name().map(str::to_owned)
                });
                timeout(LONG, task).await.expect("it does not run").unwrap()
            };
            let thread = match &*std::env::var("HOST_SCENE").unwrap() {
                "current_thread" => current_thread().block_on(spawned),
                // Never asleep.
                "busy" => current_thread().block_on(async {
                    let task = upstream::spawn(async { thread::current().name().map(str::to_owned) });
                    while !task.is_finished() {
                        tokio::task::yield_now().await;
                    }
                    task.await.unwrap()
                }),
                "multi_thread" => multi_thread(2).block_on(async { tokio::spawn(spawned).await.unwrap() }),
                _ => multi_thread(1).handle().clone().block_on(spawned),
            };
            assert_eq!(thread.as_deref(), Some("spargio-host"));
        });
    }
}
