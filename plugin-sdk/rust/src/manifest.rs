//! Writes the manifest while the policy is compiled, so that it is data in the module and a constant in tests.

#[cfg(not(feature = "component"))]
const ABI: &str = ",\"abi\":\"core-1\"";
#[cfg(feature = "component")]
const ABI: &str = ",\"abi\":\"component-1\"";

/// What the manifest will say.
pub struct Manifest {
    name: &'static str,
    version: &'static str,
    description: &'static str,
    checkpoints: &'static [&'static str],
    reads: Option<&'static [&'static str]>,
    config: Option<&'static str>,
    grants: Option<&'static [&'static str]>,
    samples: Option<&'static str>,
}

impl Manifest {
    /// A manifest with nothing optional; an empty description counts as none.
    pub const fn new(
        name: &'static str,
        version: &'static str,
        description: &'static str,
        checkpoints: &'static [&'static str],
    ) -> Manifest {
        Manifest { name, version, description, checkpoints, reads: None, config: None, grants: None, samples: None }
    }

    /// The JSON pointers of what the policy may see.
    pub const fn reads(mut self, pointers: &'static [&'static str]) -> Manifest {
        self.reads = Some(pointers);
        self
    }

    /// The capabilities it wants.
    pub const fn grants(mut self, capabilities: &'static [&'static str]) -> Manifest {
        self.grants = Some(capabilities);
        self
    }

    /// The JSON Schema of its configuration.
    pub const fn config(mut self, schema: &'static str) -> Manifest {
        self.config = Some(schema);
        self
    }

    /// A JSON array of requests.
    pub const fn samples(mut self, requests: &'static str) -> Manifest {
        self.samples = Some(requests);
        self
    }

    /// How many bytes [`Manifest::json`] needs.
    pub const fn length(&self) -> usize {
        self.write::<0>().length
    }

    /// The manifest as JSON, in exactly [`Manifest::length`] bytes.
    pub const fn json<const LENGTH: usize>(&self) -> [u8; LENGTH] {
        let json = self.write::<LENGTH>();
        assert!(json.length == LENGTH, "the manifest has another length");
        json.bytes
    }

    const fn write<const ROOM: usize>(&self) -> Json<ROOM> {
        let mut json = Json { bytes: [0; ROOM], length: 0 };
        json.raw("{\"name\":");
        json.string(self.name);
        json.raw(",\"version\":");
        json.string(self.version);
        if !self.description.is_empty() {
            json.raw(",\"description\":");
            json.string(self.description);
        }
        json.raw(ABI);
        json.raw(",\"checkpoints\":");
        json.strings(self.checkpoints);
        if let Some(pointers) = self.reads {
            json.raw(",\"reads\":");
            json.strings(pointers);
        }
        if let Some(schema) = self.config {
            json.raw(",\"config\":");
            json.raw(schema.trim_ascii());
        }
        if let Some(capabilities) = self.grants {
            json.raw(",\"grants\":");
            json.strings(capabilities);
        }
        if let Some(requests) = self.samples {
            json.raw(",\"samples\":");
            json.raw(requests.trim_ascii());
        }
        json.raw("}");
        json
    }
}

/// The manifest's bytes as text.
pub const fn text(json: &'static [u8]) -> &'static str {
    match str::from_utf8(json) {
        Ok(text) => text,
        Err(_) => panic!("the manifest is made of text"),
    }
}

/// The manifest's text as the array that a linker section wants.
pub const fn bytes<const LENGTH: usize>(text: &str) -> [u8; LENGTH] {
    match text.as_bytes().first_chunk() {
        Some(bytes) => *bytes,
        None => panic!("the section has the length of the manifest"),
    }
}

/// JSON under construction. What exceeds the room is counted but not kept: a first pass with no room measures.
struct Json<const ROOM: usize> {
    bytes: [u8; ROOM],
    length: usize,
}

impl<const ROOM: usize> Json<ROOM> {
    const fn put(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        if end <= ROOM {
            let (_, free) = self.bytes.split_at_mut(self.length);
            let (place, _) = free.split_at_mut(bytes.len());
            place.copy_from_slice(bytes);
        }
        self.length = end;
    }

    const fn raw(&mut self, json: &str) {
        self.put(json.as_bytes());
    }

    const fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.put(b"\"");
        let bytes = text.as_bytes();
        let mut index = 0;
        while index < bytes.len() {
            match bytes[index] {
                b @ (b'"' | b'\\') => self.put(&[b'\\', b]),
                b @ ..0x20 => self.put(&[b'\\', b'u', b'0', b'0', HEX[(b >> 4) as usize], HEX[(b & 15) as usize]]),
                b => self.put(&[b]),
            }
            index += 1;
        }
        self.put(b"\"");
    }

    const fn strings(&mut self, texts: &[&str]) {
        self.put(b"[");
        let mut index = 0;
        while index < texts.len() {
            if index > 0 {
                self.put(b",");
            }
            self.string(texts[index]);
            index += 1;
        }
        self.put(b"]");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_is_left_out() {
        const BARE: Manifest = Manifest::new("words", "1.2.3", "", &["inference.input"]);
        const JSON: [u8; BARE.length()] = BARE.json();
        let expected = r#"{"name":"words","version":"1.2.3","abi":"core-1","checkpoints":["inference.input"]}"#;
        assert_eq!(text(&JSON), expected);
    }

    #[test]
    fn every_key_has_its_place() {
        const FULL: Manifest = Manifest::new("w", "1", "d", &["a.b", "c.d"])
            .reads(&["/content", "/context/region"])
            .grants(&["log"])
            .config(" {\"type\": \"object\"}\n")
            .samples("[{}]\n");
        const JSON: [u8; FULL.length()] = FULL.json();
        let expected = concat!(
            r#"{"name":"w","version":"1","description":"d","abi":"core-1","checkpoints":["a.b","c.d"],"#,
            r#""reads":["/content","/context/region"],"config":{"type": "object"},"grants":["log"],"#,
            r#""samples":[{}]}"#
        );
        assert_eq!(text(&JSON), expected);
        assert_eq!(bytes::<{ FULL.length() }>(text(&JSON)), JSON);
    }

    #[test]
    fn reading_nothing_is_not_reading_everything() {
        const BLIND: Manifest = Manifest::new("w", "1", "", &["a.b"]).reads(&[]);
        const JSON: [u8; BLIND.length()] = BLIND.json();
        let expected = r#"{"name":"w","version":"1","abi":"core-1","checkpoints":["a.b"],"reads":[]}"#;
        assert_eq!(text(&JSON), expected);
    }

    #[test]
    fn any_description_is_escaped() {
        const SAID: &str = "says \"no\" \\ to\n\ttabs\u{0}\u{1f}\u{7f} and Grüße 🌊";
        const ODD: Manifest = Manifest::new("w", "1", SAID, &["a.b"]);
        const JSON: [u8; ODD.length()] = ODD.json();
        let manifest: serde_json::Value = serde_json::from_str(text(&JSON)).unwrap();
        assert_eq!(manifest["description"], SAID);
    }

    #[test]
    fn long_samples_do_not_slow_the_compiler() {
        const LONG: &str = match str::from_utf8(&[b' '; 300_000]) {
            Ok(spaces) => spaces,
            Err(_) => panic!(),
        };
        const MANIFEST: Manifest = Manifest::new("w", "1", "", &["a.b"]).reads(&[LONG]);
        const { assert!(MANIFEST.length() > 300_000) };
    }
}
