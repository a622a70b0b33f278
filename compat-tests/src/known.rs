//! The list of failures we know about. It may only shrink.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// A committed list: one qualified test a line, `#` comments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownFailures {
    tests: BTreeSet<String>,
    /// The comments above the first entry; kept when the list is written again.
    head: Vec<String>,
}

/// How a run differs from the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Failed, and not on the list.
    pub new_failures: BTreeSet<String>,
    /// On the list, and passed: the entry has to go.
    pub unexpected_passes: BTreeSet<String>,
    /// On the list and covered by the run, which knows no such test: the entry has to go.
    pub stale: BTreeSet<String>,
    /// On the list, and failed.
    pub expected: BTreeSet<String>,
}

impl Difference {
    pub fn is_empty(&self) -> bool {
        self.new_failures.is_empty() && self.unexpected_passes.is_empty() && self.stale.is_empty()
    }
}

impl KnownFailures {
    /// `None` if there is no such file.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Some(Self::parse(&text)))
    }

    pub fn parse(text: &str) -> Self {
        let head = text
            .lines()
            .take_while(|line| line.starts_with('#') || line.trim().is_empty())
            .map(str::to_owned)
            .collect();
        let tests = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default().trim())
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect();
        Self { tests, head }
    }

    pub fn len(&self) -> usize {
        self.tests.len()
    }

    pub fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Compares a run with the list. Entries that the run did not cover are left alone.
    pub fn compare(
        &self,
        failed: &BTreeSet<String>,
        passed: &BTreeSet<String>,
        covered: impl Fn(&str) -> bool,
    ) -> Difference {
        let unknown = |test: &&String| covered(test) && !failed.contains(*test) && !passed.contains(*test);
        Difference {
            new_failures: failed.difference(&self.tests).cloned().collect(),
            unexpected_passes: self.tests.intersection(passed).cloned().collect(),
            stale: self.tests.iter().filter(unknown).cloned().collect(),
            expected: self.tests.intersection(failed).cloned().collect(),
        }
    }

    /// The list after a run: what failed, and what the run did not cover.
    fn updated(&self, failed: &BTreeSet<String>, covered: impl Fn(&str) -> bool) -> Self {
        let kept = self.tests.iter().filter(|test| !covered(test));
        Self { tests: kept.chain(failed).cloned().collect(), head: self.head.clone() }
    }

    /// Writes the list after a run. Refuses to add to a list that exists, unless allowed to.
    pub fn write(
        path: &Path,
        failed: &BTreeSet<String>,
        covered: impl Fn(&str) -> bool,
        allow_growth: bool,
    ) -> Result<Self> {
        let old = Self::load(path)?;
        let exists = old.is_some();
        let old = old.unwrap_or_default();
        let new = old.updated(failed, covered);
        let added: Vec<_> = new.tests.difference(&old.tests).cloned().collect();
        if exists && !allow_growth && !added.is_empty() {
            bail!(
                "{} may only shrink, and would get {} new entries: {}",
                path.display(),
                added.len(),
                added.join(", ")
            );
        }
        fs::write(path, new.render()).with_context(|| path.display().to_string())?;
        Ok(new)
    }

    fn render(&self) -> String {
        let mut head = self.head.clone();
        if head.is_empty() {
            head.push(
                "# Published tests that spargio does not pass yet. This list may only shrink.".to_owned(),
            );
        }
        head.iter().chain(&self.tests).map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    const LIST: &str = "# why\n\ntcp::a\nudp::b # flaky? no\n";

    #[test]
    fn comments_are_not_entries() {
        assert_eq!(KnownFailures::parse(LIST).tests, set(&["tcp::a", "udp::b"]));
    }

    #[test]
    fn both_directions_are_differences() {
        let (failed, passed) = (set(&["tcp::a", "fs::c"]), set(&["udp::b", "io::d"]));
        let difference = KnownFailures::parse(LIST).compare(&failed, &passed, |_| true);
        assert_eq!(difference.new_failures, set(&["fs::c"]));
        assert_eq!(difference.unexpected_passes, set(&["udp::b"]));
        assert_eq!(difference.expected, set(&["tcp::a"]));
        assert_eq!(difference.stale, set(&[]));
        assert!(!difference.is_empty());
    }

    #[test]
    fn what_was_not_run_is_no_difference() {
        let known = KnownFailures::parse(LIST);
        let only_tcp = |test: &str| test.starts_with("tcp");
        assert!(known.compare(&set(&["tcp::a"]), &set(&[]), only_tcp).is_empty());
    }

    #[test]
    fn an_entry_without_a_test_is_a_difference() {
        let difference = KnownFailures::parse(LIST).compare(&set(&["tcp::a"]), &set(&[]), |_| true);
        assert_eq!(difference.stale, set(&["udp::b"]));
        assert!(!difference.is_empty());
    }

    #[test]
    fn a_list_may_only_shrink() {
        let folder = std::env::temp_dir().join(format!("known-failures-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("list.txt");
        let write = |failed: &[&str], covered: &str, growth| {
            KnownFailures::write(&path, &set(failed), |test: &str| test.starts_with(covered), growth)
        };
        // The first list may hold anything.
        assert_eq!(write(&["a::a", "b::b"], "", false).unwrap().len(), 2);
        // It shrinks freely and keeps what was not run.
        assert_eq!(write(&[], "a::", false).unwrap().tests, set(&["b::b"]));
        // It does not grow …
        assert!(write(&["c::c"], "c::", false).is_err());
        assert_eq!(KnownFailures::load(&path).unwrap().unwrap().tests, set(&["b::b"]));
        // … unless told to.
        assert_eq!(write(&["c::c"], "c::", true).unwrap().tests, set(&["b::b", "c::c"]));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_head_survives_a_rewrite() {
        let updated = KnownFailures::parse(LIST).updated(&set(&[]), |test| test.starts_with("tcp"));
        assert_eq!(updated.render(), "# why\n\nudp::b\n");
    }
}
