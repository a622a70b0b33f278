//! Rust source as tokens and comments: just enough of a lexer that no rule is fooled by a string,
//! a comment or a lifetime.

use std::collections::BTreeMap;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Ident(String),
    Punct(char),
    /// A string, a character, a number or a lifetime: of no interest here.
    Other,
}

#[derive(Debug, Clone)]
pub struct Token {
    pub line: usize,
    pub kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    Plain,
    /// `///` or `/** */`
    OuterDoc,
    /// `//!` or `/*! */`
    InnerDoc,
}

#[derive(Debug)]
pub struct Comment {
    pub style: Style,
    pub text: String,
}

/// A source file, taken apart.
#[derive(Debug)]
pub struct Source {
    /// Its path from the root of the repository.
    pub path: String,
    pub tokens: Vec<Token>,
    /// By line; a block comment appears on each of its lines.
    pub comments: BTreeMap<usize, Comment>,
    pub lines: usize,
}

/// A path, spelled out: `use a::{b, c::*};` has two.
#[derive(Debug, PartialEq, Eq)]
pub struct Path {
    pub line: usize,
    pub segments: Vec<String>,
    /// Of a `pub use`, `pub(crate) use` …
    pub reexport: bool,
    /// The name of a macro that is called.
    pub bang: bool,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        let (tokens, comments) = lex(text);
        Source { path: path.to_owned(), tokens, comments, lines: text.lines().count() }
    }

    pub fn ident(&self, at: usize) -> Option<&str> {
        match &self.tokens.get(at)?.kind {
            Kind::Ident(name) => Some(name),
            Kind::Punct(_) | Kind::Other => None,
        }
    }

    pub fn punct(&self, at: usize) -> Option<char> {
        match self.tokens.get(at)?.kind {
            Kind::Punct(c) => Some(c),
            Kind::Ident(_) | Kind::Other => None,
        }
    }

    /// Do these names and punctuation marks stand at `at`?
    pub fn is_at(&self, at: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(i, &word)| match self.ident(at + i) {
            Some(name) => name == word,
            None => self.punct(at + i).is_some_and(|c| word.len() == 1 && word.starts_with(c)),
        })
    }

    fn is_path_separator(&self, at: usize) -> bool {
        self.is_at(at, &[":", ":"])
    }

    /// The modules this file is in: `["net", "tcp", "stream"]` for `src/net/tcp/stream.rs`.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let path = path.strip_suffix(".rs").unwrap_or(path);
        let mut parts: Vec<_> = path.split('/').collect();
        if matches!(parts.last(), Some(&"mod" | &"lib")) {
            parts.pop();
        }
        parts
    }

    /// Where each outermost path begins that starts with the name `first`, and whether it is part
    /// of a re-export.
    fn starts_of(&self, first: &str) -> Vec<(usize, bool)> {
        let mut found = Vec::new();
        let mut reexport = false;
        for at in 0..self.tokens.len() {
            if self.ident(at) == Some("use") {
                reexport = at > 0 && (self.ident(at - 1) == Some("pub") || self.ends_visibility(at - 1));
            } else if self.punct(at) == Some(';') {
                reexport = false;
            }
            let inside = at >= 3
                && self.is_path_separator(at - 2)
                && self.ident(at - 3).is_some_and(|word| word != "use");
            if self.ident(at) == Some(first) && self.is_path_separator(at + 1) && !inside {
                found.push((at, reexport));
            }
        }
        found
    }

    /// Is this the `)` of `pub(…)`?
    pub fn ends_visibility(&self, at: usize) -> bool {
        if self.punct(at) != Some(')') {
            return false;
        }
        let open = (0..at).rev().find(|&i| self.punct(i) == Some('('));
        open.is_some_and(|open| open > 0 && self.ident(open - 1) == Some("pub"))
    }

    /// All paths that start with `first::`, without that segment.
    pub fn paths_from(&self, first: &str) -> Vec<Path> {
        let mut paths = Vec::new();
        for (at, reexport) in self.starts_of(first) {
            self.tree(at + 3, &[], reexport, &mut paths);
        }
        paths
    }

    /// All paths that reach the crate's root through `super`, without those segments.
    pub fn paths_from_root_by_super(&self) -> Vec<Path> {
        let depth = self.module().len();
        let mut paths = Vec::new();
        // Inline modules around the token: which of the open braces belong to one.
        let mut braces: Vec<bool> = Vec::new();
        for at in 0..self.tokens.len() {
            match self.punct(at) {
                Some('{') => braces.push(at >= 2 && self.ident(at - 2) == Some("mod")),
                Some('}') => drop(braces.pop()),
                _ => {}
            }
            let is_first = at == 0 || self.punct(at - 1) != Some(':');
            if self.ident(at) != Some("super") || !is_first {
                continue;
            }
            let mut end = at;
            while self.ident(end) == Some("super") && self.is_path_separator(end + 1) {
                end += 3;
            }
            let ups = (end - at) / 3;
            if ups > 0 && ups >= depth + braces.iter().filter(|&&is_mod| is_mod).count() {
                self.tree(end, &[], false, &mut paths);
            }
        }
        paths
    }

    /// Reads a path or a use-tree; returns where it ends.
    fn tree(&self, mut at: usize, prefix: &[String], reexport: bool, paths: &mut Vec<Path>) -> usize {
        if self.punct(at) == Some('{') {
            at += 1;
            while at < self.tokens.len() && self.punct(at) != Some('}') {
                let next = self.tree(at, prefix, reexport, paths);
                // Never stuck, whatever this is.
                at = if next == at { at + 1 } else { next };
                if self.punct(at) == Some(',') {
                    at += 1;
                }
            }
            return at + 1;
        }
        let mut segments = prefix.to_vec();
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        match (self.ident(at), self.punct(at)) {
            (Some(name), _) => segments.push(name.to_owned()),
            (None, Some('*')) => segments.push("*".to_owned()),
            (None, _) => return at,
        }
        at += 1;
        if self.is_path_separator(at)
            && (self.ident(at + 2).is_some() || matches!(self.punct(at + 2), Some('{' | '*')))
        {
            return self.tree(at + 2, &segments, reexport, paths);
        }
        let bang = self.punct(at) == Some('!') && self.punct(at + 1) != Some('=');
        paths.push(Path { line, segments, reexport, bang });
        if self.is_at(at, &["as"]) {
            at += 2;
        }
        at
    }

    /// The names of all functions, with whether an attribute with `test` in it precedes them.
    pub fn functions(&self) -> Vec<(String, bool)> {
        let mut found = Vec::new();
        let mut is_test = false;
        let mut at = 0;
        while at < self.tokens.len() {
            if self.is_at(at, &["#", "["]) {
                let end = (at..self.tokens.len()).find(|&i| self.punct(i) == Some(']')).unwrap_or(at);
                let is_cfg = self.ident(at + 2).is_some_and(|name| name.starts_with("cfg"));
                is_test |= !is_cfg && (at..end).any(|i| self.ident(i) == Some("test"));
                at = end;
            } else if self.ident(at) == Some("fn") {
                if let Some(name) = self.ident(at + 1) {
                    found.push((name.to_owned(), std::mem::take(&mut is_test)));
                }
            } else if matches!(self.punct(at), Some('{' | '}' | ';')) {
                is_test = false;
            }
            at += 1;
        }
        found
    }

    /// The first and last token of each line that has any.
    pub fn lines_of_code(&self) -> BTreeMap<usize, (usize, usize)> {
        let mut lines = BTreeMap::new();
        for (at, token) in self.tokens.iter().enumerate() {
            lines.entry(token.line).or_insert((at, at)).1 = at;
        }
        lines
    }
}

