//! JSON pointers into arguments, with `*` for every item or member.

use serde_json::Value;

/// A pointer such as `/items/*/price`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    text: String,
    segments: Vec<String>,
}

impl Pattern {
    /// A pointer; the empty one is the whole.
    pub(crate) fn new(text: &str) -> Result<Pattern, String> {
        if !text.is_empty() && !text.starts_with('/') {
            return Err(format!("`{text}` is no JSON pointer such as `/amount` or `/items/*/price`"));
        }
        let segments = text.split('/').skip(1).map(|segment| segment.replace("~1", "/").replace("~0", "~")).collect();
        Ok(Pattern { text: text.to_owned(), segments })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Every value it points to, with the pointer that names it alone.
    pub(crate) fn find<'v>(&self, value: &'v Value) -> Vec<(String, &'v Value)> {
        let mut found = vec![(String::new(), value)];
        for segment in &self.segments {
            found = found.into_iter().flat_map(|(at, value)| step(at, value, segment)).collect();
        }
        found
    }
}

fn step<'v>(at: String, value: &'v Value, segment: &str) -> Vec<(String, &'v Value)> {
    let below = |name: &str, value| (format!("{at}/{}", tool_calls::segment(name)), value);
    match value {
        Value::Array(items) if segment == "*" => {
            items.iter().enumerate().map(|(place, item)| below(&place.to_string(), item)).collect()
        }
        Value::Object(members) if segment == "*" => members.iter().map(|(name, value)| below(name, value)).collect(),
        Value::Array(items) => {
            let item = segment.parse().ok().and_then(|place: usize| items.get(place));
            item.map(|item| below(segment, item)).into_iter().collect()
        }
        Value::Object(members) => members.get(segment).map(|value| below(segment, value)).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Every text below a value.
pub(crate) fn texts<'v>(at: String, value: &'v Value, found: &mut Vec<(String, &'v str)>) {
    match value {
        Value::String(text) => found.push((at, text)),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(place, item)| texts(format!("{at}/{place}"), item, found));
        }
        Value::Object(members) => {
            members
                .iter()
                .for_each(|(name, value)| texts(format!("{at}/{}", tool_calls::segment(name)), value, found));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_star_is_every_item_or_member() {
        let value = json!({"items": [{"n": 1}, {"n": 2}, {}], "by": {"a/b": {"n": 3}}});
        let found = |text: &str| {
            let found = Pattern::new(text).unwrap().find(&value);
            found.into_iter().map(|(at, value)| format!("{at}={value}")).collect::<Vec<_>>()
        };
        assert_eq!(found("/items/*/n"), ["/items/0/n=1", "/items/1/n=2"]);
        assert_eq!(found("/by/*/n"), ["/by/a~1b/n=3"]);
        assert_eq!(found("/items/1/n"), ["/items/1/n=2"]);
        assert_eq!(found("/by/a~1b/n"), ["/by/a~1b/n=3"]);
        assert_eq!(found("/none"), [""; 0]);
        assert!(Pattern::new("amount").is_err());
    }
}
