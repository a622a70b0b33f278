//! Random reads of a file: CPU time per read.
//!
//! A process of its own for each turn; it prints its CPU time for the reads, without its start.

mod readers;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

use crate::options::Options;
use crate::side::Side;
use crate::table::Table;

const READER: &str = "--reader";
/// What one read asks for.
pub const BLOCK: usize = 4096;
const BLOCKS: u64 = 16 * 1024;

/// What is read, and how.
#[derive(Clone)]
pub struct Plan {
    pub path: PathBuf,
    pub direct: bool,
    pub depth: usize,
    pub reads: u64,
}

impl Plan {
    /// The offsets of the reader `lane` of `depth`, a fixed sequence.
    pub fn offsets(&self, lane: usize) -> impl Iterator<Item = u64> + use<> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(lane as u64 + 1);
        (0..self.reads / self.depth as u64).map(move |_| {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % BLOCKS * BLOCK as u64
        })
    }
}

/// If this process was started as a reader: reads, and never returns.
pub fn read_if_asked() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [first, side, direct, depth, reads, path] = &arguments[..] else {
        return Ok(());
    };
    if first != READER {
        return Ok(());
    }
    let parse = |text: &str| text.parse().map_err(io::Error::other);
    let side: Side = side.parse().map_err(io::Error::other)?;
    let plan = Plan {
        path: path.into(),
        direct: direct == "direct",
        depth: parse(depth)? as usize,
        reads: parse(reads)?,
    };
    let time = readers::read(side, plan, cpu_time)?;
    println!("{time}");
    std::process::exit(0);
}

fn cpu_time() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub fn run(options: &Options) -> io::Result<()> {
    let mut table = Table::new("files", "CPU per read of 4 KiB", options);
    // Not in /tmp, which may be a file system in memory that knows no O_DIRECT.
    let mut file = tempfile::NamedTempFile::new_in(".")?;
    for block in 0..BLOCKS {
        file.write_all(&[block as u8; BLOCK])?;
    }
    file.as_file().sync_all()?;
    for (direct, depth, reads) in
        [(false, 1, 20_000), (false, 32, 32_000), (true, 1, 2_000), (true, 32, 8_000)]
    {
        let how = if direct { "O_DIRECT" } else { "cached" };
        let name = format!("{how}, depth {depth}");
        if table.wants(&name) {
            table.row(&name, |side| turn(options.sides[side], file.path(), direct, depth, reads))?;
        }
    }
    Ok(())
}

fn turn(side: Side, path: &Path, direct: bool, depth: usize, reads: u64) -> io::Result<f64> {
    let output = Command::new(std::env::current_exe()?)
        .args([READER, &side.to_string(), if direct { "direct" } else { "cached" }])
        .args([depth.to_string(), reads.to_string()])
        .arg(path)
        .env("SPARGIO_LANE", side.lane())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{side}: {}", String::from_utf8_lossy(&output.stderr))));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let nanos: f64 = text.trim().parse().map_err(io::Error::other)?;
    Ok(nanos / reads as f64)
}
