//! One run from start to end.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use crate::api;
use crate::baseline::Baseline;
use crate::build::{Build, CompileError, build};
use crate::cli::Options;
use crate::deviation::{self, Verdict};
use crate::docs;
use crate::ecosystem;
use crate::graph;
use crate::known::KnownFailures;
use crate::lock::RunLock;
use crate::materialize::{Generated, Subject, folder, materialize};
use crate::metadata::Workspace;
use crate::patch;
use crate::report;
use crate::run::{Conditions, Job, Run, list, run_all};
use crate::suite::Suite;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    Passed,
    Failed,
    /// Failed, as it has to (see [`deviation`]).
    Deviates,
    Ignored,
}

/// What came of one test.
#[derive(Clone, Debug, Serialize)]
pub struct TestResult {
    pub file: String,
    /// `file::test`
    pub name: String,
    pub status: Status,
    /// Why it did not pass.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    pub seconds: f64,
    /// Whether real tokio passes it.
    pub expected: bool,
}

/// What came of one suite.
#[derive(Debug)]
pub struct SuiteRun {
    pub suite: Suite,
    pub has_baseline: bool,
    pub tests: Vec<TestResult>,
    pub compile_errors: BTreeMap<String, CompileError>,
    pub broken_libraries: BTreeMap<String, CompileError>,
    pub cargo_error: Option<String>,
    pub files: usize,
    pub build_time: Duration,
    pub run_time: Duration,
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    pub passed: usize,
    pub failed: usize,
    /// Failures that are on the list of known ones.
    pub known: usize,
    /// Failures that have to be (see [`deviation`]).
    pub deviations: usize,
    pub ignored: usize,
    pub good: bool,
    /// The crate under test, or cargo itself, failed: nothing could be run.
    pub broken: bool,
}

impl Outcome {
    pub fn exit_code(self) -> ExitCode {
        match (self.broken, self.good) {
            (true, _) => ExitCode::from(2),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        }
    }
}

/// How often a test has to pass over real tokio to become part of the measure.
const RECORDINGS: usize = 3;

/// Everything the steps of a run have in common.
struct Session<'a> {
    options: &'a Options,
    workspace: Workspace,
    generated: Generated,
}

/// Runs what the options ask for, and prints the report.
pub fn run_suites(options: &Options) -> Result<Outcome> {
    let workspace = Workspace::load()?;
    let _lock = RunLock::acquire(&folder(&workspace))?;
    if options.api {
        let result = api::compare(&workspace, options.cfg_unstable)?;
        print!("{}", result.report());
        return Ok(Outcome { good: result.is_good(), ..Outcome::default() });
    }
    if options.patch {
        println!("{}", patch::write(&workspace)?.display());
        return Ok(Outcome { good: true, ..Outcome::default() });
    }
    if options.ecosystem {
        return ecosystem::run(&workspace, options);
    }
    let subject = if options.record_baseline { Subject::Tokio } else { Subject::Spargio };
    let generated = materialize(&workspace, subject, options.cfg_unstable)?;
    let proof = graph::verify(&workspace, &generated)?;
    let session = Session { options, workspace, generated };

    let mut runs = Vec::new();
    if options.docs {
        runs.push(session.run_docs()?);
    } else {
        for &suite in options.suite.suites() {
            runs.push(session.run_suite(suite)?);
        }
    }
    if options.record_baseline {
        return session.record(&runs, &proof);
    }
    print!("{}", report::summary(&runs));
    for run in &runs {
        print_effort(run);
    }
    println!("{proof}");
    if let Some(path) = &options.json {
        let heading = report::Heading {
            subject: subject.name(),
            backend: options.backend.name(),
            lane: options.lane.name(),
            unstable: options.cfg_unstable,
            graph: &proof,
        };
        report::write_json(path, &heading, &runs)?;
    }
    session.judge(&runs)
}

fn print_effort(run: &SuiteRun) {
    println!(
        "{}: {} files built in {:.0} s, {} tests run in {:.0} s",
        run.suite,
        run.files - run.compile_errors.len(),
        run.build_time.as_secs_f64(),
        run.tests.iter().filter(|test| test.seconds > 0.0).count(),
        run.run_time.as_secs_f64()
    );
    let mut slowest: Vec<_> = run.tests.iter().filter(|test| test.seconds > 5.0).collect();
    slowest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    for test in slowest.iter().take(5) {
        println!("  slow: {} {:.1} s", test.name, test.seconds);
    }
}

