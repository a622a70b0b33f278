//! Who runs the programs, and who looks whether they end.

use std::collections::BTreeMap;
use std::env;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use super::ledger::Ledger;
use super::plan::Plan;
use super::{patience, process, variable};

/// Says to a child which side it is.
pub const CHILD: &str = "CHAOS_CHILD";
/// So many programs are run by one process.
const CHUNK: u64 = 20;

/// A runtime, its backend, its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Side {
    name: &'static str,
    backend: &'static str,
    lane: &'static str,
}

impl Side {
    pub const ALL: [Side; 4] = [
        Side { name: "tokio", backend: "epoll", lane: "readiness" },
        Side { name: "io_uring", backend: "io_uring", lane: "readiness" },
        Side { name: "epoll", backend: "epoll", lane: "readiness" },
        Side { name: "io_uring-native", backend: "io_uring", lane: "native" },
    ];

    pub fn named(name: &str) -> Option<Side> {
        Side::ALL.into_iter().find(|side| side.name == name)
    }
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub time: Duration,
    pub programs: u64,
}

/// Programs from `seed` on, each on all `sides`. Panics at the first that fails.
pub fn run(sides: &[Side], seed: u64, limits: Limits) {
    let begin = Instant::now();
    let mut took: BTreeMap<&str, Duration> = BTreeMap::new();
    let mut next = seed;
    println!(
        "chaos: from seed {seed}, on {}",
        sides.iter().map(|side| side.name).collect::<Vec<_>>().join(", ")
    );
    while begin.elapsed() < limits.time && next - seed < limits.programs {
        let seeds = next..next + CHUNK.min(limits.programs - (next - seed));
        // All at once: they are to get in each other's way.
        let ends: Vec<_> = thread::scope(|scope| {
            let start = |&side| {
                (side, {
                    let seeds = seeds.clone();
                    scope.spawn(move || chunk(side, seeds))
                })
            };
            let running: Vec<_> = sides.iter().map(start).collect();
            running
                .into_iter()
                .map(|(side, thread)| (side, thread.join().expect("a child's thread")))
                .collect()
        });
        let mut times = Vec::new();
        for (side, end) in ends {
            match end {
                Ok(each) => {
                    *took.entry(side.name).or_default() += each.iter().sum::<Duration>();
                    times.push((side, each));
                }
                Err((failed, output)) => {
                    // The program as such may be wrong.
                    let theirs = chunk(Side::ALL[0], failed..failed + 1).is_ok();
                    panic!(
                        "\n{output}\n{:?}\nprogram {failed} fails on {}{}: `.ci/chaos --seed {failed} --one`\n",
                        Plan::new(failed),
                        side.name,
                        if theirs { ", and not on tokio" } else { "; on tokio, too" },
                    );
                }
            }
        }
        stalls(&seeds, &times);
        next = seeds.end;
    }
    println!(
        "chaos: {} programs, seeds {seed} to {}, in {:?}; they took {took:.1?}",
        next - seed,
        next - 1,
        begin.elapsed()
    );
}

/// Says which programs take far longer here than on Tokio, and do so again when they have the machine to themselves.
fn stalls(seeds: &Range<u64>, times: &[(Side, Vec<Duration>)]) {
    const MOMENT: Duration = Duration::from_secs(1);
    let tokio = Side::ALL[0];
    let Some((_, theirs)) = times.iter().find(|(side, _)| *side == tokio) else { return };
    for (side, ours) in times {
        for (seed, (ours, theirs)) in seeds.clone().zip(ours.iter().zip(theirs)) {
            if *ours > 4 * *theirs + MOMENT {
                let again = [tokio, *side].map(|side| chunk(side, seed..seed + 1).map(|times| times[0]));
                match again {
                    [Ok(theirs), Ok(ours)] if ours > 4 * theirs + MOMENT => {
                        println!(
                            "chaos: program {seed} takes {ours:?} on {}, {theirs:?} on tokio",
                            side.name
                        );
                    }
                    _ => {}
                }
            }
        }
    }
}

