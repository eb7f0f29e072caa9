//! The scan itself: one pass over the text, an explicit stack of open containers.

use std::borrow::Cow;
use std::collections::HashSet;

use super::{JsonError, Kind, Node, text_of};

/// An open container.
struct Frame {
    /// The container's own node.
    node: usize,
    /// Index of the value being read, for pointers into arrays.
    items: usize,
    /// Where this object's keys begin in [`Scan::keys`].
    first_key: usize,
}

struct Scan<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
    nodes: Vec<Node>,
    stack: Vec<Frame>,
    /// Nodes of the keys of all open objects, innermost last: duplicates are found when an object closes.
    keys: Vec<usize>,
    max_depth: usize,
}

/// Reads `text` into nodes; see [`super::Document::parse`].
pub(super) fn scan(text: &str, max_depth: usize) -> Result<Vec<Node>, JsonError> {
    let mut scan = Scan {
        text,
        bytes: text.as_bytes(),
        position: 0,
        nodes: Vec::with_capacity(text.len() / 12 + 4),
        stack: Vec::new(),
        keys: Vec::new(),
        max_depth,
    };
    scan.run()?;
    Ok(scan.nodes)
}

impl<'a> Scan<'a> {
    fn run(&mut self) -> Result<(), JsonError> {
        loop {
            // A value stands here; an opened container with content leads to its first value.
            if self.value()? {
                continue;
            }
            // A value is complete: close what ends here, then go on to the next value.
            loop {
                if self.stack.is_empty() {
                    return self.end();
                }
                if self.separator()? {
                    break;
                }
            }
        }
    }

