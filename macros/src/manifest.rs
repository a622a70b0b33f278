//! What a `Cargo.toml` says about one dependency: under which name the crate has it.
//!
//! Only that, and only of manifests that cargo has accepted, so this is no parser of TOML: it knows
//! tables, dotted and quoted keys, strings, comments, and values that go over several lines. Every
//! program that uses the attributes would have to build a whole parser else.

/// A key with all the tables it is in, and its value as written.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    path: Vec<String>,
    value: String,
}

/// A dependency as one table has it.
#[derive(Debug, Default)]
struct Dependency {
    name: String,
    package: Option<String>,
    inherited: bool,
}

/// The name under which the crate of `manifest` depends on `package`. `workspace` is the manifest of
/// its workspace, asked for if need be.
///
/// Of several names `tokio` is preferred, then the first.
pub(crate) fn name_of(
    package: &str,
    manifest: &str,
    workspace: impl FnOnce() -> Option<String>,
) -> Option<String> {
    let mut found = dependencies(&entries(manifest), |path| match path {
        [target, _, rest @ ..] if target == "target" => Some(rest),
        path => Some(path),
    });
    if found.iter().any(|dependency| dependency.inherited) {
        let shared = dependencies(&entries(&workspace().unwrap_or_default()), |path| match path {
            [workspace, rest @ ..] if workspace == "workspace" => Some(rest),
            _ => None,
        });
        for dependency in found.iter_mut().filter(|dependency| dependency.inherited) {
            let definition = shared.iter().find(|shared| shared.name == dependency.name);
            dependency.package = definition.and_then(|shared| shared.package.clone());
        }
    }
    let is_it = |dependency: &&Dependency| dependency.package.as_ref().unwrap_or(&dependency.name) == package;
    let mut names = found.iter().filter(is_it).map(|dependency| &dependency.name);
    let first = names.next()?;
    Some(if names.any(|name| name == "tokio") { "tokio".to_owned() } else { first.clone() })
}

/// The dependencies of all tables that `below` leads to.
fn dependencies(entries: &[Entry], below: impl Fn(&[String]) -> Option<&[String]>) -> Vec<Dependency> {
    const KINDS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found: Vec<Dependency> = Vec::new();
    for entry in entries {
        let Some([kind, name, rest @ ..]) = below(&entry.path) else { continue };
        if !KINDS.contains(&kind.as_str()) {
            continue;
        }
        let at = found.iter().position(|dependency| dependency.name == *name).unwrap_or_else(|| {
            found.push(Dependency { name: name.clone(), ..Dependency::default() });
            found.len() - 1
        });
        let dependency = &mut found[at];
        match rest {
            [] => {
                let inner = entry.value.trim().strip_prefix('{').and_then(|table| table.strip_suffix('}'));
                for field in inner.map(fields).unwrap_or_default() {
                    dependency.add(&field.path, &field.value);
                }
            }
            rest => dependency.add(rest, &entry.value),
        }
    }
    found
}

impl Dependency {
    fn add(&mut self, key: &[String], value: &str) {
        match key {
            [key] if key == "package" => self.package = Some(unquote(value)),
            [key] if key == "workspace" => self.inherited = value.trim() == "true",
            _ => {}
        }
    }
}

/// All keys of a document that have a value.
fn entries(text: &str) -> Vec<Entry> {
    let mut table: Vec<String> = Vec::new();
    let mut found = Vec::new();
    for line in split(text, '\n') {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            table = path(header.trim_start_matches('[').trim_end_matches(']'));
        } else {
            found.extend(field(&table, line));
        }
    }
    found
}

/// The fields of an inline table.
fn fields(table: &str) -> Vec<Entry> {
    split(table, ',').iter().filter_map(|text| field(&[], text)).collect()
}

fn field(table: &[String], text: &str) -> Option<Entry> {
    let parts = split(text, '=');
    let (key, value) = (parts.first()?, parts.get(1..)?.join("="));
    if value.is_empty() {
        return None;
    }
    let mut full = table.to_vec();
    full.extend(path(key));
    Some(Entry { path: full, value: value.trim().to_owned() })
}

fn path(dotted: &str) -> Vec<String> {
    split(dotted, '.').iter().map(|part| unquote(part)).collect()
}

fn unquote(text: &str) -> String {
    text.trim().trim_matches(['"', '\'']).to_owned()
}

