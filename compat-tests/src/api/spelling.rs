//! One spelling for what can be written in several ways.
//!
//! - `Self` in a signature is the type;
//! - the aliases `io::Result` and `c_int` are what they stand for;
//! - bounds stand in a `where` clause, in alphabetical order, wherever they were written;
//! - a lifetime that an `impl` names and uses once is `'_`, in the lines of its methods too;
//! - `+ use<>` is what edition 2021 means by a bare `-> impl Trait`.

use std::collections::BTreeMap;

/// Rewrites a rendered item. `container` is the type whose method it is.
pub fn normalize(line: &str, container: Option<&str>) -> String {
    let mut text = aliases(line);
    if let Some(container) = container {
        text = replace_word(&text, "Self", container);
    }
    if text.contains("-> impl ") && !text.contains("use<") {
        text += " + use<>";
    }
    gather_bounds(&anonymous_lifetimes(&text))
}

fn anonymous_lifetimes(line: &str) -> String {
    let mut text = line.to_owned();
    let Some(rest) = line.strip_prefix("impl<") else {
        // Of a method's line the `impl` is not part: its lifetime is named where it is used.
        let uses: Vec<_> = line.match_indices("<'a>::").collect();
        if let [(at, _)] = uses.as_slice()
            && line.matches("'a").count() == 1
        {
            text.replace_range(at + 1..at + 3, "'_");
        }
        return text;
    };
    for name in rest.split([',', '>']).map(str::trim).take_while(|name| name.starts_with('\'')) {
        let uses = text.match_indices(name).filter(|(at, _)| !text[at + name.len()..].starts_with(is_word));
        let places: Vec<usize> = uses.map(|(at, _)| at).collect();
        if let [declared, used] = places.as_slice() {
            text.replace_range(*used..used + name.len(), "'_");
            let after = &text[declared + name.len()..];
            let gap = if after.starts_with(", ") { 2 } else { 0 };
            text.replace_range(*declared..declared + name.len() + gap, "");
        }
    }
    match text.strip_prefix("impl<> ") {
        Some(rest) => format!("impl {rest}"),
        None => text,
    }
}

fn aliases(line: &str) -> String {
    let mut text = line.to_owned();
    for c_int in ["core::ffi::primitives::c_int", "std::os::raw::c_int"] {
        text = text.replace(c_int, "i32");
    }
    const ALIAS: &str = "std::io::error::Result<";
    while let Some(start) = text.find(ALIAS) {
        let open = start + ALIAS.len() - 1;
        let Some(close) = closing(&text, open) else { break };
        text.insert_str(close, ", std::io::error::Error");
        text.replace_range(start..open, "core::result::Result");
    }
    text
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Replaces `word` where it stands alone: not inside a longer name, not before `::`.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let after = &rest[at + word.len()..];
        let alone = !rest[..at].ends_with(is_word)
            && !rest[..at].ends_with('\'')
            && !after.starts_with(is_word)
            && !after.starts_with("::");
        out += &rest[..at];
        out += if alone { by } else { word };
        rest = after;
    }
    out + rest
}

