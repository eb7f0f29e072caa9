//! From the text of a template to its parts.

use crate::{Context, Error};

/// Deepest nesting of blocks.
const DEEPEST: usize = 64;

#[derive(Debug)]
pub(super) enum Node {
    Text(String),
    Print(Subject),
    /// The next variable; the parser has counted them.
    Declare(Subject),
    Block(Block),
}

#[derive(Debug)]
pub(super) struct Block {
    pub(super) kind: Kind,
    /// How many variables it declares.
    pub(super) variables: usize,
    pub(super) subject: Subject,
    pub(super) body: Vec<Node>,
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    If,
    With,
    Range,
}

/// A value and the fields that are taken of it.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) source: Source,
    pub(super) fields: Vec<String>,
}

#[derive(Debug)]
pub(super) enum Source {
    Dot,
    Variable(usize),
    Text(String),
    Number(i64),
    Bool(bool),
}

pub(super) fn parse(context: &Context, layout: &str) -> Result<Vec<Node>, Error> {
    context.work(layout.len() as u64)?;
    let mut parser = Parser { pieces: pieces(layout)?.into_iter(), names: vec![String::new()], depth: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        None => Ok(nodes),
        Some(end) => Err(format!("unexpected {{{{{end}}}}}").into()),
    }
}

enum Piece<'a> {
    Text(&'a str),
    Action(&'a str),
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// Text and actions in turn, with spaces trimmed where an action asks for it.
fn pieces(layout: &str) -> Result<Vec<Piece<'_>>, Error> {
    let mut pieces = Vec::new();
    let (mut rest, mut trims) = (layout, false);
    loop {
        let start = rest.find("{{");
        let mut text = &rest[..start.unwrap_or(rest.len())];
        if trims {
            text = text.trim_start_matches(is_space);
        }
        let Some(start) = start else {
            pieces.push(Piece::Text(text));
            return Ok(pieces);
        };
        rest = &rest[start + 2..];
        if rest.starts_with('-') && rest[1..].starts_with(is_space) {
            text = text.trim_end_matches(is_space);
            rest = &rest[2..];
        }
        pieces.push(Piece::Text(text));
        let end = action_end(rest).ok_or("unclosed action")?;
        let mut action = &rest[..end];
        rest = &rest[end + 2..];
        trims = action.strip_suffix('-').is_some_and(|action| action.ends_with(is_space));
        if trims {
            action = &action[..action.len() - 2];
        }
        let comment = action.trim_start_matches(if trims { is_space } else { |_| false });
        if comment.starts_with("/*") {
            if !comment.ends_with("*/") || comment.len() < 4 {
                return Err("comment ends before closing delimiter".into());
            }
        } else {
            pieces.push(Piece::Action(action));
        }
    }
}

/// Where an action ends: not within quotes or a comment.
fn action_end(action: &str) -> Option<usize> {
    if action.trim_start_matches(is_space).starts_with("/*") {
        let comment = action.find("*/")? + 2;
        return action[comment..].find("}}").map(|end| comment + end);
    }
    let (mut quote, mut escaped) = (None, false);
    for (at, byte) in action.bytes().enumerate() {
        match quote {
            Some(mark) if byte == mark && !escaped => quote = None,
            Some(mark) => escaped = byte == b'\\' && !escaped && mark != b'`',
            None if matches!(byte, b'"' | b'`') => quote = Some(byte),
            None if action.as_bytes()[at..].starts_with(b"}}") => return Some(at),
            None => {}
        }
    }
    None
}

struct Parser<'a> {
    pieces: std::vec::IntoIter<Piece<'a>>,
    /// The variables in sight; the first is `$`.
    names: Vec<String>,
    depth: usize,
}

impl<'a> Parser<'a> {
    /// Nodes up to the end, or to an `end` or `else` that is none of theirs.
    fn nodes(&mut self) -> Result<(Vec<Node>, Option<&'a str>), Error> {
        let outer = self.names.len();
        let mut nodes = Vec::new();
        let end = loop {
            match self.pieces.next() {
                None => break None,
                Some(Piece::Text("")) => {}
                Some(Piece::Text(text)) => nodes.push(Node::Text(text.to_owned())),
                Some(Piece::Action(action)) => {
                    let action = action.trim_matches(is_space);
                    let (word, rest) = keyword(action);
                    match word {
                        "end" | "else" => break Some(action),
                        "if" => nodes.push(self.block(Kind::If, rest)?),
                        "with" => nodes.push(self.block(Kind::With, rest)?),
                        "range" => nodes.push(self.block(Kind::Range, rest)?),
                        _ => nodes.push(self.action(action)?),
                    }
                }
            }
        };
        self.names.truncate(outer);
        Ok((nodes, end))
    }

