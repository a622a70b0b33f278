//! Finds the differences, and takes off those that are allowed.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Result;

use super::lists::{self, Entry};
use super::rustdoc;
use super::surface::{Surface, surface};
use crate::materialize::{Subject, materialize};
use crate::metadata::Workspace;
use crate::suite::TOKIO_DOCS;

/// What came of a comparison.
#[derive(Debug, Default)]
pub struct Comparison {
    /// How many lines tokio has, and how many of them are items that spargio re-exports.
    pub lines: usize,
    pub reexported: usize,
    /// Differences nobody allowed, as `- line` and `+ line`.
    pub differences: Vec<String>,
    /// Re-exports that are not tokio's item at tokio's path.
    pub wrong_reexports: Vec<String>,
    /// Exceptions that allow nothing, and those MIGRATION.md does not tell.
    pub idle: Vec<String>,
    pub exceptions: usize,
}

impl Comparison {
    pub fn is_good(&self) -> bool {
        self.differences.is_empty() && self.wrong_reexports.is_empty() && self.idle.is_empty()
    }

    /// The result for a person.
    pub fn report(&self) -> String {
        let mut text = String::new();
        for (title, list) in [
            ("differs", &self.differences),
            ("not tokio's item at tokio's path", &self.wrong_reexports),
            ("to be taken off its list, or told in MIGRATION.md", &self.idle),
        ] {
            for line in list {
                let _ = writeln!(text, "{title}: {line}");
            }
        }
        let _ = writeln!(
            text,
            "public interface: {} lines of tokio's, {} of them re-exported items, {} allowed exceptions, {} \
             differences",
            self.lines,
            self.reexported,
            self.exceptions,
            self.differences.len() + self.wrong_reexports.len()
        );
        text
    }
}

/// Compares the two crates.
pub fn compare(workspace: &Workspace, unstable: bool) -> Result<Comparison> {
    let generated = materialize(workspace, Subject::Spargio, unstable)?;
    let (path, krate) = rustdoc::load(&generated, &generated.root, TOKIO_DOCS)?;
    let tokio = surface(&path, &krate, "tokio_docs", None)?;
    let (path, krate) = rustdoc::load(&generated, &workspace.root, "spargio")?;
    let spargio = surface(&path, &krate, "spargio", Some(&tokio))?;
    let folder = workspace.runner.join("api");
    let suffix = if unstable { "-unstable" } else { "" };
    let load = |name: &str| {
        let path = folder.join(format!("{name}{suffix}.txt"));
        // The variant of an unstable interface may have its own lists, and shares ours.
        if unstable && !path.exists() { Ok(Vec::new()) } else { lists::load(&path) }
    };
    let (mut exceptions, mut additions) = (load("exceptions")?, load("additions")?);
    if unstable {
        exceptions.extend(lists::load(&folder.join("exceptions.txt"))?);
        additions.extend(lists::load(&folder.join("additions.txt"))?);
    }
    let migration = std::fs::read_to_string(workspace.root.join("MIGRATION.md"))?;
    Ok(judge(&tokio, &spargio, &exceptions, &additions, &migration))
}

fn below(path: &str, root: &str) -> bool {
    path == root || path.strip_prefix(root).is_some_and(|rest| rest.starts_with("::"))
}

/// Is a line ours by `root`: about something below it, or about a trait there that one of tokio's
/// types implements?
fn is_addition(line: &str, subject: &str, root: &str) -> bool {
    let Some(line) = line.strip_prefix("+ ") else { return false };
    let of_trait =
        || line.starts_with("impl") && line.contains(&format!(" {root}::")) && line.contains(" for ");
    below(subject, root) || of_trait()
}