    /// Reads one scalar or opens one container. True where the next thing to read is a value inside it.
    fn value(&mut self) -> Result<bool, JsonError> {
        self.space();
        let (start, mut escaped) = (self.position, false);
        let kind = match self.peek() {
            Some(b'{') => return self.open(Kind::Object),
            Some(b'[') => return self.open(Kind::Array),
            Some(b'"') => {
                escaped = self.text()?;
                Ok(Kind::Text)
            }
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| Kind::Number),
            Some(b't') => self.word("true").map(|()| Kind::Bool),
            Some(b'f') => self.word("false").map(|()| Kind::Bool),
            Some(b'n') => self.word("null").map(|()| Kind::Null),
            Some(_) => Err(self.error("expected a value")),
            None => Err(self.error("the text ends where a value should stand")),
        }?;
        self.push(kind, start, escaped);
        Ok(false)
    }

    fn open(&mut self, kind: Kind) -> Result<bool, JsonError> {
        if self.stack.len() == self.max_depth {
            return Err(self.error(&format!("nested deeper than {} levels", self.max_depth)));
        }
        let node = self.push(kind, self.position, false);
        self.position += 1;
        self.stack.push(Frame { node, items: 0, first_key: self.keys.len() });
        self.space();
        match (kind, self.peek()) {
            (Kind::Object, Some(b'}')) | (Kind::Array, Some(b']')) => {
                self.close();
                Ok(false)
            }
            (Kind::Object, _) => self.key().map(|()| true),
            _ => Ok(true),
        }
    }

    /// After a value: `,` leads to the next one (true), a bracket closes its container (false).
    fn separator(&mut self) -> Result<bool, JsonError> {
        self.space();
        let object = self.in_object();
        match self.peek() {
            Some(b',') => {
                self.position += 1;
                if object {
                    self.space();
                    self.key()?;
                } else {
                    self.top().items += 1;
                }
                Ok(true)
            }
            Some(b'}') if object => self.distinct_keys().map(|()| self.close()).map(|()| false),
            Some(b']') if !object => {
                self.close();
                Ok(false)
            }
            found => Err(self.container_error(object, found)),
        }
    }

    fn key(&mut self) -> Result<(), JsonError> {
        let start = self.position;
        if self.peek() != Some(b'"') {
            let found = self.peek();
            return Err(match found {
                Some(_) => self.above("expected a key in quotes"),
                None => self.container_error(true, None),
            });
        }
        let escaped = self.text()?;
        let key = self.push(Kind::Text, start, escaped);
        self.keys.push(key);
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("expected `:` after the key"));
        }
        self.position += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.position += 1;
        let frame = self.stack.pop().expect("only open containers are closed");
        let next = self.nodes.len() as u32;
        let node = &mut self.nodes[frame.node];
        (node.end, node.next) = (self.position as u32, next);
        self.keys.truncate(frame.first_key);
    }

    fn distinct_keys(&mut self) -> Result<(), JsonError> {
        /// Below this many keys comparing each with each is quicker than hashing.
        const FEW: usize = 12;
        let first = self.stack.last().expect("an object is open").first_key;
        let keys = &self.keys[first..];
        let twice = if keys.len() <= FEW {
            let key = |place: usize| self.key_text(keys[place]);
            (1..keys.len()).find(|&place| (0..place).any(|earlier| key(earlier) == key(place)))
        } else {
            let mut seen = HashSet::with_capacity(keys.len());
            keys.iter().position(|node| !seen.insert(self.key_text(*node)))
        };
        let Some(place) = twice else { return Ok(()) };
        // The pointer of an error names the newest key, so the one given twice has to be it.
        self.keys.truncate(first + place + 1);
        Err(self.error("duplicate key"))
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.space();
        if self.position == self.bytes.len() {
            return Ok(());
        }
        Err(self.error("there is text after the value"))
    }

    /// Reads a text; the answer is whether it has escapes.
    fn text(&mut self) -> Result<bool, JsonError> {
        self.position += 1;
        let mut escaped = false;
        loop {
            let rest = &self.bytes[self.position..];
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)).unwrap_or(rest.len());
            self.position += plain;
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(escaped);
                }
                Some(b'\\') => {
                    self.escape()?;
                    escaped = true;
                }
                Some(_) => return Err(self.error("control character in text, write it as an escape")),
                None => return Err(self.error("text that does not end")),
            }
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
        match self.bytes.get(self.position + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.position += 2;
                Ok(())
            }
            Some(b'u') => match self.unit(self.position)? {
                0xd800..0xdc00 if matches!(self.unit(self.position + 6), Ok(0xdc00..0xe000)) => {
                    self.position += 12;
                    Ok(())
                }
                0xd800..0xe000 => Err(self.error("lone surrogate in text")),
                _ => {
                    self.position += 6;
                    Ok(())
                }
            },
            _ => Err(self.error("unknown escape in text")),
        }
    }

    /// The UTF-16 unit of the `\uXXXX` that begins at `at`.
    fn unit(&self, at: usize) -> Result<u16, JsonError> {
        let digits = self.bytes.get(at..at + 6).filter(|escape| escape.starts_with(b"\\u"));
        let hex = digits.map(|escape| &escape[2..]).filter(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        let hex = hex.ok_or_else(|| self.error("unknown escape in text"))?;
        let value = hex.iter().fold(0, |sum, digit| sum * 16 + (*digit as char).to_digit(16).unwrap_or(0));
        Ok(value as u16)
    }

    fn number(&mut self) -> Result<(), JsonError> {
        self.skip(b"-");
        let whole = self.position;
        let digits = self.digits();
        let mut well = digits == 1 || (digits > 1 && self.bytes[whole] != b'0');
        if self.skip(b".") {
            well &= self.digits() > 0;
        }
        if self.skip(b"eE") {
            self.skip(b"+-");
            well &= self.digits() > 0;
        }
        if well { Ok(()) } else { Err(self.error("malformed number")) }
    }

    fn digits(&mut self) -> usize {
        let start = self.position;
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.position += 1;
        }
        self.position - start
    }

    fn skip(&mut self, any_of: &[u8]) -> bool {
        let hit = self.peek().is_some_and(|byte| any_of.contains(&byte));
        self.position += usize::from(hit);
        hit
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.bytes[self.position..].starts_with(word.as_bytes()) {
            return Err(self.error("expected a value"));
        }
        self.position += word.len();
        Ok(())
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.position).copied()
    }

    fn push(&mut self, kind: Kind, start: usize, escaped: bool) -> usize {
        let index = self.nodes.len();
        let (start, end) = (start as u32, self.position as u32);
        self.nodes.push(Node { kind, escaped, start, end, next: index as u32 + 1 });
        index
    }

    /// The text of a key, by its node.
    fn key_text(&self, node: usize) -> Cow<'a, str> {
        let Node { start, end, escaped, .. } = self.nodes[node];
        text_of(&self.text[start as usize..end as usize], escaped)
    }

    fn top(&mut self) -> &mut Frame {
        self.stack.last_mut().expect("a container is open")
    }

    fn in_object(&self) -> bool {
        self.stack.last().is_some_and(|frame| self.nodes[frame.node].kind == Kind::Object)
    }

    fn container_error(&self, object: bool, found: Option<u8>) -> JsonError {
        self.above(match (object, found) {
            (true, None) => "the text ends inside an object",
            (false, None) => "the text ends inside an array",
            (true, Some(_)) => "expected `,` or `}`",
            (false, Some(_)) => "expected `,` or `]`",
        })
    }

    /// An error at the innermost open container itself.
    fn above(&self, message: &str) -> JsonError {
        self.error_at(self.stack.len().saturating_sub(1), message)
    }

    /// An error at the value being read.
    fn error(&self, message: &str) -> JsonError {
        self.error_at(self.stack.len(), message)
    }

    fn error_at(&self, levels: usize, message: &str) -> JsonError {
        let mut pointer = String::new();
        for (level, frame) in self.stack[..levels].iter().enumerate() {
            if self.nodes[frame.node].kind == Kind::Array {
                pointer.push_str(&format!("/{}", frame.items));
                continue;
            }
            let last = self.stack.get(level + 1).map_or(self.keys.len(), |inner| inner.first_key);
            if let Some(key) = self.keys[frame.first_key..last].last() {
                pointer.push('/');
                pointer.push_str(&super::escape_segment(&self.key_text(*key)));
            }
        }
        JsonError { pointer, message: format!("{message} (byte {})", self.position) }
    }
}
