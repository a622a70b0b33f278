//! How long something small waits while a runtime is busy, on Tokio and on spargio.
//!
//! A load keeps all workers busy; beside it go some probes: requests that a client sends now and then (the time until
//! its answer), timers of a millisecond (how late they are), and tasks that are spawned from a foreign thread (the
//! time until they run). The loads are:
//!
//! - `bulk`: one connection whose sender never stops, with work for each piece that is read;
//! - `channel`: in a task for each worker, a channel that is never empty, and work once for each budget;
//! - `budget`: likewise with `consume_budget`;
//! - `yields`: two tasks for each worker that work and yield;
//! - `blocked`: a task that sleeps with its thread for 100 ms, again and again, beside tasks that yield;
//! - `mixed`: tasks that yield in a `LocalSet`, ordinary ones, and ones that are spawned from foreign threads.
//!
//! The aim in each row: the 99th percentile is not above one and a half times Tokio's and a millisecond. What misses
//! it is measured once more, and all rounds count. Less than four minutes for all of it.
//!
//! ```text
//! cargo bench --bench promptness
//! cargo bench --bench promptness -- "bulk, 2 workers"       # rows whose name has that in it
//! ```

#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/run.rs"]
mod run;
#[path = "common/sides.rs"]
mod sides;

use std::time::{Duration, Instant};

use numbers::time;
use sides::{Rounds, Turn, verdict};

mod on_tokio {
    use upstream as tokio;

    include!("promptness/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("promptness/rows.rs");
}

const ROUNDS: usize = 3;
/// How long the probes go on.
const TURN: Duration = Duration::from_millis(400);
/// A load that is not told to end, since the probes starve, ends by itself so much later.
const PATIENCE: Duration = Duration::from_secs(3);

const PROBES: [&str; 3] = ["echo", "timer", "spawn"];
const QUANTILES: [f64; 3] = [0.5, 0.99, 1.0];
/// Which of them has an aim.
const P99: usize = 1;
/// In nanoseconds.
const MILLISECOND: f64 = 1e6;

/// What keeps a runtime busy.
#[derive(Clone, Copy, PartialEq)]
enum Load {
    Bulk,
    Channel,
    Budget,
    Yields,
    Blocked,
    Mixed,
}

/// What is measured in one go.
#[derive(Clone, Copy)]
struct Cell {
    load: Load,
    /// None: `current_thread`.
    workers: usize,
    /// The work of a poll, or for a piece of the bulk.
    grain: Duration,
}

impl Cell {
    fn name(self) -> String {
        let load = match self.load {
            Load::Bulk => "bulk",
            Load::Channel => "channel",
            Load::Budget => "budget",
            Load::Yields => "yields",
            Load::Blocked => "blocked",
            Load::Mixed => "mixed",
        };
        let flavour = match self.workers {
            0 => "current_thread".to_string(),
            1 => "1 worker".to_string(),
            workers => format!("{workers} workers"),
        };
        format!("{load}, {flavour}, {} µs", self.grain.as_micros())
    }

    /// Measures it and prints a line for each probe; returns those that miss the aim.
    fn measure(self) -> Vec<String> {
        let mut sides: [Turn<'_>; 2] = [
            Box::new(|| on_tokio::turn(self).into_iter().flat_map(quantiles).collect()),
            Box::new(|| on_spargio::turn(self).into_iter().flat_map(quantiles).collect()),
        ];
        let mut rounds = Rounds::measure(ROUNDS, &mut sides);
        if !(0..PROBES.len()).all(|probe| is_met(&rounds, probe)) {
            rounds.go_on(ROUNDS, &mut sides);
        }
        let mut missed = Vec::new();
        for (probe, name) in PROBES.iter().enumerate() {
            let figures = |side| {
                let quantiles = [0, 1, 2].map(|quantile| rounds.median(side, figure(probe, quantile)));
                quantiles.map(|quantile| format!("{:>10}", time(quantile))).join(" ")
            };
            let is_met = is_met(&rounds, probe);
            let line = format!(
                "{:<32} {name:<5} | {} | {} | {:>5.2} | {}",
                self.name(),
                figures(0),
                figures(1),
                rounds.ratio(1, 0, figure(probe, P99)),
                verdict(is_met),
            );
            println!("{line}");
            missed.extend((!is_met).then_some(line));
        }
        missed
    }
}

/// Where a turn's figures have it.
fn figure(probe: usize, quantile: usize) -> usize {
    probe * QUANTILES.len() + quantile
}

fn is_met(rounds: &Rounds, probe: usize) -> bool {
    let [tokio, spargio] = [0, 1].map(|side| rounds.median(side, figure(probe, P99)));
    spargio <= 1.5 * tokio + MILLISECOND
}

/// In nanoseconds.
fn quantiles(mut late: Vec<Duration>) -> [f64; 3] {
    late.sort_unstable();
    QUANTILES.map(|quantile| {
        let index = (late.len() as f64 * quantile) as usize;
        late[index.min(late.len() - 1)].as_secs_f64() * 1e9
    })
}

/// Works for so long.
fn work(grain: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < grain {
        std::hint::spin_loop();
    }
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let mut add = |load, workers: &[usize], grains: &[u64]| {
        for &workers in workers {
            let grains = grains.iter().map(|&grain| Duration::from_micros(grain));
            cells.extend(grains.map(|grain| Cell { load, workers, grain }));
        }
    };
    for load in [Load::Bulk, Load::Channel, Load::Budget, Load::Yields, Load::Mixed] {
        add(load, &[0, 1, 2, 4], &[5, 20, 50, 200]);
    }
    // One worker is blocked, so another one has to be there.
    add(Load::Blocked, &[2, 4], &[20, 200]);
    cells
}

fn main() {
    if !run::is_asked_for() {
        return;
    }
    println!("{:<38} | {:^32} | {:^32} | ratio |", "", "tokio", "spargio");
    let quantiles = format!("{:>10} {:>10} {:>10}", "p50", "p99", "max");
    println!("{:<38} | {quantiles} | {quantiles} | p99   | p99 <= 1.5 x Tokio + 1 ms", "");
    let (mut missed, mut all) = (Vec::new(), 0);
    for cell in cells().into_iter().filter(|cell| run::wants(&cell.name())) {
        missed.extend(cell.measure());
        all += PROBES.len();
    }
    println!("\nmet in {} of {all}", all - missed.len());
    for line in missed {
        println!("{line}");
    }
}
