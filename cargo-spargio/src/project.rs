//! What cargo says about the program.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::Common;
use crate::problem::{About, Problem, Result};

/// The cargo to call: the one that started us, if one did.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// A workspace, and the package in it that is meant.
///
/// A folder has several names if there are links to it, and `../library` is another folder for each:
/// cargo takes `..` away from the words. So both paths are the words that cargo uses, and no link in
/// them is followed.
#[derive(Debug)]
pub(crate) struct Project {
    /// The manifest that cargo would take.
    pub(crate) manifest: PathBuf,
    pub(crate) root: PathBuf,
    pub(crate) target: PathBuf,
}

impl Project {
    pub(crate) fn find(common: &Common) -> Result<Project> {
        let metadata = metadata(&["--no-deps"], common.manifest_path.as_deref().map(Path::new))?;
        let path = |key: &str| PathBuf::from(metadata[key].as_str().unwrap_or_default());
        let root = path("workspace_root");
        let here = env::current_dir().about("the current folder")?;
        let manifest = match &common.manifest_path {
            Some(path) => plain(&here.join(path)),
            None => nearest(&here).unwrap_or(root.join("Cargo.toml")),
        };
        Ok(Project { manifest, root, target: path("target_directory") })
    }

    /// The folder where everything of ours is.
    pub(crate) fn ours(&self) -> PathBuf {
        self.target.join("spargio")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.root.join("Cargo.lock")
    }

    /// The text of the lock file, if there is one.
    pub(crate) fn lock_text(&self) -> Option<String> {
        fs::read_to_string(self.lock()).ok()
    }
}

/// Without `.` and `..`, as cargo takes them out.
pub(crate) fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    folder.ancestors().map(|at| at.join("Cargo.toml")).find(|manifest| manifest.is_file())
}

/// The members of a list that cargo prints; none if it is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// `cargo metadata`, with those arguments.
pub(crate) fn metadata(args: &[&str], manifest: Option<&Path>) -> Result<Value> {
    let mut command = cargo();
    command.args(["metadata", "--format-version=1"]).args(args);
    if let Some(manifest) = manifest {
        command.arg("--manifest-path").arg(manifest);
    }
    let text = output(&mut command).map_err(|said| explain("cargo metadata", &said))?;
    serde_json::from_str(&text).map_err(|error| Problem::new(format!("cargo metadata: {error}")))
}

/// Runs a command; what it printed, or what it complained about.
pub(crate) fn output(command: &mut Command) -> std::result::Result<String, String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("{}: {error}", command.get_program().to_string_lossy()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Did cargo want the network?
pub(crate) fn is_network(said: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "failed to query replaced source",
        "download of ",
        "Could not resolve host",
        "network failure",
        "failed to fetch",
        "you're using offline mode",
        "but --offline was specified",
        // Vendored sources are all that there is.
        "no matching package named",
    ];
    SIGNS.iter().any(|sign| said.contains(sign))
}

/// An error of cargo, with what can be done about it.
pub(crate) fn explain(what: &str, said: &str) -> Problem {
    let said = said.trim().trim_start_matches("error:").trim();
    let problem = Problem::new(format!("{what} failed: {said}"));
    if is_network(said) {
        return problem
            .cure("spargio brings io-uring, slab and a few more crates along; cargo has to fetch them once")
            .cure("run this once with the network (and without --offline), or vendor the crates after `cargo spargio adopt`");
    }
    if said.contains("could not find `Cargo.toml`") {
        return problem.cure("run it in the folder of the program, or say --manifest-path PATH");
    }
    if said.contains("because --locked was passed") {
        return problem
            .cure("the lock file of the program does not fit its manifest: run cargo once without --locked");
    }
    problem
}
