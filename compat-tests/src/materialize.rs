//! Writes the generated workspace.
//!
//! ```text
//! target/compat/spargio/            (…/tokio for a baseline, …-unstable with --cfg-unstable)
//!   Cargo.toml                      a workspace of its own
//!   Cargo.lock                      seeded from the root's lock file
//!   tokio-suite/                    tokio's tests/*.rs, as a package with tokio's feature names
//!   tokio-suite-with-helpers/       … those that need one of the three below
//!   tokio-docs/                     tokio's own sources, for the examples in their documentation
//!   tokio-util/ tokio-stream/ tokio-test/   the published packages, over the same `tokio`
//! ```
//!
//! Each package keeps its published manifest except for what has to change: path dependencies on
//! each other, and `tokio` meaning the crate under test. A file is only written when its content
//! changes, so cargo rebuilds nothing needlessly.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use toml::{Table, Value};

use crate::metadata::Workspace;
use crate::suite::{Suite, TOKIO_DOCS, TOKIO_HELPERS, TOKIO_PLAIN};

/// What the tests stand on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    Spargio,
    /// The published tokio, to record a baseline.
    Tokio,
}

impl Subject {
    pub fn name(self) -> &'static str {
        match self {
            Subject::Spargio => "spargio",
            Subject::Tokio => "tokio",
        }
    }
}

/// The generated workspace.
#[derive(Clone, Debug)]
pub struct Generated {
    pub root: PathBuf,
    pub target: PathBuf,
    pub subject: Subject,
    pub unstable: bool,
}

/// Features of tokio that its published tests are gated on.
const FEATURES: [&str; 2] = ["full", "test-util"];
/// … and those that only exist with `--cfg tokio_unstable`.
const UNSTABLE_FEATURES: [&str; 4] = ["io-uring", "schedule-latency", "taskdump", "tracing"];

/// The crates that stand on tokio and are built over the crate under test as well.
const HELPERS: [&str; 3] = ["tokio-util", "tokio-stream", "tokio-test"];

/// The folder all runs of this workspace share.
pub fn folder(workspace: &Workspace) -> PathBuf {
    workspace.target.join("compat")
}

