//! Where a policy applies: patterns over names, and what a name is.

use std::fmt;

use wildmatch::WildMatch;

/// Longest name of a policy, a system, a checkpoint, a tenant or a set.
pub(super) const NAME_BYTES: usize = 128;

/// A name, or a glob over names: `*` stands for any characters, `?` for one.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    text: String,
    /// Absent where the text is a plain name: comparing is all it takes.
    glob: Option<WildMatch>,
}

impl Pattern {
    /// The pattern of a text.
    pub(crate) fn new(text: impl Into<String>) -> Pattern {
        let text = text.into();
        let glob = text.contains(['*', '?']).then(|| WildMatch::new(&text));
        Pattern { text, glob }
    }

    /// Whether a name matches as a whole.
    pub(crate) fn matches(&self, name: &str) -> bool {
        match &self.glob {
            Some(glob) => glob.matches(name),
            None => self.text == name,
        }
    }

    /// The one name it matches, if it is no glob.
    pub(crate) fn literal(&self) -> Option<&str> {
        self.glob.is_none().then_some(&*self.text)
    }

    /// The text as written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

// The text decides; the glob is made from it.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether a text can name a checkpoint: lower-case words between dots, as in `tool.call`.
pub(crate) fn is_checkpoint_name(text: &str) -> bool {
    let fits = (1..=NAME_BYTES).contains(&text.len());
    fits && text.split('.').all(|word| !word.is_empty() && word.bytes().all(in_checkpoint_word))
}

/// Whether a pattern could match the name of a checkpoint.
pub(super) fn is_checkpoint_pattern(pattern: &Pattern) -> bool {
    match pattern.literal() {
        Some(name) => is_checkpoint_name(name),
        None => pattern.text.bytes().all(|byte| in_checkpoint_word(byte) || b".*?".contains(&byte)),
    }
}

fn in_checkpoint_word(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-'
}

/// Whether a text can name a policy.
pub(super) fn is_policy_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_BYTES).contains(&text.len()) && text.bytes().all(plain)
}

/// Whether a text can name a set, a system or, with globs, tenants.
pub(super) fn is_free_name(text: &str) -> bool {
    (1..=NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// Why a text cannot be the path of a module, if it cannot.
pub(super) fn path_fault(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("it is empty")
    } else if path.contains('\\') {
        Some("parts are separated by `/`")
    } else if path.starts_with('/') || path.contains(':') {
        Some("it must be relative to the set")
    } else if path.chars().any(char::is_control) {
        Some("it contains a control character")
    } else if path.split('/').any(|part| part == "..") {
        Some("it must not leave the folder of the set")
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some("it has a part that says nothing")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("pii", "pii", true),
            ("pii", "pii2", false),
            ("inference.*", "inference.input", true),
            ("inference.*", "tool.call", false),
            ("acme/*", "acme/claims/eu", true),
            ("e?", "eu", true),
            ("e?", "e", false),
            ("?", "ü", true),
            ("*", "", true),
            ("", "", true),
            ("a.c", "abc", false),
            ("[ab]", "a", false),
        ];
        for (pattern, name, matches) in cases {
            assert_eq!(Pattern::new(pattern).matches(name), matches, "{pattern} {name}");
        }
    }

    #[test]
    fn a_pattern_knows_what_it_is() {
        assert_eq!(Pattern::new("eu").literal(), Some("eu"));
        assert_eq!(Pattern::new("e*").literal(), None);
        assert_eq!(Pattern::new("**").to_string(), "**");
    }

    #[test]
    fn many_stars_stay_quick() {
        let pattern = Pattern::new("*a".repeat(64));
        assert!(!pattern.matches(&"a".repeat(63)));
        assert!(!pattern.matches(&"ab".repeat(100_000)));
    }

    #[test]
    fn names() {
        let longest = "a".repeat(NAME_BYTES);
        for name in ["tool.call", "inference.input", "a", "x_1.y-2", &longest] {
            assert!(is_checkpoint_name(name), "{name}");
        }
        for name in ["", ".", "tool.", ".call", "a..b", "Tool.call", "tool call", "tööl", &format!("{longest}a")] {
            assert!(!is_checkpoint_name(name), "{name}");
        }
        assert!(is_checkpoint_pattern(&Pattern::new("inference.*")) && is_checkpoint_pattern(&Pattern::new("*")));
        assert!(!is_checkpoint_pattern(&Pattern::new("Inference.*")) && !is_checkpoint_pattern(&Pattern::new("x.")));
        assert!(is_policy_name("PII_2.v-1") && !is_policy_name("a/b") && !is_policy_name("") && !is_policy_name("ä"));
        assert!(is_free_name("acme/claims ü") && !is_free_name("") && !is_free_name("a\nb"));
    }

    #[test]
    fn modules_stay_in_the_folder() {
        for path in ["pii.wasm", "eu/pii.wasm", "..pii", "a b.wasm"] {
            assert_eq!(path_fault(path), None, "{path}");
        }
        for path in ["", "/a", "../a", "a/..", "a/../b", "a//b", "a/", "./a", ".", "C:/a", "a\\b", "a\0"] {
            assert!(path_fault(path).is_some(), "{path}");
        }
    }
}
