//! spargio beside Tokio and the other `io_uring` runtimes, in one run.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml -- [--rounds N] [--sides tokio,…] [ROW]
//! ```
//!
//! Without arguments it measures everything, which takes some minutes; with a part of a row's name, as in
//! `echo/64`, such rows only.
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
mod options;
#[path = "../../../examples/side_by_side/process.rs"]
mod process;
mod servers;
mod side;
mod table;

use std::io;

fn main() -> io::Result<()> {
    process::serve_if_asked();
    files::read_if_asked()?;

    let options = options::read(std::env::args().skip(1))?;
    let one = cpu::allowed()?.last().copied();
    cpu::pin(one.as_slice())?;
    echo::run(&options, one)?;
    files::run(&options)
}
