//! The schemas of schemas, to which others may refer by their addresses: what the drafts say of the values of keywords.
//!
//! Only what can fail is here, and not what their authors say to readers.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::references::made_absolute;
use super::schema::{DRAFTS, Draft};
use crate::{Context, Value};

/// Keywords and what their values have to be.
type Rules = &'static [(&'static str, &'static str)];

const RULES: Rules = &[
    ("title description format", r#"{"type":"string"}"#),
    ("maximum minimum", r#"{"type":"number"}"#),
    ("maxLength maxItems maxProperties", r##"{"$ref":"#/definitions/COUNT"}"##),
    ("minLength minItems minProperties", r##"{"$ref":"#/definitions/COUNTDefault0"}"##),
    ("pattern", r#"{"type":"string","format":"regex"}"#),
    ("items", r##"{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/schemaArray"}]}"##),
    ("uniqueItems", r#"{"type":"boolean"}"#),
    ("required", r##"{"$ref":"#/definitions/stringArray"}"##),
    ("definitions properties patternProperties", r##"{"type":"object","additionalProperties":{"$ref":"#"}}"##),
    (
        "dependencies",
        r##"{"type":"object","additionalProperties":{"anyOf":[{"$ref":"#"},{"$ref":"#/definitions/stringArray"}]}}"##,
    ),
    ("enum", r#"{"type":"array","minItems":1,"uniqueItems":true}"#),
    (
        "type",
        r##"{"anyOf":[{"$ref":"#/definitions/simpleTypes"},{"type":"array",
            "items":{"$ref":"#/definitions/simpleTypes"},"minItems":1,"uniqueItems":true}]}"##,
    ),
    ("allOf anyOf oneOf", r##"{"$ref":"#/definitions/schemaArray"}"##),
    ("not", r##"{"$ref":"#"}"##),
];

const FOUR: Rules = &[
    ("id $schema", r#"{"type":"string"}"#),
    ("multipleOf", r#"{"type":"number","minimum":0,"exclusiveMinimum":true}"#),
    ("exclusiveMaximum exclusiveMinimum", r#"{"type":"boolean"}"#),
    ("additionalItems additionalProperties", r##"{"anyOf":[{"type":"boolean"},{"$ref":"#"}]}"##),
];

const SIX: Rules = &[
    ("$id $ref", r#"{"type":"string","format":"uri-reference"}"#),
    ("$schema", r#"{"type":"string","format":"uri"}"#),
    ("multipleOf", r#"{"type":"number","exclusiveMinimum":0}"#),
    ("exclusiveMaximum exclusiveMinimum", r#"{"type":"number"}"#),
    ("additionalItems additionalProperties contains propertyNames", r##"{"$ref":"#"}"##),
    ("examples", r#"{"type":"array"}"#),
];

const SEVEN: Rules = &[
    ("$comment contentMediaType contentEncoding", r#"{"type":"string"}"#),
    ("readOnly", r#"{"type":"boolean"}"#),
    (
        "patternProperties",
        r##"{"type":"object","additionalProperties":{"$ref":"#"},"propertyNames":{"format":"regex"}}"##,
    ),
    ("if then else", r##"{"$ref":"#"}"##),
];

const DEFINITIONS: &str = r##"
    "schemaArray":{"type":"array","minItems":1,"items":{"$ref":"#"}},
    "COUNT":{"type":"integer","minimum":0},
    "COUNTDefault0":{"allOf":[{"$ref":"#/definitions/COUNT"},{}]},
    "simpleTypes":{"enum":["array","boolean","integer","null","number","object","string"]}"##;

static SCHEMAS: LazyLock<Vec<Option<Value>>> =
    LazyLock::new(|| DRAFTS.iter().map(|(address, draft)| made(address, *draft)).collect());

/// The schema of a draft by its address.
pub(super) fn schema(address: &str) -> Option<&'static Value> {
    let place = DRAFTS.iter().position(|(known, _)| *known == address)?;
    SCHEMAS.get(place)?.as_ref()
}

fn made(address: &str, draft: Draft) -> Option<Value> {
    let (id, count, kinds, names, rules): (_, _, _, _, &[Rules]) = match draft {
        Draft::Four => ("id", "positiveInteger", r#""object""#, r#","minItems":1"#, &[RULES, FOUR]),
        Draft::Six => ("$id", "nonNegativeInteger", r#"["object","boolean"]"#, "", &[RULES, SIX]),
        _ => ("$id", "nonNegativeInteger", r#"["object","boolean"]"#, "", &[RULES, SIX, SEVEN]),
    };
    let rules: BTreeMap<_, _> = rules.iter().copied().flatten().flat_map(each).collect();
    let properties: Vec<String> = rules.iter().map(|(name, rule)| format!("\"{name}\":{rule}")).collect();
    let dependencies = match draft {
        Draft::Four => r#","dependencies":{"exclusiveMaximum":["maximum"],"exclusiveMinimum":["minimum"]}"#,
        _ => "",
    };
    let text = format!(
        r#"{{"{id}":"{address}#","$schema":"{address}#","type":{kinds},"properties":{{{}}}{dependencies},
            "definitions":{{{DEFINITIONS},
            "stringArray":{{"type":"array","items":{{"type":"string"}},"uniqueItems":true{names}}}}}}}"#,
        properties.join(",")
    );
    let value = Value::parse(&text.replace("COUNT", count)).ok()?;
    // Ours, of a known size.
    made_absolute(&Context::new(0, 0, u64::MAX), value).ok()
}

/// Each keyword with its rule.
fn each((names, rule): &(&'static str, &'static str)) -> impl Iterator<Item = (&'static str, &'static str)> {
    let rule = *rule;
    names.split(' ').map(move |name| (name, rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draft_has_a_schema() {
        for (address, _) in DRAFTS {
            assert!(schema(address).is_some_and(|schema| schema.to_string().contains("uniqueItems")), "{address}");
        }
        assert!(schema("http://json-schema.org/draft-05/schema").is_none());
    }
}
