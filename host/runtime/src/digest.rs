//! SHA-256 digests: the one name for modules, configurations, requests and whole sets.

use std::fmt;

use sha2::{Digest as _, Sha256};

/// A SHA-256 digest, written `sha256:` and lower-case hex everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The digest of several parts, each preceded by its length, so that no two lists of parts read alike.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Digest {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Digest(hash.finalize().into())
    }
}

/// Bytes of a digest's text.
const TEXT_BYTES: usize = "sha256:".len() + 64;

impl Digest {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The digest that a text names: `sha256:` and 64 lower-case hex digits.
    pub(crate) fn parse(text: &str) -> Option<Digest> {
        let digits =
            text.strip_prefix("sha256:").filter(|digits| !digits.contains(|c: char| c.is_ascii_uppercase()))?;
        let mut digest = [0; 32];
        hex::decode_to_slice(digits, &mut digest).ok()?;
        Some(Digest(digest))
    }

    /// The hex digits alone, for names of files.
    pub(crate) fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// Records hold many digests, so their text is written without going through a formatter.
    fn text<'a>(&self, buffer: &'a mut [u8; TEXT_BYTES]) -> &'a str {
        let (prefix, digits) = buffer.split_at_mut(TEXT_BYTES - 64);
        prefix.copy_from_slice(b"sha256:");
        hex::encode_to_slice(self.0, digits).expect("64 hex digits for 32 bytes");
        std::str::from_utf8(buffer).expect("a prefix and hex are ASCII")
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text(&mut [0; TEXT_BYTES]))
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        let text = String::deserialize(deserializer)?;
        Digest::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("expected `sha256:` and 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_input_has_the_published_digest() {
        let expected = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), expected);
    }

    #[test]
    fn a_digest_is_read_as_it_is_written() {
        let digest = Digest::of(b"x");
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        let text = digest.to_string();
        for wrong in [&text[1..], &text[..70], &text.to_uppercase().replace("SHA256", "sha256"), ""] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn parts_are_told_apart_by_their_borders() {
        assert_ne!(Digest::of_parts([&b"ab"[..], b"c"]), Digest::of_parts([&b"a"[..], b"bc"]));
    }
}
