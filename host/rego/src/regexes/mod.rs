//! `regex.*`: patterns of Go's, matched in linear time.

mod globs;
mod states;
mod syntax;

use std::cell::RefCell;

use regex::{Captures, Regex, RegexBuilder};

use crate::arguments::{text, whole};
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "regex.find_n", arguments: 3, call: find_n },
    Builtin { name: "regex.replace", arguments: 3, call: replace },
    Builtin { name: "regex.split", arguments: 2, call: split },
    Builtin { name: "regex.template_match", arguments: 4, call: template_match },
    Builtin { name: "regex.globs_match", arguments: 2, call: globs::overlap },
    Builtin { name: "glob.quote_meta", arguments: 1, call: globs::quote },
];

/// Largest compiled pattern.
const LARGEST_BYTES: usize = 2 << 20;
const DEEPEST: u32 = 100;
/// What compiling costs: for each pattern, and for each of its bytes.
const COMPILE_WORK: (u64, u64) = (20_000, 200);
/// How many compiled patterns a thread keeps. What is found is the same with none.
const KEPT: usize = 16;

thread_local! {
    static COMPILED: RefCell<Vec<(String, Regex)>> = const { RefCell::new(Vec::new()) };
}

/// The pattern, compiled before or now; the work is the same.
pub(crate) fn compiled(context: &Context, pattern: &str) -> Result<Regex, Error> {
    context.work(COMPILE_WORK.0.saturating_add(COMPILE_WORK.1.saturating_mul(pattern.len() as u64)))?;
    context.work(states::work(pattern))?;
    COMPILED.with_borrow_mut(|kept| {
        if let Some(place) = kept.iter().position(|(known, _)| known == pattern) {
            return Ok(kept[place].1.clone());
        }
        let regex = compile(pattern)?;
        if kept.len() == KEPT {
            kept.remove(0);
        }
        kept.push((pattern.to_owned(), regex.clone()));
        Ok(regex)
    })
}

fn compile(pattern: &str) -> Result<Regex, Error> {
    RegexBuilder::new(&syntax::translate(pattern)?)
        .size_limit(LARGEST_BYTES)
        .dfa_size_limit(LARGEST_BYTES)
        .nest_limit(DEEPEST)
        .build()
        .map_err(|error| format!("error parsing regexp: {error}").into())
}

/// What it costs to look through a text, beside what is found.
pub(crate) fn scan(context: &Context, pattern: &str, text: &str) -> Result<(), Error> {
    context.work((text.len() as u64).saturating_mul(1 + pattern.len() as u64 / 16))
}

/// What a find costs: a search may look ahead for nothing.
fn found(context: &Context, text: &str, end: usize) -> Result<(), Error> {
    context.work(32 + (text.len() - end) as u64 / 64)
}

fn find_n(context: &Context, arguments: &[Value]) -> Answer {
    let (pattern, base, number) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?, whole(&arguments[2], 3)?);
    let regex = compiled(context, pattern)?;
    scan(context, pattern, base)?;
    let most = usize::try_from(number).unwrap_or(usize::MAX);
    let mut finds = Vec::new();
    for find in regex.find_iter(base).take(most) {
        found(context, base, find.end())?;
        context.work(find.len() as u64)?;
        finds.push(find.as_str().into());
    }
    Ok(Value::Array(finds))
}

fn split(context: &Context, arguments: &[Value]) -> Answer {
    let (pattern, base) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?);
    let regex = compiled(context, pattern)?;
    scan(context, pattern, base)?;
    if !pattern.is_empty() && base.is_empty() {
        return Ok(vec!["".into()].into());
    }
    let (mut parts, mut start, mut end): (Vec<Value>, _, _) = (Vec::new(), 0, 0);
    for find in regex.find_iter(base) {
        found(context, base, find.end())?;
        end = find.start();
        // An empty find at the very start parts nothing.
        if find.end() != 0 {
            context.work((end - start) as u64)?;
            parts.push(base[start..end].into());
        }
        start = find.end();
    }
    if end != base.len() {
        parts.push(base[start..].into());
    }
    Ok(Value::Array(parts))
}

fn replace(context: &Context, arguments: &[Value]) -> Answer {
    let (base, pattern, with) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?, text(&arguments[2], 3)?);
    let regex = compiled(context, pattern)?;
    scan(context, pattern, base)?;
    let (mut out, mut start) = (String::new(), 0);
    // How long a replacement gets at most: each reference is two bytes or more.
    let references = with.matches('$').count() as u64;
    for captures in regex.captures_iter(base) {
        let Some(find) = captures.get(0) else { continue };
        found(context, base, find.end())?;
        context.work(with.len() as u64 + references.saturating_mul(find.len() as u64))?;
        out.push_str(&base[start..find.start()]);
        expand(with, &captures, &mut out);
        start = find.end();
    }
    out.push_str(&base[start..]);
    Ok(out.into())
}

