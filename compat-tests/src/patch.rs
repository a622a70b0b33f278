//! Writes a package *named* `tokio` that is spargio.
//!
//! A dependency can be renamed by the crate that has it, and by nobody else. To have every crate
//! of a program on spargio, cargo's `[patch.crates-io]` must find a package of the name and the
//! version of the published one:
//!
//! ```text
//! target/compat/patch/
//!   tokio/            spargio's manifest under that name and version, over spargio's own sources
//!   tokio-upstream/   the published Tokio under another name, for the half that is re-exported
//! ```
//!
//! The second exists because a package that replaces `tokio` cannot depend on it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use toml::{Table, Value};

use crate::materialize::{copy_tree, folder, path_value, read_manifest, rename, table, write_manifest};
use crate::metadata::Workspace;

/// What spargio's `upstream` is called in the patch.
const UPSTREAM: &str = "tokio-upstream";

/// Writes both packages, or brings them up to date. Returns the folder of the one called `tokio`.
pub fn write_patch(workspace: &Workspace) -> Result<PathBuf> {
    let base = folder(workspace).join("patch");
    write_upstream(workspace, &base.join(UPSTREAM))?;
    let package = base.join("tokio");
    write_tokio(workspace, &package)?;
    Ok(package)
}

fn write_upstream(workspace: &Workspace, package: &Path) -> Result<()> {
    let source = workspace.source("tokio");
    copy_tree(&source.join("src"), &package.join("src"))?;
    let mut manifest = read_manifest(&source.join("Cargo.toml"))?;
    for unused in ["badges", "bench", "dev-dependencies", "example", "test"] {
        manifest.remove(unused);
    }
    rename(&mut manifest, UPSTREAM)?;
    if let Some(targets) = manifest.get_mut("target").and_then(Value::as_table_mut) {
        for (_, tables) in targets.iter_mut() {
            tables.as_table_mut().context("a [target] table")?.remove("dev-dependencies");
        }
    }
    write_manifest(&package.join("Cargo.toml"), &manifest)
}

fn write_tokio(workspace: &Workspace, package: &Path) -> Result<()> {
    let root = read_manifest(&workspace.root.join("Cargo.toml"))?;
    let mut manifest = root.clone();
    for unused in ["bench", "dev-dependencies", "example", "profile", "target", "workspace"] {
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
    head.insert("publish".to_owned(), false.into());
    manifest.insert("package".to_owned(), head.into());
    let library = Table::from_iter([("path".to_owned(), path_value(&workspace.root.join("src/lib.rs")))]);
    manifest.insert("lib".to_owned(), library.into());
    let lints = root.get("workspace").and_then(|workspace| workspace.get("lints"));
    manifest.insert("lints".to_owned(), lints.context("[workspace.lints]")?.clone());

    let dependencies = table(&mut manifest, "dependencies")?;
    let upstream = table(dependencies, "upstream")?;
    upstream.remove("version");
    upstream.insert("package".to_owned(), UPSTREAM.into());
    upstream.insert("path".to_owned(), format!("../{UPSTREAM}").into());
    for (_, dependency) in dependencies.iter_mut() {
        let Some(path) = dependency.as_table_mut().and_then(|table| table.get_mut("path")) else {
            continue;
        };
        let relative = path.as_str().context("a path is a string")?;
        if !relative.starts_with("..") {
            *path = path_value(&workspace.root.join(relative));
        }
    }
    write_manifest(&package.join("Cargo.toml"), &manifest)
}
