//! What timers cost, and how late they are, on Tokio and on spargio.
//!
//! Costs are CPU time of the thread, for one timer. Lateness is what a `sleep` takes longer than
//! asked for; it is bound to the wall clock, and to what else the machine does.

#[path = "common/clock.rs"]
mod clock;
mod common;

use std::time::Duration;

use clock::{ClockId, time_of};
use common::{Bench, nanos};

mod on_tokio {
    use upstream as tokio;

    include!("timers/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("timers/rows.rs");
}

const TIMERS: u64 = 100_000;
/// Within this they all fire.
const SPREAD: Duration = Duration::from_millis(50);

fn main() {
    let mut bench = Bench::new("timers");
    let tokio = on_tokio::Subject::new();
    let spargio = on_spargio::Subject::new();
    let cpu = ClockId::ThreadCPUTime;

    bench.row(
        "100k timers, insert and cancel",
        TIMERS,
        &mut |n| time_of(cpu, || tokio.insert_and_cancel(n, TIMERS)),
        &mut |n| time_of(cpu, || spargio.insert_and_cancel(n, TIMERS)),
    );
    bench.row(
        "100k timers, insert and fire within 50 ms",
        TIMERS,
        &mut |n| time_of(cpu, || tokio.insert_and_fire(n, TIMERS, SPREAD)),
        &mut |n| time_of(cpu, || spargio.insert_and_fire(n, TIMERS, SPREAD)),
    );
    // Some 330 a millisecond: each wake-up finds a few.
    bench.row(
        "100k timers, insert and fire within 300 ms",
        100_000,
        &mut |n| time_of(cpu, || tokio.insert_and_fire(n, 100_000, Duration::from_millis(300))),
        &mut |n| time_of(cpu, || spargio.insert_and_fire(n, 100_000, Duration::from_millis(300))),
    );
    let millisecond = Duration::from_millis(1);
    lateness(&mut bench, "sleep(1 ms)", &mut |n| tokio.lateness(n, millisecond), &mut |n| {
        spargio.lateness(n, millisecond)
    });
    let tenth = Duration::from_micros(100);
    lateness(&mut bench, "sleep(100 µs)", &mut |n| tokio.lateness(n, tenth), &mut |n| {
        spargio.lateness(n, tenth)
    });
    bench.finish();
}

/// Returns so many measurements.
type Sample<'a> = &'a mut dyn FnMut(u64) -> Vec<Duration>;

/// Median and 99th percentile of each round, and criterion's statistics on the mean.
fn lateness(bench: &mut Bench, what: &str, tokio: Sample<'_>, spargio: Sample<'_>) {
    const SAMPLES: u64 = 100;

    let rows = [50, 99].map(|percent| format!("{what}, lateness p{percent}, wall"));
    if !rows.iter().any(|row| bench.wants(row)) {
        return;
    }
    let percentiles = |mut late: Vec<Duration>| {
        late.sort_unstable();
        vec![nanos(late[late.len() / 2]), nanos(late[late.len() * 99 / 100])]
    };
    bench.in_turns(&[&rows[0], &rows[1]], &mut || percentiles(tokio(SAMPLES)), &mut || {
        percentiles(spargio(SAMPLES))
    });
    let total = |late: Vec<Duration>| late.into_iter().sum();
    bench.criterion(what, &mut |n| total(tokio(n)), &mut |n| total(spargio(n)));
}
