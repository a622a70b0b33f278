//! What real tokio passes: the measure.
//!
//! ```text
//! # comment
//! file::test
//! # fails: file::test
//! # ignored: file::test
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// The tests of a suite, by what becomes of them over real tokio.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    pub passes: BTreeSet<String>,
    pub fails: BTreeSet<String>,
    pub ignored: BTreeSet<String>,
}

impl Baseline {
    /// Reads a committed baseline; `None` if there is none yet.
    pub fn load(path: &Path) -> Result<Option<Self>> {
        if !path.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Some(Self::parse(&text)))
    }

    pub fn parse(text: &str) -> Self {
        let mut baseline = Self::default();
        for line in text.lines().map(str::trim) {
            if let Some(test) = line.strip_prefix("# fails: ") {
                baseline.fails.insert(test.to_owned());
            } else if let Some(test) = line.strip_prefix("# ignored: ") {
                baseline.ignored.insert(test.to_owned());
            } else if !line.is_empty() && !line.starts_with('#') {
                baseline.passes.insert(line.to_owned());
            }
        }
        baseline
    }

    /// `title` is the first line, without `# `.
    pub fn render(&self, title: &str) -> String {
        let mut text = format!(
            "# {title}\n# {} pass, {} fail, {} are ignored. Written by compat-tests --record-baseline.\n",
            self.passes.len(),
            self.fails.len(),
            self.ignored.len()
        );
        for test in &self.fails {
            text += &format!("# fails: {test}\n");
        }
        for test in &self.ignored {
            text += &format!("# ignored: {test}\n");
        }
        for test in &self.passes {
            text += test;
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let baseline = Baseline {
            passes: set(&["udp::a", "fs::b"]),
            fails: set(&["fs::as_root"]),
            ignored: set(&["sync_mutex::slow"]),
        };
        assert_eq!(Baseline::parse(&baseline.render("a title")), baseline);
    }
}
