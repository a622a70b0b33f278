//! Runs the examples in tokio's documentation.
//!
//! Rustdoc itself finds them, in the published sources ([`materialize`](crate::materialize) puts
//! these next to the crate under test, which is called `tokio` there), and builds and runs each in
//! a process of its own. What should panic, what is only compiled and what must not compile is
//! rustdoc's business too. Ours is the time limit, the progress and the names.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::materialize::Generated;
use crate::metadata::{cargo, clean_environment};
use crate::report::Progress;
use crate::run::{Conditions, Run};
use crate::suite::TOKIO_DOCS;

/// What came of the examples.
#[derive(Debug, Default)]
pub struct Examples {
    pub runs: Vec<Run>,
    pub ignored: Vec<String>,
    /// What cargo said when nothing could be run.
    pub cargo_error: Option<String>,
    pub took: Duration,
}

/// How an example is called by rustdoc, and what became of it.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    name: &'a str,
    verdict: &'a str,
}

/// Runs all examples, or those whose names are given; `expected` is how many that may be.
pub fn run(
    generated: &Generated,
    conditions: &Conditions,
    names: &[String],
    expected: usize,
) -> Result<Examples> {
    let started = Instant::now();
    let mut child = command(generated, conditions, names).spawn().context("starting cargo")?;
    let stdout = child.stdout.take().context("cargo's stdout is a pipe")?;
    let mut stderr = child.stderr.take().context("cargo's stderr is a pipe")?;
    let said = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    let mut progress = Progress::new("running tokio's documentation", expected);
    let mut examples = Examples::default();
    let mut failed: BTreeMap<String, String> = BTreeMap::new();
    let mut section: Option<String> = None;
    for line in BufReader::new(stdout).lines() {
        let line = line.context("reading rustdoc's output")?;
        if let Some(Line { name, verdict }) = parse(&line) {
            let name = public_name(name);
            match verdict {
                "ignored" => examples.ignored.push(name),
                verdict => {
                    progress.step(&name);
                    if verdict != "ok" {
                        progress.failed();
                        failed.insert(name.clone(), String::new());
                    }
                    let failure = (verdict != "ok").then(String::new);
                    examples.runs.push(Run { name, failure, took: Duration::ZERO, output: String::new() });
                }
            }
        } else if let Some(name) = line.strip_prefix("---- ").and_then(|l| l.strip_suffix(" stdout ----")) {
            section = bare(name).map(public_name);
        } else if line == "failures:" {
            section = None;
        } else if let Some(output) = section.as_ref().and_then(|name| failed.get_mut(name)) {
            *output += &line;
            output.push('\n');
        }
    }
    child.wait().context("waiting for cargo")?;
    progress.finish();
    let said = said.join().unwrap_or_default();
    for run in &mut examples.runs {
        if let Some(output) = failed.remove(&run.name) {
            run.failure = Some(reason(&output));
            run.output = output;
        }
    }
    if examples.runs.is_empty() {
        examples.cargo_error = Some(said);
    }
    examples.took = started.elapsed();
    Ok(examples)
}

fn command(generated: &Generated, conditions: &Conditions, names: &[String]) -> Command {
    let mut command = Command::new(cargo());
    clean_environment(&mut command);
    let seconds = conditions.timeout.as_secs();
    let mut flags =
        format!("--test-runtool=timeout --test-runtool-arg=--kill-after=5 --test-runtool-arg={seconds}");
    if generated.unstable {
        command.env("RUSTFLAGS", "--cfg tokio_unstable");
        flags += " --cfg tokio_unstable";
    }
    command
        .current_dir(&generated.root)
        .env("CARGO_TARGET_DIR", &generated.target)
        .env("RUSTDOCFLAGS", flags)
        .env("SPARGIO_BACKEND", conditions.backend)
        .args(["test", "--doc", "--no-fail-fast", "--package", TOKIO_DOCS])
        .args(["--", "--format=pretty"])
        .arg(format!("--test-threads={}", conditions.jobs))
        .args(names.iter().map(|name| private_name(name)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// The name and the verdict in a line of libtest: `test NAME ... VERDICT`.
pub(crate) fn verdict(line: &str) -> Option<(&str, &str)> {
    line.strip_prefix("test ")?.rsplit_once(" ... ")
}

/// `test FOLDER/src/fs/copy.rs - fs::copy (line 12) - compile ... ok`
fn parse(line: &str) -> Option<Line<'_>> {
    let (name, verdict) = verdict(line)?;
    Some(Line { name: bare(name)?, verdict })
}

/// Without what follows the line number: `compile`, `compile fail`, `should panic`.
fn bare(name: &str) -> Option<&str> {
    let end = name.find(" (line ")?;
    name.get(..=end + name[end..].find(')')?)
}

/// `fs/copy.rs::fs::copy (line 12)`, the `file::test` of the other suites.
fn public_name(name: &str) -> String {
    let name = name.strip_prefix(TOKIO_DOCS).unwrap_or(name).trim_start_matches("/src/");
    name.replacen(" - ", "::", 1)
}

fn private_name(name: &str) -> String {
    format!("{TOKIO_DOCS}/src/{}", name.replacen("::", " - ", 1))
}

/// The line of an example's output that says most.
fn reason(output: &str) -> String {
    let lines = || output.lines().map(str::trim);
    let line = lines()
        .find(|line| line.starts_with("error"))
        .or_else(|| {
            let at = lines().position(|line| line.contains(" panicked at "))?;
            lines().nth(at + 1)
        })
        .or_else(|| lines().find(|line| !line.is_empty()));
    line.unwrap_or("failed without a message").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let line = "test tokio-docs/src/fs/copy.rs - fs::copy::copy (line 12) - compile ... ok";
        let parsed = parse(line).unwrap();
        assert_eq!(parsed.verdict, "ok");
        let name = public_name(parsed.name);
        assert_eq!(name, "fs/copy.rs::fs::copy::copy (line 12)");
        assert_eq!(private_name(&name), parsed.name);
        let line = "test tokio-docs/src/a.rs - a (line 3) - should panic ... FAILED";
        assert_eq!(
            parse(line).unwrap(),
            Line { name: "tokio-docs/src/a.rs - a (line 3)", verdict: "FAILED" }
        );
        assert_eq!(parse("test result: ok. 1 passed; 0 failed"), None);
        assert_eq!(parse("running 747 tests"), None);
    }

    #[test]
    fn the_telling_line() {
        assert_eq!(reason("\nerror[E0432]: unresolved import\n --> x"), "error[E0432]: unresolved import");
        let panic = "Test executable failed (exit status: 101).\n\nstderr:\n\
                     thread 'main' (7) panicked at a.rs:1:2:\nboom\nnote: x\n";
        assert_eq!(reason(panic), "boom");
    }
}
