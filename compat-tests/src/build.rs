//! Compiles the test targets and keeps going over errors.

use std::collections::BTreeMap;
use std::io::{BufReader, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use cargo_metadata::diagnostic::DiagnosticLevel;
use cargo_metadata::{Message, TargetKind};

use crate::materialize::Generated;
use crate::metadata::{cargo, clean_environment};
use crate::report::Progress;
use crate::suite::Suite;

/// What came of the test targets of one suite.
#[derive(Debug, Default)]
pub struct Build {
    /// By file: the test binary and the package it belongs to.
    pub binaries: BTreeMap<String, Binary>,
    /// By file: the first error. Empty text if the file was not compiled because of a library.
    pub errors: BTreeMap<String, CompileError>,
    /// By crate: the first error of a library the tests need, and how many there are.
    pub broken_libraries: BTreeMap<String, CompileError>,
    /// What cargo said when it failed without compiling anything.
    pub cargo_error: Option<String>,
    pub took: Duration,
}

#[derive(Clone, Debug)]
pub struct Binary {
    pub package: &'static str,
    pub path: PathBuf,
}

#[derive(Clone, Debug, Default)]
pub struct CompileError {
    /// `error[E0432]: unresolved import … (tests/x.rs:3:5)`
    pub first: String,
    pub rendered: String,
    pub count: usize,
}

/// Builds the given test files of a suite.
pub fn build(
    generated: &Generated,
    suite: Suite,
    files: &[(&'static str, String)],
    complete: bool,
    jobs: usize,
) -> Result<Build> {
    let started = Instant::now();
    let mut build = Build::default();
    let mut progress = Progress::new(&format!("building {suite}"), files.len());
    let mut child = command(generated, suite, files, complete, jobs).spawn().context("starting cargo")?;
    let stdout = child.stdout.take().context("cargo's stdout is a pipe")?;
    let mut stderr = child.stderr.take().context("cargo's stderr is a pipe")?;
    let said = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).into_owned()
    });
    for message in Message::parse_stream(BufReader::new(stdout)) {
        match message.context("reading cargo's messages")? {
            Message::CompilerArtifact(artifact) if artifact.target.kind.contains(&TargetKind::Test) => {
                let Some(path) = artifact.executable else {
                    continue;
                };
                let Some((package, file)) = files.iter().find(|(_, file)| *file == artifact.target.name)
                else {
                    continue;
                };
                let path = path.into_std_path_buf();
                build.binaries.insert(file.clone(), Binary { package, path });
                progress.step(file);
            }
            Message::CompilerMessage(message) if message.message.level == DiagnosticLevel::Error => {
                let is_test = message.target.kind.contains(&TargetKind::Test);
                let errors = if is_test { &mut build.errors } else { &mut build.broken_libraries };
                let error = errors.entry(message.target.name).or_default();
                if error.count == 0 {
                    error.first = headline(&message.message);
                    error.rendered = message.message.rendered.unwrap_or_default();
                    if is_test {
                        progress.step("");
                    }
                }
                // Rustc ends with "aborting due to …", which points nowhere.
                error.count += usize::from(!message.message.spans.is_empty() || error.count == 0);
            }
            _ => {}
        }
    }
    let status = child.wait().context("waiting for cargo")?;
    let said = said.join().unwrap_or_default();
    progress.finish();
    for (_, file) in files {
        if !build.binaries.contains_key(file) {
            build.errors.entry(file.clone()).or_default();
        }
    }
    if !status.success()
        && build.errors.values().all(|error| error.count == 0)
        && build.broken_libraries.is_empty()
    {
        build.cargo_error = Some(said);
    }
    build.took = started.elapsed();
    Ok(build)
}

fn command(
    generated: &Generated,
    suite: Suite,
    files: &[(&'static str, String)],
    complete: bool,
    jobs: usize,
) -> Command {
    let mut command = Command::new(cargo());
    clean_environment(&mut command);
    command
        .current_dir(&generated.root)
        .env("CARGO_TARGET_DIR", &generated.target)
        .args(["build", "--keep-going", "--message-format=json", "--quiet"])
        .arg(format!("--jobs={jobs}"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    if generated.unstable {
        command.env("RUSTFLAGS", "--cfg tokio_unstable");
    }
    for package in suite.packages() {
        command.args(["--package", package]);
    }
    if let Some(features) = suite.features() {
        command.args(["--features", features]);
    }
    if complete {
        command.args(["--test", "*"]);
    } else {
        for (_, file) in files {
            command.args(["--test", file]);
        }
    }
    command
}

fn headline(diagnostic: &cargo_metadata::diagnostic::Diagnostic) -> String {
    let code = diagnostic.code.as_ref().map(|code| format!("[{}]", code.code)).unwrap_or_default();
    let place = diagnostic
        .spans
        .iter()
        .find(|span| span.is_primary)
        .map(|span| format!(" ({}:{}:{})", span.file_name, span.line_start, span.column_start))
        .unwrap_or_default();
    let message = diagnostic.message.lines().next().unwrap_or_default();
    format!("error{code}: {message}{place}")
}
