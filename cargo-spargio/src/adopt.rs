//! For good, and back: one entry in the manifest of the workspace.
//!
//! Only text is added and taken away, so all else of a manifest stays as it is. The lock file as it
//! was before is kept in the target folder; if nothing has changed it since, `remove` puts it back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::cli::Common;
use crate::graph;
use crate::lock;
use crate::mirror::update;
use crate::problem::{About, Problem, Result};
use crate::project::{Project, cargo, explain, metadata, output};
use crate::source::{REPOSITORY, Source};

const COMMENT: &str = "# Every crate's tokio is spargio; `cargo spargio remove` takes this back.";
const MARK: &str = "# cargo spargio";
const TABLE: &str = "[patch.crates-io]";

pub(crate) fn adopt(common: &Common) -> Result<()> {
    let project = Project::find(common)?;
    let manifest = project.root.join("Cargo.toml");
    let before = fs::read_to_string(&manifest).about(manifest.display())?;
    if is_adopted(&before) {
        println!("{} has it already", manifest.display());
        return Ok(());
    }
    let source = Source::choose(common.spargio.as_deref(), common.rev.as_deref())?;
    let after = add(&before, &source.entry())?;
    let lock_before = project.lock_text();
    fs::write(&manifest, &after).about(manifest.display())?;
    let moved = update(&manifest, &source, common, lock_before.is_none())
        .and_then(|()| graph::verify(&manifest, &source, common));
    if let Err(problem) = moved {
        // Neither file has changed then.
        fs::write(&manifest, before).about(manifest.display())?;
        restore(&project.lock(), lock_before.as_deref())?;
        return Err(problem.cure("nothing was changed"));
    }
    let lock_after = project.lock_text().unwrap_or_default();
    keep(&project, lock_before.as_deref(), &lock_after)?;
    println!("{}: {}", manifest.display(), source.entry());
    for change in lock_before.iter().flat_map(|before| lock::changes(before, &lock_after)) {
        println!("Cargo.lock: {change}");
    }
    if matches!(source, Source::Path(_)) {
        println!(
            "The path is of this machine. For others: cargo spargio remove; cargo spargio adopt --spargio {REPOSITORY} --rev …"
        );
    }
    println!(
        "`cargo build` as ever; `cargo spargio remove` takes it back; `cargo spargio doctor` looks at this machine."
    );
    Ok(())
}

pub(crate) fn remove(common: &Common) -> Result<()> {
    let project = Project::find(common)?;
    let manifest = project.root.join("Cargo.toml");
    let before = fs::read_to_string(&manifest).about(manifest.display())?;
    if !is_adopted(&before) {
        println!("{} does not have it", manifest.display());
        return Ok(());
    }
    fs::write(&manifest, take(&before)).about(manifest.display())?;
    let (old, new) = (kept(&project, "before"), kept(&project, "after"));
    let now = fs::read_to_string(project.lock()).unwrap_or_default();
    let is_untouched = fs::read_to_string(&new).is_ok_and(|after| after == now);
    if is_untouched {
        restore(&project.lock(), fs::read_to_string(&old).ok().as_deref())?;
    } else {
        let version = fs::read_to_string(&old).ok().and_then(|lock| lock::tokio(&lock));
        unlock(&manifest, common, version.as_deref())?;
    }
    for path in [old, new] {
        let _ = fs::remove_file(path);
    }
    println!("{}: as it was before `adopt`", manifest.display());
    Ok(())
}

/// Moves `tokio` in the lock file back to the published one.
fn unlock(manifest: &Path, common: &Common, version: Option<&str>) -> Result<()> {
    let offline: &[&str] = if common.offline { &["--offline"] } else { &[] };
    // Cargo drops what nobody has any more, and takes the newest for what it does not know.
    metadata(offline, Some(manifest))?;
    let Some(version) = version else { return Ok(()) };
    let mut command = cargo();
    command.args(["update", "--quiet", "-p", "tokio", "--precise", version, "--manifest-path"]).arg(manifest);
    output(command.args(offline)).map(drop).map_err(|said| explain("moving the lock file back", &said))
}

fn kept(project: &Project, which: &str) -> PathBuf {
    project.ours().join(format!("Cargo.lock.{which}"))
}

fn keep(project: &Project, before: Option<&str>, after: &str) -> Result<()> {
    fs::create_dir_all(project.ours()).about(project.ours().display())?;
    restore(&kept(project, "before"), before)?;
    restore(&kept(project, "after"), Some(after))
}

fn restore(path: &Path, text: Option<&str>) -> Result<()> {
    match text {
        Some(text) => fs::write(path, text).about(path.display()),
        None => {
            let _ = fs::remove_file(path);
            Ok(())
        }
    }
}

