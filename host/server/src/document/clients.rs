//! The types in the clients' files are made from the document, so that they cannot say anything else.
//!
//! `WEIR_WRITE_TYPES=1 cargo test -p weir-server types` writes them anew after the document has changed.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

/// Schemas that clients keep to themselves.
const INNER: [&str; 3] = ["Batch", "Answers", "Answer"];

/// How a language writes types.
struct Language {
    file: &'static str,
    comment: &'static str,
    /// Text, whole number, number, truth, anything.
    plain: [&'static str; 5],
    list: fn(&str) -> String,
    map: fn(&str) -> String,
    words: fn(&[String]) -> String,
    nullable: fn(&str) -> String,
    alias: fn(&str, &str) -> String,
    /// A type with fields.
    fields: fn(&str, &[Field]) -> String,
}

struct Field {
    name: String,
    kind: String,
    /// Whether it is always there.
    always: bool,
}

const TYPESCRIPT: Language = Language {
    file: "clients/weir.ts",
    comment: "//",
    plain: ["string", "number", "number", "boolean", "unknown"],
    list: |of| format!("{of}[]"),
    map: |of| format!("Record<string, {of}>"),
    words: |words| words.join(" | "),
    nullable: |of| format!("{of} | null"),
    alias: |name, of| format!("export type {name} = {of};\n"),
    fields: |name, fields| {
        let field =
            |Field { name, kind, always }: &Field| format!("  {name}{}: {kind};\n", if *always { "" } else { "?" });
        format!("export interface {name} {{\n{}}}\n", fields.iter().map(field).collect::<String>())
    },
};

const PYTHON: Language = Language {
    file: "clients/weir.py",
    comment: "#",
    plain: ["str", "int", "float", "bool", "Any"],
    list: |of| format!("List[{of}]"),
    map: |of| format!("Dict[str, {of}]"),
    words: |words| format!("Literal[{}]", words.join(", ")),
    nullable: |of| format!("Optional[{of}]"),
    alias: |name, of| format!("{name} = {of}\n"),
    fields: |name, fields| {
        let part = |always: bool| {
            let fields = fields.iter().filter(|field| field.always == always);
            fields.map(|Field { name, kind, .. }| format!("    {name}: {kind}\n")).collect::<String>()
        };
        match (part(true), part(false)) {
            (always, sometimes) if always.is_empty() => format!("class {name}(TypedDict, total=False):\n{sometimes}"),
            (always, sometimes) if sometimes.is_empty() => format!("class {name}(TypedDict):\n{always}"),
            (always, sometimes) => {
                format!("class _{name}(TypedDict):\n{always}\n\nclass {name}(_{name}, total=False):\n{sometimes}")
            }
        }
    },
};

impl Language {
    fn types(&self, schemas: &Map<String, Value>) -> String {
        let mut text = String::new();
        for (name, schema) in schemas.iter().filter(|(name, _)| !INNER.contains(&name.as_str())) {
            let always: Vec<&str> =
                schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let gap = if self.file.ends_with(".py") { "\n\n" } else { "\n" };
            let written = match schema["properties"].as_object() {
                Some(fields) => {
                    let field = |(name, schema): (&String, &Value)| Field {
                        name: name.clone(),
                        kind: self.kind(schema),
                        always: always.contains(&name.as_str()),
                    };
                    (self.fields)(own(name), &fields.iter().map(field).collect::<Vec<_>>())
                }
                None => (self.alias)(own(name), &self.kind(schema)),
            };
            write!(text, "{gap}{written}").expect("a string grows");
        }
        text
    }

    fn kind(&self, schema: &Value) -> String {
        let [text, whole, number, truth, anything] = self.plain;
        if let Some(name) = schema["$ref"].as_str() {
            return own(name.rsplit('/').next().unwrap_or(name)).to_owned();
        }
        if let Some(word) = schema.get("const") {
            return (self.words)(&[word.to_string()]);
        }
        if let Some(words) = schema["enum"].as_array() {
            return (self.words)(&words.iter().map(Value::to_string).collect::<Vec<_>>());
        }
        match &schema["type"] {
            Value::Array(kinds) => (self.nullable)(&self.kind(&serde_json::json!({"type": kinds[0]}))),
            Value::String(kind) => match kind.as_str() {
                "string" => text.to_owned(),
                "integer" => whole.to_owned(),
                "number" => number.to_owned(),
                "boolean" => truth.to_owned(),
                "array" => (self.list)(&self.kind(&schema["items"])),
                "object" => (self.map)(&self.kind(&schema["additionalProperties"])),
                _ => panic!("no client knows what {kind} is"),
            },
            _ => anything.to_owned(),
        }
    }
}

/// A client's own decision is one the server may not have made.
fn own(name: &str) -> &str {
    if name == "Decision" { "Answer" } else { name }
}

#[test]
fn types_of_the_clients_are_those_of_the_document() {
    let document: Value = serde_json::from_str(super::openapi()).expect("it is JSON");
    let schemas = document["components"]["schemas"].as_object().expect("it has schemas");
    for language in [TYPESCRIPT, PYTHON] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(language.file);
        let text = std::fs::read_to_string(&path).expect("the client is there");
        let [begin, end] = ["begin", "end"].map(|part| {
            let mark = format!("{} Types of openapi.json: {part}", language.comment);
            text.find(&mark).unwrap_or_else(|| panic!("`{mark}` in {}", language.file))
        });
        let begin = begin + text[begin..].find('\n').expect("a line ends") + 1;
        let gap = if language.file.ends_with(".py") { "\n\n" } else { "\n" };
        let types = format!("{}{gap}", language.types(schemas));
        if std::env::var_os("WEIR_WRITE_TYPES").is_some() {
            std::fs::write(&path, format!("{}{types}{}", &text[..begin], &text[end..])).expect("it can be written");
            continue;
        }
        assert!(text[begin..end] == types, "{} has other types: WEIR_WRITE_TYPES=1 writes them", language.file);
    }
}
