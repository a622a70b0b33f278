//! What a person, and a program, gets to see of a run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::area::{AREAS, area};
use crate::known::{Difference, KnownFailures};
use crate::session::{Status, SuiteRun};

/// `running tokio: 512/1414, 3 failed`, on standard error.
pub struct Progress {
    title: String,
    total: usize,
    done: usize,
    failed: usize,
    terminal: bool,
    printed: Instant,
}

impl Progress {
    pub fn new(title: &str, total: usize) -> Self {
        let progress = Self {
            title: title.to_owned(),
            total,
            done: 0,
            failed: 0,
            terminal: std::io::stderr().is_terminal(),
            printed: Instant::now(),
        };
        progress.print("");
        progress
    }

    pub fn failed(&mut self) {
        self.failed += 1;
    }

    pub fn step(&mut self, what: &str) {
        self.done += 1;
        // A terminal is told often; a log file every ten seconds.
        let pause = if self.terminal { Duration::from_millis(50) } else { Duration::from_secs(10) };
        if self.printed.elapsed() >= pause {
            self.print(what);
            self.printed = Instant::now();
        }
    }

    pub fn finish(self) {
        self.print("");
        if self.terminal {
            eprintln!();
        }
    }

    fn print(&self, what: &str) {
        let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
        let line = format!("{}: {}/{}{failed}", self.title, self.done, self.total);
        if self.terminal {
            eprint!("\r\x1b[K{line} {what}");
            let _ = std::io::stderr().flush();
        } else {
            eprintln!("{line}");
        }
    }
}

/// How many of the baseline's tests passed, by area and in all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    pub passed: usize,
    pub total: usize,
}

impl Count {
    fn add(&mut self, passed: bool) {
        self.total += 1;
        self.passed += usize::from(passed);
    }

    fn percent(self) -> String {
        if self.total == 0 {
            return "-".to_owned();
        }
        // Never "100.0 %" for what is not all.
        let tenths = self.passed * 1000 / self.total;
        format!("{}.{}%", tenths / 10, tenths % 10)
    }
}

/// Counts what the baseline expects to pass.
pub fn count(runs: &[SuiteRun]) -> (Count, BTreeMap<&'static str, Count>) {
    let mut all = Count::default();
    let mut areas: BTreeMap<&'static str, Count> = BTreeMap::new();
    for run in runs {
        for test in run.tests.iter().filter(|test| test.expected) {
            let passed = test.status == Status::Passed;
            all.add(passed);
            areas.entry(area(run.suite, &test.file)).or_default().add(passed);
        }
    }
    (all, areas)
}

/// The summary for a person.
pub fn summary(runs: &[SuiteRun]) -> String {
    let mut text = String::new();
    for run in runs {
        broken_libraries(&mut text, run);
        failures(&mut text, run);
        extras(&mut text, run);
        deviations(&mut text, run);
    }
    let (all, areas) = count(runs);
    text += "\narea      passed      of    share\n";
    for (area, count) in AREAS.iter().filter_map(|area| areas.get_key_value(area)) {
        let _ = writeln!(text, "{area:<9} {:>6}  {:>6}  {:>7}", count.passed, count.total, count.percent());
    }
    let deviate =
        runs.iter().flat_map(|run| &run.tests).filter(|test| test.status == Status::Deviates).count();
    let deviate = if deviate > 0 { format!("; {deviate} deviates on purpose") } else { String::new() };
    let _ = writeln!(text, "\npassed {} of {} ({}){deviate}", all.passed, all.total, all.percent());
    text
}

fn broken_libraries(text: &mut String, run: &SuiteRun) {
    for (name, error) in &run.broken_libraries {
        let _ = writeln!(
            text,
            "\n{name} DOES NOT COMPILE ({} errors), nothing that needs it was run",
            error.count
        );
        let _ = writeln!(text, "{}", error.rendered.trim_end());
    }
    if let Some(error) = &run.cargo_error {
        let _ = writeln!(text, "\ncargo could not build {}:\n{}", run.suite, error.trim_end());
    }
}

/// Every failure by name; the files that do not compile one line each.
fn failures(text: &mut String, run: &SuiteRun) {
    let failed: Vec<_> =
        run.tests.iter().filter(|test| test.expected && test.status == Status::Failed).collect();
    if failed.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{}: {} failures", run.suite, failed.len());
    let mut by_file: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for test in &failed {
        if run.compile_errors.contains_key(&test.file) {
            by_file
                .entry(&test.file)
                .or_default()
                .push(test.name.split_once("::").map_or("", |(_, name)| name));
        } else {
            let _ = writeln!(text, "  {}: {}", test.name, test.reason);
        }
    }
    let mut not_built = 0;
    for (file, tests) in by_file {
        let error = &run.compile_errors[file];
        if error.count == 0 {
            not_built += tests.len();
            continue;
        }
        let _ = writeln!(
            text,
            "  {file} does not compile ({} errors), {} tests: {}",
            error.count,
            tests.len(),
            error.first
        );
        let _ = writeln!(text, "      {}", tests.join(", "));
    }
    if not_built > 0 {
        let _ = writeln!(
            text,
            "  {not_built} tests in files that were not built, because a library does not compile"
        );
    }
}