/// Writes a replacement: `$name`, `${name}` and `$$`, with names as long as they can be.
fn expand(with: &str, captures: &Captures, out: &mut String) {
    let mut rest = with;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        rest = after;
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let braced = rest.starts_with('{');
        let inside = &rest[usize::from(braced)..];
        let is_name = |character: char| character == '_' || character.is_alphanumeric();
        let (name, after) = inside.split_at(inside.find(|character| !is_name(character)).unwrap_or(inside.len()));
        let after = if braced { after.strip_prefix('}') } else { Some(after) };
        match after.filter(|_| !name.is_empty()) {
            Some(after) => {
                let place = name.parse::<usize>().ok().filter(|_| name == "0" || !name.starts_with('0'));
                let group = place.map_or_else(|| captures.name(name), |place| captures.get(place));
                out.push_str(group.map_or("", |group| group.as_str()));
                rest = after;
            }
            None => out.push('$'),
        }
    }
    out.push_str(rest);
}

/// A text with patterns between delimiters, and whether it matches another from start to end.
fn template_match(context: &Context, arguments: &[Value]) -> Answer {
    let (layout, base) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?);
    let delimiter = |place: usize| match text(&arguments[place], place + 1)?.as_bytes() {
        [byte] => Ok(*byte),
        _ => Err(Error::from("a delimiter has to be exactly one character long")),
    };
    let (open, close) = (delimiter(2)?, delimiter(3)?);
    context.work(layout.len() as u64)?;
    let unbalanced = || Error::from("unbalanced braces");
    let (mut pattern, mut depth, mut start, mut end) = ("^".to_owned(), 0_usize, 0, 0);
    for (at, byte) in layout.bytes().enumerate() {
        if byte == open {
            depth += 1;
            if depth == 1 {
                start = at;
            }
        } else if byte == close {
            depth = depth.checked_sub(1).ok_or_else(unbalanced)?;
            if depth == 0 {
                let inside = &layout[start + 1..at];
                compiled(context, &format!("^{inside}$"))?;
                pattern += &format!("{}({inside})", regex::escape(&layout[end..start]));
                end = at + 1;
            }
        }
    }
    if depth != 0 {
        return Err(unbalanced());
    }
    pattern += &format!("{}$", regex::escape(&layout[end..]));
    let regex = compiled(context, &pattern)?;
    scan(context, &pattern, base)?;
    Ok(regex.is_match(base).into())
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, call, check};

    #[test]
    fn patterns_are_those_of_go() {
        check(&[
            ("regex.find_n", r#"["[oa]+", "foo bar", -1]"#, Some(r#"["oo","a"]"#)),
            ("regex.find_n", r#"["a*", "baac", -1]"#, Some(r#"["","aa",""]"#)),
            ("regex.find_n", r#"["\\w|\\d", "é1", 5]"#, Some(r#"["1"]"#)),
            ("regex.find_n", r#"["[[&&a]", "[b&", -1]"#, Some(r#"["[","&"]"#)),
            ("regex.find_n", r#"["a{,2}|\\Q.*\\E", "a{,2}.*", -1]"#, Some(r#"["a{,2}",".*"]"#)),
            ("regex.find_n", r#"["a", "a", 0]"#, Some("[]")),
            ("regex.find_n", r#"["a**", "a", 1]"#, None),
            ("regex.find_n", r#"["a{1001}", "a", 1]"#, None),
            ("regex.find_n", r#"["(?x)a", "a", 1]"#, None),
            ("regex.find_n", r#"["(?=a)", "a", 1]"#, None),
            ("regex.split", r#"["/", "foo/bar/"]"#, Some(r#"["foo","bar",""]"#)),
            ("regex.split", r#"["", "ab"]"#, Some(r#"["a","b"]"#)),
            ("regex.split", r#"["a*", ""]"#, Some(r#"[""]"#)),
            ("regex.replace", r#"["-wy-wxxy-", "w(x*)y", "$1x$0${1}$$"]"#, Some(r#""-wy$-wxxyxx$-""#)),
            ("regex.replace", r#"["foo", "[", "x"]"#, None),
            ("regex.template_match", r#"["urn:foo:{.*}", "urn:foo:bar", "{", "}"]"#, Some("true")),
            ("regex.template_match", r#"["urn.{[a-z]{2}}", "urn_ab", "{", "}"]"#, Some("false")),
            ("regex.template_match", r#"["{a", "a", "{", "}"]"#, None),
            ("regex.template_match", r#"["a", "a", "{{", "}"]"#, None),
        ]);
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        let long = "a".repeat(100_000);
        bounded(&[
            ("regex.find_n", format!("[\"{long}\", \"\", 1]")),
            ("regex.find_n", format!("[\"\", \"{long}\", -1]")),
            ("regex.replace", format!("[\"{long}\", \"a*\", \"{}\"]", "$0".repeat(100))),
            ("regex.split", format!("[\"\", \"{long}\"]")),
        ]);
        for pattern in ["(((a{1000}){1000}){1000})", &"(".repeat(3000), r"[\\pL]{1000}[\\pL]{1000}[\\pL]{1000}"] {
            assert!(call("regex.find_n", &format!("[\"{pattern}\", \"a\", 1]")).is_err(), "{pattern}");
        }
    }
}
