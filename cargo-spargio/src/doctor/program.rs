//! Findings about the program in this folder.

use std::fs;

use super::{Finding, Level};
use crate::adopt::is_adopted;
use crate::cli::Common;
use crate::graph::{on_the_published_one, platform};
use crate::lock;
use crate::project::{Project, list, metadata};

pub(super) fn look(common: &Common) -> Vec<Finding> {
    let Ok(project) = Project::find(common) else {
        return vec![Finding::new("program", Level::Note, "there is none in this folder")];
    };
    let manifest = fs::read_to_string(project.root.join("Cargo.toml")).unwrap_or_default();
    let mut found = Vec::new();
    if lock::has_unused_patch(&project.lock_text().unwrap_or_default()) {
        found.push(
            Finding::new(
                "program",
                Level::Fault,
                "cargo does not use the patch for tokio: this is the published Tokio",
            )
            .cure("cargo spargio remove; cargo spargio adopt: it says why, or moves the lock file"),
        );
    }
    // What is not in the registry's cache is no reason to load it.
    let platform = platform();
    let mut args: Vec<&str> = ["--offline", "--locked"].into_iter().chain(platform.as_deref()).collect();
    args.extend(common.features.iter().map(String::as_str));
    let Ok(graph) = metadata(&args, Some(&project.manifest)) else {
        found.push(
            Finding::new(
                "program",
                Level::Note,
                "its graph is not known: no lock file that fits, or crates not loaded",
            )
            .cure("cargo fetch"),
        );
        return found;
    };
    let has = |name: &str| list(&graph["packages"]).iter().any(|package| package["name"] == name);
    let published = on_the_published_one(&graph);
    let depends_on_spargio = has("spargio");
    if depends_on_spargio && !published.is_empty() {
        found.push(
            Finding::new(
                "program",
                Level::Warning,
                format!(
                    "on spargio by name; these crates spawn on the published Tokio: {}",
                    published.join(", ")
                ),
            )
            .cure("depend on plain `tokio = \"1\"`, then `cargo spargio adopt`: all crates move at once"),
        );
    } else if depends_on_spargio {
        found.push(Finding::new(
            "program",
            Level::Fine,
            "on spargio by name, and no crate on the published Tokio",
        ));
    } else if is_adopted(&manifest) && published.is_empty() {
        found.push(Finding::new("program", Level::Fine, "adopted: every crate's tokio is spargio"));
    } else if found.is_empty() {
        found.push(
            Finding::new("program", Level::Note, format!("on the published Tokio: {}", published.join(", ")))
                .cure("cargo spargio run, or adopt"),
        );
    }
    found
}