fn judge(
    tokio: &Surface,
    spargio: &Surface,
    exceptions: &[Entry],
    additions: &[Entry],
    migration: &str,
) -> Comparison {
    let mut result = Comparison { lines: tokio.lines.len(), ..Comparison::default() };
    let mut reexported = BTreeSet::new();
    for (place, defined) in &spargio.reexports {
        if tokio.places.get(defined).is_some_and(|places| places.contains(place)) {
            reexported.insert(place.as_str());
        } else {
            result.wrong_reexports.push(format!("{place} is {defined}"));
        }
    }
    let mut found = Vec::new();
    for (line, subject) in &tokio.lines {
        if reexported.iter().any(|root| below(subject, root)) {
            result.reexported += 1;
        } else if !spargio.lines.contains_key(line) {
            found.push((format!("- {line}"), subject));
        }
    }
    for (line, subject) in &spargio.lines {
        if !tokio.lines.contains_key(line) {
            found.push((format!("+ {line}"), subject));
        }
    }
    let mut used = BTreeSet::new();
    for (line, subject) in found {
        let exception = exceptions.iter().find(|entry| entry.text == line);
        let addition = additions.iter().find(|entry| is_addition(&line, subject, &entry.text));
        match exception.or(addition) {
            Some(entry) => {
                used.insert(entry.text.clone());
                result.exceptions += usize::from(exception.is_some());
            }
            None => result.differences.push(line),
        }
    }
    let idle = exceptions.iter().filter(|entry| !used.contains(&entry.text));
    result.idle.extend(idle.map(|entry| entry.text.clone()));
    for entry in exceptions {
        if !migration.contains(&entry.reason) {
            result.idle.push(format!("MIGRATION.md does not say: {}", entry.reason));
        }
    }
    result.idle.dedup();
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[(&str, &str)]) -> Surface {
        let lines = lines.iter().map(|&(line, subject)| (line.to_owned(), subject.to_owned())).collect();
        Surface { lines, ..Surface::default() }
    }

    fn entry(text: &str) -> Entry {
        Entry { text: text.to_owned(), reason: "so".to_owned() }
    }

    #[test]
    fn both_directions_count() {
        let tokio = of(&[("pub fn tokio::a(u8)", "tokio::a"), ("impl Send for tokio::B", "tokio::B")]);
        let spargio = of(&[("pub fn tokio::a(u16)", "tokio::a"), ("impl Send for tokio::B", "tokio::B")]);
        let result = judge(&tokio, &spargio, &[], &[], "");
        assert_eq!(result.differences, ["- pub fn tokio::a(u8)", "+ pub fn tokio::a(u16)"]);
        assert!(!result.is_good());
        let exceptions = [entry("- pub fn tokio::a(u8)"), entry("+ pub fn tokio::a(u16)")];
        assert!(judge(&tokio, &spargio, &exceptions, &[], "so").is_good());
        // MIGRATION.md must tell.
        assert!(!judge(&tokio, &spargio, &exceptions, &[], "").is_good());
    }

    #[test]
    fn an_exception_has_to_be_needed() {
        let empty = Surface::default();
        assert!(!judge(&empty, &empty, &[entry("- x")], &[], "so").is_good());
    }

    #[test]
    fn an_addition_covers_what_is_below_it_and_no_loss() {
        let (tokio, empty) = (of(&[("pub fn tokio::n::f()", "tokio::n::f")]), Surface::default());
        assert!(judge(&empty, &tokio, &[], &[entry("tokio::n")], "so").is_good());
        assert!(!judge(&tokio, &empty, &[], &[entry("tokio::n")], "so").is_good());
    }

    #[test]
    fn a_reexport_must_be_the_very_item() {
        let mut tokio = of(&[("pub fn tokio::sync::M::new()", "tokio::sync::M::new")]);
        let places = BTreeSet::from(["tokio::sync::M".to_owned()]);
        tokio.places.insert("tokio::sync::m::M".to_owned(), places);
        let reexport = |defined: &str| Surface {
            reexports: vec![("tokio::sync::M".to_owned(), defined.to_owned())],
            ..Surface::default()
        };
        assert!(judge(&tokio, &reexport("tokio::sync::m::M"), &[], &[], "").is_good());
        assert!(!judge(&tokio, &reexport("tokio::sync::n::M"), &[], &[], "").is_good());
    }
}
