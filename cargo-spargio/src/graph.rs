//! Is spargio the `tokio` of every crate?

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::cli::Common;
use crate::mirror::no_tokio;
use crate::problem::{Problem, Result};
use crate::project::{list, metadata, output};
use crate::source::Source;

/// Who asks for a Tokio that is not ours.
#[derive(Debug, PartialEq, Eq)]
struct Asker {
    name: String,
    requirement: String,
    features: Vec<String>,
}

/// Fails unless each `tokio` of the program's graph is spargio.
pub(crate) fn verify(manifest: &Path, source: &Source, common: &Common) -> Result<()> {
    let patch = source.arguments();
    let mut args = vec!["--locked"];
    args.extend(patch.iter().map(String::as_str));
    if common.offline {
        args.push("--offline");
    }
    let platform = platform();
    args.extend(platform.as_deref());
    args.extend(common.features.iter().map(String::as_str));
    let metadata = metadata(&args, Some(manifest))?;
    judge(&metadata, source, common.allow_other).map_err(|problem| {
        if !common.offline {
            return problem;
        }
        problem.cure("cargo was offline, and takes what it has then: run this once with the network")
    })
}

/// The argument that leaves out what is for other platforms than this one.
pub(crate) fn platform() -> Option<String> {
    let text = output(Command::new("rustc").arg("-vV")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("host: ")).map(|host| format!("--filter-platform={host}"))
}

fn judge(metadata: &Value, source: &Source, allow_other: bool) -> Result<()> {
    let is_ours = |package: &Value| {
        source
            .is(package["source"].as_str(), Path::new(package["manifest_path"].as_str().unwrap_or_default()))
    };
    let packages = list(&metadata["packages"]);
    let used: Vec<&str> =
        list(&metadata["resolve"]["nodes"]).iter().filter_map(|node| node["id"].as_str()).collect();
    let is_used = |package: &&Value| package["id"].as_str().is_some_and(|id| used.contains(&id));
    let tokios: Vec<&Value> =
        packages.iter().filter(|package| package["name"] == "tokio").filter(is_used).collect();
    let ours = tokios.iter().find(|package| is_ours(package));
    let others: Vec<&&Value> = tokios.iter().filter(|package| !is_ours(package)).collect();
    if packages.iter().any(|package| package["name"] == "spargio") {
        return Err(Problem::new(
            "this program depends on spargio itself (`package = \"spargio\"`), and on Tokio through others",
        )
        .cure("depend on plain `tokio = \"1\"` again: then all crates can be moved at once"));
    }
    if tokios.is_empty() {
        return Err(no_tokio());
    }
    for other in others {
        let version = other["version"].as_str().unwrap_or_default();
        let askers = askers(metadata, other);
        if !version.starts_with("1.") {
            if allow_other {
                eprintln!("spargio: {} stays on tokio {version}", names(&askers));
                continue;
            }
            return Err(Problem::new(format!(
                "a second tokio is in the graph: {} on {version}",
                names(&askers)
            ))
            .cure("it would have a runtime of its own, as it has today; --allow-other-tokio accepts that")
            .cure(format!("`cargo tree -i tokio@{version}` shows what brings it in")));
        }
        return Err(refusal(version, ours.copied(), source, &askers));
    }
    Ok(())
}

/// Why cargo left the patch out.
fn refusal(version: &str, ours: Option<&Value>, source: &Source, askers: &[Asker]) -> Problem {
    let offered = ours
        .and_then(|package| package["version"].as_str().map(str::to_owned))
        .or_else(|| version_of(source));
    let offered = offered.as_deref().unwrap_or("another version");
    let problem = Problem::new(format!(
        "the published tokio {version} would stay in the program: spargio stands for tokio {offered}"
    ));
    let pinned: Vec<_> = askers
        .iter()
        .filter(|asker| asker.requirement.starts_with('=') || asker.requirement.contains('<'))
        .collect();
    if let [first, ..] = pinned[..] {
        let all: Vec<_> =
            pinned.iter().map(|asker| format!("{} ({})", asker.name, asker.requirement)).collect();
        return problem.cure(format!(
            "{} pins it: widen the requirement of {} to \"1\", or take the release of spargio for that version",
            all.join(", "),
            first.name
        ));
    }
    let minor = |version: &str| version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if minor(version) > minor(offered) {
        let newer = askers.iter().filter(|asker| {
            let text: String =
                asker.requirement.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
            minor(&text) > minor(offered)
        });
        let newer: Vec<_> = newer.map(|asker| format!("{} ({})", asker.name, asker.requirement)).collect();
        if !newer.is_empty() {
            return problem.cure(format!(
                "{} wants a newer one: take a newer release of spargio, or an older one of that crate",
                newer.join(", ")
            ));
        }
    }
    let known = features_of(source);
    let unknown: Vec<_> = askers
        .iter()
        .flat_map(|asker| {
            let missing =
                asker.features.iter().filter(|feature| !known.is_empty() && !known.contains(feature));
            missing.map(move |feature| format!("{} ({feature})", asker.name))
        })
        .collect();
    if !unknown.is_empty() {
        return problem
            .cure(format!("a feature is asked for that spargio does not know: {}", unknown.join(", ")));
    }
    problem.cure(format!("it is asked for by {}; `cargo tree -i tokio@{version}` shows more", names(askers)))
}

