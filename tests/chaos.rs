//! Random programs, the same on the published Tokio and on this crate, on either backend and lane.
//!
//! A seed makes a program: a runtime of some flavour, and parts that send messages through whatever there is,
//! serve, wait, block, spawn, are cut off, and are shut down with. At the end every message has arrived once
//! and in order, every future and closure is dropped, and the process has the descriptors, threads and children it
//! had before. One that does not come to its end prints where it is.
//!
//! `.ci/chaos` runs this for as long as one likes. The variables it sets:
//!
//! - `CHAOS_SECONDS`: how long;
//! - `CHAOS_SEED`: the first program, or the only one with `CHAOS_ONE`;
//! - `CHAOS_SIDES`: which of `tokio`, `io_uring`, `epoll`, `io_uring-native`, with commas between;
//! - `CHAOS_PARTS`: of each program only these parts, to make one that fails smaller;
//! - `CHAOS_PATIENCE`: a program that takes so many seconds hangs.

#[path = "chaos/ledger.rs"]
mod ledger;
#[path = "chaos/plan.rs"]
mod plan;
#[path = "chaos/process.rs"]
mod process;
#[path = "chaos/sides.rs"]
mod sides;

#[path = "chaos/play"]
#[allow(clippy::duplicate_mod)]
mod on_tokio {
    use upstream as tokio;

    mod across;
    mod lines;
    mod os;
    pub mod run;
    mod serve;
    mod sync;
    mod tasks;
}

#[path = "chaos/play"]
#[allow(clippy::duplicate_mod)]
mod on_spargio {
    use ::tokio;

    mod across;
    mod lines;
    mod os;
    pub mod run;
    mod serve;
    mod sync;
    mod tasks;
}

use std::env;
use std::str::FromStr;
use std::time::Duration;

use ledger::Ledger;
use plan::Plan;
use sides::{Limits, Side};

/// A variable, or what there is without it.
fn variable<T: FromStr>(name: &str, default: T) -> T {
    match env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name}={text}?")),
        Err(_) => default,
    }
}

fn patience() -> Duration {
    Duration::from_secs(variable("CHAOS_PATIENCE", 120))
}

/// Some programs, the same ones each time: whoever changes something is to be told of that, not of somebody else's
/// fault. `.ci/chaos` looks for new ones.
#[test]
fn nothing_goes_wrong_in_chaos() {
    let limits = Limits { time: Duration::from_secs(20), programs: 120 };
    sides::run(&Side::ALL, 300, limits);
}

#[test]
#[ignore = "for .ci/chaos"]
fn as_told() {
    let names: String = variable("CHAOS_SIDES", String::from("tokio,io_uring,epoll,io_uring-native"));
    let sides: Vec<Side> = names.split(',').map(|name| Side::named(name).expect(name)).collect();
    let programs = if env::var_os("CHAOS_ONE").is_some() { 1 } else { u64::MAX };
    let limits = Limits { time: Duration::from_secs(variable("CHAOS_SECONDS", 60)), programs };
    sides::run(&sides, variable("CHAOS_SEED", fastrand::u64(..1 << 40)), limits);
}

/// Runs programs, one after the other, and says how each ended.
#[test]
#[ignore = "a child of the others"]
fn in_a_child() {
    let Ok(side) = env::var(sides::CHILD) else { return };
    let run = if side == "tokio" { on_tokio::run::run } else { on_spargio::run::run };
    let first: u64 = variable("CHAOS_SEED", 0);
    let count: u64 = variable("CHAOS_COUNT", 1);
    sides::child(first..first + count, |plan, ledger: &std::sync::Arc<Ledger>| run(plan, ledger));
}

/// What a seed stands for.
#[test]
fn a_seed_makes_the_same_program_every_time() {
    for seed in 0..100 {
        assert_eq!(format!("{:?}", Plan::new(seed)), format!("{:?}", Plan::new(seed)));
    }
}
