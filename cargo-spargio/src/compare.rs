//! The same program on Tokio and on spargio.
//!
//! 1. Both are built, in release: the program as it is, and as `cargo spargio build` does.
//! 2. They run in turns, and each round begins with the other one: what else the machine does
//!    meets both. What is shown is the median of the rounds.
//! 3. System calls are counted in one more run each, under `perf` or `strace`, which would spoil
//!    the other figures.

mod measure;
mod table;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::adopt::is_adopted;
use crate::build::Moved;
use crate::cli::Compare;
use crate::problem::{About, Problem, Result};
use crate::project::{cargo, list, metadata};
use measure::{Load, Run, run_once, system_calls};

pub(crate) const SIDES: [&str; 2] = ["Tokio", "spargio"];

pub(crate) fn run(options: &Compare) -> Result<()> {
    let moved = Moved::new(&options.common)?;
    let manifest = moved.project.root.join("Cargo.toml");
    if is_adopted(&fs::read_to_string(&manifest).about(manifest.display())?) {
        return Err(Problem::new("this program has adopted spargio: there is no Tokio to compare with")
            .cure("cargo spargio remove, compare, and adopt again"));
    }
    let [name, args @ ..] = &options.program[..] else {
        return Err(Problem::usage("compare wants a program"));
    };
    let target = target(&moved.project.manifest, name)?;

    let command = ["build".to_owned(), "--release".to_owned()];
    let mut original = cargo();
    original.args(&command).arg("--manifest-path").arg(&moved.project.manifest);
    original.args(&options.common.features);
    if options.common.locked {
        original.arg("--locked");
    }
    if options.common.offline {
        original.arg("--offline");
    }
    let mut programs = Vec::new();
    for (side, mut cargo) in SIDES.into_iter().zip([original, moved.cargo(&command, &options.common)]) {
        eprintln!("spargio: building {name} on {side}");
        cargo.args([target, name]).args(&options.args);
        programs.push(executable(&mut cargo, name)?);
    }

    let load = options.load.as_deref().map(|command| Load { command, ready: options.ready.as_deref() });
    let mut runs: [Vec<Run>; 2] = [Vec::new(), Vec::new()];
    for round in 0..options.rounds {
        // One line of a terminal that changes; of a log, one that stays.
        let end = if round + 1 < options.rounds && io::stderr().is_terminal() { '\r' } else { '\n' };
        eprint!("spargio: round {} of {}{end}", round + 1, options.rounds);
        for side in [round % 2, (round + 1) % 2] {
            let run = run_once(&programs[side], args, load);
            runs[side].push(run?);
        }
    }
    let calls =
        [&programs[0], &programs[1]].map(|program| system_calls(program, args, load, &moved.project.ours()));
    if calls.iter().any(Option::is_none) {
        eprintln!("spargio: system calls are not counted: neither perf nor strace may do it here");
    }
    print!("{}", table::table(&runs, calls, load.is_some()));
    Ok(())
}

/// The option of `cargo build` for a binary or an example of that name.
fn target(manifest: &Path, name: &str) -> Result<&'static str> {
    let metadata = metadata(&["--no-deps"], Some(manifest))?;
    let mut names = Vec::new();
    for target in list(&metadata["packages"]).iter().flat_map(|package| list(&package["targets"])) {
        let option = match target["kind"][0].as_str() {
            Some("bin") => "--bin",
            Some("example") => "--example",
            _ => continue,
        };
        if target["name"] == name {
            return Ok(option);
        }
        names.extend(target["name"].as_str());
    }
    Err(Problem::new(format!("the program has no binary and no example {name:?}"))
        .cure(format!("it has: {}", names.join(", "))))
}

/// Builds, and returns what came of it.
fn executable(cargo: &mut Command, name: &str) -> Result<PathBuf> {
    cargo.arg("--message-format=json-render-diagnostics").stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = cargo.output().about("cargo build")?;
    if !output.status.success() {
        return Err(Problem::new(format!("{name} was not built")));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let messages = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut found = messages.filter(|message| message["target"]["name"] == name);
    found
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .ok_or_else(|| Problem::new(format!("cargo built no program {name}")))
}