fn lex(text: &str) -> (Vec<Token>, BTreeMap<usize, Comment>) {
    let chars: Vec<char> = text.chars().collect();
    let line_of: Vec<usize> = chars
        .iter()
        .scan(1, |line, &c| {
            let here = *line;
            *line += usize::from(c == '\n');
            Some(here)
        })
        .collect();
    let mut tokens = Vec::new();
    let mut comments = BTreeMap::new();
    let mut at = 0;
    while at < chars.len() {
        let (c, next, line) = (chars[at], chars.get(at + 1).copied(), line_of[at]);
        let from = at;
        match c {
            c if c.is_whitespace() => at += 1,
            '/' if matches!(next, Some('/' | '*')) => {
                at = if next == Some('/') { end_of_line(&chars, at) } else { end_of_block(&chars, at) };
                let text: String = chars[from..at].iter().collect();
                for (i, part) in text.split('\n').enumerate() {
                    comments.insert(line + i, Comment { style: style(&text), text: part.to_owned() });
                }
            }
            '"' => {
                at = end_of_string(&chars, at);
                tokens.push(Token { line, kind: Kind::Other });
            }
            '\'' => {
                at = end_of_quote(&chars, at);
                tokens.push(Token { line, kind: Kind::Other });
            }
            c if is_word(c) => {
                at = (at..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len());
                let word: String = chars[from..at].iter().collect();
                let literal = end_of_prefixed(&chars, &word, at);
                at = literal.unwrap_or(at);
                let is_ident = literal.is_none() && !c.is_numeric();
                tokens.push(Token { line, kind: if is_ident { Kind::Ident(word) } else { Kind::Other } });
            }
            c => {
                tokens.push(Token { line, kind: Kind::Punct(c) });
                at += 1;
            }
        }
    }
    (tokens, comments)
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn style(comment: &str) -> Style {
    if comment.starts_with("//!") || comment.starts_with("/*!") {
        Style::InnerDoc
    } else if (comment.starts_with("///") && !comment.starts_with("////"))
        || (comment.starts_with("/**") && !comment.starts_with("/***") && comment != "/**/")
    {
        Style::OuterDoc
    } else {
        Style::Plain
    }
}

fn end_of_line(chars: &[char], from: usize) -> usize {
    (from..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len())
}

/// Block comments nest.
fn end_of_block(chars: &[char], from: usize) -> usize {
    let mut depth = 0;
    let mut at = from;
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => {
                depth += 1;
                at += 2;
            }
            ('*', Some('/')) => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

fn end_of_string(chars: &[char], quote: usize) -> usize {
    let mut at = quote + 1;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A character or a lifetime.
fn end_of_quote(chars: &[char], quote: usize) -> usize {
    match chars.get(quote + 1) {
        Some('\\') => {
            let closing = (quote + 3..chars.len()).find(|&i| chars[i] == '\'');
            closing.map_or(chars.len(), |closing| closing + 1)
        }
        Some(_) if chars.get(quote + 2) == Some(&'\'') => quote + 3,
        _ => (quote + 1..chars.len()).find(|&i| !is_word(chars[i])).unwrap_or(chars.len()),
    }
}

/// The end of the literal whose prefix (`r`, `b`, `br`, `c`, `cr`) is the `word` that ends at `at`.
fn end_of_prefixed(chars: &[char], word: &str, at: usize) -> Option<usize> {
    let hashes = (at..chars.len()).take_while(|&i| chars[i] == '#').count();
    let is_string = chars.get(at + hashes) == Some(&'"');
    match word {
        "b" | "c" if hashes == 0 && is_string => Some(end_of_string(chars, at)),
        "b" if chars.get(at) == Some(&'\'') => Some(end_of_quote(chars, at)),
        "r" | "br" | "cr" if is_string => {
            let closes = |i: usize| {
                chars[i] == '"' && chars[i + 1..].iter().take_while(|&&c| c == '#').count() >= hashes
            };
            let closing = (at + hashes + 1..chars.len()).find(|&i| closes(i));
            Some(closing.map_or(chars.len(), |closing| closing + 1 + hashes))
        }
        // A raw identifier: the name follows as a word of its own.
        _ => None,
    }
}

#[test]
fn nothing_hides_in_literals_or_comments() {
    let text = r###"
        let a = "crate::net"; // crate::net
        let b = r#"crate::"net"#; /* crate::net /* nested */ crate::net */
        let c = b"\"crate::net"; let d = ('"', '\'', '\\', b'"'); fn f<'a>(x: &'a str) {}
        crate::time
    "###;
    let source = Source::new("src/io/x.rs", text);
    let paths = source.paths_from("crate");
    assert_eq!(paths.len(), 1);
    assert_eq!((paths[0].line, paths[0].segments.join("::")), (5, "time".to_owned()));
    assert_eq!(source.functions(), [("f".to_owned(), false)]);
}

#[test]
fn use_trees_are_spelled_out() {
    let text = "pub(crate) use crate::{a::{b, c as d}, e::*, f}; use crate::g; crate::h!(x); x::crate::y; \
        pub use upstream::k;";
    let source = Source::new("src/io/x.rs", text);
    let paths = source.paths_from("crate");
    let spelled: Vec<_> = paths.iter().map(|p| (p.segments.join("::"), p.reexport, p.bang)).collect();
    let expected = [
        ("a::b", true, false),
        ("a::c", true, false),
        ("e::*", true, false),
        ("f", true, false),
        ("g", false, false),
        ("h", false, true),
    ];
    assert_eq!(spelled, expected.map(|(path, reexport, bang)| (path.to_owned(), reexport, bang)));
    assert!(source.paths_from("upstream")[0].reexport);
}

#[test]
fn super_may_reach_the_root() {
    let text = "use super::core; use super::super::driver; mod tests { use super::*; use super::super::super::io::*; }";
    let source = Source::new("src/net/udp.rs", text);
    let paths: Vec<_> = source.paths_from_root_by_super().iter().map(|p| p.segments.join("::")).collect();
    assert_eq!(paths, ["driver", "io::*"]);
    assert_eq!(Source::new("src/lib.rs", "mod a { use super::*; }").paths_from_root_by_super().len(), 1);
}

#[test]
fn tests_are_told_from_other_functions() {
    let text =
        "#[cfg(test)] fn a() {} #[test] #[ignore] fn b() {} #[tokio::test(x = 1)] async fn c() {} fn d() {}";
    let functions = Source::new("tests/x.rs", text).functions();
    let tests: Vec<_> = functions.iter().map(|(name, is_test)| (name.as_str(), *is_test)).collect();
    assert_eq!(tests, [("a", false), ("b", true), ("c", true), ("d", false)]);
}
