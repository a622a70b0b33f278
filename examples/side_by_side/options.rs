//! The command line.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};

use super::cpu;

pub const USAGE: &str = "\
The same echo server on Tokio and on spargio, measured side by side.

usage: side_by_side [options]

  --connections N   connections, each with one request under way   [64]
  --size BYTES      bytes of a request and of its answer           [128]
  --rounds N        rounds; in each both servers have their turn   [5]
  --seconds S       seconds a turn takes                           [1.5]
  --workers N       a multi-thread server with N workers, on any CPU;
                    0 for a current_thread server on one CPU       [0]
  --apart           client and server on two CPUs instead of one
  --help            this text
";

/// What to measure, and how.
#[derive(Debug)]
pub struct Options {
    pub connections: usize,
    pub size: usize,
    pub rounds: usize,
    pub turn: Duration,
    pub workers: usize,
    pub placement: Placement,
}

/// Who runs on which CPU.
#[derive(Debug, Clone, Copy)]
pub enum Placement {
    Same(usize),
    Apart { client: usize, server: usize },
    Anywhere,
}

impl Placement {
    pub fn client(self) -> Option<usize> {
        match self {
            Placement::Same(cpu) | Placement::Apart { client: cpu, .. } => Some(cpu),
            Placement::Anywhere => None,
        }
    }

    pub fn server(self) -> Option<usize> {
        match self {
            Placement::Same(cpu) | Placement::Apart { server: cpu, .. } => Some(cpu),
            Placement::Anywhere => None,
        }
    }
}

/// Reads the arguments; `None` if help is asked for.
pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let (mut connections, mut size, mut rounds, mut seconds, mut workers, mut apart) =
        (64, 128, 5, 1.5, 0, false);
    while let Some(argument) = arguments.next() {
        let (name, value) = match argument.split_once('=') {
            Some((name, value)) => (name, Some(value.to_string())),
            None => (&argument[..], None),
        };
        let mut value =
            || value.clone().or_else(|| arguments.next()).ok_or_else(|| format!("{name} needs a value"));
        match name {
            "--connections" => connections = number(name, &value()?, 1, 20_000)?,
            "--size" => size = number(name, &value()?, 1, 1 << 24)?,
            "--rounds" => rounds = number(name, &value()?, 1, 1_000)?,
            "--seconds" => seconds = number(name, &value()?, 0.1, 3_600.0)?,
            "--workers" => workers = number(name, &value()?, 0, 1_024)?,
            "--apart" => apart = true,
            "--help" | "-h" => return Ok(None),
            _ => return Err(format!("unknown argument `{argument}`")),
        }
    }
    enough_descriptors(connections)?;
    let turn = Duration::from_secs_f64(seconds);
    let placement = place(workers, apart)?;
    Ok(Some(Options { connections, size, rounds, turn, workers, placement }))
}

fn number<T: FromStr + PartialOrd + Display>(name: &str, value: &str, min: T, max: T) -> Result<T, String> {
    match value.parse() {
        Ok(number) if number >= min && number <= max => Ok(number),
        _ => Err(format!("{name} takes a number from {min} to {max}, not `{value}`")),
    }
}

/// Client and server need one descriptor for each connection, and some more.
fn enough_descriptors(connections: usize) -> Result<(), String> {
    let needed = connections as u64 + 64;
    match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => Err(format!(
            "--connections {connections} needs {needed} file descriptors, and the limit is {limit}: \
             raise it with `ulimit -n {needed}`"
        )),
        _ => Ok(()),
    }
}

fn place(workers: usize, apart: bool) -> Result<Placement, String> {
    if workers > 0 {
        return match apart {
            true => Err("--apart is for a current_thread server (--workers 0)".into()),
            false => Ok(Placement::Anywhere),
        };
    }
    let cpus = cpu::allowed().map_err(|error| format!("cannot tell which CPUs there are: {error}"))?;
    match (&cpus[..], apart) {
        ([client, .., server], true) => Ok(Placement::Apart { client: *client, server: *server }),
        (_, true) => Err("--apart needs two CPUs, and there is one".into()),
        ([.., cpu], false) => Ok(Placement::Same(*cpu)),
        ([], false) => Ok(Placement::Anywhere),
    }
}