impl Generated {
    /// The folder of one generated package: where its tests run.
    pub fn package(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The test files of a suite, as names without `.rs`.
    pub fn files(&self, suite: Suite) -> Result<Vec<(&'static str, String)>> {
        let mut files = Vec::new();
        for package in suite.packages() {
            let manifest: Table = read_manifest(&self.package(package).join("Cargo.toml"))?;
            for target in manifest.get("test").and_then(Value::as_array).into_iter().flatten() {
                if let Some(name) = target.get("name").and_then(Value::as_str) {
                    files.push((*package, name.to_owned()));
                }
            }
        }
        files.sort_by(|a, b| a.1.cmp(&b.1));
        Ok(files)
    }
}

/// Writes the generated workspace, or brings it up to date.
pub fn materialize(workspace: &Workspace, subject: Subject, unstable: bool) -> Result<Generated> {
    let suffix = if unstable { "-unstable" } else { "" };
    let base = folder(workspace);
    let generated = Generated {
        root: base.join(format!("{}{suffix}", subject.name())),
        target: base.join(format!("target{suffix}")),
        subject,
        unstable,
    };
    write_root(&generated)?;
    for helper in HELPERS {
        write_helper(workspace, &generated, helper)?;
    }
    write_tokio_suite(workspace, &generated)?;
    write_tokio_docs(workspace, &generated)?;
    seed_lock(&workspace.root.join("Cargo.lock"), &generated.root.join("Cargo.lock"))?;
    Ok(generated)
}

fn write_root(generated: &Generated) -> Result<()> {
    let members: Vec<&str> = HELPERS.into_iter().chain([TOKIO_PLAIN, TOKIO_HELPERS, TOKIO_DOCS]).collect();
    // Two hundred binaries are linked and nobody debugs them: no incremental state, and debug
    // information only where it is tested, by the task dumps.
    let debug = if generated.unstable { 1 } else { 0 };
    let mut root = toml::toml! {
        [workspace]
        resolver = "3"

        [profile.dev]
        incremental = false

        [profile.dev.package."*"]
        debug = false
    };
    table(&mut root, "workspace")?.insert("members".to_owned(), members.into());
    let profile = table(&mut root, "profile").and_then(|profile| table(profile, "dev"))?;
    profile.insert("debug".to_owned(), debug.into());
    write_manifest(&generated.root.join("Cargo.toml"), &root)
}

/// One of the published packages, with its own tests, over the crate under test.
fn write_helper(workspace: &Workspace, generated: &Generated, name: &str) -> Result<()> {
    let source = workspace.source(name);
    let package = generated.package(name);
    for folder in ["src", "tests"] {
        copy_tree(&source.join(folder), &package.join(folder))?;
    }
    let mut manifest = read_manifest(&source.join("Cargo.toml"))?;
    table(&mut manifest, "package")?.remove("readme");
    redirect(workspace, generated, &mut manifest)?;
    write_manifest(&package.join("Cargo.toml"), &manifest)
}

/// Tokio's own tests, as two packages with tokio's features and dependencies but not its sources.
fn write_tokio_suite(workspace: &Workspace, generated: &Generated) -> Result<()> {
    let source = workspace.source("tokio");
    let with_helpers = files_with_helpers(&source.join("tests"))?;
    let published = read_manifest(&source.join("Cargo.toml"))?;
    for name in [TOKIO_PLAIN, TOKIO_HELPERS] {
        let helpers = name == TOKIO_HELPERS;
        let package = generated.package(name);
        copy_tree(&source.join("tests"), &package.join("tests"))?;
        let mut manifest = published.clone();
        for unused in ["lib", "badges"] {
            manifest.remove(unused);
        }
        let head = table(&mut manifest, "package")?;
        head.insert("name".to_owned(), name.into());
        for unused in ["readme", "metadata"] {
            head.remove(unused);
        }
        if let Some(targets) = manifest.get_mut("test").and_then(Value::as_array_mut) {
            targets.retain(|target| {
                let file = target.get("name").and_then(Value::as_str).unwrap_or_default();
                with_helpers.contains(file) == helpers
            });
        }
        forward_features(&mut manifest, generated.unstable)?;
        table(&mut manifest, "dependencies")?
            .insert("tokio".to_owned(), subject_dependency(workspace, generated));
        if !helpers {
            let dev = table(&mut manifest, "dev-dependencies")?;
            for helper in HELPERS {
                dev.remove(helper);
            }
        }
        redirect(workspace, generated, &mut manifest)?;
        write_manifest(&package.join("Cargo.toml"), &manifest)?;
    }
    Ok(())
}

/// Tokio's sources as a library of another name, next to the crate under test as `tokio`: its
/// documentation says `tokio::…`, so its examples are linked with the crate under test.
fn write_tokio_docs(workspace: &Workspace, generated: &Generated) -> Result<()> {
    let source = workspace.source("tokio");
    let package = generated.package(TOKIO_DOCS);
    for folder in ["src", "docs"] {
        copy_tree(&source.join(folder), &package.join(folder))?;
    }
    let mut manifest = read_manifest(&source.join("Cargo.toml"))?;
    for unused in ["test", "badges"] {
        manifest.remove(unused);
    }
    rename(&mut manifest, TOKIO_DOCS)?;
    forward_features(&mut manifest, generated.unstable)?;
    table(&mut manifest, "dependencies")?
        .insert("tokio".to_owned(), subject_dependency(workspace, generated));
    redirect(workspace, generated, &mut manifest)?;
    write_manifest(&package.join("Cargo.toml"), &manifest)
}

/// Gives a published package and its library another name.
pub(crate) fn rename(manifest: &mut Table, name: &str) -> Result<()> {
    let head = table(manifest, "package")?;
    head.insert("name".to_owned(), name.into());
    for unused in ["readme", "metadata"] {
        head.remove(unused);
    }
    table(manifest, "lib")?.insert("name".to_owned(), name.replace('-', "_").into());
    Ok(())
}

/// Makes each of tokio's features switch the same one on in the crate under test, and all those
/// the tests are gated on a default.
fn forward_features(manifest: &mut Table, unstable: bool) -> Result<()> {
    let features = table(manifest, "features")?;
    for (name, list) in features.iter_mut().filter(|(name, _)| *name != "default") {
        let list = list.as_array_mut().context("a feature is a list")?;
        list.push(format!("tokio/{name}").into());
    }
    let default = features_of_tests(unstable);
    if unstable {
        // An optional dependency's name is a feature too.
        features.insert("tracing".to_owned(), vec!["dep:tracing", "tokio/tracing"].into());
    }
    features.insert("default".to_owned(), default.into());
    Ok(())
}

/// The features of tokio that are on in the generated packages.
pub fn features_of_tests(unstable: bool) -> Vec<&'static str> {
    let more: &[&str] = if unstable { &UNSTABLE_FEATURES } else { &[] };
    FEATURES.iter().chain(more).copied().collect()
}

