//! Tokio's published suite as part of `cargo test --workspace`.
//!
//! Takes libtest's arguments as far as they make sense: filters choose tests, `--list` lists,
//! `--test-threads` is the number of jobs. Everything else is accepted and ignored.

use std::process::ExitCode;
use std::time::Instant;

use compat_tests::Options;
use compat_tests::baseline::Baseline;
use compat_tests::cli::SuiteChoice;
use compat_tests::metadata::Workspace;
use compat_tests::suite::Suite;
use regex::Regex;

/// What libtest's command line asks for.
#[derive(Debug, Default)]
struct Arguments {
    filters: Vec<String>,
    list: bool,
    exact: bool,
    ignored: bool,
    jobs: Option<usize>,
}

/// Options of libtest that are followed by a value.
const WITH_VALUE: [&str; 7] =
    ["--skip", "--format", "--color", "--logfile", "--report-time", "--shuffle-seed", "-Z"];

fn arguments(words: impl Iterator<Item = String>) -> Arguments {
    let mut arguments = Arguments::default();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--list" => arguments.list = true,
            "--exact" => arguments.exact = true,
            "--ignored" => arguments.ignored = true,
            "--test-threads" => arguments.jobs = words.next().and_then(|count| count.parse().ok()),
            option if WITH_VALUE.contains(&option) => drop(words.next()),
            option if option.starts_with('-') => {
                if let Some(count) = option.strip_prefix("--test-threads=") {
                    arguments.jobs = count.parse().ok();
                }
            }
            filter => arguments.filters.push(filter.to_owned()),
        }
    }
    arguments
}

fn main() -> ExitCode {
    match compat(&arguments(std::env::args().skip(1))) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            println!("\ntest result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n");
            ExitCode::from(101)
        }
    }
}

fn compat(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let started = Instant::now();
    let workspace = Workspace::load()?;
    let baseline = Baseline::load(&workspace.baseline(Suite::Tokio, false))?.unwrap_or_default();
    let options = Options {
        suite: SuiteChoice::Tokio,
        filter: filter(arguments)?,
        jobs: arguments.jobs,
        ..Options::defaults()
    };
    let chosen: Vec<_> = baseline.passes.iter().filter(|name| options.selects(name)).collect();
    if arguments.list {
        // Libtest's ignored tests are the only ones `--ignored` asks for; ours run always.
        for name in chosen.iter().filter(|_| !arguments.ignored) {
            println!("{name}: test");
        }
        return Ok(ExitCode::SUCCESS);
    }
    let filtered_out = baseline.passes.len() - chosen.len();
    if chosen.is_empty() || arguments.ignored {
        println!("\nrunning 0 tests\n");
        println!("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; {filtered_out} filtered out\n");
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nrunning {} tests", chosen.len());
    let outcome = compat_tests::run_suites(&options)?;
    let good = outcome.good && !outcome.broken;
    println!(
        "\ntest result: {}. {} passed; {} failed; {} ignored; 0 measured; {filtered_out} filtered out; finished in {:.2}s\n",
        if good { "ok" } else { "FAILED" },
        outcome.passed,
        outcome.failed,
        outcome.ignored + outcome.known + outcome.deviations,
        started.elapsed().as_secs_f64()
    );
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(101) })
}

/// Libtest's filters are substrings, or whole names with `--exact`; any of them may match.
fn filter(arguments: &Arguments) -> anyhow::Result<Option<Regex>> {
    if arguments.filters.is_empty() {
        return Ok(None);
    }
    let names: Vec<_> = arguments.filters.iter().map(|name| regex::escape(name)).collect();
    let any = format!("(?:{})", names.join("|"));
    let pattern = if arguments.exact { format!("^{any}$") } else { any };
    Ok(Some(Regex::new(&pattern)?))
}
