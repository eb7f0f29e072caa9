//! What a module says about itself, in its custom section `weir:manifest`: read without running anything.

use serde::Serialize;
use serde_json::value::RawValue;

use crate::json::{Document, JsonError, Kind, Path, Value};
use crate::reads::Reads;
use crate::text::quoted;

/// Name of the custom section.
pub(crate) const SECTION: &str = "weir:manifest";
/// Deepest nesting of a manifest: a schema and sample requests need some.
const DEPTH: usize = 80;
/// Largest schema, in bytes: compiling one takes time that grows with the square of its size.
const LARGEST_SCHEMA: usize = 64 << 10;
/// Most samples: each is judged when the policy is loaded.
const MOST_SAMPLES: usize = 100;

/// A module's own description; every part is optional and has the default of a module without a manifest.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Manifest {
    /// The policy's name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// What it does, in a sentence.
    pub description: Option<String>,
    /// The ABI it is written for.
    pub abi: Option<String>,
    /// Where it is meant to run, for sets that do not say; none: everywhere.
    pub checkpoints: Option<Vec<String>>,
    /// JSON pointers of what it is given.
    pub(crate) reads: Reads,
    /// JSON Schema (draft 2020-12) of its configuration.
    pub config: Option<serde_json::Value>,
    /// Capabilities it wants.
    pub grants: Vec<String>,
    /// Requests it must be able to judge, as written.
    #[serde(serialize_with = "as_json")]
    pub samples: Vec<String>,
}

impl Manifest {
    /// JSON pointers of what the policy is given; empty for the whole request.
    pub fn reads(&self) -> &[String] {
        self.reads.pointers()
    }
}

fn as_json<S: serde::Serializer>(samples: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    let raw = |sample: &String| RawValue::from_string(sample.clone()).expect("samples were cut from checked JSON");
    serializer.collect_seq(samples.iter().map(raw))
}

impl Manifest {
    /// Reads the section's bytes; the error names the place in the manifest.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        manifest(bytes).map_err(|JsonError { pointer, message }| match pointer.as_str() {
            "" => format!("manifest: {message}"),
            pointer => format!("manifest at {}: {message}", quoted(pointer)),
        })
    }
}

fn manifest(bytes: &[u8]) -> Result<Manifest, JsonError> {
    let document = Document::parse(bytes, DEPTH)?;
    let at = Path::Root;
    let keys = ["name", "version", "description", "abi", "checkpoints", "reads", "config", "grants", "samples"];
    let [name, version, description, abi, checkpoints, reads, config, grants, samples] =
        document.root().fields(&at, keys)?;
    let text =
        |value: Option<Value<'_>>, key| value.map(|v| v.text(&at.key(key)).map(|t| t.into_owned())).transpose();
    let reads = reads.map(|value| texts(value, &at.key("reads"))).transpose()?;
    let schema = |value: Value<'_>| match value.kind() {
        _ if value.raw().len() > LARGEST_SCHEMA => {
            Err(at.key("config").error(format!("a schema of more than {LARGEST_SCHEMA} bytes")))
        }
        Kind::Object | Kind::Bool => {
            serde_json::from_str(value.raw()).map_err(|e| at.key("config").error(e.to_string()))
        }
        _ => Err(at.key("config").error("expected a JSON Schema")),
    };
    Ok(Manifest {
        name: text(name, "name")?,
        version: text(version, "version")?,
        description: text(description, "description")?,
        abi: text(abi, "abi")?,
        checkpoints: checkpoints.map(|value| texts(value, &at.key("checkpoints"))).transpose()?,
        reads: reads.map_or(Ok(Reads::default()), |pointers| {
            Reads::parse(&pointers).map_err(|message| at.key("reads").error(message))
        })?,
        config: config.map(schema).transpose()?,
        grants: grants.map_or(Ok(Vec::new()), |value| texts(value, &at.key("grants")))?,
        samples: samples.map_or(Ok(Vec::new()), |value| self::samples(value, &at.key("samples")))?,
    })
}

fn texts(value: Value<'_>, at: &Path<'_>) -> Result<Vec<String>, JsonError> {
    let items = value.expect(Kind::Array, at)?.items().enumerate();
    items.map(|(i, item)| item.text(&at.index(i)).map(|text| text.into_owned())).collect()
}

fn samples(value: Value<'_>, at: &Path<'_>) -> Result<Vec<String>, JsonError> {
    let samples: Vec<String> = value.expect(Kind::Array, at)?.items().map(|item| item.raw().to_owned()).collect();
    if samples.len() > MOST_SAMPLES {
        Err(at.error(format!("more than {MOST_SAMPLES} samples")))
    } else {
        Ok(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_optional() {
        let manifest = Manifest::parse(b"{}").unwrap();
        assert!(manifest.reads.is_everything() && manifest.checkpoints.is_none());
    }

    #[test]
    fn errors_name_their_place() {
        for (json, expected) in [
            ("[]", "manifest: expected an object, found an array"),
            (r#"{"read":[]}"#, "manifest at `/read`: unknown key `read`, did you mean `reads`?"),
            (r#"{"reads":["/nothing"]}"#, "manifest at `/reads`: `/nothing` points to no part of a request"),
            (r#"{"grants":[1]}"#, "manifest at `/grants/0`: expected text, found a number"),
            (r#"{"config":[]}"#, "manifest at `/config`: expected a JSON Schema"),
        ] {
            assert_eq!(Manifest::parse(json.as_bytes()).unwrap_err(), expected);
        }
    }

    #[test]
    fn samples_stay_as_written() {
        let manifest = Manifest::parse(br#"{"samples":[{"checkpoint":"a","payload":1.0}]}"#).unwrap();
        assert_eq!(manifest.samples, [r#"{"checkpoint":"a","payload":1.0}"#]);
    }
}
