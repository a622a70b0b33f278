//! Cargo's commands, with spargio as the tokio of every crate.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::cli::{Build, Common};
use crate::graph;
use crate::mirror::Mirror;
use crate::problem::{Problem, Result};
use crate::project::{Project, cargo, metadata};
use crate::source::Source;

/// A program that was resolved with spargio, and looked at.
pub(crate) struct Moved {
    pub(crate) project: Project,
    mirror: Mirror,
    source: Source,
}

impl Moved {
    pub(crate) fn new(common: &Common) -> Result<Moved> {
        let source = Source::choose(common.spargio.as_deref(), common.rev.as_deref())?;
        let project = Project::find(common)?;
        if common.locked {
            // It is the real lock file that is not to change.
            metadata(&["--locked"], Some(&project.manifest))?;
        }
        let mirror = Mirror::make(&project, &source, common)?;
        if !mirror.changes.is_empty() {
            eprintln!("spargio: beside the lock file of the program: {}", mirror.changes.join(", "));
        }
        graph::verify(&mirror.manifest, &source, common)?;
        Ok(Moved { project, mirror, source })
    }

    /// A command of cargo on it.
    pub(crate) fn cargo(&self, command: &[String], common: &Common) -> Command {
        let mut cargo = cargo();
        cargo.args(command).arg("--manifest-path").arg(&self.mirror.manifest);
        cargo.args(self.source.arguments()).arg("--locked").args(&common.features);
        if common.offline {
            cargo.arg("--offline");
        }
        cargo.env("CARGO_TARGET_DIR", self.project.ours());
        cargo
    }
}

pub(crate) fn run(options: &Build) -> Result<ExitCode> {
    let moved = Moved::new(&options.common)?;
    let mut cargo = moved.cargo(&options.command, &options.common);
    cargo.args(&options.args);
    if let Some(rest) = &options.rest {
        cargo.arg("--").args(rest);
    }
    // In our place, so that signals and exit codes are cargo's own.
    let error = cargo.exec();
    Err(Problem::new(format!("cannot start cargo: {error}")).cure("is it in the PATH?"))
}