/// A process for some programs: how long each took, or which failed, and what was said.
fn chunk(side: Side, seeds: Range<u64>) -> Result<Vec<Duration>, (u64, String)> {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "in_a_child", "--include-ignored", "--nocapture", "--test-threads=1"])
        .env(CHILD, side.name)
        .env("CHAOS_SEED", seeds.start.to_string())
        .env("CHAOS_COUNT", (seeds.end - seeds.start).to_string())
        .env("SPARGIO_BACKEND", side.backend)
        .env("SPARGIO_LANE", side.lane)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (lines, said) = mpsc::channel();
    let streams: [Box<dyn std::io::Read + Send>; 2] =
        [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
    for stream in streams {
        let lines = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
    }
    drop(lines);
    let (mut output, mut times) = (String::new(), Vec::new());
    let mut current = seeds.start;
    loop {
        // The child itself says so if one hangs, unless it cannot any more.
        match said.recv_timeout(patience() + Duration::from_secs(60)) {
            Ok(line) => {
                if let Some(seed) = line.strip_prefix("chaos: begins ") {
                    current = seed.parse().unwrap();
                    output.clear();
                } else if let Some(micros) = line.strip_prefix("chaos: took ") {
                    times.push(Duration::from_micros(micros.parse().unwrap()));
                }
                output += &line;
                output.push('\n');
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                output += "it says nothing any more";
                let _ = child.kill();
            }
        }
    }
    let status = child.wait().unwrap();
    if status.success() && times.len() as u64 == seeds.end - seeds.start {
        Ok(times)
    } else {
        Err((current, format!("{output}{}: {status}", side.name)))
    }
}

/// Only the parts that are asked for.
fn smaller(mut plan: Plan) -> Plan {
    let parts: String = variable("CHAOS_PARTS", String::new());
    if !parts.is_empty() {
        let numbers: Vec<usize> = parts.split(',').map(|n| n.parse().expect("CHAOS_PARTS")).collect();
        let all = std::mem::take(&mut plan.parts);
        plan.parts = numbers.iter().map(|&n| all[n].clone()).collect();
    }
    plan
}

/// Runs programs in this process.
pub fn child(seeds: Range<u64>, run: impl Fn(&Plan, &Arc<Ledger>) + Copy + Sync) {
    // What a process makes once, and keeps.
    watched(&Plan::everything(), run);
    process::settles(Duration::from_millis(200), || vec![String::new()]);
    let (descriptors, threads) = (process::descriptors(), process::threads());
    for seed in seeds {
        println!("chaos: begins {seed}");
        let begin = Instant::now();
        let ledger = watched(&smaller(Plan::new(seed)), run);
        let took = begin.elapsed();
        let left = process::settles(patience(), || {
            let mut left = process::more(&process::descriptors(), &descriptors);
            left.extend(process::more(&process::threads(), &threads));
            left.extend(process::children());
            if ledger.alive() != 0 {
                left.push(format!("{} futures and closures", ledger.alive()));
            }
            left
        });
        if !left.is_empty() {
            println!("left behind by {seed}: {left:#?}\n{}", ledger.report());
            process::print_threads();
        }
        let failures = ledger.failures();
        println!("{}", failures.join("\n"));
        assert!(left.is_empty() && failures.is_empty(), "program {seed} failed");
        println!("chaos: took {}", took.as_micros());
    }
}

/// Runs one; says where it is and ends the process if it takes too long.
fn watched(plan: &Plan, run: impl Fn(&Plan, &Arc<Ledger>) + Copy + Sync) -> Arc<Ledger> {
    let ledger = Ledger::begin();
    let (end, ended) = mpsc::channel::<()>();
    let told = ledger.clone();
    let watch = thread::spawn(move || {
        if ended.recv_timeout(patience()) == Err(mpsc::RecvTimeoutError::Timeout) {
            println!("it hangs:\n{}{}", told.report(), told.failures().join("\n"));
            process::print_threads();
            std::process::abort();
        }
    });
    // On a thread of its own: a thread keeps a ring as long as it lives.
    let ran = thread::scope(|scope| scope.spawn(|| run(plan, &ledger)).join());
    if ran.is_err() {
        ledger.fail(String::from("the program panicked"));
    }
    drop(end);
    watch.join().unwrap();
    ledger
}
