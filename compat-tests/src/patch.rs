//! Keeps `patch/` true: the packages that make spargio the `tokio` of every crate in a program.
//!
//! A dependency can be renamed by the crate that has it, and by nobody else. To have every crate
//! of a program on spargio, cargo's `[patch.crates-io]` must find a package of the name and the
//! version of the published one:
//!
//! ```text
//! patch/
//!   tokio/            spargio's manifest under that name and version, over spargio's own sources
//!   tokio-upstream/   the published Tokio under another name, for the half that is re-exported
//! ```
//!
//! The second exists because a package that replaces `tokio` cannot depend on it. Both are
//! committed, so that one line of a manifest is the whole step for who uses them; what is in them
//! follows from spargio's manifest and from the Tokio that `compat-tests/Cargo.toml` names. [`write()`]
//! brings them up to date, [`differences`] says what is not, and a test wants that to be nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::materialize::{read_manifest, rename, table, write_if_changed};
use crate::metadata::Workspace;

/// What spargio's `upstream` is called in the patch.
const UPSTREAM: &str = "tokio-upstream";

/// The features that are for a program with *two* Tokios in it, which a patched one has not.
const UNPATCHED: &str = "interop";

const HEAD: &str =
    "# Written by `cargo run --release -p compat-tests -- --patch`; ../README.md says what for.\n\n";

/// What a folder of `patch/` has to contain, by the path below `patch/`.
type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The folder of the package called `tokio`.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.root.join("patch/tokio")
}

/// Brings both packages up to date. Returns the folder of the one called `tokio`.
pub fn write(workspace: &Workspace) -> Result<PathBuf> {
    let base = workspace.root.join("patch");
    let wanted = expected(workspace)?;
    for (path, content) in &wanted {
        let path = base.join(path);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        write_if_changed(&path, content)?;
    }
    for path in present(&base)?.keys().filter(|path| !wanted.contains_key(*path)) {
        fs::remove_file(base.join(path))?;
    }
    Ok(folder(workspace))
}

/// The files of both packages that are missing, superfluous or other than they have to be.
pub fn differences(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let (wanted, there) = (expected(workspace)?, present(&workspace.root.join("patch"))?);
    let all = wanted.keys().chain(there.keys().filter(|path| !wanted.contains_key(*path)));
    Ok(all.filter(|path| wanted.get(*path) != there.get(*path)).cloned().collect())
}

/// Fails if the committed packages are not what they have to be.
pub fn ensure_current(workspace: &Workspace) -> Result<PathBuf> {
    let differences = differences(workspace)?;
    ensure!(
        differences.is_empty(),
        "patch/ is out of date (compat-tests -- --patch writes it): {differences:?}"
    );
    Ok(folder(workspace))
}

fn expected(workspace: &Workspace) -> Result<Files> {
    let source = workspace.source("tokio");
    let upstream = Path::new(UPSTREAM);
    let mut files = Files::new();
    collect(source, Path::new("src"), upstream, &mut files)?;
    files.insert(upstream.join("LICENSE"), read(&source.join("LICENSE"))?);
    files.insert(upstream.join("Cargo.toml"), text(&upstream_manifest(source)?)?);
    files.insert("tokio/Cargo.toml".into(), text(&tokio_manifest(workspace)?)?);
    files.insert("tokio/LICENSE".into(), read(&workspace.root.join("LICENSE"))?);
    Ok(files)
}

/// What is in both packages now.
fn present(base: &Path) -> Result<Files> {
    let mut files = Files::new();
    for package in ["tokio", UPSTREAM] {
        if base.join(package).is_dir() {
            collect(base, Path::new(package), Path::new(""), &mut files)?;
        }
    }
    Ok(files)
}

/// The files of `base/below`, under `to/below`, but for its authors' own tests and for what cargo leaves.
fn collect(base: &Path, below: &Path, to: &Path, files: &mut Files) -> Result<()> {
    let folder = base.join(below);
    for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), below.join(entry.file_name()));
        if ["tests", "tests.rs", "Cargo.lock", "target"].iter().any(|left_out| name == *left_out) {
            continue;
        }
        if entry.file_type()?.is_dir() {
            collect(base, &path, to, files)?;
        } else {
            files.insert(to.join(&path), read(&entry.path())?);
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| path.display().to_string())
}