fn version_of(source: &Source) -> Option<String> {
    let text = manifest_of(source)?;
    let package = text.lines().skip_while(|line| *line != "[package]");
    let version = package.filter_map(|line| line.strip_prefix("version = \"")).next()?;
    Some(version.trim_end_matches('"').to_owned())
}

/// The features it has; nothing if it is not at hand.
fn features_of(source: &Source) -> Vec<String> {
    let text = manifest_of(source).unwrap_or_default();
    let features = text
        .lines()
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['));
    features.filter_map(|line| line.split_once(" = ")).map(|(name, _)| name.to_owned()).collect()
}

fn manifest_of(source: &Source) -> Option<String> {
    match source {
        Source::Path(path) => std::fs::read_to_string(path.join("Cargo.toml")).ok(),
        Source::Git { .. } => None,
    }
}

/// The crates that depend on that package.
fn askers(metadata: &Value, package: &Value) -> Vec<Asker> {
    let depends = |node: &&Value| list(&node["dependencies"]).contains(&package["id"]);
    let mut found = Vec::new();
    for node in list(&metadata["resolve"]["nodes"]).iter().filter(depends) {
        let crates = list(&metadata["packages"]).iter().find(|package| package["id"] == node["id"]);
        let Some(asker) = crates else { continue };
        for dependency in list(&asker["dependencies"]).iter().filter(|it| it["name"] == "tokio") {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let new = Asker {
                name: text(&asker["name"]),
                requirement: text(&dependency["req"]),
                features: list(&dependency["features"]).iter().map(text).collect(),
            };
            if !found.contains(&new) {
                found.push(new);
            }
        }
    }
    found
}

/// The crates whose published Tokio stays beside spargio under the name `tokio` of the program's own
/// dependency (`package = "spargio"`).
pub(crate) fn on_the_published_one(metadata: &Value) -> Vec<String> {
    let published = list(&metadata["packages"]).iter().filter(|package| {
        package["name"] == "tokio"
            && package["source"].as_str().is_some_and(|source| source.starts_with("registry+"))
    });
    let mut found: Vec<_> =
        published.flat_map(|package| askers(metadata, package)).map(|asker| asker.name).collect();
    found.retain(|name| name != "spargio");
    found.sort();
    found.dedup();
    found
}

fn names(askers: &[Asker]) -> String {
    let mut names: Vec<_> = askers.iter().map(|asker| asker.name.as_str()).collect();
    names.dedup();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn graph(tokios: &[(&str, bool)], requirement: &str) -> Value {
        let id = |version: &str| format!("tokio {version}");
        let mut packages: Vec<Value> = tokios.iter().map(|(version, ours)| json!({
            "name": "tokio", "version": version, "id": id(version),
            "source": if *ours { Value::Null } else { json!("registry+https://github.com/rust-lang/crates.io-index") },
            "manifest_path": if *ours { "/s/patch/tokio/Cargo.toml" } else { "/r/tokio/Cargo.toml" },
            "dependencies": [],
        })).collect();
        packages.push(json!({
            "name": "server", "version": "1.0.0", "id": "server", "source": null, "manifest_path": "/p/Cargo.toml",
            "dependencies": [{ "name": "tokio", "req": requirement, "features": ["rt"] }],
        }));
        let mut nodes: Vec<Value> =
            tokios.iter().map(|(version, _)| json!({ "id": id(version), "dependencies": [] })).collect();
        let all: Vec<_> = tokios.iter().map(|(version, _)| id(version)).collect();
        nodes.push(json!({ "id": "server", "dependencies": all }));
        json!({ "packages": packages, "resolve": { "nodes": nodes } })
    }

    fn said(tokios: &[(&str, bool)], requirement: &str, allow: bool) -> String {
        let source = Source::Path("/s/patch/tokio".into());
        judge(&graph(tokios, requirement), &source, allow)
            .map_or_else(|problem| problem.to_string(), |()| "fine".to_owned())
    }

    #[test]
    fn only_spargio_is_fine() {
        assert_eq!(said(&[("1.54.1", true)], "^1", false), "fine");
        assert!(said(&[], "^1", false).contains("nothing to move"));
    }

    #[test]
    fn why_the_published_one_would_stay_is_said() {
        let pinned = said(&[("1.40.0", false)], "=1.40.0", false);
        assert!(
            pinned.contains("published tokio 1.40.0 would stay")
                && pinned.contains("server (=1.40.0) pins it"),
            "{pinned}"
        );
        let newer = said(&[("1.60.0", false), ("1.54.1", true)], "^1.60", false);
        assert!(
            newer.contains("stands for tokio 1.54.1") && newer.contains("server (^1.60) wants a newer one"),
            "{newer}"
        );
        let other = said(&[("1.40.0", false)], "^1", false);
        assert!(other.contains("asked for by server"), "{other}");
    }

    #[test]
    fn a_second_major_version_has_to_be_accepted() {
        let both = [("1.54.1", true), ("0.2.25", false)];
        assert!(said(&both, "^0.2", false).contains("a second tokio is in the graph: server on 0.2.25"));
        assert_eq!(said(&both, "^0.2", true), "fine");
    }
}
