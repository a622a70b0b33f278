//! Runs the published tests of crates that stand on Tokio, with spargio as the `tokio` of every
//! crate in their graph.
//!
//! The crates are fetched by cargo when this is run; nothing of them is in this repository. Their
//! manifests and sources are as published, but for `[patch.crates-io]` ([`patch`])
//! and no debug information. What cargo does not pin it resolves anew for the first run; the lock
//! file stays in the target folder.
//!
//! With `--record-baseline` the same runs over the published Tokio: that is where the numbers in
//! this file are from.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use cargo_metadata::Metadata;
use toml::{Table, Value};

use crate::cli::Options;
use crate::docs::verdict;
use crate::materialize::{Subject, copy_tree, folder, path_value, read_manifest, table, write_manifest};
use crate::metadata::{Workspace, cargo, clean_environment, metadata_command};
use crate::patch;
use crate::session::Outcome;

/// A crate whose published package has tests.
struct Crate {
    name: &'static str,
    version: &'static str,
    features: &'static str,
    /// Which of its targets: arguments of `cargo test`.
    targets: &'static [&'static str],
    /// How many of its tests pass over the published Tokio.
    passes: usize,
    /// Those that do not, and why.
    fails: &'static [(&'static str, &'static str)],
}

const CRATES: &[Crate] = &[
    Crate {
        name: "hyper",
        version: "1.12.0",
        features: "full",
        targets: &["--lib"],
        passes: 124,
        fails: &[],
    },
    Crate {
        name: "hyper-util",
        version: "0.1.21",
        features: "full",
        targets: &["--lib", "--tests"],
        passes: 132,
        fails: &[("test_socks_v5_with_locally_resolved_domain_works", "without a name server")],
    },
    Crate {
        name: "tower",
        version: "0.5.3",
        features: "full",
        targets: &["--lib", "--tests"],
        passes: 82,
        fails: &[],
    },
    Crate { name: "quinn", version: "0.11.12", features: "", targets: &["--lib"], passes: 22, fails: &[] },
    Crate {
        name: "tokio-seqpacket",
        version: "0.9.1",
        features: "",
        targets: &["--lib", "--tests"],
        passes: 21,
        fails: &[],
    },
    Crate {
        name: "command-group",
        version: "5.0.1",
        features: "with-tokio",
        targets: &["--test", "tokio_unix"],
        passes: 21,
        fails: &[],
    },
];

/// Seconds that one test binary may take.
const LIMIT: &str = "300";

/// What came of the tests of one crate.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdicts {
    passed: usize,
    failed: BTreeSet<String>,
}

/// Runs the tests of those crates whose name matches `--filter`.
pub fn run(workspace: &Workspace, options: &Options) -> Result<Outcome> {
    let subject = if options.record_baseline { Subject::Tokio } else { Subject::Spargio };
    let base = folder(workspace).join("ecosystem");
    let chosen: Vec<&Crate> = CRATES
        .iter()
        .filter(|one| options.filter.as_ref().is_none_or(|filter| filter.is_match(one.name)))
        .collect();
    ensure!(!chosen.is_empty(), "no crate of that name; there are: {}", names(CRATES.iter()));
    let patch = match subject {
        Subject::Spargio => Some(patch::ensure_current(workspace)?),
        Subject::Tokio => None,
    };
    let sources = fetch(&base.join("fetch"), &chosen)?;

    let mut outcome = Outcome { good: true, ..Outcome::default() };
    println!("{:<18} {:<9} {:>6} {:>6}", "crate", "version", "passed", "Tokio");
    for (one, source) in chosen.iter().zip(&sources) {
        let package = base.join(subject.name()).join(one.name);
        materialize(one, source, &package, patch.as_deref())?;
        verify(&package, patch.as_deref()).with_context(|| one.name)?;
        eprintln!("building and running the tests of {} {}", one.name, one.version);
        let (verdicts, said) = test(one, &package, &folder(workspace), options)?;
        println!("{:<18} {:<9} {:>6} {:>6}", one.name, one.version, verdicts.passed, one.passes);
        if !explain(one, &verdicts) {
            outcome.good = false;
            let log = package.with_extension("log");
            fs::write(&log, said).with_context(|| log.display().to_string())?;
            println!("  output: {}", log.display());
        }
        outcome.passed += verdicts.passed;
        outcome.failed += verdicts.failed.len();
    }
    if let Some(patch) = patch {
        println!("in all of these graphs every `tokio` was {}", patch.display());
    }
    Ok(outcome)
}

