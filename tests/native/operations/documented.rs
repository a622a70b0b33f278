//! The table of the tests, that of docs/NATIVE.md and the functions there are: the same operations.

use std::collections::BTreeSet;
use std::path::Path;

use super::table::operations;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The rows of all tables whose first column is called "operation": cells.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let mut rows = Vec::new();
    let mut is_ours = false;
    for line in document.lines() {
        let Some(row) = line.strip_prefix("| ") else {
            is_ours &= line.starts_with("|-");
            continue;
        };
        let cells: Vec<_> = row.trim_end_matches('|').split('|').map(str::trim).collect();
        if cells[0] == "operation" {
            is_ours = true;
        } else if is_ours {
            rows.push(cells);
        }
    }
    rows
}

/// The operations that a cell names. A name without a type has that of the one before it.
fn named(cell: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut parts = cell.split('`');
    while let (Some(before), Some(name)) = (parts.next(), parts.next()) {
        let is_bare = !name.contains("::");
        let of = names.last().and_then(|last| last.rsplit_once("::")).map(|(of, _)| of.to_owned());
        if before.contains("the same of") {
            let of = of.unwrap();
            let same: Vec<_> = names
                .iter()
                .filter_map(|other| other.strip_prefix(&of)?.strip_prefix("::"))
                .map(|other| format!("{name}::{other}"))
                .collect();
            names.extend(same);
        } else if let (true, Some(of)) = (is_bare, of) {
            names.push(format!("{of}::{name}"));
        } else {
            names.push(name.to_owned());
        }
    }
    names
}

#[test]
fn each_of_the_document_is_tested_and_the_other_way_round() {
    let document = read("docs/NATIVE.md");
    let rows = rows(&document);
    let documented: BTreeSet<String> = rows.iter().flat_map(|row| named(row[0])).collect();
    let tested: BTreeSet<String> = operations().iter().map(|operation| operation.name.to_owned()).collect();
    assert_eq!(tested.len(), operations().len(), "one is there twice");
    let untested: Vec<_> = documented.difference(&tested).collect();
    assert!(
        untested.is_empty(),
        "in docs/NATIVE.md, but not in tests/native/operations/table.rs: {untested:?}"
    );
    let undocumented: Vec<_> = tested.difference(&documented).collect();
    assert!(undocumented.is_empty(), "not in docs/NATIVE.md: {undocumented:?}");

    for row in rows {
        assert_eq!(row.len(), 4, "operation, opcode, kernel, fallback: {row:?}");
        assert!(!row[3].is_empty(), "no fallback: {row:?}");
        for operation in operations().iter().filter(|o| named(row[0]).contains(&o.name.to_owned())) {
            let opcode = format!("`{}`", operation.opcode.0);
            let is_said = row[1].contains(&opcode) || row[1] == "what the entry says";
            assert!(is_said, "{} is {opcode}, not {}", operation.name, row[1]);
        }
    }
}

/// The names of functions in `source` that begin an operation.
fn begun_by(source: &str) -> Vec<&str> {
    let begins = ["Request<", "RecvMulti<", "AcceptMulti<", "Connecting<"];
    let functions = source.split("pub fn ").skip(1).chain(source.split("pub unsafe fn ").skip(1));
    functions
        .filter_map(|function| {
            let (name, _) = function.split_once(['<', '('])?;
            let (signature, _) = function.split_once('{')?;
            let (_, returns) = signature.split_once("->")?;
            let begins = begins.iter().any(|of| returns.contains(of));
            // Ways to say how an operation is to be done.
            (begins && name != "timeout").then_some(name)
        })
        .collect()
}

#[test]
fn each_function_that_begins_one_is_documented() {
    let document = read("docs/NATIVE.md");
    let documented: BTreeSet<String> = rows(&document)
        .iter()
        .flat_map(|row| named(row[0]))
        .map(|name| name.rsplit("::").next().unwrap().to_owned())
        .collect();
    let mut count = 0;
    for file in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/native")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        for name in begun_by(&source) {
            assert!(documented.contains(name), "{}: `{name}` is not in docs/NATIVE.md", path.display());
            count += 1;
        }
    }
    assert!(count > 60, "{count} found only");
}

#[test]
fn names_of_a_cell() {
    assert_eq!(named("`A::x`, `y`"), ["A::x", "A::y"]);
    assert_eq!(named("`x`, `y`, `A::x`"), ["x", "y", "A::x"]);
    assert_eq!(named("`A::x`, `y`; the same of `B`"), ["A::x", "A::y", "B::x", "B::y"]);
    assert_eq!(begun_by("pub fn f<B>(self) -> Request<'a, X> { } pub fn g() -> u8 {}"), ["f"]);
}
