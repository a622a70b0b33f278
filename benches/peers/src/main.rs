//! spargio beside Tokio and the other `io_uring` runtimes, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- [echo|files] [--rounds N]
//! ```
//!
//! Without arguments it measures everything, which takes some minutes.
//!
//! - **echo**: a server of each runtime in a process of its own, all on one CPU with the client; the
//!   figure is the server's CPU time per request. Where `strace` is installed its system calls are
//!   counted, in a run of their own.
//! - **files**: 4 KiB random reads of one file, one or 32 at a time, from the page cache and with
//!   `O_DIRECT`; the figure is the process's CPU time per read, kernel threads not included.
//!
//! This crate is there three times: `spargio` is Tokio's very source, `spargio-lane` the same in the
//! environment `SPARGIO_LANE=native` (which files do not heed), and `spargio-native` says `native()` where
//! it reads and writes.
//!
//! Each row is measured in rounds, in each round on every runtime, and who goes first changes from
//! round to round. The table shows medians, and the median of the rounds' ratios to Tokio.

#[path = "../../../examples/side_by_side/client.rs"]
mod client;
#[path = "../../../examples/side_by_side/cpu.rs"]
mod cpu;
mod echo;
mod files;
#[allow(dead_code)]
#[path = "../../../examples/side_by_side/kernel.rs"]
mod kernel;
#[path = "../../../examples/side_by_side/process.rs"]
mod process;
mod servers;
mod side;
mod table;

use std::io;

fn main() -> io::Result<()> {
    process::serve_if_asked();
    files::read_if_asked()?;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let rounds = arguments.iter().skip_while(|word| *word != "--rounds").nth(1);
    let rounds = rounds.map_or(Ok(9), |rounds| rounds.parse()).map_err(io::Error::other)?;
    let chosen = arguments.first().filter(|word| !word.starts_with('-')).map(String::as_str);

    let all = cpu::allowed()?;
    let one = all.last().copied();
    cpu::pin(one.as_slice())?;
    if chosen.is_none_or(|chosen| chosen == "echo") {
        echo::run(rounds, one)?;
    }
    if chosen.is_none_or(|chosen| chosen == "files") {
        files::run(rounds)?;
    }
    Ok(())
}
