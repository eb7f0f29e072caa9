//! Go's notation of patterns in that of the crate: what both have and mean differently.

use crate::Error;

/// Go's largest count of repetitions.
const MOST_REPEATS: u32 = 1000;

pub(super) fn translate(pattern: &str) -> Result<String, Error> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    // Whether the last piece was a repetition, which no other may follow.
    let mut repeats = false;
    while let Some(first) = rest.chars().next() {
        let repeated = std::mem::take(&mut repeats);
        match first {
            '\\' => rest = escape(&rest[1..], false, &mut out)?,
            '[' => rest = class(rest, &mut out)?,
            '(' => rest = group(rest, &mut out)?,
            '*' | '+' | '?' | '{' => match repetition(rest)? {
                Some(length) if repeated => {
                    return Err(format!("invalid nested repetition operator: `{:.20}`", &rest[..length]).into());
                }
                Some(length) => {
                    let lazy = usize::from(rest[length..].starts_with('?'));
                    out.push_str(&rest[..length + lazy]);
                    rest = &rest[length + lazy..];
                    repeats = true;
                }
                None => {
                    out.push_str("\\{");
                    rest = &rest[1..];
                }
            },
            _ => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Ok(out)
}

/// The length of a repetition; none for a brace that is none.
fn repetition(rest: &str) -> Result<Option<usize>, Error> {
    let Some(inside) = rest.strip_prefix('{') else {
        return Ok(Some(1));
    };
    let Some(end) = inside.find('}') else {
        return Ok(None);
    };
    let (least, most) =
        inside[..end].split_once(',').map_or((&inside[..end], None), |(least, most)| (least, Some(most)));
    let number = |text: &str| !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    if !number(least) || !most.is_none_or(|most| most.is_empty() || number(most)) {
        return Ok(None);
    }
    let large = |text: &str| text.parse::<u32>().map_or(true, |count| count > MOST_REPEATS);
    if large(least) || most.is_some_and(|most| !most.is_empty() && large(most)) {
        return Err("invalid repeat count".into());
    }
    Ok(Some(end + 2))
}

/// Flags that Go does not have are errors.
fn group<'a>(rest: &'a str, out: &mut String) -> Result<&'a str, Error> {
    out.push('(');
    let inside = &rest[1..];
    if let Some(flags) = inside.strip_prefix('?') {
        let end = flags.find([':', ')', '<', 'P']).unwrap_or(flags.len());
        if flags[..end].contains(|flag: char| !"imsU-".contains(flag)) {
            return Err("invalid or unsupported Perl syntax".into());
        }
    }
    Ok(inside)
}

/// What follows a backslash; Go's classes are of ASCII.
fn escape<'a>(rest: &'a str, in_class: bool, out: &mut String) -> Result<&'a str, Error> {
    let Some(first) = rest.chars().next() else {
        return Err("trailing backslash at end of expression".into());
    };
    let after = &rest[first.len_utf8()..];
    let (inside, negated) = match first {
        'd' => ("0-9", false),
        'D' => ("0-9", true),
        'w' => ("0-9A-Za-z_", false),
        'W' => ("0-9A-Za-z_", true),
        's' => (r"\t\n\f\r ", false),
        'S' => (r"\t\n\f\r ", true),
        'Q' if !in_class => {
            let (text, after) = after.split_once("\\E").unwrap_or((after, ""));
            out.push_str(&regex::escape(text));
            return Ok(after);
        }
        'b' | 'B' if !in_class => {
            out.push_str(&format!(r"(?-u:\{first})"));
            return Ok(after);
        }
        '0'..='7' if first == '0' || after.starts_with(|digit: char| digit.is_digit(8)) => {
            let length = rest.bytes().take(3).take_while(|digit| (b'0'..=b'7').contains(digit)).count();
            let code = u32::from_str_radix(&rest[..length], 8).unwrap_or(0);
            out.push_str(&format!(r"\x{{{code:x}}}"));
            return Ok(&rest[length..]);
        }
        'p' | 'P' | 'x' if after.starts_with('{') => {
            let end = after.find('}').ok_or("invalid character class range")?;
            let (inside, negated) =
                after[1..end].strip_prefix('^').map_or((&after[1..end], false), |name| (name, true));
            let letter = match first {
                'p' if negated => 'P',
                'P' if negated => 'p',
                _ => first,
            };
            out.push_str(&format!("\\{letter}{{{inside}}}"));
            return Ok(&after[end + 1..]);
        }
        'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'p' | 'P' => return Ok(push(first, after, out)),
        'A' | 'z' if !in_class => return Ok(push(first, after, out)),
        _ if first.is_ascii() && !first.is_ascii_alphanumeric() && first != '<' && first != '>' => {
            return Ok(push(first, after, out));
        }
        '<' | '>' => {
            out.push(first);
            return Ok(after);
        }
        _ => return Err(format!("invalid escape sequence: `\\{first}`").into()),
    };
    shorthand(inside, negated, in_class, out);
    Ok(after)
}

/// The characters that a shorthand stands for, as a class of their own where they do not stand in one.
fn shorthand(inside: &str, negated: bool, in_class: bool, out: &mut String) {
    let (open, close) = match (negated, in_class) {
        (true, _) => ("[^", "]"),
        (false, true) => ("", ""),
        (false, false) => ("[", "]"),
    };
    out.extend([open, inside, close]);
}

fn push<'a>(escaped: char, after: &'a str, out: &mut String) -> &'a str {
    out.extend(['\\', escaped]);
    after
}

/// Within brackets, signs that make sets of sets are plain ones for Go.
fn class<'a>(rest: &'a str, out: &mut String) -> Result<&'a str, Error> {
    let mut rest = &rest[1..];
    out.push('[');
    if let Some(negated) = rest.strip_prefix('^') {
        out.push('^');
        rest = negated;
    }
    if let Some(after) = rest.strip_prefix(']') {
        out.push_str("\\]");
        rest = after;
    }
    loop {
        let Some(first) = rest.chars().next() else {
            return Err("missing closing ]".into());
        };
        let after = &rest[first.len_utf8()..];
        rest = match first {
            ']' => {
                out.push(']');
                return Ok(after);
            }
            '\\' => escape(after, true, out)?,
            '[' if after.starts_with(':') => match after.find(":]") {
                Some(end) => {
                    out.push('[');
                    out.push_str(&after[..end + 2]);
                    &after[end + 2..]
                }
                None => push('[', after, out),
            },
            '[' | '&' | '~' => push(first, after, out),
            '-' if out.ends_with(['[', '^']) && after.starts_with('-') => push(first, after, out),
            _ => {
                out.push(first);
                after
            }
        };
    }
}
