//! The program with a lock file of its own.
//!
//! Moving a program to spargio moves its lock file: another `tokio`, and what that one needs. To
//! leave the real one alone, cargo is shown the program in another place, where everything is a
//! symbolic link to the real thing but for the lock file:
//!
//! ```text
//! target/spargio/
//!   mirror/NUMBER/home/me/program/      Cargo.toml -> …, src -> …, and a Cargo.lock that is ours
//!   mirror/NUMBER/home/me/library -> …  where the program depends on ../library
//!   debug/ release/ …                   what was built
//! ```
//!
//! Each workspace has a mirror, and so a number, of its own. Several may share a target folder, and
//! then what is a neighbour here, one link, is a program there, with a lock file to be written:
//! through the link that would be the real one.
//!
//! The lock file starts as a copy of the real one, in which `tokio` alone is updated; it is made
//! again when the real one has changed. Cargo's configuration, the folder a program runs in and
//! the environment are the real ones: they go by the folder of the caller.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::Common;
use crate::lock;
use crate::problem::{About, Problem, Result};
use crate::project::{Project, cargo, explain, is_network, list, metadata, output};
use crate::source::Source;

#[derive(Debug)]
pub(crate) struct Mirror {
    /// What cargo is told is the manifest.
    pub(crate) manifest: PathBuf,
    root: PathBuf,
    /// What this run changed in the lock file; empty if it was there.
    pub(crate) changes: Vec<String>,
}

impl Mirror {
    /// Shows cargo the program there, and resolves it with spargio as its tokio.
    pub(crate) fn make(project: &Project, source: &Source, common: &Common) -> Result<Mirror> {
        let base = project.ours().join("mirror").join(number(&project.root));
        fs::create_dir_all(&base).about(base.display())?;
        // Cargo takes `..` out of a path by its words, the system after links.
        let base = base.canonicalize().about(base.display())?;
        let root = below(&base, &project.root);
        fs::create_dir_all(&root).about(root.display())?;
        link_entries(project, &root)?;
        link_neighbours(project, &base, common)?;
        let mut mirror = Mirror { manifest: below(&base, &project.manifest), root, changes: Vec::new() };
        mirror.lock(project, source, common)?;
        Ok(mirror)
    }

    fn lock(&mut self, project: &Project, source: &Source, common: &Common) -> Result<()> {
        let (lock, stamp) = (self.root.join("Cargo.lock"), self.root.join("Cargo.lock.made-of"));
        let real = project.lock_text().unwrap_or_default();
        // With another source or manifest cargo itself says that the lock file does not fit.
        let made_of = format!("{}\n{}\n{real}", source.arguments().join(" "), manifest_text(project));
        if lock.exists() && fs::read_to_string(&stamp).is_ok_and(|text| text == made_of) {
            return Ok(());
        }
        self.is_the_workspace()?;
        if real.is_empty() {
            let _ = fs::remove_file(&lock);
        } else {
            fs::write(&lock, &real).about(lock.display())?;
        }
        update(&self.manifest, source, common, real.is_empty())?;
        let made = fs::read_to_string(&lock).about(lock.display())?;
        if !real.is_empty() {
            self.changes = lock::changes(&real, &made);
        }
        fs::write(&stamp, made_of).about(stamp.display())
    }

    /// Fails unless cargo takes the mirror for the workspace: it writes the lock file there.
    fn is_the_workspace(&self) -> Result<()> {
        let said = metadata(&["--no-deps"], Some(&self.manifest));
        if said.as_ref().is_ok_and(|said| said["workspace_root"].as_str().map(Path::new) == Some(&self.root))
        {
            return Ok(());
        }
        let problem = said.err().unwrap_or_else(|| Problem::new("cargo finds another workspace there"));
        Err(problem.cure(format!("{} stands for the program", self.root.display())).cure(
            "a path in a manifest that leads to the real one is to be written relative: package.workspace, members",
        ))
    }
}

