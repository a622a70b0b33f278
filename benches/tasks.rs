//! What tasks cost, on Tokio and on spargio.
//!
//! On a `current_thread` runtime a figure is the CPU time of its thread, on two workers that of the
//! whole process, idle worker included. Where threads wake each other, they share one CPU (then CPU
//! time is all it costs, and the same in each round) or run where they like (then it is the wall
//! clock that counts, and it depends on how fast the CPUs wake each other).

#[path = "common/clock.rs"]
mod clock;
#[macro_use]
mod common;
#[path = "../examples/side_by_side/cpu.rs"]
mod cpu;
#[path = "tasks/shards.rs"]
mod shards;

use clock::{ClockId, time_of};
use common::Bench;

mod on_tokio {
    use upstream as tokio;

    include!("tasks/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("tasks/rows.rs");
}

const THREAD: ClockId = ClockId::ThreadCPUTime;
const PROCESS: ClockId = ClockId::ProcessCPUTime;
const WALL: ClockId = ClockId::Monotonic;

fn main() -> std::io::Result<()> {
    let mut bench = Bench::new("tasks");

    row!(bench, "spawn and join, current_thread", 0, THREAD, 1, spawn_and_join);
    row!(bench, "spawn 1000, join all, current_thread", 0, THREAD, 1000, spawn_many, 1000);
    row!(bench, "yield_now, current_thread", 0, THREAD, 1, yields);
    row!(bench, "ping-pong, current_thread", 0, THREAD, 1, ping_pong);
    row!(bench, "spawn and join, 2 workers", 2, PROCESS, 1, spawn_and_join);
    row!(bench, "spawn 1000, join all, 2 workers", 2, PROCESS, 1000, spawn_many, 1000);
    row!(bench, "yield_now, 2 workers", 2, PROCESS, 1, yields);
    row!(bench, "ping-pong, 2 workers", 2, PROCESS, 1, ping_pong);

    let all = cpu::allowed()?;
    let one = &all[all.len() - 1..];
    for (cpus, clock, how) in [(one, PROCESS, "one CPU"), (&all[..], WALL, "all CPUs, wall")] {
        cpu::pin(cpus)?;
        ping_pong_apart(&mut bench, &format!("ping-pong across two shards, {how}"), clock);
        messages(&mut bench, how, clock);
        let named = |what: &str| format!("{what}, {how}");
        row!(bench, &named("ping-pong with main, 2 workers"), 2, clock, 1, ping_pong_with_main);
        row!(bench, &named("wake by a foreign thread, current_thread"), 0, clock, 1, woken_by_thread);
        row!(bench, &named("wake by a foreign thread, 2 workers"), 2, clock, 1, woken_by_thread);
    }
    bench.finish();
    Ok(())
}

fn ping_pong_apart(bench: &mut Bench, name: &str, clock: ClockId) {
    if !bench.wants(name) {
        return;
    }
    let tokio = [on_tokio::Subject::new(0), on_tokio::Subject::new(0)];
    let spargio = [on_spargio::Subject::new(0), on_spargio::Subject::new(0)];
    bench.row(name, 1, &mut |n| time_of(clock, || tokio[0].ping_pong_apart(&tokio[1], n)), &mut |n| {
        time_of(clock, || spargio[0].ping_pong_apart(&spargio[1], n))
    });
}

/// Tokio's channel between two runtimes, each on its thread, and ours between two shards of one.
fn messages(bench: &mut Bench, how: &str, clock: ClockId) {
    let name = format!("shard: send and reply, {how}");
    if bench.wants(&name) {
        let tokio = [on_tokio::Subject::new(0), on_tokio::Subject::new(0)];
        let spargio = shards::Shards::new();
        bench.row(&name, 1, &mut |n| time_of(clock, || tokio[0].ping_pong_apart(&tokio[1], n)), &mut |n| {
            time_of(clock, || spargio.send_and_reply(n))
        });
    }
    let name = format!("shard: batches of {}, {how}", shards::BATCH);
    if bench.wants(&name) {
        let tokio = [on_tokio::Subject::new(0), on_tokio::Subject::new(0)];
        let spargio = shards::Shards::new();
        bench.row(
            &name,
            shards::BATCH,
            &mut |n| time_of(clock, || tokio[0].batches_apart(&tokio[1], n, shards::BATCH)),
            &mut |n| time_of(clock, || spargio.batches(n)),
        );
    }
}
