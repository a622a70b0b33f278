//! The public interface of one crate, as lines that can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use public_api::PublicApi;
use rustdoc_types::{Attribute, Crate, Id, Impl, Item, ItemEnum};

use super::spelling::{closing, normalize};

/// The lines of a crate, each with the path it is about.
#[derive(Debug, Default)]
pub struct Surface {
    pub lines: BTreeMap<String, String>,
    /// Names re-exported from tokio: path here, and where tokio defines the item.
    pub reexports: Vec<(String, String)>,
    /// Where an item is defined, and the paths it can be reached by.
    pub places: BTreeMap<String, BTreeSet<String>>,
}

/// Traits that cannot be named on stable Rust, and say nothing that a program can rely on.
const UNSTABLE_TRAITS: [&str; 3] =
    ["core::marker::Freeze for ", "core::marker::UnsafeUnpin for ", "core::clone::TrivialClone for "];

/// What the expansions of macros name; hidden, and nobody else's business.
const EXPANSIONS: &str = "tokio::macros";

/// Reads the interface of a crate whose JSON is at `path`; `name` becomes `tokio` in every path.
///
/// `upstream` knows where tokio defines what: by that, what comes from tokio gets its public path.
pub fn surface(path: &Path, krate: &Crate, name: &str, upstream: Option<&Surface>) -> Result<Surface> {
    let api: PublicApi = public_api::Builder::from_rustdoc_json(path)
        .omit_blanket_impls(true)
        .build()
        .with_context(|| path.display().to_string())?;
    let mut surface = Surface::default();
    let own = format!("{name}::");
    for public in api.items() {
        let item = krate.index.get(&public.id()).context("an item without an entry")?;
        let parent = public.parent_id().and_then(|id| krate.index.get(&id));
        let mut text = public.to_string();
        if text == format!("pub mod {name}") || UNSTABLE_TRAITS.iter().any(|name| text.contains(name)) {
            continue;
        }
        if let Some(upstream) = upstream {
            text = public_paths(&text, upstream);
        }
        text = text.replace(&own, "tokio::");
        let subject = subject(&text);
        if subject.starts_with(EXPANSIONS) {
            continue;
        }
        if let Some(defined) = foreign_use(krate, item) {
            surface.reexports.push((subject, defined));
            continue;
        }
        if let Some(entry) = krate.paths.get(&public.id()) {
            surface.places.entry(defined(&entry.path, name)).or_default().insert(subject.clone());
        }
        if let Some(line) = line(&text, item, parent) {
            surface.lines.insert(line, subject);
        }
    }
    Ok(surface)
}

/// The line for an item, if it is one to compare.
fn line(text: &str, item: &Item, parent: Option<&Item>) -> Option<String> {
    let within = parent.and_then(as_impl);
    let of_trait = within.is_some_and(|parent| parent.trait_.is_some());
    match &item.inner {
        // The methods have what is said here.
        ItemEnum::Impl(Impl { trait_: None, .. }) => return None,
        // What other macros expand to.
        ItemEnum::Macro(_) if is_hidden(item) => return None,
        // What an implementation's methods look like is up to the trait.
        ItemEnum::Function(_) if of_trait => return None,
        _ => {}
    }
    let container = within.and_then(|_| container(text));
    let mut line = normalize(text, container.as_deref());
    if within.is_some_and(|parent| !parent.generics.where_predicates.is_empty() || has_bounds(parent)) {
        line += &format!(" [{}]", bounds(within?));
    }
    if item.deprecation.is_some() {
        line += " #[deprecated]";
    }
    if item.attrs.iter().any(|attribute| matches!(attribute, Attribute::MustUse { .. })) {
        line += " #[must_use]";
    }
    Some(line)
}

fn is_hidden(item: &Item) -> bool {
    item.attrs.iter().any(|attribute| matches!(attribute, Attribute::Other(text) if text.contains("hidden")))
}

fn as_impl(item: &Item) -> Option<&Impl> {
    match &item.inner {
        ItemEnum::Impl(found) => Some(found),
        _ => None,
    }
}

fn has_bounds(parent: &Impl) -> bool {
    use rustdoc_types::GenericParamDefKind::Type;
    parent
        .generics
        .params
        .iter()
        .any(|parameter| matches!(&parameter.kind, Type { bounds, .. } if !bounds.is_empty()))
}

