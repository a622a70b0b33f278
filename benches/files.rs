//! Larger reads of files, on Tokio and on spargio: whole files, pieces of one file by many tasks, and direct I/O.
//!
//! Each shape is measured on a `current_thread` runtime and on two workers, in CPU time of the process (with the
//! blocking pool, and the threads of the kernel that work for a ring) and in wall time. The aim is to be at no place
//! above the better of Tokio's two ways: its blocking pool, and its own `io-uring`, which is another build:
//!
//! ```text
//! cargo bench --bench files
//! cargo bench --bench files -- "16 MiB"      # rows whose name has that in it
//! RUSTFLAGS='--cfg tokio_unstable' cargo bench --target-dir target/unstable --features upstream/io-uring --bench files
//! ```
//!
//! In that build `tokio ring` is a runtime of Tokio with all drivers. `tokio pool` has timers only: without an I/O
//! driver Tokio's files stay on the blocking pool. Reads by `fs::File` with `O_DIRECT` stand beside our native ones: at
//! most 1.2 times their CPU time, and no less than 0.95 of their reads a second. Tokio reads into a buffer of its own that
//! is aligned to 16 bytes, which most devices refuse; then the table says so. Half a minute.

#[path = "common/clock.rs"]
mod clock;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "common/run.rs"]
mod run;
#[path = "common/sides.rs"]
mod sides;

use std::fs;
use std::path::Path;
use std::time::Duration;

use clock::{ClockId, time_of};
use numbers::time;
use sides::{Rounds, Turn, verdict};

mod on_tokio {
    use upstream as tokio;

    include!("files/rows.rs");
}

mod on_spargio {
    use spargio as tokio;

    include!("files/rows.rs");
}

/// Our own reads, which no Tokio has.
#[path = "files/native.rs"]
mod native;

const ROUNDS: usize = 15;
/// What a turn should measure, at least.
const TURN: Duration = Duration::from_millis(40);
/// So many tasks read at once.
const TASKS: u64 = 32;
/// What each of them reads of one file.
const PIECE: usize = 128 << 10;
/// Of direct I/O.
const BLOCK: usize = 4096;

/// By so much the same code differs when it is measured twice.
const NOISE: f64 = 0.02;

/// CPU time of the process, and wall time.
const CLOCKS: [(&str, ClockId); 2] = [("CPU", ClockId::ProcessCPUTime), ("wall", ClockId::Monotonic)];

/// Does something so many times.
type Measure<'a> = (&'static str, Box<dyn FnMut(u64) + 'a>);

/// What spargio may take of what another side takes, in the order of [`CLOCKS`].
struct Aim {
    beside: &'static str,
    of: [f64; 2],
}

const LIKE_TOKIO: &[Aim] =
    &[Aim { beside: "tokio pool", of: [1.0; 2] }, Aim { beside: "tokio ring", of: [1.0; 2] }];
const LIKE_NATIVE: &[Aim] = &[Aim { beside: "native", of: [1.2, 1.0 / 0.95] }];

/// The time of one of `elements` things that each call does, on all sides, in turns of at least so many calls; prints
/// the rows, and returns those that miss an aim.
fn measure(name: &str, elements: u64, least: u64, sides: Vec<Measure<'_>>, aims: &[Aim]) -> Vec<String> {
    let (names, mut sides): (Vec<_>, Vec<_>) = sides.into_iter().unzip();
    let spargio = names.iter().position(|&name| name == "spargio").expect("our side");
    let calls =
        sides.iter_mut().map(wall).map(|wall| run::calibrate(TURN, wall)).max().expect("a side").max(least);
    let mut turns: Vec<_> = sides.iter_mut().map(|side| turn(side, calls, elements)).collect();
    let rounds = Rounds::measure(ROUNDS, &mut turns);
    let mut missed = Vec::new();
    for (figure, (clock, _)) in CLOCKS.iter().enumerate() {
        let figures: Vec<_> = (0..names.len())
            .map(|side| format!("{} {:>9}", names[side], time(rounds.median(side, figure))))
            .collect();
        let mut line = format!("{:<46} | {}", format!("{name}, {clock}"), figures.join(" | "));
        let mut is_met = true;
        for aim in aims {
            let Some(beside) = names.iter().position(|&name| name == aim.beside) else { continue };
            let ratio = rounds.ratio(spargio, beside, figure);
            line += &format!(" | {ratio:.2} x {}", aim.beside);
            is_met &= ratio <= aim.of[figure] + NOISE;
        }
        line += &format!(" | {}", verdict(is_met));
        println!("{line}");
        missed.extend((!is_met).then_some(line));
    }
    missed
}