/// What `tokio` means in the generated packages.
fn subject_dependency(workspace: &Workspace, generated: &Generated) -> Value {
    let mut dependency = Table::new();
    match generated.subject {
        Subject::Spargio => {
            dependency.insert("package".to_owned(), "spargio".into());
            dependency.insert("path".to_owned(), path_value(&workspace.root));
        }
        Subject::Tokio => {
            dependency.insert("version".to_owned(), format!("={}", workspace.version("tokio")).into());
        }
    }
    Value::Table(dependency)
}

/// Points every dependency on tokio and on the helpers, in whatever table, to ours.
fn redirect(workspace: &Workspace, generated: &Generated, manifest: &mut Table) -> Result<()> {
    let rewrite = |tables: &mut Table| -> Result<()> {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = tables.get_mut(kind).and_then(Value::as_table_mut) else {
                continue;
            };
            for (name, dependency) in dependencies.iter_mut() {
                let replacement = match name.as_str() {
                    "tokio" => subject_dependency(workspace, generated),
                    helper if HELPERS.contains(&helper) => {
                        Value::Table(Table::from_iter([("path".to_owned(), format!("../{helper}").into())]))
                    }
                    _ => continue,
                };
                replace_source(dependency, replacement).with_context(|| name.clone())?;
            }
        }
        Ok(())
    };
    rewrite(manifest)?;
    if let Some(targets) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for (_, tables) in targets.iter_mut() {
            rewrite(tables.as_table_mut().context("a [target] table")?)?;
        }
    }
    Ok(())
}

/// Keeps what a dependency asks for (features, optional), replaces where it comes from.
fn replace_source(dependency: &mut Value, replacement: Value) -> Result<()> {
    let Value::Table(replacement) = replacement else {
        bail!("a dependency is a table");
    };
    match dependency {
        Value::String(_) => *dependency = Value::Table(replacement),
        Value::Table(table) => {
            table.remove("version");
            table.extend(replacement);
        }
        other => bail!("unexpected dependency {other}"),
    }
    Ok(())
}

/// The test files that name one of [`HELPERS`], themselves or in a support module.
fn files_with_helpers(tests: &Path) -> Result<BTreeSet<String>> {
    let crates: Vec<String> = HELPERS.iter().map(|name| name.replace('-', "_")).collect();
    let names_helper = |text: &str| crates.iter().any(|name| text.contains(name.as_str()));
    let support: Vec<String> = rust_files(&tests.join("support"))?
        .into_iter()
        .filter(|(_, text)| names_helper(text))
        .map(|(name, _)| format!("mod {name};"))
        .collect();
    Ok(rust_files(tests)?
        .into_iter()
        .filter(|(_, text)| names_helper(text) || support.iter().any(|module| text.contains(module.as_str())))
        .map(|(name, _)| name)
        .collect())
}

/// Name and text of each Rust file directly in `folder`.
fn rust_files(folder: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            files.push((name, text));
        }
    }
    Ok(files)
}

/// Starts the generated lock file from the workspace's, so that both agree on versions.
///
/// When the workspace's changes later, its packages win and the rest (what only the tests need)
/// stays as it was resolved; cargo drops entries nobody needs.
fn seed_lock(root: &Path, generated: &Path) -> Result<()> {
    let stamp = generated.with_extension("seed");
    let root_text = fs::read_to_string(root).unwrap_or_default();
    let unchanged = fs::read_to_string(&stamp).is_ok_and(|seed| seed == root_text);
    if generated.exists() && unchanged {
        return Ok(());
    }
    let old_text = fs::read_to_string(generated).unwrap_or_default();
    let merged = merge_locks(&root_text, &old_text).context("merging lock files")?;
    fs::write(generated, merged).with_context(|| generated.display().to_string())?;
    fs::write(&stamp, root_text).with_context(|| stamp.display().to_string())
}

