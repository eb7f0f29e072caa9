//! Blocks of PEM.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";
const DASHES: &str = "-----";

/// What stands between two lines of dashes.
pub(crate) struct Block {
    /// What the lines call it.
    pub(crate) kind: String,
    pub(crate) bytes: Vec<u8>,
}

/// The first block of a text, and what follows it.
pub(crate) fn next(text: &str) -> Option<(Block, &str)> {
    let mut rest = text;
    loop {
        let at = if rest.starts_with(BEGIN) { 0 } else { rest.find("\n-----BEGIN ")? + 1 };
        let (line, body) = line(&rest[at + BEGIN.len()..]);
        rest = body;
        let Some(kind) = line.strip_suffix(DASHES) else { continue };
        let end = format!("{END}{kind}{DASHES}");
        let Some(at) = body.find(&end).filter(|at| *at == 0 || body.as_bytes()[at - 1] == b'\n') else { continue };
        let (tail, after) = self::line(&body[at + end.len()..]);
        let mut content = &body[..at];
        // Lines with a colon tell about the block.
        while let (header, following) = self::line(content)
            && header.contains(':')
        {
            content = following;
        }
        let content: String = content.chars().filter(|sign| !sign.is_ascii_whitespace()).collect();
        match BASE64_STANDARD.decode(content) {
            Ok(bytes) if tail.is_empty() => return Some((Block { kind: kind.to_owned(), bytes }, after)),
            _ => {}
        }
    }
}

/// The first line, without what is blank at its end, and the others.
fn line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.trim_end_matches([' ', '\t', '\r']), rest)
}