/// Is there an entry of ours?
pub(crate) fn is_adopted(manifest: &str) -> bool {
    manifest.lines().any(is_ours)
}

fn is_ours(line: &str) -> bool {
    line.starts_with("tokio = ") && line.trim_end().ends_with(MARK)
}

fn is_table(line: &str) -> bool {
    line.split('#').next().unwrap_or_default().replace(' ', "").trim() == TABLE
}

/// The manifest with the entry.
fn add(manifest: &str, entry: &str) -> Result<String> {
    let end = if manifest.contains("\r\n") { "\r\n" } else { "\n" };
    let compact: Vec<String> = manifest.lines().map(|line| line.replace([' ', '"'], "")).collect();
    let mut in_table = false;
    for line in &compact {
        if line.starts_with('[') {
            in_table = is_table(line);
        }
        let is_entry = in_table && (line.starts_with("tokio=") || line.starts_with("tokio."));
        if is_entry
            || line.starts_with("[patch.crates-io.tokio]")
            || line.starts_with("patch.crates-io.tokio")
        {
            return Err(Problem::new("the manifest patches tokio already")
                .cure("take that entry of [patch.crates-io] out first"));
        }
    }
    if let Some(at) = manifest.split_inclusive('\n').position(is_table) {
        let mut lines: Vec<String> = manifest.split_inclusive('\n').map(str::to_owned).collect();
        if !lines[at].ends_with('\n') {
            lines[at].push_str(end);
        }
        lines.insert(at + 1, format!("{entry} {MARK}{end}"));
        return Ok(lines.concat());
    }
    let block = [COMMENT, TABLE, &format!("{entry} {MARK}")].join(end);
    // Without a last line end before, without one after: then there is none again in the end.
    Ok(if manifest.ends_with('\n') {
        format!("{manifest}{end}{block}{end}")
    } else {
        format!("{manifest}{end}{end}{block}")
    })
}

/// The manifest without it.
fn take(manifest: &str) -> String {
    let mut lines: Vec<&str> = manifest.split_inclusive('\n').collect();
    let Some(at) = lines.iter().position(|line| is_ours(line)) else { return manifest.to_owned() };
    let had_end = lines[at].ends_with('\n');
    lines.remove(at);
    // The table goes if it came with the entry and holds nothing else.
    let is_empty = lines.get(at).is_none_or(|line| line.trim().is_empty() || line.starts_with('['));
    if is_empty && at >= 2 && is_table(lines[at - 1]) && lines[at - 2].starts_with(COMMENT) {
        lines.drain(at - 2..at);
        if at >= 3 && lines[at - 3].trim().is_empty() {
            lines.remove(at - 3);
        }
    }
    let mut text = lines.concat();
    if !had_end {
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "tokio = { path = \"/s/patch/tokio\" }";

    #[test]
    fn what_is_added_is_taken_back_to_the_byte() {
        for manifest in [
            "[package]\nname = \"x\" # a comment\n\n[dependencies]\ntokio   =  \"1\"\n",
            "[package]\nname = \"x\"",
            "[package]\r\nname = \"x\"\r\n",
            "[patch.crates-io]\nfoo = { path = \"foo\" }\n\n[dependencies]\n",
            "[ patch . crates-io ] # ours\nfoo.path = \"foo\"\n",
            "[package]\n\n\n",
        ] {
            let added = add(manifest, ENTRY).unwrap();
            assert!(is_adopted(&added) && !is_adopted(manifest), "{added}");
            assert!(added.contains(&format!("{ENTRY} # cargo spargio")), "{added}");
            assert_eq!(added.matches("crates-io").count(), 1, "{added}");
            assert_eq!(take(&added), manifest, "{added}");
        }
    }

    #[test]
    fn what_was_written_after_it_stays() {
        let added = add("[package]\n", ENTRY).unwrap() + "serde = { path = \"serde\" }\n";
        assert!(take(&added).ends_with("[patch.crates-io]\nserde = { path = \"serde\" }\n"));
        let added = add("[package]\n", ENTRY).unwrap() + "\n[profile.dev]\nopt-level = 1\n";
        assert_eq!(take(&added), "[package]\n\n[profile.dev]\nopt-level = 1\n");
    }

    #[test]
    fn somebody_elses_patch_is_left_alone() {
        for manifest in [
            "[patch.crates-io]\ntokio = { git = \"https://example.org\" }\n",
            "[patch.crates-io.tokio]\npath = \"x\"\n",
            "[patch.\"crates-io\"]\ntokio.path = \"x\"\n",
        ] {
            let problem = add(manifest, ENTRY).unwrap_err().to_string();
            assert!(problem.contains("patches tokio already"), "{problem}");
        }
        assert!(add("[dependencies.tokio]\nversion = \"1\"\n[dependencies]\ntokio = \"1\"\n", ENTRY).is_ok());
    }
}