/// The index of the bracket that closes the one at `open`.
pub fn closing(text: &str, open: usize) -> Option<usize> {
    let mut depth = 0usize;
    let bytes = text.as_bytes();
    for (index, &byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            b'>' if index > 0 && bytes[index - 1] == b'-' => {}
            b'>' | b')' | b']' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// Splits at `separator` outside of all brackets.
fn split(text: &str, separator: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut depth = 0i32;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if depth == 0 && rest.starts_with(separator) {
            parts.push(String::new());
            rest = &rest[separator.len()..];
            continue;
        }
        let part = parts.last_mut().expect("never empty");
        match c {
            '<' | '(' | '[' => depth += 1,
            '>' if part.ends_with('-') => {}
            '>' | ')' | ']' => depth -= 1,
            _ => {}
        }
        part.push(c);
        rest = &rest[c.len_utf8()..];
    }
    parts.into_iter().map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// Where the generics of an item open: after `impl`, or after the name of a function, type, trait.
fn generics(line: &str) -> Option<usize> {
    if line.starts_with("impl<") {
        return Some("impl".len());
    }
    if line.starts_with("impl") {
        return None;
    }
    // The last path segment before the arguments or a space: the generics inside a path, as of
    // `tokio::io::Take<R>::get_ref`, are followed by `::`.
    let mut at = line.find("tokio::")?;
    loop {
        let next = at + line[at..].find(['<', '(', ' ', ':', '='])?;
        match line.as_bytes()[next] {
            b'<' => {
                let close = closing(line, next)?;
                if !line[close + 1..].starts_with("::") {
                    return Some(next);
                }
                at = close + 3;
            }
            b':' if line[next..].starts_with("::") => at = next + 2,
            _ => return None,
        }
    }
}

fn gather_bounds(line: &str) -> String {
    let (head, clause) = match line.split_once(" where ") {
        Some((head, clause)) => (head.to_owned(), clause),
        None => (line.to_owned(), ""),
    };
    let mut bounds: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut note = |parameter: &str, wanted: &str| {
        let list = bounds.entry(parameter.to_owned()).or_default();
        list.extend(split(wanted, " + "));
        list.sort();
        list.dedup();
    };
    for bound in split(clause, ",") {
        if let [parameter, wanted] = split(&bound, ": ").as_slice() {
            note(parameter, wanted);
        }
    }
    let mut out = head.clone();
    if let Some(open) = generics(&head)
        && let Some(close) = closing(&head, open)
    {
        let mut names = Vec::new();
        for parameter in split(&head[open + 1..close], ",") {
            match split(&parameter, ": ").as_slice() {
                [name, wanted] if !name.starts_with("const ") => {
                    note(name, wanted);
                    names.push(name.clone());
                }
                _ => names.push(parameter),
            }
        }
        out.replace_range(open + 1..close, &names.join(", "));
    }
    let clause: Vec<_> =
        bounds.iter().map(|(parameter, list)| format!("{parameter}: {}", list.join(" + "))).collect();
    if clause.is_empty() { out } else { format!("{out} where {}", clause.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_end_in_one_place() {
        let a = "impl<T: b::B + a::A> x::Y for tokio::Z<T>";
        let b = "impl<T> x::Y for tokio::Z<T> where T: a::A + b::B";
        assert_eq!(normalize(a, None), normalize(b, None));
        let a = "pub fn tokio::J<T>::extend<I: It<Item = F>>(&mut self, I)";
        let b = "pub fn tokio::J<T>::extend<I>(&mut self, I) where I: It<Item = F>";
        assert_eq!(normalize(a, None), normalize(b, None));
        let a = "pub fn tokio::f<F: Fn(u8) -> u8, T>(F) where T: A";
        assert_eq!(normalize(a, None), "pub fn tokio::f<F, T>(F) where F: Fn(u8) -> u8, T: A");
        assert_ne!(normalize("impl<T: A> B for T", None), normalize("impl<T> B for T", None));
    }

    #[test]
    fn a_lifetime_used_once_needs_no_name() {
        assert_eq!(normalize("impl<'a, T> A for tokio::G<'a, T>", None), "impl<T> A for tokio::G<'_, T>");
        assert_eq!(normalize("impl<'a> A for tokio::G<'a>", None), "impl A for tokio::G<'_>");
        assert_eq!(normalize("pub fn tokio::M<'a>::id(&self)", None), "pub fn tokio::M<'_>::id(&self)");
        let kept = "pub fn tokio::M<'a>::id(&self) -> &'a str";
        assert_eq!(normalize(kept, None), kept);
        let twice = "impl<'a> A<'a> for tokio::G<'a>";
        assert_eq!(normalize(twice, None), twice);
    }

    #[test]
    fn self_is_the_type() {
        let line = "pub fn tokio::J<T>::new() -> Self";
        assert_eq!(normalize(line, Some("tokio::J<T>")), "pub fn tokio::J<T>::new() -> tokio::J<T>");
        assert_eq!(normalize("fn f() -> Self::Output", Some("X")), "fn f() -> Self::Output");
    }

    #[test]
    fn aliases_are_seen_through() {
        assert_eq!(
            normalize("pub fn tokio::f() -> Option<std::io::error::Result<Vec<u8>>>", None),
            "pub fn tokio::f() -> Option<core::result::Result<Vec<u8>, std::io::error::Error>>"
        );
    }
}
