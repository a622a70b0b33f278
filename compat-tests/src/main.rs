use std::process::ExitCode;

use clap::Parser;
use compat_tests::{Options, run_suites};

fn main() -> ExitCode {
    match run_suites(&Options::parse()) {
        Ok(outcome) => outcome.exit_code(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
