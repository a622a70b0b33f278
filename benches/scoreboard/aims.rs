//! What each row is to reach, as a ratio to Tokio.

/// No row may be above it, whether it has an aim or not: what is left is noise.
pub const LIMIT: f64 = 1.03;

/// The aim of a row, if it has one of its own.
pub fn of(row: &str) -> Option<f64> {
    AIMS.iter().find(|(name, _)| *name == row).map(|(_, aim)| *aim)
}

const AIMS: &[(&str, f64)] = &[
    ("echo/1 connections x 128 B", 0.98),
    ("echo/64 connections x 128 B", 0.97),
    ("echo/512 connections x 128 B", 0.97),
    ("echo/64 connections x 16384 B", 0.98),
    ("echo/512 connections x 16384 B", 0.98),
    ("echo/64 connections x 128 B, 2 workers", 1.0),
    ("echo/native 64 connections x 128 B", 0.82),
    ("echo/native 512 connections x 128 B", 0.83),
    ("echo/native 64 connections x 16384 B", 0.85),
    ("echo/native 512 connections x 16384 B", 0.85),
    ("echo/SPARGIO_LANE=native 64 connections x 128 B", 0.85),
    ("echo/SPARGIO_LANE=native 512 connections x 128 B", 0.87),
    ("echo/SPARGIO_LANE=native 1 connections x 128 B", 1.0),
    ("echo/SPARGIO_LANE=native 1 connections x 16384 B", 1.0),
    ("echo/SPARGIO_LANE=native 64 connections x 16384 B", 1.0),
    ("echo/SPARGIO_LANE=native 512 connections x 16384 B", 1.0),
    ("small/block_on a ready future", 1.1),
    ("small/block_on yield_now", 1.0),
    ("small/LocalSet::block_on a ready future", 1.0),
    ("small/block_on Instant::now", 1.0),
    ("small/block_on a spawned task", 1.0),
    ("small/build and drop, 2 workers", 1.0),
    ("small/build and drop, 2 workers, wall", 1.0),
    ("small/1000 simulated hosts, 1 tick", 1.1),
    ("small/1000 simulated hosts, 10 ticks", 1.1),
    ("small/semaphore: 6 permits, 2 workers", 1.0),
    ("small/semaphore: 6 tasks, 2 workers", 1.0),
    ("small/semaphore: 6 tasks for 5, 2 workers", 1.0),
    ("small/notify_one from outside, 100 tasks, 2 workers", 1.0),
    ("small/notify_one from outside, 100 tasks, 2 workers, wall", 1.0),
    ("small/spawn beside yields, 2 workers", 1.0),
    ("small/spawn beside spawns, 2 workers", 1.0),
    ("small/messages from task to task, 2 workers", 0.7),
    ("small/100k tasks sleep up to 1 s, 1 workers", 0.8),
    ("small/100k tasks sleep up to 1 s, 2 workers", 0.8),
    ("tasks/spawn and join, 2 workers", 0.25),
    ("tasks/yield_now, 2 workers", 0.25),
    ("tasks/ping-pong, 2 workers", 0.55),
    ("tasks/ping-pong across two shards, all CPUs, wall", 0.1),
    ("tasks/wake by a foreign thread, current_thread, all CPUs, wall", 0.2),
    ("tasks/wake by a foreign thread, 2 workers, all CPUs, wall", 0.2),
    ("tasks/shard: send and reply, all CPUs, wall", 0.5),
    ("timers/100k timers, insert and cancel", 0.15),
    ("fs/metadata of an open file", 0.7),
];
