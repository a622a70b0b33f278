//! `#[main]` and `#[test]` of spargio.
//!
//! The attributes of `tokio-macros` expand to paths below `tokio`, unless they are told another
//! name with `crate = "…"`. The attributes here find that name out, and hand everything else on:
//!
//! 1. The name is the one the user wrote (`crate = "…"`), or the one under which `Cargo.toml` of the
//!    crate being compiled depends on the package spargio, or `tokio`.
//! 2. The expansion is the same item under the attribute of `tokio-macros`, which spargio
//!    re-exports as `macros::entry`, with the same arguments and the name.
//!
//! So arguments, errors and their texts are Tokio's. No name is passed where it is `tokio`, Tokio's
//! own default: a renamed dependency, or a crate that passes spargio on under that name.

mod manifest;

use std::path::Path;
use std::{env, fs};

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Runs an `async fn main` in a runtime of spargio: `#[tokio::main]`, under any name.
///
/// The arguments are Tokio's: `flavor`, `worker_threads`, `start_paused`, `unhandled_panic`,
/// `name`, and `crate`, which is not needed for a dependency of another name.
///
/// ```ignore
/// #[spargio::main(flavor = "current_thread")]
/// async fn main() {
///     spargio::task::yield_now().await;
/// }
/// ```
#[proc_macro_attribute]
pub fn main(args: TokenStream, item: TokenStream) -> TokenStream {
    hand_on("main", args, item)
}

/// Runs an `async fn` as a test in a runtime of spargio: `#[tokio::test]`, under any name.
///
/// The runtime is a current-thread one unless told otherwise. For the arguments see
/// [`main`](macro@main).
#[proc_macro_attribute]
pub fn test(args: TokenStream, item: TokenStream) -> TokenStream {
    hand_on("test", args, item)
}

/// `#[ROOT::macros::entry::WHICH(ARGS, crate = "ROOT")] ITEM`
fn hand_on(which: &str, mut args: TokenStream, item: TokenStream) -> TokenStream {
    let written = name_in(args.clone());
    let found = if written.is_some() { None } else { dependency() };
    if let Some(name) = &found {
        let needs_comma = args.clone().into_iter().last().is_some_and(|last| !is_punct(&last, ','));
        args.extend(tokens(if needs_comma { "," } else { "" }));
        args.extend(tokens(&format!("crate = {name:?}")));
    }
    let root = written.or(found).unwrap_or_else(|| "tokio".to_owned());
    let mut attribute = tokens(&format!("{root}::macros::entry::{which}"));
    attribute.extend([TokenTree::from(Group::new(Delimiter::Parenthesis, args))]);
    let mut out = tokens("#");
    out.extend([TokenTree::from(Group::new(Delimiter::Bracket, attribute))]);
    out.extend(item);
    out
}

/// Tokens that stand where the attribute stands.
fn tokens(text: &str) -> TokenStream {
    text.parse().unwrap_or_default()
}

/// How the crate being compiled calls spargio, if not `tokio`.
///
/// There is no answer without cargo, for a crate that has spargio from a third one, and for
/// spargio's own examples, which all say `tokio`.
fn dependency() -> Option<String> {
    let folder = env::var_os("CARGO_MANIFEST_DIR")?;
    let folder = Path::new(&folder);
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).ok()?;
    let name = manifest::name_of("spargio", &manifest, || workspace(folder))?;
    (name != "tokio").then(|| format!("::{}", name.replace('-', "_")))
}

/// The manifest of the workspace that the package in `folder` is in.
fn workspace(folder: &Path) -> Option<String> {
    let mut manifests = folder.ancestors().filter_map(|at| fs::read_to_string(at.join("Cargo.toml")).ok());
    manifests.find(|text| text.lines().any(|line| line.trim_start().starts_with("[workspace")))
}

/// The value of `crate = "…"`, if it is a path. If it is not, Tokio's attribute will say so.
fn name_in(args: TokenStream) -> Option<String> {
    let args: Vec<TokenTree> = args.into_iter().collect();
    let value = args.windows(3).find_map(|window| match window {
        [TokenTree::Ident(key), equals, TokenTree::Literal(value)]
            if key.to_string() == "crate" && is_punct(equals, '=') =>
        {
            Some(value.to_string())
        }
        _ => None,
    })?;
    let path = value.strip_prefix('"')?.strip_suffix('"')?;
    let is_path = |path: &str| {
        let segments = path.strip_prefix("::").unwrap_or(path).split("::");
        segments.into_iter().all(|segment| {
            let segment = segment.trim();
            !segment.is_empty()
                && !segment.starts_with(|c: char| c.is_ascii_digit())
                && segment.chars().all(|c| c.is_alphanumeric() || c == '_')
        })
    };
    is_path(path).then(|| path.to_owned())
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}