fn text(manifest: &Table) -> Result<Vec<u8>> {
    Ok(format!("{HEAD}{}", toml::to_string(manifest)?).into_bytes())
}

fn upstream_manifest(source: &Path) -> Result<Table> {
    let mut manifest = read_manifest(&source.join("Cargo.toml"))?;
    for unused in ["badges", "bench", "dev-dependencies", "example", "test"] {
        manifest.remove(unused);
    }
    rename(&mut manifest, UPSTREAM)?;
    table(&mut manifest, "package")?.insert("publish".to_owned(), false.into());
    if let Some(targets) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for (_, tables) in targets.iter_mut() {
            tables.as_table_mut().context("a [target] table")?.remove("dev-dependencies");
        }
        targets.retain(|_, tables| tables.as_table().is_none_or(|tables| !tables.is_empty()));
    }
    Ok(manifest)
}

fn tokio_manifest(workspace: &Workspace) -> Result<Table> {
    let root = read_manifest(&workspace.root.join("Cargo.toml"))?;
    let mut manifest = root.clone();
    for unused in ["bench", "dev-dependencies", "example", "profile", "test", "workspace"] {
        manifest.remove(unused);
    }
    let shared = root.get("workspace").and_then(|workspace| workspace.get("package"));
    let shared = shared.and_then(Value::as_table).context("[workspace.package]")?;
    let mut head = Table::new();
    for key in ["edition", "rust-version", "license"] {
        head.insert(key.to_owned(), shared.get(key).with_context(|| key.to_owned())?.clone());
    }
    head.insert("name".to_owned(), "tokio".into());
    // Cargo takes a patch whose version satisfies what is asked for.
    head.insert("version".to_owned(), workspace.version("tokio").into());
    let spargio = shared.get("version").and_then(Value::as_str);
    let description =
        format!("spargio {} as the tokio of a whole graph", spargio.context("spargio's version")?);
    head.insert("description".to_owned(), description.into());
    head.insert("publish".to_owned(), false.into());
    manifest.insert("package".to_owned(), head.into());
    let library = [("path", Value::from("../../src/lib.rs")), ("bench", false.into())];
    manifest.insert("lib".to_owned(), Table::from_iter(library.map(|(key, it)| (key.to_owned(), it))).into());

    let features = table(&mut manifest, "features")?;
    features.remove(UNPATCHED);
    for (_, list) in features.iter_mut() {
        let list = list.as_array_mut().context("a feature is a list")?;
        list.retain(|name| name.as_str() != Some(UNPATCHED));
    }
    let targets = table(&mut manifest, "target")?;
    for (_, tables) in targets.iter_mut() {
        let dependencies = table(tables.as_table_mut().context("a [target] table")?, "dependencies")?;
        for (name, dependency) in dependencies.iter_mut() {
            let Some(dependency) = dependency.as_table_mut() else { continue };
            if name == "upstream" {
                dependency.remove("version");
                dependency.insert("package".to_owned(), UPSTREAM.into());
                dependency.insert("path".to_owned(), format!("../{UPSTREAM}").into());
            } else if let Some(path) = dependency.get_mut("path") {
                let relative = path.as_str().context("a path is a string")?;
                *path = format!("../../{relative}").into();
            }
        }
    }

    // The sources ask for the feature that is not here.
    let mut lints = root.get("workspace").and_then(|workspace| workspace.get("lints")).cloned();
    let checks = lints.as_mut().and_then(|lints| lints.get_mut("rust")?.get_mut("unexpected_cfgs"));
    let checks = checks.and_then(|lint| lint.get_mut("check-cfg")?.as_array_mut());
    checks.context("check-cfg")?.push(format!("cfg(feature, values({UNPATCHED:?}))").into());
    manifest.insert("lints".to_owned(), lints.context("[workspace.lints]")?);
    Ok(manifest)
}
