//! The rules, each a function from a source to what it finds wrong there.

use crate::scan::{Path, Source, Style};

/// `path:line: what is wrong`.
pub type Findings = Vec<String>;

fn finding(source: &Source, line: usize, text: impl std::fmt::Display) -> String {
    format!("{}:{line}: {text}", source.path)
}

// ===== layers =====

/// Who may use whom: a module uses those of its own height and below. `None`: an unknown module.
fn height(module: &str) -> Option<u8> {
    Some(match module {
        "elsewhere" | "loom" | "macros" | "upstream" | "util" => 0,
        "sys" => 1,
        "driver" => 2,
        "runtime" => 3,
        "fs" | "interop" | "io" | "native" | "net" | "process" | "shard" | "signal" | "stream" | "sync"
        | "task" | "time" => 4,
        "lib" => 5,
        _ => return None,
    })
}

/// `(file, module it may use all the same)`.
pub type Exceptions<'a> = &'a [(&'a str, &'a str, &'a str)];

/// DESIGN: `sys` < `driver` < `runtime` < the public modules < `lib.rs`.
pub fn layers(source: &Source, exceptions: Exceptions<'_>) -> Findings {
    let module = source.module();
    let own = module.first().copied().unwrap_or("lib");
    let Some(own_height) = height(own) else {
        return vec![finding(
            source,
            1,
            format_args!("module `{own}` has no layer: give it one in tests/tidy"),
        )];
    };
    let mut found = Vec::new();
    let paths = source.paths_from("crate").into_iter().chain(source.paths_from_root_by_super());
    for Path { line, segments, bang, .. } in paths {
        let used = segments[0].as_str();
        let is_macro = bang && segments.len() == 1;
        let is_excepted = exceptions.iter().any(|&(file, module, _)| file == source.path && module == used);
        if is_macro || used == "*" || is_excepted {
            continue;
        }
        match height(used) {
            None => found.push(finding(source, line, format_args!("`crate::{used}` has no layer"))),
            Some(height) if height > own_height => {
                found.push(finding(
                    source,
                    line,
                    format_args!("`{own}` uses `crate::{used}`, a layer above it"),
                ));
            }
            Some(_) => {}
        }
    }
    found
}

// ===== unsafe =====

/// Rings set up as SECURITY.md says they are not.
pub fn rings(source: &Source) -> Findings {
    const SETUP: &[&str] = &[
        "setup_single_issuer",
        "setup_defer_taskrun",
        "setup_taskrun_flag",
        "setup_submit_all",
        "setup_r_disabled",
        "setup_cqsize",
        "setup_no_sqarray",
    ];
    let mut found = Vec::new();
    for at in 0..source.tokens.len() {
        let Some(name) = source.ident(at) else { continue };
        let line = source.tokens[at].line;
        let is_method = at > 0 && source.punct(at - 1) == Some('.');
        if is_method && name.starts_with("setup_") && !SETUP.contains(&name) {
            found.push(finding(source, line, format!("`{name}`: no such rings")));
        }
        let upper = name.to_uppercase();
        if upper.contains("SQPOLL") || upper.contains("PBUF_RING_MMAP") {
            found.push(finding(source, line, format!("`{name}`: no thread of the kernel, no memory of it")));
        }
    }
    found
}

/// A way to a descriptor, of types that have none but the runtime's own.
pub fn descriptors(source: &Source) -> Findings {
    const WITHOUT: &[&str] = &["driver", "runtime", "shard", "task", "time", "signal", "sync"];
    if !source.module().first().is_some_and(|layer| WITHOUT.contains(layer)) {
        return Vec::new();
    }
    let is_fd = |at: usize| source.ident(at).is_some_and(|name| name.ends_with("Fd"));
    let mut found = Vec::new();
    for at in 0..source.tokens.len() {
        let line = source.tokens[at].line;
        if is_fd(at) && source.ident(at + 1) == Some("for") {
            found.push(finding(source, line, "hands out a descriptor"));
        }
        if source.is_at(at, &["pub", "fn"]) || source.is_at(at, &["pub", "unsafe", "fn"]) {
            let end = (at..source.tokens.len()).find(|&i| matches!(source.punct(i), Some('{' | ';')));
            let arrow = (at..end.unwrap_or(at)).find(|&i| source.is_at(i, &["-", ">"]));
            if arrow.is_some_and(|arrow| (arrow..end.unwrap_or(at)).any(is_fd)) {
                found.push(finding(source, line, "returns a descriptor"));
            }
        }
    }
    found
}

/// Unsafe code in a file that is not on the list, or on the list and not as it should be.
pub fn unsafe_code(source: &Source, is_listed: bool) -> Findings {
    let mut found = Vec::new();
    let uses: Vec<_> = (0..source.tokens.len()).filter(|&at| source.ident(at) == Some("unsafe")).collect();
    let allows: Vec<_> =
        (0..source.tokens.len()).filter(|&at| source.is_at(at, &["allow", "(", "unsafe_code"])).collect();
    if !is_listed {
        for &at in uses.iter().chain(&allows) {
            found.push(finding(
                source,
                source.tokens[at].line,
                "unsafe code in a file that is not on the list",
            ));
        }
        return found;
    }
    if uses.is_empty() {
        found.push(finding(source, 1, "on the list of unsafe files, but has no unsafe code"));
    }
    // Test modules are a part of the file they test.
    if !source.path.contains("/tests") {
        if !allows.iter().any(|&at| at >= 3 && source.is_at(at - 3, &["#", "!", "["])) {
            found.push(finding(source, 1, "no `#![allow(unsafe_code)]` of its own"));
        }
        if !source.comments.values().any(|c| c.style == Style::InnerDoc && c.text.trim() == "//! # Safety") {
            found.push(finding(source, 1, "no `# Safety` paragraph in the module's documentation"));
        }
    }
    for at in uses {
        let line = source.tokens[at].line;
        let next = source.ident(at + 1);
        if source.punct(at + 1) == Some('{') || next == Some("impl") {
            if !is_explained(source, line) {
                found.push(finding(source, line, "no `// SAFETY:` comment"));
            }
        } else if next == Some("fn") && is_pub(source, at) && !has_contract(source, line) {
            // Private ones (of a vtable, say) are covered by the module's paragraph.
            found.push(finding(source, line, "no `# Safety` paragraph for an unsafe function"));
        }
    }
    found
}

/// Is there a `SAFETY:` comment above `line`, with nothing but the rest of the statement between?
fn is_explained(source: &Source, line: usize) -> bool {
    const FAR: usize = 12;
    let code = source.lines_of_code();
    let mut above = line;
    while above > 1 && line - above < FAR {
        above -= 1;
        let comment = source.comments.get(&above);
        if comment.is_some_and(|c| c.style == Style::Plain && c.text.contains("SAFETY:")) {
            return true;
        }
        match code.get(&above) {
            // The end of something else.
            Some(&(_, last)) if matches!(source.punct(last), Some(';' | '}' | '{')) => return false,
            None if comment.is_none() => return false,
            _ => {}
        }
    }
    false
}

/// Does `pub` or `pub(…)` stand before the token?
fn is_pub(source: &Source, at: usize) -> bool {
    at > 0 && (source.ident(at - 1) == Some("pub") || source.ends_visibility(at - 1))
}

/// Does the documentation above `line` say what a caller must see to?
fn has_contract(source: &Source, line: usize) -> bool {
    let code = source.lines_of_code();
    let mut above = line;
    while above > 1 {
        above -= 1;
        match source.comments.get(&above) {
            Some(c) if c.style == Style::OuterDoc && c.text.contains("# Safety") => return true,
            Some(_) => {}
            None if code.get(&above).is_some_and(|&(first, _)| source.punct(first) == Some('#')) => {}
            None => return false,
        }
    }
    false
}

// ===== upstream and other words =====

/// What may be named of upstream outside of `src/upstream.rs`: nothing that is bound to its runtime.
const AGNOSTIC: [&[&str]; 5] = [&["io"], &["sync"], &["task", "coop"], &["pin"], &["macros"]];

/// The half of upstream that needs no runtime comes in through one file, the other half not at all.
pub fn upstream(source: &Source, exceptions: Exceptions<'_>) -> Findings {
    let mut found = Vec::new();
    if source.path == "src/elsewhere.rs" {
        // Not compiled where there is anything of ours.
        return found;
    }
    let in_the_list = source.path == "src/upstream.rs";
    for path in source.paths_from("upstream") {
        // `crate::upstream::…` passes on what the list has; see below.
        let spelled = path.segments.join("::");
        let is_glob = path.segments.iter().any(|s| s == "*");
        let is_agnostic = AGNOSTIC.iter().any(|head| path.segments.starts_with(&head.map_to_strings()));
        let is_excepted =
            exceptions.iter().any(|&(file, what, _)| file == source.path && spelled.starts_with(what));
        if path.reexport && is_glob {
            found.push(finding(source, path.line, format_args!("glob re-export of upstream: `{spelled}`")));
        } else if path.reexport && !in_the_list {
            found.push(finding(
                source,
                path.line,
                format_args!("`upstream::{spelled}` is re-exported outside of src/upstream.rs"),
            ));
        } else if !in_the_list && !is_agnostic && !is_excepted {
            found.push(finding(
                source,
                path.line,
                format_args!("`upstream::{spelled}` is bound to upstream's runtime"),
            ));
        }
    }
    for path in source.paths_from("crate") {
        if path.segments[0] != "upstream" || !path.reexport {
            continue;
        }
        let spelled = path.segments.join("::");
        let passes_on = ["src/lib.rs", "src/macros.rs"].contains(&source.path.as_str())
            || source.path.ends_with("/mod.rs");
        if path.segments.iter().any(|s| s == "*") {
            found.push(finding(source, path.line, format_args!("glob re-export of upstream: `{spelled}`")));
        } else if !passes_on {
            found.push(finding(
                source,
                path.line,
                format_args!("`{spelled}` is passed on by a file that is no mod.rs"),
            ));
        }
    }
    found
}

trait MapToStrings {
    fn map_to_strings(&self) -> Vec<String>;
}

impl MapToStrings for &[&str] {
    fn map_to_strings(&self) -> Vec<String> {
        self.iter().map(|s| (*s).to_owned()).collect()
    }
}

/// Words that have no place in `src`.
pub fn words(source: &Source) -> Findings {
    let mut found = Vec::new();
    for (at, token) in source.tokens.iter().enumerate() {
        let Some(word) = source.ident(at) else { continue };
        let is_macro =
            source.punct(at + 1) == Some('!') && matches!(source.punct(at + 2), Some('(' | '{' | '['));
        if is_macro && ["todo", "unimplemented", "dbg"].contains(&word) {
            found.push(finding(source, token.line, format_args!("`{word}!`")));
        }
        if word == "tokio" && source.is_at(at + 1, &[":", ":"]) {
            found.push(finding(source, token.line, "a `tokio::` path: the dependency is called `upstream`"));
        }
    }
    let roots = source.paths_from("crate").into_iter().chain(source.paths_from_root_by_super());
    for path in roots.filter(|path| path.segments == ["*"]) {
        found.push(finding(source, path.line, "glob import of the crate's root"));
    }
    found
}

// ===== hazards =====

/// A row of the table in docs/HAZARDS.md.
#[derive(Debug, PartialEq, Eq)]
pub struct Row {
    pub line: usize,
    pub hazard: String,
    /// The functions named in the column `test`.
    pub tests: Vec<String>,
    pub seen_red: bool,
}

/// The rows `| hazard | guard | test | seen red |`.
pub fn rows(markdown: &str) -> Vec<Row> {
    let mut rows = Vec::new();
    for (i, text) in markdown.lines().enumerate() {
        let cells: Vec<_> = text.trim().trim_matches('|').split('|').map(str::trim).collect();
        // The number, then what it is about.
        let hazard = cells[0].split_whitespace().next().unwrap_or_default().trim_matches(['*', '`']);
        let digits = hazard.strip_prefix('H').map(|d| d.trim_end_matches(|c: char| c.is_ascii_lowercase()));
        let is_hazard = digits.is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit()));
        if !text.trim_start().starts_with('|') || !is_hazard {
            continue;
        }
        let test = cells.get(2).copied().unwrap_or_default();
        let names = test.split('`').skip(1).step_by(2);
        let last = |name: &str| name.rsplit("::").next().unwrap_or(name).trim_end_matches("()").to_owned();
        let is_name =
            |name: &String| !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        let red = cells.get(3).copied().unwrap_or_default().to_lowercase();
        rows.push(Row {
            line: i + 1,
            hazard: hazard.to_owned(),
            // File names (`tests/x.rs`) say where to look and are no functions.
            tests: names.map(last).filter(is_name).collect(),
            seen_red: !["", "-", "–", "—", "no", "not yet"].contains(&red.as_str()),
        });
    }
    rows
}

/// Rows that name no living test, and hazards without a row.
pub fn hazards(file: &str, rows: &[Row], required: &[String], is_test: impl Fn(&str) -> bool) -> Findings {
    let mut found = Vec::new();
    for row in rows {
        for test in row.tests.iter().filter(|test| !is_test(test)) {
            found.push(format!("{file}: {}: there is no test `{test}`", row.hazard));
        }
        if !row.tests.is_empty() && !row.seen_red {
            found.push(format!("{file}: {}: its test was never seen red", row.hazard));
        }
    }
    for hazard in required {
        let base = |row: &&Row| row.hazard.trim_end_matches(|c: char| c.is_ascii_lowercase()) == hazard;
        if !rows.iter().filter(base).any(|row| !row.tests.is_empty()) {
            found.push(format!("{file}: {hazard} has no test"));
        }
    }
    found
}

/// The paths under `src/` or `tests/` that a text names in backquotes.
pub fn paths_named(markdown: &str) -> Vec<String> {
    let code = markdown.split('`').skip(1).step_by(2);
    let is_path = |s: &&str| {
        ["src/", "tests/", "docs/", "benches/", "examples/"].iter().any(|p| s.starts_with(p))
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b))
    };
    code.filter(is_path).map(str::to_owned).collect()
}