    fn block(&mut self, kind: Kind, header: &str) -> Result<Node, Error> {
        if self.depth == DEEPEST {
            return Err("blocks are nested too deeply".into());
        }
        self.depth += 1;
        let outer = self.names.len();
        let (names, subject) = self.declaration(header)?;
        let variables = names.len();
        if variables > 1 + usize::from(kind == Kind::Range) {
            return Err("too many declarations".into());
        }
        self.names.extend(names);
        let (body, end) = self.nodes()?;
        let otherwise = match end.map(keyword) {
            Some(("end", "")) => Vec::new(),
            Some(("else", "")) => match self.nodes()? {
                (nodes, Some("end")) => nodes,
                _ => return Err("expected end".into()),
            },
            // `else if` is a block of its own that shares the end.
            Some(("else", rest)) => match (keyword(rest), kind) {
                (("if", header), Kind::If) => vec![self.block(Kind::If, header)?],
                (("with", header), Kind::With) => vec![self.block(Kind::With, header)?],
                _ => return Err("unexpected else".into()),
            },
            _ => return Err("unexpected EOF".into()),
        };
        self.names.truncate(outer);
        self.depth -= 1;
        Ok(Node::Block(Block { kind, variables, subject, body, otherwise }))
    }

    fn action(&mut self, action: &str) -> Result<Node, Error> {
        let (names, subject) = self.declaration(action)?;
        if names.len() > 1 {
            return Err("too many declarations".into());
        }
        let declares = !names.is_empty();
        self.names.extend(names);
        Ok(if declares { Node::Declare(subject) } else { Node::Print(subject) })
    }

    /// `$a, $b := subject`, or a subject alone.
    fn declaration(&self, text: &str) -> Result<(Vec<String>, Subject), Error> {
        let quoted = text.starts_with(['"', '`']);
        let Some((names, subject)) = text.split_once(":=").filter(|_| !quoted) else {
            return Ok((Vec::new(), self.subject(text)?));
        };
        let names = names.split(',').map(|name| name.trim_matches(is_space));
        let names = names.map(|name| name.strip_prefix('$').filter(|name| is_name(name)).map(str::to_owned));
        let names = names.collect::<Option<Vec<_>>>().ok_or("unexpected declaration")?;
        Ok((names, self.subject(subject)?))
    }

    fn subject(&self, text: &str) -> Result<Subject, Error> {
        let text = text.trim_matches(is_space);
        let unexpected = || Error::from(format!("unexpected `{text:.40}` in a template"));
        let source = match text.as_bytes().first() {
            Some(b'"') => Source::Text(serde_json::from_str(text).map_err(|_| unexpected())?),
            Some(b'`') => {
                let inside = text[1..].strip_suffix('`').filter(|inside| !inside.contains('`'));
                Source::Text(inside.ok_or_else(unexpected)?.to_owned())
            }
            Some(b'-' | b'1'..=b'9') => Source::Number(text.parse().map_err(|_| unexpected())?),
            _ if text == "0" => Source::Number(0),
            _ if matches!(text, "true" | "false") => Source::Bool(text == "true"),
            Some(b'.') if text == "." => Source::Dot,
            Some(b'.') => {
                return Ok(Subject { source: Source::Dot, fields: fields(&text[1..]).ok_or_else(unexpected)? });
            }
            Some(b'$') => {
                let (name, path) =
                    text[1..].split_once('.').map_or((&text[1..], None), |(name, path)| (name, Some(path)));
                let place = self.names.iter().rposition(|known| known == name);
                let fields = path.map_or_else(|| Some(Vec::new()), fields).ok_or_else(unexpected)?;
                let place = place.ok_or_else(|| format!("undefined variable `${name:.40}`"))?;
                return Ok(Subject { source: Source::Variable(place), fields });
            }
            _ => return Err(unexpected()),
        };
        Ok(Subject { source, fields: Vec::new() })
    }
}

/// The leading word of an action, and what follows it.
fn keyword(action: &str) -> (&str, &str) {
    let end = action.find(|character: char| !character.is_alphanumeric()).unwrap_or(action.len());
    let (word, rest) = action.split_at(end);
    let rest = rest.trim_matches(is_space);
    // A variable must stand apart.
    if rest.starts_with('$') && action[end..].starts_with('$') { ("", action) } else { (word, rest) }
}

fn fields(path: &str) -> Option<Vec<String>> {
    let fields = path.split('.').map(|name| is_name(name).then(|| name.to_owned())).collect::<Option<Vec<_>>>()?;
    fields.iter().all(|name| !name.starts_with(|first: char| first.is_ascii_digit())).then_some(fields)
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|character| character == '_' || character.is_alphanumeric())
}