/// Wall time of so many calls.
fn wall(side: &mut Box<dyn FnMut(u64) + '_>) -> impl FnMut(u64) -> Duration {
    |calls| time_of(ClockId::Monotonic, || side(calls))
}

fn turn<'a>(side: &'a mut Box<dyn FnMut(u64) + '_>, calls: u64, elements: u64) -> Turn<'a> {
    let things = (calls * elements) as f64;
    Box::new(move || {
        let mut cpu = Duration::ZERO;
        let wall = time_of(ClockId::Monotonic, || cpu = time_of(ClockId::ProcessCPUTime, || side(calls)));
        [cpu, wall].map(|time| time.as_secs_f64() * 1e9 / things).to_vec()
    })
}

/// What reads a file, on all sides there are in this build.
macro_rules! sides {
    ($workers:expr, $method:ident, $path:expr) => {{
        let path: &Path = $path;
        let mut sides: Vec<Measure<'_>> = Vec::new();
        let pool = on_tokio::Subject::new($workers, on_tokio::Drivers::Needed);
        sides.push(("tokio pool", Box::new(move |n| pool.$method(n, path))));
        if cfg!(tokio_unstable) {
            let ring = on_tokio::Subject::new($workers, on_tokio::Drivers::All);
            sides.push(("tokio ring", Box::new(move |n| ring.$method(n, path))));
        }
        let spargio = on_spargio::Subject::new($workers, on_spargio::Drivers::All);
        sides.push(("spargio", Box::new(move |n| spargio.$method(n, path))));
        sides
    }};
}

/// Where a task reads `n` blocks: in no order, each task others.
fn offsets(task: u64, n: u64, blocks: u64) -> impl Iterator<Item = u64> + Send {
    (0..n).map(move |i| (i * TASKS + task) * 7_919 % blocks * BLOCK as u64)
}

/// Reads with `O_DIRECT`.
fn direct(name: &str, workers: usize, path: &Path, blocks: u64) -> Vec<String> {
    let spargio = on_spargio::Subject::new(workers, on_spargio::Drivers::All);
    if let Err(error) = spargio.direct(1, path, blocks) {
        println!("{name}: not on this file system: {error}");
        return Vec::new();
    }
    let mut sides: Vec<Measure<'_>> = Vec::new();
    let tokio = on_tokio::Subject::new(workers, on_tokio::Drivers::All);
    match tokio.direct(1, path, blocks) {
        Ok(()) => {
            sides.push(("tokio", Box::new(move |n| tokio.direct(n, path, blocks).expect("no error"))));
        }
        Err(error) => println!("{name}: fs::File of Tokio cannot: {error}"),
    }
    sides.push(("spargio", Box::new(move |n| spargio.direct(n, path, blocks).expect("no error"))));
    let native = on_spargio::Subject::new(workers, on_spargio::Drivers::All);
    sides.push(("native", Box::new(move |n| native::direct(&native, n, path, blocks).expect("no error"))));
    // Enough that it does not matter what it takes to open the files.
    measure(name, TASKS, 256, sides, LIKE_NATIVE)
}

fn main() {
    if !run::is_asked_for() {
        return;
    }
    let folder =
        tempfile::Builder::new().prefix("bench-files-").tempdir_in(run::target()).expect("no folder");
    let file = |size: usize| {
        let path = folder.path().join(size.to_string());
        fs::write(&path, vec![7; size]).expect("no file");
        // Nothing is on its way to the disk while others are read.
        fs::File::open(&path).and_then(|file| file.sync_all()).expect("no file");
        path
    };
    let mut missed = Vec::new();
    for (workers, flavour) in [(0, "current_thread"), (2, "2 workers")] {
        for (size, named) in [(64 << 10, "64 KiB"), (1 << 20, "1 MiB"), (16 << 20, "16 MiB")] {
            let name = format!("read a file of {named}, {flavour}");
            if run::wants(&name) {
                let path = file(size);
                missed.extend(measure(&name, 1, 1, sides!(workers, whole, &path), LIKE_TOKIO));
            }
        }
        let name = format!("{TASKS} tasks read 128 KiB, {flavour}");
        if run::wants(&name) {
            let path = file(PIECE * TASKS as usize);
            missed.extend(measure(&name, TASKS, 1, sides!(workers, pieces, &path), LIKE_TOKIO));
        }
        let name = format!("{TASKS} tasks, O_DIRECT, 4 KiB, {flavour}");
        if run::wants(&name) {
            let path = file(16 << 20);
            missed.extend(direct(&name, workers, &path, (16 << 20) / BLOCK as u64));
        }
    }
    println!("\nabove the aim:{}", if missed.is_empty() { " nothing" } else { "" });
    for line in missed {
        println!("{line}");
    }
}
