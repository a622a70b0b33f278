//! The same echo server on Tokio and on spargio, measured side by side.
//!
//! ```text
//! cargo run --release --example side_by_side
//! cargo run --release --example side_by_side -- --connections 512 --size 4096
//! cargo run --release --example side_by_side -- --help
//! ```
//!
//! `server.rs` is an ordinary Tokio program, compiled twice. Each of the two servers runs in a
//! process of its own; this one is the client. The servers take turns, so that whatever else the
//! machine does meets both, and the figures are medians over the rounds.
//!
//! By default all three run on one CPU: then only one of them runs at a time, the figures do not
//! depend on how fast CPUs wake each other, and the server's CPU time is all it costs.

mod client;
mod cpu;
mod kernel;
mod options;
mod process;
mod report;
mod side;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::Load;
use options::{Options, Placement};
use process::Server;
use report::{Measured, Turn};
use side::Side;

/// Requests that are counted for the system calls.
const COUNTED: u64 = 10_000;

fn main() -> ExitCode {
    process::serve_if_asked();
    let options = match options::read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{}", options::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(why) => {
            eprintln!("error: {why}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> io::Result<()> {
    introduce(options);
    if let Some(cpu) = options.placement.client() {
        cpu::pin(&[cpu])?;
    }
    let mut contestants = [Contestant::new(Side::Tokio, options)?, Contestant::new(Side::Spargio, options)?];
    for round in 0..options.rounds {
        // Who goes first takes turns, too.
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for index in order {
            contestants[index].take_turn(round, options)?;
        }
    }
    let [tokio, spargio] = contestants;
    let measured = [tokio.finish(options)?, spargio.finish(options)?];
    report::print(&measured);
    Ok(())
}

fn introduce(options: &Options) {
    let Options { connections, size, rounds, turn, workers, placement } = options;
    let server = match workers {
        0 => "a current_thread server".to_string(),
        workers => format!("a multi-thread server with {workers} worker(s)"),
    };
    let place = match placement {
        Placement::Same(cpu) => format!("client and server on CPU {cpu}"),
        Placement::Apart { client, server } => {
            format!("client on CPU {client}, server on CPU {server}")
        }
        Placement::Anywhere => "on any CPU".to_string(),
    };
    println!("echo over TCP: {connections} connections x {size} bytes, {server}, {place}");
    println!("{rounds} rounds of {turn:?} for each side\n");
    if cfg!(debug_assertions) {
        println!("This is a debug build: for figures that mean something, add --release.\n");
    }
}

/// One side: its server and the connections to it.
struct Contestant {
    side: Side,
    server: Server,
    load: Load,
    latencies: Vec<u32>,
    turns: Vec<Turn>,
    requests: u64,
    /// Ring entries submitted, and completions, before the first turn.
    ring_traffic: (u64, u64),
}

impl Contestant {
    fn new(side: Side, options: &Options) -> io::Result<Contestant> {
        let command = process::command(side, options.workers, options.placement.server())?;
        let server = Server::start(command).map_err(|error| of(side, error))?;
        let mut load = Load::connect(server.address(), options.connections, options.size)?;
        let mut latencies = Vec::new();
        let warm = Instant::now() + options.turn / 4;
        load.run(|_| Instant::now() < warm, &mut latencies).map_err(|error| of(side, error))?;
        let waiting = kernel::waiting(server.child.id())?;
        let ring_traffic = (waiting.submitted, waiting.completed);
        Ok(Contestant { side, server, load, latencies, turns: Vec::new(), requests: 0, ring_traffic })
    }

    fn take_turn(&mut self, round: usize, options: &Options) -> io::Result<()> {
        print!("round {:>2} of {}   {:<9}", round + 1, options.rounds, self.side);
        io::stdout().flush()?;
        self.latencies.clear();
        let turn = self.measure(options.turn).map_err(|error| of(self.side, error))?;
        println!(
            "{:>9.0} requests/s   p99 {:>7.0} µs   server CPU {:>6.2} µs a request",
            turn.requests_per_second, turn.p99, turn.cpu
        );
        self.turns.push(turn);
        Ok(())
    }

    fn measure(&mut self, duration: Duration) -> io::Result<Turn> {
        let sleeps = kernel::sleeps(self.server.child.id())?;
        let cpu = self.server.cpu_time()?;
        let start = Instant::now();
        let end = start + duration;
        self.requests += self.load.run(|_| Instant::now() < end, &mut self.latencies)?;
        let elapsed = start.elapsed();
        let cpu = self.server.cpu_time()? - cpu;
        let sleeps = kernel::sleeps(self.server.child.id())? - sleeps;
        Ok(Turn::new(elapsed, cpu, sleeps, &mut self.latencies))
    }

    fn finish(self, options: &Options) -> io::Result<Measured> {
        let waiting = kernel::waiting(self.server.child.id())?;
        let per_request = |count: u64| count as f64 / self.requests.max(1) as f64;
        let (submitted, completed) = self.ring_traffic;
        let ring_traffic =
            (per_request(waiting.submitted - submitted), per_request(waiting.completed - completed));
        let calls = if kernel::has_strace() { Some(count_calls(self.side, options)?) } else { None };
        Ok(Measured { turns: self.turns, waiting, ring_traffic, calls })
    }
}

/// System calls for each request, by name: those of a server that answers [`COUNTED`] requests, less
/// those of one that answers none.
fn count_calls(side: Side, options: &Options) -> io::Result<BTreeMap<String, f64>> {
    print!("counting system calls (strace)   {side:<9}");
    io::stdout().flush()?;
    let with = run_counted(side, options, COUNTED)?;
    let without = run_counted(side, options, 0)?;
    println!("done");
    let count = |(name, &calls): (&String, &u64)| {
        let calls = calls.saturating_sub(without.get(name).copied().unwrap_or(0));
        (name.clone(), calls as f64 / COUNTED as f64)
    };
    Ok(with.iter().map(count).collect())
}

fn run_counted(side: Side, options: &Options, requests: u64) -> io::Result<BTreeMap<String, u64>> {
    let summary = std::env::temp_dir().join(format!("side_by_side.{}.strace", std::process::id()));
    let command = process::command(side, options.workers, options.placement.server())?;
    let server = Server::start(kernel::counted(&command, &summary)).map_err(|error| of(side, error))?;
    let mut load = Load::connect(server.address(), options.connections, options.size)?;
    let mut answer = |requests| load.run(|so_far| so_far < requests, &mut Vec::new());
    // First one request on each connection, and a pause in which the server begins to wait for the
    // next: from then on it is as in the middle of a long run.
    answer(options.connections as u64).map_err(|error| of(side, error))?;
    std::thread::sleep(Duration::from_millis(100));
    answer(requests).map_err(|error| of(side, error))?;
    // It is the end of the process that makes strace write.
    drop(server);
    let calls = kernel::read_summary(&summary);
    std::fs::remove_file(&summary)?;
    calls
}

fn of(side: Side, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{side}: {error}"))
}
