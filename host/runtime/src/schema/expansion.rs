//! How large a schema becomes once its references are followed.
//!
//! A few dozen definitions that each refer twice to the next one are a schema of a kilobyte and a validation without end.
//! So what a validator may have to visit is counted before it starts, each definition once.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// Most values of a schema with all references followed.
const LARGEST: usize = 10_000;
/// Most references followed one inside the other; a validator follows them on its stack.
const DEEPEST: usize = 32;

/// Refuses a schema that is too large, circular, or refers by anything but a JSON pointer into itself.
pub(super) fn check(schema: &Value) -> Result<(), String> {
    let mut expansion = Expansion { root: schema, known: HashMap::new() };
    let size = match schema {
        Value::Object(members) => expansion.members(members, 0, true)?,
        other => expansion.value(other, 0)?,
    };
    if size > LARGEST {
        return Err(format!("with its references followed it has more than {LARGEST} values"));
    }
    Ok(())
}

struct Expansion<'a> {
    root: &'a Value,
    /// Sizes by reference; none while one is being followed.
    known: HashMap<&'a str, Option<usize>>,
}

impl<'a> Expansion<'a> {
    fn value(&mut self, value: &'a Value, depth: usize) -> Result<usize, String> {
        match value {
            Value::Object(members) => self.members(members, depth, false),
            Value::Array(items) => {
                items.iter().try_fold(1, |sum: usize, item| Ok(sum.saturating_add(self.value(item, depth)?)))
            }
            _ => Ok(1),
        }
    }

    fn members(&mut self, members: &'a Map<String, Value>, depth: usize, is_root: bool) -> Result<usize, String> {
        let mut sum = 1usize;
        for (key, value) in members {
            let size = match (key.as_str(), value) {
                ("$ref", Value::String(reference)) => self.followed(reference, depth)?,
                ("$id", Value::String(_)) if is_root => 1,
                ("$id" | "$anchor" | "$dynamicAnchor" | "$dynamicRef" | "$recursiveRef", Value::String(_)) => {
                    return Err(format!("`{key}` is not supported, refer by `#/…`"));
                }
                _ => self.value(value, depth)?,
            };
            sum = sum.saturating_add(size);
        }
        Ok(sum)
    }

    fn followed(&mut self, reference: &'a str, depth: usize) -> Result<usize, String> {
        match self.known.get(reference) {
            Some(Some(size)) => return Ok(*size),
            Some(None) => return Err(format!("`{reference}` refers to itself")),
            None if depth == DEEPEST => return Err(format!("references are nested deeper than {DEEPEST}")),
            None => {}
        }
        let Some(pointer) = reference.strip_prefix('#') else {
            return Err(format!("`{reference}` leads outside the manifest, refer by `#/…`"));
        };
        let target = self.root.pointer(pointer).ok_or_else(|| format!("`{reference}` refers to nothing"))?;
        self.known.insert(reference, None);
        let size = self.value(target, depth + 1)?;
        self.known.insert(reference, Some(size));
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `depth` definitions, each of which refers twice to the next.
    fn doubling(depth: usize) -> Value {
        let both =
            |i: usize| json!({"allOf": [{"$ref": format!("#/$defs/a{i}")}, {"$ref": format!("#/$defs/a{i}")}]});
        let mut defs: Map<String, Value> = (0..depth).map(|i| (format!("a{i}"), both(i + 1))).collect();
        defs.insert(format!("a{depth}"), json!({"type": "object"}));
        json!({"$defs": defs, "$ref": "#/$defs/a0"})
    }

    #[test]
    fn references_are_fine_and_their_explosion_is_not() {
        assert_eq!(check(&doubling(5)), Ok(()));
        for depth in [14, 24, 30] {
            assert!(check(&doubling(depth)).unwrap_err().contains("more than 10000 values"));
        }
        assert!(check(&doubling(40)).unwrap_err().contains("deeper than 32"));
    }

    #[test]
    fn circles_and_other_ways_to_refer_are_refused() {
        for (schema, expected) in [
            (json!({"$ref": "#"}), "refers to itself"),
            (json!({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}), "refers to itself"),
            (json!({"$ref": "#/nowhere"}), "refers to nothing"),
            (json!({"$ref": "file:///etc/hostname"}), "leads outside"),
            (json!({"items": {"$dynamicRef": "#x"}}), "`$dynamicRef` is not supported"),
            (json!({"items": {"$id": "x"}}), "`$id` is not supported"),
        ] {
            assert!(check(&schema).unwrap_err().contains(expected), "{schema}");
        }
        assert_eq!(check(&json!({"$id": "https://x.example/s", "properties": {"$ref": {"type": "string"}}})), Ok(()));
        assert_eq!(check(&json!(true)), Ok(()));
    }
}
