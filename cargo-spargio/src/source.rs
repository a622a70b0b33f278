//! Where the package called `tokio` that is spargio is taken from.

use std::env;
use std::path::{Path, PathBuf};

use crate::problem::{Problem, Result};

/// Says it for all commands; the option `--spargio` wins.
const VARIABLE: &str = "SPARGIO_SOURCE";

/// Where everybody finds it.
pub(crate) const REPOSITORY: &str = "https://github.com/spargio/spargio";

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The folder of the package.
    Path(PathBuf),
    Git {
        url: String,
        rev: Option<String>,
    },
}

impl Source {
    /// What was asked for, else the checkout this command was built from, else the repository.
    pub(crate) fn choose(asked: Option<&str>, rev: Option<&str>) -> Result<Source> {
        let asked = asked.map(str::to_owned).or_else(|| env::var(VARIABLE).ok().filter(|it| !it.is_empty()));
        match asked {
            Some(url) if url.contains("://") || url.starts_with("git@") => {
                Ok(Source::Git { url, rev: rev.map(str::to_owned) })
            }
            Some(path) => Source::checkout(Path::new(&path)).ok_or_else(|| {
                Problem::new(format!("{path} is no checkout of spargio: it has no patch/tokio/Cargo.toml"))
                    .cure(format!("git clone {REPOSITORY}, and give the folder"))
            }),
            None => Ok(Source::checkout(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")))
                .unwrap_or_else(|| Source::Git { url: REPOSITORY.to_owned(), rev: rev.map(str::to_owned) })),
        }
    }

    fn checkout(root: &Path) -> Option<Source> {
        let root = root.canonicalize().ok()?;
        let packages = [root.join("patch/tokio"), root];
        let is_it =
            |package: &&PathBuf| package.ends_with("patch/tokio") && package.join("Cargo.toml").is_file();
        packages.iter().find(is_it).cloned().map(Source::Path)
    }

    /// The keys and values of the entry in `[patch.crates-io]`.
    fn fields(&self) -> Vec<(&'static str, String)> {
        match self {
            Source::Path(path) => vec![("path", path.display().to_string())],
            Source::Git { url, rev } => {
                let rev = rev.clone().map(|rev| ("rev", rev));
                [("git", url.clone())].into_iter().chain(rev).collect()
            }
        }
    }

    /// Arguments that have cargo use it.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let fields = self.fields().into_iter();
        fields.map(|(key, value)| format!("--config=patch.crates-io.tokio.{key}={}", quote(&value))).collect()
    }

    /// The entry for a manifest.
    pub(crate) fn entry(&self) -> String {
        let fields: Vec<_> =
            self.fields().iter().map(|(key, value)| format!("{key} = {}", quote(value))).collect();
        format!("tokio = {{ {} }}", fields.join(", "))
    }

    /// Is a package of cargo's metadata it?
    pub(crate) fn is(&self, source: Option<&str>, manifest: &Path) -> bool {
        match self {
            Source::Path(folder) => source.is_none() && manifest.parent() == Some(folder),
            Source::Git { url, .. } => source.is_some_and(|source| {
                source.strip_prefix("git+").and_then(|source| source.strip_prefix(url.as_str())).is_some()
            }),
        }
    }
}

fn quote(text: &str) -> String {
    // A path with a quote in it is written as TOML wants it.
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_of_this_command_is_the_default() {
        let Source::Path(path) = Source::choose(None, None).unwrap() else { panic!("there is one") };
        assert!(path.ends_with("patch/tokio"));
        let root = path.parent().unwrap().parent().unwrap().to_str().unwrap().to_owned();
        assert_eq!(Source::choose(Some(&root), None).unwrap(), Source::Path(path.clone()));
        assert_eq!(Source::choose(Some(path.to_str().unwrap()), None).unwrap(), Source::Path(path));
        let error = Source::choose(Some("/nowhere"), None).unwrap_err().to_string();
        assert!(error.contains("/nowhere is no checkout"), "{error}");
    }

    #[test]
    fn a_repository_is_told_from_a_folder() {
        let git = Source::choose(Some("https://example.org/x"), Some("abc")).unwrap();
        assert_eq!(git.entry(), "tokio = { git = \"https://example.org/x\", rev = \"abc\" }");
        assert_eq!(git.arguments()[1], "--config=patch.crates-io.tokio.rev=\"abc\"");
        assert!(git.is(Some("git+https://example.org/x?rev=abc#abc123"), Path::new("/x/Cargo.toml")));
        assert!(!git.is(Some("registry+https://github.com/rust-lang/crates.io-index"), Path::new("/x")));
    }
}
