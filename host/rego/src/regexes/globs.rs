//! `regex.globs_match`: whether two patterns of characters, `.`, sets, `+` and `*` have a text in common; `glob.quote_meta`.
//!
//! The answers, also the odd ones, are those of the library OPA uses: it goes through both patterns together and, behind a
//! star, tries only what the next token could take.

use std::collections::BTreeSet;

use crate::arguments::text;
use crate::value::Value;
use crate::{Answer, Context, Error};

/// Deepest nesting of stars within stars.
const DEEPEST: usize = 1000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    One(char),
    Any,
    Of(BTreeSet<char>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    None,
    Plus,
    Star,
}

#[derive(Debug, Clone)]
struct Token {
    kind: Kind,
    flag: Flag,
}

pub(super) fn quote(context: &Context, arguments: &[Value]) -> Answer {
    let pattern = text(&arguments[0], 1)?;
    context.work(2 * pattern.len() as u64)?;
    let mut out = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        if r"\*?[]{}".contains(character) {
            out.push('\\');
        }
        out.push(character);
    }
    Ok(out.into())
}

pub(super) fn overlap(context: &Context, arguments: &[Value]) -> Answer {
    let one = tokens(context, text(&arguments[0], 1)?)?;
    let another = tokens(context, text(&arguments[1], 2)?)?;
    Ok(trimmed(context, &one, &another)?.into())
}

/// Goes on with what is between plain tokens at both ends, where those match.
fn trimmed(context: &Context, one: &[Token], another: &[Token]) -> Result<bool, Error> {
    let plain = |pair: &(&Token, &Token)| pair.0.flag == Flag::None && pair.1.flag == Flag::None;
    let mut left = 0;
    for (token, other) in one.iter().zip(another).take_while(plain) {
        if !matches(context, token, other)? {
            return Ok(false);
        }
        left += 1;
    }
    // One token stays at each end.
    let left = usize::saturating_sub(left, 1);
    let mut right = 0;
    let (ones, others) = (one.get(left..).unwrap_or_default(), another.get(left..).unwrap_or_default());
    for (token, other) in ones.iter().rev().zip(others.iter().rev()).take_while(plain) {
        if !matches(context, token, other)? {
            return Ok(false);
        }
        right += 1;
    }
    let right = usize::saturating_sub(right, 1);
    normal(context, &ones[..ones.len() - right], &others[..others.len() - right], 0)
}

fn matches(context: &Context, one: &Token, another: &Token) -> Result<bool, Error> {
    Ok(match (&one.kind, &another.kind) {
        (Kind::One(one), Kind::One(another)) => one == another,
        (Kind::Of(set), Kind::One(one)) | (Kind::One(one), Kind::Of(set)) => {
            context.work(16)?;
            set.contains(one)
        }
        (Kind::Of(one), Kind::Of(another)) => {
            context.work((one.len() + another.len()) as u64)?;
            !one.is_disjoint(another)
        }
        (Kind::Any, _) | (_, Kind::Any) => true,
    })
}

fn normal(context: &Context, one: &[Token], another: &[Token], depth: usize) -> Result<bool, Error> {
    for (place, (token, other)) in one.iter().zip(another).enumerate() {
        context.work(1)?;
        let (rest, others) = (&one[place..], &another[place..]);
        match (token.flag, other.flag) {
            (Flag::None, Flag::None) => {
                if !matches(context, token, other)? {
                    return Ok(false);
                }
            }
            (Flag::Plus, _) => return plus(context, rest, others, depth),
            (Flag::Star, _) => return star(context, rest, others, depth),
            (Flag::None, Flag::Plus) => return plus(context, others, rest, depth),
            (Flag::None, Flag::Star) => return star(context, others, rest, depth),
        }
    }
    Ok(one.len() == another.len())
}

/// The first token takes one or more of the other pattern's.
fn plus(context: &Context, plussed: &[Token], other: &[Token], depth: usize) -> Result<bool, Error> {
    if !matches(context, &plussed[0], &other[0])? {
        return Ok(false);
    }
    if star(context, plussed, &other[1..], depth)? {
        return Ok(true);
    }
    Ok(other[0].flag != Flag::None && normal(context, &plussed[1..], other, depth + 1)?)
}