impl Session<'_> {
    fn stored_baseline(&self, suite: Suite) -> Result<Option<Baseline>> {
        let path = self.workspace.baseline(suite, self.options.cfg_unstable);
        let stored = if self.options.record_baseline { None } else { Baseline::load(&path)? };
        if stored.is_none() && !self.options.record_baseline {
            eprintln!("{} does not exist: record it with --record-baseline", path.display());
        }
        Ok(stored)
    }

    fn conditions(&self) -> Conditions {
        Conditions {
            backend: self.options.backend.name(),
            lane: self.options.lane.name(),
            timeout: Duration::from_secs(self.options.timeout),
            jobs: self.options.jobs(),
        }
    }

    fn run_docs(&self) -> Result<SuiteRun> {
        let suite = Suite::Docs;
        let stored = self.stored_baseline(suite)?;
        let chosen: Vec<String> = match &stored {
            Some(stored) if !self.options.is_complete() => {
                stored.passes.iter().filter(|name| self.options.selects(name)).cloned().collect()
            }
            _ => Vec::new(),
        };
        let expected = match &stored {
            Some(stored) if chosen.is_empty() => stored.passes.len(),
            _ => chosen.len(),
        };
        let conditions = self.conditions();
        let mut examples = docs::run(&self.generated, &conditions, &chosen, expected)?;
        if self.options.record_baseline {
            for _ in 2..=RECORDINGS {
                let again = docs::run(&self.generated, &conditions, &[], examples.runs.len())?;
                let bad = again.runs.into_iter().filter(|run| run.failure.is_some());
                for run in bad {
                    examples.runs.retain(|first| first.name != run.name);
                    examples.runs.push(run);
                }
            }
        }
        self.keep_logs(suite, &examples.runs)?;
        let baseline = stored.as_ref();
        let files: BTreeSet<_> =
            examples.runs.iter().map(|run| run.name.split("::").next().unwrap_or_default()).collect();
        Ok(SuiteRun {
            suite,
            has_baseline: baseline.is_some(),
            files: files.len(),
            tests: self.results(&Build::default(), examples.runs, examples.ignored, baseline),
            compile_errors: BTreeMap::new(),
            broken_libraries: BTreeMap::new(),
            cargo_error: examples.cargo_error,
            build_time: Duration::ZERO,
            run_time: examples.took,
        })
    }

    fn run_suite(&self, suite: Suite) -> Result<SuiteRun> {
        let stored = self.stored_baseline(suite)?;
        let all = self.generated.files(suite)?;
        let files: Vec<_> = all.into_iter().filter(|(_, file)| self.wants(file, stored.as_ref())).collect();
        let built = if files.is_empty() {
            Build::default()
        } else {
            build(&self.generated, suite, &files, self.options.is_complete(), self.options.jobs())?
        };
        let started = Instant::now();
        let (jobs, ignored) = self.jobs(&built)?;
        let conditions = self.conditions();
        let mut runs = run_all(&jobs, &conditions, &format!("running {suite}"))?;
        if self.options.record_baseline {
            self.repeat(&jobs, &conditions, &mut runs)?;
        }
        self.keep_logs(suite, &runs)?;
        let baseline = stored.as_ref();
        Ok(SuiteRun {
            suite,
            has_baseline: baseline.is_some(),
            tests: self.results(&built, runs, ignored, baseline),
            compile_errors: built.errors,
            broken_libraries: built.broken_libraries,
            cargo_error: built.cargo_error,
            files: files.len(),
            build_time: built.took,
            run_time: started.elapsed(),
        })
    }

    /// Runs everything again for a baseline, which holds only what passes each time.
    fn repeat(&self, jobs: &[Job], conditions: &Conditions, runs: &mut [Run]) -> Result<()> {
        for round in 2..=RECORDINGS {
            let again = run_all(jobs, conditions, &format!("round {round} of {RECORDINGS}"))?;
            for (run, again) in runs.iter_mut().zip(again) {
                if run.failure.is_none() && again.failure.is_some() {
                    *run = again;
                }
            }
        }
        Ok(())
    }

    /// Whether a file has to be built: with a filter, only if one of its tests can match.
    fn wants(&self, file: &str, baseline: Option<&Baseline>) -> bool {
        if self.options.files.as_ref().is_some_and(|files| !files.is_match(file)) {
            return false;
        }
        let Some(baseline) = baseline.filter(|_| self.options.filter.is_some()) else {
            return true;
        };
        let in_file = |name: &&String| name.split("::").next() == Some(file);
        self.options.selects(file)
            || baseline
                .passes
                .iter()
                .chain(&baseline.fails)
                .filter(in_file)
                .any(|name| self.options.selects(name))
    }

    /// The tests to run, and the names of those libtest ignores.
    fn jobs(&self, built: &Build) -> Result<(Vec<Job>, Vec<String>)> {
        let mut jobs = Vec::new();
        let mut ignored = Vec::new();
        for (file, binary) in &built.binaries {
            let folder = self.generated.package(binary.package);
            let listing = list(&binary.path, &folder)?;
            for test in listing.tests {
                let name = format!("{file}::{test}");
                if self.options.selects(&name) {
                    let (binary, package, folder) = (binary.path.clone(), binary.package, folder.clone());
                    jobs.push(Job { name, test, binary, package, folder });
                }
            }
            let names = listing.ignored.iter().map(|test| format!("{file}::{test}"));
            ignored.extend(names.filter(|name| self.options.selects(name)));
        }
        Ok((jobs, ignored))
    }

    /// One result for each test that was run, ignored, or expected and not there.
    fn results(
        &self,
        built: &Build,
        runs: Vec<Run>,
        ignored: Vec<String>,
        baseline: Option<&Baseline>,
    ) -> Vec<TestResult> {
        let expected = |name: &str| baseline.is_none_or(|baseline| baseline.passes.contains(name));
        let file = |name: &str| name.split("::").next().unwrap_or(name).to_owned();
        let mut tests: Vec<TestResult> = runs
            .into_iter()
            .map(|run| {
                let (status, reason) = self.status(&run);
                TestResult {
                    file: file(&run.name),
                    status,
                    reason,
                    seconds: run.took.as_secs_f64().max(0.001),
                    expected: expected(&run.name),
                    name: run.name,
                }
            })
            .collect();
        // Ignored here but not over real tokio would be a gap; then it counts as a failure below.
        tests.extend(ignored.into_iter().filter(|name| baseline.is_none() || !expected(name)).map(|name| {
            TestResult {
                file: file(&name),
                name,
                status: Status::Ignored,
                reason: String::new(),
                seconds: 0.0,
                expected: false,
            }
        }));
        let seen: BTreeSet<String> = tests.iter().map(|test| test.name.clone()).collect();
        let missing = baseline.into_iter().flat_map(|baseline| &baseline.passes);
        tests.extend(missing.filter(|name| !seen.contains(*name) && self.options.selects(name)).map(
            |name| TestResult {
                file: file(name),
                name: name.clone(),
                status: Status::Failed,
                reason: absence(built, &file(name)),
                seconds: 0.0,
                expected: true,
            },
        ));
        tests.sort_by(|a, b| a.name.cmp(&b.name));
        tests
    }

    /// What became of a test, and why.
    fn status(&self, run: &Run) -> (Status, String) {
        let failure = run.failure.as_deref();
        let verdict =
            if self.options.record_baseline { Verdict::Stands } else { deviation::judge(&run.name, failure) };
        match (verdict, failure) {
            (Verdict::Deviates(because), _) => (Status::Deviates, because.to_owned()),
            (Verdict::Relapsed(reason), _) => (Status::Failed, reason),
            (Verdict::Stands, Some(reason)) => (Status::Failed, reason.to_owned()),
            (Verdict::Stands, None) => (Status::Passed, String::new()),
        }
    }

    /// Keeps the output of each failed test, and only of those.
    fn keep_logs(&self, suite: Suite, runs: &[Run]) -> Result<()> {
        let folder = self.logs().join(suite.name());
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        for run in runs {
            let path = folder.join(format!("{}.log", run.name.replace("::", ".").replace(['/', ' '], "-")));
            if let Some(reason) = &run.failure {
                fs::write(&path, format!("{}: {reason}\n{}", run.name, run.output))
                    .with_context(|| path.display().to_string())?;
            } else {
                let _ = fs::remove_file(&path);
            }
        }
        Ok(())
    }

    fn logs(&self) -> PathBuf {
        self.generated.root.join("logs")
    }

    /// Writes the baselines.
    fn record(&self, runs: &[SuiteRun], proof: &str) -> Result<Outcome> {
        println!("{proof}");
        for run in runs {
            print_effort(run);
            let broken = run.broken_libraries.iter().chain(&run.compile_errors);
            for (name, error) in broken {
                println!("{name} does not compile: {}\n{}", error.first, error.rendered);
            }
            if run.cargo_error.is_some() || !run.compile_errors.is_empty() {
                bail!(
                    "the published sources of {} do not build over tokio: {:?}",
                    run.suite,
                    run.cargo_error
                );
            }
            let names = |status: Status| {
                let chosen = run.tests.iter().filter(|test| test.status == status);
                chosen.map(|test| test.name.clone()).collect::<BTreeSet<_>>()
            };
            let baseline = Baseline {
                passes: names(Status::Passed),
                fails: names(Status::Failed),
                ignored: names(Status::Ignored),
            };
            for test in run.tests.iter().filter(|test| test.status == Status::Failed) {
                println!("  fails: {}: {}", test.name, test.reason);
            }
            let path = self.workspace.baseline(run.suite, self.options.cfg_unstable);
            let cfg = if self.options.cfg_unstable { " with --cfg tokio_unstable" } else { "" };
            let title = format!(
                "The {} files of {} {}{cfg}, over tokio {}.",
                run.files,
                run.suite,
                self.workspace.version(if run.suite == Suite::Docs { "tokio" } else { run.suite.name() }),
                self.workspace.version("tokio")
            );
            write_file(&path, &baseline.render(&title))?;
            println!(
                "{}: {} pass, {} fail, {} ignored -> {}",
                run.suite,
                baseline.passes.len(),
                baseline.fails.len(),
                baseline.ignored.len(),
                path.display()
            );
        }
        Ok(Outcome { good: true, ..Outcome::default() })
    }

    /// Decides whether the run was good.
    fn judge(&self, runs: &[SuiteRun]) -> Result<Outcome> {
        let mut failed = BTreeSet::new();
        let mut passed = BTreeSet::new();
        let mut outcome = Outcome::default();
        for run in runs {
            for test in &run.tests {
                let name = run.suite.qualify(&test.name);
                match test.status {
                    Status::Passed => drop(passed.insert(name)),
                    Status::Failed if test.expected => drop(failed.insert(name)),
                    Status::Deviates => outcome.deviations += 1,
                    Status::Failed | Status::Ignored => outcome.ignored += 1,
                }
            }
            outcome.broken |= run.cargo_error.is_some() || run.broken_libraries.contains_key("spargio");
        }
        if !failed.is_empty() {
            println!("output of the failed tests: {}", self.logs().display());
        }
        outcome.passed = passed.len();
        outcome.failed = failed.len();
        outcome.good = failed.is_empty();
        if let Some(path) = &self.options.known_failures {
            let covered = |name: &str| {
                let (suite, test) = Suite::of_qualified(name);
                self.options.suite.suites().contains(&suite) && self.options.selects(test)
            };
            if self.options.write_known_failures {
                let list = KnownFailures::write(path, &failed, covered, self.options.allow_growth)?;
                println!("{}: {} known failures written", path.display(), list.len());
            }
            let known = KnownFailures::load(path)?.unwrap_or_default();
            let difference = known.compare(&failed, &passed, covered);
            print!("{}", report::compared(&difference, &known));
            outcome.known = difference.expected.len();
            outcome.failed =
                difference.new_failures.len() + difference.unexpected_passes.len() + difference.stale.len();
            outcome.good = difference.is_empty();
        }
        Ok(outcome)
    }
}

/// Why a test that real tokio passes was not run.
fn absence(built: &Build, file: &str) -> String {
    match built.errors.get(file) {
        Some(error) if error.count > 0 => format!("compile error: {}", error.first),
        _ if built.cargo_error.is_some() => "not built: cargo failed".to_owned(),
        Some(_) => {
            let libraries: Vec<_> = built.broken_libraries.keys().map(String::as_str).collect();
            format!("not built: {} does not compile", libraries.join(", "))
        }
        None => "the test binary has no such test".to_owned(),
    }
}

fn write_file(path: &Path, text: &str) -> Result<()> {
    let folder = path.parent().context("a file has a folder")?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    fs::write(path, text).with_context(|| path.display().to_string())
}
