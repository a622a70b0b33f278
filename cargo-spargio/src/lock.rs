//! What two lock files have in common. Only names and versions are read.

use std::collections::BTreeSet;

/// Names and versions.
pub(crate) fn packages(lock: &str) -> BTreeSet<(String, String)> {
    let value = |line: &str, key: &str| -> Option<String> {
        Some(line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"')?.to_owned())
    };
    // An entry of a patch that is not used is no package.
    let tables = lock.split("\n[[").filter(|table| table.trim_start_matches("[[").starts_with("package]]"));
    let package = |table: &str| {
        let field = |key| table.lines().find_map(|line| value(line, key));
        Some((field("name")?, field("version")?))
    };
    tables.filter_map(package).collect()
}

/// The version of tokio 1.x that is locked.
pub(crate) fn tokio(lock: &str) -> Option<String> {
    let mut found =
        packages(lock).into_iter().filter(|(name, version)| name == "tokio" && version.starts_with("1."));
    found.next().map(|(_, version)| version)
}

/// Is there a patch for tokio that cargo does not use?
pub(crate) fn has_unused_patch(lock: &str) -> bool {
    lock.split("[[patch.unused]]").skip(1).any(|entry| {
        entry.lines().take_while(|line| !line.starts_with('[')).any(|line| line == "name = \"tokio\"")
    })
}

/// What changed, for people.
pub(crate) fn changes(before: &str, after: &str) -> Vec<String> {
    let (before, after) = (packages(before), packages(after));
    let gone: Vec<_> = before.difference(&after).collect();
    let come = after.difference(&before).map(|(name, version)| {
        let mut old = gone.iter().filter(|(gone, _)| gone == name).map(|(_, version)| version);
        match old.next() {
            Some(old) => format!("{name} {old} -> {version}"),
            None => format!("+ {name} {version}"),
        }
    });
    come.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"mio\"\nversion = \"1.0.1\"\n\n[[package]]\n\
                        name = \"tokio\"\nversion = \"1.40.0\"\n";

    #[test]
    fn changes_are_named() {
        let after = LOCK.replace("1.0.1", "1.2.0") + "\n[[package]]\nname = \"slab\"\nversion = \"0.4.9\"\n";
        assert_eq!(changes(LOCK, &after), ["mio 1.0.1 -> 1.2.0", "+ slab 0.4.9"]);
        assert_eq!(tokio(LOCK).as_deref(), Some("1.40.0"));
    }

    #[test]
    fn an_unused_patch_is_seen_and_no_package() {
        let lock = format!("{LOCK}\n[[patch.unused]]\nname = \"tokio\"\nversion = \"1.54.1\"\n");
        assert!(has_unused_patch(&lock) && !has_unused_patch(LOCK));
        assert_eq!(packages(&lock), packages(LOCK));
    }
}
