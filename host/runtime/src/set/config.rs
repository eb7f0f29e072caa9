//! A policy's configuration: from TOML to JSON, with the place of every value.

use std::collections::BTreeMap;

use serde_json::{Number, Value as Json};
use toml::de::{DeFloat, DeInteger, DeValue};

use super::Place;
use super::reader::{Errors, Value};
use crate::text::quoted;

/// Where a value stands, and where the values inside it stand.
///
/// A tree and no map of pointers: its size is that of the text, however long the keys are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Places {
    here: Place,
    inside: BTreeMap<String, Places>,
}

impl Places {
    /// The place of the value at a JSON pointer, or of the nearest value around it.
    pub(super) fn nearest(&self, pointer: &str) -> Place {
        let mut nearest = self;
        for segment in pointer.split('/').skip(1) {
            match nearest.inside.get(&segment.replace("~1", "/").replace("~0", "~")) {
                Some(inside) => nearest = inside,
                None => break,
            }
        }
        nearest.here
    }
}

/// The configuration as a JSON object.
pub(super) fn read(errors: &mut Errors<'_>, value: Value<'_>) -> Option<(Json, Places)> {
    match value.toml {
        DeValue::Table(_) => Some(convert(errors, value)),
        _ => value.expected(errors, "a table", None),
    }
}

/// The JSON text of a value with its keys sorted: equal configurations have equal digests.
///
/// It does not rely on how `serde_json` keeps objects; another crate of the build may switch that.
pub(crate) fn canonical_json(value: &Json) -> String {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted.to_string()
}

// Recursion is safe: the TOML parser refuses text that is nested deeply.
fn convert(errors: &mut Errors<'_>, value: Value<'_>) -> (Json, Places) {
    let mut inside = BTreeMap::new();
    let json = match value.toml {
        DeValue::String(text) => Json::from(&**text),
        DeValue::Integer(number) => integer(errors, value, number),
        DeValue::Float(number) => float(errors, value, number),
        DeValue::Boolean(boolean) => Json::from(*boolean),
        DeValue::Datetime(datetime) => Json::from(datetime.to_string()),
        DeValue::Array(_) => Json::Array(items(errors, value, &mut inside)),
        DeValue::Table(_) => Json::Object(members(errors, value, &mut inside)),
    };
    (json, Places { here: errors.place(value.at), inside })
}

fn items(errors: &mut Errors<'_>, value: Value<'_>, inside: &mut BTreeMap<String, Places>) -> Vec<Json> {
    let values = value.list(errors).unwrap_or_default().into_iter().enumerate();
    values
        .map(|(index, value)| {
            let (json, places) = convert(errors, value);
            inside.insert(index.to_string(), places);
            json
        })
        .collect()
}

fn members(
    errors: &mut Errors<'_>,
    value: Value<'_>,
    inside: &mut BTreeMap<String, Places>,
) -> serde_json::Map<String, Json> {
    let entries = value.table(errors).map(|table| table.entries()).unwrap_or_default().into_iter();
    entries
        .map(|(_, value)| {
            let (json, places) = convert(errors, value);
            inside.insert(value.key.to_owned(), places);
            (value.key.to_owned(), json)
        })
        .collect()
}

fn integer(errors: &mut Errors<'_>, value: Value<'_>, number: &DeInteger<'_>) -> Json {
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => Json::from(number),
        Err(_) => {
            let range_text = "within 64 bits with a sign";
            value.out_of_range(errors, &number.to_string(), range_text).unwrap_or_default()
        }
    }
}

fn float(errors: &mut Errors<'_>, value: Value<'_>, number: &DeFloat<'_>) -> Json {
    match number.as_str().parse().ok().and_then(Number::from_f64) {
        Some(number) => Json::Number(number),
        None => {
            let cause = format!("expected a number that JSON can hold, found {}", quoted(number.as_str()));
            value.wrong(errors, cause, None).unwrap_or_default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::set::{Binding, Set, parse};

    fn set(text: &str) -> Set {
        parse("weir.toml", text).unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"))
    }

    #[test]
    fn canonical_json_sorts_keys_at_every_depth() {
        let value: Json = serde_json::from_str(r#"{"b":[{"z":1,"a":1.0}],"a":"é\n"}"#).unwrap();
        assert_eq!(canonical_json(&value), r#"{"a":"é\n","b":[{"a":1.0,"z":1}]}"#);
    }

    #[test]
    fn the_nearest_place_is_that_of_the_deepest_value_on_the_way() {
        let at = |line, inside: Vec<(&str, Places)>| {
            let inside = inside.into_iter().map(|(key, places)| (key.to_owned(), places)).collect();
            Places { here: Place { line, column: 1 }, inside }
        };
        let places = at(1, vec![("a/~b", at(2, vec![("0", at(3, vec![]))])), ("", at(4, vec![]))]);
        let cases =
            [("", 1), ("/a~1~0b", 2), ("/a~1~0b/0", 3), ("/a~1~0b/1", 2), ("/c/0", 1), ("/", 4), ("nonsense", 1)];
        for (pointer, line) in cases {
            assert_eq!(places.nearest(pointer).line, line, "{pointer}");
        }
    }

    #[test]
    fn configuration_becomes_json() {
        let set = set("set = 's'\n[policies.p]\nmodule = 'p'\n[policies.p.config]\n\
                       t = 'x'\ni = 0x10\nf = 1_0.5\nb = true\nd = 2027-01-31\nn = [1, {}]\nz = 1979-05-27T07:32:00Z");
        let expected = json!({
            "t": "x", "i": 16, "f": 10.5, "b": true, "d": "2027-01-31", "n": [1, {}], "z": "1979-05-27T07:32:00Z",
        });
        assert_eq!(set.policies[0].config, expected);
    }

    #[test]
    fn configuration_knows_its_places() {
        let text = "set = 's'\n[policies.p]\nmodule = 'p'\nconfig = { 'ü' = 'ä', ids = ['a', 'b'], x.y = 1 }\n\
                    [policies.q]\nmodule = 'q'\n[policies.q.config]\na = 1\n  [[policies.q.config.list]]\n  b = 2\n";
        let set = set(text);
        let [p, q] = &set.policies[..] else { panic!() };
        let cases = [
            (p, "", 4, 10),
            (p, "/ü", 4, 18),
            (p, "/ids", 4, 29),
            (p, "/ids/1", 4, 35),
            (p, "/ids/7/x", 4, 29),
            (p, "/x/y", 4, 47),
            (p, "/unknown", 4, 10),
            (q, "", 7, 1),
            (q, "/a", 8, 5),
            (q, "/list/0/b", 10, 7),
            (q, "/list/0", 9, 3),
        ];
        for (binding, pointer, line, column) in cases {
            assert_eq!(binding.config_place(pointer), Place { line, column }, "{} {pointer}", binding.name);
        }
        assert_eq!(Binding::new("p", "p").config_place("/x"), Place { line: 1, column: 1 });
    }
}
