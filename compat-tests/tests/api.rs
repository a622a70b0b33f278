//! The public interface is tokio's.

use compat_tests::api;
use compat_tests::lock::RunLock;
use compat_tests::materialize::folder;
use compat_tests::metadata::Workspace;

/// Features that may be ours.
const OWN_FEATURES: [&str; 4] = ["interop", "metrics", "serde", "uring-native"];

/// All of tokio's feature names, those of its optional dependencies too, and few others: a name that
/// a crate asks for and we lack would keep cargo from using us.
#[test]
fn the_features_are_tokios() {
    let workspace = Workspace::load().unwrap();
    let [tokio, spargio] = workspace.features;
    assert!(tokio.len() >= 26, "{tokio:?}");
    let missing: Vec<_> = tokio.difference(&spargio).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let more: Vec<_> =
        spargio.difference(&tokio).filter(|name| !OWN_FEATURES.contains(&name.as_str())).collect();
    assert!(more.is_empty(), "{more:?}");
}

/// Every public item of the published tokio, with the same path, signature, bounds and traits.
#[test]
fn the_public_interface_is_tokios() {
    let workspace = Workspace::load().unwrap();
    let _lock = RunLock::acquire(&folder(&workspace)).unwrap();
    let result = api::compare(&workspace, false).unwrap_or_else(|error| panic!("{error:#}"));
    println!("{}", result.report());
    assert!(result.is_good(), "\n{}", result.report());
}