fn merge_locks(root: &str, old: &str) -> Result<String> {
    let mut root: Table = toml::from_str(root)?;
    let old: Table = toml::from_str(old)?;
    let packages = |lock: &Table| -> Vec<Value> {
        lock.get("package").and_then(Value::as_array).cloned().unwrap_or_default()
    };
    let name = |package: &Value| package.get("name").and_then(Value::as_str).map(str::to_owned);
    let mut merged = packages(&root);
    let known: BTreeSet<_> = merged.iter().filter_map(name).collect();
    merged.extend(
        packages(&old).into_iter().filter(|package| name(package).is_some_and(|name| !known.contains(&name))),
    );
    root.insert("package".to_owned(), merged.into());
    root.entry("version").or_insert(4.into());
    Ok(toml::to_string(&root)?)
}

pub(crate) fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let (source, copy) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            copy_tree(&source, &copy)?;
        } else {
            let content = fs::read(&source).with_context(|| source.display().to_string())?;
            write_if_changed(&copy, &content)?;
        }
    }
    Ok(())
}

pub(crate) fn read_manifest(path: &Path) -> Result<Table> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    toml::from_str(&text).with_context(|| path.display().to_string())
}

pub(crate) fn write_manifest(path: &Path, manifest: &Table) -> Result<()> {
    fs::create_dir_all(path.parent().context("a manifest has a folder")?)?;
    write_if_changed(path, toml::to_string(manifest)?.as_bytes())
}

pub(crate) fn write_if_changed(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::write(path, content).with_context(|| path.display().to_string())
}

pub(crate) fn table<'a>(parent: &'a mut Table, key: &str) -> Result<&'a mut Table> {
    parent
        .entry(key)
        .or_insert_with(|| Value::Table(Table::new()))
        .as_table_mut()
        .with_context(|| format!("[{key}] is not a table"))
}

pub(crate) fn path_value(path: &Path) -> Value {
    Value::String(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_roots_versions_win_and_the_rest_stays() {
        let root = "version = 4\n[[package]]\nname = \"a\"\nversion = \"2.0.0\"\n";
        let old = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
                   [[package]]\nname = \"b\"\nversion = \"1.0.0\"\n";
        let merged: Table = toml::from_str(&merge_locks(root, old).unwrap()).unwrap();
        let packages = merged["package"].as_array().unwrap();
        let versions: Vec<_> = packages
            .iter()
            .map(|package| (package["name"].as_str().unwrap(), package["version"].as_str().unwrap()))
            .collect();
        assert_eq!(versions, [("a", "2.0.0"), ("b", "1.0.0")]);
    }

    #[test]
    fn a_missing_lock_is_an_empty_one() {
        let merged: Table = toml::from_str(&merge_locks("", "").unwrap()).unwrap();
        assert_eq!(merged["version"].as_integer(), Some(4));
    }

    #[test]
    fn replacing_a_source_keeps_what_is_asked_for() {
        let manifest = "version = \"1.0.0\"\nfeatures = [\"sync\"]\noptional = true\n";
        let mut dependency = Value::Table(toml::from_str(manifest).unwrap());
        let replacement = Value::Table(Table::from_iter([("path".to_owned(), "../x".into())]));
        replace_source(&mut dependency, replacement).unwrap();
        assert_eq!(dependency.get("version"), None);
        assert_eq!(dependency["path"].as_str(), Some("../x"));
        assert_eq!(dependency["features"].as_array().unwrap().len(), 1);
        assert_eq!(dependency["optional"].as_bool(), Some(true));
    }

    #[test]
    fn features_are_forwarded_and_on() {
        let mut manifest: Table =
            toml::from_str("[features]\nrt = []\nfull = [\"rt\"]\ndefault = []\n").unwrap();
        forward_features(&mut manifest, true).unwrap();
        let list = |name: &str| -> Vec<String> {
            let features = manifest["features"].as_table().unwrap();
            let values = features[name].as_array().unwrap();
            values.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(list("full"), ["rt", "tokio/full"]);
        assert_eq!(list("rt"), ["tokio/rt"]);
        assert!(list("default").contains(&"taskdump".to_owned()));
        assert!(list("tracing").contains(&"tokio/tracing".to_owned()));
    }
}