/// The same for the same folder, whichever Rust this was built with (FNV-1a).
fn number(folder: &Path) -> String {
    let number = folder.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |number, byte| {
        (number ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{number:016x}")
}

fn manifest_text(project: &Project) -> String {
    fs::read_to_string(project.root.join("Cargo.toml")).unwrap_or_default()
}

/// Moves `tokio` in the lock file of `manifest` to spargio, and nothing that need not move with it.
pub(crate) fn update(manifest: &Path, source: &Source, common: &Common, is_new: bool) -> Result<()> {
    let attempt = |offline: bool| {
        let mut command = cargo();
        if is_new {
            command.arg("generate-lockfile");
        } else {
            let lock = manifest.ancestors().map(|at| at.join("Cargo.lock")).find(|lock| lock.is_file());
            let lock = lock.and_then(|lock| fs::read_to_string(lock).ok()).unwrap_or_default();
            match lock::tokio(&lock) {
                // Of a graph with a Tokio 0.2 in it, only the other one.
                Some(version) => command.args(["update", "-p", &format!("tokio@{version}")]),
                // It is older than the dependency: what is missing is added, and the rest stays.
                None => command.args(["update", "--workspace"]),
            };
        }
        command.arg("--quiet").arg("--manifest-path").arg(manifest).args(source.arguments());
        // A program that promises an older Rust would be given an older, published Tokio.
        command.env("CARGO_RESOLVER_INCOMPATIBLE_RUST_VERSIONS", "allow");
        if offline {
            command.arg("--offline");
        }
        output(&mut command)
    };
    let done = match attempt(common.offline) {
        Err(said) if !common.offline && is_network(&said) => attempt(true).map_err(|_| said),
        done => done,
    };
    match done {
        Ok(_) => Ok(()),
        Err(said) => Err(explain("resolving the program with spargio", &said)),
    }
}

pub(crate) fn no_tokio() -> Problem {
    Problem::new("no crate of this program depends on tokio 1.x: there is nothing to move")
        .cure("is it the right folder? --manifest-path PATH names another one")
        .cure("if tokio is behind a feature, say so: --features …")
}

/// `/a/b` below `base`.
fn below(base: &Path, path: &Path) -> PathBuf {
    base.join(path.strip_prefix("/").unwrap_or(path))
}

/// Everything in the program's folder.
fn link_entries(project: &Project, root: &Path) -> Result<()> {
    let mut wanted = Vec::new();
    let target = project.target.canonicalize().about(project.target.display())?;
    for entry in fs::read_dir(&project.root).about(project.root.display())? {
        let path = entry.about(project.root.display())?.path();
        // The target folder holds the mirror itself. A repository is found above the mirror.
        let is_left_out = path.canonicalize().is_ok_and(|path| path == target)
            || path
                .file_name()
                .is_some_and(|name| name == "Cargo.lock" || name == ".git" || name == "target");
        if !is_left_out {
            link(&path, &root.join(path.file_name().unwrap_or_default()))?;
            wanted.push(path.file_name().map(ToOwned::to_owned));
        }
    }
    for entry in fs::read_dir(root).about(root.display())? {
        let path = entry.about(root.display())?.path();
        if path.is_symlink() && !wanted.contains(&path.file_name().map(ToOwned::to_owned)) {
            fs::remove_file(&path).about(path.display())?;
        }
    }
    Ok(())
}

/// Path dependencies outside of the workspace, which its manifests name by `../`.
fn link_neighbours(project: &Project, base: &Path, common: &Common) -> Result<()> {
    let folders = path_packages(project, common)?;
    for folder in folders.iter().filter(|folder| !folder.starts_with(&project.root)) {
        // The highest folder that is not above the program: what it inherits is there, too.
        let highest = folder.ancestors().take_while(|at| !project.root.starts_with(at)).last();
        if let Some(highest) = highest {
            let copy = below(base, highest);
            fs::create_dir_all(copy.parent().unwrap_or(base)).about(copy.display())?;
            link(highest, &copy)?;
        }
    }
    Ok(())
}

/// The folders of all packages that are reached by paths.
///
/// To make a lock file, cargo reads the manifests of optional path dependencies as well, and of what
/// those depend on. They are in no graph, and without a lock file that fits there is none: so each
/// that is not known yet is asked for by itself.
fn path_packages(project: &Project, common: &Common) -> Result<BTreeSet<PathBuf>> {
    let flags: &[&str] = if common.offline { &["--offline", "--locked"] } else { &["--locked"] };
    let graph = metadata(flags, Some(&project.manifest))
        .or_else(|_| metadata(&["--no-deps"], Some(&project.manifest)))?;
    let mut known: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    known.extend(list(&graph["packages"]).iter().filter_map(|package| depends_on(package, true)));
    let mut found: BTreeSet<PathBuf> = known.keys().cloned().collect();
    let mut left: Vec<PathBuf> = known.values().flatten().cloned().collect();
    while let Some(folder) = left.pop() {
        if !found.insert(folder.clone()) {
            continue;
        }
        if !known.contains_key(&folder) {
            // One that cannot be read is linked all the same, and cargo says what is wrong with it.
            let said = metadata(&["--no-deps"], Some(&folder.join("Cargo.toml"))).unwrap_or_default();
            known.extend(list(&said["packages"]).iter().filter_map(|package| depends_on(package, false)));
        }
        left.extend(known.get(&folder).into_iter().flatten().cloned());
    }
    Ok(found)
}

/// The folder of a package that is no registry's, and those that it depends on by path. Cargo leaves
/// the dev-dependencies of others alone.
fn depends_on(package: &Value, with_dev: bool) -> Option<(PathBuf, Vec<PathBuf>)> {
    let folder = Path::new(package["manifest_path"].as_str()?).parent()?;
    let dependencies = list(&package["dependencies"]).iter().filter(|it| with_dev || it["kind"] != "dev");
    let paths = dependencies.filter_map(|it| it["path"].as_str()).map(PathBuf::from).collect();
    package["source"].is_null().then(|| (folder.to_owned(), paths))
}

fn link(real: &Path, copy: &Path) -> Result<()> {
    if fs::read_link(copy).is_ok_and(|there| there == real) {
        return Ok(());
    }
    if copy.is_symlink() {
        fs::remove_file(copy).about(copy.display())?;
    }
    symlink(real, copy).about(copy.display())
}