/// The bounds of an `impl`, by the names of the traits.
fn bounds(parent: &Impl) -> String {
    use rustdoc_types::{GenericParamDefKind, WherePredicate};
    let mut found = BTreeSet::new();
    let mut note = |parameter: &str, bounds: &[rustdoc_types::GenericBound]| {
        for bound in bounds {
            let bound = match bound {
                rustdoc_types::GenericBound::TraitBound { trait_, modifier, .. } => {
                    let name = trait_.path.rsplit("::").next().unwrap_or_default();
                    format!("{modifier:?} {name}").replace("None ", "")
                }
                other => format!("{other:?}"),
            };
            found.insert(format!("{parameter}: {bound}"));
        }
    };
    for parameter in &parent.generics.params {
        if let GenericParamDefKind::Type { bounds, .. } = &parameter.kind {
            note(&parameter.name, bounds);
        }
    }
    for predicate in &parent.generics.where_predicates {
        match predicate {
            WherePredicate::BoundPredicate { type_: rustdoc_types::Type::Generic(name), bounds, .. } => {
                note(name, bounds);
            }
            other => note(&format!("{other:?}"), &[]),
        }
    }
    found.into_iter().collect::<Vec<_>>().join(", ")
}

/// Where tokio defines what an item re-exports, if it does.
fn foreign_use(krate: &Crate, item: &Item) -> Option<String> {
    let ItemEnum::Use(reexport) = &item.inner else { return None };
    let id: Id = reexport.id?;
    let entry = krate.paths.get(&id)?;
    let source = krate.external_crates.get(&entry.crate_id)?;
    (source.name == "tokio").then(|| defined(&entry.path, "tokio"))
}

fn defined(path: &[String], name: &str) -> String {
    let mut path = path.to_vec();
    if path.first().is_some_and(|first| first == name) {
        path[0] = "tokio".to_owned();
    }
    path.join("::")
}

/// Gives what tokio defines the path it is known by.
fn public_paths(text: &str, upstream: &Surface) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("tokio::") {
        out += &rest[..at];
        let end = rest[at..].find(|c: char| !c.is_alphanumeric() && c != '_' && c != ':');
        let path = &rest[at..end.map_or(rest.len(), |end| at + end)];
        match upstream.places.get(path).and_then(|places| places.iter().min_by_key(|place| place.len())) {
            Some(public) => out += public,
            None => out += path,
        }
        rest = &rest[at + path.len()..];
    }
    out + rest
}

/// `tokio::io::Take<R>` of `pub fn tokio::io::Take<R>::get_ref(&self)`.
fn container(text: &str) -> Option<String> {
    let start = text.find("tokio::")?;
    let mut end = start;
    let mut at = start;
    loop {
        let next = at + text[at..].find(['<', '(', ' ', ':', '='])?;
        match text.as_bytes()[next] {
            b'<' => {
                let close = closing(text, next)?;
                if !text[close + 1..].starts_with("::") {
                    break;
                }
                end = close + 1;
                at = close + 3;
            }
            b':' if text[next..].starts_with("::") => {
                end = next;
                at = next + 2;
            }
            _ => break,
        }
    }
    Some(text[start..end].to_owned())
}

/// The path a line is about, without generics: of an item its own, of an implementation the type's
/// or, where that is foreign, the trait's.
fn subject(text: &str) -> String {
    let text = text.split(" where ").next().unwrap_or(text);
    let text = if text.starts_with("impl") {
        match text.split_once(" for ") {
            Some((_, of)) if of.starts_with("tokio::") => of,
            _ => &text[text.find("tokio::").unwrap_or(0)..],
        }
    } else {
        &text[text.find("tokio::").unwrap_or(0)..]
    };
    let mut path = String::new();
    let mut depth = 0;
    for (index, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ if depth > 0 => {}
            ':' if text[index..].starts_with("::") || text[..index].ends_with(':') => path.push(c),
            c if c.is_alphanumeric() || c == '_' => path.push(c),
            _ => break,
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        assert_eq!(subject("pub fn tokio::io::Take<R>::get_ref(&self)"), "tokio::io::Take::get_ref");
        assert_eq!(subject("pub async fn tokio::fs::read(impl A<B>) -> C"), "tokio::fs::read");
        assert_eq!(subject("impl<T> tokio::io::AsyncRead for &mut T"), "tokio::io::AsyncRead");
        assert_eq!(subject("impl tokio::io::AsyncRead for tokio::fs::File"), "tokio::fs::File");
        assert_eq!(subject("pub tokio::io::X::Variant"), "tokio::io::X::Variant");
        assert_eq!(subject("pub macro tokio::select!"), "tokio::select");
        assert_eq!(subject("pub tokio::process::Output::field: u8"), "tokio::process::Output::field");
    }

    #[test]
    fn containers() {
        assert_eq!(container("pub fn tokio::J<T>::new() -> Self").as_deref(), Some("tokio::J<T>"));
        assert_eq!(container("pub fn tokio::net::A::b<I: X>(I) -> Self").as_deref(), Some("tokio::net::A"));
    }

    #[test]
    fn private_paths_become_public_ones() {
        let mut upstream = Surface::default();
        let places = BTreeSet::from(["tokio::io::AsyncRead".to_owned()]);
        upstream.places.insert("tokio::io::async_read::AsyncRead".to_owned(), places);
        assert_eq!(
            public_paths("impl tokio::io::async_read::AsyncRead for spargio::fs::File", &upstream),
            "impl tokio::io::AsyncRead for spargio::fs::File"
        );
    }
}
