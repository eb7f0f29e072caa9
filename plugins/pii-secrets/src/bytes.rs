//! What a byte can be part of, as one table look-up: the pass reads every byte once and decides by these classes.

/// `0` to `9`.
pub(crate) const DIGIT: u8 = 1;
/// ASCII letters.
pub(crate) const LETTER: u8 = 2;
/// `_` joins words, so `card_4012…` is one name and no card number.
pub(crate) const UNDERSCORE: u8 = 4;
/// What a word consists of.
pub(crate) const WORD: u8 = DIGIT | LETTER | UNDERSCORE;
/// `0` to `9`, `a` to `f`, `A` to `F`.
pub(crate) const HEX: u8 = 8;
/// Signs that may start or centre a candidate outside of words.
pub(crate) const TRIGGER: u8 = 16;

const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT | HEX,
            b'a'..=b'f' | b'A'..=b'F' => LETTER | HEX,
            b'g'..=b'z' | b'G'..=b'Z' => LETTER,
            b'_' => UNDERSCORE,
            b'@' | b'+' | b'(' | b':' => TRIGGER,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

/// The classes of a byte, as a set of the constants above.
pub(crate) fn class(byte: u8) -> u8 {
    CLASSES[byte as usize]
}

/// Whether the byte has one of the classes.
pub(crate) fn is(byte: u8, classes: u8) -> bool {
    class(byte) & classes != 0
}

/// The byte at a place that may lie outside; 0 there, which has no class.
pub(crate) fn at(text: &[u8], index: usize) -> u8 {
    text.get(index).copied().unwrap_or(0)
}

/// The byte before a place; 0 at the start.
pub(crate) fn before(text: &[u8], index: usize) -> u8 {
    index.checked_sub(1).map_or(0, |index| at(text, index))
}

/// Where the run of bytes with these classes ends, looking at `limit` bytes at most.
pub(crate) fn run(text: &[u8], from: usize, limit: usize, classes: u8) -> usize {
    let end = text.len().min(from + limit);
    let mut index = from;
    while index < end && is(text[index], classes) {
        index += 1;
    }
    index
}
