//! Every row of the benches beside Tokio, on one board: which are slower, and which reach what they are to.
//!
//! ```text
//! cargo bench --bench scoreboard -- measure                             # all rows, some eight minutes
//! cargo bench --bench scoreboard -- measure echo tasks                  # those of two benches
//! cargo bench --bench scoreboard -- measure instructions                # counted by valgrind: exact
//! cargo bench --bench scoreboard -- measure --against docs/scoreboard.json
//! cargo bench --bench scoreboard -- show docs/scoreboard.json           # a board from before
//! ```
//!
//! The rows come from the benches themselves, one after the other, as they print them: interleaved rounds, medians of
//! both sides, and the median and the quartiles of the rounds' ratios. The board goes to `target/scoreboard.json` and
//! `target/scoreboard.svg`. Against another board a row that got worse by more than a tenth, beyond the quartiles of
//! both, is named, and the command fails.
//!
//! On a machine that does other things, or that is not the one of the other board, ratios still hold, times do not.

#[path = "scoreboard/aims.rs"]
mod aims;
#[path = "scoreboard/board.rs"]
mod board;
#[path = "scoreboard/counts.rs"]
mod counts;
#[path = "common/numbers.rs"]
mod numbers;
#[path = "scoreboard/picture.rs"]
mod picture;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use board::Board;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Those whose rows are ratios to Tokio. The last one is counted, not measured.
const BENCHES: [&str; 7] = ["echo", "tasks", "small", "timers", "fs", "liveness", counts::BENCH];

const USAGE: &str = "\
cargo bench --bench scoreboard -- measure [BENCH]... [--against FILE]
cargo bench --bench scoreboard -- show FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match &arguments[..] {
        ["measure", rest @ ..] => measure(rest),
        ["show", file] => Board::read(Path::new(file)).map(|board| {
            println!("{board}");
            true
        }),
        // All benches are run: this one would run them all again.
        _ => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scoreboard: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `false` if a row got worse.
fn measure(arguments: &[&str]) -> Result<bool> {
    let mut benches = Vec::new();
    let mut against = None;
    let mut rest = arguments.iter();
    while let Some(&argument) = rest.next() {
        match argument {
            "--against" => against = Some(rest.next().ok_or("--against needs a file")?),
            bench if BENCHES.contains(&bench) => benches.push(bench),
            other => return Err(format!("`{other}` is none of {BENCHES:?}\n{USAGE}").into()),
        }
    }
    // Before minutes are spent on what it is to be compared with.
    let against = against.map(|file| Board::read(Path::new(file))).transpose()?;
    let benches = if benches.is_empty() { BENCHES.to_vec() } else { benches };
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures");
    fs::create_dir_all(&folder)?;
    let mut board = Board::default();
    for (n, bench) in benches.iter().enumerate() {
        println!("== {bench} ({} of {})", n + 1, benches.len());
        match *bench {
            counts::BENCH => counts::add_to(&mut board)?,
            bench => board.add(&figures(bench, &folder)?)?,
        }
    }
    println!("\n{board}");
    let target = target();
    board.write(&target.join("scoreboard.json"))?;
    fs::write(target.join("scoreboard.svg"), picture::draw(&board))?;
    println!("written to {}", target.join("scoreboard.{json,svg}").display());
    let worse = against.map(|before| board.worse_than(&before)).unwrap_or_default();
    for (row, before, now) in &worse {
        println!("WORSE {row}: {now:.2} instead of {before:.2}");
    }
    Ok(worse.is_empty())
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).parent();
    folder.expect("`tmp` lies in a folder").to_owned()
}

fn cargo() -> OsString {
    env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs the bench, which prints its rows meanwhile.
fn figures(bench: &str, folder: &Path) -> Result<PathBuf> {
    let status = Command::new(cargo())
        .args(["bench", "-q", "--bench", bench])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .envs([("SPARGIO_BENCH", "table".as_ref()), ("SPARGIO_FIGURES", folder.as_os_str())])
        .status()?;
    if !status.success() {
        return Err(format!("the bench {bench} fails: {status}").into());
    }
    Ok(folder.join(format!("{bench}.json")))
}
