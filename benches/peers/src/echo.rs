//! Echo servers: CPU time per request.

use std::io;

use crate::client::Load;
use crate::process::{self, Server};
use crate::side::Side;
use crate::table;

/// Requests of a turn.
const REQUESTS: u64 = 4000;

struct Echo {
    server: Server,
    load: Load,
    latencies: Vec<u32>,
}

impl Echo {
    fn start(side: Side, cpu: Option<usize>, connections: usize, size: usize) -> io::Result<Echo> {
        let server = Server::start(process::command(side, 0, cpu)?)?;
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

pub fn run(rounds: usize, cpu: Option<usize>) -> io::Result<()> {
    table::head("echo, CPU per request", &Side::ALL);
    for size in [128, 4096, 16384] {
        for connections in [64, 512] {
            let start = |side| Echo::start(side, cpu, connections, size);
            let mut sides = Side::ALL.into_iter().map(start).collect::<io::Result<Vec<_>>>()?;
            for echo in &mut sides {
                echo.measure(4 * connections as u64)?;
            }
            let name = format!("{connections} connections x {size} B");
            let requests = REQUESTS.max(8 * connections as u64);
            table::measure(&name, rounds, sides.len(), |side| sides[side].measure(requests).map(Some))?
                .print();
        }
    }
    Ok(())
}
