//! `cargo spargio`: a program that is written for Tokio, on spargio, with no change to it.
//!
//! | module | what it does |
//! |---|---|
//! | [`cli`] | reads the command line |
//! | [`source`] | where the package called `tokio` is taken from |
//! | [`project`] | what cargo says about the program |
//! | [`mirror`] | the program with a lock file of its own, so that the real one stays |
//! | [`graph`] | proves that the graph has spargio, or says why not and what to do |
//! | [`build`] | `run`, `test`, `bench`, `build`, `nextest` |
//! | [`adopt`] | `adopt` and `remove`: for good, and back |
//! | [`compare`] | `compare`: the same program on both |
//! | [`doctor`] | `doctor`: what a runtime would get here |
//!
//! Cargo only warns when it does not use a patch, and then runs the published Tokio. So nothing
//! here trusts it: after each resolution the graph is looked at, and a program that would not be
//! on spargio is refused.
#![deny(unsafe_code)]

mod adopt;
mod build;
mod cli;
mod compare;
mod doctor;
mod graph;
mod lock;
mod mirror;
mod problem;
mod project;
mod source;

use std::env;
use std::process::ExitCode;

use cli::Command;
use problem::Result;

fn main() -> ExitCode {
    // Cargo starts `cargo-spargio spargio …`.
    let args = env::args().skip(1).enumerate();
    let args = args.filter(|(at, arg)| !(*at == 0 && arg == "spargio")).map(|(_, arg)| arg).collect();
    let args: Vec<String> = args;
    if args == [doctor::PROBE] {
        doctor::answer_probe();
        return ExitCode::SUCCESS;
    }
    match run(args) {
        Ok(code) => code,
        Err(problem) => {
            eprint!("{problem}");
            ExitCode::from(problem.code())
        }
    }
}

fn run(args: Vec<String>) -> Result<ExitCode> {
    match Command::parse(args)? {
        Command::Help(text) => {
            println!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Command::Build(options) => build::run(&options),
        Command::Adopt(options) => adopt::adopt(&options).map(|()| ExitCode::SUCCESS),
        Command::Remove(options) => adopt::remove(&options).map(|()| ExitCode::SUCCESS),
        Command::Compare(options) => compare::run(&options).map(|()| ExitCode::SUCCESS),
        Command::Doctor(options) => doctor::run(&options),
    }
}
