//! Instructions of what is small: the same each time, whatever else the machine does.
//!
//! `valgrind --tool=callgrind` counts those of user space, on epoll: it knows no rings.

use std::process::Command;

use super::board::{Board, Row};
use super::{Result, cargo};

/// The bench that they belong to, by name.
pub const BENCH: &str = "instructions";

/// Rows of `benches/small` by the names they have there, and how many times each is done: the difference of two counts
/// is what it costs.
const ROWS: [(&str, [u64; 2]); 10] = [
    ("block_on_ready", [500, 2500]),
    ("block_on_yield", [500, 2500]),
    ("block_on_set", [500, 2500]),
    ("now", [500, 2500]),
    ("block_on_spawned", [500, 2500]),
    ("block_on_ready_2_workers", [500, 2500]),
    ("permits_of_tasks", [100, 500]),
    ("build_current_thread", [20, 120]),
    ("simulate", [20, 120]),
    ("simulate_10", [10, 60]),
];

/// Counts them all.
pub fn add_to(board: &mut Board) -> Result<()> {
    for (row, times) in ROWS {
        let [tokio, spargio] = ["tokio", "spargio"].map(|side| cost(side, row, times));
        let row = Row::exact(&format!("{BENCH}/{row}"), [tokio?, spargio?]);
        println!("{row}");
        board.rows.push(row);
    }
    Ok(())
}

fn cost(side: &str, row: &str, times: [u64; 2]) -> Result<f64> {
    let [fewer, more] = times.map(|times| count(side, row, times));
    Ok((more? as f64 - fewer? as f64) / (times[1] - times[0]) as f64)
}

fn count(side: &str, row: &str, times: u64) -> Result<u64> {
    let output = Command::new(cargo())
        .args(["bench", "-q", "--bench", "small"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("SPARGIO_COUNTED", format!("{side}:{row}:{times}"))
        .env("SPARGIO_BACKEND", "epoll")
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER",
            "valgrind --tool=callgrind --callgrind-out-file=/dev/null",
        )
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let counted = said.lines().find_map(|line| line.split_once("Collected :"));
    let counted = counted.and_then(|(_, number)| number.trim().parse().ok());
    counted.ok_or_else(|| format!("valgrind (is it there?) counts nothing of {side}:{row}: {said}").into())
}
