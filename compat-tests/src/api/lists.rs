//! The two committed lists.
//!
//! ```text
//! # comment
//! reason: one or more lines
//!   that go on like this
//! - a line tokio has and spargio has not
//! + a line spargio has and tokio has not
//! ```
//!
//! `additions.txt` holds paths instead of lines, each of which stands for all below it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// One entry with the reason above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub text: String,
    pub reason: String,
}

pub fn load(path: &Path) -> Result<Vec<Entry>> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut reason = String::new();
    for line in text.lines() {
        if let Some(first) = line.strip_prefix("reason: ") {
            first.trim().clone_into(&mut reason);
        } else if line.starts_with("  ") {
            ensure!(!reason.is_empty(), "`{line}` goes on with nothing");
            reason += &format!(" {}", line.trim());
        } else if line.trim().is_empty() || line.starts_with('#') {
            continue;
        } else if reason.is_empty() {
            bail!("`{line}` has no reason above it");
        } else {
            entries.push(Entry { text: line.trim_end().to_owned(), reason: reason.clone() });
        }
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_needs_a_reason() {
        let entries = parse("# x\n\nreason: because\n  of that\n- a\n+ b\n").unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[1].text.as_str(), entries[1].reason.as_str()), ("+ b", "because of that"));
        assert!(parse("- a\n").is_err());
    }
}