fn names<'a>(crates: impl Iterator<Item = &'a Crate>) -> String {
    crates.map(|one| one.name).collect::<Vec<_>>().join(", ")
}

/// Has cargo download the crates; returns where it unpacked them.
fn fetch(package: &Path, crates: &[&Crate]) -> Result<Vec<PathBuf>> {
    let mut manifest = empty_package("fetch");
    let dependencies = table(&mut manifest, "dependencies")?;
    for one in crates {
        let mut dependency = Table::new();
        dependency.insert("version".to_owned(), format!("={}", one.version).into());
        dependency.insert("default-features".to_owned(), false.into());
        dependencies.insert(one.name.to_owned(), dependency.into());
    }
    write_manifest(&package.join("Cargo.toml"), &manifest)?;
    fs::create_dir_all(package.join("src"))?;
    fs::write(package.join("src/lib.rs"), "")?;
    let metadata = metadata_command(&package.join("Cargo.toml")).exec().context("fetching the crates")?;
    let source = |one: &&Crate| {
        let found = metadata
            .packages
            .iter()
            .find(|package| package.name.as_str() == one.name && package.version.to_string() == one.version);
        let folder = found.and_then(|package| package.manifest_path.parent());
        folder.map(PathBuf::from).with_context(|| format!("cargo did not fetch {}", one.name))
    };
    crates.iter().map(source).collect()
}

fn empty_package(name: &str) -> Table {
    let mut manifest = Table::new();
    let head = [("name", name), ("version", "0.0.0"), ("edition", "2024")];
    let head = Table::from_iter(head.map(|(key, value)| (key.to_owned(), Value::from(value))));
    manifest.insert("package".to_owned(), head.into());
    manifest.insert("workspace".to_owned(), Table::new().into());
    manifest
}

/// The crate as published, in a workspace of its own, with the patch.
fn materialize(one: &Crate, source: &Path, package: &Path, patch: Option<&Path>) -> Result<()> {
    fs::create_dir_all(package).with_context(|| package.display().to_string())?;
    for entry in fs::read_dir(source).with_context(|| source.display().to_string())? {
        let entry = entry?;
        let copy = package.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_tree(&entry.path(), &copy)?;
        } else if entry.file_name() != "Cargo.toml" && entry.file_name() != "Cargo.lock" {
            // Its authors' lock file has another tokio in it; the one of the first run stays.
            fs::copy(entry.path(), &copy).with_context(|| copy.display().to_string())?;
        }
    }
    let mut manifest = read_manifest(&source.join("Cargo.toml"))?;
    manifest.insert("workspace".to_owned(), Table::new().into());
    let profile = toml::toml! {
        [dev]
        debug = 0
        incremental = false
    };
    manifest.insert("profile".to_owned(), profile.into());
    if let Some(patch) = patch {
        let replaced = table(&mut manifest, "patch").and_then(|patch| table(patch, "crates-io"))?;
        let tokio = Table::from_iter([("path".to_owned(), path_value(patch))]);
        replaced.insert("tokio".to_owned(), tokio.into());
    }
    write_manifest(&package.join("Cargo.toml"), &manifest).with_context(|| one.name)
}

