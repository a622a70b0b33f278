//! `patch/` is what it has to be.

use std::fs;

use compat_tests::metadata::Workspace;
use compat_tests::patch;

/// Its manifests follow from spargio's, and what it keeps of Tokio is Tokio's, byte for byte.
#[test]
fn the_committed_packages_are_current() {
    let workspace = Workspace::load().unwrap();
    let differences = patch::differences(&workspace).unwrap();
    assert!(differences.is_empty(), "`compat-tests -- --patch` brings these up to date: {differences:#?}");
}

/// A feature that a crate asks for and the patch lacks would keep cargo from using it.
#[test]
fn it_has_the_name_the_version_and_the_features_of_tokio() {
    let workspace = Workspace::load().unwrap();
    let text = fs::read_to_string(patch::folder(&workspace).join("Cargo.toml")).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    assert_eq!(manifest["package"]["name"].as_str(), Some("tokio"));
    assert_eq!(manifest["package"]["version"].as_str(), Some(workspace.version("tokio")));
    let features = manifest["features"].as_table().unwrap();
    let missing: Vec<_> = workspace.features[0].iter().filter(|name| !features.contains_key(*name)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    assert!(!features.contains_key("interop"), "there is nobody to meet");
    assert!(!text.contains(workspace.root.to_str().unwrap()), "a path of this machine");
}
