//! A policy's configuration against the JSON Schema (draft 2020-12) of its manifest.

mod expansion;

use std::error::Error;

use boon::{Compiler, Draft, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

use crate::text::one_line;

/// Name of the manifest's schema among the resources of its compiler.
const LOCATION: &str = "weir:manifest/config";

/// A compiled schema.
pub(crate) struct ConfigSchema {
    schemas: Schemas,
    index: SchemaIndex,
}

/// One violation: where in the configuration, as a JSON pointer, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) pointer: String,
    pub(crate) message: String,
}

/// Keeps a hostile manifest from making the host read files or addresses.
struct NothingOutside;

impl UrlLoader for NothingOutside {
    fn load(&self, url: &str) -> Result<Value, Box<dyn Error>> {
        Err(format!("a manifest's schema may not refer to `{url}`").into())
    }
}

impl ConfigSchema {
    /// Compiles a schema that stays within its manifest and within bounds.
    pub(crate) fn compile(schema: Value) -> Result<ConfigSchema, String> {
        expansion::check(&schema)?;
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(NothingOutside));
        let mut schemas = Schemas::new();
        compiler.add_resource(LOCATION, schema).map_err(|error| error.to_string())?;
        let index = compiler.compile(LOCATION, &mut schemas).map_err(|error| error.to_string())?;
        Ok(ConfigSchema { schemas, index })
    }

    /// All violations; none where the configuration is valid.
    pub(crate) fn violations(&self, config: &Value) -> Vec<Violation> {
        let mut violations = Vec::new();
        if let Err(error) = self.schemas.validate(config, self.index) {
            collect(&error, &mut violations);
        }
        violations
    }
}

/// The causes without causes of their own: what a person has to change. A schema can make up any number of them.
fn collect(error: &ValidationError<'_, '_>, violations: &mut Vec<Violation>) {
    const EXAMPLES: usize = 20;
    const LONGEST_MESSAGE: usize = 1024;
    if violations.len() == EXAMPLES {
        return;
    }
    if error.causes.is_empty() {
        let message = one_line(&error.kind.to_string(), LONGEST_MESSAGE).into_owned();
        let violation = Violation { pointer: error.instance_location.to_string(), message };
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    error.causes.iter().for_each(|cause| collect(cause, violations));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_violation_is_found_with_its_place() {
        let schema = json!({"type": "object", "additionalProperties": false,
            "properties": {"words": {"type": "array", "items": {"type": "string"}}, "most": {"type": "integer", "maximum": 9}}});
        let schema = ConfigSchema::compile(schema).unwrap();
        assert_eq!(schema.violations(&json!({"words": ["a"]})), []);
        let pointers: Vec<String> = schema
            .violations(&json!({"words": ["a", 1], "most": 10, "more": 1}))
            .into_iter()
            .map(|v| v.pointer)
            .collect();
        assert_eq!(pointers.len(), 3);
        assert!(pointers.contains(&"/words/1".to_owned()) && pointers.contains(&"/most".to_owned()));
    }

    #[test]
    fn a_schema_cannot_reach_outside() {
        let error = ConfigSchema::compile(json!({"$ref": "file:///etc/hostname"})).err().unwrap();
        assert!(error.contains("file:///etc/hostname"), "{error}");
        assert!(ConfigSchema::compile(json!({"type": 7})).is_err());
    }
}