/// The first token takes as many as it likes, up to one that the token behind it could take.
fn star(context: &Context, starred: &[Token], other: &[Token], depth: usize) -> Result<bool, Error> {
    if depth == DEEPEST {
        return Err(Error::Exhausted);
    }
    for (place, token) in other.iter().enumerate() {
        context.work(1)?;
        if let Some(next) = starred.get(1)
            && matches(context, token, next)?
            && normal(context, &starred[1..], &other[place..], depth + 1)?
        {
            return Ok(true);
        }
        if !matches(context, token, &starred[0])? {
            return Ok(false);
        }
    }
    Ok(starred.len() == 1)
}

fn tokens(context: &Context, pattern: &str) -> Result<Vec<Token>, Error> {
    /// What a token takes beside its characters.
    const TOKEN: u64 = 64;
    let mut reader = Reader { characters: pattern.chars().collect(), at: 0 };
    let mut tokens: Vec<Token> = Vec::new();
    while let Some((character, escaped)) = reader.next()? {
        context.work(TOKEN)?;
        let kind = match character {
            _ if escaped => Kind::One(character),
            '.' => Kind::Any,
            '[' => Kind::Of(reader.set(context)?),
            ']' | '+' | '*' => return Err("the input provided is invalid".into()),
            _ => Kind::One(character),
        };
        let flag = match reader.characters.get(reader.at) {
            Some('+') => Flag::Plus,
            Some('*') => Flag::Star,
            // Also a flag is looked for behind what would be an escape.
            Some('\\') if reader.at + 1 == reader.characters.len() => {
                return Err("input ends with a \\ (escape) character".into());
            }
            _ => Flag::None,
        };
        reader.at += usize::from(flag != Flag::None);
        match tokens.last_mut() {
            // The same twice is the same once.
            Some(last) if flag != Flag::None && last.flag != Flag::None && last.kind == kind => {
                if flag == Flag::Plus {
                    last.flag = Flag::Plus;
                }
            }
            _ => tokens.push(Token { kind, flag }),
        }
    }
    Ok(tokens)
}

struct Reader {
    characters: Vec<char>,
    at: usize,
}

impl Reader {
    /// A character, and whether it was escaped.
    fn next(&mut self) -> Result<Option<(char, bool)>, Error> {
        let Some(first) = self.characters.get(self.at) else {
            return Ok(None);
        };
        if *first != '\\' {
            self.at += 1;
            return Ok(Some((*first, false)));
        }
        let escaped = self.characters.get(self.at + 1).ok_or("input ends with a \\ (escape) character")?;
        self.at += 2;
        Ok(Some((*escaped, true)))
    }

    fn set(&mut self, context: &Context) -> Result<BTreeSet<char>, Error> {
        let mut set = BTreeSet::new();
        let mut previous = None;
        while let Some((character, escaped)) = self.next()? {
            context.work(1)?;
            match character {
                ']' if !escaped => return Ok(set),
                '-' if !escaped => {
                    let first = previous.take().ok_or("a range must be preceded by a character")?;
                    if self.at + 1 >= self.characters.len() {
                        return Err("a range must be followed by a character".into());
                    }
                    let (last, escaped) = self.next()?.ok_or("a range must be followed by a character")?;
                    if (!escaped && matches!(last, ']' | '-')) || last < first {
                        return Err("a range is out of order".into());
                    }
                    context.work(8 * u64::from(u32::from(last) - u32::from(first)))?;
                    set.extend(first..=last);
                }
                _ => {
                    set.insert(character);
                    previous = Some(character);
                }
            }
        }
        Err("found [ without matching ]".into())
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{bounded, check};

    #[test]
    fn patterns_overlap_as_opa_says() {
        check(&[
            ("regex.globs_match", r#"["a.a.[0-9]+z", "b.b.[0-9]*x"]"#, Some("false")),
            ("regex.globs_match", r#"["[a-z]+", "[0-9]*"]"#, Some("false")),
            ("regex.globs_match", r#"["[a-z]+b", "[a-c]*b"]"#, Some("true")),
            ("regex.globs_match", r#"["", ""]"#, Some("true")),
            ("regex.globs_match", r#"["pqrs.]*", "a"]"#, None),
            ("regex.globs_match", r#"["*", "a"]"#, None),
            ("glob.quote_meta", r#"["*.git{h}-!,\\?[ub]"]"#, Some(r#""\\*.git\\{h\\}-!,\\\\\\?\\[ub\\]""#)),
        ]);
        bounded(&[("regex.globs_match", format!("[\"{}\", \"a\"]", "[ -\u{ffff}]".repeat(50)))]);
    }
}
