//! Texts: beginnings and ends, occurrences, parts.

use crate::arguments::{text, texts, whole, wrong};
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "strings.any_prefix_match", arguments: 2, call: any_prefix },
    Builtin { name: "strings.any_suffix_match", arguments: 2, call: any_suffix },
    Builtin { name: "strings.count", arguments: 2, call: count },
    Builtin { name: "strings.split_n", arguments: 3, call: split_n },
    Builtin { name: "indexof_n", arguments: 2, call: indexes },
    Builtin { name: "trace", arguments: 1, call: trace },
];

fn any_prefix(context: &Context, arguments: &[Value]) -> Answer {
    any(context, arguments, |text, affix| text.starts_with(affix))
}

fn any_suffix(context: &Context, arguments: &[Value]) -> Answer {
    any(context, arguments, |text, affix| text.ends_with(affix))
}

fn any(context: &Context, arguments: &[Value], matches: fn(&str, &str) -> bool) -> Answer {
    let list = |place: usize| match &arguments[place] {
        Value::String(text) => Ok(vec![text.as_str()]),
        value @ (Value::Array(_) | Value::Set(_)) => texts(context, value, place + 1),
        value => Err(wrong(value, place + 1, "one of {string, set, array}")),
    };
    let (texts, affixes) = (list(0)?, list(1)?);
    for text in texts {
        for affix in &affixes {
            context.work(1 + affix.len().min(text.len()) as u64)?;
            if matches(text, affix) {
                return Ok(true.into());
            }
        }
    }
    Ok(false.into())
}

/// How many times a text occurs without overlap; the empty one does around every character.
fn count(context: &Context, arguments: &[Value]) -> Answer {
    let (base, search) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?);
    context.work((base.len() + search.len()) as u64)?;
    Ok((base.matches(search).count() as i64).into())
}

/// The first parts between delimiters; the last ones where their number is below zero.
fn split_n(context: &Context, arguments: &[Value]) -> Answer {
    let (base, delimiter, number) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?, whole(&arguments[2], 3)?);
    // What a part costs beside its bytes.
    const PART: u64 = 32;
    context.work(base.len() as u64 + delimiter.len() as u64)?;
    let parts = parts(base, delimiter);
    let amount = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
    let skipped = if number < 0 { parts.clone().count().saturating_sub(amount) } else { 0 };
    let mut kept = Vec::new();
    for part in parts.skip(skipped).take(amount) {
        context.work(PART)?;
        kept.push(part.into());
    }
    Ok(Value::Array(kept))
}

/// As Go splits: an empty delimiter parts the characters.
fn parts<'a>(base: &'a str, delimiter: &'a str) -> impl Iterator<Item = &'a str> + Clone {
    let ends = delimiter.is_empty();
    let split = (!ends).then(|| base.split(delimiter)).into_iter().flatten();
    let characters = base.char_indices().map(|(at, character)| &base[at..at + character.len_utf8()]);
    split.chain(characters.take(if ends { usize::MAX } else { 0 }))
}

/// At which characters a text begins, overlapping or not.
fn indexes(context: &Context, arguments: &[Value]) -> Answer {
    let (base, search) = (text(&arguments[0], 1)?, text(&arguments[1], 2)?);
    if search.is_empty() {
        return Err(Error::from("empty search character"));
    }
    let mut found: Vec<Value> = Vec::new();
    for (character, (at, _)) in base.char_indices().enumerate() {
        context.work(1)?;
        // Compared only where the first byte is right, so that a search is about linear.
        if base.as_bytes()[at] == search.as_bytes()[0] {
            context.work(search.len() as u64)?;
            if base[at..].starts_with(search) {
                found.push((character as i64).into());
            }
        }
    }
    Ok(Value::Array(found))
}

/// Says a text where OPA is asked to explain itself, and is true. Here nobody listens.
fn trace(_: &Context, arguments: &[Value]) -> Answer {
    text(&arguments[0], 1).map(|_| true.into())
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn texts_are_looked_through_as_opa_does() {
        check(&[
            ("strings.any_prefix_match", r#"["a/b", ["x", "a/"]]"#, Some("true")),
            ("strings.any_prefix_match", r#"[{"b", "c"}, {"a"}]"#, Some("false")),
            ("strings.any_prefix_match", r#"["a", ""]"#, Some("true")),
            ("strings.any_prefix_match", r#"["a", ["a", 1]]"#, None),
            ("strings.any_suffix_match", r#"[["x.gz"], ".gz"]"#, Some("true")),
            ("strings.any_suffix_match", "[1, []]", None),
            ("strings.count", r#"["aaa", "aa"]"#, Some("1")),
            ("strings.count", r#"["aé", ""]"#, Some("3")),
            ("strings.split_n", r#"["a,b,c", ",", 2]"#, Some(r#"["a","b"]"#)),
            ("strings.split_n", r#"["a,b,c", ",", -2]"#, Some(r#"["b","c"]"#)),
            ("strings.split_n", r#"["abé", "", -9223372036854775808]"#, Some(r#"["a","b","é"]"#)),
            ("strings.split_n", r#"["abc", ",", 0]"#, Some("[]")),
            ("strings.split_n", r#"["abc", ",", 1.5]"#, None),
            ("indexof_n", r#"["aaaé€é", "aa"]"#, Some("[0,1]")),
            ("indexof_n", r#"["aaaé€é", "é"]"#, Some("[3,5]")),
            ("indexof_n", r#"["a", ""]"#, None),
            ("trace", r#"["a"]"#, Some("true")),
            ("trace", "[1]", None),
        ]);
    }

    #[test]
    fn what_is_hostile_ends_within_its_bound() {
        let (long, many) = ("a".repeat(50_000), format!("[{}\"\"]", "\"aab\",".repeat(5_000)));
        bounded(&[
            ("strings.any_prefix_match", format!("[{many}, {}]", many.replace("\"\"", "\"b\"").replace("aab", "bb"))),
            ("strings.any_suffix_match", format!("[{many}, {}]", many.replace("\"\"", "\"a\"").replace("aab", "a"))),
            ("strings.split_n", format!("[\"{long}\", \"\", 99999999999]")),
            ("indexof_n", format!("[\"{long}\", \"{}\"]", &long[..20_000])),
        ]);
    }
}
