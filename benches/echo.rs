//! An echo server's CPU time for each request, on Tokio and on spargio; in the rows called `native`
//! with its hot path on the native lane.
//!
//! Server and client are those of `examples/side_by_side`: the server in a process of its own, and
//! both on one CPU, so that the server's CPU time is all that a request costs it. With two workers
//! they run where the scheduler of the system puts them. In the rows called `SPARGIO_LANE=native` it is
//! Tokio's very server, in that environment.

#[path = "../examples/side_by_side/client.rs"]
mod client;
mod common;
#[path = "../examples/side_by_side/cpu.rs"]
mod cpu;
#[path = "../examples/side_by_side/process.rs"]
mod process;
#[path = "../examples/side_by_side/side.rs"]
mod side;

use std::io;
use std::time::Duration;

use client::Load;
use common::Bench;
use process::Server;
use side::Side;

/// The lane that streams take by themselves.
const READINESS: &str = "readiness";

/// A server and connections to it.
struct Echo {
    server: Server,
    load: Load,
    latencies: Vec<u32>,
}

impl Echo {
    fn start(
        (side, lane): (Side, &str),
        workers: usize,
        cpu: Option<usize>,
        connections: usize,
        size: usize,
    ) -> io::Result<Echo> {
        let mut command = process::command(side, workers, cpu)?;
        command.env("SPARGIO_LANE", lane);
        let server = Server::start(command)?;
        let load = Load::connect(server.address(), connections, size)?;
        Ok(Echo { server, load, latencies: Vec::new() })
    }

    /// The server's CPU time for so many requests.
    fn measure(&mut self, requests: u64) -> io::Result<Duration> {
        let before = self.server.cpu_time()?;
        self.latencies.clear();
        self.load.run(|so_far| so_far < requests, &mut self.latencies)?;
        Ok(self.server.cpu_time()? - before)
    }
}

fn main() -> io::Result<()> {
    process::serve_if_asked();
    let all = cpu::allowed()?;
    let one = all.last().copied();
    let mut bench = Bench::new("echo");
    cpu::pin(one.as_slice())?;
    for size in [128, 4096, 16384] {
        for connections in [1, 64, 512] {
            let name = format!("{connections} connections x {size} B");
            let mut row = |name: &str, side| row(&mut bench, name, side, 0, one, connections, size);
            row(&name, (Side::Spargio, READINESS))?;
            row(&format!("SPARGIO_LANE=native {name}"), (Side::Spargio, "native"))?;
            row(&format!("native {name}"), (Side::Native, READINESS))?;
        }
    }
    cpu::pin(&all)?;
    let name = "64 connections x 128 B, 2 workers";
    row(&mut bench, name, (Side::Spargio, READINESS), 2, None, 64, 128)?;
    row(&mut bench, &format!("SPARGIO_LANE=native {name}"), (Side::Spargio, "native"), 2, None, 64, 128)?;
    bench.finish();
    Ok(())
}

fn row(
    bench: &mut Bench,
    name: &str,
    (side, lane): (Side, &str),
    workers: usize,
    cpu: Option<usize>,
    connections: usize,
    size: usize,
) -> io::Result<()> {
    if !bench.wants(name) {
        return Ok(());
    }
    let mut tokio = Echo::start((Side::Tokio, lane), workers, cpu, connections, size)?;
    let mut spargio = Echo::start((side, lane), workers, cpu, connections, size)?;
    // All connections take part from here on.
    tokio.measure(4 * connections as u64)?;
    spargio.measure(4 * connections as u64)?;

    let measure = |echo: &mut Echo, requests| match echo.measure(requests) {
        Ok(time) => time,
        Err(error) => panic!("{name}: {error}"),
    };
    bench.row(name, 1, &mut |n| measure(&mut tokio, n), &mut |n| measure(&mut spargio, n));
    Ok(())
}