/// Makes sure that each `tokio` of the graph is what it should be: cargo only warns when it does
/// not use a patch.
fn verify(package: &Path, patch: Option<&Path>) -> Result<()> {
    let metadata = metadata_command(&package.join("Cargo.toml")).exec().context("cargo metadata")?;
    let found = tokios(&metadata);
    ensure!(!found.is_empty(), "its graph has no tokio");
    for folder in found {
        match patch {
            Some(patch) => ensure!(folder == patch, "a tokio of its graph is {}", folder.display()),
            None => ensure!(!folder.starts_with(package), "a tokio of its graph is its own"),
        }
    }
    Ok(())
}

/// The folders of all packages named tokio.
fn tokios(metadata: &Metadata) -> Vec<&Path> {
    let named = metadata.packages.iter().filter(|package| package.name.as_str() == "tokio");
    named.filter_map(|package| package.manifest_path.parent()).map(|folder| folder.as_std_path()).collect()
}

/// Builds and runs the tests; returns what became of them and all that was printed.
fn test(one: &Crate, package: &Path, base: &Path, options: &Options) -> Result<(Verdicts, String)> {
    let mut command = Command::new(cargo());
    clean_environment(&mut command);
    let output = command
        .current_dir(package)
        .env("CARGO_TARGET_DIR", base.join("target-ecosystem"))
        .env("SPARGIO_BACKEND", options.backend.name())
        .env("SPARGIO_LANE", options.lane.name())
        .args(["test", "--no-fail-fast", "--features", one.features])
        .arg(format!("--jobs={}", options.jobs()))
        .arg(format!("--config=target.'cfg(unix)'.runner=['timeout', '--kill-after=5', '{LIMIT}']"))
        .args(one.targets)
        .stdin(Stdio::null())
        .output()
        .context("starting cargo")?;
    let [out, err] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    let verdicts = parse(&out);
    Ok((verdicts, format!("{err}\n{out}")))
}

fn parse(output: &str) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for line in output.lines() {
        let Some((name, verdict)) = verdict(line) else { continue };
        match verdict {
            "ok" => verdicts.passed += 1,
            verdict if verdict.starts_with("ignored") => {}
            _ => drop(verdicts.failed.insert(name.to_owned())),
        }
    }
    verdicts
}

/// Prints what is not as expected; `true` if nothing is.
fn explain(one: &Crate, verdicts: &Verdicts) -> bool {
    let expected: BTreeSet<&str> = one.fails.iter().map(|(name, _)| *name).collect();
    for name in &verdicts.failed {
        match one.fails.iter().find(|(known, _)| known == name) {
            Some((_, why)) => println!("  {name}: fails over Tokio too, {why}"),
            None => println!("  {name}: FAILED"),
        }
    }
    let new = verdicts.failed.iter().any(|name| !expected.contains(name.as_str()));
    // More than recorded is a test that needs what this machine has, the network for example.
    let lost = one.passes.saturating_sub(verdicts.passed);
    if lost > 0 && !new {
        println!("  {lost} tests did not run to their end, or did not compile");
    }
    !new && lost == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_of_libtest() {
        let output = "running 3 tests\ntest a::b ... ok\ntest c - should panic ... ok\ntest d ... FAILED\n\
                      test e ... ignored, needs a server\n\ntest result: FAILED. 2 passed; 1 failed";
        let failed = BTreeSet::from(["d".to_owned()]);
        assert_eq!(parse(output), Verdicts { passed: 2, failed });
    }

    #[test]
    fn a_test_that_is_lost_is_no_success() {
        let one = Crate {
            name: "x",
            version: "1.0.0",
            features: "",
            targets: &[],
            passes: 2,
            fails: &[("d", "it needs the network")],
        };
        let verdicts = |passed, failed: &[&str]| Verdicts {
            passed,
            failed: failed.iter().map(|name| (*name).to_owned()).collect(),
        };
        assert!(explain(&one, &verdicts(2, &["d"])));
        assert!(explain(&one, &verdicts(3, &[])));
        assert!(!explain(&one, &verdicts(1, &["d"])));
        assert!(!explain(&one, &verdicts(2, &["e"])));
    }
}
