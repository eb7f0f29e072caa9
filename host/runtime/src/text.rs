//! Somebody else's text, made fit to stand in messages, logs and records.

use std::borrow::Cow;

/// Longest text that a message repeats, in characters: no name is longer.
const QUOTED_CHARACTERS: usize = 128;

/// Text inside a message: in backticks, harmless to a terminal, cut where it is long.
pub(crate) fn quoted(text: &str) -> String {
    let cut = text.char_indices().nth(QUOTED_CHARACTERS).map(|(end, _)| &text[..end]);
    match cut {
        Some(cut) => format!("`{}…`", harmless(cut)),
        None => format!("`{}`", harmless(text)),
    }
}

/// Text as one line that a terminal only prints.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    replaced(text, char::REPLACEMENT_CHARACTER)
}

/// A guest's text as one plain line of at most `longest` bytes.
pub(crate) fn one_line(text: &str, longest: usize) -> Cow<'_, str> {
    replaced(&text[..text.floor_char_boundary(longest)], ' ')
}

/// The known word that was probably meant, or all of them.
pub(crate) fn suggestion(word: &str, known: &[&str]) -> String {
    let word = word.to_ascii_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(name, &word);
    let near = known.iter().filter(|name| word.len() <= 2 * name.len() && distance(name) <= 1 + name.len() / 4);
    match near.min_by_key(|name| distance(name)) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("expected one of `{}`", known.join("`, `")),
    }
}

fn replaced(text: &str, by: char) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|character| if acts(character) { by } else { character }).collect())
}

/// Control characters move the cursor and paint, line breaks forge lines, and the marks of text direction reorder what
/// a reader sees.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_harmless_and_short() {
        assert_eq!(quoted("a\u{1b}[2Jb\n\u{202e}c"), "`a\u{fffd}[2Jb\u{fffd}\u{fffd}c`");
        assert_eq!(quoted(&"ä".repeat(128)), format!("`{}`", "ä".repeat(128)));
        assert_eq!(quoted(&"ä".repeat(129)), format!("`{}…`", "ä".repeat(128)));
    }

    #[test]
    fn guest_text_becomes_one_short_line() {
        assert_eq!(one_line("plain", 10), "plain");
        assert_eq!(one_line("a\r\nb\u{1b}[31m\u{2028}\u{202e}c", 100), "a  b [31m  c");
        assert_eq!(one_line("ééé", 3), "é");
    }

    #[test]
    fn suggestions_name_the_nearest_word_or_all() {
        assert_eq!(suggestion("grant", &["limits", "grants"]), "did you mean `grants`?");
        assert_eq!(suggestion("ENFORCE", &["enforce", "off"]), "did you mean `enforce`?");
        assert_eq!(suggestion("colour", &["mode", "off"]), "expected one of `mode`, `off`");
        assert_eq!(suggestion("", &["mode", "off"]), "expected one of `mode`, `off`");
    }
}