/// Parts of the text between `at`s that are in no string and no brackets, without comments.
///
/// A header's own brackets close on its line, so they are in nobody's way.
fn split(text: &str, at: char) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut length = c.len_utf8();
        match c {
            '#' => {
                rest = rest.find('\n').map_or("", |end| &rest[end..]);
                continue;
            }
            '"' | '\'' => length = string(rest, c),
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == at && depth == 0 {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    parts
}

/// The length of the string that the text begins with.
fn string(text: &str, quote: char) -> usize {
    let triple = String::from(quote).repeat(3);
    let delimiter = if text.starts_with(&triple) { triple.as_str() } else { &triple[..1] };
    let mut at = delimiter.len();
    while let Some(rest) = text.get(at..) {
        if rest.starts_with(delimiter) {
            return at + delimiter.len();
        }
        let mut chars = rest.chars();
        let Some(c) = chars.next() else { break };
        at += c.len_utf8();
        if c == '\\' && quote == '"' {
            at += chars.next().map_or(0, char::len_utf8);
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(manifest: &str) -> Option<String> {
        name_of("spargio", manifest, || None)
    }

    #[test]
    fn all_spellings_of_a_renamed_dependency() {
        for manifest in [
            "[dependencies]\nengine = { package = \"spargio\", version = \"0.6\" }",
            "[dependencies]\nengine = { version = '0.6', features = [\"a\", \"b\"], package = 'spargio' } # x",
            "[dependencies]\nengine = {\n  version = \"0.6\", # a comment, with a \"\n  package = \"spargio\",\n}",
            "[dependencies]\nengine.package = \"spargio\"\nengine.version = \"0.6\"",
            "[dependencies.engine]\npackage = \"spargio\"\nversion = \"0.6\"",
            "[ dev-dependencies . engine ]\npackage=\"spargio\"",
            "dependencies.engine = { package = \"spargio\", path = \"..\" }",
            "[target.'cfg(target_os = \"linux\")'.dependencies]\nengine = { package = \"spargio\" }",
            "[target.\"cfg(unix)\".dependencies.engine]\npackage = \"spargio\"",
        ] {
            assert_eq!(name(manifest).as_deref(), Some("engine"), "{manifest}");
        }
    }

    #[test]
    fn its_own_name() {
        assert_eq!(name("[dependencies]\nspargio = \"0.6\"").as_deref(), Some("spargio"));
        assert_eq!(name("[dependencies]\nspargio.path = \"..\"").as_deref(), Some("spargio"));
        assert_eq!(name("[dependencies.spargio]\npath = \"..\"").as_deref(), Some("spargio"));
        assert_eq!(name("[dependencies]\nspargio = { package = \"other\" }"), None);
    }

    #[test]
    fn no_such_dependency() {
        for manifest in [
            "",
            "[package]\nname = \"spargio\"\ndescription = \"\"\"\n[dependencies]\nspargio = \"1\"\n\"\"\"",
            "[dependencies]\ntokio = \"1\" # spargio = \"1\"",
            "[features]\nx = [\"dep:spargio\"]",
            "[package.metadata.dependencies]\nspargio = \"1\"",
        ] {
            assert_eq!(name(manifest), None, "{manifest}");
        }
    }

    #[test]
    fn tokio_is_preferred() {
        let both = "[dependencies]\nspargio = \"0.6\"\ntokio = { package = \"spargio\", version = \"0.6\" }";
        assert_eq!(name(both).as_deref(), Some("tokio"));
    }

    #[test]
    fn a_workspaces_dependency() {
        let workspace = || Some("[workspace.dependencies]\nengine = { package = \"spargio\" }".to_owned());
        for manifest in [
            "[dependencies]\nengine = { workspace = true, features = [\"net\"] }",
            "[dependencies]\nengine.workspace = true",
            "[dependencies.engine]\nworkspace = true",
        ] {
            assert_eq!(name_of("spargio", manifest, workspace).as_deref(), Some("engine"), "{manifest}");
        }
        assert_eq!(name("[dependencies]\nspargio.workspace = true").as_deref(), Some("spargio"));
        let never = || -> Option<String> { unreachable!("nothing is inherited") };
        assert_eq!(name_of("spargio", "[dependencies]\ntokio = \"1\"", never), None);
    }
}
