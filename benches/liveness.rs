//! What must not grow with the number of sockets: changing hands and letting go, on Tokio and on spargio.
//!
//! Each row is measured beside 0, 100, 1,000 and 8,000 Unix streams on which nothing happens. CPU time is that of
//! the process, except where sockets are dropped, or a runtime of one thread runs: then it is the thread's.
//! At the end stands for each row whether it meets the aim: no more than one and a half times Tokio at any size, and
//! flat, which is: it does not grow with the sockets by more than that, where Tokio does not. Some two minutes.

// A part of either.
#[path = "common/clock.rs"]
#[allow(dead_code)]
mod clock;
#[allow(dead_code)]
mod common;

use std::time::Duration;

use clock::ClockId;
use common::{Bench, nanos};

mod on_tokio {
    use upstream as tokio;

    include!("liveness/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("liveness/rows.rs");
}

const SIZES: [usize; 4] = [0, 100, 1000, 8000];
const ROUNDS: usize = 5;
/// What both sides may take of, and the one side of the other.
const AIM: f64 = 1.5;

/// Some turns of a runtime.
const MOMENT: Duration = Duration::from_millis(2);
/// What a turn should measure, at least.
const TURN: Duration = Duration::from_millis(8);

/// What the owner of a socket does.
#[derive(Clone, Copy)]
enum Owner {
    Idle,
    Busy,
    Blocked,
}

/// The clocks.
#[derive(Clone, Copy)]
struct Figures {
    process: Duration,
    thread: Duration,
    wall: Duration,
}

fn figures() -> Figures {
    let now = |clock| {
        let time = rustix::time::clock_gettime(clock);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    Figures {
        process: now(ClockId::ProcessCPUTime),
        thread: now(ClockId::ThreadCPUTime),
        wall: now(ClockId::Monotonic),
    }
}

impl Figures {
    /// CPU time of the process and wall time, of one of so many.
    fn since(self, start: Figures, of: u64) -> Vec<f64> {
        vec![nanos(self.process - start.process) / of as f64, nanos(self.wall - start.wall) / of as f64]
    }

    fn of_thread_since(self, start: Figures, of: u64) -> Vec<f64> {
        vec![nanos(self.thread - start.thread) / of as f64, nanos(self.wall - start.wall) / of as f64]
    }
}

/// Both of what `f` does.
async fn both(of: u64, f: impl AsyncFnOnce()) -> Vec<f64> {
    let start = figures();
    f().await;
    figures().since(start, of)
}

/// What was measured of one row at each size.
struct Row {
    name: String,
    /// Differences below that, in nanoseconds, are the machine's.
    noise: f64,
    figures: Vec<(usize, [f64; 2], f64)>,
}

impl Row {
    fn verdict(&self) -> String {
        let worst =
            self.figures.iter().copied().filter(|(_, [tokio, spargio], _)| spargio - tokio > self.noise);
        let worst = worst.map(|(size, _, ratio)| (size, ratio)).max_by(|(_, a), (_, b)| a.total_cmp(b));
        let (&(few, least, _), &(many, most, _)) =
            (self.figures.first().expect("a size"), self.figures.last().expect("a size"));
        let grows =
            |side: usize| if most[side] - least[side] > self.noise { most[side] / least[side] } else { 1.0 };
        // The machine itself grows slower with what it holds: that is Tokio's growth.
        let growth = grows(1) / grows(0).max(1.0);
        let beside = worst.map_or(0.0, |(_, ratio)| ratio);
        let says = if beside <= AIM && growth <= AIM { "met   " } else { "MISSED" };
        let at = worst.map_or("like Tokio".to_string(), |(size, ratio)| {
            format!("at most {ratio:.2} x Tokio, beside {size} sockets")
        });
        let [theirs, ours] = [grows(0), grows(1)];
        format!(
            "{says} {}: {at}; beside {many} {ours:.2} x of what it is beside {few}, Tokio {theirs:.2} x",
            self.name
        )
    }
}

/// Rows that are measured together.
struct Rows<'a> {
    bench: &'a mut Bench,
    rows: Vec<Row>,
    done: &'a mut Vec<Row>,
}

impl<'a> Rows<'a> {
    fn new(bench: &'a mut Bench, done: &'a mut Vec<Row>, names: &[&str], noise: f64) -> Rows<'a> {
        let row = |name: &&str| Row { name: name.to_string(), noise, figures: Vec::new() };
        Rows { bench, rows: names.iter().map(row).collect(), done }
    }

