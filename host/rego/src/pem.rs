//! Blocks of PEM, as Go finds them: up to the first line that ends one, from the last before it that begins one.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

const BEGIN: &str = "-----BEGIN ";
const END: &str = "\n-----END ";
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
        let end = rest.find(END)?;
        let after = &rest[end + END.len()..];
        let start = rest[..end].rfind(BEGIN).filter(|at| *at == 0 || rest.as_bytes()[at - 1] == b'\n');
        // The line that begins the block may end where the line that ends it starts.
        if let Some(found) = start.and_then(|start| block(&rest[start + BEGIN.len()..=end], after)) {
            return Some(found);
        }
        rest = after;
    }
}

fn block<'a>(inside: &str, after: &'a str) -> Option<(Block, &'a str)> {
    let (first, mut content) = line(inside);
    let kind = first.strip_suffix(DASHES)?;
    let (tail, after) = line(after.strip_prefix(kind)?.strip_prefix(DASHES)?);
    // Lines with a colon tell about the block.
    while let (header, rest) = line(content)
        && header.contains(':')
    {
        content = rest;
    }
    let bytes = decoded(content).filter(|_| tail.is_empty())?;
    Some((Block { kind: kind.to_owned(), bytes }, after))
}

fn decoded(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));
    let text: String = text.chars().filter(|sign| !matches!(sign, ' ' | '\t' | '\r' | '\n')).collect();
    LENIENT.decode(text).ok()
}

/// The first line, without what is blank at its end, and the others.
fn line(text: &str) -> (&str, &str) {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    (line.trim_end_matches([' ', '\t', '\r']), rest)
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn blocks_are_found_where_go_finds_them() {
        for (text, expected) in [
            ("-----BEGIN A-----\nAQI=\n-----END A-----\nrest", Some(("A", &[1, 2][..], "rest"))),
            ("x\n-----BEGIN A-----\nk: v\n\nAQJ=\n-----END A-----", Some(("A", &[1, 2], ""))),
            ("-----BEGIN A-----\n-----END A-----\n", Some(("A", &[], ""))),
            ("-----BEGIN B-----\n-----BEGIN A-----\nAQI=\n-----END A-----\n", Some(("A", &[1, 2], ""))),
            (
                "-----BEGIN A-----\n!\n-----END A-----\n-----BEGIN A-----\nAQI=\n-----END A-----",
                Some(("A", &[1, 2], "")),
            ),
            ("x-----BEGIN A-----\nAQI=\n-----END A-----", None),
            ("-----BEGIN A-----\nAQI=\n-----END B-----", None),
            ("-----BEGIN A-----\nAQI=\n-----END A-----x", None),
            ("-----BEGIN A", None),
            ("", None),
        ] {
            let found = next(text);
            let found = found.as_ref().map(|(block, rest)| (block.kind.as_str(), block.bytes.as_slice(), *rest));
            assert_eq!(found, expected, "{text}");
        }
    }
}
