//! Where things are: the workspace, its target directory, the published sources.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{CargoOpt, MetadataCommand};

use crate::suite::Suite;

/// What `cargo metadata` says about the workspace this runner belongs to.
#[derive(Clone, Debug)]
pub struct Workspace {
    pub root: PathBuf,
    pub target: PathBuf,
    /// The folder of this runner, where baselines are kept.
    pub runner: PathBuf,
    published: Vec<(String, String, PathBuf)>,
    /// The features of tokio and of spargio, the implicit ones too.
    pub features: [BTreeSet<String>; 2],
}

/// The packages whose published sources a run uses.
const PUBLISHED: [&str; 4] = ["tokio", "tokio-util", "tokio-stream", "tokio-test"];

impl Workspace {
    /// Asks cargo; fetches the published sources if they are not there yet.
    pub fn load() -> Result<Self> {
        let runner = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let metadata = metadata_command(&runner.join("Cargo.toml"))
            .features(CargoOpt::SomeFeatures(vec!["sources".to_owned()]))
            .exec()
            .context("cargo metadata of the workspace")?;
        let mut published = Vec::new();
        for name in PUBLISHED {
            // Only what comes from a registry: spargio may itself be called tokio one day.
            let mut found = metadata
                .packages
                .iter()
                .filter(|package| package.name.as_str() == name && package.source.is_some());
            let package = found.next().with_context(|| format!("cargo resolves no {name}"))?;
            ensure!(found.next().is_none(), "cargo resolves more than one {name}");
            let folder = package.manifest_path.parent().context("a manifest has a folder")?;
            published.push((name.to_owned(), package.version.to_string(), folder.into()));
        }
        let features = |name: &str, ours: bool| -> BTreeSet<String> {
            let mut packages = metadata.packages.iter();
            let package = packages.find(|p| p.name.as_str() == name && p.source.is_none() == ours);
            package.into_iter().flat_map(|package| package.features.keys().cloned()).collect()
        };
        Ok(Self {
            root: metadata.workspace_root.into(),
            target: metadata.target_directory.into(),
            runner,
            published,
            features: [features("tokio", false), features("spargio", true)],
        })
    }

    /// The folder a package was unpacked to.
    pub fn source(&self, package: &str) -> &Path {
        &self.find(package).2
    }

    pub fn version(&self, package: &str) -> &str {
        &self.find(package).1
    }

    fn find(&self, package: &str) -> &(String, String, PathBuf) {
        self.published.iter().find(|(name, ..)| name == package).expect("one of PUBLISHED")
    }

    pub fn baseline(&self, suite: Suite, unstable: bool) -> PathBuf {
        let suffix = if unstable { "-unstable" } else { "" };
        self.runner.join(format!("baseline/{suite}{suffix}.txt"))
    }
}

/// What the cargo that started us, and rustc's wrappers, tell a process about *our* package or
/// our flags. A nested cargo and the tests must not take it for theirs.
const FOREIGN: [&str; 12] = [
    "CARGO_BIN_",
    "CARGO_BUILD_",
    "CARGO_CRATE_NAME",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_INCREMENTAL",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "OUT_DIR",
    "RUSTFLAGS",
];

/// Removes from a command's environment what was meant for us.
pub fn clean_environment(command: &mut Command) {
    for (key, _) in std::env::vars_os() {
        let foreign = key.to_str().is_some_and(|key| FOREIGN.iter().any(|prefix| key.starts_with(prefix)));
        if foreign {
            command.env_remove(key);
        }
    }
}

/// The cargo to call: the one that started us, if one did.
pub fn cargo() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

pub fn metadata_command(manifest: &Path) -> MetadataCommand {
    let mut command = MetadataCommand::new();
    command.cargo_path(cargo()).manifest_path(manifest);
    command
}
