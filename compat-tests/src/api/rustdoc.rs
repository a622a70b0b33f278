//! Runs rustdoc for its JSON.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use rustdoc_types::{Crate, FORMAT_VERSION};
use serde::Deserialize;

use crate::materialize::{Generated, features_of_tests};
use crate::metadata::{cargo, clean_environment};

/// Documents one package of the workspace in `root`, and returns the path of the JSON.
///
/// The JSON is an unstable output of rustdoc. `RUSTC_BOOTSTRAP` makes the toolchain at hand write
/// it, so no other one has to be installed.
fn document(generated: &Generated, root: &Path, package: &str) -> Result<PathBuf> {
    let mut command = Command::new(cargo());
    clean_environment(&mut command);
    // A folder of its own: what is built with and without the switch cannot be shared.
    let target = generated.target.with_file_name(if generated.unstable { "api-unstable" } else { "api" });
    command
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .env("RUSTC_BOOTSTRAP", "1")
        .args(["rustdoc", "--quiet", "--lib", "--package", package])
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if package == "spargio" {
        command.args(["--features", &features_of_tests(generated.unstable).join(",")]);
    }
    if generated.unstable {
        command.env("RUSTFLAGS", "--cfg tokio_unstable").env("RUSTDOCFLAGS", "--cfg tokio_unstable");
    }
    // An item of a hidden module that is re-exported elsewhere would be left out.
    command.args(["--", "-Zunstable-options", "--output-format=json", "--document-hidden-items"]);
    command.arg("--cap-lints=allow");
    eprintln!("documenting {package}");
    let output = command.output().context("starting cargo")?;
    ensure!(
        output.status.success(),
        "rustdoc cannot write JSON for {package}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(target.join("doc").join(format!("{}.json", package.replace('-', "_"))))
}

/// Documents one package of the workspace in `root`.
pub fn load(generated: &Generated, root: &Path, package: &str) -> Result<(PathBuf, Crate)> {
    let path = document(generated, root, package)?;
    let krate = parse(&path)?;
    Ok((path, krate))
}

fn parse(path: &Path) -> Result<Crate> {
    #[derive(Deserialize)]
    struct Head {
        format_version: u32,
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let head: Head = serde_json::from_str(&text).context("rustdoc's JSON")?;
    ensure!(
        head.format_version == FORMAT_VERSION,
        "this toolchain's rustdoc writes format {} and the comparison reads {FORMAT_VERSION}: nothing was \
         compared. Run it with Rust 1.95 (`cargo +1.95.0 …`), or move `public-api` and `rustdoc-types` in \
         compat-tests/Cargo.toml to the releases that read this format",
        head.format_version
    );
    serde_json::from_str(&text).context("rustdoc's JSON")
}