    fn measure(
        &mut self,
        size: usize,
        tokio: &mut dyn FnMut() -> Vec<f64>,
        spargio: &mut dyn FnMut() -> Vec<f64>,
    ) {
        let names: Vec<_> = self.rows.iter().map(|row| format!("{}, beside {size}", row.name)).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        // Once for what only the first time costs.
        tokio();
        spargio();
        let figures = self.bench.in_turns(&names, tokio, spargio);
        for (row, (medians, ratio)) in self.rows.iter_mut().zip(figures) {
            row.figures.push((size, medians, ratio));
        }
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        self.done.extend(self.rows.drain(..).filter(|row| !row.figures.is_empty()));
    }
}

/// So many that a turn is long enough, on the dearer side.
fn calibrate(sides: [&mut dyn FnMut(u64) -> Vec<f64>; 2]) -> u64 {
    let calls = |side: &mut dyn FnMut(u64) -> Vec<f64>| {
        let mut calls = 1;
        loop {
            let wall = side(calls)[1];
            if wall * calls as f64 >= nanos(TURN) || calls >= 1 << 16 {
                return calls;
            }
            calls *= 4;
        }
    };
    sides.map(calls).into_iter().min().expect("two sides")
}

/// Calls from a task of one of two workers.
macro_rules! block_in_place {
    ($bench:ident, $done:ident, $name:literal, $calls:expr, $call:expr, $other:expr) => {
        if $bench.wants($name) {
            let names = [concat!($name, ", CPU"), concat!($name, ", wall")];
            let mut rows = Rows::new(&mut $bench, &mut $done, &names, 0.0);
            for size in SIZES {
                let (tokio, spargio) = (on_tokio::Subject::new(2, size), on_spargio::Subject::new(2, size));
                let mut tokio = |calls| tokio.block_in_place(calls, $call);
                let mut spargio = |calls| spargio.block_in_place(calls, $other);
                let calls = $calls.unwrap_or_else(|| calibrate([&mut tokio, &mut spargio]));
                rows.measure(size, &mut || tokio(calls), &mut || spargio(calls));
            }
        }
    };
}

fn main() {
    let limit = rustix::process::Resource::Nofile;
    let limits = rustix::process::getrlimit(limit);
    rustix::process::setrlimit(limit, rustix::process::Rlimit { current: limits.maximum, ..limits })
        .expect("the own limit can be raised");

    if !common::run::is_asked_for() {
        return;
    }
    let mut bench = Bench::with_rounds("liveness", ROUNDS);
    let mut done = Vec::new();
    block_in_place!(bench, done, "block_in_place", None, || (), || ());
    block_in_place!(
        bench,
        done,
        "block_in_place of 2 ms",
        Some(4),
        || std::thread::sleep(Duration::from_millis(2)),
        || std::thread::sleep(Duration::from_millis(2))
    );
    block_in_place!(
        bench,
        done,
        "block_in_place with block_on",
        None,
        on_tokio::Subject::block_on_inside,
        on_spargio::Subject::block_on_inside
    );

    if bench.wants("block_on") {
        let mut rows = Rows::new(&mut bench, &mut done, &["block_on, CPU", "block_on, wall"], 0.0);
        for size in SIZES {
            let (tokio, spargio) = (on_tokio::Subject::new(0, size), on_spargio::Subject::new(0, size));
            let mut tokio = |calls| tokio.block_on(calls);
            let mut spargio = |calls| spargio.block_on(calls);
            let calls = calibrate([&mut tokio, &mut spargio]);
            rows.measure(size, &mut || tokio(calls), &mut || spargio(calls));
        }
    }

    let name = "a second beside a sleeping worker, CPU";
    if bench.wants(name) {
        // A millisecond in a second is in the noise.
        let mut rows = Rows::new(&mut bench, &mut done, &[name], 1e6);
        let sleep = Duration::from_millis(300);
        for size in SIZES {
            let (tokio, spargio) = (on_tokio::Subject::new(2, size), on_spargio::Subject::new(2, size));
            rows.measure(size, &mut || tokio.beside_a_sleeping_worker(sleep), &mut || {
                spargio.beside_a_sleeping_worker(sleep)
            });
        }
    }

    for (owner, is) in [(Owner::Idle, "idle"), (Owner::Busy, "busy"), (Owner::Blocked, "blocked")] {
        let names = ["a stream, CPU", "a stream, wall", "a UDP socket, CPU", "a UDP socket, wall"]
            .map(|what| format!("drop elsewhere, owner {is}: {what}"));
        let names = names.each_ref().map(String::as_str);
        if !bench.wants(&format!("drop elsewhere, owner {is}")) {
            continue;
        }
        let mut rows = Rows::new(&mut bench, &mut done, &names, 0.0);
        for size in SIZES {
            let (tokio, spargio) = (on_tokio::Subject::new(2, size), on_spargio::Subject::new(2, size));
            rows.measure(size, &mut || tokio.drop_owned_by(owner, 8), &mut || {
                spargio.drop_owned_by(owner, 8)
            });
        }
    }

    bench.finish();
    for row in &done {
        println!("{}", row.verdict());
    }
}
