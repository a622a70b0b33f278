//! What is small, and done often, on Tokio and on spargio: to enter a runtime, to make one, to tell one
//! something from outside. Many rows are those of Tokio's own benches.
//!
//! On a `current_thread` runtime a figure is the CPU time of its thread, elsewhere that of the process, unless the row
//! says `wall`.

#[path = "common/clock.rs"]
mod clock;
#[macro_use]
mod common;

use std::time::Duration;

use clock::{ClockId, time_of};
use common::{Bench, nanos};

mod on_tokio {
    use upstream as tokio;

    include!("small/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("small/rows.rs");
}

const THREAD: ClockId = ClockId::ThreadCPUTime;
const PROCESS: ClockId = ClockId::ProcessCPUTime;
const WALL: ClockId = ClockId::Monotonic;

/// Measures a function that makes runtimes itself.
macro_rules! made {
    ($bench:expr, $name:expr, $clock:expr, $elements:expr, $function:ident $(, $more:expr)*) => {
        $bench.row(
            $name,
            $elements,
            &mut |n| time_of($clock, || on_tokio::$function(n $(, $more)*)),
            &mut |n| time_of($clock, || on_spargio::$function(n $(, $more)*)),
        );
    };
}

fn main() {
    if let Some(counted) = std::env::var_os("SPARGIO_COUNTED") {
        return count(&counted.to_string_lossy());
    }
    let mut bench = Bench::new("small");

    row!(bench, "block_on a ready future", 0, THREAD, 1, block_on_ready);
    row!(bench, "block_on yield_now", 0, THREAD, 1, block_on_yield);
    row!(bench, "LocalSet::block_on a ready future", 0, THREAD, 1, block_on_set);
    row!(bench, "block_on Instant::now", 0, THREAD, 1, now);
    row!(bench, "block_on a spawned task", 0, THREAD, 1, block_on_spawned);
    row!(bench, "block_on 10 spawned tasks", 0, THREAD, 1, block_on_spawned_10);
    row!(bench, "block_on a ready future, 2 workers", 2, THREAD, 1, block_on_ready);

    made!(bench, "build and drop, current_thread", PROCESS, 1, build_and_drop, 0);
    made!(bench, "build and drop, 2 workers", PROCESS, 1, build_and_drop, 2);
    made!(bench, "build and drop, 2 workers, wall", WALL, 1, build_and_drop, 2);
    made!(bench, "build, run a task and drop, 2 workers", PROCESS, 1, build_spawn_and_drop, 2);
    made!(bench, "1000 simulated hosts, 1 tick", THREAD, 1000, simulate, 1000, 1);
    made!(bench, "1000 simulated hosts, 10 ticks", THREAD, 1000, simulate, 1000, 10);

    row!(bench, "semaphore: 6 permits, 2 workers", 2, PROCESS, 1, permits);
    row!(bench, "semaphore: 6 tasks, current_thread", 0, THREAD, 1, permits_of_tasks, 10, false);
    row!(bench, "semaphore: 6 tasks for 5, current_thread", 0, THREAD, 1, permits_of_tasks, 5, true);
    row!(bench, "semaphore: 6 tasks, 2 workers", 2, PROCESS, 1, permits_of_tasks, 10, false);
    row!(bench, "semaphore: 6 tasks for 5, 2 workers", 2, PROCESS, 1, permits_of_tasks, 5, true);

    for (clock, how) in [(PROCESS, ""), (WALL, ", wall")] {
        let named = |what: &str| format!("{what}{how}");
        row!(bench, &named("notify_one from outside, 10 tasks, 2 workers"), 2, clock, 1, notify_one, 10);
        row!(bench, &named("notify_one from outside, 100 tasks, 2 workers"), 2, clock, 1, notify_one, 100);
        row!(bench, &named("spawn beside yields, 2 workers"), 2, clock, 1000, spawn_beside_yields, 1000, 2);
        row!(bench, &named("spawn beside spawns, 2 workers"), 2, clock, 1000, spawn_beside_spawns, 1000, 2);
        row!(bench, &named("messages from task to task, 2 workers"), 2, clock, 1, messages);
    }
    row!(bench, "spawn beside spawns, 4 workers, wall", 4, WALL, 10_000, spawn_beside_spawns, 10_000, 4);
    row!(bench, "spawn beside yields, 4 workers, wall", 4, WALL, 10_000, spawn_beside_yields, 10_000, 4);
    timers(&mut bench, 1);
    timers(&mut bench, 2);
    bench.finish();
}

/// A round takes a second: criterion is not asked.
fn timers(bench: &mut Bench, workers: usize) {
    const TIMERS: u32 = 100_000;

    let row = format!("100k tasks sleep up to 1 s, {workers} workers");
    if !bench.wants(&row) {
        return;
    }
    let tokio = on_tokio::Subject::new(workers);
    let spargio = on_spargio::Subject::new(workers);
    let each = |time: Duration| vec![nanos(time) / f64::from(TIMERS)];
    let spread = Duration::from_secs(1);
    bench.in_turns(&[&row], &mut || each(time_of(PROCESS, || tokio.timers(TIMERS, spread))), &mut || {
        each(time_of(PROCESS, || spargio.timers(TIMERS, spread)))
    });
}

/// For `valgrind --tool=callgrind`, `perf` and `strace`: one side of one row and nothing else, so many times, as in
/// `SPARGIO_COUNTED=spargio:block_on_ready:1000`. Two counts and their difference tell what one costs.
fn count(what: &str) {
    let mut parts = what.split(':');
    let (Some(side), Some(row), Some(times)) = (parts.next(), parts.next(), parts.next()) else {
        panic!("it is side:row:times");
    };
    let times: u64 = times.parse().expect("a number of times");
    macro_rules! count {
        ($side:ident) => {
            match row {
                "block_on_ready" => $side::Subject::new(0).block_on_ready(times),
                "block_on_yield" => $side::Subject::new(0).block_on_yield(times),
                "block_on_set" => $side::Subject::new(0).block_on_set(times),
                "now" => $side::Subject::new(0).now(times),
                "block_on_spawned" => $side::Subject::new(0).block_on_spawned(times),
                "block_on_ready_2_workers" => $side::Subject::new(2).block_on_ready(times),
                "permits_of_tasks_2_workers" => $side::Subject::new(2).permits_of_tasks(times, 5, true),
                "permits_of_tasks" => $side::Subject::new(0).permits_of_tasks(times, 5, true),
                "build_current_thread" => $side::build_and_drop(times, 0),
                "build_2_workers" => $side::build_and_drop(times, 2),
                "simulate" => $side::simulate(1, times as usize, 1),
                "simulate_10" => $side::simulate(1, times as usize, 10),
                "spawn_beside_yields" => $side::Subject::new(2).spawn_beside_yields(times, 1000, 2),
                "spawn_beside_spawns" => $side::Subject::new(2).spawn_beside_spawns(times, 1000, 2),
                "notify_one" => $side::Subject::new(2).notify_one(times, 100),
                "messages" => $side::Subject::new(2).messages(times),
                _ => panic!("no such row"),
            }
        };
    }
    match side {
        "tokio" => count!(on_tokio),
        "spargio" => count!(on_spargio),
        _ => panic!("no such side"),
    }
}
