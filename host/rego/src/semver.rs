//! `semver.compare` and `semver.is_valid`: versions as in Semantic Versioning 2.0, with a `v` before them where one likes.

use std::cmp::Ordering;

use crate::arguments::text;
use crate::value::Value;
use crate::{Answer, Builtin, Context, Error};

pub(crate) const FUNCTIONS: &[Builtin] = &[
    Builtin { name: "semver.compare", arguments: 2, call: compare },
    Builtin { name: "semver.is_valid", arguments: 1, call: is_valid },
];

fn compare(context: &Context, arguments: &[Value]) -> Answer {
    let version = |place: usize| {
        let text = text(&arguments[place], place + 1)?;
        context.work(text.len() as u64)?;
        Version::parse(text)
            .ok_or_else(|| Error::from(format!("operand {}: string {text:.80} is not a valid SemVer", place + 1)))
    };
    Ok((version(0)?.compare(&version(1)?) as i64).into())
}

fn is_valid(context: &Context, arguments: &[Value]) -> Answer {
    let Some(text) = arguments[0].as_str() else {
        return Ok(false.into());
    };
    context.work(text.len() as u64)?;
    Ok(Version::parse(text).is_some().into())
}

struct Version<'a> {
    numbers: [i64; 3],
    pre_release: &'a str,
}

impl<'a> Version<'a> {
    fn parse(text: &'a str) -> Option<Version<'a>> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (text, metadata) = text.split_once('+').map_or((text, None), |(text, metadata)| (text, Some(metadata)));
        let (text, pre_release) = text.split_once('-').map_or((text, None), |(text, pre)| (text, Some(pre)));
        let padded = |part: &str| part.len() > 1 && part.starts_with('0') && is_number(part);
        if !metadata.is_none_or(identifiers)
            || !pre_release.is_none_or(|pre| identifiers(pre) && !pre.split('.').any(padded))
        {
            return None;
        }
        let number = |part: &str| if is_number(part) && !padded(part) { part.parse().ok() } else { None };
        let numbers = text.split('.').map(number).collect::<Option<Vec<i64>>>()?;
        Some(Version { numbers: numbers.try_into().ok()?, pre_release: pre_release.unwrap_or_default() })
    }

    fn compare(&self, other: &Version) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        let released = self.pre_release.is_empty().cmp(&other.pre_release.is_empty());
        let (ours, theirs) = (self.pre_release.split('.'), other.pre_release.split('.'));
        numbers.then(released).then_with(|| {
            let (mut ours, mut theirs) = (ours, theirs);
            loop {
                match (ours.next(), theirs.next()) {
                    (Some(one), Some(another)) if one == another => {}
                    (Some(one), Some(another)) => return part(one, another),
                    (one, another) => return one.is_some().cmp(&another.is_some()),
                }
            }
        })
    }
}

/// Numbers come before texts.
fn part(one: &str, another: &str) -> Ordering {
    // Of what is beyond 64 bits, OPA compares the largest number instead.
    let value = |part: &str| part.parse::<i64>().unwrap_or(i64::MAX);
    match (is_number(one), is_number(another)) {
        (true, true) => value(one).cmp(&value(another)),
        (false, false) => one.cmp(another),
        (one, _) => {
            if one {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn identifiers(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn versions_are_those_of_opa() {
        check(&[
            ("semver.compare", r#"["1.0.0", "v1.0.0+x"]"#, Some("0")),
            ("semver.compare", r#"["1.0.0-alpha.1", "1.0.0-alpha"]"#, Some("1")),
            ("semver.compare", r#"["1.0.0-2", "1.0.0-11"]"#, Some("-1")),
            ("semver.compare", r#"["1.0.0-2", "1.0.0-a"]"#, Some("-1")),
            ("semver.compare", r#"["1.0.0-rc", "1.0.0"]"#, Some("-1")),
            ("semver.compare", r#"["1.10.0", "1.9.0"]"#, Some("1")),
            ("semver.compare", r#"["1.0", "1.0.0"]"#, None),
            ("semver.compare", r#"[1, "1.0.0"]"#, None),
            ("semver.is_valid", "[1]", Some("false")),
            ("semver.is_valid", r#"["1.0.0-01"]"#, Some("false")),
            ("semver.is_valid", r#"["1.0.0-0a.-+01"]"#, Some("true")),
            ("semver.is_valid", r#"["01.0.0"]"#, Some("false")),
            ("semver.is_valid", r#"["1.0.9223372036854775808"]"#, Some("false")),
            ("semver.is_valid", r#"["1.0.+1"]"#, Some("false")),
        ]);
        bounded(&[("semver.is_valid", format!("[\"{}\"]", "1.".repeat(1_000_000)))]);
    }
}
