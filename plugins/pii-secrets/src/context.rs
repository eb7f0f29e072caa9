//! Words beside a value: what a weak pattern needs to count.

use crate::bytes;

/// How far before and behind a value a word may start or end. A label such as `Social security number:` fits in.
const BEFORE: usize = 48;
const BEHIND: usize = 32;

/// Whether one of the words stands near the span.
pub(crate) fn names(text: &[u8], start: usize, end: usize, words: &[&str]) -> bool {
    let before = &text[start.saturating_sub(BEFORE)..start];
    let behind = &text[end..text.len().min(end + BEHIND)];
    // One bit per first letter, so that most places of the stretch are refused without a look at the words.
    let letters = words.iter().fold(0, |letters, word| letters | bit(word.as_bytes()[0]));
    letters != 0 && (holds(before, words, letters) || holds(behind, words, letters))
}

fn bit(letter: u8) -> u32 {
    1 << (letter & 31)
}

/// Whether one of the words stands in the stretch, not as a part of a longer word. Only ASCII letters have two cases.
fn holds(stretch: &[u8], words: &[&str], letters: u32) -> bool {
    stretch.iter().enumerate().any(|(at, byte)| {
        letters & bit(*byte) != 0
            && !joins(bytes::before(stretch, at), *byte)
            && words.iter().any(|word| begins_with(&stretch[at..], word.as_bytes()))
    })
}

fn begins_with(text: &[u8], word: &[u8]) -> bool {
    // Most words are refused by their first letter.
    text[0] | 32 == word[0] | 32
        && text.get(..word.len()).is_some_and(|same| same.eq_ignore_ascii_case(word))
        && !text.get(word.len()).is_some_and(|next| joins(*next, word[word.len() - 1]))
}

/// Whether two bytes are neighbours inside one word. Scripts without spaces have no such neighbours.
fn joins(one: u8, other: u8) -> bool {
    one.is_ascii_alphanumeric() && other.is_ascii_alphanumeric()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, word: &str, near: bool) {
        let at = text.find('#').unwrap();
        assert_eq!(names(text.as_bytes(), at, at + 1, &[word]), near, "{text}");
    }

    #[test]
    fn words_count_whole_and_near() {
        check("My SIN is #", "sin", true);
        check("sin=#", "sin", true);
        check("since #", "sin", false);
        check("basin #", "sin", false);
        check("# is my hetu.", "hetu", true);
        check("新的手机号#", "手机", true);
        check(&format!("sin{}#", " ".repeat(60)), "sin", false);
        check("Social Security Number: #", "social security", true);
    }
}
