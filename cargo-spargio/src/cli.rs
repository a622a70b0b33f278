//! The command line.

use std::env;

use crate::problem::{Problem, Result};

const HELP: &str = "\
A program that is written for Tokio, on spargio, with no change to it.

Usage: cargo spargio [OPTIONS] COMMAND …

Nothing of the program is changed, its lock file neither:
  run, test, bench, build, check [ARGS]
                           cargo's commands, with spargio as the tokio of every crate
  nextest [run] [ARGS]     likewise, with cargo-nextest
  compare [ARGS] -- PROGRAM [ARGS]
                           a binary or an example on Tokio and here, in turns, measured;
                           ARGS go to `cargo build --release`
      --rounds N           how often each [default: 5]
      --load COMMAND       PROGRAM is a server: what is timed is this shell command
      --ready ADDRESS      wait until the server listens there first

For good, and back:
  adopt                    write one line to the workspace's manifest, and move its lock file
  remove                   take both back

  doctor [--json]          what a runtime would get on this machine, and what is in its way
                           (exit code 0: io_uring; 3: epoll; 1: something is wrong)

Options:
  --spargio PATH|URL       the checkout or repository to take spargio from, else $SPARGIO_SOURCE,
                           else the checkout this command was built from
  --rev REV                the commit of a repository
  --allow-other-tokio      go on if crates of the graph keep a Tokio of another major version
  --manifest-path PATH     as cargo's; so are --offline, --locked, --frozen, --features …";

/// What all commands heed.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) spargio: Option<String>,
    pub(crate) rev: Option<String>,
    pub(crate) allow_other: bool,
    pub(crate) manifest_path: Option<String>,
    pub(crate) offline: bool,
    pub(crate) locked: bool,
    /// What chooses features: for cargo's commands, and for whoever asks cargo about the graph.
    pub(crate) features: Vec<String>,
}

