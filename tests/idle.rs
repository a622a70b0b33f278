//! A runtime with nothing to do does nothing.

#[path = "common/mod.rs"]
mod common;

use std::fs;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use common::*;

/// Context switches so far, of each thread of the process but this one.
fn switches() -> Vec<(String, u64)> {
    let me = rustix::thread::gettid().as_raw_nonzero().get().to_string();
    let tasks = fs::read_dir("/proc/self/task").unwrap().flatten();
    let others = tasks.filter(|task| task.file_name().to_str() != Some(&me));
    others
        .map(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap();
            let lines = status.lines().filter(|line| line.contains("ctxt_switches"));
            let switches =
                lines.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum();
            let name = status.lines().next().unwrap().trim_start_matches("Name:").trim().to_owned();
            (name, switches)
        })
        .collect()
}

#[test]
fn four_workers_and_1000_idle_connections_use_no_cpu() {
    const CONNECTIONS: usize = 1000;

    in_a_child("four_workers_and_1000_idle_connections_use_no_cpu", || {
        limit_descriptors(4096);
        let rt = multi_thread(4);
        let handle = rt.handle().clone();
        let peers = rt.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let mut peers = Vec::new();
            for _ in 0..CONNECTIONS {
                let (peer, accepted) = tokio::join!(TcpStream::connect(addr), listener.accept());
                let (mut stream, _) = accepted.unwrap();
                handle.spawn(async move { while let Ok(1..) = stream.read(&mut [0; 64]).await {} });
                peers.push(peer.unwrap().into_std().unwrap());
            }
            peers
        });
        eventually("all of them wait", || armed_polls() >= CONNECTIONS);
        // The last one to run has been looked after for a few milliseconds, or longer on a busy machine.
        eventually("all of them sleep", || {
            let before = switches();
            std::thread::sleep(Duration::from_millis(500));
            switches() == before
        });
        let before = switches();
        std::thread::sleep(Duration::from_secs(3));
        let after = switches();
        assert!(before.iter().filter(|(name, _)| name == "tokio-rt-worker").count() >= 4, "{before:?}");
        let woken: Vec<_> = after.iter().filter(|thread| !before.contains(thread)).collect();
        assert!(woken.is_empty(), "{woken:?} before: {before:?}");
        drop(peers);
    });
}
