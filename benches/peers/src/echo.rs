//! Echo servers: CPU time per request.

use std::collections::BTreeMap;
use std::io;
use std::process::Command;
use std::time::Duration;

use crate::client::Load;
use crate::kernel;
use crate::options::Options;
use crate::process::{self, Server};
use crate::side::Side;
use crate::table::Table;

/// Requests of a turn.
const REQUESTS: u64 = 4000;
/// Requests of which the system calls are counted.
const COUNTED: u64 = 4000;

struct Echo {
    server: Server,
    load: Load,
    latencies: Vec<u32>,
}

impl Echo {
    fn start(side: Side, cpu: Option<usize>, connections: usize, size: usize) -> io::Result<Echo> {
        let server = Server::start(command(side, cpu)?)?;
        let load = Load::connect(server.address(), connections, size)?;
        Ok(Echo { server, load, latencies: Vec::new() })
    }

    /// The server's CPU time for each of so many requests, in nanoseconds.
    fn measure(&mut self, requests: u64) -> io::Result<f64> {
        let before = self.server.cpu_time()?;
        self.latencies.clear();
        let done = self.load.run(|so_far| so_far < requests, &mut self.latencies)?;
        Ok((self.server.cpu_time()? - before).as_nanos() as f64 / done as f64)
    }
}

fn command(side: Side, cpu: Option<usize>) -> io::Result<Command> {
    let mut command = process::command(side, 0, cpu)?;
    command.env("SPARGIO_LANE", side.lane());
    Ok(command)
}

pub fn run(options: &Options, cpu: Option<usize>) -> io::Result<()> {
    let sides = &options.sides;
    let mut table = Table::new("echo", "CPU per request", options);
    for size in [128, 4096, 16384] {
        for connections in [64, 512] {
            let name = format!("{connections} connections x {size} B");
            if !table.wants(&name) {
                continue;
            }
            let start = |&side| Echo::start(side, cpu, connections, size);
            let mut servers = sides.iter().map(start).collect::<io::Result<Vec<_>>>()?;
            for echo in &mut servers {
                echo.measure(4 * connections as u64)?;
            }
            let requests = REQUESTS.max(8 * connections as u64);
            table.row(&name, |side| servers[side].measure(requests))?;
        }
    }
    if kernel::has_strace() {
        let mut table = Table::new("echo", "system calls per request", options);
        for connections in [64, 512] {
            let name = format!("{connections} connections x 128 B");
            if table.wants(&name) {
                let figures = sides.iter().map(|&side| calls(side, cpu, connections, 128));
                table.counts(&name, figures.collect::<io::Result<Vec<_>>>()?);
            }
        }
    }
    Ok(())
}

/// System calls for each request: those of a server that answers [`COUNTED`] requests, less those of
/// one that answers none.
fn calls(side: Side, cpu: Option<usize>, connections: usize, size: usize) -> io::Result<f64> {
    let count = |requests| {
        let calls = run_counted(command(side, cpu)?, connections, size, requests)?;
        io::Result::Ok(calls.values().sum::<u64>() as f64)
    };
    Ok((count(COUNTED)? - count(0)?) / COUNTED as f64)
}

fn run_counted(
    command: Command,
    connections: usize,
    size: usize,
    requests: u64,
) -> io::Result<BTreeMap<String, u64>> {
    let summary = tempfile::NamedTempFile::new()?;
    let mut counted = kernel::counted(&command, summary.path());
    counted.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let server = Server::start(counted)?;
    let mut load = Load::connect(server.address(), connections, size)?;
    let mut answer = |requests| load.run(|so_far| so_far < requests, &mut Vec::new());
    // First one request on each connection, and a pause in which the server begins to wait for the next.
    answer(connections as u64)?;
    std::thread::sleep(Duration::from_millis(100));
    answer(requests)?;
    // It is the end of the process that makes strace write.
    drop(server);
    kernel::read_summary(summary.path())
}