/// `run` and the like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) common: Common,
    /// Cargo's command, as one or two words.
    pub(crate) command: Vec<String>,
    pub(crate) args: Vec<String>,
    /// What follows `--`.
    pub(crate) rest: Option<Vec<String>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Compare {
    pub(crate) common: Common,
    pub(crate) rounds: usize,
    pub(crate) load: Option<String>,
    pub(crate) ready: Option<String>,
    pub(crate) args: Vec<String>,
    pub(crate) program: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Doctor {
    pub(crate) common: Common,
    pub(crate) json: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help(&'static str),
    Build(Build),
    Adopt(Common),
    Remove(Common),
    Compare(Compare),
    Doctor(Doctor),
}

impl Command {
    pub(crate) fn parse(mut args: Vec<String>) -> Result<Command> {
        let rest = args.iter().position(|arg| arg == "--").map(|at| {
            let rest = args.split_off(at + 1);
            args.pop();
            rest
        });
        let mut common = Common::default();
        let mut args = common.take(args)?.into_iter();
        let Some(name) = args.next() else { return Ok(Command::Help(HELP)) };
        let mut args: Vec<String> = args.collect();
        let no_more = |args: &[String]| match args.first() {
            Some(arg) => Err(Problem::usage(format!("{name} does not know {arg:?}"))),
            None => Ok(()),
        };
        match name.as_str() {
            "help" | "--help" | "-h" => Ok(Command::Help(HELP)),
            "--version" | "-V" => Ok(Command::Help(concat!("cargo-spargio ", env!("CARGO_PKG_VERSION")))),
            "run" | "r" | "test" | "t" | "bench" | "build" | "b" | "check" | "c" => {
                Ok(Command::Build(Build { common, command: vec![name], args, rest }))
            }
            "nextest" => {
                let what = match args.first() {
                    Some(word) if !word.starts_with('-') => args.remove(0),
                    _ => "run".to_owned(),
                };
                Ok(Command::Build(Build { common, command: vec![name, what], args, rest }))
            }
            "adopt" => no_more(&args).map(|()| Command::Adopt(common)),
            "remove" => no_more(&args).map(|()| Command::Remove(common)),
            "doctor" => {
                let json = take_flag(&mut args, "--json");
                no_more(&args).map(|()| Command::Doctor(Doctor { common, json }))
            }
            "compare" => {
                let rounds = take_value(&mut args, "--rounds")?.map_or(Ok(5), |text| {
                    text.parse()
                        .ok()
                        .filter(|n| *n > 0)
                        .ok_or_else(|| Problem::usage(format!("--rounds wants a number, not {text:?}")))
                })?;
                let load = take_value(&mut args, "--load")?;
                let ready = take_value(&mut args, "--ready")?;
                let program = rest.filter(|rest| !rest.is_empty()).ok_or_else(|| {
                    Problem::usage("compare wants `-- PROGRAM [ARGS]`: the name of a binary or an example")
                })?;
                Ok(Command::Compare(Compare { common, rounds, load, ready, args, program }))
            }
            other => Err(Problem::usage(format!("there is no command {other:?}"))),
        }
    }
}

impl Common {
    /// Takes what it knows out of the arguments; notes what cargo is to be told as well.
    fn take(&mut self, mut args: Vec<String>) -> Result<Vec<String>> {
        self.spargio = take_value(&mut args, "--spargio")?;
        self.rev = take_value(&mut args, "--rev")?;
        self.manifest_path = take_value(&mut args, "--manifest-path")?;
        self.allow_other = take_flag(&mut args, "--allow-other-tokio");
        let frozen = take_flag(&mut args, "--frozen");
        let is_set = env::var_os("CARGO_NET_OFFLINE").is_some_and(|value| value == "true");
        self.offline = take_flag(&mut args, "--offline") || frozen || is_set;
        self.locked = take_flag(&mut args, "--locked") || frozen;
        self.features = take_features(&mut args)?;
        Ok(args)
    }
}

/// All that chooses features, each as one argument.
fn take_features(args: &mut Vec<String>) -> Result<Vec<String>> {
    let (mut features, mut others) = (Vec::new(), Vec::new());
    let mut left = args.drain(..);
    while let Some(arg) = left.next() {
        if arg == "--features" || arg == "-F" {
            let value = left.next().ok_or_else(|| Problem::usage(format!("{arg} wants a value")))?;
            features.push(format!("--features={value}"));
        } else if arg.starts_with("--features=")
            || arg.starts_with("-F")
            || arg == "--all-features"
            || arg == "--no-default-features"
        {
            features.push(arg);
        } else {
            others.push(arg);
        }
    }
    drop(left);
    *args = others;
    Ok(features)
}

fn take_flag(args: &mut Vec<String>, name: &str) -> bool {
    let before = args.len();
    args.retain(|arg| arg != name);
    args.len() != before
}

fn take_value(args: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = args
        .iter()
        .position(|arg| arg == name || arg.strip_prefix(name).is_some_and(|rest| rest.starts_with('=')))
    else {
        return Ok(None);
    };
    let arg = args.remove(at);
    if let Some((_, value)) = arg.split_once('=') {
        return Ok(Some(value.to_owned()));
    }
    if at == args.len() {
        return Err(Problem::usage(format!("{name} wants a value")));
    }
    Ok(Some(args.remove(at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Command {
        Command::parse(text.split(' ').map(str::to_owned).collect()).unwrap()
    }

    #[test]
    fn what_is_cargos_is_handed_on() {
        let Command::Build(build) = parse("run --spargio /x --release --features a,b --bin c -- --rev d")
        else {
            panic!("a build")
        };
        assert_eq!(build.command, ["run"]);
        assert_eq!(build.args, ["--release", "--bin", "c"]);
        assert_eq!(build.rest.unwrap(), ["--rev", "d"]);
        assert_eq!(build.common.spargio.as_deref(), Some("/x"));
        assert_eq!(build.common.features, ["--features=a,b"]);
    }

    #[test]
    fn nextest_runs_if_nothing_is_said() {
        let Command::Build(build) = parse("nextest -p x") else { panic!("a build") };
        assert_eq!(
            (build.command, build.args),
            (vec!["nextest".into(), "run".into()], vec!["-p".into(), "x".into()])
        );
        let Command::Build(build) = parse("nextest list --frozen") else { panic!("a build") };
        assert_eq!(build.command, ["nextest", "list"]);
        assert!(build.common.locked && build.common.offline && build.args.is_empty());
    }

    #[test]
    fn a_comparison() {
        let Command::Compare(compare) = parse("compare --rounds=3 -p x -- server --port 1") else {
            panic!("a comparison")
        };
        assert_eq!((compare.rounds, compare.args.len(), compare.program.len()), (3, 2, 3));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("fly", "there is no command \"fly\""),
            ("adopt --hard", "adopt does not know \"--hard\""),
            ("run --rev", "--rev wants a value"),
            ("compare -p x", "compare wants `-- PROGRAM"),
            ("compare --rounds 0 -- x", "--rounds wants a number"),
        ] {
            let problem = Command::parse(text.split(' ').map(str::to_owned).collect()).unwrap_err();
            assert!(problem.to_string().contains(said), "{problem}");
            assert_eq!(problem.code(), 2);
        }
    }
}