/// Tests that fail because they have to.
fn deviations(text: &mut String, run: &SuiteRun) {
    for test in run.tests.iter().filter(|test| test.status == Status::Deviates) {
        let _ = writeln!(text, "\n{}: deviates on purpose: {}: {}", run.suite, test.name, test.reason);
    }
}

/// Tests that are not part of the measure.
fn extras(text: &mut String, run: &SuiteRun) {
    let names = |status: Status| -> Vec<&str> {
        let extra = run.tests.iter().filter(|test| !test.expected && test.status == status);
        extra.map(|test| test.name.as_str()).collect()
    };
    let passed = names(Status::Passed);
    if run.has_baseline && !passed.is_empty() {
        let _ = writeln!(text, "\n{}: pass, though not in the baseline: {}", run.suite, passed.join(", "));
    }
    let failed = names(Status::Failed);
    if run.has_baseline && !failed.is_empty() {
        let _ = writeln!(
            text,
            "\n{}: fail, as they do over tokio or are not in the baseline: {}",
            run.suite,
            failed.join(", ")
        );
    }
}

/// The comparison with the list of known failures.
pub fn compared(difference: &Difference, known: &KnownFailures) -> String {
    let mut text = String::new();
    for test in &difference.new_failures {
        let _ = writeln!(text, "not a known failure: {test}");
    }
    for test in &difference.unexpected_passes {
        let _ = writeln!(text, "passes, take it off the list of known failures: {test}");
    }
    for test in &difference.stale {
        let _ = writeln!(text, "no such test, take it off the list of known failures: {test}");
    }
    let _ = writeln!(
        text,
        "known failures: {} on the list, {} of them failed in this run; {} new failures, {} to take off the list",
        known.len(),
        difference.expected.len(),
        difference.new_failures.len(),
        difference.unexpected_passes.len() + difference.stale.len()
    );
    text
}

#[derive(Serialize)]
struct Document<'a> {
    subject: &'a str,
    backend: &'a str,
    lane: &'a str,
    unstable: bool,
    graph: &'a str,
    passed: usize,
    total: usize,
    areas: BTreeMap<&'static str, Count>,
    suites: Vec<SuiteDocument<'a>>,
}

#[derive(Serialize)]
struct SuiteDocument<'a> {
    suite: &'a str,
    build_seconds: f64,
    run_seconds: f64,
    broken_libraries: BTreeMap<&'a str, &'a str>,
    compile_errors: BTreeMap<&'a str, &'a str>,
    tests: &'a [crate::session::TestResult],
}

/// What the JSON file says about the run as a whole.
pub struct Heading<'a> {
    pub subject: &'a str,
    pub backend: &'a str,
    pub lane: &'a str,
    pub unstable: bool,
    pub graph: &'a str,
}

/// Every result, for a program.
pub fn write_json(path: &Path, heading: &Heading<'_>, runs: &[SuiteRun]) -> Result<()> {
    let (all, areas) = count(runs);
    let suites = runs
        .iter()
        .map(|run| SuiteDocument {
            suite: run.suite.name(),
            build_seconds: run.build_time.as_secs_f64(),
            run_seconds: run.run_time.as_secs_f64(),
            broken_libraries: firsts(&run.broken_libraries),
            compile_errors: firsts(&run.compile_errors),
            tests: &run.tests,
        })
        .collect();
    let document = Document {
        subject: heading.subject,
        backend: heading.backend,
        lane: heading.lane,
        unstable: heading.unstable,
        graph: heading.graph,
        passed: all.passed,
        total: all.total,
        areas,
        suites,
    };
    let text = serde_json::to_string_pretty(&document)?;
    fs::write(path, text).with_context(|| path.display().to_string())
}

fn firsts(errors: &BTreeMap<String, crate::build::CompileError>) -> BTreeMap<&str, &str> {
    errors.iter().map(|(name, error)| (name.as_str(), error.first.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn almost_all_is_not_all() {
        let count = Count { passed: 1412, total: 1413 };
        assert_eq!(count.percent(), "99.9%");
        assert_eq!(Count { passed: 5, total: 5 }.percent(), "100.0%");
        assert_eq!(Count::default().percent(), "-");
    }
}
