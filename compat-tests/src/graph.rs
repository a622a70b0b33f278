//! The proof that a run tested what it says it tested.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Metadata, Package, PackageId};

use crate::materialize::{Generated, Subject};
use crate::metadata::{Workspace, metadata_command};

/// Verifies from cargo's resolution that every `tokio` of the generated workspace is spargio, and
/// that the published tokio is only there as spargio's `upstream`. Returns one line that says so.
///
/// For a baseline: that every `tokio` is the published one.
pub fn verify(workspace: &Workspace, generated: &Generated) -> Result<String> {
    let metadata = metadata_command(&generated.root.join("Cargo.toml"))
        .exec()
        .context("cargo metadata of the generated workspace")?;
    let users = users_of_tokio(&metadata)?;
    match generated.subject {
        Subject::Tokio => {
            for (user, name, package) in &users {
                ensure!(is_published_tokio(package), "{user}: `{name}` is {}", package.id);
            }
            Ok(format!(
                "dependency graph: `tokio` of {} packages is the published tokio {}",
                users.len(),
                workspace.version("tokio")
            ))
        }
        Subject::Spargio => verify_spargio(&workspace.root, &metadata, &users),
    }
}

fn verify_spargio(root: &Path, metadata: &Metadata, users: &[(String, String, &Package)]) -> Result<String> {
    let mut over_spargio = BTreeSet::new();
    let mut upstream = None;
    for (user, name, package) in users {
        if is_published_tokio(package) {
            ensure!(
                user == "spargio" && name == "upstream",
                "{user} depends on the published tokio as `{name}`: its tests would prove nothing"
            );
            upstream = Some(&package.version);
        } else {
            let ours = package.manifest_path.parent().is_some_and(|folder| folder == root);
            ensure!(ours, "{user}: `{name}` is {}, which is not this workspace's spargio", package.id);
            over_spargio.insert(user.as_str());
        }
    }
    for member in metadata.workspace_packages() {
        ensure!(
            over_spargio.contains(member.name.as_str()),
            "{} does not depend on spargio as `tokio`",
            member.name
        );
    }
    let upstream = match upstream {
        Some(version) => {
            format!("the published tokio {version} is only in it as spargio's `upstream`")
        }
        None => "the published tokio is not in it".to_owned(),
    };
    let users: Vec<_> = over_spargio.into_iter().collect();
    Ok(format!("dependency graph: `tokio` is spargio in {}; {upstream}", users.join(", ")))
}

/// Every edge of the graph that leads to a crate called `tokio`, or to a package named tokio or
/// spargio under another name: who, under which name, which package.
fn users_of_tokio(metadata: &Metadata) -> Result<Vec<(String, String, &Package)>> {
    let package = |id: &PackageId| metadata.packages.iter().find(|package| package.id == *id);
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let mut users = Vec::new();
    for node in &resolve.nodes {
        for dependency in &node.deps {
            let Some(target) = package(&dependency.pkg) else {
                bail!("{} is not in cargo's metadata", dependency.pkg);
            };
            if dependency.name == "tokio" || ["tokio", "spargio"].contains(&target.name.as_str()) {
                let user = package(&node.id).context("a node is a package")?;
                users.push((user.name.to_string(), dependency.name.clone(), target));
            }
        }
    }
    Ok(users)
}

fn is_published_tokio(package: &Package) -> bool {
    package.name.as_str() == "tokio" && package.source.is_some()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const REGISTRY: &str = "registry+https://example.org/index";

    fn package(name: &str, source: Option<&str>, folder: &str) -> Value {
        json!({
            "name": name, "version": "1.54.1", "id": name, "source": source, "dependencies": [], "targets": [],
            "features": {}, "manifest_path": format!("{folder}/Cargo.toml"),
        })
    }

    fn node(id: &str, dependencies: &[(&str, &str)]) -> Value {
        let deps: Vec<_> = dependencies
            .iter()
            .map(|(name, pkg)| json!({ "name": name, "pkg": pkg, "dep_kinds": [] }))
            .collect();
        json!({ "id": id, "deps": deps, "dependencies": [], "features": [] })
    }

    /// What [`verify_spargio`] says of a graph with these dependencies of the suite.
    fn verdict(suite: &[(&str, &str)]) -> Result<String> {
        let metadata: Metadata = serde_json::from_value(json!({
            "packages": [
                package("tokio", Some(REGISTRY), "/registry/tokio"),
                package("spargio", None, "/ws"),
                package("suite", None, "/ws/target/compat/spargio/suite"),
                package("other-spargio", None, "/elsewhere"),
            ],
            "workspace_members": ["suite"],
            "workspace_default_members": ["suite"],
            "resolve": {
                "root": null,
                "nodes": [
                    node("tokio", &[]),
                    node("spargio", &[("upstream", "tokio")]),
                    node("suite", suite),
                    node("other-spargio", &[]),
                ],
            },
            "workspace_root": "/ws/target/compat/spargio", "target_directory": "/ws/target", "version": 1,
        }))?;
        let users = users_of_tokio(&metadata)?;
        verify_spargio(Path::new("/ws"), &metadata, &users)
    }

    #[test]
    fn spargio_over_upstream_is_accepted() {
        let line = verdict(&[("tokio", "spargio")]).unwrap();
        assert!(line.contains("`tokio` is spargio in suite"), "{line}");
        assert!(line.contains("only in it as spargio's `upstream`"), "{line}");
    }

    #[test]
    fn the_published_tokio_is_refused_under_any_name() {
        assert!(verdict(&[("tokio", "tokio")]).is_err());
        assert!(verdict(&[("tokio", "spargio"), ("other", "tokio")]).is_err());
    }

    #[test]
    fn another_spargio_is_refused() {
        assert!(verdict(&[("tokio", "other-spargio")]).is_err());
    }

    #[test]
    fn a_suite_without_tokio_is_refused() {
        assert!(verdict(&[]).is_err());
    }
}
