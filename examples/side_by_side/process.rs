//! A server in a process of its own, so that its CPU time is nobody else's.
//!
//! # Protocol
//!
//! The process first prints `port <number>` or `failed <why>`. Then it answers each line it reads
//! with its CPU time so far, in nanoseconds. When its input ends, it ends.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, process, thread};

use rustix::time::{ClockId, clock_gettime};

use super::cpu;
use super::side::Side;

/// The first argument of a server process.
const SERVER: &str = "--server";

/// A running server process; killed when dropped.
pub struct Server {
    pub child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

/// How to start a server: this executable, on `cpu` if one is given.
pub fn command(side: Side, workers: usize, cpu: Option<usize>) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    let cpu = cpu.map_or("any".to_string(), |cpu| cpu.to_string());
    command.args([SERVER, &side.to_string(), &workers.to_string(), &cpu]);
    Ok(command)
}

impl Server {
    /// Starts what [`command`] made, or something around it.
    pub fn start(mut command: Command) -> io::Result<Server> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let input = child.stdin.take();
        let Some(output) = child.stdout.take() else { unreachable!("it is piped") };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut server = Server { child, input, output: BufReader::new(output), address };
        let line = server.read_line()?;
        match line.split_once(' ') {
            Some(("port", port)) => server.address.set_port(port.parse().map_err(io::Error::other)?),
            Some(("failed", why)) => {
                return Err(io::Error::other(format!("the server could not start: {why}")));
            }
            _ => return Err(io::Error::other(format!("the server said `{line}`"))),
        }
        Ok(server)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its CPU time so far, of all its threads.
    pub fn cpu_time(&mut self) -> io::Result<Duration> {
        if let Some(input) = &mut self.input {
            input.write_all(b"\n")?;
        }
        let nanos = self.read_line()?.parse().map_err(io::Error::other)?;
        Ok(Duration::from_nanos(nanos))
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            return Err(io::Error::other(format!("the server process ended: {status}")));
        }
        Ok(line.trim_end().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The end of its input ends it.
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

/// If this process was started as a server: serves, and never returns.
pub fn serve_if_asked() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [first, side, workers, cpu] = &arguments[..] else {
        return;
    };
    if first != SERVER {
        return;
    }
    let served = serve(side, workers, cpu);
    if let Err(why) = served {
        println!("failed {why}");
    }
    process::exit(1);
}

fn serve(side: &str, workers: &str, cpu: &str) -> Result<(), String> {
    let side: Side = side.parse()?;
    let workers = workers.parse().map_err(|_| format!("`{workers}` is no number of workers"))?;
    if let Ok(cpu) = cpu.parse() {
        cpu::pin(&[cpu]).map_err(|error| format!("cannot run on CPU {cpu}: {error}"))?;
    }
    side.serve(workers, |port| {
        thread::spawn(answer);
        println!("port {port}");
    })
    .map_err(|error| error.to_string())
}

/// The process's side of the protocol.
fn answer() {
    for line in io::stdin().lines() {
        if line.is_err() {
            break;
        }
        let time = clock_gettime(ClockId::ProcessCPUTime);
        println!("{}", time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64);
    }
    process::exit(0);
}
